"""Two sessions joined by a wire that a test may tamper with; light drawn here, apart from the optics room."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from poliqi.base.ids import BlockNumber, LeakModel, LinkId, Origin, Role
from poliqi.base.secret import SecretBytes
from poliqi.distill.authenticate import WORD, Lane, OneTimeMac
from poliqi.distill.contract import Contract
from poliqi.distill.outcome import (
    Aborted,
    BlockConfirmed,
    Burn,
    Confirm,
    HoldPending,
    Mark,
    PadCursor,
    Ready,
    StatesWanted,
    Usage,
)
from poliqi.distill.policy import History, Policy
from poliqi.distill.session import Session
from poliqi.distill.sift import PackedDetections
from poliqi.link.device import Detections
from poliqi.proof import ProofName

LINK = LinkId("test link")
WORDS = 64
MUS = (0.5, 0.12)
PROBABILITIES = (0.6, 0.4)


class CountingEntropy:
    """Test entropy: different bytes at every draw, the same in every run."""

    source = "test"

    def __init__(self, seed: int) -> None:
        self._generator = np.random.Generator(np.random.PCG64(seed))

    def draw(self, count: int) -> bytes:
        return self._generator.bytes(count)


def make_contract(*, pulses: int = 500_000, **changes: object) -> Contract:
    values: dict[str, object] = {
        "link_id": LINK,
        "origin": Origin.SIMULATED,
        "proof": ProofName.WIESEMANN,
        "clamp": True,
        "intensities": MUS,
        "probabilities": PROBABILITIES,
        "intensity_uncertainty": 0.0,
        "pulses": pulses,
        "max_detections": 200_000,
        "length": 2_500,
        "leak_cap": 7_500,
        "leak_model": LeakModel.BOTH_DIRECTIONS,
        "epsilon_sec": 1e-3,
        "epsilon_cor": 1e-15,
        "reconciler": "cascade",
        "frame_bits": 65536,
        "expected_qber": 0.01,
        "entropy": "test",
    }
    return Contract(**(values | changes))  # type: ignore[arg-type]


@dataclass
class Light:
    """Weak coherent pulses through a lossy channel: the textbook model, per slot."""

    generator: np.random.Generator
    eta: float = 0.9
    error: float = 0.01
    key_basis: float = 0.5
    states: dict[int, int] = field(default_factory=dict)
    first_slot: int = 0

    def detect(self, pulses: int) -> Detections:
        g = self.generator
        level = (g.random(pulses) < PROBABILITIES[1]).astype(np.int64)
        clicks = np.flatnonzero(g.random(pulses) < 1 - np.exp(-np.array(MUS)[level] * self.eta))
        level = level[clicks]
        n = len(clicks)
        a_basis = (g.random(n) > self.key_basis).astype(np.int64)
        b_basis = (g.random(n) > self.key_basis).astype(np.int64)
        a_bit = g.integers(0, 2, n)
        b_bit = np.where(a_basis == b_basis, a_bit ^ (g.random(n) < self.error), g.integers(0, 2, n))
        slots = clicks + self.first_slot
        self.states.update(zip(slots.tolist(), (a_bit | a_basis << 1 | level << 2).tolist(), strict=True))
        found = Detections(self.first_slot, pulses, slots.astype(np.int64), (b_bit | b_basis << 1).astype(np.uint8))
        self.first_slot += pulses
        return found

    def prepared(self, slots: np.ndarray) -> np.ndarray:
        return np.array([self.states[int(s)] for s in slots], np.uint8)


@dataclass
class Disk:
    """What one end has made durable: the memory model of a store, for tests of the core alone."""

    role: Role
    lanes: dict[Role, bytearray]
    cursors: dict[Role, int] = field(default_factory=lambda: dict.fromkeys(Role, 0))
    next_block: int = 1
    next_slot: int = 0
    epsilon: float = 0.0
    last_confirmed: int = 0
    pending: HoldPending | None = None
    keys: dict[int, bytes] = field(default_factory=dict)

    @staticmethod
    def pair(seed: int = 7, words: int = WORDS) -> tuple[Disk, Disk]:
        pad = CountingEntropy(seed)
        lanes = {role: pad.draw(WORD * words) for role in Role}
        alice, bob = ({r: bytearray(w) for r, w in lanes.items()} for _ in range(2))
        return Disk(Role.ALICE, alice), Disk(Role.BOB, bob)

    def apply(self, marks: list[Mark]) -> None:
        for mark in marks:
            match mark:
                case PadCursor(sender=sender, next_word=word):
                    assert word >= self.cursors[sender]
                    self.cursors[sender] = min(word, len(self.lanes[sender]) // WORD)
                case Usage(next_block=number, next_slot=slot):
                    assert number >= self.next_block
                    assert slot >= self.next_slot
                    self.next_block, self.next_slot = number, slot
                case HoldPending():
                    assert self.pending is None
                    self.pending = mark
                case Confirm(number=number):
                    assert self.pending is not None and self.pending.block.number == number
                    self.keys[number] = bytes(self.pending.block.key.view())
                    self.lanes[Role.ALICE] += self.pending.refill_alice.view()
                    self.lanes[Role.BOB] += self.pending.refill_bob.view()
                    self.epsilon += self.pending.own_epsilon
                    self.last_confirmed, self.pending = number, None
                case Burn():
                    self.pending = None

    def session(self, *, contract: Contract | None = None, seed: int = 1, **options: object) -> Session:
        lanes = {
            role: Lane(
                role,
                next_word=self.cursors[role],
                first_word=0,
                words=SecretBytes(words),
                capacity=WORDS,
            )
            for role, words in self.lanes.items()
        }
        policy = Policy(
            origins=frozenset(Origin),
            leak_models=frozenset(LeakModel),
            proofs=frozenset(ProofName),
            largest_epsilon_sec=1e-3,
        )
        values: dict[str, object] = {
            "link_id": LINK,
            "authenticator": OneTimeMac(self.role, lanes),
            "entropy": CountingEntropy(seed * 2 + (self.role is Role.ALICE)),
            "history": History(
                BlockNumber(self.next_block),
                self.next_slot,
                BlockNumber(self.last_confirmed),
                self.epsilon,
                self.pending,
            ),
            "contract": contract if self.role is Role.ALICE else None,
            "policy": policy,
        }
        return Session(self.role, **(values | options))  # type: ignore[arg-type]


Tamper = Callable[[Role, int, bytes], list[bytes]]


@dataclass
class Wire:
    """Carries frames in order; `tamper(sender, count, frame)` says what arrives instead."""

    disks: dict[Role, Disk]
    sessions: dict[Role, Session]
    light: Light
    tamper: Tamper = lambda _sender, _count, frame: [frame]
    blocks: int = 1
    works_ahead: bool = True
    pulses: int = 500_000
    sent: list[tuple[Role, bytes]] = field(default_factory=list)
    events: dict[Role, list] = field(default_factory=lambda: {r: [] for r in Role})

    def run(self) -> Wire:
        for session in self.sessions.values():
            session.start(0.0)
        while self._turn():
            pass
        return self

    def _turn(self) -> bool:
        moved = False
        for role in Role:
            session, disk = self.sessions[role], self.disks[role]
            disk.apply(session.take_marks())
            for frame in session.take_output():
                moved = True
                count = len(self.sent)
                self.sent.append((role, frame))
                for arriving in self.tamper(role, count, frame):
                    self.sessions[role.peer].receive(arriving, 0.0)
            for event in session.take_events():
                moved = True
                self.events[role].append(event)
                self._act(role, event)
            if self.works_ahead and session.has_work:
                moved = True
                session.work(0.0)
        return moved

    def _act(self, role: Role, event: object) -> None:
        session = self.sessions[role]
        if isinstance(event, StatesWanted):
            session.provide_states(self.light.prepared(event.slots.array()), 0.0)
        ended = isinstance(event, Ready | BlockConfirmed) or (isinstance(event, Aborted) and not event.fatal)
        if role is Role.BOB and isinstance(event, Ready):
            self.light.first_slot = max(self.light.first_slot, event.next_slot)
        if role is Role.BOB and ended and self.blocks and not session.finished:
            self.blocks -= 1
            session.begin_block(PackedDetections.of(self.light.detect(self.pulses)), 0.0)

    def aborts(self, role: Role) -> list[Aborted]:
        return [e for e in self.events[role] if isinstance(e, Aborted)]

    def confirmed(self, role: Role) -> list[BlockConfirmed]:
        return [e for e in self.events[role] if isinstance(e, BlockConfirmed)]


def wire(
    contract: Contract | None = None,
    disks: tuple[Disk, Disk] | None = None,
    *,
    seed: int = 1,
    tamper: Tamper | None = None,
    blocks: int = 1,
    **light: float,
) -> Wire:
    """Two paired ends, ready to run."""
    contract = contract or make_contract()
    alice, bob = disks or Disk.pair()
    both = {Role.ALICE: alice, Role.BOB: bob}
    sessions = {Role.ALICE: alice.session(contract=contract, seed=seed), Role.BOB: bob.session(seed=seed)}
    made = Wire(both, sessions, Light(np.random.Generator(np.random.PCG64(seed)), **light))
    made.pulses, made.blocks = contract.pulses, blocks
    if tamper is not None:
        made.tamper = tamper
    return made
