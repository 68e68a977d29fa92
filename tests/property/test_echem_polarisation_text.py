"""Texts of polarisation curves and loads: what comes in is read or refused, what is written is read again."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.echem.polarisation.curve import Conditions, Curve, Device
from poliqi.lab.echem.polarisation.file import curve_bytes, curves_from
from poliqi.lab.echem.polarisation.table import read_as
from poliqi.lab.echem.stack.load import DriveCycle, profile_from

WORDS = st.sampled_from(
    [
        "# device: PEM electrolyser", "# temperature: 60 degC", "# pressure: 1 bar", "# cells: 3", "# area: 2 cm2",
        "# curve: a", "current_density / A/cm2, voltage / V", "current / A; stack_voltage / V", "0.1, 1.6",
        "1, 1.8", "1e999, 2", ",", '"', "# : ", "time / s, speed / mph", "time (s)\tpower [kW]", "0\t1", "\x00",
        "# simulated: yes",
    ]
)  # fmt: skip
TEXT = st.one_of(
    st.binary(max_size=200), st.lists(st.one_of(WORDS, st.text(max_size=20))).map("\n".join).map(str.encode)
)
POSITIVE = st.floats(1e-3, 1e5, allow_nan=False)


@given(TEXT)
def test_any_bytes_are_curves_or_refused(data: bytes) -> None:
    try:
        curves = curves_from(data, "x.csv")
    except DataRefused as refused:
        assert "x" in str(refused)
    else:
        assert all(math.isfinite(float(one.voltage_v.sum())) for one in curves)


@given(TEXT)
def test_any_bytes_are_a_load_or_refused(data: bytes) -> None:
    try:
        load = profile_from(data, "x.csv")
    except DataRefused:
        return
    assert isinstance(load, DriveCycle) or bool(np.all(load.duration_s > 0))


@given(st.lists(st.text(max_size=30), max_size=3), st.lists(st.text(max_size=30), max_size=3))
def test_any_words_say_something_or_are_refused(stated: list[str], columns: list[str]) -> None:
    try:
        said = read_as(stated, columns)
    except ConfigError:
        return
    assert len(said.stated) == len(stated)


@given(
    st.lists(st.tuples(POSITIVE, POSITIVE), min_size=1, max_size=20),
    st.floats(280.0, 400.0),
    st.floats(1e4, 1e7),
    st.text(st.characters(codec="ascii", categories=("L", "N")), max_size=20),
)
def test_what_is_written_is_read_exactly(
    points: list[tuple[float, float]], temperature_k: float, pressure_pa: float, name: str
) -> None:
    i, v = (np.sort(np.array(column)) for column in zip(*points, strict=True))
    curve = Curve(Device.PEM_ELECTROLYSER, name, Conditions(temperature_k, pressure_pa, pressure_pa), i, v)
    (again,) = curves_from(curve_bytes(curve), "x.csv")
    assert np.array_equal(again.current_density_a_m2, i)
    assert np.array_equal(again.voltage_v, v)
    assert again.conditions.temperature_k == temperature_k
    assert again.conditions.anode_pressure_pa == pressure_pa
