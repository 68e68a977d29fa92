"""The tables of a key store and how an older file is brought up to date (docs/spec/keystore.md)."""

from __future__ import annotations

from typing import Final

__all__ = ["APPLICATION", "MIGRATIONS", "SCHEMA", "VERSION", "migrate"]

APPLICATION: Final = 0x504F4C4B
VERSION: Final = 1
MIGRATIONS: Final[dict[int, str]] = {}
"""What turns version n into n + 1, by n."""

SCHEMA: Final = """
CREATE TABLE site (
  one INTEGER PRIMARY KEY CHECK (one = 1), instance BLOB NOT NULL, generation INTEGER NOT NULL,
  boots BLOB NOT NULL, next_segment INTEGER NOT NULL, made_ns INTEGER NOT NULL) STRICT;
CREATE TABLE epoch (number INTEGER PRIMARY KEY, wrapped BLOB NOT NULL) STRICT;
CREATE TABLE pool (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE grade (id INTEGER PRIMARY KEY, body TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE segment (
  number INTEGER PRIMARY KEY, pool INTEGER NOT NULL, block BLOB NOT NULL, part INTEGER NOT NULL,
  owner TEXT NOT NULL, size INTEGER NOT NULL, grade INTEGER NOT NULL, tag BLOB NOT NULL,
  sealing INTEGER NOT NULL, state TEXT NOT NULL CHECK (state IN ('stored', 'ready')),
  leased INTEGER NOT NULL,
  unleased INTEGER NOT NULL CHECK (leased >= 0 AND unleased >= 0 AND leased + unleased = size),
  swept INTEGER NOT NULL DEFAULT 0, kept INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE TABLE dek (number INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, sealed BLOB NOT NULL) STRICT;
CREATE TABLE payload (number INTEGER PRIMARY KEY, sealed BLOB NOT NULL) STRICT;
CREATE TABLE seen (pool INTEGER NOT NULL, block BLOB NOT NULL, PRIMARY KEY (pool, block)) STRICT, WITHOUT ROWID;
CREATE TABLE run (
  owner TEXT NOT NULL, number INTEGER NOT NULL, peer TEXT NOT NULL, segment INTEGER NOT NULL,
  first INTEGER NOT NULL, size INTEGER NOT NULL, count INTEGER NOT NULL, master TEXT NOT NULL,
  slaves TEXT NOT NULL, ids BLOB, epoch INTEGER, cipher BLOB, grade INTEGER, combiner TEXT NOT NULL,
  kem_epoch INTEGER NOT NULL, used BLOB NOT NULL, sum INTEGER NOT NULL,
  PRIMARY KEY (owner, number)) STRICT, WITHOUT ROWID;
CREATE INDEX run_sealed ON run (epoch) WHERE epoch IS NOT NULL;
CREATE TABLE peer (
  name TEXT PRIMARY KEY, instance BLOB NOT NULL, boot BLOB NOT NULL, generation INTEGER NOT NULL) STRICT;
CREATE TABLE secret (
  peer TEXT NOT NULL, name TEXT NOT NULL, epoch INTEGER NOT NULL, sealed BLOB NOT NULL,
  PRIMARY KEY (peer, name)) STRICT, WITHOUT ROWID;
CREATE TABLE audit (
  seq INTEGER PRIMARY KEY, time_ns INTEGER NOT NULL, event TEXT NOT NULL, detail TEXT NOT NULL,
  hash BLOB NOT NULL) STRICT;
CREATE TABLE anchor (
  one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER NOT NULL, hash BLOB NOT NULL) STRICT;
"""


def migrate(version: int) -> list[str]:
    """The steps from `version` to this one, in their order."""
    return [MIGRATIONS[n] for n in range(version, VERSION)]
