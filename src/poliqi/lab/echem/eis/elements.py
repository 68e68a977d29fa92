"""Elements of equivalent circuits: impedance, derivatives, limits of their parameters.

Formulas as in Orazem and Tribollet, Electrochemical Impedance Spectroscopy (2nd ed., 2017), ch. 9 to 14: constant
phase element eq. 14.1, Warburg impedances of infinite, reflecting, transmitting layers ch. 11.4, Gerischer ch. 9.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["ELEMENTS", "Element", "Law", "j_omega"]

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]

_TINY: Final = 1e-18
_HUGE: Final = 1e18


@dataclass(frozen=True, slots=True)
class Law:
    """One parameter of an element: its suffix ("" for the only one), unit, least and greatest value."""

    suffix: str
    unit: str
    lower: float = _TINY
    upper: float = _HUGE
    is_log: bool = True


@dataclass(frozen=True, slots=True)
class Element:
    """`impedance` takes j omega (n,) and the parameters; gives Z (n,) and dZ by each parameter, a list of (n,)."""

    name: str
    laws: tuple[Law, ...]
    impedance: Callable[[Complexes, Floats], tuple[Complexes, list[Complexes]]]


def j_omega(frequency_hz: Floats) -> Complexes:
    """j 2 pi f in 1/s, of the same shape."""
    s = np.zeros(frequency_hz.shape, dtype=np.complex128)
    s.imag = 2 * np.pi * frequency_hz
    return s


def _resistor(s: Complexes, p: Floats) -> tuple[Complexes, list[Complexes]]:
    one = np.ones_like(s)
    return p[0] * one, [one]


def _inductor(s: Complexes, p: Floats) -> tuple[Complexes, list[Complexes]]:
    return p[0] * s, [s]


def _capacitor(s: Complexes, p: Floats) -> tuple[Complexes, list[Complexes]]:
    z = 1 / (p[0] * s)
    return z, [-z / p[0]]


def _constant_phase(s: Complexes, p: Floats) -> tuple[Complexes, list[Complexes]]:
    """Constant phase element, 1 / (q (j omega)^n)."""
    log = np.log(s)
    z = np.exp(-p[1] * log) / p[0]
    return z, [-z / p[0], -z * log]


def _warburg(s: Complexes, p: Floats) -> tuple[Complexes, list[Complexes]]:
    """Diffusion without an end, sigma (1 - j) / sqrt(omega)."""
    one = np.sqrt(2 / s)  # (1 - j) / sqrt(omega)
    return p[0] * one, [one]


def _reflecting(s: Complexes, p: Floats) -> tuple[Complexes, list[Complexes]]:
    """Diffusion to a reflecting end, r coth(sqrt(j omega tau)) / sqrt(j omega tau)."""
    x = np.sqrt(s * p[1])
    coth = (1 + np.exp(-2 * x)) / -np.expm1(-2 * x)
    f = coth / x
    slope = (1 - coth**2) / x - f / x  # df/dx
    return p[0] * f, [f, p[0] * slope * x / (2 * p[1])]


def _transmitting(s: Complexes, p: Floats) -> tuple[Complexes, list[Complexes]]:
    """Diffusion to a transmitting end, r tanh(sqrt(j omega tau)) / sqrt(j omega tau)."""
    x = np.sqrt(s * p[1])
    tanh = -np.expm1(-2 * x) / (1 + np.exp(-2 * x))
    f = tanh / x
    slope = (1 - tanh**2) / x - f / x
    return p[0] * f, [f, p[0] * slope * x / (2 * p[1])]


def _gerischer(s: Complexes, p: Floats) -> tuple[Complexes, list[Complexes]]:
    """Diffusion with reaction, r / sqrt(1 + j omega tau)."""
    f = 1 / np.sqrt(1 + s * p[1])
    return p[0] * f, [f, -0.5 * p[0] * s * f**3]


_OHM: Final = Law("", "ohm")
_R: Final = Law("_r", "ohm")
_TAU: Final = Law("_tau", "s")

ELEMENTS: Final = {
    one.name: one
    for one in (
        Element("R", (_OHM,), _resistor),
        Element("L", (Law("", "H"),), _inductor),
        Element("C", (Law("", "F"),), _capacitor),
        Element("CPE", (Law("_q", "S s^n"), Law("_n", "1", 0.0, 1.0, is_log=False)), _constant_phase),
        Element("W", (Law("", "ohm/s^0.5"),), _warburg),
        Element("Wo", (_R, _TAU), _reflecting),
        Element("Ws", (_R, _TAU), _transmitting),
        Element("G", (_R, _TAU), _gerischer),
    )
}
"""Every element by the letters that stand for it in a circuit."""
