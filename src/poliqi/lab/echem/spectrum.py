"""One impedance spectrum: complex impedance against frequency."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused

__all__ = ["Spectrum"]


@dataclass(frozen=True, slots=True)
class Spectrum:
    """`frequency_hz` (n,) falling, positive, each once; `impedance_ohm` (n,) complex128, capacitive: Im Z < 0.

    `area_m2`, where told, is what resistances are scaled by. `simulated` is true for what was calculated.
    """

    frequency_hz: NDArray[np.float64]
    impedance_ohm: NDArray[np.complex128]
    area_m2: float | None = None
    title: str = ""
    source_format: str = ""
    notes: tuple[str, ...] = ()
    simulated: bool = False
    is_rising: bool = False
    """Whether it was measured from the lowest frequency up."""

    def __post_init__(self) -> None:
        """Raises DataRefused for frequencies that do not fall, are not positive, or values that are no numbers."""
        f, z = self.frequency_hz, self.impedance_ohm
        if f.ndim != 1 or z.shape != f.shape or not f.size:
            raise DataRefused(
                f"{self.title!r}: {f.shape} frequencies and {z.shape} impedances; give one of each a row"
            )
        bad = ~(np.isfinite(f) & (f > 0) & np.isfinite(z.real) & np.isfinite(z.imag))
        if bool(bad.any()):
            at = int(np.argmax(bad))
            raise DataRefused(
                f"{self.title!r}: point {at + 1} is {z[at]} ohm at {f[at]:g} Hz; frequencies are positive numbers"
            )
        if f.size > 1 and not bool(np.all(f[1:] < f[:-1])):
            at = int(np.argmin(f[1:] < f[:-1])) + 1
            raise DataRefused(
                f"{self.title!r}: frequency {f[at]:g} Hz of point {at + 1} follows {f[at - 1]:g} Hz; sort them "
                "falling, each once"
            )
