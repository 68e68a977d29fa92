"""Frames of one calibration, summed: counts, and which pixels hold any."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.xray.calibration.panel import LARGEST_FRAME, Panel, panel_of
from poliqi.lab.xray.frames import FrameMetadata, open_frames
from poliqi.lab.xray.masks import load_mask

__all__ = ["Exposure", "panel_for", "read_exposure", "wavelength_for"]

_SATURATED: Final = 0.4
_AGREE: Final = 1e-4


@dataclass(frozen=True, slots=True)
class Exposure:
    """Summed `counts` and where they are `valid`, both of the frames' shape; what the first file's header says."""

    counts: NDArray[np.float64]
    valid: NDArray[np.bool_]
    frames: int
    header: FrameMetadata
    cautions: tuple[str, ...] = ()


def read_exposure(
    paths: Sequence[Path], mask: Path | None = None, tell: Callable[[int], None] | None = None
) -> Exposure:
    """Sum all frames of all files; `tell` hears how many are done. A pixel without data in one frame has none.

    Without data are: what the file masks, counts at the detector's limit, negative counts, what is not a number,
    rows and columns of nothing but zeros (gaps between modules), and where the file `mask` is not zero. Raises
    ConfigError and DataRefused.
    """
    if not paths:
        raise ConfigError("no frames: name the files that hold them")
    total: NDArray[Any] | None = None
    valid = np.ones((0, 0), np.bool_)
    over = np.zeros((0, 0), np.bool_)
    done, header = 0, FrameMetadata()
    for path in paths:
        with open_frames(path) as source:
            if total is None:
                if source.shape[0] * source.shape[1] > LARGEST_FRAME:
                    raise DataRefused(
                        f"{path}: {source.shape[0]} x {source.shape[1]} pixels, at most {LARGEST_FRAME}"
                    )
                total = np.zeros(source.shape, np.float64 if source.dtype.kind == "f" else np.int64)
                valid, over = np.ones(source.shape, np.bool_), np.zeros(source.shape, np.bool_)
                header = source.metadata
            if source.shape != total.shape or (source.dtype.kind == "f") != (total.dtype.kind == "f"):
                raise DataRefused(
                    f"{path}: frames of {source.shape[0]} x {source.shape[1]} ({source.dtype}), the first file has"
                    f" {total.shape[0]} x {total.shape[1]} ({total.dtype}); calibrate each detector by itself"
                )
            if source.mask is not None:
                valid &= ~source.mask
            for index in range(len(source)):
                frame = source.frame(index)
                bad = ~np.isfinite(frame) if frame.dtype.kind == "f" else frame < 0
                if source.overflow is not None:
                    full = frame >= source.overflow
                    over |= full
                    bad |= full
                valid &= ~bad
                total += np.where(bad, 0, frame).astype(total.dtype)
                done += 1
                if tell is not None:
                    tell(done)
    if total is None or done == 0:
        raise DataRefused(f"{paths[0]}: holds no frame")
    cautions: list[str] = []
    share = float(over.mean())
    if share > _SATURATED:
        raise DataRefused(
            f"{paths[0]}: {100 * share:.0f} % of the pixels are at the detector's limit: the frame is saturated;"
            " expose shorter or attenuate the beam"
        )
    counts = total.astype(np.float64)
    has_mask = mask is not None or not bool(valid.all())
    if mask is not None:
        valid &= ~load_mask(mask, (total.shape[0], total.shape[1]))
    gaps = _gaps(counts, valid)
    if bool(gaps.any()):
        valid &= ~gaps
        cautions.append(f"{int(gaps.sum()):,} pixels in rows or columns of zeros alone are taken for gaps")
        has_mask = True
    if not has_mask:
        cautions.append("no mask: neither --mask, nor the file, nor its pixels say which pixels are of no use")
    return Exposure(counts, valid, done, header, tuple(cautions))


def _gaps(counts: NDArray[np.float64], valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Valid pixels of rows and columns in which no valid pixel counted anything."""
    lit = (counts != 0) & valid
    return valid & (~lit.any(axis=1)[:, None] | ~lit.any(axis=0)[None, :])


def panel_for(exposure: Exposure, pixel_m: float | None, detector: str | None) -> tuple[Panel, tuple[str, ...]]:
    """The detector of an exposure: named, or cells of `pixel_m`, or by the header; and what is to be said of it.

    Raises ConfigError and DataRefused as `panel_of` does.
    """
    header, shape = exposure.header, exposure.counts.shape
    shape = (shape[0], shape[1])
    asked = None if pixel_m is None else (pixel_m, pixel_m)
    if detector is not None or asked is not None:
        return panel_of(shape, asked, detector), ()
    told = None
    if header.pixel1_m is not None and header.pixel2_m is not None:
        told = (header.pixel1_m, header.pixel2_m)
    if header.detector:
        try:
            panel = panel_of(shape, told, header.detector)
        except ConfigError:
            pass
        else:
            return panel, (f"the detector is the frames' own word: {panel.name}",)
    if told is None:
        raise ConfigError(
            "the pixels' size is not known: the frames do not say it; give --pixel-um 172 or --detector Pilatus1M"
        )
    return panel_of(shape, told), (
        f"the pixels' size is the frames' own word: {told[0] * 1e6:g} x {told[1] * 1e6:g} um",
    )


def wavelength_for(exposure: Exposure, asked_m: float | None) -> tuple[float, tuple[str, ...]]:
    """The wavelength that was asked for, or the header's; and what is to be said of it. Raises ConfigError."""
    told = exposure.header.wavelength_m
    if asked_m is None:
        if told is None:
            raise ConfigError(
                "the wavelength is not known: the frames do not say it; give --wavelength-A or --energy-keV"
            )
        return told, (f"the wavelength is the frames' own word: {told * 1e10:.6g} A",)
    if not 1e-12 <= asked_m <= 1e-8:
        raise ConfigError(f"wavelength of {asked_m * 1e10:g} A: give 0.01 to 100 A (0.124 to 1240 keV)")
    if told is not None and abs(told / asked_m - 1) > _AGREE:
        return asked_m, (
            f"the frames' header says {told * 1e10:.6g} A; {asked_m * 1e10:.6g} A was asked for and is used",
        )
    return asked_m, ()
