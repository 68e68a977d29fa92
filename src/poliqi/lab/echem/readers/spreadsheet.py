"""Excel's .xlsx, by openpyxl: one sheet of channels, which has to be named where there are several."""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from datetime import time, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np

from poliqi.base.errors import ConfigError, DataRefused, words_of
from poliqi.lab.echem.readers.delimited import layout_of
from poliqi.lab.echem.readers.filebytes import file_bytes
from poliqi.lab.echem.readers.naming import Role, named
from poliqi.lab.echem.readers.options import ReadOptions
from poliqi.lab.echem.readers.table import Floats, Table
from poliqi.lab.echem.readers.textcolumns import clock_s

__all__ = ["MAGIC", "read_spreadsheet"]

MAGIC: Final = b"PK\x03\x04"
_MOST_PACKED: Final = 256 << 20
_MOST_UNPACKED: Final = 1 << 30
_MOST_MEMBERS: Final = 2000
_HEAD_ROWS: Final = 60
_MOST_ROWS: Final = 1_048_576
_MOST_FIELDS: Final = 500
_NEEDED: Final = (Role.TIME, Role.VOLTAGE, Role.CURRENT)
Cells = tuple[Any, ...]


def read_spreadsheet(path: Path, options: ReadOptions) -> Table:
    """Raises ConfigError (no openpyxl), DataRefused: several sheets with time, voltage and current, or none."""
    data = file_bytes(path, _MOST_PACKED)
    _check_archive(path, data)
    book = _opened(path, data)
    try:
        sheet, head_at = _sheet(path, book, options.sheet, by_number=bool(options.columns))
        rows = _rows(book[sheet])
        head = next(islice(rows, head_at, None), ())
        names = tuple("" if cell is None else str(cell).strip() for cell in head[:_MOST_FIELDS])
        held, numbers_of_rows = _filled(path, sheet, rows, names, head_at)
    except (DataRefused, ConfigError):
        raise
    except Exception as error:
        raise DataRefused(f"{path} is no .xlsx that openpyxl reads ({words_of(error)}); save it as csv") from error
    finally:
        book.close()

    def numbers(at: int) -> Floats:
        return _numbers(path, sheet, names[at], [row[at] for row in held], numbers_of_rows)

    def words(at: int) -> Sequence[str]:
        return ["" if row[at] is None else str(row[at]) for row in held]

    source_format, positive, units = layout_of(names)
    rows_of = np.array(numbers_of_rows, dtype=np.int64)
    source = f"{source_format} .xlsx" if positive else ".xlsx"
    return Table(path, source, names, numbers, words, rows_of, positive, units, notes=(f"sheet {sheet!r}",))


def _opened(path: Path, data: bytes) -> Any:
    try:
        import openpyxl
    except ImportError as error:
        raise ConfigError(f'openpyxl cannot be imported ({error}); run: pip install "poliqi[echem]"') from error
    package: Any = openpyxl  # its annotations are partial
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of styles and extensions that are not looked at
            return package.load_workbook(io.BytesIO(data), read_only=True, data_only=True, keep_links=False)
    except Exception as error:
        raise DataRefused(f"{path} is no .xlsx that openpyxl reads ({words_of(error)}); save it as csv") from error


def _check_archive(path: Path, data: bytes) -> None:
    """What the archive unpacks to, before it is."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise DataRefused(f"{path} is no .xlsx, or cut off ({error}); copy it again") from error
    size = sum(one.file_size for one in members)
    if len(members) > _MOST_MEMBERS or size > _MOST_UNPACKED:
        raise DataRefused(
            f"{path} unpacks to {len(members)} parts, {size >> 20} MiB; at most {_MOST_UNPACKED >> 20} MiB are read"
        )


def _sheet(path: Path, book: Any, asked: str, *, by_number: bool) -> tuple[str, int]:
    """The sheet's name, and the row of names in it, from 0."""
    titles: list[str] = [str(one.title) for one in book.worksheets]
    if asked and asked not in titles:
        raise ConfigError(f"--sheet {asked!r}: {path} has none of that name; it has {_listed(titles)}")
    found = {title: at for title in ([asked] if asked else titles) if (at := _head(book[title])) is not None}
    if not found and asked and by_number:
        return asked, 0
    if not found:
        raise DataRefused(
            f"{path}: no sheet of it ({_listed(titles)}) has columns of time, voltage and current; name the sheet "
            "by --sheet and its columns by --column"
        )
    if len(found) > 1:
        raise DataRefused(
            f"{path} holds {len(found)} sheets with time, voltage and current: {_listed(list(found))}; say which "
            "by --sheet NAME"
        )
    return next(iter(found.items()))


def _head(sheet: Any) -> int | None:
    """The first row with names of time, voltage and current, with or without a unit."""
    for at, row in enumerate(islice(_rows(sheet), _HEAD_ROWS)):
        roles = {one.role for cell in row[:_MOST_FIELDS] if isinstance(cell, str) and (one := named(cell))}
        if roles.issuperset(_NEEDED):
            return at
    return None


def _rows(sheet: Any) -> Iterator[Cells]:
    if hasattr(sheet, "reset_dimensions"):
        sheet.reset_dimensions()  # those that files tell are not always true
    return sheet.iter_rows(values_only=True)


def _filled(
    path: Path, sheet: str, rows: Iterator[Cells], names: tuple[str, ...], head_at: int
) -> tuple[list[Cells], list[int]]:
    """Rows with anything in them, each as long as the names, and where they stand."""
    width = len(names)
    held: list[Cells] = []
    where: list[int] = []
    for at, row in enumerate(rows, start=head_at + 2):
        if at > _MOST_ROWS:
            raise DataRefused(f"{path}: sheet {sheet!r} has more than {_MOST_ROWS:,} rows; export it as csv")
        cells = row[:width]
        if any(cell is not None for cell in cells):
            held.append(cells + (None,) * (width - len(cells)))
            where.append(at)
    if not held:
        raise DataRefused(f"{path}: sheet {sheet!r} has no row under its names; was the test run?")
    return held, where


def _numbers(path: Path, sheet: str, name: str, cells: Sequence[Any], rows: Sequence[int]) -> Floats:
    """Numbers; times of day and lengths of time in seconds; empty cells nan."""
    try:
        return np.array(cells, dtype=np.float64)  # None is nan
    except (TypeError, ValueError, OverflowError):
        pass
    read = np.empty(len(cells))
    for at, cell in enumerate(cells):
        found = _number(cell)
        if found is None:
            raise DataRefused(
                f"{path}: sheet {sheet!r}, row {rows[at]}: {str(cell)[:40]!r} in column {name!r} is no number"
            )
        read[at] = found
    return read


def _number(cell: Any) -> float | None:
    match cell:
        case None:
            return np.nan
        case int() | float():
            return float(cell)
        case timedelta():
            return cell.total_seconds()
        case time():
            return cell.hour * 3600.0 + cell.minute * 60.0 + cell.second + cell.microsecond * 1e-6
        case str():
            words = cell.strip()
            try:
                return float(words) if words else np.nan
            except ValueError:
                return clock_s(words)
        case _:
            return None


def _listed(titles: Sequence[str]) -> str:
    return ", ".join(repr(title[:40]) for title in titles[:12]) + (" ..." if len(titles) > 12 else "")
