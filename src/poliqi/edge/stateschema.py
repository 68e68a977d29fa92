"""The tables of a link's state, and how a state of an earlier version becomes one of this."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Final

from poliqi.base.errors import StoreError

__all__ = ["APPLICATION", "MIGRATIONS", "SCHEMA", "VERSION", "row_digest"]

APPLICATION: Final = 0x504F4C51
VERSION: Final = 2
SCHEMA: Final = """
CREATE TABLE identity (one INTEGER PRIMARY KEY CHECK (one = 1), seed BLOB NOT NULL, peer BLOB) STRICT;
CREATE TABLE link (
  one INTEGER PRIMARY KEY CHECK (one = 1), link_id TEXT NOT NULL, role TEXT NOT NULL, light TEXT NOT NULL,
  bootstrap TEXT NOT NULL, pair_id TEXT NOT NULL, reserve INTEGER NOT NULL, capacity INTEGER NOT NULL,
  next_block INTEGER NOT NULL DEFAULT 1, next_slot INTEGER NOT NULL DEFAULT 0,
  last_confirmed INTEGER NOT NULL DEFAULT 0, own_epsilons REAL NOT NULL DEFAULT 0,
  blocks INTEGER NOT NULL DEFAULT 0, key_bits INTEGER NOT NULL DEFAULT 0, epsilon REAL) STRICT;
CREATE TABLE lane (sender TEXT PRIMARY KEY, next_word INTEGER NOT NULL, end_word INTEGER NOT NULL) STRICT;
CREATE TABLE pad (
  sender TEXT NOT NULL, word INTEGER NOT NULL, value BLOB NOT NULL,
  PRIMARY KEY (sender, word)) STRICT, WITHOUT ROWID;
CREATE TABLE pending (
  one INTEGER PRIMARY KEY CHECK (one = 1), number INTEGER NOT NULL, origin TEXT NOT NULL, epsilon REAL,
  own_epsilon REAL NOT NULL, proof TEXT NOT NULL, leak_bits INTEGER NOT NULL, secret BLOB NOT NULL,
  refill_alice BLOB NOT NULL, refill_bob BLOB NOT NULL, digest BLOB NOT NULL) STRICT;
CREATE TABLE confirmed (
  number INTEGER PRIMARY KEY, origin TEXT NOT NULL, secret BLOB NOT NULL, digest BLOB NOT NULL,
  destination TEXT, epsilon REAL, proof TEXT NOT NULL DEFAULT '') STRICT;
"""

Run = Callable[..., list[tuple[Any, ...]]]
"""A statement and its values, inside the transaction of the migration."""


def row_digest(*fields: str | float | bytes | memoryview | None) -> bytes:
    """Guards a row against bit rot, nothing else."""
    digest = hashlib.sha256()
    for field in fields:
        data = field if isinstance(field, bytes | memoryview) else str(field).encode()
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.digest()


def _grade_confirmed(run: Run) -> None:
    """Version 2: confirmed blocks carry their grade. Those that wait have none, so nothing is claimed of them."""
    run("ALTER TABLE confirmed ADD COLUMN epsilon REAL")
    run("ALTER TABLE confirmed ADD COLUMN proof TEXT NOT NULL DEFAULT ''")
    for number, origin, secret, digest in run("SELECT number, origin, secret, digest FROM confirmed"):
        if row_digest(number, origin, secret) != digest:
            raise StoreError(f"confirmed block {number} is damaged; pair the link again")
        renewed = row_digest(number, origin, None, "", secret)
        run("UPDATE confirmed SET digest = ? WHERE number = ?", (renewed, number))


MIGRATIONS: Final[tuple[Callable[[Run], None], ...]] = (_grade_confirmed,)
"""Each brings a state from the version of its place (the first: 1) to the next."""
