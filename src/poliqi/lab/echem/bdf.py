"""Records written in the Battery Data Format, as .csv (.bdf) or .parquet; read again, every number is the same.

Columns and labels: Battery Data Alliance, battery-data-format. One column more, "Simulated / 1", is written where
the record is of a calculation, so that it stays known for one.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from poliqi.base.errors import ConfigError
from poliqi.lab.echem.record import BDF_NAMES, CyclingRecord

if TYPE_CHECKING:
    import polars as pl

__all__ = ["ENDINGS", "bdf_bytes", "check_bdf", "frame_of"]

ENDINGS: Final = (".parquet", ".csv", ".bdf")


def check_bdf(path: Path) -> None:
    """Refuse a name whose ending is none of a table (ConfigError)."""
    if path.suffix.lower() not in ENDINGS:
        raise ConfigError(f"{path}: tables are written as {', '.join(ENDINGS)}; give a name that ends so")


def bdf_bytes(record: CyclingRecord, ending: str) -> bytes:
    """The table as a file of that ending. Raises ConfigError where polars is missing."""
    frame, out = frame_of(record), io.BytesIO()
    if ending == ".parquet":
        frame.write_parquet(out, compression="zstd", compression_level=3)
    else:
        frame.write_csv(out)
    return out.getvalue()


def frame_of(record: CyclingRecord) -> pl.DataFrame:
    """The table, with BDF's labels. Raises ConfigError where polars is missing."""
    from poliqi.lab.echem.readers.textcolumns import polars

    columns: dict[str, Any] = {label: getattr(record, name) for name, label in BDF_NAMES.items()}
    if record.started_unix_s is not None:
        columns["Unix Time / s"] = record.started_unix_s + record.time_s
    if record.simulated:
        columns["Simulated / 1"] = np.ones(record.time_s.size, np.int8)
    frame: pl.DataFrame = polars().DataFrame({name: held for name, held in columns.items() if held is not None})
    return frame.fill_nan(None)
