"""Frames that correct others: a flat field and dark frames, with their own sigma; and dead time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.xray.frames import open_frames

__all__ = ["Reference", "checked_float_counts", "live_counts", "load_dark", "load_flat"]

Floats = NDArray[np.float64]

_MOST_DEAD: Final = 0.5
"""Share of the exposure for which a pixel may have been dead: beyond, the correction is more than a factor of 2."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A value a pixel (rows, columns), its variance, and where it is of no use."""

    values: Floats
    variance: Floats
    is_bad: NDArray[np.bool_]


def load_flat(path: Path, shape: tuple[int, int]) -> Reference:
    """A flat field: the relative response of every pixel, by which counts are divided; 0 or less is masked.

    Its own noise is not propagated. Raises ConfigError, DataRefused.
    """
    with open_frames(path) as source:
        _check_shape("flat field", path, source.shape, shape)
        if len(source) != 1:
            raise DataRefused(f"flat field {path}: {len(source)} frames; average them into one first")
        values = source.frame(0).astype(np.float64)
    bad = ~(np.isfinite(values) & (values > 0))
    if bool(bad.all()):
        raise DataRefused(f"flat field {path}: no value above 0; give the response of each pixel, about 1")
    values[bad] = 1.0
    return Reference(values, np.zeros(shape), bad)


def load_dark(path: Path, shape: tuple[int, int], scale: float) -> Reference:
    """The mean of dark frames of counts times `scale` (exposure of the frames over that of the dark).

    The variance is that of the mean of Poisson counts. Raises ConfigError, DataRefused.
    """
    if not (np.isfinite(scale) and 0 < scale < 1e6):
        raise ConfigError(f"dark {path}: its exposure makes a factor of {scale:g}; give both exposures in seconds")
    total, bad = np.zeros(shape), np.zeros(shape, np.bool_)
    with open_frames(path) as source:
        _check_shape("dark", path, source.shape, shape)
        for index in range(len(source)):
            frame = source.frame(index)
            bad |= ~np.isfinite(frame) | (frame < 0)
            if source.overflow is not None:
                bad |= frame >= source.overflow
            total += frame
        count = len(source)
    total[bad] = 0.0
    return Reference(total / count * scale, total / count**2 * scale**2, bad)


def live_counts(counts: Floats, dead_time_s: float, exposure_s: float) -> tuple[Floats, Floats]:
    """Counts that would have been without dead time, and their variance, for a detector that is not paralysable.

    n = m / (1 - m tau / t); m has variance m (1 - m tau / t)^2, so that n has n^2 / m (J. W. Mueller, Nuclear
    Instruments and Methods 112, 47 (1973), for exposures that are long beside tau). Raises DataRefused where a
    pixel was dead for more than half of the exposure.
    """
    dead = counts * (dead_time_s / exposure_s)
    worst = float(dead.max(initial=0.0))
    if worst > _MOST_DEAD:
        raise DataRefused(
            f"dead time: a pixel with {float(counts.max()):.0f} counts in {exposure_s:g} s was dead for"
            f" {100 * worst:.0f} % of it; up to {100 * _MOST_DEAD:.0f} % is corrected: look at the units (seconds)"
        )
    live = 1.0 - dead
    return counts / live, counts / live**2


def _check_shape(what: str, path: Path, found: tuple[int, int], shape: tuple[int, int]) -> None:
    if found != shape:
        raise DataRefused(
            f"{what} {path} is {found[0]} x {found[1]} pixels, the frames are {shape[0]} x {shape[1]};"
            " give that of this detector"
        )


def checked_float_counts(values: NDArray[Any], name: str) -> NDArray[np.uint32]:
    """Floats that hold whole counts, as counts; what is not a number becomes the largest value, which is no count.

    Raises DataRefused where they were treated already: their sigma is not known then.
    """
    is_number = np.isfinite(values)
    counts = np.where(is_number, values, 0)
    if bool(np.any(counts < 0)):
        raise DataRefused(f"{name}: negative counts, the least is {float(counts.min()):g}; give frames as measured")
    if bool(np.any(counts != np.rint(counts))) or float(counts.max(initial=0.0)) >= 2**32 - 1:
        raise DataRefused(
            f"{name}: values that are no whole counts; they were treated before and their sigma is not known:"
            " give frames as measured"
        )
    whole = counts.astype(np.uint32)
    whole[~is_number] = np.iinfo(np.uint32).max
    return whole
