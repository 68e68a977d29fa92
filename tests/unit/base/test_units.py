"""Quantities as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poliqi.base.errors import ConfigError
from poliqi.base.units import parse_quantity


@pytest.mark.parametrize(
    ("text", "dimension", "value"),
    [
        ("7 km", "m", 7000.0),
        ("7km", "m", 7000.0),
        ("1550 nm", "m", 1550e-9),
        ("0.3 dB/km", "dB/km", 0.3),
        ("50 ns", "s", 50e-9),
        ("2 min", "s", 120.0),
        ("1 GHz", "Hz", 1e9),
        ("100 Hz", "Hz", 100.0),
        ("85 %", "1", 0.85),
        ("1e-6", "1", 1e-6),
        (0.5, "1", 0.5),
        ("-10 dBm", "dBm", -10.0),
        ("90 d", "s", 7_776_000.0),
        ("256 bit", "bit", 256.0),
        ("1.5 Gbit", "bit", 1.5e9),
        ("2 kbit/s", "bit/s", 2000.0),
        ("100 keys/s", "keys/s", 100.0),
        ("17 ps/(nm km)", "ps/(nm km)", 17.0),
    ],
)
def test_quantities_become_base_units(text: str | float, dimension: str, value: float) -> None:
    assert parse_quantity(text, dimension, "x") == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "dimension", "words"),
    [
        (7, "m", "no unit"),
        ("7", "m", "no unit"),
        ("7 dB", "m", "measures dB"),
        ("7 furlong", "m", "'furlong' is not known"),
        ("seven km", "m", "write a number with a unit"),
        ("nan km", "m", "write a number"),
        ("1e999 km", "m", "not finite"),
        (float("inf"), "1", "not finite"),
        (True, "1", "write a number"),
        ("1" * 99, "1", "write a number"),
    ],
)
def test_what_cannot_be_read_names_setting_and_remedy(text: str | float, dimension: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as error:
        parse_quantity(text, dimension, "fibre.length")
    assert "fibre.length" in str(error.value)


@given(st.text(max_size=100), st.sampled_from(["m", "s", "1", "dB"]))
def test_any_text_is_read_or_refused(text: str, dimension: str) -> None:
    try:
        parse_quantity(text, dimension, "x")
    except ConfigError as error:
        assert "x" in str(error)
