"""NXcanSAS files: what is written is read, by others too; what others wrote is read; what is hostile is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.xray.curve import Axis, Common, Curve, IntensityUnit, Step
from poliqi.lab.xray.nxcansas import read_curves, write_curve, write_curves

h5py = pytest.importorskip("h5py")

X = np.linspace(0.1, 2.0, 50)
CURVE = Curve(
    Axis.Q_PER_NM,
    X,
    X**-4,
    0.01 * X**-4,
    IntensityUnit.PER_CM,
    0.01 * X,
    (
        Step("transmission", {"transmission": 0.8, "n": 3, "done": True, "none": None, "who": "Grüß"}),
        Step("scale", {}),
    ),
    "gold in water",
    (Common("transmission", 0.1 * X), Common("absolute scale", X**-2)),
    True,
)


def wheel(name: str) -> Path:
    import sasdata

    return Path(sasdata.__file__).parent / "example_data" / "1d_data" / name


def test_a_curve_comes_back_as_it_was(tmp_path: Path) -> None:
    write_curve(tmp_path / "a.h5", CURVE)
    (found,) = read_curves(tmp_path / "a.h5")
    for name in ("x", "intensity", "sigma", "x_sigma"):
        assert np.array_equal(getattr(found, name), getattr(CURVE, name)), name
    assert found.steps == CURVE.steps
    assert (found.axis, found.intensity_unit, found.title, found.simulated) == (
        CURVE.axis,
        CURVE.intensity_unit,
        CURVE.title,
        True,
    )
    assert [term.name for term in found.common] == ["transmission", "absolute scale"]
    assert np.array_equal(found.common[1].change, CURVE.common[1].change)


@pytest.mark.parametrize("axis", list(Axis))
def test_every_axis_and_several_curves_come_back(tmp_path: Path, axis: Axis) -> None:
    curves = [replace(CURVE, axis=axis, title=str(n), x_sigma=None) for n in range(3)]
    write_curves(tmp_path / "a.h5", curves)
    found = read_curves(tmp_path / "a.h5")
    assert [(one.axis, one.title) for one in found] == [(axis, "0"), (axis, "1"), (axis, "2")]


def test_the_same_curves_give_the_same_bytes(tmp_path: Path) -> None:
    write_curve(tmp_path / "a.h5", CURVE)
    write_curve(tmp_path / "b.h5", CURVE)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_another_program_reads_it(tmp_path: Path) -> None:
    from sasdata.dataloader.loader import Loader

    write_curve(tmp_path / "a.h5", CURVE)
    (found,) = Loader().load(str(tmp_path / "a.h5"))
    assert found.x == pytest.approx(CURVE.x / 10)  # it turns to 1/angstrom
    assert found.y == pytest.approx(CURVE.intensity)
    assert found.dy == pytest.approx(CURVE.sigma)
    assert CURVE.x_sigma is not None
    assert found.dx == pytest.approx(CURVE.x_sigma / 10)


@pytest.mark.parametrize(
    ("name", "points", "unit"),
    [
        ("33837rear_1D_1.75_16.5_NXcanSAS.h5", 66, IntensityUnit.COUNTS),
        ("33837rear_1D_1.75_16.5_NXcanSAS_v3.h5", 66, IntensityUnit.COUNTS),
        ("Lew_Sa3_DSM_QinA.h5", 490, IntensityUnit.PER_CM),
        ("FK403_0006_Nika.hdf", 118, IntensityUnit.PER_CM),
    ],
)
def test_files_of_mantid_irena_and_nika_are_read(name: str, points: int, unit: IntensityUnit) -> None:
    (found,) = read_curves(wheel(name))
    assert (found.axis, found.x.size, found.intensity_unit) == (Axis.Q_PER_ANGSTROM, points, unit)


def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    write_curve(tmp_path / "a.h5", CURVE)
    with pytest.raises(ConfigError, match="exists already"):
        write_curve(tmp_path / "a.h5", CURVE)
    write_curve(tmp_path / "a.h5", CURVE, overwrite=True)


def test_real_negative_sigmas_are_refused() -> None:
    with pytest.raises(DataRefused, match=r"sigma of point 211 is -40\.6"):
        read_curves(wheel("VTMA.h5"))


def made(path: Path, unit: str | None = "1/nm") -> Path:
    with h5py.File(path, "w") as file:
        data = file.create_group("entry").create_group("data")
        data.parent.attrs["NX_class"] = "NXentry"
        data.attrs["NX_class"] = "NXdata"
        data["Q"], data["I"], data["Idev"] = X, X**-4, 0.01 * X**-4
        if unit is not None:
            data["Q"].attrs["units"] = unit
    return path


def test_an_unknown_unit_of_q_is_refused_with_the_remedy(tmp_path: Path) -> None:
    for number, unit in enumerate((None, "furlong", "")):
        path = made(tmp_path / f"{number}.h5", unit)
        with pytest.raises(DataRefused, match=r"say which it is: --unit 1/nm"):
            read_curves(path)
        assert read_curves(path, unit=Axis.Q_PER_ANGSTROM)[0].axis is Axis.Q_PER_ANGSTROM


def test_per_metre_becomes_per_nanometre(tmp_path: Path) -> None:
    assert read_curves(made(tmp_path / "a.h5", "1/m"))[0].x[0] == pytest.approx(X[0] * 1e-9)


def test_a_unit_that_contradicts_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataRefused, match="leave --unit out"):
        read_curves(made(tmp_path / "a.h5"), unit=Axis.Q_PER_ANGSTROM)


def test_rows_over_one_q_are_a_curve_each_and_points_that_are_no_numbers_go(tmp_path: Path) -> None:
    path = made(tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        data = file["entry/data"]
        del data["I"], data["Idev"]
        data["I"] = np.stack((X**-4, X**-3))
        data["Idev"] = np.where(X > 1.9, np.nan, 0.1) * np.ones((2, 1))
    found = read_curves(path)
    assert [one.title for one in found] == ["entry #1", "entry #2"]
    assert found[1].x.size == int((X <= 1.9).sum())
    assert found[1].steps[-1].settings["left_out"] == X.size - found[1].x.size


def test_a_curve_smeared_by_a_slit_is_refused(tmp_path: Path) -> None:
    path = made(tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        file["entry/data/dQl"] = 0.1 * X
        file["entry/data/Q"].attrs["resolutions"] = "dQw,dQl"
    with pytest.raises(DataRefused, match="smeared by a slit"):
        read_curves(path)


def test_nothing_outside_of_the_file_is_followed(tmp_path: Path) -> None:
    made(tmp_path / "secret.h5")
    link = made(tmp_path / "link.h5")
    with h5py.File(link, "r+") as file:
        del file["entry/data/I"]
        file["entry/data/I"] = h5py.ExternalLink("secret.h5", "/entry/data/I")
    kept = made(tmp_path / "kept.h5")
    with h5py.File(kept, "r+") as file:
        del file["entry/data/I"]
        file["entry/data"].create_dataset("I", (50,), "f8", external=[(str(tmp_path / "secret.h5"), 0, 400)])
    virtual = made(tmp_path / "virtual.h5")
    with h5py.File(virtual, "r+") as file:
        del file["entry/data/I"]
        layout = h5py.VirtualLayout((50,), "f8")
        layout[:] = h5py.VirtualSource(str(tmp_path / "secret.h5"), "entry/data/I", (50,))
        file["entry/data"].create_virtual_dataset("I", layout)
    for path in (link, kept, virtual):
        with pytest.raises(DataRefused, match="another file"):
            read_curves(path)


def test_more_than_a_curve_may_have_is_not_unpacked(tmp_path: Path) -> None:
    path = made(tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        del file["entry/data/I"]
        file["entry/data"].create_dataset("I", (50,), "f8", maxshape=(None,), chunks=(1 << 24,), compression="gzip")
    with pytest.raises(DataRefused, match="repack it"):
        read_curves(path)
    with h5py.File(path, "r+") as file:
        del file["entry/data/I"]
        file["entry/data"].create_dataset("I", (1 << 20, 50), "f8", chunks=(1024, 50), compression="gzip")
    with pytest.raises(DataRefused, match="more than 50000000 values"):
        read_curves(path)


def test_what_is_no_hdf5_or_holds_no_curve_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(DataRefused, match="no readable HDF5 file"):
        read_curves(tmp_path / "a.h5")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(DataRefused, match="no SASdata or NXdata"):
        read_curves(tmp_path / "b.h5")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_curves(tmp_path / "c.h5")


def test_a_loop_of_groups_ends(tmp_path: Path) -> None:
    path = made(tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        file["entry/again"] = file["entry"]
        file["entry/soft"] = h5py.SoftLink("/entry")
    assert 1 <= len(read_curves(path)) < 5
