"""A key store on a disk that fills up, fails and loses power, at every single operation."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path

import apsw
import pytest
from fault import faulty_vfs
from key_stores import HERE, POOL, THERE, WEAKER, MemoryKek, Model, block_name, ingested, run

import poliqi.keys.marks as m
from poliqi.base.errors import ConfigError, StoreError
from poliqi.base.secret import SecretBytes
from poliqi.edge.audit import verify_audit
from poliqi.edge.keystore import KeyStore
from poliqi.keys.run import RunKey

BATCHES: list[list[m.Mark]] = [
    [ingested(1, 9000, block=1), ingested(2, 9000, block=1, part=1), m.Audited("ingested", {"block": 1})],
    [m.Readied(1), m.Readied(2), m.PeerRemembered(THERE, m.PeerMemory(b"i" * 16, b"b" * 16, 3))],
    [m.SecretKept(THERE, "pool", SecretBytes(b"s" * 32)), m.Leased(1, 1056), m.RunAdded(run(1, 1, 32, 32, 32))],
    [
        m.RunUsed(RunKey(HERE, 1), 0b1011),
        m.RunAdded(run(2, 2, 64, 2, cipher=b"c" * 32, grade=WEAKER)),
        m.Leased(2, 96),
    ],
    [ingested(3, 70), m.RunDropped(RunKey(HERE, 1)), m.Owned(2, HERE), m.Audited("delivered", {"run": 1})],
    [m.Dropped(1), m.SecretKept(THERE, "pool", None), m.SecretKept(THERE, "kem 1", SecretBytes(b"k" * 32))],
]


class Bench:
    """One store, driven through the batches until something fails."""

    def __init__(self, folder: Path, vfs: faulty_vfs.FaultyVfs) -> None:
        self.folder, self.vfs, self.kek = folder, vfs, MemoryKek()
        self.acknowledged = Model()
        self.in_flight = self.acknowledged
        self.lines = 0

    def open(self) -> KeyStore:
        return KeyStore(self.folder, self.kek, create=True, vfs=self.vfs.name, now_ns=lambda: 7)

    def work(self) -> bool:
        """True where everything went well; otherwise the store was closed after its error."""
        store = self.open()
        try:
            store.load()
            for i, batch in enumerate(BATCHES):
                self.in_flight = self.acknowledged.after(batch)
                store.apply(batch)
                self.acknowledged = self.in_flight
                if i == 3:
                    store.erase_used({2: 64})
                    store.rotate()
            store.close()
        except StoreError:
            self.refuses_more(store)
            self.vfs.kill()  # closing tidies nothing
            return False
        finally:
            store.close()
        return True

    def refuses_more(self, store: KeyStore) -> None:
        with pytest.raises(StoreError):
            store.apply([m.Audited("after an error", {})])

    def check(self) -> None:
        """Opens again and holds what was acknowledged, or also all of the batch in flight."""
        store = self.open()
        state = store.load()
        held = [model for model in (self.acknowledged, self.in_flight) if model.holds(state)]
        assert held, "neither what was acknowledged nor that and the batch in flight"
        model = held[0]
        for number in model.segments:
            assert bytes(store.read(number).view()) == model.bytes_kept(number)
        assert store.has_seen(POOL, block_name(1)) == ((POOL, block_name(1)) in model.seen)
        assert len(self.kek.keys) == 1  # every other key of keys is destroyed
        store.close()
        verify_audit(self.folder)


@pytest.fixture
def vfs() -> Generator[faulty_vfs.FaultyVfs]:
    with faulty_vfs.register() as layer:
        yield layer


def benches(vfs: faulty_vfs.FaultyVfs, step: int = 1, only: str = "") -> Generator[tuple[int, Bench]]:
    """A fresh bench for every operation of the work (of one kind), in steps."""
    with tempfile.TemporaryDirectory() as place:
        bench = Bench(Path(place) / "whole", vfs)
        vfs.heal()
        assert bench.work()
        numbers = [n for n, kind in enumerate(vfs.kinds) if only in ("", kind)]
        for n in numbers[random.randrange(step) :: step]:
            vfs.files.clear()
            yield n, Bench(Path(place) / str(n), vfs)


@pytest.mark.parametrize(
    ("error", "once"),
    [(apsw.FullError, False), (apsw.IOError, False), (apsw.IOError, True), (apsw.FullError, True)],
)
def test_an_error_at_any_operation_loses_nothing_acknowledged(
    vfs: faulty_vfs.FaultyVfs, error: type[apsw.Error], once: bool
) -> None:
    for n, bench in benches(vfs, 2):
        vfs.fail(n, error, once=once)
        bench.work()
        vfs.heal()
        bench.check()


@pytest.mark.parametrize("kept", ["nothing", "anything"])
def test_a_power_cut_at_any_operation_loses_nothing_acknowledged(vfs: faulty_vfs.FaultyVfs, kept: str) -> None:
    for n, bench in benches(vfs):
        vfs.cut_power(n)
        bench.work()
        vfs.lose_power(None if kept == "nothing" else random.Random(n))
        bench.check()


def test_a_power_cut_while_a_store_recovers_from_one(vfs: faulty_vfs.FaultyVfs) -> None:
    for n, bench in benches(vfs, 7):
        vfs.cut_power(n)
        bench.work()
        vfs.lose_power(random.Random(n))
        for again in (3, 11, 23):
            vfs.cut_power(again)
            store = bench.open()
            with suppress(StoreError):
                store.load()
            store.close()
            vfs.lose_power(random.Random(again))
        bench.check()


def test_a_synchronisation_that_failed_is_not_believed_later(vfs: faulty_vfs.FaultyVfs) -> None:
    for again in range(1, 25, 2):
        for n, bench in benches(vfs, 2, only="sync"):
            vfs.fail(n, apsw.IOError, once=True)
            if bench.work():
                continue
            vfs.cut_power(again)
            store = bench.open()
            with suppress(StoreError):
                store.load()
            store.close()
            vfs.lose_power(None)
            bench.check()


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (apsw.FullError, "the disk is full: free space and start again, nothing acknowledged is lost"),
        (apsw.IOError, "mend the disk and start again, nothing acknowledged is lost"),
        (apsw.ReadOnlyError, "it cannot be written: make its disk writable and start again"),
        (
            apsw.CorruptError,
            "the file is damaged: check the disk, move the folder away and start with an empty store",
        ),
    ],
)
def test_a_fault_is_named_with_what_to_do(
    vfs: faulty_vfs.FaultyVfs, tmp_path: Path, error: type[apsw.Error], remedy: str
) -> None:
    vfs.heal()
    store = KeyStore(tmp_path / "s", MemoryKek(), create=True, vfs=vfs.name)
    store.load()
    vfs.fail(0, error)
    with pytest.raises(StoreError, match=remedy):
        store.apply([ingested(1)])
    vfs.heal()
    with pytest.raises(StoreError, match="failed before"):
        store.apply([ingested(1)])
    store.close()


def test_an_empty_file_is_no_store(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    folder.mkdir(mode=0o700)
    (folder / "keys.sqlite").touch(mode=0o600)
    with pytest.raises(ConfigError, match="holds no key store yet"):
        KeyStore(folder, MemoryKek()).load()
