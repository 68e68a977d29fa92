"""Linear Kramers-Kronig test: can a stationary, linear, causal system have this spectrum?

A series of R, L, C and M resistors with parallel capacitors of fixed time constants obeys Kramers and Kronig
whatever its values; what it cannot follow does not (Boukamp, J. Electrochem. Soc. 142, 1885, 1995; residuals over
|Z| as in Schoenleber, Klotz and Ivers-Tiffee, Electrochim. Acta 131, 20, 2014). Their M ends where mu falls below a
number by convention; here it is that of the least Bayesian information criterion (Schwarz, Ann. Stat. 6, 461,
1978), which needs none.

A slow drift passes this test nearly unseen, because a smooth change with frequency is followed. It is therefore
fitted: Z = Z_KK (1 + d t), to first order in d, with t from 0 to 1 the time at each frequency if every point takes
the same number of periods, in the order in which they were measured. One more column of the linear problem is t Z,
its coefficient is d.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.eis.elements import j_omega
from poliqi.lab.echem.spectrum import Spectrum

__all__ = ["DOUBTFUL", "LIMIT", "KramersKronig", "Validity", "kramers_kronig", "rms_of"]

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]

DOUBTFUL: Final = 0.01
LIMIT: Final = 0.02
"""Root mean square of |Z - Z_KK| / |Z| above which a spectrum is doubtful, and invalid; also of |d|."""
_TURNED: Final = 3.0
_DRIFT_SIGMAS: Final = 5.0
_TOLD_SIGMAS: Final = 3.0
_LEAST_POINTS: Final = 6
_MOST_ELEMENTS: Final = 60
_SPARSE_ELEMENTS: Final = 30
_OTHERS: Final = 3
"""R, L and C: with M elements no more columns than frequencies, so that half of all numbers are left."""


class Validity(StrEnum):
    """What may be said of a spectrum."""

    VALID = "valid"
    DOUBTFUL = "doubtful"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class KramersKronig:
    """`residual` (n,) complex, (Z - Z_KK) / |Z|. `drift` is d of Z_KK (1 + d t), with its standard deviation."""

    residual: Complexes
    elements: int
    """M, the number of time constants."""
    drift: float
    drift_sigma: float
    validity: Validity
    reasons: tuple[str, ...]
    """Each a sentence: why the spectrum is not valid, or what is to be watched."""

    @property
    def rms(self) -> float:
        """Root mean square of |Z - Z_KK| / |Z|."""
        return rms_of(self.residual)


def rms_of(residual: Complexes) -> float:
    """Root mean square of the magnitude."""
    return float(np.sqrt(np.mean(np.abs(residual) ** 2)))


def kramers_kronig(spectrum: Spectrum, *, limit: float = LIMIT) -> KramersKronig:
    """The test of a spectrum; above `limit` it is invalid, above half of it doubtful.

    Raises DataRefused for fewer than 6 points, or where Im Z has the sign turned: its conjugate would pass far
    better.
    """
    f, z = spectrum.frequency_hz, spectrum.impedance_ohm
    if f.size < _LEAST_POINTS:
        raise DataRefused(f"{spectrum.title!r}: {f.size} frequencies; Kramers-Kronig needs {_LEAST_POINTS} or more")
    if bool(np.any(z == 0)):
        at = int(np.argmax(z == 0))
        raise DataRefused(
            f"{spectrum.title!r}: point {at + 1} at {f[at]:g} Hz has no impedance (0 ohm); leave it out"
        )
    weight = 1 / np.abs(z)
    clock = _clock(f[::-1])[::-1] if spectrum.is_rising else _clock(f)
    elements = _elements(f, z, weight, clock)
    residual, drift, sigma = _fitted(f, z, weight, clock, elements)
    turned, _, _ = _fitted(f, z.conj(), weight, clock, _elements(f, z.conj(), weight, clock))
    rms, other = rms_of(residual), rms_of(turned)
    if rms > limit and other * _TURNED < rms:
        raise DataRefused(
            f"{spectrum.title!r}: Kramers-Kronig leaves {100 * rms:.2g} % of |Z|, and {100 * other:.2g} % with Im "
            "Z turned: the file holds -Im Z where Im Z is said, or the reverse; say which column it is"
        )
    validity, reasons = _judged(spectrum, residual, drift, sigma, limit)
    return KramersKronig(residual, elements, drift, sigma, validity, reasons)


def _judged(
    spectrum: Spectrum, residual: Complexes, drift: float, sigma: float, limit: float
) -> tuple[Validity, tuple[str, ...]]:
    rms, share = rms_of(residual), np.abs(residual)
    where = spectrum.frequency_hz[share > 2 * max(rms, limit / 2)]
    at = f", the most at {spectrum.frequency_hz[int(np.argmax(share))]:.3g} Hz" if where.size else ""
    validity, reasons = Validity.VALID, list[str]()
    if rms > limit / 2:
        validity = Validity.INVALID if rms > limit else Validity.DOUBTFUL
        reasons.append(
            f"Kramers-Kronig leaves {100 * rms:.2g} % of |Z|{at}; a stationary linear cell leaves noise, below "
            f"{50 * limit:.2g} %"
        )
    if abs(drift) > _TOLD_SIGMAS * sigma and abs(drift) > limit / 4:
        so = f"below {100 * limit:g} %"
        if abs(drift) > limit:
            is_clear = abs(drift) > _DRIFT_SIGMAS * sigma
            validity = Validity.INVALID if is_clear or validity is Validity.INVALID else Validity.DOUBTFUL
            so = "" if is_clear else f"above {100 * limit:g} %, by less than {_DRIFT_SIGMAS:g} sigma: "
            so += "let it rest, or sweep faster"
        reasons.append(
            f"the cell drifted: |Z| changed by {100 * drift:+.1f} +- {100 * sigma:.1f} % during the sweep, if it "
            f"changed evenly; {so}"
        )
    return validity, tuple(reasons)


def _columns(f: Floats, elements: int) -> Complexes:
    s = j_omega(f)[:, None]
    log_tau = np.linspace(-math.log(2 * math.pi * f[0]), -math.log(2 * math.pi * f[-1]), elements)
    return np.concatenate([np.ones_like(s), s, 1 / s, 1 / (1 + s * np.exp(log_tau))], axis=1)


def _stacked(columns: Complexes, weight: Floats) -> Floats:
    """Real parts over imaginary parts, each divided by |Z|."""
    shared = columns * weight[:, None]
    return np.concatenate([shared.real, shared.imag])


def _clock(f: Floats) -> Floats:
    """The time at each frequency, from 0 to 1, if they come in this order and take as many periods each."""
    spent = np.cumsum(1 / f)
    return (spent - spent[0]) / (spent[-1] - spent[0])


def _elements(f: Floats, z: Complexes, weight: Floats, clock: Floats) -> int:
    """M of the least Bayesian information criterion, whether or not there is a drift."""
    n = 2 * f.size
    drifting = z * clock
    most = min(_MOST_ELEMENTS, f.size - _OTHERS, max(_SPARSE_ELEMENTS, f.size // 2))
    steps = range(2, most + 1)
    best, found = math.inf, 2
    for elements in steps:
        table = _stacked(np.concatenate([_columns(f, elements), np.stack([drifting, z], axis=1)], axis=1), weight)
        triangle: Floats = np.linalg.qr(table / np.linalg.norm(table, axis=0)).R
        left = float(triangle[-1, -1]) ** 2
        criterion = n * math.log(max(left, 1e-24)) + elements * math.log(n)
        if criterion < best:
            best, found = criterion, elements
    return found


def _fitted(
    f: Floats, z: Complexes, weight: Floats, clock: Floats, elements: int
) -> tuple[Complexes, float, float]:
    """Residual without drift, drift, its standard deviation."""
    columns = _columns(f, elements)
    y = _stacked(z[:, None], weight)[:, 0]
    plain = _stacked(columns, weight)
    scaled = plain / np.linalg.norm(plain, axis=0)
    basis, singular, _ = np.linalg.svd(scaled, full_matrices=False)
    basis = basis[:, singular > 1e-12 * singular[0]]
    left = y - basis @ (basis.T @ y)
    drifting = _stacked((z * clock)[:, None], weight)[:, 0]
    across = drifting - basis @ (basis.T @ drifting)
    length = float(across @ across)
    drift = float(across @ left) / length if length > 0 else 0.0
    after = left - drift * across
    free = max(y.size - basis.shape[1] - 1, 1)
    sigma = math.sqrt(float(after @ after) / free / length) if length > 0 else math.inf
    return left[: f.size] + 1j * left[f.size :], drift, sigma
