"""Streams between two processes over loopback: rate beside iperf3 and stunnel in the same run, handshake, latency.

Every stream is measured from the connection to the answer that all was taken: handshake, changes of keys and the
end are in it. Keys come from no site (bench/stream_end.py). Peers: iperf3 bare, and the same through two stunnels
with a pre-shared key (TLS 1.3), as a quantum key would be used with it.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from bench.report import Metric
from bench.stream_end import MESSAGE_BYTES, SeededKeys, seeded_identity
from poliqi.apps.keygrade import GradeDemand
from poliqi.apps.stream.channel import RECORD_BYTES, Channel, connect
from poliqi.apps.stream.padded import PaddedOut
from poliqi.apps.stream.pads import PadDrawer
from poliqi.apps.stream.schedule import CALLER
from poliqi.apps.stream.terms import Policy, StreamRule
from poliqi.base.ids import SaeId

REKEY_BYTES: Final = 256 << 20
PAD_BYTES: Final = 256 << 20
LOOPBACK: Final = "127.0.0.1"


class FarEnd:
    """The other process, and streams to it."""

    def __init__(self, pad_bytes: int) -> None:
        asked = json.dumps({"pad_bytes": pad_bytes, "rekey_bytes": REKEY_BYTES})
        line = [sys.executable, "-m", "bench.stream_end", base64.b64encode(asked.encode()).decode()]
        self._process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._keys = SeededKeys("near", pad_bytes)
        assert self._process.stdout is not None
        self.stream_port, self.echo_port = json.loads(self._process.stdout.readline())

    def open(self, policy: Policy, purpose: str) -> Channel:
        connection = socket.create_connection((LOOPBACK, self.stream_port))
        own, rule = seeded_identity(f"near {policy}"), StreamRule(policy, rekey_bytes=REKEY_BYTES)
        return connect(connection, own, seeded_identity("far").contact, self._keys, rule, purpose)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)


def stream_gbps(far: FarEnd, policy: Policy, seconds: float, most_bytes: int = 1 << 40) -> tuple[float, int]:
    """Rate in Gbit/s, and keys that were used."""
    message, sent = memoryview(os.urandom(RECORD_BYTES)), 0
    start = time.perf_counter()
    channel = far.open(policy, "sink 1")
    while sent < most_bytes and (sent & 0xFFFFFF or time.perf_counter() - start < seconds):
        channel.send(message)
        sent += RECORD_BYTES
    channel.finish()
    assert channel.receive() == b"all"
    took = time.perf_counter() - start
    keys = len(channel.usage.key_ids)
    channel.finish()
    channel.close()
    return sent * 8 / took / 1e9, keys


def iperf_gbps(port: int, seconds: float) -> float:
    """What the receiver counted, Gbit/s."""
    line = ["iperf3", "-c", LOOPBACK, "-p", str(port), "-t", str(max(1, round(seconds))), "-J"]
    said = json.loads(subprocess.run(line, capture_output=True, check=True, timeout=seconds + 20).stdout)
    return said["end"]["sum_received"]["bits_per_second"] / 1e9


@contextmanager
def running(line: list[str], port: int) -> Iterator[None]:
    """A server until the block ends; it listens when the block begins."""
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex((LOOPBACK, port)) == 0:
                    break
            time.sleep(0.02)
        yield
    finally:
        process.terminate()
        process.wait(10)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return probe.getsockname()[1]


@contextmanager
def stunnels(target: int) -> Iterator[int]:
    """Two stunnels with a pre-shared key before `target`; the port to connect to."""
    near, far = free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as held:
        secrets = Path(folder) / "psk"
        secrets.write_text(f"bench:{os.urandom(32).hex()}\n")
        secrets.chmod(0o600)
        for name, own, to in (("far", far, target), ("near", near, far)):
            file = Path(folder) / f"{name}.conf"
            client = "client = yes\n" if name == "near" else ""
            file.write_text(
                f"foreground = yes\npid =\n[s]\n{client}accept = {LOOPBACK}:{own}\nconnect = {LOOPBACK}:{to}\n"
                f"PSKsecrets = {secrets}\n" + ("PSKidentity = bench\n" if client else "ciphers = PSK\n")
            )
            held.enter_context(running([shutil.which("stunnel4") or "stunnel", str(file)], own))
        yield near


def rates(far: FarEnd, rounds: int, seconds: float, details: dict[str, Any]) -> list[Metric]:
    """Stream, iperf3, stunnel in turn; the medians."""
    ours: list[float] = []
    hybrid: list[float] = []
    bare: list[float] = []
    tls: list[float] = []
    keys = 0
    with ExitStack() as held:
        ports: list[int] = []
        if shutil.which("iperf3"):
            server = free_port()
            held.enter_context(running(["iperf3", "-s", "-p", str(server)], server))
            ports.append(server)
            if shutil.which("stunnel4"):
                ports.append(held.enter_context(stunnels(server)))
        stream_gbps(far, Policy.STRICT, 0.2)
        for _ in range(rounds):
            rate, keys = stream_gbps(far, Policy.STRICT, seconds)
            ours.append(rate)
            for port, found in zip(ports, (bare, tls), strict=False):
                found.append(iperf_gbps(port, seconds))
            hybrid.append(stream_gbps(far, Policy.HYBRID, seconds / 2)[0])
    details["rates Gbit/s, in turn"] = {
        name: [round(rate, 2) for rate in found]
        for name, found in (("stream", ours), ("hybrid", hybrid), ("iperf3", bare), ("stunnel", tls))
    }
    details["keys in the last stream"] = keys
    middle = statistics.median(ours)
    return [
        Metric("stream Gbit/s", middle, "Gbit/s", None, "min"),
        beside("stream / iperf3", ours, bare, 0.8, "iperf3 bare, Gbit/s", details),
        beside("stream / stunnel", ours, tls, 4.0, "iperf3 through stunnel PSK, Gbit/s", details),
    ]


def beside(
    name: str, ours: list[float], theirs: list[float], goal: float, peer: str, details: dict[str, Any]
) -> Metric:
    """The median of the ratios of neighbours in time; no ratio, and the reason, where the peer is missing."""
    if not theirs:
        details[name] = "iperf3 or stunnel4 is not installed (Debian has both)"
        return Metric(name, 0.0, "x", goal, "min")
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    return Metric(name, ratio, "x", goal, "min", peer, statistics.median(theirs))


def handshakes(far: FarEnd, rounds: int, details: dict[str, Any]) -> Metric:
    """From the connection to the open stream, ms."""
    found: dict[Policy, list[float]] = {policy: [] for policy in (Policy.STRICT, Policy.HYBRID, Policy.ITS)}
    for _ in range(rounds):
        for policy, times in found.items():
            start = time.perf_counter()
            channel = far.open(policy, "sink 1")
            times.append(1e3 * (time.perf_counter() - start))
            channel.finish()
            channel.receive()
            channel.close()
    middles = {policy.value: statistics.median(times) for policy, times in found.items()}
    details["handshake ms, medians, keys from no site"] = {name: round(ms, 3) for name, ms in middles.items()}
    return Metric("handshake ms", max(middles[Policy.STRICT.value], middles[Policy.HYBRID.value]), "ms", 5.0, "max")


def p99_ms(echo: Callable[[], None], count: int) -> tuple[float, float]:
    """Median and 99th percentile of a round trip, ms."""
    times: list[float] = []
    for _ in range(count):
        start = time.perf_counter()
        echo()
        times.append(1e3 * (time.perf_counter() - start))
    times.sort()
    return times[count // 2], times[count * 99 // 100]


def latency(far: FarEnd, rounds: int, count: int, details: dict[str, Any]) -> Metric:
    """What a stream adds to the 99th percentile of a FIX message's round trip over plain TCP."""
    message = os.urandom(MESSAGE_BYTES)
    channel = far.open(Policy.STRICT, "echo 1")
    plain = socket.create_connection((LOOPBACK, far.echo_port))
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def through_stream() -> None:
        channel.send(message)
        channel.receive()

    def through_plain() -> None:
        plain.sendall(message)
        plain.recv(MESSAGE_BYTES, socket.MSG_WAITALL)

    pairs = [(p99_ms(through_plain, count), p99_ms(through_stream, count)) for _ in range(rounds)]
    channel.finish()
    channel.receive()
    channel.close()
    plain.close()
    middle = {
        name: [round(statistics.median(pair[side][place] for pair in pairs), 4) for place in (0, 1)]
        for side, name in enumerate(("plain TCP", "stream"))
    }
    details["200 bytes there and back, ms: median, p99"] = middle
    added = statistics.median(pair[1][1] - pair[0][1] for pair in pairs)
    return Metric("FIX p99 added ms", added, "ms", 1.0, "max", "plain TCP p99, ms", middle["plain TCP"][1])


def one_time(far: FarEnd, rounds: int, details: dict[str, Any]) -> Metric:
    """Records under pad with the pad there: enciphered and tagged in memory; and as streams over loopback."""
    keys = SeededKeys("near", PAD_BYTES)
    message = os.urandom(RECORD_BYTES)
    size = PAD_BYTES // 4

    def seal() -> float:
        drawer = PadDrawer(keys, SaeId("far"), GradeDemand(), [])
        drawer.pad.add(keys.fresh(SaeId("far"), size // (1 << 20) + 1, 1 << 20))
        outgoing = PaddedOut(CALLER, drawer)
        start = time.perf_counter()
        for _ in range(size // RECORD_BYTES - 1):
            for _ in outgoing.message(message):
                pass
        took = time.perf_counter() - start
        outgoing.close()
        return (size // RECORD_BYTES - 1) * RECORD_BYTES * 8 / took / 1e9

    sealed = max(seal() for _ in range(rounds))
    over = [stream_gbps(far, Policy.ITS, 60.0, PAD_BYTES // 2)[0] for _ in range(rounds)]
    details["one-time pad Gbit/s over loopback, keys drawn and fetched on the way"] = [round(r, 2) for r in over]
    return Metric("one-time pad Gbit/s", sealed, "Gbit/s", 20.0, "min")


def run(*, quick: bool = False) -> tuple[list[Metric], dict[str, Any]]:
    details: dict[str, Any] = {"keys": "played: made in both processes from a seed, no site is asked"}
    rounds, seconds = (3, 1.0) if quick else (7, 3.0)
    far = FarEnd(PAD_BYTES)
    try:
        metrics = rates(far, rounds, seconds, details)
        metrics.append(handshakes(far, 10 * rounds, details))
        metrics.append(latency(far, rounds, 1000 if quick else 3000, details))
        metrics.append(one_time(far, rounds, details))
    finally:
        far.close()
    return metrics, details
