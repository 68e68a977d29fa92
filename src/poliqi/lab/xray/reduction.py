"""Frames to curves: I and sigma against q or 2theta.

With everything but the counts being static, the curve is I = (S - D) / N for each bin: S the sum of counts, D that
of the dark, N that of solid angle, polarisation and flat field over the pixels of the bin. The variance of S is S
itself (Poisson) without splitting, and the sum of c^2 v where a pixel gives the share c to a bin. Pixels that
overflow in a frame are taken out of S, D and N alike.

A bin without a count has S = 0 and would have sigma 0: its variance is taken as that of one count. pyFAI's model
"poisson" takes at least one for each PIXEL instead, which is too much where most pixels count nothing; the two
agree where every pixel has a count, and pyFAI given the counts as variance agrees throughout.
"""

from __future__ import annotations

import hashlib
import threading
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.xray.binning import BinMap, Splitting, bin_map
from poliqi.lab.xray.curve import Axis, Curve, IntensityUnit, Step
from poliqi.lab.xray.frames import Frame
from poliqi.lab.xray.geometry import Geometry
from poliqi.lab.xray.references import Reference, checked_float_counts, live_counts, load_dark, load_flat

__all__ = ["Marks", "Plan", "Recipe", "Settings", "Sums", "packed_mask", "plan_of"]

Floats = NDArray[np.float64]
_LOWEST_MARK: Final = -2
_LOCK: Final = threading.Lock()


@dataclass(frozen=True, slots=True)
class Settings:
    """What to make. `polarisation` is pyFAI's factor, -1 to 1 (0 for an unpolarised source, about .99 for a
    synchrotron); None corrects nothing. `x_range` in units of the axis; None takes all.
    """

    axis: Axis = Axis.Q_PER_NM
    bins: int = 1000
    splitting: Splitting = Splitting.NO
    polarisation: float | None = None
    x_range: tuple[float, float] | None = None
    dead_time_s: float | None = None

    def __post_init__(self) -> None:
        """Raises ConfigError for what cannot be made."""
        if self.polarisation is not None and not -1.0 <= self.polarisation <= 1.0:
            raise ConfigError(f"polarisation: {self.polarisation} is outside of -1 to 1; 0.99 at a synchrotron")
        if self.dead_time_s is not None and not 0.0 <= self.dead_time_s < 1.0:
            raise ConfigError(f"dead time: {self.dead_time_s} s; 0 up to 1 s, usually some 1e-7")
        if self.x_range is not None and not self.x_range[0] < self.x_range[1]:
            raise ConfigError(f"range: {self.x_range[0]} to {self.x_range[1]}; give the smaller first")


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that a process needs to make a Plan; small enough to travel. `mask` by `packed_mask`."""

    geometry: Geometry
    shape: tuple[int, int]
    mask: bytes
    settings: Settings = Settings()
    exposure_s: float | None = None
    flat: Path | None = None
    dark: Path | None = None
    dark_scale: float = 1.0

    def key(self) -> str:
        """SHA-256 of all that decides a curve but the frames: settings, and size and time of flat and dark."""
        named = [p.stat() for p in (self.flat, self.dark) if p is not None]
        return hashlib.sha256(repr((self, [(s.st_size, s.st_mtime_ns) for s in named])).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Marks:
    """What values of a source are no counts: `overflow` and more; -1 and -2 where `negative`."""

    overflow: int | None
    negative: bool = False


@dataclass(frozen=True, slots=True)
class Sums:
    """Of one frame or of many. `dark_sigma` adds up linearly: all frames share the same dark.

    `variance` is that of `signal`. `overflowed` counts pixels that were left out of a frame, over all frames.
    """

    frames: int
    signal: Floats
    variance: Floats
    norm: Floats
    dark: Floats
    dark_sigma: Floats
    overflowed: int

    @classmethod
    def nothing(cls, bins: int) -> Sums:
        """Of no frame."""
        zero = np.zeros(bins)
        return cls(0, zero, zero, zero, zero, zero, 0)

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            self.frames + other.frames,
            self.signal + other.signal,
            self.variance + other.variance,
            self.norm + other.norm,
            self.dark + other.dark,
            self.dark_sigma + other.dark_sigma,
            self.overflowed + other.overflowed,
        )

    def intensity(self) -> tuple[Floats, Floats]:
        """Counts a pixel and frame, and their sigma; not a number where no pixel was left."""
        with np.errstate(divide="ignore", invalid="ignore"):
            norm = np.where(self.norm > 1e-9 * self.frames, self.norm, np.nan)
            sigma = np.sqrt(np.maximum(self.variance, 1.0) + self.dark_sigma**2)
            return (self.signal - self.dark) / norm, sigma / norm


class Plan:
    """What is the same for every frame: bins, normalisation, dark. Made once, in about a second."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe: Final = recipe
        shape, settings = recipe.shape, recipe.settings
        if settings.axis is not Axis.TWO_THETA_DEG and recipe.geometry.wavelength_m is None:
            raise ConfigError(
                "q needs a wavelength, which the geometry does not tell; give --wavelength or --energy"
            )
        if settings.dead_time_s and not recipe.exposure_s:
            raise ConfigError("dead time: the count time of a frame is not known; give --exposure SECONDS")
        integrator = recipe.geometry.integrator()
        flat = None if recipe.flat is None else load_flat(recipe.flat, shape)
        dark = None if recipe.dark is None else load_dark(recipe.dark, shape, recipe.dark_scale)
        mask = _unpacked(recipe)
        for reference in (flat, dark):
            if reference is not None:
                mask |= reference.is_bad
        self.map: Final[BinMap] = bin_map(
            integrator, shape, settings.bins, settings.axis, settings.splitting, mask, settings.x_range
        )
        self.masked: Final = int(mask.sum())
        self._norms: Final = _norms(integrator, recipe, flat)
        self._dark: Final = None if dark is None else dark.values.ravel()
        self._dark_variance: Final = None if dark is None else dark.variance.ravel()
        self._norm: Final = self.map.project(self._norms)
        zero = np.zeros(settings.bins)
        self._dark_sum: Final = zero if self._dark is None else self.map.project(self._dark)
        self._dark_sigma: Final = (
            zero if self._dark_variance is None else np.sqrt(self.map.project(self._dark_variance, squared=True))
        )
        self._usable: Final = int((self.map.spans[:, 1] - self.map.spans[:, 0]).sum())

    def reduce(self, frame: Frame, marks: Marks, name: str = "frame") -> Sums:
        """The sums of one frame. Raises DataRefused: another shape, negative counts, nothing but overflow."""
        if frame.shape != self.recipe.shape:
            raise DataRefused(
                f"{name}: {frame.shape[0]} x {frame.shape[1]} pixels, but the geometry and mask are for"
                f" {self.recipe.shape[0]} x {self.recipe.shape[1]}; reduce it with its own"
            )
        counts, limit = _counts(frame, marks, name)
        if self.recipe.settings.dead_time_s:
            signal, variance, lost = self._live(counts, limit, self.recipe.settings.dead_time_s)
        else:
            counted = self.map.add_counts(counts, limit)
            signal, variance, lost = counted.signal, counted.variance, counted.lost
        if lost.size == 0:
            return Sums(1, signal, variance, self._norm, self._dark_sum, self._dark_sigma, 0)
        _check_lost(frame.reshape(-1)[lost], marks, name)
        if lost.size == self._usable:
            raise DataRefused(f"{name}: every pixel that is not masked overflows; was the beam on the detector?")
        norm = self._norm - self.map.project_some(lost, self._norms[lost])
        dark, dark_sigma = self._dark_sum, self._dark_sigma
        if self._dark is not None and self._dark_variance is not None:
            dark = dark - self.map.project_some(lost, self._dark[lost])
            less = self.map.project_some(lost, self._dark_variance[lost], squared=True)
            dark_sigma = np.sqrt(np.maximum(dark_sigma**2 - less, 0.0))
        return Sums(1, signal, variance, norm, dark, dark_sigma, lost.size)

    def curve(self, sums: Sums, title: str, *, per_second: bool = False, simulated: bool = False) -> Curve:
        """The curve of the sums, without the bins in which no pixel was left; steps in the order they were made."""
        intensity, sigma = sums.intensity()
        kept = np.isfinite(intensity)
        if not bool(kept.any()):
            raise DataRefused(f"{title}: no bin has a pixel that counts; look at mask and range")
        unit, per = IntensityUnit.COUNTS, 1.0
        steps = self.steps(sums)
        if per_second:
            if not self.recipe.exposure_s:
                raise ConfigError(
                    "counts a second: the count time of a frame is not known; give --exposure SECONDS"
                )
            unit, per = IntensityUnit.PER_SECOND, self.recipe.exposure_s
            steps = (*steps, Step("count time", {"exposure_s": per}))
        return Curve(
            axis=self.recipe.settings.axis,
            x=self.map.x[kept],
            intensity=intensity[kept] / per,
            sigma=sigma[kept] / per,
            intensity_unit=unit,
            steps=steps,
            title=title,
            simulated=simulated,
        )

    def steps(self, sums: Sums) -> tuple[Step, ...]:
        """What was done, for the record."""
        recipe, settings = self.recipe, self.recipe.settings
        steps: list[Step] = []
        if settings.dead_time_s:
            steps.append(Step("dead time", {"dead_time_s": settings.dead_time_s, "exposure_s": recipe.exposure_s}))
        if recipe.dark is not None:
            steps.append(
                Step("dark", {"file": recipe.dark.name, "scale": recipe.dark_scale, "sigma": "of its counts"})
            )
        if recipe.flat is not None:
            steps.append(Step("flat field", {"file": recipe.flat.name, "sigma": "not propagated"}))
        steps.append(Step("solid angle", {"exponent": 3}))
        if settings.polarisation is not None:
            steps.append(Step("polarisation", {"factor": settings.polarisation}))
        place = recipe.geometry
        steps.append(
            Step(
                "azimuthal integration",
                {
                    "bins": settings.bins,
                    "splitting": settings.splitting.value,
                    "frames": sums.frames,
                    "exposure_s": recipe.exposure_s,
                    "masked_pixels": self.masked,
                    "overflow_pixels_left_out": sums.overflowed,
                    "sigma": "Poisson",
                    "detector": place.detector,
                    "distance_m": place.distance_m,
                    "poni1_m": place.poni1_m,
                    "poni2_m": place.poni2_m,
                    "rot1_rad": place.rot1_rad,
                    "rot2_rad": place.rot2_rad,
                    "rot3_rad": place.rot3_rad,
                    "wavelength_m": place.wavelength_m,
                },
            )
        )
        return tuple(steps)

    def _live(
        self, counts: NDArray[Any], limit: int, dead_time_s: float
    ) -> tuple[Floats, Floats, NDArray[np.int64]]:
        """With the correction for dead time, which is not linear: every pixel by itself, in numpy."""
        has_bin = self.map.starts < self.map.bins
        lost = np.flatnonzero(has_bin & (counts >= limit))
        taken = np.where(has_bin & (counts < limit), counts, 0).astype(np.float64)
        assert self.recipe.exposure_s is not None  # looked at when the plan was made
        corrected, variance = live_counts(taken, dead_time_s, self.recipe.exposure_s)
        return self.map.project(corrected), self.map.project(variance, squared=True), lost


def packed_mask(mask: NDArray[np.bool_]) -> bytes:
    """A mask in few bytes."""
    return zlib.compress(np.packbits(mask).tobytes(), 1)


def plan_of(recipe: Recipe) -> Plan:
    """The plan of a recipe; the last one is kept, so that the frames of a stack, and all threads, share it."""
    with _LOCK:
        return _kept_plan(recipe, recipe.key())


@lru_cache(maxsize=1)
def _kept_plan(recipe: Recipe, _key: str) -> Plan:
    return Plan(recipe)


def _unpacked(recipe: Recipe) -> NDArray[np.bool_]:
    rows, columns = recipe.shape
    bits = np.frombuffer(zlib.decompress(recipe.mask), np.uint8)
    return np.unpackbits(bits, count=rows * columns).astype(np.bool_).reshape(rows, columns)


def _norms(integrator: Any, recipe: Recipe, flat: Reference | None) -> NDArray[np.float32]:
    """By what a count of each pixel is divided (pixels,)."""
    norms: NDArray[Any] = np.array(integrator.solidAngleArray(recipe.shape), np.float32)
    if recipe.settings.polarisation is not None:
        norms *= np.asarray(integrator.polarization(recipe.shape, factor=recipe.settings.polarisation), np.float32)
    if flat is not None:
        norms *= flat.values.astype(np.float32)
    return norms.ravel()


def _counts(frame: Frame, marks: Marks, name: str) -> tuple[NDArray[Any], int]:
    """The frame as unsigned counts (pixels,), and the smallest value that is none."""
    flat = np.ascontiguousarray(frame).reshape(-1)
    if flat.dtype.kind == "f":
        return checked_float_counts(flat, name), int(np.iinfo(np.uint32).max)
    if flat.dtype.str[1:] not in ("u2", "u4", "i4"):
        raise ValueError(f"frame of {flat.dtype}: uint16, uint32, int32 or float is summed")
    top = int(np.iinfo(flat.dtype).max)
    limit = top if marks.overflow is None else min(top, marks.overflow)
    return (flat.view(np.uint32) if flat.dtype == np.int32 else flat), limit  # negatives become huge: no counts


def _check_lost(values: NDArray[Any], marks: Marks, name: str) -> None:
    """Negative numbers are no overflow: either marks of a pixel without data, or the file is no frame of counts."""
    if values.dtype.kind != "i":
        return
    least = int(values.min(initial=0))
    if least < (_LOWEST_MARK if marks.negative else 0):
        raise DataRefused(f"{name}: negative counts, the least is {least}; give frames as measured, or mask them")
