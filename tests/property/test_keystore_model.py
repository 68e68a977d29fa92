"""A key store against dictionaries: any marks, renewals, clean and unclean ends, power cuts at any operation."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from fault import faulty_vfs
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from key_stores import HERE, POOL, THERE, WEAKER, MemoryKek, Model, block_name, ingested, run

import poliqi.keys.marks as m
from poliqi.base.errors import StoreError
from poliqi.base.secret import SecretBytes
from poliqi.edge.audit import verify_audit
from poliqi.edge.keystore import KeyStore
from poliqi.keys.run import RunKey

numbers = st.integers(1, 6)
secrets = st.one_of(st.none(), st.binary(min_size=1, max_size=40))


class StoreMachine(RuleBasedStateMachine):
    """Marks gather in a batch; a batch is applied, or meets a power cut."""

    def __init__(self) -> None:
        super().__init__()
        self._place = tempfile.TemporaryDirectory()
        self._registered = faulty_vfs.register()
        self.vfs = self._registered.__enter__()
        self.kek = MemoryKek()
        self.model = Model()
        self.batch: list[m.Mark] = []
        self.next_segment = self.next_run = 1

    @initialize()
    def begin(self) -> None:
        self.reopen()

    def teardown(self) -> None:
        self.store.close()
        self._registered.__exit__(None, None, None)
        self._place.cleanup()

    # -------------------------------------------------------------- marks

    @property
    def ahead(self) -> Model:
        return self.model.after(self.batch)

    @rule(size=st.integers(64, 300))
    def ingest(self, size: int) -> None:
        self.batch.append(ingested(self.next_segment, size))
        self.next_segment += 1

    @rule(number=numbers)
    def ready(self, number: int) -> None:
        if number < self.next_segment:
            self.batch.append(m.Readied(number))

    @rule(number=numbers, share=st.integers(0, 10))
    def lease(self, number: int, share: int) -> None:
        segment = self.ahead.segments.get(number)
        if segment is not None:
            self.batch.append(m.Leased(number, segment.size * share // 10))

    @rule(number=numbers, owner=st.sampled_from([HERE, THERE]))
    def own(self, number: int, owner: str) -> None:
        if number < self.next_segment:
            self.batch.append(m.Owned(number, owner))

    @rule(number=numbers, count=st.integers(1, 9), slaves=st.integers(1, 3), shipped=st.booleans())
    def promise(self, number: int, count: int, slaves: int, shipped: bool) -> None:
        segment = self.ahead.segments.get(number)
        if segment is None or segment.size - segment.leased < count * 4:
            return
        more = {"cipher": bytes(range(count * 4)), "ids": b"i" * 16 * count, "grade": WEAKER} if shipped else {}
        promised = run(self.next_run, number, segment.leased, count, 4, slaves, **more)
        self.next_run += 1
        self.batch += [m.Leased(number, promised.end), m.RunAdded(promised)]

    @rule(data=st.data())
    def use(self, data: st.DataObject) -> None:
        runs = self.ahead.runs
        if runs:
            chosen = runs[data.draw(st.sampled_from(sorted(runs)))]
            bits = data.draw(st.integers(0, (1 << chosen.count * len(chosen.slaves)) - 1))
            self.batch.append(m.RunUsed(chosen.key, chosen.used | bits, b"b" * 16, bits))

    @rule(number=st.integers(1, 8))
    def end_run(self, number: int) -> None:
        if number < self.next_run:
            self.batch.append(m.RunDropped(RunKey(HERE, number)))

    @rule(number=numbers)
    def drop(self, number: int) -> None:
        if number < self.next_segment:
            self.batch += [m.RunDropped(r.key) for r in self.ahead.runs.values() if r.segment == number]
            self.batch.append(m.Dropped(number))

    @rule(name=st.sampled_from(["pool", "kem 1"]), secret=secrets, generation=st.integers(0, 2**62))
    def meet(self, name: str, secret: bytes | None, generation: int) -> None:
        self.batch.append(m.SecretKept(THERE, name, None if secret is None else SecretBytes(secret)))
        self.batch.append(m.PeerRemembered(THERE, m.PeerMemory(b"i" * 16, b"b" * 16, generation)))

    # -------------------------------------------------------------- what becomes of them

    @rule()
    def apply(self) -> None:
        after = self.ahead
        self.store.apply(self.batch)
        self.model, self.batch = after, []

    @rule()
    def renew(self) -> None:
        self.store.rotate()

    @rule()
    def erase(self) -> None:
        self.store.erase_used({n: s.leased for n, s in self.model.segments.items()})

    @rule()
    def restart(self) -> None:
        self.batch = []
        self.reopen()

    @rule(at=st.integers(0, 12), seed=st.integers(0, 99), what=st.sampled_from(["apply", "renew", "restart"]))
    def cut_power(self, at: int, seed: int, what: str) -> None:
        after = self.ahead if what == "apply" else self.model
        self.vfs.cut_power(at)
        try:
            if what == "restart":
                self.reopen(check=False)
            elif what == "renew":
                self.store.rotate()
            else:
                self.store.apply(self.batch)
        except StoreError:
            pass
        else:
            self.model = after
        self.store.close()
        self.vfs.lose_power(random.Random(seed))
        self.batch = []
        self.reopen(or_else=after)

    def reopen(self, *, check: bool = True, or_else: Model | None = None) -> None:
        if hasattr(self, "store"):
            self.store.close()
        self.store = KeyStore(Path(self._place.name) / "s", self.kek, create=True, vfs=self.vfs.name)
        state = self.store.load()
        if check:
            held = [model for model in (self.model, or_else) if model is not None and model.holds(state)]
            assert held
            self.model = held[0]
            assert len(self.kek.keys) == 1
            self.next_segment = state.next_segment
            verify_audit(self.store.folder)
            for number in self.model.segments:
                assert bytes(self.store.read(number).view()) == self.model.bytes_kept(number)

    @invariant()
    def blocks_are_remembered(self) -> None:
        if hasattr(self, "store"):
            for number in (1, 2, 3):
                assert self.store.has_seen(POOL, block_name(number)) == (
                    (POOL, block_name(number)) in self.model.seen
                )


StoreMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestKeyStore = StoreMachine.TestCase
