"""BioLogic's EC-Lab text (.mpt): a header that tells its own length, then tab-separated columns."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Final

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.readers.delimited import table_of_grid
from poliqi.lab.echem.readers.filebytes import text_bytes
from poliqi.lab.echem.readers.options import Positive, ReadOptions
from poliqi.lab.echem.readers.table import Table
from poliqi.lab.echem.readers.textgrid import grid_of, head_lines

__all__ = ["MAGIC", "read_biologic_text"]

MAGIC: Final = (b"EC-Lab ASCII FILE", b"BT-Lab ASCII FILE")
_LONGEST: Final = 200
_LENGTH: Final = re.compile(r"\s*Nb header lines\s*:\s*(\d{1,4})\s*")
_STARTED: Final = re.compile(r"\s*Acquisition started on\s*:\s*(.{8,40}?)\s*")


def read_biologic_text(path: Path, options: ReadOptions) -> Table:
    """Positive current oxidises at the working electrode. Raises ConfigError, DataRefused."""
    del options
    data = text_bytes(path)
    lines = head_lines(data)
    said = next((found for line in lines[:5] if (found := _LENGTH.fullmatch(line[:_LONGEST]))), None)
    if said is None or not 0 < int(said[1]) <= len(lines):
        raise DataRefused(f"{path}: its header does not say how long it is ('Nb header lines'); export it again")
    table = table_of_grid(grid_of(path, data, head_at=int(said[1]) - 1))
    heads = (line[:_LONGEST] for line in lines[: int(said[1])])
    started = next((found[1] for line in heads if (found := _STARTED.fullmatch(line))), "")
    notes = (f"begun {started} by the clock of the instrument's computer",) if started else ()
    return replace(
        table, source_format="BioLogic .mpt", positive=Positive.CHARGE, units=None, notes=(*notes, *table.notes)
    )
