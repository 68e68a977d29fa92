"""Synchronisation: clock and offset of 1e7 tags in seconds, and tags a second from a tagger to sifted bits."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.report import Metric, best
from poliqi.base.ids import BlockNumber, Origin
from poliqi.distill.sift import PackedDetections, alice_sift, bob_sift, detect_message
from poliqi.link.device import Detections
from poliqi.link.sync.gates import Aligner, Filters
from poliqi.link.sync.ingest import Ingest
from poliqi.link.sync.receiver import TagReceiver
from poliqi.link.sync.recover import SyncSettings, recover
from poliqi.link.sync.tracking import Tracker
from poliqi.link.sync.window import SyncWindows
from poliqi.link.timetags.tags import Channel, Meaning, Tagging, Tags

CLOCK_HZ = 1e9
OFF = 1e-6
START_S = 0.0073
JITTER_PS = 25.0
ERROR = 0.01
BACKGROUND = 0.01
KEY_BASIS = 0.9
WINDOW = 1 << 20
CHUNK = 1 << 18
PTU_TAGS = 1_000_000
TAGGING = Tagging(
    CLOCK_HZ,
    tuple(Channel(k, m) for k, m in enumerate((Meaning.KEY_0, Meaning.KEY_1, Meaning.TEST_0, Meaning.TEST_1))),
)
DEAD = SyncSettings(filters=Filters(dead_s=20e-9))
FREE = SyncSettings()


class Coins:
    """A seed's bytes for double clicks: a benchmark makes no key."""

    source = "a seed, for a benchmark"

    def __init__(self) -> None:
        self._draw = np.random.default_rng(1)

    def draw(self, count: int) -> bytes:
        return self._draw.bytes(count)


@dataclass(frozen=True, slots=True)
class Light:
    """`tags`, and what Alice prepared: states of the window, and of each click of light with its slot."""

    tags: Tags = field(repr=False)
    window: NDArray[np.uint8] = field(repr=False)
    slots: NDArray[np.int64] = field(repr=False)
    states: NDArray[np.uint8] = field(repr=False)

    def published(self, first_slot: int, count: int) -> NDArray[np.uint8]:
        """The states of the window."""
        return self.window[first_slot : first_slot + count]

    def states_of(self, slots: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Alice's states of detected slots; where background alone clicked, any will do to measure time."""
        place = np.minimum(np.searchsorted(self.slots, slots), self.slots.size - 1)
        return self.states[place]


def light(n: int, rate_hz: float) -> Light:
    """n tags at `rate_hz`, most of them light of a clock 1 ppm off that begins 7.3 ms after the tagger."""
    draw = np.random.default_rng(1)
    lit = int(n * (1 - BACKGROUND))
    gaps = 1 + draw.geometric(min(0.999, rate_hz / CLOCK_HZ), lit) - 1
    slots = np.cumsum(gaps).astype(np.int64)
    window, states = (
        draw.integers(0, 2, size, np.uint8) | (draw.random(size) > KEY_BASIS).astype(np.uint8) << np.uint8(1)
        for size in (WINDOW, lit)
    )
    public = slots < WINDOW
    states[public] = window[slots[public]]
    basis = (draw.random(lit) > KEY_BASIS).astype(np.uint8)
    wrong = (draw.random(lit) < ERROR).astype(np.uint8)
    bit = np.where(states >> 1 == basis, (states & 1) ^ wrong, draw.integers(0, 2, lit, np.uint8))
    at = (START_S + (slots + 0.5) / CLOCK_HZ * (1 - OFF)) * 1e12 + draw.normal(0, JITTER_PS, lit)
    times = np.concatenate([at, draw.random(n - lit) * at[-1]]).astype(np.int64)
    channels = np.concatenate([bit | basis << np.uint8(1), draw.integers(0, 4, n - lit)]).astype(np.uint8)
    order = np.argsort(times, kind="stable")
    return Light(Tags(times[order], channels[order]), window, slots, states)


@dataclass(slots=True)
class Played:
    """The tags of a light in chunks, as a tagger hands them over."""

    tags: Tags
    tagging: Tagging = TAGGING
    at: int = 0

    def read(self) -> Tags | None:
        part = slice(self.at, self.at + CHUNK)
        self.at += CHUNK
        times = self.tags.times_ps[part]
        return Tags(times, self.tags.channels[part]) if times.size else None

    def close(self) -> None:
        """Nothing is held."""


def sifted(block: Detections, states: NDArray[np.uint8]) -> int:
    """Both ends' sifting of a block: bits kept."""
    held = PackedDetections.of(block)
    message = detect_message(BlockNumber(1), held)
    mine, answer = alice_sift(message, states, 1, bytes(8))
    theirs = bob_sift(held, BlockNumber(1), answer, 1)
    assert mine.key.size == theirs.key.size
    return mine.key.size + sum(mine.test_detections)


def stream(source: Light, settings: SyncSettings, pulses: int) -> tuple[float, dict[str, Any]]:
    """Tags a second of processor time: the streaming receiver and both ends' sifting, in blocks of `pulses`.

    Alice's states are looked up beforehand: a real Alice has them at hand, and her memory is not measured here.
    """
    windows = SyncWindows(WINDOW)

    def device() -> TagReceiver:
        arguments = source.published, windows, Coins()
        return TagReceiver(Played(source.tags), *arguments, origin=Origin.SIMULATED, settings=settings)

    last = int(source.slots[-1]) - WINDOW - 1000
    count = last // pulses
    rehearsal = device()
    blocks = [rehearsal.detect(pulses) for _ in range(count)]
    states = [source.states_of(block.slots) for block in blocks]
    sifted(blocks[0], states[0])
    del blocks
    receiver, kept, receiving, seconds = device(), 0, 0.0, 0.0
    receiver.detect(pulses)  # finds the slots first: measured as recovery
    for k in range(1, count):
        started = time.process_time()
        block = receiver.detect(pulses)
        received = time.process_time()
        kept += sifted(block, states[k])
        receiving += received - started
        seconds += time.process_time() - started
    ends = [int((START_S + (WINDOW + k * pulses) / CLOCK_HZ) * 1e12) for k in (1, count)]
    tags = int(np.diff(np.searchsorted(source.tags.times_ps, ends))[0])
    return tags / seconds, {
        "tags": tags,
        "tags a second": round(source.tags.times_ps.size / (source.tags.times_ps[-1] * 1e-12)),
        "sifted bits": kept,
        "sifted Mbit/s": round(kept / seconds / 1e6, 1),
        "share of the time spent on receiving": round(receiving / seconds, 3),
    }


def stages(source: Light, settings: SyncSettings) -> dict[str, float]:
    """Nanoseconds a tag of each stage by itself."""
    found = recover(source.tags, TAGGING, source.window, settings)
    n = found.times_ps.size

    def follow() -> None:
        Tracker(found.tone, 1, settings.wander).follow(found.times_ps, last=True)

    def ingest() -> None:
        Ingest(TAGGING, settings.filters, Coins()).take(found.times_ps, found.codes, found.line)

    calls = {
        "channels to detectors, order checked": lambda: Aligner(TAGGING).take(source.tags, last=True),
        "clock followed": follow,
        "slots, gates, dead time, double clicks": ingest,
    }
    return {name: round(best(call, runs=3) / n * 1e9, 2) for name, call in calls.items()}


def ptu_rate(source: Light, runs: int) -> float:
    """Tags a second that are read from a PTU file of T2 records (a million tags, the file in the page cache)."""
    from ptufile import PtuRecordType

    from bench import ptu_files
    from poliqi.edge.ptu import PtuTags

    times, channels = source.tags.times_ps[:PTU_TAGS], source.tags.channels[:PTU_TAGS]
    records = ptu_files.t2_records(times, channels)
    head = ptu_files.header(PtuRecordType.GenericT2, records.size)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.ptu"
        path.write_bytes(head + records.astype("<u4").tobytes())

        def read() -> None:
            reader, count = PtuTags(path, TAGGING), 0
            while (tags := reader.read()) is not None:
                count += tags.times_ps.size
            reader.close()
            assert count == times.size

        return times.size / best(read, runs=runs)


def run(quick: bool) -> tuple[list[Metric], dict[str, Any]]:
    """Recovery, ingestion at two rates, and the entangled link's sifted rate."""
    from bench.pairs import session_rows

    n = 10_000_000
    recovered = light(n, 5e6)
    call = partial(recover, recovered.tags, TAGGING, recovered.window, DEAD)
    found = call()
    seconds = best(call, runs=2 if quick else 5)
    details: dict[str, Any] = {
        "recovery": {
            "tags": n,
            "seconds of light": round(n / 5e6, 2),
            "start known to": "+-10 ms",
            "clock off by ppm": round(found.tone.off(CLOCK_HZ) * 1e6, 5),
            "offset's score": round(found.offset.score, 1),
            "chance of a wrong offset": found.offset.false_alarm,
        }
    }
    read_rate = ptu_rate(recovered, 2 if quick else 5)
    rate, details["stream, 20 ns dead time"] = stream(recovered, DEAD, 100_000_000)
    details["ns a tag, 20 ns dead time"] = stages(recovered, DEAD)
    del recovered, found, call
    fast = light(n, 50e6)
    fast_rate, details["stream, no dead time"] = stream(fast, FREE, 20_000_000)
    details["ns a tag, no dead time"] = stages(fast, FREE)
    del fast
    pairs, _ = session_rows(3, 1 if quick else 5)
    return [
        Metric("recovery of 1e7 tags", seconds, "s", 2.0, "max"),
        Metric("tags to sifted bits, 50e6 tags/s", fast_rate / 1e6, "Mtag/s", 50.0, "min"),
        Metric("tags to sifted bits, 5e6 tags/s, dead time", rate / 1e6, "Mtag/s", None, "min"),
        Metric("PTU file to tags", read_rate / 1e6, "Mtag/s", None, "min"),
        Metric("BBM92 sifted Mbit/s", pairs["sifted_mbit_s_a_core"], "Mbit/s", 50.0, "min"),
    ], details
