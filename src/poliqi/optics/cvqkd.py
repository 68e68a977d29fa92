"""Continuous variables: what a link with Gaussian modulation and heterodyne detection could give. A rate model.

Coherent states whose two quadratures are drawn from a normal law of variance V_A, heterodyne detection at Bob,
reverse reconciliation, collective attacks, and an endless block: **asymptotic**, neither finite-size nor
composable, and no session of POLIQI makes such a key. Bob's receiver is *trusted*: Eve has no part in its
efficiency eta and its electronic noise v_el. All noises are in units of the vacuum's, xi is the excess noise at
the channel's input:

    chi_line = 1/T - 1 + xi,  chi_het = (2 - eta + 2 v_el)/eta,  chi_tot = chi_line + chi_het/T,  V = V_A + 1
    I_AB = log2((V + chi_tot)/(1 + chi_tot))
    chi_BE = G(l1) + G(l2) - G(l3) - G(l4)          G(l) = (l+1)/2 log2((l+1)/2) - (l-1)/2 log2((l-1)/2)
    l1,2^2 = (A +- sqrt(A^2 - 4 B))/2     A = V^2 (1 - 2 T) + 2 T + T^2 (V + chi_line)^2
                                          B = T^2 (V chi_line + 1)^2
    l3,4^2 = (C +- sqrt(C^2 - 4 D))/2     C = [A chi_het^2 + B + 1 + 2 chi_het (V sqrt B + T (V + chi_line))
                                               + 2 T (V^2 - 1)] / (T (V + chi_tot))^2
                                          D = ((V + sqrt B chi_het) / (T (V + chi_tot)))^2
    K = beta I_AB - chi_BE   bits a symbol; the fifth eigenvalue is 1 and adds nothing

Source: S. Fossier, E. Diamanti, T. Debuisschert, R. Tualle-Brouri, P. Grangier, J. Phys. B 42, 114014 (2009),
after J. Lodewyck et al., Phys. Rev. A 76, 042305 (2007).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

from poliqi.base.errors import ConfigError
from poliqi.optics.fibre import transmittance, way_loss_db
from poliqi.optics.parameters import Fibre

__all__ = ["CvLink", "CvRate", "cv_at_length", "cv_rate", "symplectic_eigenvalues"]

_GOLDEN: Final = (math.sqrt(5.0) - 1.0) / 2.0
_LEAST_MODULATION: Final = 1e-3
_MOST_MODULATION: Final = 1e3
_STEPS: Final = 60


@dataclass(frozen=True, slots=True)
class CvLink:
    """A link of continuous variables. `modulation` is V_A; None: the one that gives most key.

    `symbol_hz` symbols a second; `excess_noise` xi, at the input; `efficiency` eta and `electronic_noise` v_el of
    Bob's receiver; `reconciliation` is beta, the share of the mutual information that error correction keeps.
    """

    name: str
    fibre: Fibre
    symbol_hz: float
    excess_noise: float
    efficiency: float
    electronic_noise: float
    reconciliation: float = 0.95
    modulation: float | None = None

    def __post_init__(self) -> None:
        if not 1 <= len(self.name) <= 64:
            raise ConfigError(f"name: {len(self.name)} characters; give 1 to 64")
        for name, value, low, high in (
            ("symbol_rate", self.symbol_hz, 1.0, 1e12),
            ("excess_noise", self.excess_noise, 0.0, 10.0),
            ("efficiency", self.efficiency, 1e-6, 1.0),
            ("electronic_noise", self.electronic_noise, 0.0, 10.0),
            ("reconciliation", self.reconciliation, 0.0, 1.0),
            ("modulation", self.modulation or 1.0, 1e-6, 1e6),
        ):
            if not low <= value <= high:
                raise ConfigError(f"cv_qkd.{name}: {value:g} is outside {low:g} to {high:g}")


@dataclass(frozen=True, slots=True)
class CvRate:
    """What `link` gives at V_A = `modulation`: bits a symbol and a second (0 where there is no key)."""

    link: CvLink
    modulation: float
    transmittance: float
    mutual_bits: float
    holevo_bits: float
    key_bits: float

    @property
    def rate_hz(self) -> float:
        """Secret bits a second."""
        return max(self.key_bits, 0.0) * self.link.symbol_hz


def cv_rate(link: CvLink) -> CvRate:
    """The asymptotic rate, at the link's own modulation or at the best one between 0.001 and 1000."""
    if link.modulation is not None:
        return _at(link, link.modulation)
    low, high = math.log(_LEAST_MODULATION), math.log(_MOST_MODULATION)
    for _ in range(_STEPS):  # golden section: beta I - chi has one hump in ln V_A
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        if _at(link, math.exp(left)).key_bits < _at(link, math.exp(right)).key_bits:
            low = left
        else:
            high = right
    return _at(link, math.exp((low + high) / 2.0))


def cv_at_length(link: CvLink, length_m: float) -> CvLink:
    """The same link over another length of its fibre."""
    return replace(link, fibre=replace(link.fibre, length_m=length_m))


def symplectic_eigenvalues(
    variance: float, transmission: float, excess_noise: float, efficiency: float, electronic_noise: float
) -> tuple[float, float, float, float]:
    """l1 to l4 of the module's formulas, for V = `variance` and T = `transmission`."""
    v, t = variance, transmission
    line = 1.0 / t - 1.0 + excess_noise
    het = (2.0 - efficiency + 2.0 * electronic_noise) / efficiency
    total = line + het / t
    a = v * v * (1.0 - 2.0 * t) + 2.0 * t + (t * (v + line)) ** 2
    root_b = t * (v * line + 1.0)
    scale = t * (v + total)
    c = a * het * het + root_b**2 + 1.0 + 2.0 * het * (v * root_b + t * (v + line)) + 2.0 * t * (v * v - 1.0)
    return *_pair(a, root_b), *_pair(c / scale**2, (v + root_b * het) / scale)


def _pair(total: float, product: float) -> tuple[float, float]:
    """Both l with l^2 the roots of x^2 - total x + product^2; the smaller from the product, which loses no
    digits.
    """
    larger = math.sqrt((total + math.sqrt(max(total * total - 4.0 * product * product, 0.0))) / 2.0)
    return larger, product / larger


def _at(link: CvLink, modulation: float) -> CvRate:
    loss_db = way_loss_db(link.fibre)
    t, v = transmittance(loss_db), modulation + 1.0
    line = 1.0 / t - 1.0 + link.excess_noise
    total = line + (2.0 - link.efficiency + 2.0 * link.electronic_noise) / link.efficiency / t
    mutual = math.log2((v + total) / (1.0 + total))
    first, second, third, fourth = symplectic_eigenvalues(
        v, t, link.excess_noise, link.efficiency, link.electronic_noise
    )
    holevo = max(_entropy(first) + _entropy(second) - _entropy(third) - _entropy(fourth), 0.0)
    return CvRate(link, modulation, t, mutual, holevo, link.reconciliation * mutual - holevo)


def _entropy(eigenvalue: float) -> float:
    n = (eigenvalue - 1.0) / 2.0
    return (n + 1.0) * math.log2(n + 1.0) - n * math.log2(n) if n > 0.0 else 0.0
