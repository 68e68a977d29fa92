"""The backup of a site's key store: who the site is and whom it met, never a key.

A restored site has a new instance and an empty stock. So nothing that was leased, delivered or promised before can
go out again, whatever the age of the backup; the peers see a new instance and drop what they shared with the old.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final, Literal

import msgspec

from poliqi.base.errors import ConfigError, DataRefused, StoreError
from poliqi.base.ids import KmeId
from poliqi.edge.audit import read_head
from poliqi.edge.folder import sync_folder
from poliqi.edge.kek import KekProvider
from poliqi.edge.keydatabase import DATABASE_NAME, open_beside
from poliqi.edge.keyschema import VERSION
from poliqi.edge.keystore import KeyStore
from poliqi.keys.marks import Audited, PeerMemory, PeerRemembered

__all__ = ["BackedUpPeer", "SiteBackup", "back_up", "read_backup", "restore"]

_MOST_BYTES: Final = 1 << 20


class BackedUpPeer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A peer as it was last met; binary names as hexadecimal digits."""

    name: str
    instance: str
    boot: str
    generation: int


class SiteBackup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What stands in a backup file, with a checksum in the line after it."""

    format: Literal["poliqi site backup 1"]
    schema: int
    instance: str
    generation: int
    audit_seq: int
    audit_hash: str
    peers: list[BackedUpPeer]


def back_up(folder: Path, to: Path) -> SiteBackup:
    """Write the backup of a store, which may be in use, to a new file. Raises StoreError, ConfigError."""
    with open_beside(folder) as reader:
        [(instance, generation)] = reader.read("SELECT instance, generation FROM site")
        _, head = read_head(reader)
        peers = [
            BackedUpPeer(name, its_instance.hex(), boot.hex(), its_generation)
            for name, its_instance, boot, its_generation in reader.read(
                "SELECT name, instance, boot, generation FROM peer ORDER BY name"
            )
        ]
    backup = SiteBackup(
        "poliqi site backup 1", VERSION, instance.hex(), generation, head.seq, head.hash.hex(), peers
    )
    text = msgspec.json.encode(backup)
    text += b"\n" + hashlib.sha256(text).hexdigest().encode() + b"\n"
    try:
        handle = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        sync_folder(to.absolute().parent)
    except OSError as error:
        raise StoreError(f"backup {to} cannot be written: {error.strerror}; name a new file") from error
    return backup


def read_backup(path: Path) -> SiteBackup:
    """What a backup file says. Raises DataRefused."""
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise DataRefused(f"backup {path} cannot be read: {error.strerror}") from error
    return parse_backup(data, str(path))


def parse_backup(data: bytes, name: str) -> SiteBackup:
    """What the bytes of a backup file say. Raises DataRefused."""
    text, _, rest = data.partition(b"\n")
    if len(data) > _MOST_BYTES or rest != hashlib.sha256(text).hexdigest().encode() + b"\n":
        raise DataRefused(f"{name} is no whole backup of a site: its checksum does not fit; take an older one")
    try:
        backup = msgspec.json.decode(text, type=SiteBackup)
        for value in (backup.instance, backup.audit_hash, *(v for p in backup.peers for v in (p.instance, p.boot))):
            bytes.fromhex(value)
    except (msgspec.DecodeError, ValueError) as error:
        raise DataRefused(f"{name} is no backup of a site that this program knows: {error}") from error
    if backup.schema > VERSION:
        raise DataRefused(f"{name} was written by a newer program (version {backup.schema}): install that one")
    return backup


def restore(backup: SiteBackup, folder: Path, kek: KekProvider) -> None:
    """Make a new, empty store that remembers the peers. Raises ConfigError where a store stands already."""
    if (folder / DATABASE_NAME).exists():
        raise ConfigError(f"a key store stands in {folder} already and is never overwritten: name another folder")
    store = KeyStore(folder, kek, create=True)
    try:
        store.load()
        told = {"was": backup.instance, "audit_seq": backup.audit_seq, "audit_hash": backup.audit_hash}
        store.apply(
            [
                *(
                    PeerRemembered(
                        KmeId(p.name), PeerMemory(bytes.fromhex(p.instance), bytes.fromhex(p.boot), p.generation)
                    )
                    for p in backup.peers
                ),
                Audited("restored-from-backup", {**told}),
            ]
        )
    finally:
        store.close()
