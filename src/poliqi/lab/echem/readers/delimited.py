"""Text with columns: BDF, Arbin's and other cyclers' exports, public archives, anything with named columns.

Files without a line of names are read by numbers of columns.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from poliqi.lab.echem.readers.filebytes import text_bytes
from poliqi.lab.echem.readers.naming import named
from poliqi.lab.echem.readers.options import Positive, ReadOptions
from poliqi.lab.echem.readers.table import Table
from poliqi.lab.echem.readers.textcolumns import TextColumns
from poliqi.lab.echem.readers.textgrid import Grid, grid_of
from poliqi.lab.echem.record import BDF_NAMES

__all__ = ["is_bdf", "layout_of", "read_delimited", "table_of_grid"]

_REQUIRED: Final = tuple(BDF_NAMES[name] for name in ("time_s", "voltage_v", "current_a"))
_MACHINE: Final = ("test_time_second", "voltage_volt", "current_ampere")
_ARBIN: Final = frozenset(
    ("testtime", "steptime", "stepindex", "cycleindex", "current", "voltage", "chargecapacity", "dischargecapacity")
)
_ARBIN_UNITS: Final = {
    "time": "s", "voltage": "V", "current": "A", "charged": "Ah", "discharged": "Ah", "temperature": "degC"
}  # fmt: skip


def read_delimited(path: Path, options: ReadOptions) -> Table:
    """Raises ConfigError, DataRefused."""
    del options
    return table_of_grid(grid_of(path, text_bytes(path)))


def table_of_grid(grid: Grid) -> Table:
    """What its names say of the program that wrote it."""
    columns = TextColumns(grid)
    source_format, positive, units = layout_of(grid.names)
    return Table(
        grid.path,
        source_format,
        grid.names,
        columns.numbers,
        columns.words,
        columns.rows,
        positive,
        units,
        notes=columns.notes,
        row_word="line",
    )


def layout_of(names: tuple[str, ...]) -> tuple[str, Positive | None, dict[str, str] | None]:
    """Who wrote columns of these names, what a positive current is there, and units where names tell none."""
    if is_bdf(names):
        return "BDF", Positive.CHARGE, None
    plain = {name.lower().replace("_", "").replace(" ", "").partition("(")[0] for name in names}
    if plain >= _ARBIN:
        return "Arbin", Positive.CHARGE, _ARBIN_UNITS
    known = sum(named(name) is not None for name in names)
    return ("columns of text" if known else "columns of numbers"), None, None


def is_bdf(names: tuple[str, ...]) -> bool:
    """Whether the columns that the Battery Data Format requires are there, by its labels or machine names."""
    return set(names) >= set(_REQUIRED) or set(names) >= set(_MACHINE)
