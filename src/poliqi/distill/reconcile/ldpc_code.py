"""The project's parity-check codes: quasi-cyclic, one file of base graphs, any length in steps of 16384 bits.

A base graph has COLUMNS columns and some rows; an edge joins each of the Z checks of a row to one of the Z bits of
a column, turned by the edge's shift. The first `core` rows are a code made for one rate; the `extra` rows after
them are for frames that need more. How the codes were made: `codes/construct.py`, docs/explanation/ldpc.md.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

__all__ = ["BASE_LIFT", "COLUMNS", "BaseCode", "LiftedCode", "base_codes", "lifted"]

COLUMNS: Final = 256
BASE_LIFT: Final = 256
_FIRST: Final = 1 << 15


class BaseCode(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A base graph as the file has it: 16 bits for each edge in base64, see `columns`."""

    core: int
    extra: int
    edges: str

    @property
    def columns(self) -> list[list[tuple[int, int]]]:
        """The (row, shift) of each column's edges; shifts are of lift BASE_LIFT."""
        found: list[list[tuple[int, int]]] = []
        for word in np.frombuffer(base64.b64decode(self.edges), "<u2").tolist():
            if word & _FIRST:
                found.append([])
            found[-1].append((word >> 8 & 127, word & 255))
        return found


class _File(msgspec.Struct, forbid_unknown_fields=True):
    columns: int
    lift: int
    seed: int
    codes: list[BaseCode]


@dataclass(frozen=True, slots=True, eq=False)
class LiftedCode:
    """A base graph with Z = `lift`, a multiple of 64, as kernels read it: edges by row, then by column.

    `start` int64[rows + 1], `column` and `shift` int64[edges].
    """

    lift: int
    rows: int
    start: NDArray[np.int64]
    column: NDArray[np.int64]
    shift: NDArray[np.int64]

    @property
    def widest(self) -> int:
        """Edges of the widest row."""
        return int(np.diff(self.start).max())


@cache
def base_codes() -> tuple[BaseCode, ...]:
    """All codes, fewest rows first."""
    text = files("poliqi.distill.reconcile").joinpath("ldpc_codes.json").read_bytes()
    return tuple(msgspec.json.decode(text, type=_File).codes)


@cache
def lifted(code: BaseCode, lift: int) -> LiftedCode:
    """The code of COLUMNS * lift bits. Shifts are scaled: floor(shift * lift / BASE_LIFT)."""
    if lift < 64 or lift % 64:
        raise ValueError(f"a lift is a multiple of 64, not {lift}")
    rows = code.core + code.extra
    by_row: list[list[tuple[int, int]]] = [[] for _ in range(rows)]
    for c, edges in enumerate(code.columns):
        for row, shift in edges:
            by_row[row].append((c, shift * lift // BASE_LIFT))
    start = np.cumsum([0, *(len(edges) for edges in by_row)], dtype=np.int64)
    column, shift = (np.array([edge[k] for edges in by_row for edge in edges], np.int64) for k in (0, 1))
    return LiftedCode(lift, rows, start, column, shift)
