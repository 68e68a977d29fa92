"""Frames, detectors, wavelengths and calibrants as they come to a calibration."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from calibration_scenes import LAB6_A

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.xray.calibration.calibrants import load_calibrant
from poliqi.lab.xray.calibration.intake import Exposure, panel_for, read_exposure, wavelength_for
from poliqi.lab.xray.calibration.panel import panel_of
from poliqi.lab.xray.frames import FrameMetadata


def saved(folder: Path, name: str, frame: np.ndarray) -> Path:
    np.save(folder / name, frame)
    return folder / name


def exposure(header: FrameMetadata | None = None) -> Exposure:
    return Exposure(np.ones((100, 120)), np.ones((100, 120), bool), 1, header or FrameMetadata())


def test_frames_are_summed_and_what_is_no_count_in_one_is_none(tmp_path: Path) -> None:
    first, second = np.full((2, 40, 50), 3, np.int32), np.full((40, 50), 4, np.int32)
    first[1, 7, 9] = -1
    paths = [saved(tmp_path, "a.npy", first), saved(tmp_path, "b.npy", second)]
    told: list[int] = []
    found = read_exposure(paths, tell=told.append)
    assert found.frames == 3
    assert told == [1, 2, 3]
    assert not found.valid[7, 9]
    assert int((~found.valid).sum()) == 1
    assert np.all(found.counts[found.valid] == 10)


def test_overflow_is_not_counted(tmp_path: Path) -> None:
    frame = np.full((40, 50), 3, np.uint16)
    frame[3, 4] = 65535
    found = read_exposure([saved(tmp_path, "a.npy", frame)])
    assert not found.valid[3, 4]


def test_a_saturated_frame_is_refused(tmp_path: Path) -> None:
    frame = np.full((40, 50), 65535, np.uint16)
    frame[:10] = 7
    with pytest.raises(DataRefused, match="75 % of the pixels are at the detector's limit"):
        read_exposure([saved(tmp_path, "a.npy", frame)])


def test_frames_of_two_shapes_are_refused(tmp_path: Path) -> None:
    paths = [saved(tmp_path, f"{n}.npy", np.ones((40, n), np.int32)) for n in (50, 51)]
    with pytest.raises(DataRefused, match="calibrate each detector by itself"):
        read_exposure(paths)


def test_a_missing_mask_is_said(tmp_path: Path) -> None:
    frame = saved(tmp_path, "a.npy", np.ones((40, 50), np.int32))
    mask = np.zeros((40, 50), np.uint8)
    mask[2, 3] = 1
    assert any("no mask" in said for said in read_exposure([frame]).cautions)
    masked = read_exposure([frame], saved(tmp_path, "m.npy", mask))
    assert masked.cautions == ()
    assert not masked.valid[2, 3]


def test_a_mask_of_another_shape_is_refused(tmp_path: Path) -> None:
    frame = saved(tmp_path, "a.npy", np.ones((40, 50), np.int32))
    with pytest.raises(DataRefused, match="mask of this detector"):
        read_exposure([frame], saved(tmp_path, "m.npy", np.zeros((50, 40), np.uint8)))


def test_rows_of_zeros_are_gaps(tmp_path: Path) -> None:
    frame = np.ones((40, 50), np.int32)
    frame[20:23] = 0
    found = read_exposure([saved(tmp_path, "a.npy", frame)])
    assert not found.valid[20:23].any()
    assert any("taken for gaps" in said for said in found.cautions)


def test_the_header_tells_pixel_and_wavelength() -> None:
    told = exposure(
        FrameMetadata(wavelength_m=1e-10, pixel1_m=172e-6, pixel2_m=172e-6, detector="no such detector")
    )
    panel, words = panel_for(told, None, None)
    assert panel.pixel_m == (172e-6, 172e-6)
    assert "own word" in words[0]
    assert wavelength_for(told, None)[0] == 1e-10


def test_another_wavelength_than_the_headers_is_used_and_said() -> None:
    wavelength, words = wavelength_for(exposure(FrameMetadata(wavelength_m=1e-10)), 1.2e-10)
    assert wavelength == 1.2e-10
    assert "header says 1 A" in words[0]


def test_neither_pixel_nor_wavelength_is_guessed() -> None:
    with pytest.raises(ConfigError, match="--pixel-um"):
        panel_for(exposure(), None, None)
    with pytest.raises(ConfigError, match="--wavelength-A"):
        wavelength_for(exposure(), None)


def test_a_detector_brings_its_pixels_and_gaps() -> None:
    panel = panel_of((619, 487), None, "Pilatus300k")
    assert panel.pixel_m == (172e-6, 172e-6)
    assert panel.mask is not None
    assert panel.mask[195:212].all()  # between the first two modules


@pytest.mark.parametrize(
    ("shape", "pixel", "name", "said"),
    [
        ((600, 487), None, "Pilatus300k", "has 619 x 487 pixels"),
        ((619, 487), (75e-6, 75e-6), "Pilatus300k", "mend the one that is wrong"),
        ((619, 487), None, "Pilatus of mine", "knows no such detector"),
        ((619, 487), (0.5, 0.5), None, "0.1 to 10,000 um"),
    ],
)
def test_detectors_that_do_not_fit_are_refused(
    shape: tuple[int, int], pixel: tuple[float, float] | None, name: str | None, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        panel_of(shape, pixel, name)


@pytest.mark.parametrize("shape", [(9000, 9000), (20, 900)])
def test_frames_too_large_or_too_small_are_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(DataRefused, match="pixels"):
        panel_of(shape, (1e-4, 1e-4))


def test_lab6_has_the_spacings_of_its_cell() -> None:
    found = load_calibrant("lab6")
    assert found.name == "LaB6"
    np.testing.assert_allclose(found.spacings_a[: LAB6_A.size], LAB6_A, rtol=2e-6)


def test_rings_are_braggs() -> None:
    """Cu K alpha 1 on LaB6 (SRM 660c certificate): the 100 line at 21.358 degrees."""
    angles = np.degrees(load_calibrant("LaB6").two_theta(1.5405929e-10))
    assert angles[0] == pytest.approx(21.358, abs=0.001)
    assert angles.max() < 180


def test_a_file_of_spacings(tmp_path: Path) -> None:
    path = tmp_path / "mine.D"
    path.write_text("# Calibrant: mine\n 2.0 # (2 0 0)\n 4.0\n")
    found = load_calibrant(str(path))
    assert found.name == "mine"
    assert found.spacings_a.tolist() == [4.0, 2.0]


@pytest.mark.parametrize("name", ["LaB7", "nowhere.D"])
def test_no_such_calibrant(name: str) -> None:
    with pytest.raises(ConfigError, match="--calibrant"):
        load_calibrant(name)


def test_no_frames_at_all() -> None:
    with pytest.raises(ConfigError, match="no frames"):
        read_exposure([])


def test_a_wavelength_out_of_reason() -> None:
    with pytest.raises(ConfigError, match=r"0\.01 to 100 A"):
        wavelength_for(exposure(), 1.0)
