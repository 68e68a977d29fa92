"""Words of people as cells of a CSV that a spreadsheet opens.

A spreadsheet runs a cell that begins with = + - @ as a formula, also one of its full-width forms. Words that begin
so, or with a blank of any kind before it, get an apostrophe in front; numbers of our own making do not come here.
"""

from __future__ import annotations

from typing import Final

__all__ = ["csv_cell"]

_FORMULA: Final = frozenset("=+-@\uff1d\uff0b\uff0d\uff20\t\r\n")


def csv_cell(words: str) -> str:
    """The words, as no spreadsheet runs them."""
    return f"'{words}" if words[:1] in _FORMULA or words.lstrip()[:1] in _FORMULA else words
