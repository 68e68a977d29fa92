"""PONI files: what pyFAI writes we read, what we write pyFAI reads; energy against wavelength."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from xray_frames import geometry

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.xray.geometry import Geometry, chosen_wavelength, load_geometry, parse_poni, save_geometry

EIGER = Geometry(0.75, 0.08, 0.07, 1.1e-10, 0.01, -0.02, 0.3, "Eiger4M")
WHOLE = "poni_version: 2.1\nDetector: Detector\nDistance: 1\nPoni1: 0\nPoni2: 0\n"
CONFIG = 'Detector_config: {"pixel1": 1e-4, "pixel2": 1e-4, "orientation": 3}\n'


@pytest.mark.parametrize("place", [EIGER, geometry(1), geometry(2)], ids=["by name", "pixels", "tilted"])
def test_pyfai_reads_what_is_written(place: Geometry, tmp_path: Path) -> None:
    import pyFAI

    path = tmp_path / "a.poni"
    save_geometry(place, path, "made by a test: with a colon")
    theirs: Any = pyFAI.load(str(path))
    assert theirs.dist == place.distance_m
    assert (theirs.poni1, theirs.poni2) == (place.poni1_m, place.poni2_m)
    assert (theirs.rot1, theirs.rot2, theirs.rot3) == (place.rot1_rad, place.rot2_rad, place.rot3_rad)
    assert theirs.wavelength == place.wavelength_m
    assert theirs.detector.name.replace(" ", "") in (place.detector, "Detector")
    assert load_geometry(path) == place


@pytest.mark.parametrize("place", [EIGER, geometry(1)], ids=["by name", "pixels"])
def test_reads_what_pyfai_writes(place: Geometry, tmp_path: Path) -> None:
    path = tmp_path / "b.poni"
    place.integrator().save(str(path))
    found = load_geometry(path)
    assert (found.distance_m, found.rot3_rad, found.wavelength_m) == (
        place.distance_m,
        place.rot3_rad,
        place.wavelength_m,
    )
    assert found.integrator().detector.shape == place.integrator().detector.shape


def test_reads_version_1() -> None:
    found = parse_poni(
        "# old\nPixelSize1: 1e-4\nPixelSize2: 2e-4\nDistance: 0.1\nPoni1: 0\nPoni2: 1\nWavelength: 1e-10\n"
    )
    assert (found.pixel1_m, found.pixel2_m, found.rot1_rad) == (1e-4, 2e-4, 0.0)


def test_the_last_of_several_calibrations_holds() -> None:
    assert parse_poni(WHOLE + CONFIG + "Distance: 2\n").distance_m == 2.0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no line 'distance'"),
        (WHOLE.replace("Poni2: 0", "") + CONFIG, "no line 'poni2'"),
        (WHOLE + "Detector_config: {", "not JSON"),
        (WHOLE + "Detector_config: []", "not an object"),
        (WHOLE + "Detector_config: " + "[" * 100_000, "not JSON"),
        (WHOLE, "no pixel size"),
        (WHOLE + CONFIG + "Distance: -1", "distance is -1.0"),
        (WHOLE + CONFIG + "Distance: nan", "distance is nan"),
        (WHOLE + CONFIG + "Distance: far", "no number"),
        (WHOLE + CONFIG + "Parallax: True", "parallax"),
        (WHOLE + CONFIG + "poni_version: 9", "PONI version 9"),
        (WHOLE + CONFIG + "splinefile: /etc/passwd", "distortion file"),
        (WHOLE + 'Detector_config: {"filename": "/etc/passwd"}', "which is not taken here"),
        (WHOLE + CONFIG.replace("1e-4", "true", 1), "which is not taken here"),
        (WHOLE + CONFIG + "Detector: ../x", "is no name of a detector"),
        (WHOLE + CONFIG.replace('"orientation": 3', '"orientation": 9'), "orientation 9"),
    ],
)
def test_refuses(text: str, words: str) -> None:
    with pytest.raises(DataRefused, match=words):
        parse_poni(text)


def test_refuses_a_detector_that_pyfai_does_not_know() -> None:
    with pytest.raises(DataRefused, match="no detector 'Eigre4M'"):
        Geometry(1.0, 0.0, 0.0, 1e-10, detector="Eigre4M").integrator()


def test_refuses_a_file_that_is_no_page_of_text(tmp_path: Path) -> None:
    (tmp_path / "big.poni").write_bytes(b"#" * (2 << 20))
    (tmp_path / "binary.poni").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataRefused, match="a page of text"):
        load_geometry(tmp_path / "big.poni")
    with pytest.raises(DataRefused, match="not text"):
        load_geometry(tmp_path / "binary.poni")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_geometry(tmp_path / "none.poni")


def test_energy_is_a_wavelength() -> None:
    """Copper K alpha 1: 8047.78 eV and 1.540593 A (G. Hoelzer et al., Physical Review A 56, 4554 (1997))."""
    assert chosen_wavelength(None, 8047.8227) == pytest.approx(1.540593e-10, rel=2e-6)
    assert chosen_wavelength(1.5406e-10, 8047.8) == 1.5406e-10
    assert chosen_wavelength(None, None) is None


def test_refuses_energy_and_wavelength_that_disagree() -> None:
    with pytest.raises(
        ConfigError, match=r"8000 eV is a wavelength of 1\.5498 A, but the wavelength given is 1\.5406 A"
    ):
        chosen_wavelength(1.5406e-10, 8000.0)
    with pytest.raises(ConfigError, match="not a positive number"):
        chosen_wavelength(-1e-10, None)
