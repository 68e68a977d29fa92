"""Cells of CSV that a spreadsheet opens."""

from __future__ import annotations

import pytest

from poliqi.base.csvcell import csv_cell


@pytest.mark.parametrize("words", ["=1+1", "+1", "-1", "@SUM(A1)", "  =1", "\t=1", "\r=1", "\uff1d1", "\n"])
def test_what_a_spreadsheet_would_run_gets_an_apostrophe(words: str) -> None:
    assert csv_cell(words) == f"'{words}"


@pytest.mark.parametrize("words", ["", " ", "cell 3", "1+1", "a=b", "'=1"])
def test_other_words_stay(words: str) -> None:
    assert csv_cell(words) == words
