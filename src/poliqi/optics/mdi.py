"""An untrusted hub (measurement-device-independent QKD): what two weak-pulse senders could share. A rate model.

Alice and Bob send phase-randomised weak pulses with decoys to a hub that interferes them, measures with four
threshold detectors (two polarisations behind each port of a splitter) and announces two clicks of opposite
polarisation. Its detectors need not be trusted. **Asymptotic**: endless block, decoys that leave nothing
unknown, all pulses but a vanishing share in the key basis Z; no session of POLIQI makes such a key. With a and b
the mean photon numbers that reach a detector, p the dark-count probability, x = sqrt(a b)/2, y = (1 - p) e^(-(a
+ b)/4), I_0 the modified Bessel function, e_d the misalignment:

    Q_C = 2 (1-p)^2 e^(-(a+b)/2) [1 - (1-p) e^(-a/2)] [1 - (1-p) e^(-b/2)]
    Q_E = 2 p (1-p)^2 e^(-(a+b)/2) [I_0(2x) - (1-p) e^(-(a+b)/2)]
    Q_Z = Q_C + Q_E,  E_Z Q_Z = e_d Q_C + (1 - e_d) Q_E
    Q_X = 2 y^2 [1 + 2 y^2 - 4 y I_0(x) + I_0(2x)],  E_X Q_X = Q_X/2 - 2 (1/2 - e_d) y^2 [I_0(2x) - 1]
    Y11 = (1-p)^2 [s t/2 + (2 s + 2 t - 3 s t) p + 4 (1-s)(1-t) p^2],  e11 = 1/2 - (1/2 - e_d)(1-p)^2 s t/(2 Y11)
    R = mu_a mu_b e^(-mu_a - mu_b) Y11 [1 - h(e11)] - Q_Z f h(E_Z)      bits a pulse

s and t being the transmissions of the two arms, detectors included.
Sources: H.-K. Lo, M. Curty, B. Qi, Phys. Rev. Lett. 108, 130503 (2012); X. Ma, M. Razavi, Phys. Rev. A 86, 062319
(2012); gains as in F. Xu, M. Curty, B. Qi, H.-K. Lo, New J. Phys. 15, 113007 (2013).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

from poliqi.base.errors import ConfigError
from poliqi.optics.fibre import transmittance, way_loss_db
from poliqi.optics.parameters import Detector, DetectorKind, Fibre
from poliqi.proof import h

__all__ = ["MdiLink", "MdiRate", "Relay", "mdi_at_length", "mdi_rate", "relay"]

_GOLDEN: Final = (math.sqrt(5.0) - 1.0) / 2.0
_LEAST: Final = 1e-3
_MOST: Final = 1.5
_STEPS: Final = 40
_ROUNDS: Final = 4


@dataclass(frozen=True, slots=True)
class MdiLink:
    """Two senders and a hub on the fibre between them, at `place` (0: at Alice, 1: at Bob).

    `intensities` are mu_a and mu_b, the mean photon numbers of the signals; None: those that give most key.
    `hub_loss_db` is that of the hub's optics, `misalignment` e_d, `correction` the f of error correction. Dead time
    and afterpulses of the hub's detectors are left out.
    """

    name: str
    fibre: Fibre
    detector: Detector
    clock_hz: float
    intensities: tuple[float, float] | None = None
    place: float = 0.5
    hub_loss_db: float = 0.0
    misalignment: float = 0.015
    correction: float = 1.16

    def __post_init__(self) -> None:
        if not 1 <= len(self.name) <= 64:
            raise ConfigError(f"name: {len(self.name)} characters; give 1 to 64")
        for name, value, low, high in (
            ("clock", self.clock_hz, 1.0, 1e12),
            ("place", self.place, 0.0, 1.0),
            ("hub_loss", self.hub_loss_db, 0.0, 100.0),
            ("misalignment", self.misalignment, 0.0, 0.5),
            ("correction", self.correction, 1.0, 10.0),
            *(("intensities", mu, 1e-6, 10.0) for mu in self.intensities or ()),
        ):
            if not low <= value <= high:
                raise ConfigError(f"mdi.{name}: {value:g} is outside {low:g} to {high:g}")

    @property
    def dark(self) -> float:
        """Dark-count probability of one of the hub's detectors in one slot."""
        if self.detector.kind is DetectorKind.GATED_APD:
            return self.detector.dark_per_gate
        window_s = 1.0 / self.clock_hz if self.detector.window_s is None else self.detector.window_s
        return -math.expm1(-self.detector.dark_rate_hz * window_s)


@dataclass(frozen=True, slots=True)
class Relay:
    """Gains and error rates of the hub: of pulses in Z and X, and of single photons from both sides."""

    gain_z: float
    error_z: float
    gain_x: float
    error_x: float
    yield_11: float
    error_11: float


@dataclass(frozen=True, slots=True)
class MdiRate:
    """What `link` gives at these mean photon numbers; `key_bits` a pulse, below 0 where there is no key."""

    link: MdiLink
    intensities: tuple[float, float]
    relay: Relay
    key_bits: float

    @property
    def rate_hz(self) -> float:
        """Secret bits a second."""
        return max(self.key_bits, 0.0) * self.link.clock_hz


def relay(arrived: tuple[float, float], arms: tuple[float, float], dark: float, misalignment: float) -> Relay:
    """The module's formulas: `arrived` are a and b, `arms` the transmissions s and t."""
    import numpy as np

    (a, b), (s, t), p, e_d = arrived, arms, dark, misalignment
    x, y = math.sqrt(a * b) / 2.0, (1.0 - p) * math.exp(-(a + b) / 4.0)
    bessel, bessel_2 = float(np.i0(x)), float(np.i0(2.0 * x))
    front = 2.0 * (1.0 - p) ** 2 * math.exp(-(a + b) / 2.0)
    right = front * (1.0 - (1.0 - p) * math.exp(-a / 2.0)) * (1.0 - (1.0 - p) * math.exp(-b / 2.0))
    wrong = front * p * (bessel_2 - (1.0 - p) * math.exp(-(a + b) / 2.0))
    gain_z = right + wrong
    gain_x = 2.0 * y * y * (1.0 + 2.0 * y * y - 4.0 * y * bessel + bessel_2)
    wrong_x = gain_x / 2.0 - 2.0 * (0.5 - e_d) * y * y * (bessel_2 - 1.0)
    both = (1.0 - p) ** 2 * s * t / 2.0
    one = both + (1.0 - p) ** 2 * ((2.0 * (s + t) - 3.0 * s * t) * p + 4.0 * (1.0 - s) * (1.0 - t) * p * p)
    return Relay(
        gain_z,
        (e_d * right + (1.0 - e_d) * wrong) / gain_z if gain_z > 0.0 else 0.5,
        gain_x,
        wrong_x / gain_x if gain_x > 0.0 else 0.5,
        one,
        0.5 - (0.5 - e_d) * both / one if one > 0.0 else 0.5,
    )


def mdi_rate(link: MdiLink) -> MdiRate:
    """The asymptotic rate, at the link's own mean photon numbers or at the best ones from 0.001 to 1.5."""
    if link.intensities is not None:
        return _at(link, link.intensities)
    best = [0.3, 0.3]
    for _ in range(1 if link.place == 0.5 else _ROUNDS):
        for end in (0, 1) if link.place != 0.5 else (0,):
            _climb(link, best, end)
    return _at(link, (best[0], best[1]))


def _climb(link: MdiLink, best: list[float], end: int) -> None:
    """Golden section over one end's mean photon number, or over both where the hub stands in the middle."""

    def merit(mu: float) -> float:
        trial = [mu, mu] if link.place == 0.5 else [mu if at == end else own for at, own in enumerate(best)]
        return _at(link, (trial[0], trial[1])).key_bits

    low, high = _LEAST, _MOST
    for _ in range(_STEPS):
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        low, high = (left, high) if merit(left) < merit(right) else (low, right)
    if link.place == 0.5:
        best[:] = [(low + high) / 2.0] * 2
    else:
        best[end] = (low + high) / 2.0


def mdi_at_length(link: MdiLink, length_m: float) -> MdiLink:
    """The same hub with another length of fibre in all; its place stays in proportion."""
    return replace(link, fibre=replace(link.fibre, length_m=length_m))


def _at(link: MdiLink, intensities: tuple[float, float]) -> MdiRate:
    loss_db = way_loss_db(link.fibre)
    s, t = (
        transmittance(loss_db * share + link.hub_loss_db) * link.detector.efficiency
        for share in (link.place, 1.0 - link.place)
    )
    mu_a, mu_b = intensities
    seen = relay((s * mu_a, t * mu_b), (s, t), link.dark, link.misalignment)
    single = mu_a * mu_b * math.exp(-mu_a - mu_b) * seen.yield_11
    key = single * (1.0 - h(min(seen.error_11, 0.5))) - seen.gain_z * link.correction * h(min(seen.error_z, 0.5))
    return MdiRate(link, intensities, seen, key)
