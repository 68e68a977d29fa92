"""The audit of a key store: lines in a hash chain, told without key material.

hash_n = SHA-256(hash_(n-1) || line_n), where line_n is the JSON text `[seq,time_ns,event,detail]` without blanks,
members sorted. A line that was changed, taken out or put in breaks the chain; that the newest lines were cut off is
seen by comparing with a head that was noted elsewhere.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from poliqi.base.errors import DataRefused
from poliqi.edge.keydatabase import KeyReader, open_beside
from poliqi.keys.marks import Audited

__all__ = ["FIRST_HASH", "AuditChain", "AuditHead", "read_audit", "read_head", "verify_audit"]

FIRST_HASH: Final = hashlib.sha256(b"poliqi audit 1").digest()
_json: Final = msgspec.json.Encoder(order="sorted")
_ROWS: Final = "SELECT seq, time_ns, event, detail, hash FROM audit WHERE seq > ? ORDER BY seq"


@dataclass(frozen=True, slots=True)
class AuditHead:
    """The newest line's number and hash: note it elsewhere, and nobody can cut lines off unseen."""

    seq: int
    hash: bytes


def _line(seq: int, time_ns: int, event: str, detail: str) -> bytes:
    return b"[%d,%d,%b,%b]" % (seq, time_ns, _json.encode(event), detail.encode())


class AuditChain:
    """Gives lines their number and hash; `head` follows what was written."""

    def __init__(self, head: AuditHead) -> None:
        self.head = head

    def rows(self, marks: Iterable[Audited], time_ns: int) -> list[tuple[int, int, str, str, bytes]]:
        """Rows of the table for these lines."""
        rows: list[tuple[int, int, str, str, bytes]] = []
        seq, digest = self.head.seq, self.head.hash
        for mark in marks:
            seq += 1
            detail = _json.encode(mark.detail).decode()
            digest = hashlib.sha256(digest + _line(seq, time_ns, mark.event, detail)).digest()
            rows.append((seq, time_ns, mark.event, detail, digest))
        self.head = AuditHead(seq, digest)
        return rows


def read_head(reader: KeyReader) -> tuple[AuditHead, AuditHead]:
    """Where the chain begins (after what was pruned) and its newest line."""
    [(seq, digest)] = reader.read("SELECT seq, hash FROM anchor")
    anchor = AuditHead(seq, digest)
    for newest in reader.read("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1"):
        return anchor, AuditHead(*newest)
    return anchor, anchor


def read_audit(folder: Path, since: int = 0) -> Iterator[bytes]:
    """Lines after number `since`, one JSON object each, ended by a newline; the site may be running."""
    with open_beside(folder) as reader:
        for seq, time_ns, event, detail, digest in reader.read(_ROWS, (since,)):
            yield b'{"seq":%d,"time_ns":%d,"event":%b,"detail":%b,"hash":"%b"}\n' % (
                seq,
                time_ns,
                _json.encode(event),
                detail.encode(),
                digest.hex().encode(),
            )


def verify_audit(folder: Path, noted: AuditHead | None = None) -> AuditHead:
    """Walk the whole chain; its head. Raises DataRefused at the first line that does not fit.

    `noted` is a head from another day: the chain must contain it, unless it was pruned since.
    """
    with open_beside(folder) as reader:
        head, _ = read_head(reader)
        first = head.seq
        found = noted is None or noted.seq < first or noted == head
        for row in reader.read(_ROWS, (0,)):
            head = _follow(head, row)
            found = found or head == noted
    if not found:
        assert noted is not None
        raise DataRefused(f"audit of {folder}: line {noted.seq} is not the one that was noted: lines were replaced")
    return head


def _follow(head: AuditHead, row: tuple[Any, ...]) -> AuditHead:
    seq, time_ns, event, detail, digest = row
    if seq != head.seq + 1:
        raise DataRefused(f"audit: line {head.seq + 1} is missing (the next one is {seq}): lines were taken out")
    if not hmac.compare_digest(hashlib.sha256(head.hash + _line(seq, time_ns, event, detail)).digest(), digest):
        raise DataRefused(f"audit: line {seq} does not continue the chain: it, or one before it, was changed")
    return AuditHead(seq, digest)
