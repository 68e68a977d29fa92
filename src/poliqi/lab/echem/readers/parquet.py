"""Tables in Parquet, as `poliqi lab echem read` and the Battery Data Format have them.

By pyarrow, which raises an error on damaged pages; polars would end the process on some of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from poliqi.base.errors import ConfigError, DataRefused, words_of
from poliqi.lab.echem.readers.delimited import layout_of
from poliqi.lab.echem.readers.filebytes import file_bytes
from poliqi.lab.echem.readers.naming import plainest
from poliqi.lab.echem.readers.options import ReadOptions
from poliqi.lab.echem.readers.table import Floats, Table

__all__ = ["MAGIC", "read_parquet"]

MAGIC: Final = b"PAR1"
_MOST_ROWS: Final = 50_000_000
_MOST_COLUMNS: Final = 2000
_LONGEST: Final = 200
_MOST_NUMBERS: Final = 1 << 28


def read_parquet(path: Path, options: ReadOptions) -> Table:
    """Raises ConfigError, DataRefused."""
    del options
    columns = _Columns(path, file_bytes(path))
    source_format, positive, units = layout_of(columns.names)
    source_format = source_format if positive is not None else "Parquet"
    return Table(path, source_format, columns.names, columns.numbers, columns.words, None, positive, units)


class _Columns:
    """The columns of a file; those with known names are read at once, when the first is asked for."""

    def __init__(self, path: Path, data: bytes) -> None:
        """Raises ConfigError (no pyarrow), DataRefused."""
        try:
            import pyarrow
            from pyarrow import parquet
        except ImportError as error:
            raise ConfigError(f'pyarrow cannot be imported ({error}); run: pip install "poliqi[echem]"') from error
        self._arrow: Any = pyarrow  # neither carries annotations
        self._parquet: Any = parquet
        self._path: Final = path
        self._data: Final = data
        self._held: dict[int, Any] = {}
        try:
            head = self._parquet.ParquetFile(self._arrow.BufferReader(data))
            rows, self._kinds = int(head.metadata.num_rows), list(head.schema_arrow.types)
            self.names: Final = tuple(str(name) for name in head.schema_arrow.names)
        except Exception as error:
            raise DataRefused(f"{path} is no Parquet that can be read, or cut off ({words_of(error)})") from error
        if not 0 < rows <= _MOST_ROWS or not 0 < len(self.names) <= _MOST_COLUMNS:
            raise DataRefused(
                f"{path} has {rows:,} rows of {len(self.names)} columns; 1 to {_MOST_ROWS:,} rows are read"
            )
        wanted = max(len(plainest(self.names)), 1)
        if rows * wanted > _MOST_NUMBERS:
            raise DataRefused(
                f"{path} has {rows:,} rows of {wanted} columns that are read; at most {_MOST_NUMBERS:,} numbers "
                "are read at once: split it"
            )
        if len(set(self.names)) < len(self.names):
            raise DataRefused(f"{path} has two columns of one name; give each its own")

    def numbers(self, at: int) -> Floats:
        """Column `at`, (n,); nan where there is none. Raises DataRefused."""
        if not self._is_number(at):
            raise DataRefused(
                f"{self._path}: column {self.names[at]!r} holds no numbers but {self._kinds[at]}; save it as such"
            )
        if at not in self._held:
            known = [one for one in plainest(self.names) if self._is_number(one)]
            self._read([one for one in dict.fromkeys((at, *known)) if one not in self._held])
        return np.asarray(self._held[at].cast(self._arrow.float64(), safe=False).to_numpy(), np.float64)

    def words(self, at: int) -> list[str]:
        """Column `at` as text. Raises DataRefused."""
        if self._is_number(at):
            return [f"{one:g}" for one in self.numbers(at)]
        self._read([at])
        column = self._held[at].unify_dictionaries().combine_chunks()
        if not hasattr(column, "dictionary"):
            raise DataRefused(f"{self._path}: column {self.names[at]!r} holds no text but {self._kinds[at]}")
        known = ["", *(str(one)[:_LONGEST] for one in column.dictionary.to_pylist())]
        which = column.indices.fill_null(-1).to_numpy()
        return [known[one + 1] for one in which.tolist()]

    def _is_number(self, at: int) -> bool:
        kind, types = self._kinds[at], self._arrow.types
        return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind))

    def _read(self, wanted: list[int]) -> None:
        """Text as a dictionary: however often a long word stands in a column, it is kept once."""
        names = [self.names[at] for at in wanted]
        text = [name for at, name in zip(wanted, names, strict=True) if not self._is_number(at)]
        try:
            file = self._parquet.ParquetFile(self._arrow.BufferReader(self._data), read_dictionary=text)
            table = file.read(columns=names)
            table.validate(full=bool(text))
            self._held |= {at: table.column(name) for at, name in zip(wanted, names, strict=True)}
        except Exception as error:
            listed = ", ".join(map(repr, names[:4]))
            raise DataRefused(
                f"{self._path}: columns {listed} cannot be read ({words_of(error)}); copy it again"
            ) from error
