"""Detections to secret blocks, both parties at once, a thread each: sifted and secret Mbit/s end to end.

What runs is the session itself, tags and all; the wire is a queue in memory, which may hold each frame back for
half a round trip, and marks go nowhere instead of to a disk. `poliqi link run` adds a socket, two processes and a
disk. The light is drawn beforehand. Timed: from Bob's detections and Alice's states to the key in both ends' hands.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import defaultdict
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, cast, get_args

import numpy as np

from bench.mac import products_per_ns
from bench.report import Metric, best
from poliqi.base.ids import BlockNumber, LeakModel, LinkId, Origin, Role
from poliqi.base.jit import Width, widths
from poliqi.base.secret import SecretBytes
from poliqi.distill.authenticate import WORD, Lane, OneTimeMac
from poliqi.distill.contract import Contract
from poliqi.distill.messages import Message
from poliqi.distill.outcome import Aborted, BlockConfirmed, BlockReport, Ready, StatesWanted
from poliqi.distill.plan import block_pulses, plan_contract
from poliqi.distill.policy import History, Policy
from poliqi.distill.session import Session
from poliqi.distill.sift import PackedDetections
from poliqi.edge.memory import keep_freed_memory
from poliqi.link.device import Detections
from poliqi.optics.pairs import prepared
from poliqi.optics.parameters import Block, Detector, DetectorKind, Fibre, LinkParameters, Receiver, Source
from poliqi.optics.sampler import Sampler
from poliqi.optics.states import alice_states
from poliqi.proof import ProofName

QBER = 0.02
ROUND_TRIP_S = 250e-6
LANE_WORDS = 4096
PATIENCE_S = 30.0
STAGES = {
    "Detect": "sift",
    "Tag": "authenticate",
    "Sift": "sift",
    "Parities": "reconcile",
    "Verify": "verify",
    "Verdict": "verify",
    "KeyErrors": "verify",
    "Amplify": "amplify",
    "Confirm": "amplify",
}
TYPES = {cast("int", each.__struct_config__.tag): each.__name__ for each in get_args(Message)}


def link(sifted_key: int, model: LeakModel) -> LinkParameters:
    """10 km of fibre and a cryogenic detector fast enough not to matter, at a QBER of 2 %."""
    return LinkParameters(
        name="bench",
        source=Source(1e9, (0.4, 0.1), (0.7, 0.3), 0.9),
        fibre=Fibre(10e3, 0.2),
        receiver=Receiver(0.0195, 0.02),
        detector=Detector(DetectorKind.SNSPD, 0.5, dark_rate_hz=100.0),
        block=Block(sifted_key=sifted_key, leak_model=model),
    )


class Urandom:
    """The operating system's random numbers."""

    source = "os.urandom"

    def draw(self, count: int) -> bytes:
        import os

        return os.urandom(count)


@dataclass
class Party:
    """One end: a session, what arrives, and where its thread's time goes."""

    role: Role
    session: Session
    delay_s: float
    light: Detections
    states: np.ndarray
    blocks: int
    inbox: queue.SimpleQueue[tuple[float, bytes]] = field(default_factory=queue.SimpleQueue)
    peer: Party | None = None
    spent: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    starts: list[float] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)
    reports: list[BlockReport] = field(default_factory=list)
    failure: str | None = None
    begun: int = 0
    last: str = ""
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))
    gathered: Future[PackedDetections] | None = None
    frames: int = 0

    def run(self) -> None:
        try:
            if self.role is Role.BOB:
                self.gather()
            self._timed("hello", lambda: self.session.start(0.0))
            self._flush()
            while not self.session.finished and len(self.reports) < self.blocks:
                due, frame = self.inbox.get(timeout=PATIENCE_S)
                while time.perf_counter() < due:
                    pass
                kind = TYPES[frame[1]]  # a MessagePack array of less than 16 fields begins with its type
                self.last = kind
                self._timed(STAGES.get(kind, "other"), lambda frame=frame: self.session.receive(frame, 0.0))
                self._flush()
        except Exception as error:  # shown by `measure`, which waits for both threads
            self.failure = repr(error)

    def _timed(self, stage: str, call: Any) -> None:
        began = time.thread_time()
        call()
        self.spent[stage] += time.thread_time() - began

    def _flush(self) -> None:
        assert self.peer is not None
        while True:
            marks, frames = self.session.take_marks(), self.session.take_output()
            for frame in frames:
                self.frames += 1
                self.peer.inbox.put((time.perf_counter() + self.delay_s if self.delay_s else 0.0, frame))
            events = self.session.take_events()
            for event in events:
                self._act(event)
            if marks or frames or events:
                continue
            if not self.session.has_work:
                return
            stage = "reconcile" if self.last in ("Tag", "Parities") else "amplify"
            self._timed(stage, lambda: self.session.work(0.0))

    def _act(self, event: object) -> None:
        match event:
            case StatesWanted():
                self._timed("slots", lambda: [part.size for part in event.slots.parts()])
                self._timed("sift", lambda: self.session.provide_states(self.states, 0.0))
            case Ready():
                self._begin()
            case BlockConfirmed(report=report):
                self.ends.append(time.perf_counter())
                self.reports.append(report)
                if len(self.reports) == 1:
                    self.spent.clear()
                self._begin()
            case Aborted(reason=reason):
                raise RuntimeError(reason)
            case _:
                pass

    def _begin(self) -> None:
        if self.role is Role.BOB and self.begun < self.blocks:
            assert self.gathered is not None
            light = self.gathered.result()
            self.begun += 1
            self.starts.append(time.perf_counter())
            self._timed("sift", lambda: self.session.begin_block(light, 0.0))
            self.gather()

    def gather(self) -> None:
        """As the driver does: the next block's light is packed while this one is distilled."""
        if self.begun < self.blocks:
            self.gathered = self.pool.submit(self._pack, self.begun)

    def _pack(self, number: int) -> PackedDetections:
        """The same light again and again, at later slots."""
        began = time.thread_time()
        packed = PackedDetections.of(self.light)
        self.spent["pack"] += time.thread_time() - began
        return replace(packed, first_slot=number * packed.pulses)


def light(parameters: LinkParameters, pulses: int) -> tuple[Detections, np.ndarray]:
    """Bob's detections in a block, and Alice's states of them."""
    clicks = Sampler(parameters, 1).take(pulses)
    seen = Detections(0, pulses, clicks.slots, clicks.outcomes)
    return seen, alice_states(prepared(parameters), 1, clicks.slots)


def party(
    role: Role, contract: Contract, delay_s: float, drawn: tuple[Detections, np.ndarray], blocks: int
) -> Party:
    """One end, paired with the other by pads that both draw from one generator: this is a benchmark."""
    pad = np.random.Generator(np.random.PCG64(7))
    lanes = {
        r: Lane(r, next_word=0, first_word=0, words=SecretBytes(pad.bytes(WORD * LANE_WORDS)), capacity=LANE_WORDS)
        for r in Role
    }
    session = Session(
        role,
        link_id=LinkId(contract.link_id),
        authenticator=OneTimeMac(role, lanes),
        entropy=Urandom(),
        history=History(BlockNumber(1), 0, BlockNumber(0), 0.0, None),
        contract=contract if role is Role.ALICE else None,
        policy=Policy(
            origins=frozenset(Origin),
            leak_models=frozenset(LeakModel),
            proofs=frozenset(ProofName),
            most_detections=1 << 32,
        ),
    )
    return Party(role, session, delay_s, *drawn, blocks)


def measure(
    contract: Contract, drawn: tuple[Detections, np.ndarray], blocks: int, delay_s: float
) -> dict[str, Any]:
    """Run `blocks` blocks and one before them, which warms everything and is not counted."""
    both = [party(role, contract, delay_s, drawn, blocks + 1) for role in Role]
    both[0].peer, both[1].peer = both[1], both[0]
    threads = [threading.Thread(target=p.run, name=p.role) for p in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    failed = [f"{p.role}: {p.failure}" for p in both if p.failure]
    if failed:
        raise RuntimeError("; ".join(failed))
    bob = both[1]
    seconds = max(p.ends[-1] for p in both) - bob.starts[1]
    sifted = sum(r.sifted_key for r in bob.reports[1:])
    report = bob.reports[-1]
    return {
        "block": report.sifted_key,
        "blocks": blocks,
        "sifted_mbit_s": sifted / seconds / 1e6,
        "secret_mbit_s": blocks * contract.length / seconds / 1e6,
        "secret_fraction": contract.length / report.sifted_key,
        "qber": report.qber_key,
        "f": report.efficiency,
        "rounds": report.rounds,
        "failed_frames": report.failed_frames,
        "seconds_a_block": seconds / blocks,
        "cpu_s_a_block": {p.role: {k: round(v / blocks, 5) for k, v in sorted(p.spent.items())} for p in both},
    }


def compared(
    cases: tuple[tuple[LeakModel, str, float, int], ...], blocks: int, repeats: int
) -> list[dict[str, Any]]:
    """A row for each (leak model, reconciler, round trip, sifted bits of a block).

    All cases in turn, `repeats` times over: each row is the run with the median rate, with all rates beside it.
    """
    drawn: dict[int, tuple[Detections, np.ndarray]] = {}
    runs: list[list[dict[str, Any]]] = [[] for _ in cases]
    names: dict[str, Any] = {"link_id": LinkId("bench"), "origin": Origin.SIMULATED, "entropy": "os.urandom"}
    for _ in range(repeats):
        for at, (model, reconciler, round_trip_s, sifted) in enumerate(cases):
            parameters = link(sifted, model)
            pulses = block_pulses(parameters)
            if sifted not in drawn:
                drawn[sifted] = light(parameters, pulses)
            contract = plan_contract(parameters, pulses, **names, reconciler=reconciler)
            row = {"leak_model": str(model), "reconciler": reconciler, "round_trip_us": 1e6 * round_trip_s}
            runs[at].append(row | measure(contract, drawn[sifted], blocks, round_trip_s / 2))
    rows: list[dict[str, Any]] = []
    for found in runs:
        ordered = sorted(found, key=lambda run: run["sifted_mbit_s"])
        rates = [round(run["sifted_mbit_s"], 1) for run in found]
        rows.append(ordered[len(ordered) // 2] | {"all_sifted_mbit_s": rates})
    return rows


def run(quick: bool) -> tuple[list[Metric], dict[str, Any]]:
    """Both leak models, each reconciler, with and without a round trip of 250 us."""
    keep_freed_memory()
    size = 40_000_000
    fast = (
        (LeakModel.ERROR_STRING, "cascade-few-rounds", 0.0, size),
        (LeakModel.ERROR_STRING, "cascade-few-rounds", ROUND_TRIP_S, size),
        (LeakModel.ERROR_STRING, "cascade", 0.0, size),
        (LeakModel.BOTH_DIRECTIONS, "cascade", 0.0, size),
    )
    slow = (
        (LeakModel.ERROR_STRING, "ldpc-blind", 0.0, size // 4),
        (LeakModel.BOTH_DIRECTIONS, "ldpc-blind", 0.0, size // 4),
    )
    rows = compared(fast, 3, 3 if quick else 9) + compared(slow, 2, 1)
    near, far = rows[:2]
    results = [
        Metric("sifted Mbit/s", near["sifted_mbit_s"], "Mbit/s", 150.0, "min"),
        Metric("secret Mbit/s", near["secret_mbit_s"], "Mbit/s", None, "min"),
        Metric("250 us apart / beside", far["sifted_mbit_s"] / near["sifted_mbit_s"], "-", 0.8, "min"),
    ]
    for row in (near, *rows[2:]):
        name = f"secret Mbit/s, {row['reconciler']}, {row['leak_model']}"
        results.append(Metric(name, row["secret_mbit_s"], "Mbit/s", None, "min"))
    return results, {
        "qber": QBER,
        "sifted_mbit_s": near["sifted_mbit_s"],
        "secret_mbit_s": near["secret_mbit_s"],
        "block": near["block"],
        "stages": near["cpu_s_a_block"],
        "floor": floors(),
        "rows": rows,
    }


def floors() -> dict[str, float]:
    """What the machine gives at most, on one core: carry-less products of 64 bits, and copied memory."""
    source = np.ones(1 << 27, np.uint8)
    target = np.empty_like(source)
    found = {"memory_copy_gb_s": source.nbytes / best(lambda: np.copyto(target, source)) / 1e9}
    lanes = {Width.PCLMUL: 1, Width.VPCLMUL: 4}
    for width in widths():
        if width in lanes:
            found[f"products_{width}_g_s"] = lanes[width] * products_per_ns(width)
    return {name: round(value, 2) for name, value in found.items()}
