"""The key store alone: boot with 10^8 keys, durable ingest, marks of orders and deliveries, renewal of the KEK.

The file is real: 48,828 segments of 64 KiB (3.3 GB) in the folder for temporary files; TMPDIR names another. Quick
runs take a tenth of it, and say so.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.report import Metric
from poliqi.base.ids import KmeId, LinkId, SaeId
from poliqi.base.secret import SecretBytes
from poliqi.edge.kek import FileKek
from poliqi.edge.keystore import KeyStore
from poliqi.keys.grade import Grade, KeyOrigin
from poliqi.keys.marks import Ingested, Leased, Mark, Readied, RunAdded, RunDropped, RunUsed
from poliqi.keys.run import Run, RunKey
from poliqi.keys.segment import SEGMENT_BYTES, SegmentName, SegmentRecord, block_of_number

KEYS = 100_000_000
KEY_BYTES = 32
GRADE = Grade(KeyOrigin.SIMULATED, "one-decoy", 1e-10, ((KmeId("a"), KmeId("b")),))
BOOT = """
import json, sys, time
from pathlib import Path
from poliqi.edge.kek import FileKek
from poliqi.edge.keystore import KeyStore

def peak_kb():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))

before, start, cpu = peak_kb(), time.perf_counter(), time.process_time()
store = KeyStore(Path(sys.argv[1]) / "store", FileKek(Path(sys.argv[1]) / "kek"))
state = store.load()
took, spent = time.perf_counter() - start, time.process_time() - cpu
store.read(state.segments[0].number)
print(json.dumps({"s": took, "cpu s": spent, "MB": (peak_kb() - before) / 1000, "segments": len(state.segments)}))
store.close()
"""


@contextmanager
def new_store() -> Iterator[tuple[Path, KeyStore]]:
    with tempfile.TemporaryDirectory(prefix="poliqi-bench-") as place:
        store = KeyStore(Path(place) / "store", FileKek(Path(place) / "kek"), create=True)
        store.load()
        try:
            yield Path(place), store
        finally:
            store.close()


def segments(first: int, count: int, bits: bytes) -> list[Mark]:
    """`count` segments of one block, numbered from `first`."""
    name = block_of_number(first)
    return [
        Ingested(
            SegmentRecord(
                *(first + i, LinkId("leonardo-bovisa"), SegmentName(name, i), KmeId("a"), SEGMENT_BYTES, GRADE),
                b"t" * 16,
            ),
            SecretBytes(bits),
        )
        for i in range(count)
    ]


def boot(keys: int) -> dict[str, Any]:
    """Seconds and memory of a start with `keys` keys of 256 bits, in a process of its own; and of a renewal."""
    count, bits = keys * KEY_BYTES // SEGMENT_BYTES, os.urandom(SEGMENT_BYTES)
    with new_store() as (place, store):
        for first in range(1, count + 1, 256):
            store.apply(segments(first, min(256, count + 1 - first), bits))
        store.apply([Readied(n) for n in range(1, count + 1)])
        start = time.perf_counter()
        store.rotate()
        renewed_s = time.perf_counter() - start
        store.close()
        line = [sys.executable, "-c", BOOT, str(place)]
        times = [json.loads(subprocess.run(line, check=True, capture_output=True).stdout) for _ in range(3)]
        best = min(times, key=lambda t: t["s"])
        return best | {"keys": keys, "all s": [round(t["s"], 3) for t in times], "renewal s": round(renewed_s, 3)}


def ingest(seconds: float, at_once: int) -> dict[str, float]:
    """Durable Mbit/s of blocks of `at_once` segments, one commit each."""
    bits = os.urandom(SEGMENT_BYTES)
    with new_store() as (_, store):
        first, start, cpu = 1, time.perf_counter(), time.process_time()
        while (took := time.perf_counter() - start) < seconds:
            store.apply(segments(first, at_once, bits))
            first += at_once
        megabits = (first - 1) * SEGMENT_BYTES * 8 / 1e6
        return {"Mbit/s": megabits / took, "cpu s per Gbit": (time.process_time() - cpu) / megabits * 1e3}


def marks(seconds: float, at_once: int) -> dict[str, float]:
    """Microseconds of CPU a mark and durable marks a second, for runs that are made, used and dropped."""
    with new_store() as (_, store):
        store.apply(segments(1, 1, os.urandom(SEGMENT_BYTES)))
        number, written, start, cpu = at_once, 0, time.perf_counter(), time.process_time()
        while (took := time.perf_counter() - start) < seconds:
            numbers = range(number, number + at_once // 4)
            added: list[Mark] = []
            for n in numbers:
                offset = n * KEY_BYTES % (SEGMENT_BYTES - KEY_BYTES)
                added.append(Leased(1, offset + KEY_BYTES))
                added.append(RunAdded(run_of(n, offset)))
                added.append(RunUsed(RunKey(KmeId("a"), n - len(numbers)), 1))
                added.append(RunDropped(RunKey(KmeId("a"), n - len(numbers))))
            store.apply(added)
            number += len(numbers)
            written += len(added)
        return {"us a mark": (time.process_time() - cpu) / written * 1e6, "marks/s": written / took}


def run_of(number: int, offset: int) -> Run:
    master, slave = SaeId("sae-leonardo"), SaeId("sae-bovisa")
    return Run(RunKey(KmeId("a"), number), KmeId("b"), 1, offset, KEY_BYTES, 1, master, (slave,))


def run(quick: bool) -> tuple[list[Metric], dict[str, Any]]:
    """Figures with their goals; each thing alone, no network."""
    keys, seconds = (KEYS // 10, 1.0) if quick else (KEYS, 5.0)
    room = shutil.disk_usage(tempfile.gettempdir()).free
    if room < 4 * keys * KEY_BYTES:
        sys.exit(f"{tempfile.gettempdir()} has {room / 1e9:.1f} GB free: set TMPDIR to a folder with more")
    started = boot(keys)
    taken = {str(n): ingest(seconds, n) for n in (2, 16)}
    wrote = {str(n): marks(seconds, n) for n in (32, 128, 512)}
    results = [
        Metric(f"boot {keys:.0e} keys s", started["s"], "s", 2.0, "max"),
        Metric(f"boot {keys:.0e} keys MB", started["MB"], "MB", 300.0, "max"),
        Metric("ingest Mbit/s", taken["16"]["Mbit/s"], "Mbit/s", 100.0, "min"),
        Metric("CPU us a mark, 128 a commit", wrote["128"]["us a mark"], "us", 8.0, "max"),
    ]
    return results, {"boot": started, "ingest by segments a commit": taken, "marks by marks a commit": wrote}
