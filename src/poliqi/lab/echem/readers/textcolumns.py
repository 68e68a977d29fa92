"""Numbers in the columns of a text, each row a line of the file: what is no number is refused with its line.

Parsed by polars, whose numbers are correctly rounded; a column that is not plain numbers (spaces, times of a clock)
is read once more, as text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.echem.readers.naming import plainest
from poliqi.lab.echem.readers.table import Floats
from poliqi.lab.echem.readers.textgrid import Grid, decoded

if TYPE_CHECKING:
    import polars as pl

__all__ = ["TextColumns", "clock_s", "polars"]

_CLOCK: Final = re.compile(r"(?:(\d{1,5})\s*d\s+)?(\d{1,7}):(\d{1,2}):(\d{1,2}(?:[.,]\d{1,9})?)", re.IGNORECASE)
_QUOTED: Final = 40
_MOST_LINES: Final = 50_000_000
_MOST_EMPTY: Final = 100_000
_MOST_NUMBERS: Final = 1 << 28
_UNNAMED: Final = 16
"""Columns that are read at once where no name is known."""
_BLANK: Final = b" \r\t,;|\x1a"
_SLICE: Final = 1 << 24
_IS_WORD: Final = ~np.isin(np.arange(256), np.frombuffer(_BLANK + b"\n", np.uint8))
"""By byte: whether a line with it holds anything."""


def polars() -> Any:
    """The package. Raises ConfigError where the extra is missing."""
    try:
        import polars as package
    except ImportError as error:
        raise ConfigError(f'polars cannot be imported ({error}); run: pip install "poliqi[echem]"') from error
    return package


class TextColumns:
    """The columns of a grid, parsed when they are asked for. Raises DataRefused for a grid without rows."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._lines: Final = grid.data.count(b"\n") + (not grid.data.endswith(b"\n")) - grid.head_at - 1
        self._held: dict[int, pl.Series] = {}
        wanted = plainest(grid.names) or list(range(len(grid.names)))[:_UNNAMED]
        self._check_size(len(wanted))
        _check_quotes(grid)
        self._held.update(self._parsed(wanted, as_text=False))
        self._keep = self._kept()
        self.rows: NDArray[np.int64] = np.flatnonzero(self._keep).astype(np.int64) + grid.first_line
        """The line of each row, counted from 1."""
        self._check_end()

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know of the text."""
        ends = self._grid.data.endswith((b"\n", b"\r"))
        return (
            ()
            if ends
            else ("the last line has no end: should the file be cut off there, its last number is short",)
        )

    def numbers(self, at: int) -> Floats:
        """Column `at`, (n,). Raises DataRefused for what is no number."""
        if at not in self._held:
            self._held |= self._parsed([at], as_text=False)
        column = self._held[at]
        if not column.null_count():
            read: Floats = column.to_numpy()
            return read if self._keep.all() else read[self._keep]
        read = column.fill_null(np.nan).to_numpy()[self._keep]
        missing = column.is_null().to_numpy()[self._keep]
        return self._mended(at, read, missing) if missing.any() else read

    def words(self, at: int) -> Sequence[str]:
        """Column `at` as text."""
        text = self._parsed([at], as_text=True)[at].fill_null("").str.strip_chars(' "')
        return text.filter(polars().Series(self._keep)).to_list()

    def _mended(self, at: int, read: Floats, missing: NDArray[np.bool_]) -> Floats:
        """With what polars did not take for a number, read as text; an empty field is no number."""
        text = self.words(at)
        mended = read.copy()
        for point in np.flatnonzero(missing).tolist():
            words = text[point].strip()
            found = _number(words) if words else np.nan
            if found is None:
                raise DataRefused(
                    f"{self._grid.path}: line {self.rows[point]}: {words[:_QUOTED]!r} in column "
                    f"{self._grid.names[at]!r} is no number; mend the line, or leave it out"
                )
            mended[point] = found
        return mended

    def _parsed(self, wanted: Sequence[int], *, as_text: bool) -> dict[int, pl.Series]:
        """By column. Raises DataRefused."""
        package, grid = polars(), self._grid
        kind = package.String if as_text else package.Float64
        try:
            frame: pl.DataFrame = package.read_csv(
                grid.data,
                has_header=False,
                skip_lines=grid.head_at + 1,
                separator=grid.separator,
                quote_char='"' if b'"' in grid.data else None,
                schema={f"column_{at + 1}": kind for at in range(len(grid.names))},
                columns=[f"column_{at + 1}" for at in wanted],
                ignore_errors=True,
                extra_columns="ignore",
                missing_columns="insert",
                truncate_ragged_lines=True,
                decimal_comma=grid.comma,
                encoding="utf8-lossy",
            )
        except package.exceptions.NoDataError as error:
            raise DataRefused(f"{grid.path}: no row follows line {grid.head_at + 1}; copy it again") from error
        except (package.exceptions.PolarsError, OSError) as error:
            raise DataRefused(f"{grid.path} is no table that can be read: {str(error)[:160]!r}") from error
        if frame.height != self._lines:
            raise DataRefused(
                f"{grid.path}: {frame.height} rows were read of {self._lines} lines; look for stray quotation marks"
            )
        return {at: frame[f"column_{at + 1}"] for at in wanted}

    def _kept(self) -> NDArray[np.bool_]:
        """Which lines hold a row: blank ones do not. Where nothing of a line was read, the line itself is asked."""
        void = np.ones(len(next(iter(self._held.values()))), dtype=np.bool_)
        for column in self._held.values():
            if not void.any() or not column.null_count():
                return np.ones(void.size, dtype=np.bool_)
            void &= column.is_null().to_numpy()
        ends = np.flatnonzero(np.frombuffer(self._grid.data, np.uint8) == ord("\n"))
        begins = np.concatenate((np.zeros(1, np.int64), ends + 1))[self._grid.head_at + 1 :][: void.size]
        return ~void | np.logical_or.reduceat(_IS_WORD[np.frombuffer(self._grid.data, np.uint8)], begins)

    def _check_size(self, columns: int) -> None:
        """Refuse what would take far more memory than the file has bytes."""
        grid = self._grid
        if self._lines > _MOST_LINES or self._lines * columns > _MOST_NUMBERS:
            raise DataRefused(
                f"{grid.path}: {self._lines:,} lines of {columns} columns; at most {_MOST_LINES:,} lines and "
                f"{_MOST_NUMBERS:,} numbers are read at once: split it"
            )
        if self._lines > _MOST_EMPTY and _blank_lines(grid.data, _MOST_EMPTY) > _MOST_EMPTY:
            raise DataRefused(f"{grid.path}: more than {_MOST_EMPTY:,} of its lines are empty; take them out")

    def _check_end(self) -> None:
        """Refuse a file that ends within a line."""
        grid = self._grid
        if not self.rows.size:
            raise DataRefused(f"{grid.path}: no row follows line {grid.head_at + 1}; copy it again")
        last = grid.data[grid.data.rfind(b"\n") + 1 :]
        if last.strip() and self.rows.size > 1:
            begin = grid.data.rfind(b"\n", 0, grid.data.rfind(b"\n")) + 1
            before = grid.data[begin : grid.data.rfind(b"\n")]
            separator = grid.separator.encode()
            if last.count(separator) < before.count(separator):
                raise DataRefused(
                    f"{grid.path} is cut off: its last line, {self.rows[-1]}, is {decoded(last[:_QUOTED])!r}; copy "
                    "it again, or take that line out"
                )


def _blank_lines(data: bytes, enough: int) -> int:
    """How many lines hold nothing but blanks and separators, not counted far beyond `enough`."""
    count, last = 0, b"\n"
    for at in range(0, len(data), _SLICE):
        ends = last + data[at : at + _SLICE].translate(None, _BLANK)
        is_end = np.frombuffer(ends, np.uint8) == ord("\n")
        count += int(np.count_nonzero(is_end[1:] & is_end[:-1]))
        if count > enough:
            break
        last = ends[-1:]
    return count


def _check_quotes(grid: Grid) -> None:
    """Refuse a quotation mark that its line does not close: what follows would be read as one field."""
    if b'"' not in grid.data:
        return
    held = np.frombuffer(grid.data, np.uint8)
    marks, ends = np.flatnonzero(held == ord('"')), np.flatnonzero(held == ord("\n"))
    odd = np.diff(np.searchsorted(marks, np.append(ends, held.size)), prepend=0) % 2
    odd[: grid.head_at] = 0  # the words before the table
    if bool(np.any(odd)):
        raise DataRefused(
            f"{grid.path}: a quotation mark in line {int(np.argmax(odd)) + 1} is not closed in it; mend the line"
        )


def _number(words: str) -> float | None:
    """A number with spaces or a comma, or the time of a clock in seconds; None for what is neither."""
    try:
        return float(words) if "_" not in words else None
    except ValueError:
        return clock_s(words)


def clock_s(words: str) -> float | None:
    """Seconds of "12:03:04.5" or "2d 12:03:04"; None for what is none."""
    found = _CLOCK.fullmatch(words)
    if found is None:
        return None
    days, hours, minutes, seconds = found.groups()
    if int(minutes) > 59 or float(seconds.replace(",", ".")) >= 60:
        return None
    return (int(days or 0) * 24 + int(hours)) * 3600.0 + int(minutes) * 60.0 + float(seconds.replace(",", "."))
