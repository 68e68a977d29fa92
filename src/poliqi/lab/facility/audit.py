"""The audit trail: who did what and when, in a chain of hashes.

hash_n = SHA-256(hash_(n-1) || line_n), line_n being the JSON text `[seq,at_s,who,what,detail]` without blanks,
members sorted. A line that was changed, taken out or put in breaks the chain. That the newest lines were cut off is
seen by comparing with a head that was noted elsewhere: the month report prints it.

`detail` also holds whole rows, by table: `rows` that the change added and `gone` that it took out. `replay` holds
them against the tables.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from poliqi.base.errors import DataRefused

__all__ = ["FIRST_HASH", "AuditChain", "AuditHead", "AuditLine", "verified"]

FIRST_HASH: Final = hashlib.sha256(b"poliqi facility audit 1").digest()
_Run = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]


@dataclass(frozen=True, slots=True)
class AuditHead:
    """The newest line's number and hash."""

    seq: int
    hash: bytes

    @property
    def text(self) -> str:
        """`812:5f0c...`, as `audit --noted` takes it."""
        return f"{self.seq}:{self.hash.hex()}"


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One thing that was done; `detail` is canonical JSON."""

    seq: int
    at_s: int
    who: str
    what: str
    detail: str


def _hash(before: bytes, line: AuditLine) -> bytes:
    text = json.dumps([line.seq, line.at_s, line.who, line.what], separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(before + f"{text[:-1]},{line.detail}]".encode()).digest()


class AuditChain:
    """Appends lines inside a transaction; the newest line is looked up once."""

    def __init__(self) -> None:
        self._head: AuditHead | None = None

    def append(self, run: _Run, at_s: int, who: str, what: str, detail: Mapping[str, Any]) -> None:
        """A line; `run` runs a statement in the transaction."""
        if self._head is None:
            newest = run("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1", ())
            self._head = AuditHead(*newest[0]) if newest else AuditHead(0, FIRST_HASH)
        text = json.dumps(detail, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        line = AuditLine(self._head.seq + 1, at_s, who, what, text)
        self._head = AuditHead(line.seq, _hash(self._head.hash, line))
        run("INSERT INTO audit VALUES (?,?,?,?,?,?)", (line.seq, at_s, who, what, text, self._head.hash))


def verified(
    rows: Iterable[tuple[Any, ...]],
    noted: AuditHead | None = None,
    see: Callable[[AuditLine], None] = lambda _: None,
) -> AuditHead:
    """The head of a whole chain, rows being the table's in order. Raises DataRefused at the first that does not
    fit.

    `noted` is a head from another day: the chain must contain it. `see` is shown each line that fits.
    """
    head, is_found = AuditHead(0, FIRST_HASH), noted is None
    for *fields, found in rows:
        line = AuditLine(*fields)
        if line.seq != head.seq + 1:
            raise DataRefused(
                f"audit: line {head.seq + 1} is missing (the next one is {line.seq}): lines were taken out"
            )
        head = AuditHead(line.seq, _hash(head.hash, line))
        if head.hash != found:
            raise DataRefused(
                f"audit: line {line.seq} does not continue the chain: it, or one before it, was changed"
            )
        is_found = is_found or head == noted
        see(line)
    if not is_found:
        assert noted is not None
        raise DataRefused(f"audit: line {noted.seq} is not the one that was noted: lines were replaced or cut off")
    return head
