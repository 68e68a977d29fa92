"""The loads under which candidates are timed: records in memory, a stream over TCP, messages there and back."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from poliqi.apps.testbench.outcome import RecordFigures
from poliqi.apps.testbench.seams import KeyPlaces, RandomSource, RecordEncryptor, RecordEnd, StreamEnd
from poliqi.apps.testbench.supply import Supplies, open_ends

__all__ = [
    "MESSAGE_BYTES",
    "draw_gbps",
    "echo",
    "keys_per_s",
    "percentile",
    "ping",
    "pour",
    "sink",
    "time_records",
    "tree_cpu_s",
]

MESSAGE_BYTES: Final = 200
"""As long as a FIX message; what latency is measured with."""
_BATCH_BYTES: Final = 1 << 20
_BATCH_MOST: Final = 64
_RING_BYTES: Final = 8 << 20
_DRAW_BYTES: Final = 1 << 16


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share (0 to 1) of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def time_records(encryptor: RecordEncryptor, size_bytes: int, seconds: float) -> RecordFigures:
    """Seal a batch, open it, again and again for `seconds`; medians over the batches.

    The key begins again after 8 MiB, so that a pad is timed as if there were always more of it.
    """
    ring = os.urandom(_RING_BYTES)
    caller, answerer = open_ends(encryptor, Supplies(ring, ring[::-1], is_endless=True))
    count = max(1, min(_BATCH_MOST, _BATCH_BYTES // max(1, size_bytes)))
    plaintext = memoryview(bytearray(os.urandom(size_bytes)))
    records = [memoryview(bytearray(size_bytes + encryptor.overhead_bytes)) for _ in range(count)]
    out = memoryview(bytearray(size_bytes + encryptor.overhead_bytes))
    seals: list[float] = []
    opens: list[float] = []
    used, done, until = 0.0, 0, time.perf_counter() + seconds
    while done < 2 * count or time.perf_counter() < until:
        before = time.process_time()
        sealed, opened = _batch(caller, answerer, plaintext, records, out)
        if done:  # the first one warms up
            seals.append(sealed)
            opens.append(opened)
            used += time.process_time() - before
        done += count
    whole = 8e-9 * size_bytes * count
    p50, p99 = _one_by_one(caller, answerer, plaintext, records[0], out, seconds / 2)
    return RecordFigures(
        size_bytes=size_bytes,
        seal_gbps=whole / statistics.median(seals),
        open_gbps=whole / statistics.median(opens),
        p50_s=p50,
        p99_s=p99,
        cpu_ns_per_byte=1e9 * used / max(1, size_bytes * count * len(seals)),
    )


def _batch(
    caller: RecordEnd, answerer: RecordEnd, plaintext: memoryview, records: list[memoryview], out: memoryview
) -> tuple[float, float]:
    begun = time.perf_counter()
    lengths = [caller.seal(plaintext, record) for record in records]
    between = time.perf_counter()
    for record, length in zip(records, lengths, strict=True):
        answerer.open(record[:length], out)
    return between - begun, time.perf_counter() - between


def _one_by_one(
    caller: RecordEnd,
    answerer: RecordEnd,
    plaintext: memoryview,
    record: memoryview,
    out: memoryview,
    seconds: float,
) -> tuple[float, float]:
    times: list[float] = []
    until = time.perf_counter() + seconds
    while len(times) < 2 or (time.perf_counter() < until and len(times) < 100_000):
        begun = time.perf_counter()
        answerer.open(record[: caller.seal(plaintext, record)], out)
        times.append(time.perf_counter() - begun)
    return percentile(times, 0.5), percentile(times, 0.99)


def draw_gbps(source: RandomSource, seconds: float) -> float:
    """How fast it gives random bytes, 64 KiB at a time."""
    begun, done = time.perf_counter(), 0
    while not done or time.perf_counter() - begun < seconds:
        done += len(source.draw(_DRAW_BYTES))
    return 8e-9 * done / (time.perf_counter() - begun)


def sink(end: StreamEnd) -> tuple[int, float]:
    """Receive until the end: how many bytes, and the seconds from the first to the last."""
    buffer = memoryview(bytearray(1 << 20))
    total, begun, last = end.recv_into(buffer), time.perf_counter(), 0.0
    first = total
    while count := end.recv_into(buffer):
        total += count
        last = time.perf_counter()
    return max(0, total - first), max(0.0, last - begun)


def pour(end: StreamEnd, write_bytes: int, seconds: float) -> None:
    """Send for so long, then say the end."""
    data = memoryview(bytearray(os.urandom(write_bytes)))
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        end.sendall(data)
    end.finish()


def echo(end: StreamEnd) -> None:
    """Send back what comes, until the end."""
    buffer = memoryview(bytearray(1 << 16))
    while count := end.recv_into(buffer):
        end.sendall(buffer[:count])
    end.finish()


def ping(end: StreamEnd, seconds: float, clock: Callable[[], float] = time.perf_counter) -> list[float]:
    """Times of small messages there and back, one at a time."""
    message = os.urandom(MESSAGE_BYTES)
    buffer = memoryview(bytearray(1 << 16))
    times: list[float] = []
    until = clock() + seconds
    while len(times) < 8 or clock() < until:
        begun, came = clock(), 0
        end.sendall(message)
        while came < MESSAGE_BYTES:
            count = end.recv_into(buffer)
            if not count:
                raise ConnectionError("the other side ended in the middle of a message")
            came += count
        times.append(clock() - begun)
    end.finish()
    return times


def tree_cpu_s(root: int) -> float:
    """Processor seconds of a process and of all that it started, ended ones that were waited for among them."""
    parents: dict[int, int] = {}
    used: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended meanwhile
        pid = int(path.parent.name)
        parents[pid] = int(words[1])
        used[pid] = sum(int(word) for word in words[11:15])
    return sum(ticks for pid, ticks in used.items() if _descends(pid, root, parents)) / os.sysconf("SC_CLK_TCK")


def _descends(pid: int, root: int, parents: dict[int, int]) -> bool:
    while pid != root:
        if pid not in parents:
            return False
        pid = parents[pid]
    return True


def keys_per_s(places: KeyPlaces, seconds: float) -> float:
    """Keys of 32 bytes through both ends a second; several to a question, until time or stock ends."""
    with places.open_pair() as pair:
        supply = pair.master.supply(pair.slave_sae)
        number = max(1, min(32, supply.most_number, supply.available_bytes // 64))
        begun, done = time.perf_counter(), 0
        while not done or time.perf_counter() - begun < seconds:
            if done and 32 * (done + number) > supply.available_bytes:
                break
            drawn = pair.master.fresh(pair.slave_sae, number, 32)
            pair.slave.named(pair.master_sae, [key.key_id for key in drawn])
            done += number
        return done / (time.perf_counter() - begun)
