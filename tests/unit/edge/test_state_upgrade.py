"""States of version 1 open, keep all they hold, and claim no proof for blocks that came without one."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from link_states import WORDS, make_state, pad

from poliqi.base.errors import StoreError
from poliqi.base.ids import Role
from poliqi.edge.keyfile import read_keys
from poliqi.edge.keysink import ConfirmedBlock, Postponed
from poliqi.edge.pairing import link_status
from poliqi.edge.store import LinkStore


def digest_of_version_1(number: int, origin: str, secret: bytes) -> bytes:
    """As version 1 wrote it: each field after its length in eight bytes, little-endian."""
    fields = [str(number).encode(), origin.encode(), secret]
    return hashlib.sha256(b"".join(len(f).to_bytes(8, "little") + f for f in fields)).digest()


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A state as version 1 left it, with a block half delivered and one that waits for a key file."""
    folder = make_state(tmp_path / "state", simulated=False)
    with closing(sqlite3.connect(folder / "link.sqlite")) as state:
        state.executescript(
            "DROP TABLE confirmed;"
            "CREATE TABLE confirmed (number INTEGER PRIMARY KEY, origin TEXT NOT NULL, secret BLOB NOT NULL,"
            " digest BLOB NOT NULL, destination TEXT) STRICT;"
            "UPDATE link SET last_confirmed = 2; PRAGMA user_version = 1;"
        )
        for number, key, place in ((1, b"k1", str(tmp_path / "old.keys")), (2, b"k2", None)):
            row = (number, "photons", key, digest_of_version_1(number, "photons", key), place)
            state.execute("INSERT INTO confirmed VALUES (?, ?, ?, ?, ?)", row)
        state.commit()
    return folder


class Sink:
    def __init__(self) -> None:
        self.got: list[ConfirmedBlock] = []

    def reach(self) -> str | Postponed:
        return "site:bovisa"

    def append(self, block: ConfirmedBlock) -> None:
        self.got.append(block)

    def close(self) -> None:
        return


def version(folder: Path) -> int:
    with closing(sqlite3.connect(folder / "link.sqlite")) as state:
        return int(state.execute("PRAGMA user_version").fetchone()[0])


def test_old_state_goes_on_delivering_where_it_was(old: Path, tmp_path: Path) -> None:
    with closing(LinkStore(old)) as store:
        store.deliver_to(tmp_path / "new.keys")
        lane = store.lanes()[Role.BOB]
        assert lane.word(WORDS - 1) == pad("bob", WORDS - 1, 1)
    assert version(old) == 2
    assert [r.key.take() for r in read_keys(tmp_path / "old.keys")[1]] == [b"k1"]
    assert [r.key.take() for r in read_keys(tmp_path / "new.keys")[1]] == [b"k2"]


def test_block_without_a_kept_proof_claims_none(old: Path) -> None:
    sink = Sink()
    with closing(LinkStore(old)) as store:
        store.deliver_later()
        assert store.deliver_one(sink) == 2
    assert [(b.number, b.epsilon, b.proof) for b in sink.got] == [(2, None, "")]


def test_old_state_can_be_looked_at_without_being_changed(old: Path) -> None:
    status = link_status(old)
    assert (status.undelivered, status.undelivered_bytes) == (2, 4)
    assert version(old) == 1


def test_upgrade_happens_once(old: Path) -> None:
    for _ in range(2):
        with closing(LinkStore(old)) as store:
            assert store.status().undelivered == 2


def test_damaged_old_block_stops_the_upgrade_and_changes_nothing(old: Path) -> None:
    with closing(sqlite3.connect(old / "link.sqlite")) as state:
        state.execute("UPDATE confirmed SET secret = x'00' WHERE number = 2")
        state.commit()
    for _ in range(2):
        with pytest.raises(StoreError, match="confirmed block 2 is damaged"):
            LinkStore(old)
    assert version(old) == 1


def test_grade_of_a_waiting_block_is_guarded_against_rot(old: Path) -> None:
    with closing(LinkStore(old)) as store:
        store.deliver_later()
    with closing(sqlite3.connect(old / "link.sqlite")) as state:
        state.execute("UPDATE confirmed SET epsilon = 1e-20")
        state.commit()
    with closing(LinkStore(old)) as store, pytest.raises(StoreError, match="confirmed block 2 is damaged"):
        store.deliver_one(Sink())
