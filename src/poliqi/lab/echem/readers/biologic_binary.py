"""BioLogic's EC-Lab binary (.mpr), by galvani: an optional package, for its licence (GPL) is not that of POLIQI."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any, Final

from poliqi.base.errors import ConfigError, DataRefused, words_of
from poliqi.lab.echem.readers.filebytes import file_bytes
from poliqi.lab.echem.readers.options import Positive, ReadOptions
from poliqi.lab.echem.readers.table import Table, table_of

__all__ = ["MAGIC", "read_biologic_binary"]

MAGIC: Final = b"BIO-LOGIC MODULAR FILE"


def read_biologic_binary(path: Path, options: ReadOptions) -> Table:
    """Positive current oxidises at the working electrode. Raises ConfigError (no galvani), DataRefused."""
    del options
    try:
        from galvani import BioLogic
    except ImportError as error:
        raise ConfigError(
            f"{path} is BioLogic's .mpr, which the package galvani (GPL) reads; run: pip install "
            '"poliqi[biologic]", or export it as .mpt in EC-Lab'
        ) from error
    package: Any = BioLogic  # it carries no annotations
    data = file_bytes(path)
    try:
        read = package.MPRfile(io.BytesIO(data))
    except OSError as error:
        raise DataRefused(f"{path} is cut off: {' '.join(str(error).split())[:160]}; copy it again") from error
    except Exception as error:
        raise DataRefused(
            f"{path} is no .mpr that galvani understands ({words_of(error)}); export it as .mpt in EC-Lab"
        ) from error
    held: dict[str, Any] = {name: read.data[name] for name in read.data.dtype.names}
    if not read.data.size or not math.prod(read.data.shape):
        raise DataRefused(f"{path} holds no point; was the technique run?")
    names, numbers = table_of(held)
    started = getattr(read, "timestamp", None)
    notes = () if started is None else (f"begun {started} by the clock of the instrument's computer",)
    return Table(path, "BioLogic .mpr", names, numbers, positive=Positive.CHARGE, notes=notes, row_word="record")
