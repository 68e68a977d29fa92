"""Maccor's text export: a line on the test, a line of names from "Rec#" on, tab-separated rows.

Currents carry no sign; the column "State" tells charge (C) and discharge (D).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from poliqi.lab.echem.readers.delimited import table_of_grid
from poliqi.lab.echem.readers.filebytes import text_bytes
from poliqi.lab.echem.readers.options import ReadOptions
from poliqi.lab.echem.readers.table import Table
from poliqi.lab.echem.readers.textgrid import grid_of, head_lines

__all__ = ["is_maccor", "read_maccor"]

_MOST_LINES: Final = 50
_NAMES: Final = ("rec#", "rec\t", "rec,")


def is_maccor(head: bytes) -> bool:
    """Whether a line of names of Maccor's stands among the first of a file."""
    return _line_of_names(head) is not None


def read_maccor(path: Path, options: ReadOptions) -> Table:
    """Raises ConfigError, DataRefused."""
    del options
    data = text_bytes(path)
    table = table_of_grid(grid_of(path, data, head_at=_line_of_names(data)))
    return replace(table, source_format="Maccor text")


def _line_of_names(data: bytes) -> int | None:
    for at, line in enumerate(head_lines(data)[:_MOST_LINES]):
        lower = line.lower().lstrip('" ')
        if lower.startswith(_NAMES) and "amps" in lower and "volts" in lower:
            return at
    return None
