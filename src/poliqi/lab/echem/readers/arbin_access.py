"""Arbin's .res: a database of Microsoft Access, whose table of points mdbtools takes out.

A program of its own reads it, with no shell between, for a limited time and to a limited size.
"""

from __future__ import annotations

import shutil
import subprocess
import threading
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.echem.readers.delimited import table_of_grid
from poliqi.lab.echem.readers.filebytes import MOST_BYTES
from poliqi.lab.echem.readers.options import ReadOptions
from poliqi.lab.echem.readers.table import Table
from poliqi.lab.echem.readers.textgrid import grid_of

__all__ = ["MAGIC", "read_arbin_access"]

MAGIC: Final = b"\x00\x01\x00\x00Standard"
_TOOL: Final = "mdb-export"
_POINTS: Final = "Channel_Normal_Table"
_LONGEST_S: Final = 300.0


def read_arbin_access(path: Path, options: ReadOptions) -> Table:
    """Raises ConfigError (no mdbtools), DataRefused: no such table, or several tests in it."""
    del options
    tool = shutil.which(_TOOL)
    if tool is None:
        raise ConfigError(
            f"{path} is Arbin's .res, a database of Microsoft Access, which mdbtools takes apart; install it (apt "
            f"install mdbtools), or save its table {_POINTS} as csv where it is installed: mdb-export {path.name} "
            f"{_POINTS} > {path.with_suffix('.csv').name}"
        )
    table = table_of_grid(grid_of(path, _exported(path, tool)))
    if "Test_ID" in table.names:
        tests = np.unique(table.numbers(table.names.index("Test_ID")))
        if tests.size > 1:
            raise DataRefused(
                f"{path} holds {tests.size} tests; save the rows of one Test_ID of mdb-export {path.name} "
                f"{_POINTS} as csv, and read that"
            )
    return replace(table, source_format="Arbin .res")


def _exported(path: Path, tool: str) -> bytes:
    """The table of points as text."""
    with subprocess.Popen(  # noqa: S603 - the program found by name, its arguments no options: a whole path, a name
        [tool, str(path.resolve()), _POINTS], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as work:
        assert work.stdout is not None
        late = threading.Timer(_LONGEST_S, work.kill)
        late.start()
        try:
            data = work.stdout.read(MOST_BYTES + 1)
        finally:
            late.cancel()
            if work.poll() is None and work.stdout.read(1):
                work.kill()
    if len(data) > MOST_BYTES:
        raise DataRefused(
            f"{path}: its table {_POINTS} has more than {MOST_BYTES >> 20} MiB; split it in Arbin's MITS"
        )
    if work.returncode or not data.strip():
        raise DataRefused(
            f"{path}: {_TOOL} takes no table {_POINTS} out of it (exit {work.returncode}); copy it again, or "
            "export it as csv in Arbin's MITS"
        )
    return data
