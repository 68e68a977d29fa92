"""The fused sums against pyFAI itself: random geometries, masks, overflow, both ways of splitting, all axes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from xray_frames import counts, geometry, mask, recipe

from poliqi.lab.xray.binning import Splitting
from poliqi.lab.xray.curve import Axis
from poliqi.lab.xray.reduction import Marks, Plan, Settings

UNITS = {Axis.Q_PER_NM: "q_nm^-1", Axis.Q_PER_ANGSTROM: "q_A^-1", Axis.TWO_THETA_DEG: "2th_deg"}
SAME = 1e-6


def by_pyfai(plan: Plan, frame: NDArray[Any], left_out: NDArray[np.bool_], **more: Any) -> Any:
    """pyFAI's own integration with the same settings."""
    settings = plan.recipe.settings
    arguments: dict[str, Any] = {
        "unit": UNITS[settings.axis],
        "method": (settings.splitting.value, "csr", "cython"),
        "polarization_factor": settings.polarisation,
        "radial_range": settings.x_range,
        "mask": left_out.astype(np.int8),
    }
    return plan.recipe.geometry.integrator().integrate1d(frame, settings.bins, **(arguments | more))


def close(ours: NDArray[Any], theirs: NDArray[Any], where: NDArray[np.bool_]) -> bool:
    """Equal within one in a million wherever there is something to compare."""
    assert where.sum() > 5
    return bool(np.allclose(ours[where], theirs[where], rtol=SAME, atol=0))


@pytest.mark.parametrize("splitting", list(Splitting))
@pytest.mark.parametrize("seed", range(6))
def test_is_pyfai_on_random_geometries(seed: int, splitting: Splitting) -> None:
    draw = np.random.default_rng(seed)
    axis = list(Axis)[seed % 3]
    settings = Settings(axis, int(draw.integers(10, 300)), splitting, polarisation=[None, 0.99, 0.0][seed % 3])
    masked = mask(seed)
    plan = Plan(recipe(geometry(seed), settings, masked))
    frame = counts(50, seed) + 1  # each pixel counts, so that pyFAI's model of Poisson counts is the same
    sums = plan.reduce(frame, Marks(None))
    found = by_pyfai(plan, frame, masked, error_model="poisson")
    intensity, sigma = sums.intensity()
    filled = np.asarray(found.count) > 0.01
    assert np.allclose(plan.map.x, found.radial, rtol=1e-12)
    assert close(intensity, found.intensity, filled)
    assert close(sigma, found.sigma, filled & (sums.variance >= 1))


@pytest.mark.parametrize("splitting", list(Splitting))
@pytest.mark.parametrize("dtype", [np.uint16, np.uint32, np.int32])
def test_leaves_overflowing_pixels_out_as_a_mask_would(dtype: Any, splitting: Splitting) -> None:
    frame = counts(5, 1, dtype)
    draw = np.random.default_rng(2)
    over = draw.random(frame.shape) < 0.05
    frame[over] = np.iinfo(dtype).max
    masked = mask(3)
    plan = Plan(recipe(geometry(3), Settings(bins=80, splitting=splitting), masked))
    sums = plan.reduce(frame, Marks(int(np.iinfo(dtype).max)))
    dummy = float(np.float32(np.iinfo(dtype).max))
    values = frame.astype(np.float32)
    found = by_pyfai(plan, values, masked, variance=values, dummy=dummy, delta_dummy=0)
    intensity, sigma = sums.intensity()
    assert sums.overflowed == int((over & ~masked).sum())
    filled = np.asarray(found.count) > 0.01
    assert close(intensity, found.intensity, filled)
    assert close(sigma, found.sigma, filled & (sums.variance >= 1))


@pytest.mark.parametrize("splitting", list(Splitting))
def test_many_narrow_bins(splitting: Splitting) -> None:
    """A pixel lies across more bins than the compiled sums take at once."""
    settings = Settings(bins=1200, splitting=splitting)
    plan = Plan(recipe(geometry(5), settings, mask(5)))
    frame = counts(20, 5) + 1
    found = by_pyfai(plan, frame, mask(5), variance=frame.astype(np.float32))
    intensity, sigma = plan.reduce(frame, Marks(None)).intensity()
    filled = np.asarray(found.count) > 0.05
    assert close(intensity, found.intensity, filled)
    assert close(sigma, found.sigma, filled & (np.asarray(found.sum_variance) >= 1))


def test_a_range_of_the_axis_is_pyfais() -> None:
    place = geometry(4)
    whole = Plan(recipe(place, Settings(bins=50)))
    low, high = float(whole.map.x[10]), float(whole.map.x[40])
    plan = Plan(recipe(place, Settings(bins=33, x_range=(low, high))))
    frame = counts(20, 4)
    found = by_pyfai(plan, frame, np.zeros(frame.shape, np.bool_))
    assert np.allclose(plan.map.x, found.radial)
    assert close(plan.reduce(frame, Marks(None)).intensity()[0], found.intensity, np.asarray(found.count) > 0)


def test_dark_and_flat_are_pyfais(tmp_path: Any) -> None:
    draw = np.random.default_rng(8)
    masked, frame, dark = mask(8), counts(40, 8) + 5, draw.poisson(3.0, (150, 170)).astype(np.uint32)
    flat = draw.uniform(0.8, 1.2, frame.shape)
    np.save(tmp_path / "dark.npy", dark)
    np.save(tmp_path / "flat.npy", flat)
    made = recipe(
        geometry(8),
        Settings(bins=60),
        masked,
        dark=tmp_path / "dark.npy",
        flat=tmp_path / "flat.npy",
        dark_scale=2.0,
    )
    plan = Plan(made)
    variance = (frame + 4.0 * dark).astype(np.float32)
    found = by_pyfai(plan, frame, masked, variance=variance, dark=2.0 * dark, flat=flat)
    intensity, sigma = plan.reduce(frame, Marks(None)).intensity()
    filled = np.asarray(found.count) > 0
    assert np.allclose(intensity[filled], found.intensity[filled], rtol=SAME, atol=1e-5)
    assert close(sigma, found.sigma, filled)


@pytest.mark.parametrize("splitting", list(Splitting))
def test_the_dark_of_overflowing_pixels_is_left_out_with_them(tmp_path: Any, splitting: Splitting) -> None:
    """The dark differs from pixel to pixel, so that one too many is seen; pyFAI leaves the same pixels out."""
    draw = np.random.default_rng(9)
    masked, frame, dark = mask(9), counts(40, 9) + 5, draw.poisson(30.0, (150, 170)).astype(np.uint32)
    over = draw.random(frame.shape) < 0.2
    frame[over] = 2**32 - 1
    np.save(tmp_path / "dark.npy", dark)
    plan = Plan(recipe(geometry(9), Settings(bins=60, splitting=splitting), masked, dark=tmp_path / "dark.npy"))
    variance = (frame.astype(np.float64) + dark).astype(np.float32)
    found = by_pyfai(plan, frame, masked | over, variance=variance, dark=dark.astype(np.float32))
    intensity, sigma = plan.reduce(frame, Marks(None)).intensity()
    filled = np.asarray(found.count) > 0.01
    assert np.allclose(intensity[filled], found.intensity[filled], rtol=1e-5, atol=1e-4)
    assert np.allclose(sigma[filled], found.sigma[filled], rtol=1e-5)


@pytest.mark.soak
@pytest.mark.parametrize("splitting", list(Splitting))
def test_is_pyfai_on_hundreds_of_geometries(splitting: Splitting) -> None:
    for seed in range(100, 400):
        test_is_pyfai_on_random_geometries(seed, splitting)
