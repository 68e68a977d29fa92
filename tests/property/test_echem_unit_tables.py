"""Tables with units: what is written is read, and hostile bytes are refused in one line."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.echem.unittable import Wanted, read_stated, unit_table

WANTED = {
    "potential": Wanted(("e", "potential"), {"V": 1.0, "mV": 1e-3}),
    "current": Wanted(("i", "current"), {"A": 1.0, "mA": 1e-3, "mA/cm2": 1e-3}),
}
NUMBERS = st.floats(-1e6, 1e6, allow_nan=False).map(lambda x: float(f"{x:.6g}"))


@given(
    rows=st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=30),
    separator=st.sampled_from([",", ";", "\t", "  "]),
    head=st.sampled_from(["E / V{s}I / mA", "e (V){s}i (mA)", "Potential [V]{s}Current [mA]", "E/V{s}<I>/mA"]),
    comma=st.booleans(),
    remarks=st.lists(st.sampled_from(["# remark", "", "Nb header lines : 3"]), max_size=3),
)
def test_what_is_written_is_read(
    rows: list[tuple[float, float]], separator: str, head: str, comma: bool, remarks: list[str]
) -> None:
    lines = [separator.join(f"{x:.10f}" for x in row) for row in rows]
    if comma and separator != ",":
        lines = [line.replace(".", ",") for line in lines]
    text = "\n".join([*remarks, head.replace("{s}", separator), *lines])
    found = unit_table(text.encode(), WANTED)
    assert found.columns["potential"] == pytest.approx([row[0] for row in rows], abs=1e-9)
    assert found.columns["current"] == pytest.approx([row[1] * 1e-3 for row in rows], abs=1e-9)
    assert found.units == {"potential": "V", "current": "mA"}


def test_whole_numbers_in_the_first_row_hide_no_decimal_comma() -> None:
    found = unit_table(b"E / V;I / mA\n0;1\n0,5;1,5\n", WANTED)
    assert found.columns["potential"].tolist() == [0.0, 0.5]
    with pytest.raises(DataRefused, match="row 3"):
        unit_table(b"E / V;I / mA\n0;1\n0,5;1.5\n", WANTED)


@given(st.binary(max_size=400))
def test_any_bytes_are_a_table_or_refused(data: bytes) -> None:
    try:
        found = unit_table(data, WANTED)
    except DataRefused as error:
        assert "\n" not in str(error)
    else:
        assert np.all(np.isfinite(found.columns["potential"]))


@given(st.text(max_size=60))
def test_any_words_state_a_column_or_are_refused(text: str) -> None:
    try:
        found = read_stated((text,), tuple(WANTED))
    except ConfigError as error:
        assert "--column" in str(error)
    else:
        assert set(found) <= set(WANTED)


@given(at=st.integers(0, 9), bad=st.sampled_from(["nan", "inf", "1_0", "x", "0x1", "1e999", "--1"]))
def test_a_bad_number_is_refused_with_its_row(at: int, bad: str) -> None:
    lines = [f"{k},{k}" for k in range(11)]
    lines[at + 1] = f"{bad},1"
    with pytest.raises(DataRefused, match=f"row {at + 3}"):
        unit_table(("E / V,I / A\n" + "\n".join(lines)).encode(), WANTED)
