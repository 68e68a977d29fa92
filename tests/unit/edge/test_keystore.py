"""A key store gives back what was made durable, erases what was used, and tells what it cannot read."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path

import apsw
import pytest
from key_stores import GRADE, HERE, POOL, THERE, WEAKER, MemoryKek, block_name, ingested, payload, run

import poliqi.keys.marks as m
from poliqi.base.errors import ConfigError, StoreError
from poliqi.base.secret import SecretBytes
from poliqi.edge import keyschema
from poliqi.edge.keystore import KeyStore
from poliqi.keys.run import RunKey
from poliqi.keys.segment import SegmentState

BETTER_GRADE = (
    "INSERT INTO grade SELECT 7, replace(body, 'simulated', 'photons') FROM grade;"
    " UPDATE segment SET grade = 7 WHERE number = 1"
)
Opener = Callable[[], tuple[KeyStore, m.StoredState]]


@pytest.fixture
def kek() -> MemoryKek:
    return MemoryKek()


@pytest.fixture
def again(tmp_path: Path, kek: MemoryKek) -> Generator[Opener]:
    """Closes the store that is open, and opens it once more."""
    opened: list[KeyStore] = []

    def open_again() -> tuple[KeyStore, m.StoredState]:
        while opened:
            opened.pop().close()
        store = KeyStore(tmp_path / "store", kek, create=True)
        opened.append(store)
        return store, store.load()

    yield open_again
    for store in opened:
        store.close()


def database(tmp_path: Path) -> apsw.Connection:
    return apsw.Connection(str(tmp_path / "store" / "keys.sqlite"))


def change(tmp_path: Path, statement: str, *values: object) -> None:
    connection = database(tmp_path)
    connection.execute("PRAGMA ignore_check_constraints=ON")
    connection.execute(statement, values)
    connection.close()


def test_starts_are_counted_and_named(again: Opener) -> None:
    _, first = again()
    _, second = again()
    assert (first.generation, second.generation) == (1, 2)
    assert second.boots[:-1] == first.boots
    assert second.boots[-1] not in first.boots
    assert second.instance == first.instance
    assert len(second.instance) == 16


def test_the_last_64_starts_are_remembered(again: Opener) -> None:
    _, first = again()
    for _ in range(64):
        _, last = again()
    assert len(last.boots) == 64
    assert first.boots[0] not in last.boots


def test_all_fields_of_a_run_come_back(again: Opener) -> None:
    store, _ = again()
    plain = run((1 << 64) - 1, 1, 64, 3)
    granted = {"used": 0b101, "user": b"b" * 16, "user_used": 0b1}
    shipped = run(1, 1, 200, 2, slaves=3, ids=b"i" * 32, cipher=b"c" * 32, grade=WEAKER, kem_epoch=7, **granted)
    store.apply([ingested(1), m.RunAdded(plain), m.RunAdded(shipped)])
    _, state = again()
    assert sorted(state.runs, key=lambda r: r.key.number) == [shipped, plain]


def test_marks_of_one_batch_may_follow_each_other(again: Opener) -> None:
    store, _ = again()
    store.apply(
        [ingested(1), m.Readied(1), m.Leased(1, 500), m.RunAdded(run(1, 1, 64)), m.RunUsed(RunKey(HERE, 1), 3)]
    )
    store.apply([m.Leased(1, 400)])  # leases only grow
    _, state = again()
    [segment] = state.segments
    assert (segment.state, segment.leased) == (SegmentState.READY, 500)
    assert [r.used for r in state.runs] == [3]


def test_a_mark_about_something_gone_changes_nothing(again: Opener) -> None:
    store, _ = again()
    store.apply([m.Readied(9), m.Leased(9, 1), m.Owned(9, HERE), m.Dropped(9), m.RunUsed(RunKey(HERE, 9), 1)])
    store.apply([m.RunDropped(RunKey(HERE, 9)), m.SecretKept(THERE, "none", None)])
    _, state = again()
    assert (state.segments, state.runs) == ([], [])


def test_segment_numbers_are_never_given_again(again: Opener) -> None:
    store, _ = again()
    store.apply([ingested(1), ingested(2)])
    store.apply([m.Dropped(2), m.Dropped(1)])
    _, state = again()
    assert state.next_segment == 3


def test_a_block_is_remembered_after_its_segments_are_gone(again: Opener) -> None:
    store, _ = again()
    assert not store.has_seen(POOL, block_name(1))
    store.apply([ingested(1)])
    store.apply([m.Dropped(1)])
    store, _ = again()
    assert store.has_seen(POOL, block_name(1))
    with pytest.raises(StoreError, match="contradicts what stands there"):
        store.apply([ingested(2, block=1)])


def test_secrets_and_peers_are_replaced_and_destroyed(again: Opener) -> None:
    store, _ = again()
    store.apply(
        [m.SecretKept(THERE, "pool", SecretBytes(b"1" * 32)), m.SecretKept(THERE, "kem", SecretBytes(b"2"))]
    )
    store.apply([m.SecretKept(THERE, "pool", SecretBytes(b"3" * 32)), m.SecretKept(THERE, "kem", None)])
    for generation in (1, 2):
        store.apply([m.PeerRemembered(THERE, m.PeerMemory(b"i" * 16, b"b" * 16, generation))])
    _, state = again()
    assert {k: bytes(v.view()) for k, v in state.secrets.items()} == {(THERE, "pool"): b"3" * 32}
    assert state.peers[THERE].generation == 2


def test_a_segment_may_change_its_owner(again: Opener) -> None:
    store, _ = again()
    store.apply([ingested(1)])
    store.apply([m.Owned(1, THERE)])
    store, state = again()
    assert state.segments[0].owner == THERE
    assert bytes(store.read(1).view()) == payload(1, 2000)


def test_used_bytes_are_erased_at_the_next_start_but_not_what_waits(again: Opener) -> None:
    store, _ = again()
    store.apply([ingested(1), m.Leased(1, 1000), m.RunAdded(run(1, 1, 64, count=4, size=16, slaves=2))])
    store.apply([m.RunUsed(RunKey(HERE, 1), 0b0111_0011)])  # keys 0 and 2: both slaves; 1: none; 3: one of two
    store, _ = again()
    whole = payload(1, 2000)
    expected = bytes(80) + whole[80:96] + bytes(16) + whole[112:128] + bytes(872) + whole[1000:]
    assert bytes(store.read(1).view()) == expected


def test_used_bytes_are_erased_while_running(again: Opener) -> None:
    store, _ = again()
    store.apply([ingested(1), m.Leased(1, 1000), m.RunAdded(run(1, 1, 64, count=2, size=16))])
    assert store.erase_used({1: 96, 77: 5}) == 1
    assert store.erase_used({1: 96}) == 0  # nothing new was used
    left = bytes(store.read(1).view())
    assert left == bytes(64) + payload(1, 2000)[64:]
    store.apply([m.RunUsed(RunKey(HERE, 1), 0b01)])
    assert store.erase_used({1: 96}) == 1
    assert bytes(store.read(1).view())[:96] == bytes(80) + payload(1, 2000)[80:96]


def test_zeros_are_never_promised_as_keys(again: Opener) -> None:
    store, _ = again()
    store.apply([ingested(1), m.Leased(1, 500)])
    store, _ = again()
    with pytest.raises(StoreError, match="used bytes were erased"):
        store.apply([m.RunAdded(replace(run(1, 1, 400), key=RunKey(THERE, 1)))])


def test_a_run_of_ones_own_may_stand_where_used_bytes_were_erased(again: Opener) -> None:
    """Its bits were read when it was promised, and never are again."""
    store, _ = again()
    store.apply([ingested(1), m.Leased(1, 500)])
    store.erase_used({1: 500})
    store.apply([m.RunAdded(run(1, 1, 400))])
    _, state = again()
    assert [r.offset for r in state.runs] == [400]


def test_a_run_may_grow_after_an_erasure(again: Opener) -> None:
    store, _ = again()
    store.apply([ingested(1), m.Leased(1, 500), m.RunAdded(run(1, 1, 64, count=2))])
    store.erase_used({1: 96})
    store.apply([m.RunAdded(run(1, 1, 64, count=4))])
    _, state = again()
    assert [r.count for r in state.runs] == [4]


@pytest.mark.parametrize("table", ["dek", "payload", "segment"])
def test_a_dropped_segment_leaves_no_row(again: Opener, tmp_path: Path, table: str) -> None:
    store, _ = again()
    store.apply([ingested(1)])
    store.apply([m.Dropped(1)])
    assert list(database(tmp_path).execute(f"SELECT * FROM {table}")) == []
    with pytest.raises(StoreError, match="segment 1 is not in the key store"):
        store.read(1)


def test_no_key_byte_stands_in_the_files(again: Opener, tmp_path: Path) -> None:
    store, _ = again()
    store.apply([ingested(1), m.SecretKept(THERE, "pool", SecretBytes(b"recognisable secret!")), m.Leased(1, 100)])
    store.apply([m.RunAdded(run(1, 1, 0, 1, 16, cipher=b"recognisable cipher"))])
    store.rotate()
    found = b"".join(path.read_bytes() for path in (tmp_path / "store").iterdir())
    for secret in (payload(1, 2000)[:12], payload(1, 2000)[700:712], b"recognisable"):
        assert secret not in found


def test_an_old_copy_cannot_be_opened_after_a_renewal(again: Opener, tmp_path: Path) -> None:
    store, _ = again()
    store.apply([ingested(1)])
    connection = database(tmp_path)
    old = connection.serialize("main")
    connection.close()
    store.rotate()
    assert bytes(store.read(1).view()) == payload(1, 2000)
    store.close()
    for name in ("keys.sqlite-wal", "keys.sqlite-shm"):
        (tmp_path / "store" / name).unlink(missing_ok=True)
    (tmp_path / "store" / "keys.sqlite").write_bytes(old)
    with pytest.raises(StoreError, match="KEK of epoch 1 is not in memory"):
        again()


def test_an_old_copy_with_its_old_key_beside_a_newer_one_is_refused(
    again: Opener, tmp_path: Path, kek: MemoryKek
) -> None:
    again()
    kept = dict(kek.keys)
    again()
    connection = database(tmp_path)
    connection.execute("UPDATE epoch SET number = 1")  # what an image of the first start would say
    connection.close()
    kek.keys.update(kept)
    kek.keys[next(iter(kept))[0], 3] = b"k" * 32
    with pytest.raises(StoreError, match="this database is an old copy"):
        again()


def test_one_key_of_keys_stands_after_every_start_and_renewal(again: Opener, kek: MemoryKek) -> None:
    store, _ = again()
    store, _ = again()
    store.rotate()
    assert [epoch for _, epoch in kek.keys] == [3]


def test_reads_go_on_while_another_thread_writes_and_renews(again: Opener) -> None:
    store, _ = again()
    store.apply([ingested(n) for n in range(1, 9)])
    stop, problems = threading.Event(), list[BaseException]()

    def read() -> None:
        try:
            while not stop.is_set():
                for n in range(1, 9):
                    assert bytes(store.read(n).view()) == payload(n, 2000)
        except BaseException as error:
            problems.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    for i in range(8):
        store.rotate()
        store.apply([ingested(100 + i)])
    stop.set()
    thread.join()
    assert problems == []


def test_a_store_belongs_to_one_process_at_a_time(again: Opener, tmp_path: Path, kek: MemoryKek) -> None:
    again()
    with pytest.raises(StoreError, match="in use by another process"):
        KeyStore(tmp_path / "store", kek).load()


def test_files_are_private_and_must_be(again: Opener, tmp_path: Path) -> None:
    again()
    folder = tmp_path / "store"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    (folder / "keys.sqlite").chmod(0o640)
    with pytest.raises(StoreError, match="chmod 600"):
        again()


def test_no_store_is_made_without_being_asked(tmp_path: Path, kek: MemoryKek) -> None:
    with pytest.raises(ConfigError, match="poliqi site run"):
        KeyStore(tmp_path / "store", kek).load()
    assert not (tmp_path / "store").exists()


def test_another_database_is_refused(again: Opener, tmp_path: Path) -> None:
    again()[0].close()
    change(tmp_path, "PRAGMA application_id=1")
    with pytest.raises(StoreError, match="no key store of POLIQI"):
        again()


def test_a_newer_version_is_refused(again: Opener, tmp_path: Path) -> None:
    again()[0].close()
    change(tmp_path, "PRAGMA user_version=2")
    with pytest.raises(StoreError, match="version 2, this program knows versions up to 1: install the newer"):
        again()


def test_an_older_version_is_brought_up_to_date(
    again: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _ = again()
    store.apply([ingested(1)])
    store.close()
    change(tmp_path, "PRAGMA user_version=0")
    monkeypatch.setitem(keyschema.MIGRATIONS, 0, "UPDATE segment SET tag = zeroblob(16); DELETE FROM segment")
    _, state = again()
    assert state.segments == []
    assert list(database(tmp_path).execute("PRAGMA user_version")) == [(1,)]


# ---------------------------------------------------------------- damage


def test_a_damaged_segment_is_named_and_the_others_are_read(again: Opener, tmp_path: Path) -> None:
    store, _ = again()
    store.apply([ingested(1), ingested(2)])
    change(tmp_path, "UPDATE payload SET sealed = zeroblob(length(sealed)) WHERE number = 1")
    with pytest.raises(StoreError, match=r"segment 1 of the key store .* is damaged .*: drop it"):
        store.read(1)
    assert bytes(store.read(2).view()) == payload(2, 2000)
    store.apply([m.Dropped(1)])


def test_a_segment_moved_to_another_place_does_not_open(again: Opener, tmp_path: Path) -> None:
    store, _ = again()
    store.apply([ingested(1), ingested(2)])
    [(sealed,)] = database(tmp_path).execute("SELECT sealed FROM payload WHERE number = 1")
    change(tmp_path, "UPDATE payload SET sealed = ? WHERE number = 2", sealed)
    with pytest.raises(StoreError, match="segment 2"):
        store.read(2)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE segment SET leased = 0 WHERE number = 1",
        "UPDATE segment SET state = 'reddy' WHERE number = 1",
        "UPDATE segment SET size = 1999, unleased = unleased - 1 WHERE number = 1",
        "UPDATE segment SET owner = 'kme-x' WHERE number = 1",
        "UPDATE segment SET pool = 99 WHERE number = 1",
        "UPDATE segment SET tag = zeroblob(16) WHERE number = 1",
        "UPDATE dek SET sealed = zeroblob(60) WHERE number = 1",
        "DELETE FROM dek WHERE number = 1",
        BETTER_GRADE,
    ],
)
def test_a_damaged_row_of_a_segment_is_dropped_at_the_start(again: Opener, tmp_path: Path, damage: str) -> None:
    store, _ = again()
    store.apply([ingested(1), ingested(2), m.Leased(1, 100), m.RunAdded(run(1, 1, 64, 2))])
    store.close()
    change(tmp_path, damage)
    _, state = again()
    assert [s.number for s in state.segments] == [2]
    assert state.runs == []
    [(detail,)] = database(tmp_path).execute("SELECT detail FROM audit WHERE event = 'damaged-segment-dropped'")
    assert detail == '{"segment":1}'


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE run SET first = 65",
        "UPDATE run SET used = zeroblob(length(used))",
        "UPDATE run SET cipher = zeroblob(length(cipher))",
        "UPDATE run SET slaves = '[\"sae-9\"]'",
        "UPDATE run SET grade = 5",
    ],
)
def test_a_damaged_run_is_dropped_at_the_start(again: Opener, tmp_path: Path, damage: str) -> None:
    store, _ = again()
    added = run(1, 1, 64, 2, ids=b"i" * 32, cipher=b"c" * 32)
    store.apply([ingested(1), m.Leased(1, 100), m.RunAdded(added)])
    store.close()
    change(tmp_path, damage)
    _, state = again()
    assert (len(state.segments), state.runs) == (1, [])


def test_a_damaged_secret_stops_the_start(again: Opener, tmp_path: Path) -> None:
    store, _ = again()
    store.apply([m.SecretKept(THERE, "pool", SecretBytes(b"s" * 32))])
    store.close()
    change(tmp_path, "UPDATE secret SET sealed = zeroblob(60)")
    with pytest.raises(StoreError, match=r"the secret 'pool' shared with kme-bovisa is damaged"):
        again()


def test_a_damaged_file_stops_the_start(again: Opener, tmp_path: Path) -> None:
    store, _ = again()
    store.apply([ingested(n, 64) for n in range(1, 200)])
    store.close()
    path = tmp_path / "store" / "keys.sqlite"
    [(root,)] = database(tmp_path).execute("SELECT rootpage FROM sqlite_schema WHERE name = 'segment'")
    data = bytearray(path.read_bytes())
    data[(root - 1) * 4096 : (root - 1) * 4096 + 4096] = os.urandom(4096)
    path.write_bytes(data)
    with pytest.raises(StoreError, match="damaged"):
        again()


def test_nothing_is_written_after_a_mark_that_contradicts_itself(again: Opener) -> None:
    store, _ = again()
    wrong = m.Ingested(ingested(1, 2000).segment, SecretBytes(b"short"))
    with pytest.raises(ValueError, match="says 2000 bytes and brings 5"):
        store.apply([m.PeerRemembered(THERE, m.PeerMemory(b"", b"", 1)), wrong])
    with pytest.raises(StoreError, match="failed before"):
        store.apply([m.Readied(1)])
    _, state = again()
    assert (state.peers, state.segments) == ({}, [])


def test_grades_are_stored_once(again: Opener, tmp_path: Path) -> None:
    store, _ = again()
    store.apply([ingested(n) for n in range(1, 6)])
    assert len(list(database(tmp_path).execute("SELECT * FROM grade"))) == 1
    _, state = again()
    assert {s.grade for s in state.segments} == {GRADE}
