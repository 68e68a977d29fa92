"""Small detectors, masks and simulated frames for the tests of the reduction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poliqi.lab.xray.geometry import Geometry
from poliqi.lab.xray.reduction import Recipe, Settings, packed_mask

SHAPE = (150, 170)
PIXEL_M = 172e-6


def geometry(seed: int = 0, shape: tuple[int, int] = SHAPE) -> Geometry:
    """A detector somewhere: tilted, turned, the beam on it or beside it."""
    draw = np.random.default_rng(seed)
    height, width = shape[0] * PIXEL_M, shape[1] * PIXEL_M
    return Geometry(
        distance_m=float(draw.uniform(0.05, 2.0)),
        poni1_m=float(draw.uniform(-0.5, 1.5)) * height,
        poni2_m=float(draw.uniform(-0.5, 1.5)) * width,
        wavelength_m=float(draw.uniform(0.5e-10, 2e-10)),
        rot1_rad=float(draw.uniform(-0.3, 0.3)),
        rot2_rad=float(draw.uniform(-0.3, 0.3)),
        rot3_rad=float(draw.uniform(-3, 3)),
        pixel1_m=PIXEL_M,
        pixel2_m=PIXEL_M,
        shape=shape,
    )


def straight(shape: tuple[int, int] = SHAPE) -> Geometry:
    """The beam in the middle, no tilt."""
    return Geometry(
        0.5, shape[0] / 2 * PIXEL_M, shape[1] / 2 * PIXEL_M, 1e-10, pixel1_m=PIXEL_M, pixel2_m=PIXEL_M, shape=shape
    )


def mask(seed: int = 0, shape: tuple[int, int] = SHAPE) -> NDArray[np.bool_]:
    """A gap, dead pixels, a beam stop."""
    draw = np.random.default_rng(seed)
    made = draw.random(shape) < 0.02
    made[:, 80:84] = True
    rows, columns = np.indices(shape)
    made |= np.hypot(rows - shape[0] / 2, columns - shape[1] / 2) < 6
    return made


def recipe(place: Geometry, settings: Settings, masked: NDArray[np.bool_] | None = None, **more: Any) -> Recipe:
    """A recipe of these."""
    shape = SHAPE if masked is None else masked.shape
    bits = np.zeros(shape, np.bool_) if masked is None else masked
    return Recipe(place, (shape[0], shape[1]), packed_mask(bits), settings, **more)


def counts(mean: float, seed: int = 0, dtype: Any = np.uint32, shape: tuple[int, int] = SHAPE) -> NDArray[Any]:
    """Simulated counts that fall off from the middle."""
    rows, columns = np.indices(shape)
    distance = np.hypot(rows - shape[0] / 2, columns - shape[1] / 2)
    return np.random.default_rng(seed).poisson(mean * np.exp(-distance / 60)).astype(dtype)


def write_eiger(
    folder: Path, frames: list[NDArray[Any]], name: str = "run", a_file: int = 2, **settings: Any
) -> Path:
    """An Eiger's master file and its data files, bitshuffle-LZ4, written as the detector does."""
    import h5py
    import hdf5plugin

    bits = frames[0].dtype.itemsize * 8
    parts = [frames[k : k + a_file] for k in range(0, len(frames), a_file)]
    for number, part in enumerate(parts, 1):
        with h5py.File(folder / f"{name}_data_{number:06d}.h5", "w") as file:
            data = np.stack(part)
            chunk = (1, *data.shape[1:])
            file.create_dataset("entry/data/data", data=data, chunks=chunk, **hdf5plugin.Bitshuffle(cname="lz4"))
    master = folder / f"{name}_master.h5"
    with h5py.File(master, "w") as file:
        group = file.create_group("entry/data")
        for number in range(1, len(parts) + 1):
            group[f"data_{number:06d}"] = h5py.ExternalLink(f"{name}_data_{number:06d}.h5", "/entry/data/data")
        detector = file.create_group("entry/instrument/detector")
        detector["bit_depth_image"] = bits
        detector["count_time"] = settings.get("count_time", 0.5)
        detector["x_pixel_size"] = PIXEL_M
        detector["y_pixel_size"] = PIXEL_M
        special = detector.create_group("detectorSpecific")
        special["nimages"] = settings.get("nimages", len(frames))
        special["ntrigger"] = 1
        if "pixel_mask" in settings:
            special["pixel_mask"] = settings["pixel_mask"].astype(np.uint32)
        beam = file.create_group("entry/instrument/beam")
        beam["incident_wavelength"] = settings.get("wavelength_a", 1.0)
        beam["incident_wavelength"].attrs["units"] = "angstrom"
    return master
