"""Numbers records, stamps them with the clock, and keeps them until the owner has written them down."""

from __future__ import annotations

from typing import Final

import msgspec

from poliqi.control.records import Record, encode_record

__all__ = ["Journal"]


class Journal:
    """Lines for the log, in order."""

    def __init__(self, number: int) -> None:
        """`number` is that of the last line that the log has."""
        self._number = number
        self._lines: Final[list[bytes]] = []
        self.wall_ns = 0
        """The controller's clock, set by whoever is called with it."""

    def write(self, record: Record) -> None:
        """Append a record; its number and time are set here."""
        self._number += 1
        self._lines.append(encode_record(msgspec.structs.replace(record, n=self._number, wall_ns=self.wall_ns)))

    def take(self) -> list[bytes]:
        """Lines to write down now."""
        lines = self._lines[:]
        self._lines.clear()
        return lines
