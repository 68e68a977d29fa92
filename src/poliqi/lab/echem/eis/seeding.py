"""Where a circuit's fit begins, and which circuits are worth one: out of the distribution of relaxation times."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.lab.echem.eis.circuit import Circuit
from poliqi.lab.echem.eis.relaxation import Relaxation
from poliqi.lab.echem.spectrum import Spectrum

__all__ = ["candidates", "seeds", "variants"]

Floats = NDArray[np.float64]

_MOST_ARCS: Final = 4
_LEAST_AREA: Final = 0.02
_INDUCTIVE: Final = 0.01
_DIFFUSION: Final = frozenset({"W", "Wo", "Ws", "G"})
_EXPONENT: Final = 0.85


@dataclass(frozen=True, slots=True)
class _Arc:
    tau: float
    area: float


def candidates(spectrum: Spectrum, relaxation: Relaxation) -> tuple[str, ...]:
    """Circuits of R and CPE arcs: as many as there are peaks, one fewer, one more; open at the slow end or not."""
    f, z = spectrum.frequency_hz, spectrum.impedance_ohm
    inductive = 2 * math.pi * f[0] * relaxation.inductance_h > _INDUCTIVE * abs(z[0]) or z[0].imag > 0
    rises = _rises(spectrum)
    head, tail = "L-R" if inductive else "R", "-CPE" if rises else ""
    found = min(len(_arcs(relaxation, spectrum, with_open=not rises)), _MOST_ARCS)
    arcs = range(max(0 if rises else 1, found - 1), min(max(found, 1) + 1, _MOST_ARCS) + 1)
    return tuple(head + "-(R|CPE)" * many + tail for many in arcs)


def variants(text: str, tried: Sequence[str]) -> tuple[str, ...]:
    """Circuits with Warburg elements at the slow end, by the best of `candidates` and all of them."""
    arc = "-(R|CPE)"
    closed = text.replace("|C)", "|CPE)").removesuffix("-CPE").removesuffix("-C")
    if not any(one.endswith(("-C", "-CPE")) for one in tried):
        return (f"{closed.removesuffix(arc)}-(R-Ws|CPE)",) if closed.endswith(arc) else ()
    found = [f"{closed}-Wo", f"{closed}-W"]
    if closed.endswith(arc):
        found.append(f"{closed.removesuffix(arc)}-(R-W|CPE)")
    bodies = (one.removesuffix("-CPE") for one in tried)
    return (*found, *(f"{one.removesuffix(arc)}-(R-Wo|CPE)" for one in bodies if one.endswith(arc)))


def _rises(spectrum: Spectrum) -> bool:
    """Whether -Im Z grows towards the lowest frequencies: something there is not at its end."""
    low = -spectrum.impedance_ohm.imag[-4:]
    return low.size > 1 and low[-1] > 0 and bool(np.polyfit(np.arange(low.size), low, 1)[0] > 0)


def _arcs(relaxation: Relaxation, spectrum: Spectrum, *, with_open: bool) -> list[_Arc]:
    whole = float(np.ptp(spectrum.impedance_ohm.real))
    if not relaxation.follows:
        return []
    fastest, slowest = (1 / (2 * math.pi * float(spectrum.frequency_hz[at])) for at in (0, -1))
    return [
        _Arc(peak.tau_s, peak.area_ohm)
        for peak in relaxation.peaks
        if peak.tau_s > fastest and (with_open or peak.tau_s < slowest / 4) and peak.area_ohm > _LEAST_AREA * whole
    ]


def _as_many(arcs: list[_Arc], wanted: int, spectrum: Spectrum) -> list[_Arc]:
    """That many, the nearest in time joined or the largest cut in two."""
    if wanted and not arcs:
        f, z = spectrum.frequency_hz, spectrum.impedance_ohm
        taus = np.exp(-np.linspace(math.log(2 * math.pi * f[0]), math.log(2 * math.pi * f[-1]), wanted + 2))[1:-1]
        return [_Arc(float(tau), float(np.ptp(z.real)) / wanted) for tau in taus]
    while len(arcs) > wanted:
        at = min(range(len(arcs) - 1), key=lambda one: arcs[one + 1].tau / arcs[one].tau) if len(arcs) > 1 else 0
        pair = arcs[at : at + 2]
        area = sum(one.area for one in pair)
        tau = math.exp(sum(one.area * math.log(one.tau) for one in pair) / area)
        arcs = [*arcs[:at], *([_Arc(tau, area)] if len(pair) > 1 else []), *arcs[at + 2 :]]
    while len(arcs) < wanted:
        at = max(range(len(arcs)), key=lambda one: arcs[one].area)
        one = arcs[at]
        arcs = [*arcs[:at], _Arc(one.tau / 4, one.area / 2), _Arc(one.tau * 4, one.area / 2), *arcs[at + 1 :]]
    return arcs


def seeds(circuit: Circuit, spectrum: Spectrum, relaxation: Relaxation) -> Floats:
    """Where to begin, (k,), by each parameter's unit: arcs of the circuit get peaks in the order of their times."""
    f, z = spectrum.frequency_hz, spectrum.impedance_ohm
    members = _members(circuit)
    arcs = sorted(
        (one for one in members if len(one) > 1), key=lambda one: _is_diffusive(circuit, one)
    )  # a stable sort: diffusion is the slowest
    loose = any(_is_diffusive(circuit, one) for one in members) or _rises(spectrum)
    peaks = _as_many(_arcs(relaxation, spectrum, with_open=not loose), len(arcs), spectrum)
    floor = max(float(z.real.min()), 1e-3 * float(np.abs(z).max()))
    ohmic = max(relaxation.resistance_ohm, floor / 10) if relaxation.follows else floor
    tail = max(float(z.real[-1]) - ohmic - sum(one.area for one in peaks), 0.2 * float(np.ptp(z.real)), floor / 100)
    low = max(-float(z[-1].imag), 0.05 * abs(z[-1]))
    slow = 2 * math.pi * float(f[-1])
    begin = {
        "L": (max(relaxation.inductance_h, 1e-3 * abs(z[0]) / (2 * math.pi * float(f[0]))),),
        "C": (1 / (slow * low),),
        "CPE": (1 / (slow**_EXPONENT * low), _EXPONENT),
        "W": (low * math.sqrt(slow),),
        "Wo": (tail, 1 / slow),
        "Ws": (tail, 0.3 / slow),
        "G": (tail, 0.3 / slow),
    }
    alone = sum(circuit.elements[one[0]].name == "R" for one in members if len(one) == 1)
    starts: dict[int, tuple[float, ...]] = {}
    for member in members:
        if len(member) == 1:
            name = circuit.elements[member[0]].name
            starts[member[0]] = (ohmic / alone,) if name == "R" else begin[name]
    for arc, peak in zip(arcs, peaks, strict=True):
        starts |= _within(circuit, arc, peak, begin, 1e-3 * floor)
    return np.array([value for at in range(len(circuit.elements)) for value in starts[at]])


def _within(
    circuit: Circuit, arc: Sequence[int], peak: _Arc, begin: dict[str, tuple[float, ...]], least: float
) -> dict[int, tuple[float, ...]]:
    starts: dict[int, tuple[float, ...]] = {}
    area = max(peak.area, least)
    for nth, at in enumerate(one for one in arc if circuit.elements[one].name == "R"):
        starts[at] = (area / 3**nth,)
    for at in arc:
        match circuit.elements[at].name:
            case "R":
                pass
            case "C":
                starts[at] = (peak.tau / area,)
            case "CPE":
                starts[at] = (peak.tau**_EXPONENT / area, _EXPONENT)
            case "L":
                starts[at] = (peak.tau * area,)
            case other:
                starts[at] = begin[other]
    return starts


def _is_diffusive(circuit: Circuit, member: Sequence[int]) -> bool:
    return any(circuit.elements[one].name in _DIFFUSION for one in member)


def _members(circuit: Circuit) -> list[tuple[int, ...]]:
    """What stands in series at the top: single elements, or all elements of a parallel part."""
    parts: list[list[tuple[int, ...]]] = []
    for step in circuit.postfix:
        if isinstance(step, int):
            parts.append([(step,)])
            continue
        right, left = parts.pop(), parts.pop()
        both = [*left, *right]
        parts.append(both if step == "-" else [tuple(at for one in both for at in one)])
    return parts[0]
