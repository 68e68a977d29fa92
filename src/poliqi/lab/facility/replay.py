"""The audit's lines held against the tables: is every record what the trail says of it?

Each line carries the whole rows that its change added and, of the present state (`schema.STATE`), those that it
took out. Played from the first line they give every table; the tables must hold the same rows, no more and no
fewer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from poliqi.base.errors import DataRefused
from poliqi.lab.facility.audit import AuditLine
from poliqi.lab.facility.schema import RECORDS, STATE

__all__ = ["Told"]

_Row = tuple[int | str | None, ...]
_Read = Callable[..., list[tuple[Any, ...]]]
_KEYS: Final = {"instrument": 2, "invoice_line": 2, "occupied": 2, "session": 3}
"""How many of a table's first columns name a row, where it is not one."""


class _Detail(msgspec.Struct):
    """Of a line's detail, what concerns the tables."""

    rows: dict[str, list[_Row]] = {}
    gone: dict[str, list[_Row]] = {}


class Told:
    """What the lines seen so far say stands in the tables."""

    def __init__(self) -> None:
        self._tables: Final[dict[str, dict[_Row, int]]] = {name: {} for name in (*RECORDS, *STATE)}

    def take(self, line: AuditLine) -> None:
        """The next line. Raises DataRefused where it cannot follow the lines before it."""
        try:
            found = msgspec.json.decode(line.detail, type=_Detail)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise DataRefused(f"audit: line {line.seq} cannot be read: {error}") from error
        for table, rows in found.gone.items():
            for row in rows:
                if table not in STATE or self._tables[table].pop(row, None) is None:
                    raise DataRefused(f"audit: line {line.seq} takes out of {table} what cannot be taken out")
        for table, rows in found.rows.items():
            for row in rows:
                if table not in self._tables or row in self._tables[table]:
                    raise DataRefused(f"audit: line {line.seq} puts into {table} what cannot be put in")
                self._tables[table][row] = line.seq

    def compare(self, read: _Read) -> None:
        """Every table against what was told; `read` runs a statement. Raises DataRefused where one differs."""
        for table, told in self._tables.items():
            left = dict(told)
            for row in read(f"SELECT * FROM {table}"):  # noqa: S608 - our own names
                if left.pop(row, None) is None:
                    raise DataRefused(_difference(read, table, row, told))
            if left:
                row, seq = min(left.items(), key=lambda item: item[1])
                raise DataRefused(
                    f"{_name(table, row)} stands in line {seq} of the audit and is gone from the file"
                )
        for invoice, net, lines in read(
            "SELECT i.id, i.net_cents, coalesce(sum(l.cents), 0) AS lines FROM invoice i "
            "LEFT JOIN invoice_line l ON l.invoice = i.id GROUP BY i.id HAVING lines != i.net_cents LIMIT 1"
        ):
            raise DataRefused(f"invoice {invoice}: its net is {net} cents, its lines come to {lines}")


def _name(table: str, row: _Row) -> str:
    return " ".join([table, *(str(value)[:64] for value in row[: _KEYS.get(table, 1)])])


def _difference(read: _Read, table: str, row: _Row, told: Mapping[_Row, int]) -> str:
    """Which column of which record, and which line says otherwise."""
    name, width = _name(table, row), _KEYS.get(table, 1)
    for other, seq in told.items():
        if other[:width] == row[:width]:
            columns = [column for (column,) in read("SELECT name FROM pragma_table_info(?)", (table,))]
            for column, found, said in zip(columns, row, other, strict=False):
                if found != said:
                    return f"{name}: {column} is {found!a:.60}, line {seq} of the audit says {said!a:.60}"
    return f"{name} stands in the file and in no line of the audit"
