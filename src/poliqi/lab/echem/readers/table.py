"""What a reader of one format hands on: named columns, not yet chosen from, and what its format says of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poliqi.lab.echem.readers.options import Positive

__all__ = ["Floats", "Table", "table_of"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Table:
    """`numbers(at)` is column `at` as float64 (n,), `words(at)` the same as text; both may raise DataRefused.

    `rows` are the rows of the file, counted from 1, that points stand in; None where they are 1, 2, 3 ...
    `positive` is what the format defines of its current; None where it defines nothing. `units` are those that the
    format defines for columns that tell none, by their role.
    """

    path: Path
    source_format: str
    names: tuple[str, ...]
    numbers: Callable[[int], Floats]
    words: Callable[[int], Sequence[str]] | None = None
    rows: NDArray[np.int64] | None = None
    positive: Positive | None = None
    units: Mapping[str, str] | None = None
    notes: tuple[str, ...] = ()
    row_word: str = "row"
    """What a row is called: row of a sheet, line of a text, record of a binary file."""


def table_of(columns: Mapping[str, NDArray[np.generic]]) -> tuple[tuple[str, ...], Callable[[int], Floats]]:
    """Names and `numbers` of columns that are in memory."""
    held = tuple(columns.values())

    def numbers(at: int) -> Floats:
        return np.ascontiguousarray(held[at], dtype=np.float64)

    return tuple(columns), numbers
