"""From files and options to a recipe: geometry, masks and settings, checked against what the frames say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.xray.frames import FrameMetadata, FrameSource, open_frames
from poliqi.lab.xray.geometry import Geometry, chosen_wavelength, load_geometry
from poliqi.lab.xray.masks import detector_mask, load_mask, union_of_masks
from poliqi.lab.xray.reduction import Recipe, Settings, packed_mask

__all__ = ["NO_MASK", "Asked", "check_asked", "prepare"]

NO_MASK: Final = "none"
_WAVELENGTHS_AGREE: Final = 1e-3
_EXPOSURES_AGREE: Final = 1e-3


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person asks for. `masks` are file names, or "none" alone: there is nothing to mask."""

    geometry: Path
    settings: Settings
    masks: tuple[str, ...] = ()
    mask_keeps: bool = False
    flat: Path | None = None
    dark: Path | None = None
    dark_exposure_s: float | None = None
    exposure_s: float | None = None
    wavelength_m: float | None = None
    energy_ev: float | None = None
    dataset: str | None = None


def check_asked(asked: Asked) -> None:
    """All that can be found wrong before there is a frame. Raises ConfigError, DataRefused."""
    shape = load_geometry(asked.geometry).shape
    chosen_wavelength(asked.wavelength_m, asked.energy_ev)
    for path in _mask_files(asked):
        if shape is not None:
            load_mask(path, shape, keeps=asked.mask_keeps)
        elif not path.is_file():
            raise ConfigError(f"mask {path} is no file that can be read; name one, or --mask none")
    for path in (asked.flat, asked.dark):
        if path is not None:
            with open_frames(path) as source:
                if shape is not None and source.shape != shape:
                    raise DataRefused(
                        f"{path}: frames of {source.shape[0]} x {source.shape[1]} pixels, but {asked.geometry} is"
                        f" for {shape[0]} x {shape[1]}; give that of this detector"
                    )


def prepare(asked: Asked, files: Sequence[Path]) -> tuple[Recipe, FrameMetadata]:
    """The recipe for these files, and what the first says of itself.

    Raises ConfigError for options that contradict each other, DataRefused where frames contradict the geometry, one
    another, or no mask is known.
    """
    geometry = load_geometry(asked.geometry)
    chosen = chosen_wavelength(asked.wavelength_m, asked.energy_ev)
    if chosen is not None:
        geometry = geometry.with_wavelength(chosen)
    with open_frames(files[0], asked.dataset) as first:
        if chosen is None:
            geometry = _agreed(geometry, first)
        shape, told = first.shape, first.metadata
        if geometry.shape is not None and geometry.shape != shape:
            raise DataRefused(
                f"{files[0]}: frames of {shape[0]} x {shape[1]} pixels, but {asked.geometry} is for"
                f" {geometry.shape[0]} x {geometry.shape[1]}; give the geometry of this detector"
            )
        own = detector_mask(geometry.integrator(), shape)
        mask = _mask(asked, [own, first.mask], shape)
    exposure = asked.exposure_s if asked.exposure_s is not None else _exposure(asked, files, told)
    recipe = Recipe(
        geometry=geometry,
        shape=shape,
        mask=mask,
        settings=asked.settings,
        exposure_s=exposure,
        flat=None if asked.flat is None else asked.flat.absolute(),
        dark=None if asked.dark is None else asked.dark.absolute(),
        dark_scale=_dark_scale(asked, exposure),
    )
    return recipe, told


def _mask_files(asked: Asked) -> list[Path]:
    if NO_MASK in asked.masks and len(asked.masks) > 1:
        raise ConfigError("--mask none says that there is nothing to mask; leave out the others, or none")
    return [Path(name) for name in asked.masks if name != NO_MASK]


def _mask(asked: Asked, own: list[NDArray[np.bool_] | None], shape: tuple[int, int]) -> bytes:
    given = [load_mask(path, shape, keeps=asked.mask_keeps) for path in _mask_files(asked)]
    return packed_mask(union_of_masks([*own, *given], shape, allow_none=NO_MASK in asked.masks))


def _agreed(geometry: Geometry, first: FrameSource) -> Geometry:
    """The geometry with a wavelength; that of the frames where it has none."""
    told = first.metadata.wavelength_m
    if told is None:
        return geometry
    if geometry.wavelength_m is None:
        return geometry.with_wavelength(told)
    if abs(told / geometry.wavelength_m - 1) > _WAVELENGTHS_AGREE:
        raise DataRefused(
            f"{first.path}: taken at {told * 1e10:.6g} A, but the geometry is for"
            f" {geometry.wavelength_m * 1e10:.6g} A; say which holds with --wavelength or --energy"
        )
    return geometry


def _exposure(asked: Asked, files: Sequence[Path], first: FrameMetadata) -> float | None:
    """The count time of a frame, the same for all files."""
    for path in files[1:]:
        with open_frames(path, asked.dataset) as source:
            told = source.metadata.exposure_s
        if not _is_same(told, first.exposure_s):
            raise DataRefused(
                f"{path}: frames of {told} s, those of {files[0]} have {first.exposure_s} s; reduce them by"
                " themselves, or give --exposure"
            )
    return first.exposure_s


def _is_same(one_s: float | None, other_s: float | None) -> bool:
    if one_s is None or other_s is None:
        return one_s is other_s
    return abs(one_s - other_s) <= _EXPOSURES_AGREE * abs(other_s)


def _dark_scale(asked: Asked, exposure_s: float | None) -> float:
    """By what a dark frame is multiplied."""
    if asked.dark is None:
        return 1.0
    with open_frames(asked.dark) as source:
        told = source.metadata.exposure_s
    dark_s = asked.dark_exposure_s if asked.dark_exposure_s is not None else told
    if dark_s is None and exposure_s is None:
        return 1.0
    if dark_s is None or exposure_s is None:
        raise ConfigError(
            f"dark {asked.dark}: its count time is {dark_s} s, that of the frames {exposure_s} s; give both, with"
            " --dark-exposure and --exposure"
        )
    if dark_s <= 0 or exposure_s <= 0:
        raise ConfigError(f"count times of {dark_s} s (dark) and {exposure_s} s; give positive seconds")
    return exposure_s / dark_s
