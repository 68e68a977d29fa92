"""An audit in a file: one JSON line an event, in the hash chain of edge/audit.py; never a key in it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from poliqi.base.errors import DataRefused, StoreError
from poliqi.edge.audit import FIRST_HASH, AuditChain, AuditHead
from poliqi.keys.marks import Audited

__all__ = ["AuditFile"]


class _Line(msgspec.Struct, frozen=True):
    seq: int
    time_ns: int
    event: str
    detail: dict[str, Any]
    hash: str


class AuditFile:
    """Appends lines and walks them. One writer at a time: the caller holds a lock."""

    def __init__(self, path: Path, wall: Callable[[], float] = time.time) -> None:
        self._path: Final = path
        self._wall: Final = wall

    def note(self, event: str, detail: dict[str, object]) -> None:
        """A line more, durable. A last line that a crash cut short goes first. Raises StoreError."""
        try:
            with self._path.open("a+b") as file:
                file.seek(0)
                head, whole = AuditHead(0, FIRST_HASH), 0
                for text in file:
                    if not text.endswith(b"\n"):
                        break
                    head, whole = self._head_of(text), whole + len(text)
                file.truncate(whole)
                now_ns = int(self._wall() * 1e9)
                [(seq, _, _, _, digest)] = AuditChain(head).rows([Audited(event, detail)], now_ns)
                file.write(msgspec.json.encode(_Line(seq, now_ns, event, detail, digest.hex())) + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StoreError(f"audit {self._path}: {error.strerror}; free space and try again") from error

    def lines(self) -> Iterator[dict[str, Any]]:
        """Every line, verified. Raises DataRefused at the first that does not continue the chain."""
        head = AuditHead(0, FIRST_HASH)
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            return
        with file:
            for number, text in enumerate(file, 1):
                try:
                    line = msgspec.json.decode(text, type=_Line)
                    chain = AuditChain(head)
                    chain.rows([Audited(line.event, line.detail)], line.time_ns)
                except msgspec.MsgspecError:
                    line, chain = None, AuditChain(head)
                if line is None or line.seq != number or chain.head.hash.hex() != line.hash:
                    raise DataRefused(
                        f"audit: line {number} does not continue the chain: it, or one before it, was changed"
                    )
                head = chain.head
                yield msgspec.structs.asdict(line)

    def _head_of(self, text: bytes) -> AuditHead:
        try:
            line = msgspec.json.decode(text, type=_Line)
            return AuditHead(line.seq, bytes.fromhex(line.hash))
        except (msgspec.MsgspecError, ValueError):
            raise StoreError(f"audit {self._path}: a line is damaged; `poliqi share audit` names it") from None
