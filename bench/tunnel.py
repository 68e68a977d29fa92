"""Tunnels: packets between two hosts against the bare cable and wireguard-go, TCP through the proxy for latency."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from bench.namespaces import Host, missing, two_hosts
from bench.played_keys import PlayedSite
from bench.report import Metric
from bench.tunnel_end import make_ends
from poliqi.apps.identity import Identity
from poliqi.apps.settings import Peer
from poliqi.apps.stream.channel import accept
from poliqi.apps.stream.terms import Policy, StreamRule
from poliqi.apps.tunnel.calls import Call
from poliqi.apps.tunnel.forward import Forwarder
from poliqi.apps.tunnel.messages import PURPOSE
from poliqi.apps.tunnel.service import TunnelService
from poliqi.apps.tunnel.settings import Target, TunnelSettings
from poliqi.base.errors import PoliqiError
from poliqi.base.ids import SaeId
from poliqi.edge.entropy import OperatingSystemEntropy
from poliqi.edge.network import Address

NOT_KERNEL = (
    "kernel WireGuard is not on the measuring machine, and nothing here compares with it: this is Debian's "
    "wireguard-go, in user space"
)
_ROOT = Path(__file__).resolve().parent.parent


def wait_for(what: Callable[[], bool], limit_s: float = 20.0) -> None:
    end = time.monotonic() + limit_s
    while not what():
        if time.monotonic() > end:
            raise TimeoutError("an end of the tunnel does not come up")
        time.sleep(0.05)


def answers(host: Host, address: str) -> bool:
    done = subprocess.run(host.command("ping", "-c", "1", "-W", "1", address), capture_output=True, check=False)
    return done.returncode == 0


@contextmanager
def packet_tunnel(hosts: tuple[Host, Host], *, offloads: bool, port: int, net: str) -> Iterator[str]:
    """Our tunnel between the hosts; the address of the second in it."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        make_ends(Path(name), secrets.token_bytes(32))
        ends = (("leonardo", "bovisa", "--call", "1"), ("bovisa", "leonardo", "--answer", "2"))
        for host, (own, other, how, last) in zip(hosts, ends, strict=True):
            words = [sys.executable, "-m", "bench.tunnel_end", name, own, other, "--tun", f"pq{port % 100}"]
            words += ["--address", f"{net}.{last}/24", how, f"{hosts[1].address}:{port}"]
            words += [] if offloads else ["--no-offloads"]
            process = host.start(*words, cwd=_ROOT, stdout=subprocess.DEVNULL)
            stack.callback(process.wait)
            stack.callback(process.terminate)
        wait_for(lambda: answers(hosts[0], f"{net}.2"))
        yield f"{net}.2"


@contextmanager
def wireguard(hosts: tuple[Host, Host], net: str) -> Iterator[str]:
    """Debian's wireguard-go between the hosts; the address of the second in it."""
    pairs: list[tuple[str, str]] = []
    for _ in hosts:
        key = subprocess.run(["wg", "genkey"], capture_output=True, text=True, check=True).stdout.strip()
        made = subprocess.run(["wg", "pubkey"], input=key, capture_output=True, text=True, check=True)
        pairs.append((key, made.stdout.strip()))
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        for i, host in enumerate(hosts):
            device, other = f"wg{os.getpid() % 10000}{'ab'[i]}", 1 - i
            process = host.start("wireguard-go", "-f", device, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            stack.callback(process.wait)
            stack.callback(process.terminate)
            control = Path(f"/var/run/wireguard/{device}.sock")
            wait_for(control.exists)
            file = Path(folder) / device
            file.write_text(pairs[i][0])
            peer = ["peer", pairs[other][1], "allowed-ips", f"{net}.0/24"]
            endpoint = ["endpoint", f"{hosts[other].address}:51820"]
            host.run("wg", "set", device, "listen-port", "51820", "private-key", str(file), *peer, *endpoint)
            host.run("ip", "address", "add", f"{net}.{i + 1}/24", "dev", device)
            host.run("ip", "link", "set", device, "mtu", "1420", "up")
        wait_for(lambda: answers(hosts[0], f"{net}.2"))
        yield f"{net}.2"


def iperf(host: Host, address: str, time_s: int) -> float:
    """Gbit/s of one TCP flow, as its receiver counts."""
    said = host.run("iperf3", "-c", address, "-t", str(time_s), "-O", "0.3", "-J")
    return json.loads(said)["end"]["sum_received"]["bits_per_second"] / 1e9


def rates(hosts: tuple[Host, Host], runs: int, time_s: int, *, cable: bool, device: bool) -> dict[str, list[float]]:
    """Gbit/s over the bare cable, through our tunnel and through wireguard-go in turn, `runs` times."""
    for host in hosts:
        host.set_offloads(cable)
    found: dict[str, list[float]] = {}
    with ExitStack() as stack:
        ways = {"veth": hosts[1].address}
        ways["tunnel"] = stack.enter_context(packet_tunnel(hosts, offloads=device, port=7001, net="10.78.0"))
        if shutil.which("wireguard-go") and shutil.which("wg"):
            ways["wireguard-go"] = stack.enter_context(wireguard(hosts, "10.79.0"))
        for _ in range(runs):
            for way, address in ways.items():
                found.setdefault(way, []).append(iperf(hosts[0], address, time_s))
    return found


def packets(quick: bool, details: dict[str, Any]) -> list[Metric]:
    """The three ways, with offloads and without."""
    why = missing("iperf3", "ping")
    if why is not None:
        details["packets"] = why
        return []
    runs, time_s = (2, 1) if quick else (7, 2)
    results: list[Metric] = []
    cases = {"": (True, True), " cable offloads off": (False, True), " all offloads off": (False, False)}
    with two_hosts() as hosts:
        server = hosts[1].start("iperf3", "-s", stdout=subprocess.DEVNULL)
        try:
            time.sleep(0.2)
            for case, (cable, device) in cases.items():
                found = rates(hosts, runs, time_s, cable=cable, device=device)
                details[f"Gbit/s{case}"] = {way: [round(r, 3) for r in rs] for way, rs in found.items()}
                results += _compare(case, found)
        finally:
            server.kill()
            server.wait()
    # bbr paces: it slows the bare cable down more than what goes through a tunnel, which costs processor time
    control = Path("/proc/sys/net/ipv4/tcp_congestion_control")
    details["congestion control"] = control.read_text(encoding="utf-8").strip() if control.exists() else "unknown"
    details["wireguard-go"] = NOT_KERNEL
    if shutil.which("wireguard-go") is None:
        details["tunnel / wireguard-go"] = "null: wireguard-go is not installed"
    return results


def _compare(case: str, found: dict[str, list[float]]) -> list[Metric]:
    """Medians of the ratios of neighbours in time; goals for the case with offloads."""
    results: list[Metric] = []
    for way, goal in (("veth", 0.35), ("wireguard-go", 8.0)):
        if way in found:
            ratio = statistics.median(a / b for a, b in zip(found["tunnel"], found[way], strict=True))
            # beside a goal alone: the peer's Gbit/s are in the details
            results.append(Metric(f"tunnel / {way}{case}", ratio, "x", None if case else goal, "min"))
    return results


class Played:
    """Two applications in this process: a door with a tunnel service, and a forward to an echo server behind it."""

    def __init__(self, server: Callable[[socket.socket], None], warm: int = 2) -> None:
        site = PlayedSite()
        near, far = (Identity.make(SaeId(name), OperatingSystemEntropy()) for name in ("near", "far"))
        rule = StreamRule()
        target = socket.create_server(("127.0.0.1", 0), backlog=128)
        place = Address("127.0.0.1", target.getsockname()[1])
        self._loop(target, server)
        settings = TunnelSettings({"echo": Target("echo", place, frozenset({near.sae}))}, most_connections=256)
        service = TunnelService(settings, lambda *_a, **_k: None)
        door = socket.create_server(("127.0.0.1", 0), backlog=128)
        contacts = {near.sae: (near.contact, rule)}

        def answer(connection: socket.socket) -> None:
            with suppress(PoliqiError):
                channel = accept(connection, far, contacts, site.keys("far"))
                try:
                    service.serve(channel)
                finally:
                    channel.close()

        self._loop(door, answer)
        address = Address("127.0.0.1", door.getsockname()[1])
        peer = Peer(far.contact, "far", address, rule, StreamRule(Policy.ITS))
        call = Call(near, peer, site.keys("near"), PURPOSE, address)
        self.forwarder = Forwarder(
            Address("127.0.0.1", 0), "echo", call, lambda *_a, **_k: None, warm_streams=warm, most_connections=256
        )
        self.near = self.forwarder.start()
        self.far = place
        self.site = site

    def _loop(self, listener: socket.socket, serve: Callable[[socket.socket], None]) -> None:
        def run() -> None:
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

        threading.Thread(target=run, daemon=True).start()


def echo(connection: socket.socket) -> None:
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while data := connection.recv(1 << 16):
            connection.sendall(data)


def sink(connection: socket.socket) -> None:
    """Takes everything, then says how much."""
    buffer, total = bytearray(1 << 20), 0
    with connection:
        while count := connection.recv_into(buffer):
            total += count
        connection.sendall(total.to_bytes(8, "big"))


def round_trips(address: Address, count: int) -> list[float]:
    """Seconds of each round trip of 200 bytes."""
    message, found = bytes(200), []
    with socket.create_connection((address.host, address.port)) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(count):
            began = time.perf_counter()
            s.sendall(message)
            left = 200
            while left:
                left -= len(s.recv(left))
            found.append(time.perf_counter() - began)
    return found


def p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100)[98]


def _in_process(mode: str) -> None:
    """`python -m bench.tunnel echo|sink`: both applications and the server, until standard input ends."""
    played = Played({"echo": echo, "sink": sink}[mode])
    print(json.dumps([played.near.port, played.far.port]), flush=True)
    sys.stdin.read()


@contextmanager
def played(mode: str) -> Iterator[tuple[Address, Address]]:
    """Through the proxy, and plain."""
    words = [sys.executable, "-m", "bench.tunnel", mode]
    with subprocess.Popen(words, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        near, far = json.loads(process.stdout.readline())
        yield Address("127.0.0.1", near), Address("127.0.0.1", far)
        process.communicate()


def latency(quick: bool, details: dict[str, Any]) -> list[Metric]:
    """What the proxy adds to a round trip, halved: there are two ways through it in one."""
    rounds, count = (3, 700) if quick else (10, 2000)
    plain: list[float] = []
    carried: list[float] = []
    with played("echo") as (near, far):
        round_trips(near, 200)
        for _ in range(rounds):
            plain += round_trips(far, count)
            carried += round_trips(near, count)
        connects: list[float] = []
        for _ in range(200):
            began = time.perf_counter()
            round_trips(near, 1)
            connects.append(time.perf_counter() - began)
    added_ms = (p99(carried) - p99(plain)) * 1e3
    details["latency of 200 bytes"] = {
        "round trip ms: plain p50, p99": [round(statistics.median(plain) * 1e3, 4), round(p99(plain) * 1e3, 4)],
        "round trip ms: carried p50, p99": [
            round(statistics.median(carried) * 1e3, 4),
            round(p99(carried) * 1e3, 4),
        ],
        "new connection, one message and answer, ms p50, p99": [
            round(statistics.median(connects) * 1e3, 4),
            round(p99(connects) * 1e3, 4),
        ],
        "both applications and the server": "in one process: three parts share one interpreter",
    }
    return [Metric("FIX p99 added ms", added_ms, "ms", 1.0, "max", "plain TCP p99 ms", p99(plain) * 1e3)]


def push(address: Address, size: int) -> float:
    """Gbit/s into a sink that has to confirm all of it."""
    block = bytes(1 << 20)
    began = time.perf_counter()
    with socket.create_connection((address.host, address.port)) as s:
        for _ in range(size >> 20):
            s.sendall(block)
        s.shutdown(socket.SHUT_WR)
        assert int.from_bytes(s.recv(8), "big") == size
    return 8e-9 * size / (time.perf_counter() - began)


def bulk(quick: bool, details: dict[str, Any]) -> list[Metric]:
    """One connection at full speed, against the same without a proxy."""
    runs, size = (3, 256 << 20) if quick else (7, 1 << 30)
    plain: list[float] = []
    carried: list[float] = []
    with played("sink") as (near, far):
        for _ in range(runs):
            plain.append(push(far, size))
            carried.append(push(near, size))
    ratio = statistics.median(a / b for a, b in zip(carried, plain, strict=True))
    details["Gbit/s through the proxy"] = [round(rate, 2) for rate in carried]
    details["Gbit/s of plain TCP"] = [round(rate, 2) for rate in plain]
    return [Metric("proxy / plain TCP", ratio, "x", None, "min")]


def run(*, quick: bool = False) -> tuple[list[Metric], dict[str, Any]]:
    details: dict[str, Any] = {"keys": "played in the benchmark, not of a site"}
    results: list[Metric] = []
    for part in (packets, latency, bulk):
        results += part(quick, details)
    return results, details


if __name__ == "__main__":
    _in_process(sys.argv[1])
