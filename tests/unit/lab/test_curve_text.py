"""Curves in files of text, of many makers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.xray import curvefiles
from poliqi.lab.xray.curve import Axis, IntensityUnit
from poliqi.lab.xray.curvefiles import curve_from_text, read_curve_file
from poliqi.lab.xray.noise import with_estimated_sigma
from poliqi.lab.xray.points import axis_of

A = Axis.Q_PER_ANGSTROM


def wheel(name: str) -> Path:
    import sasdata

    return Path(sasdata.__file__).parent / "example_data" / "1d_data" / name


@pytest.mark.parametrize(
    ("header", "axis"),
    [
        ("# q_nm^-1 I sigma", Axis.Q_PER_NM),
        ("# q_A^-1 I sigma", A),
        ("q (1/nm), I (1/cm)", Axis.Q_PER_NM),
        ("q [Å⁻¹]  I", A),
        ("q (inverse angstrom)", A),
        ("2-Theta Angle (Degrees)", Axis.TWO_THETA_DEG),
        ("# 2th_deg I", Axis.TWO_THETA_DEG),
    ],
)
def test_the_unit_that_a_header_names_is_found(header: str, axis: Axis) -> None:
    assert curve_from_text(f"{header}\n0.1 5 1\n0.2 4 1\n".encode(), Path("a.dat")).axis is axis


def test_a_file_that_names_no_unit_is_refused_with_the_remedy() -> None:
    with pytest.raises(DataRefused, match=r"does not say the unit of q; say which it is: --unit 1/nm \| 1/A"):
        curve_from_text(b"0.1 5 1\n0.2 4 1\n", Path("a.dat"))


def test_a_header_that_names_two_units_is_refused() -> None:
    with pytest.raises(DataRefused, match="which is not known"):
        curve_from_text(b"q in 1/nm (not 1/angstrom)\n0.1 5 1\n0.2 4 1\n", Path("a.dat"))


def test_xye_is_over_two_theta() -> None:
    assert curve_from_text(b"10.0 5 1\n10.1 4 1\n", Path("a.xye")).axis is Axis.TWO_THETA_DEG


def test_negative_sigma_is_refused() -> None:
    with pytest.raises(DataRefused, match=r"sigma of point 1 is -1\.0"):
        curve_from_text(b"0.1 5 1\n0.2 4 -1\n", Path("a.dat"), unit=A)


def test_numbers_as_they_are_written_elsewhere() -> None:
    text = b"1,0E-1;5,5;0,1\n2,0E-1;4,5;0,2\n"
    assert curve_from_text(text, Path("a.csv"), unit=A).intensity == pytest.approx([5.5, 4.5])
    fortran = b" 1.0D-01 5.5D+00 .1\n 2.0D-01 4.5D+00 .2\n"
    assert curve_from_text(fortran, Path("a.dat"), unit=A).x == pytest.approx([0.1, 0.2])
    assert curve_from_text(b"0.1, 5.5, 1\n0.2, 4.5, 1\n", Path("a.csv"), unit=A).sigma == pytest.approx([1, 1])


def test_what_is_no_number_goes_the_rest_is_sorted_and_equal_points_are_joined() -> None:
    text = b"0.3 1 .1\n0.1 nan .1\n0.2 4 1\n0.2 6 1\n0 9 1\n-0.1 1 1\n0.4 -1.#IND 1\n"
    curve = curve_from_text(text, Path("a.dat"), unit=A)
    assert curve.x == pytest.approx([0.2, 0.3])
    assert curve.intensity == pytest.approx([5, 1])
    assert curve.sigma == pytest.approx([1 / np.sqrt(2), 0.1])
    assert curve.steps[-1].settings["left_out"] == 4
    assert curve.steps[-1].settings["joined"] == 1


def test_the_longest_table_is_taken_and_comments_in_it_are_passed_over() -> None:
    text = b"2 300\nnotes\n0.1 5 1\n# break\n\n0.2 4 1\n0.3 3 1\nend of file\n7 8 9\n"
    assert curve_from_text(text, Path("a.dat"), unit=A).x == pytest.approx([0.1, 0.2, 0.3])


def test_the_fourth_column_is_a_width_where_it_can_be_one() -> None:
    width = curve_from_text(b"0.1 5 1 .01\n0.2 4 1 .01\n", Path("a.dat"), unit=A).x_sigma
    assert width == pytest.approx([0.01, 0.01])
    assert curve_from_text(b"0.1 5 1 22\n0.2 4 1 21\n", Path("a.dat"), unit=A).x_sigma is None


@pytest.mark.parametrize(
    ("name", "points", "unit", "widths", "simulated"),
    [
        ("apoferritin.txt", 395, IntensityUnit.ARBITRARY, True, False),
        ("100nmPinholeSphere.txt", 150, IntensityUnit.PER_CM, True, True),
        ("APS_DND-CAT.TXT", 733, IntensityUnit.ARBITRARY, False, False),
        ("AUSANS_run4_1_with_buffer.ABS", 114, IntensityUnit.ARBITRARY, True, False),
        ("Alumina_usaxs.csv", 112, IntensityUnit.ARBITRARY, False, False),
        ("x_coreshell_1.txt", 1000, IntensityUnit.ARBITRARY, True, True),
    ],
)
def test_real_files(name: str, points: int, unit: IntensityUnit, widths: bool, simulated: bool) -> None:
    (curve,) = read_curve_file(wheel(name), unit=A)
    assert curve.x.size == points
    assert curve.intensity_unit is unit
    assert (curve.x_sigma is not None) == widths
    assert curve.simulated == simulated


def test_values_equal_those_that_sasdata_reads() -> None:
    from sasdata.dataloader.loader import Loader

    (other,) = Loader().load(str(wheel("apoferritin.txt")))
    (curve,) = read_curve_file(wheel("apoferritin.txt"), unit=A)
    assert curve.x == pytest.approx(other.x)
    assert curve.intensity == pytest.approx(other.y)
    assert curve.sigma == pytest.approx(other.dy)


def test_no_table_no_text_and_no_file_are_refused(tmp_path: Path) -> None:
    for data, why in (
        (b"", "no table"),
        (b"1 2\n", "no table"),
        (b"a\0b", "no text"),
        (b"nan nan\n1 nan\n", "no point"),
    ):
        with pytest.raises(DataRefused, match=why):
            curve_from_text(data, Path("a.dat"), unit=A)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_curve_file(tmp_path / "absent.dat")


def test_an_estimated_sigma_is_that_of_the_noise() -> None:
    x = np.linspace(0.01, 0.3, 600)
    noise = np.random.default_rng(0).normal(size=600)
    text = "\n".join(f"{a} {b}" for a, b in zip(x, np.exp(-50 * x * x) + 0.01 * noise, strict=True))
    curve = with_estimated_sigma(curve_from_text(text.encode(), Path("a.dat"), unit=A))
    assert float(np.median(curve.sigma)) == pytest.approx(0.01, rel=0.15)
    assert curve.steps[-1].name == "sigma from scatter"


def test_units_of_files() -> None:
    assert axis_of("1/angstrom") == (A, 1.0)
    assert axis_of("Å⁻¹".replace("⁻¹", "-1")) == (A, 1.0)
    assert axis_of("1/m") == (Axis.Q_PER_NM, 1e-9)
    assert axis_of("counts") is None


def test_blanks_of_a_header_are_joined_before_it_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time that a pattern takes must not grow with the square of what a file holds."""
    asked: list[str] = []

    class Recorded:
        def search(self, text: str) -> None:
            asked.append(text)

    monkeypatch.setattr(curvefiles, "_PER_CM", Recorded())
    header = b"# q (1/nm)" + b" " * 15_000 + b"\t\n#\n\n nm" + b" " * 4000 + b"\n"
    curve_from_text(header + b"1 2\n2 3\n3 4\n", Path("a.dat"))
    assert asked == ["# q (1/nm) # nm"]


def test_a_long_word_of_digits_is_read_in_one_go() -> None:
    """It took a minute to find that this one is no number."""
    text = b"1" * 50_000 + b"x 2\n1 2\n2 3\n3 4\n"
    assert curve_from_text(text, Path("a.dat"), unit=Axis.Q_PER_NM).x.tolist() == [1, 2, 3]
