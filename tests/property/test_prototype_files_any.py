"""PROTOTYPE.toml, CARBON.toml, amounts: whatever is in them is read or refused, what is written is read again."""

from __future__ import annotations

import math
import string

from hypothesis import given, settings
from hypothesis import strategies as st

from poliqi.base.errors import PoliqiError
from poliqi.lab.echem.prototype.sheet import build_sheet
from poliqi.ops.amount_text import UNITS, amount_text, parse_amount
from poliqi.ops.carbon_toml import read_carbon
from poliqi.ops.prototype_examples import EXAMPLES
from poliqi.ops.prototype_make import prototype_of
from poliqi.ops.prototype_toml import read_table, table_text

KINDS = st.sampled_from(sorted(EXAMPLES))
JSON = st.binary(max_size=60).map(lambda raw: b'{"prototype": ' + raw) | st.sampled_from(
    [
        b"{",
        b"{}",
        b'{"prototype": 3}',
        b'{"prototype": {}}',
        b'{"prototype": {"kind": "coin"}}',
        b"{" * 9999,
        b"{\xff",
    ]
)
PRINTED = string.digits + string.ascii_letters + '.()+-%/ ="[]{},_#\n\\'


@given(st.sampled_from(sorted(UNITS)), st.text(PRINTED, max_size=90) | st.text(max_size=90) | st.floats())
def test_an_amount_is_read_or_refused(dimension: str, text: str | float) -> None:
    try:
        found = parse_amount(text, dimension, "key")
    except PoliqiError as error:
        assert "key" in str(error)
    else:
        assert math.isfinite(found.value)
        assert found.sigma >= 0


@given(
    st.sampled_from([(dimension, unit) for dimension, units in UNITS.items() for unit in units]),
    st.floats(1e-12, 1e12),
    st.just(0.0) | st.floats(1e-12, 1e12),
)
def test_an_amount_as_it_is_written_is_the_same(unit: tuple[str, str], value: float, sigma: float) -> None:
    dimension, name = unit
    found = parse_amount(amount_text(value, sigma, name), dimension, "key")
    factor = UNITS[dimension][name]
    assert (found.value, found.sigma) == (value * factor, sigma * factor)


@settings(deadline=None, max_examples=60)
@given(KINDS, st.data())
def test_a_file_with_anything_in_it_is_built_or_refused(kind: str, data: st.DataObject) -> None:
    text = EXAMPLES[kind]
    at = data.draw(st.integers(0, len(text)))
    length = data.draw(st.integers(0, 40))
    put = data.draw(
        st.text(PRINTED, max_size=12) | st.sampled_from(["1e308", "nan", "inf", "-1", "0", "[[", "9" * 400])
    )
    raw = (text[:at] + put + text[at + length :]).encode()
    try:
        table = read_table(raw, kind=kind, where="a.toml")
        made = prototype_of(table, "a.toml")
    except PoliqiError as error:
        assert "a.toml" in str(error)
        return
    assert read_table(table_text(table).encode(), kind=kind, where="b") == table
    try:
        sheet = build_sheet(made, draws=100)
    except PoliqiError:
        return
    assert all(math.isfinite(one.value) for one in sheet.tolerances.spreads.values())


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=300) | st.text(PRINTED, max_size=300).map(str.encode) | JSON, KINDS)
def test_bytes_are_no_prototype_and_no_carbon(raw: bytes, kind: str) -> None:
    for read in (lambda: read_table(raw, kind=kind, where="a"), lambda: read_carbon(raw, "a")):
        try:
            read()
        except PoliqiError as error:
            assert str(error).startswith("a:")


@given(st.text(PRINTED, max_size=60))
def test_a_setting_is_taken_or_refused(text: str) -> None:
    try:
        read_table(EXAMPLES["coin"].encode(), [text], kind="coin", where="a")
    except PoliqiError as error:
        assert str(error).startswith("a:")
