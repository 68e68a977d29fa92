"""Calibrant files from outside: whatever the bytes, spacings that fall strictly, or one clear refusal."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poliqi.base.errors import DataRefused
from poliqi.lab.xray.calibration.calibrants import LARGEST_FILE, parse_spacings

LINES = st.one_of(
    st.floats(width=32).map(str),
    st.text(alphabet="0123456789.eE+-# \tnaif", max_size=30),
    st.text(max_size=20),
)


def is_sound(content: bytes) -> None:
    try:
        spacings = parse_spacings(content)
    except DataRefused as error:
        assert "calibrant" in str(error)
        return
    assert spacings.size > 0
    assert np.all(np.isfinite(spacings) & (spacings >= 0.05) & (spacings <= 10_000))
    assert np.all(np.diff(spacings) < 0)


@given(st.binary(max_size=400))
def test_any_bytes(content: bytes) -> None:
    is_sound(content)


@given(st.lists(LINES, max_size=30).map("\n".join))
def test_any_lines(text: str) -> None:
    is_sound(text.encode())


@given(st.lists(st.floats(0.06, 9_000.0), min_size=1, max_size=40, unique=True))
def test_spacings_in_any_order_come_back_falling(values: list[float]) -> None:
    content = "# Calibrant: any\n" + "\n".join(f" {value!r} # (1 1 1) 8" for value in values)
    found = parse_spacings(content.encode())
    assert set(found.tolist()) <= set(values)
    assert found[0] == max(values)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"4.15\nnan\n", "line 2"),
        (b"inf", "line 1"),
        (b"4.15 2.9\n", "is no spacing"),
        (b"-4.15\n", "must lie within"),
        (b"# nothing\n\n", "holds no spacing"),
        (b"\xff\xfe", "is no text"),
        (b"1\n" * (LARGEST_FILE // 2 + 1), "more than"),
        (b"1.5\n" * 20_001, "more than 20000 spacings"),
    ],
)
def test_refusals_name_the_place(content: bytes, said: str) -> None:
    with pytest.raises(DataRefused, match=said):
        parse_spacings(content)
