"""BPX files: a cell written and read again is the same cell; hostile files are refused and not run."""

from __future__ import annotations

import json
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.models.bpxexport import bpx_bytes
from poliqi.lab.echem.models.bpxfile import bpx_values, read_bpx
from poliqi.lab.echem.models.cellmodel import CellModel, ModelKind
from poliqi.lab.echem.models.cellparameters import ParameterSet, parameter_set
from poliqi.lab.echem.models.drive import constant_drive
from poliqi.lab.echem.pybammdoor import pybamm

pytestmark = pytest.mark.skipif(find_spec("pybamm") is None, reason='the extra "echem" is not installed')
OCP = "Negative electrode OCP [V]"


@pytest.fixture(scope="module")
def chen() -> ParameterSet:
    return parameter_set("Chen2020")


@pytest.fixture(scope="module")
def written(chen: ParameterSet) -> bytes:
    return bpx_bytes(chen, title="LG M50")


def changed(document: bytes, place: tuple[str, ...], value: Any) -> bytes:
    whole = json.loads(document)
    group = whole
    for key in place[:-1]:
        group = group[key]
    group[place[-1]] = value
    return json.dumps(whole).encode()


def potential(values: Any, at: list[float]) -> list[float]:
    """Of the negative electrode at these lithium contents."""
    made = values.process_symbol(values[OCP](pybamm().Vector(np.array(at))))
    return np.asarray(made.evaluate()).reshape(-1).tolist()


NEGATIVE_OCP = ("Parameterisation", "Negative electrode", "OCP [V]")


def test_a_cell_written_and_read_again_has_the_same_voltage(chen: ParameterSet, written: bytes) -> None:
    again = ParameterSet("again", "BPX", bpx_values(written, "cell.json"))
    drive = constant_drive(-5.0, 3000.0, 60)
    one, other = (CellModel(ModelKind.SPME, each, [], drive).run({}).voltage_v for each in (chen, again))
    assert other == pytest.approx(one, abs=1e-4)


@pytest.mark.filterwarnings("ignore")  # of packages that bpx is built on
def test_the_file_is_one_that_the_standard_s_reader_takes(written: bytes) -> None:
    import bpx

    read = bpx.parse_bpx_obj(json.loads(written))
    assert read.header.model == "DFN"
    assert read.parameterisation.cell.nominal_cell_capacity == 5.0


def test_a_function_is_calculated_as_it_stands(written: bytes) -> None:
    document = changed(written, NEGATIVE_OCP, "0.1 + 0.7*exp(-20*x) - 0.02*tanh((x - 0.5)/0.05) + x**2/-100")
    x = np.array([0.05, 0.5, 0.9])
    closed = 0.1 + 0.7 * np.exp(-20 * x) - 0.02 * np.tanh((x - 0.5) / 0.05) - x**2 / 100
    assert potential(bpx_values(document, "cell"), x.tolist()) == pytest.approx(closed, rel=1e-12)


def test_reading_leaves_no_file_behind(written: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    bpx_values(changed(written, NEGATIVE_OCP, "1.0 - x"), "cell")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text",
    ["exit(1)", "open(x)", "9**9**9**9", "x**x", "().__class__", "1 if x else 2", "x\n+1", "x;x", "exp(x, x)",
     "1e999", "1/0", "(-1)**0.5", "(" * 5000, "y", "'a'", "lambda: 1", "0*1j"],
)  # fmt: skip
def test_what_is_no_function_of_x_is_refused_by_its_place(written: bytes, text: str) -> None:
    with pytest.raises(DataRefused, match=r"cell\.json: Negative electrode: OCP \[V\]"):
        bpx_values(changed(written, NEGATIVE_OCP, text), "cell.json")


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("Parameterisation", "Cell", "Upper voltage cut-off [V]"), None, "Upper voltage cut-off"),
        (("Parameterisation", "Negative electrode", "Colour"), 3.0, "Colour"),
        (("Parameterisation",), 3, "holds no Parameterisation"),
        (("Parameterisation", "Separator"), {"x": [1e301], "y": [0]}, "x holds 1e\\+301"),
        (("Parameterisation", "Separator"), {"x": ["1e300", "99"], "y": [0, 0]}, "x holds '1e300'"),
        (("Parameterisation", "Separator"), {"x": [0, 1], "y": [0, None]}, "y holds None"),
        (("State", "Initial conditions", "Initial state-of-charge"), 7, "between 0 and 1"),
    ],
)
def test_a_file_that_breaks_the_standard_is_refused(
    written: bytes, place: tuple[str, ...], value: object, words: str
) -> None:
    with pytest.raises(DataRefused, match=words):
        bpx_values(changed(written, place, value), "cell.json")


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff", b'{"Parameterisation": {}}', b"[" * 100_000])
def test_what_is_no_bpx_is_refused(data: bytes) -> None:
    with pytest.raises(DataRefused, match=r"cell\.json: "):
        bpx_values(data, "cell.json")


def test_nesting_is_bounded(written: bytes) -> None:
    deep: dict[str, Any] = {"a": 1.0}
    for _ in range(20):
        deep = {"a": deep}
    with pytest.raises(DataRefused, match="nested deeper"):
        bpx_values(changed(written, ("Parameterisation", "User-defined"), deep), "cell.json")


def test_a_large_file_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "cell.json"
    with file.open("wb") as out:
        out.truncate((16 << 20) + 1)
    with pytest.raises(DataRefused, match="must be at most"):
        read_bpx(file)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Ai2020", "Thermodynamic factor"),
        ("ORegan2022", "exchange-current density .* the only form"),
        ("Ecker2015", "conductivity .* Arrhenius"),
        ("Marquis2019", "Separator porosity is 1"),
    ],
)
def test_what_bpx_cannot_say_is_refused_by_name(name: str, words: str) -> None:
    with pytest.raises(DataRefused, match=words):
        bpx_bytes(parameter_set(name), title=name)


def test_a_state_below_full_is_written(chen: ParameterSet) -> None:
    document = json.loads(bpx_bytes(chen.at_start("0.4"), title="part"))
    assert document["State"]["Initial conditions"]["Initial state-of-charge"] == pytest.approx(0.4, abs=1e-6)


@settings(max_examples=12)
@given(
    part=st.sampled_from(["Cell", "Electrolyte", "Negative electrode", "Separator", "User-defined"]),
    at=st.integers(0, 20),
    value=st.none() | st.floats() | st.text(max_size=9) | st.lists(st.floats(), max_size=3) | st.booleans(),
)
def test_a_file_with_any_value_in_it_is_read_or_refused(written: bytes, part: str, at: int, value: object) -> None:
    group = json.loads(written)["Parameterisation"].get(part, {"own": 1.0})
    place = ("Parameterisation", part, list(group)[at % len(group)]) if part != "User-defined" else (part, "own")
    whole = json.loads(written)
    whole["Parameterisation"].setdefault(part, {})[place[-1]] = value
    try:
        bpx_values(json.dumps(whole).encode(), "cell.json")
    except DataRefused as refused:
        assert str(refused).startswith("cell.json")
