"""The compiled sums against their definition in numpy, at the edges; and what sigma says against what happens."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np
import pytest
from xray_frames import SHAPE, counts, geometry, mask, recipe, straight

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.xray.binning import BinMap, Splitting, bin_map
from poliqi.lab.xray.curve import Axis
from poliqi.lab.xray.reduction import Marks, Plan, Settings


def map_of(splitting: Splitting, bins: int = 40) -> BinMap:
    return bin_map(geometry(1).integrator(), SHAPE, bins, Axis.Q_PER_NM, splitting, mask(1))


@pytest.mark.parametrize("splitting", list(Splitting))
@pytest.mark.parametrize("dtype", [np.uint16, np.uint32])
@pytest.mark.parametrize("filling", ["zeros", "few", "many", "largest", "one hot", "all lost", "half lost"])
def test_compiled_sums_are_those_of_numpy(splitting: Splitting, dtype: Any, filling: str) -> None:
    draw = np.random.default_rng(1)
    top = int(np.iinfo(dtype).max)
    frame = {
        "zeros": np.zeros(SHAPE),
        "few": draw.poisson(0.01, SHAPE),
        "many": draw.poisson(3000, SHAPE),
        "largest": np.full(SHAPE, top - 1, np.float64),
        "one hot": np.where(np.arange(SHAPE[0] * SHAPE[1]).reshape(SHAPE) == 4711, top - 1, 1),
        "all lost": np.full(SHAPE, top, np.float64),
        "half lost": np.where(draw.random(SHAPE) < 0.5, top, 7),
    }[filling].astype(dtype)
    made = map_of(splitting)
    found = made.add_counts(frame.ravel(), top)
    honest = np.where(frame == top, 0, frame).ravel().astype(np.float64)
    exact = 0.0 if splitting is Splitting.NO else 1e-12
    assert np.allclose(found.signal, made.project(honest), rtol=exact, atol=0)
    assert np.allclose(found.variance, made.project(honest, squared=True), rtol=exact, atol=0)
    has_bin = made.starts < made.bins
    assert np.array_equal(np.sort(found.lost), np.flatnonzero(has_bin & (frame.ravel() == top)))


def test_sums_beyond_32_bits_are_whole() -> None:
    """Two bins of thousands of pixels at almost 2^32 counts each."""
    made = map_of(Splitting.NO, 2)
    frame = np.full(SHAPE[0] * SHAPE[1], 2**32 - 2, np.uint32)
    inside = np.bincount(made.starts[made.starts < 2], minlength=2)
    assert made.add_counts(frame, 2**32 - 1).signal.tolist() == [float(n * (2**32 - 2)) for n in inside.tolist()]


def test_every_share_of_a_pixel_adds_up_to_one() -> None:
    made = map_of(Splitting.BBOX, 500)
    assert made.more_pixels.size > 0
    total = made.project(np.ones(made.starts.size)).sum()
    assert total == pytest.approx((~mask(1)).sum(), rel=1e-6)


@pytest.mark.parametrize("splitting", list(Splitting))
def test_sigma_covers_the_known_curve(splitting: Splitting) -> None:
    """Simulated Poisson frames: the truth lies within one sigma in 68.3 % of them, over 1,000 seeds."""
    shape = (40, 40)
    rows, columns = np.indices(shape)
    mean = 9.0 + 20.0 * np.exp(-np.hypot(rows - 20, columns - 20) / 8)
    plan = Plan(recipe(straight(shape), Settings(bins=12, splitting=splitting), np.zeros(shape, np.bool_)))
    truth = plan.map.project(mean.ravel()) / plan.reduce(np.ones(shape, np.uint32), Marks(None)).norm
    draw = np.random.default_rng(42)
    inside, seeds = 0, 1000
    for _ in range(seeds):
        intensity, sigma = plan.reduce(draw.poisson(mean).astype(np.uint16), Marks(None)).intensity()
        inside += int((np.abs(intensity - truth) <= sigma).sum())
    share = inside / (seeds * truth.size)
    assert share == pytest.approx(math.erf(1 / math.sqrt(2)), abs=0.015)


def test_sigma_of_sparse_counts_is_not_that_of_a_count_a_pixel() -> None:
    """0.02 counts a pixel: frames scatter as sigma says; a floor for each pixel would say 7 times more."""
    plan = Plan(recipe(straight(), Settings(bins=8)))
    draw = np.random.default_rng(3)
    found = [plan.reduce(draw.poisson(0.02, SHAPE).astype(np.uint16), Marks(None)).intensity() for _ in range(200)]
    scatter = np.std([intensity for intensity, _ in found], axis=0)
    said = np.mean([sigma for _, sigma in found], axis=0)
    assert said[1:] == pytest.approx(scatter[1:], rel=0.25)


def test_bins_without_a_count_have_the_doubt_of_one_count() -> None:
    """Nothing seen is no certainty of nothing: sigma is one count over the solid angles of the bin's pixels."""
    plan = Plan(recipe(straight(), Settings(bins=8)))
    sums = plan.reduce(np.zeros(SHAPE, np.uint32), Marks(None))
    angles = np.asarray(straight().integrator().solidAngleArray(SHAPE)).ravel()
    whole = [float(angles[plan.map.starts == at].sum()) for at in range(8)]
    intensity, sigma = sums.intensity()
    assert intensity.tolist() == [0.0] * 8
    assert sigma == pytest.approx(1 / np.array(whole), rel=1e-5)


@pytest.mark.parametrize("what", ["dark", "flat"])
def test_another_dark_or_flat_of_the_same_name_is_another_recipe(tmp_path: Any, what: str) -> None:
    """A plan that is kept must not be taken for that of a file that was replaced, by size or by time alone."""
    path = tmp_path / "reference.npy"
    np.save(path, np.ones(SHAPE, np.uint32))
    os.utime(path, ns=(10**18, 10**18))
    made = recipe(straight(), Settings(bins=4), **{what: path})
    keys = [made.key()]
    assert made.key() == keys[0]
    os.utime(path, ns=(10**18, 10**18 + 1))
    keys.append(made.key())
    np.save(path, np.ones(SHAPE, np.uint64))
    os.utime(path, ns=(10**18, 10**18))
    keys.append(made.key())
    assert len(set(keys)) == 3


def test_average_of_frames_has_the_sigma_of_all_counts() -> None:
    plan = Plan(recipe(straight(), Settings(bins=10)))
    frames = [counts(4, seed) for seed in range(5)]
    total = sum((plan.reduce(frame, Marks(None)) for frame in frames[1:]), plan.reduce(frames[0], Marks(None)))
    summed = plan.reduce(np.sum(frames, axis=0).astype(np.uint32), Marks(None))
    assert total.frames == 5
    assert total.intensity()[0] == pytest.approx(summed.intensity()[0] / 5)
    assert total.intensity()[1] == pytest.approx(summed.intensity()[1] / 5)


def test_a_dark_that_all_frames_share_does_not_average_away(tmp_path: Any) -> None:
    dark = np.full(SHAPE, 100, np.uint32)
    np.save(tmp_path / "dark.npy", dark)
    plan = Plan(recipe(straight(), Settings(bins=4), dark=tmp_path / "dark.npy"))
    one = plan.reduce(np.full(SHAPE, 100, np.uint32), Marks(None))
    many = sum((one for _ in range(9_999)), one)
    assert one.intensity()[0] == pytest.approx(0, abs=1e-6)
    of_dark = np.sqrt(plan.map.project(dark.ravel())) / one.norm
    assert many.intensity()[1] == pytest.approx(of_dark, rel=1e-3)


def test_dead_time_gives_the_true_rate_back() -> None:
    """A detector that is not paralysable measures n / (1 + n tau / t) of n counts."""
    true, dead_s, exposure_s = 40_000.0, 2e-6, 1.0
    seen = round(true / (1 + true * dead_s / exposure_s))
    plan = Plan(recipe(straight(), Settings(bins=5, dead_time_s=dead_s), exposure_s=exposure_s))
    intensity, sigma = plan.reduce(np.full(SHAPE, seen, np.uint32), Marks(None)).intensity()
    plain = Plan(recipe(straight(), Settings(bins=5))).reduce(np.full(SHAPE, seen, np.uint32), Marks(None))
    assert intensity / plain.intensity()[0] == pytest.approx(true / seen, rel=1e-4)
    relative = plain.intensity()[1] / plain.intensity()[0]
    assert sigma / intensity == pytest.approx(relative)  # 1 / sqrt(counts seen): dead time takes no information


def test_refuses_a_pixel_that_was_dead_most_of_the_time() -> None:
    plan = Plan(recipe(straight(), Settings(bins=5, dead_time_s=1e-3), exposure_s=1.0))
    with pytest.raises(DataRefused, match=r"dead for 90 % of it; up to 50 %"):
        plan.reduce(np.full(SHAPE, 900, np.uint32), Marks(None))


def test_refuses_another_shape() -> None:
    plan = Plan(recipe(straight(), Settings(bins=5)))
    with pytest.raises(DataRefused, match="100 x 100 pixels, but the geometry and mask are for 150 x 170"):
        plan.reduce(np.zeros((100, 100), np.uint16), Marks(None))


def test_refuses_negative_counts_unless_they_are_marks() -> None:
    plan = Plan(recipe(straight(), Settings(bins=5)))
    frame = np.ones(SHAPE, np.int32)
    frame[3, 4] = -2
    assert plan.reduce(frame, Marks(None, negative=True)).overflowed == 1
    with pytest.raises(DataRefused, match="the least is -2"):
        plan.reduce(frame, Marks(None))
    frame[3, 4] = -3
    with pytest.raises(DataRefused, match="the least is -3"):
        plan.reduce(frame, Marks(None, negative=True))


def test_refuses_a_frame_of_nothing_but_overflow() -> None:
    plan = Plan(recipe(straight(), Settings(bins=5)))
    with pytest.raises(DataRefused, match="every pixel that is not masked overflows"):
        plan.reduce(np.full(SHAPE, 65535, np.uint16), Marks(65535))


def test_refuses_treated_numbers_whose_sigma_is_not_known() -> None:
    plan = Plan(recipe(straight(), Settings(bins=5)))
    whole = counts(5, 1).astype(np.float64)
    whole[0, 0] = np.nan
    assert plan.reduce(whole, Marks(None)).overflowed == 1
    with pytest.raises(DataRefused, match="no whole counts"):
        plan.reduce(whole * 0.5, Marks(None))
    with pytest.raises(DataRefused, match="negative counts"):
        plan.reduce(-whole, Marks(None))


def test_q_needs_a_wavelength_and_2theta_does_not() -> None:
    place = straight()
    unknown = type(place)(
        place.distance_m, place.poni1_m, place.poni2_m, None, pixel1_m=1e-4, pixel2_m=1e-4, shape=SHAPE
    )
    with pytest.raises(ConfigError, match="give --wavelength or --energy"):
        Plan(recipe(unknown, Settings(bins=5)))
    assert Plan(recipe(unknown, Settings(Axis.TWO_THETA_DEG, 5))).map.bins == 5


def test_refuses_a_mask_of_everything_and_a_range_of_nothing() -> None:
    with pytest.raises(DataRefused, match="covers every pixel"):
        Plan(recipe(straight(), Settings(bins=5), np.ones(SHAPE, np.bool_)))
    with pytest.raises(DataRefused, match="no pixel falls into the range"):
        Plan(recipe(straight(), Settings(bins=5, x_range=(500.0, 600.0))))


def test_writes_down_every_step(tmp_path: Any) -> None:
    np.save(tmp_path / "flat.npy", np.ones(SHAPE))
    np.save(tmp_path / "dark.npy", np.zeros(SHAPE, np.uint16))
    settings = Settings(bins=5, polarisation=0.99, dead_time_s=1e-7)
    made = recipe(straight(), settings, exposure_s=2.0, flat=tmp_path / "flat.npy", dark=tmp_path / "dark.npy")
    plan = Plan(made)
    frame = counts(10, 1)
    frame[0, 0] = 2**32 - 1
    curve = plan.curve(plan.reduce(frame, Marks(None)), "run", per_second=True)
    names = [step.name for step in curve.steps]
    assert names == [
        "dead time", "dark", "flat field", "solid angle", "polarisation", "azimuthal integration", "count time"
    ]  # fmt: skip
    assert curve.steps[5].settings["overflow_pixels_left_out"] == 1
    assert curve.steps[5].settings["exposure_s"] == 2.0
    assert curve.intensity_unit == "counts/s"
