"""The tables of a tenant's catalogue (docs/spec/lab-store.md)."""

from __future__ import annotations

from typing import Final

from poliqi.lab.store.database import Schema

__all__ = ["CATALOGUE"]

_TABLES: Final = """
CREATE TABLE sample (
  id TEXT PRIMARY KEY, name TEXT NOT NULL, description TEXT NOT NULL, properties TEXT NOT NULL,
  made_unix_s REAL NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE instrument (
  id TEXT PRIMARY KEY, name TEXT NOT NULL, description TEXT NOT NULL, place TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE blob (
  hash TEXT PRIMARY KEY, size_bytes INTEGER NOT NULL CHECK (size_bytes >= 0)) STRICT, WITHOUT ROWID;
CREATE TABLE dataset (
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL CHECK (kind IN ('measured', 'derived', 'simulated', 'received')),
  sample TEXT REFERENCES sample, instrument TEXT REFERENCES instrument,
  made_by TEXT UNIQUE REFERENCES job DEFERRABLE INITIALLY DEFERRED,
  content TEXT NOT NULL, brief TEXT NOT NULL CHECK (json_valid(brief)),
  record TEXT NOT NULL CHECK (json_valid(record))) STRICT;
CREATE INDEX dataset_kind ON dataset (kind, seq);
CREATE INDEX dataset_sample ON dataset (sample, seq) WHERE sample IS NOT NULL;
CREATE INDEX dataset_content ON dataset (content);
CREATE TABLE file (
  dataset INTEGER NOT NULL REFERENCES dataset, path TEXT NOT NULL, blob TEXT NOT NULL REFERENCES blob,
  PRIMARY KEY (dataset, path)) STRICT, WITHOUT ROWID;
CREATE INDEX file_blob ON file (blob);
CREATE TABLE job (
  id TEXT PRIMARY KEY, key TEXT NOT NULL UNIQUE, program TEXT NOT NULL, version TEXT NOT NULL,
  parameters TEXT NOT NULL, output TEXT NOT NULL UNIQUE REFERENCES dataset (id),
  begun_unix_s REAL NOT NULL, ended_unix_s REAL NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE input (
  job TEXT NOT NULL REFERENCES job, number INTEGER NOT NULL, dataset TEXT NOT NULL REFERENCES dataset (id),
  PRIMARY KEY (job, number)) STRICT, WITHOUT ROWID;
CREATE INDEX input_dataset ON input (dataset);
CREATE TABLE action (
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL,
  dataset TEXT NOT NULL REFERENCES dataset (id),
  key TEXT NOT NULL, begun_unix_s REAL NOT NULL, ended_unix_s REAL NOT NULL, facts TEXT NOT NULL,
  UNIQUE (kind, key)) STRICT;
CREATE INDEX action_dataset ON action (dataset);
CREATE TABLE enclosure (
  action INTEGER NOT NULL REFERENCES action, name TEXT NOT NULL, blob TEXT NOT NULL REFERENCES blob,
  size_bytes INTEGER NOT NULL, media_type TEXT NOT NULL, PRIMARY KEY (action, name)) STRICT, WITHOUT ROWID;
CREATE INDEX enclosure_blob ON enclosure (blob);
CREATE VIRTUAL TABLE words USING fts5 (
  title, description, keywords, sample, creator, content = '', tokenize = 'unicode61 remove_diacritics 2');
"""
_IMMUTABLE: Final = ("sample", "instrument", "blob", "dataset", "file", "job", "input", "action", "enclosure")
_GUARDS: Final = "".join(
    f"CREATE TRIGGER {table}_{verb.lower()} BEFORE {verb} ON {table} "
    f"BEGIN SELECT RAISE(ABORT, '{table}: what stands in the store is never changed'); END;\n"
    for table in _IMMUTABLE
    for verb in ("UPDATE", "DELETE")
)

CATALOGUE: Final = Schema("catalogue of a laboratory", 0x504F4C4C, 1, _TABLES + _GUARDS)
