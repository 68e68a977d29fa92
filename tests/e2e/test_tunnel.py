"""Tunnels as their users run them: two hosts with a cable between them, and applications of two real sites."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from live_saes import LiveSae, live_saes
from live_sites import free_ports, live_city

from bench.namespaces import Host, missing, two_hosts
from bench.sites import POLIQI
from bench.tunnel_end import make_ends

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 30.0
MARKER = b"the patient's name, in clear"
# 33 is SO_RCVBUFFORCE
CAPTURE = """
import socket, sys
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as s, open(sys.argv[1], "wb", 0) as file:
    s.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)
    s.bind(("cable", 0))
    print("ready", flush=True)
    while True:
        file.write(s.recv(1 << 17))
"""
SINK = """
import hashlib, socket, sys
with socket.create_server((sys.argv[1], 9000)) as listener:
    print("ready", flush=True)
    s, _ = listener.accept()
    found = hashlib.sha256()
    while data := s.recv(1 << 20):
        found.update(data)
    s.sendall(found.digest())
"""
SOURCE = """
import socket, sys
with socket.create_connection((sys.argv[1], 9000), 20) as s:
    for _ in range(int(sys.argv[3])):
        s.sendall(sys.argv[2].encode() * 1000)
    s.shutdown(socket.SHUT_WR)
    print(s.recv(32).hex())
"""


def until(what: Callable[[], object], limit_s: float = LIMIT_S) -> None:
    end = time.monotonic() + limit_s
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture(scope="module")
def hosts() -> Iterator[tuple[Host, Host]]:
    why = missing("ping")
    if why is not None:
        pytest.skip(why)
    with two_hosts() as found:
        yield found


class Ends:
    """Both ends of a packet tunnel; 10.78.0.1 calls, 10.78.0.2 answers."""

    def __init__(self, hosts: tuple[Host, Host], folder: Path, *options: str) -> None:
        self.hosts, self.folder, self.options = hosts, folder, options
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        make_ends(folder, secrets.token_bytes(32))

    def start(self, name: str) -> None:
        host, other, how, last = {
            "leonardo": (self.hosts[0], "bovisa", "--call", 1),
            "bovisa": (self.hosts[1], "leonardo", "--answer", 2),
        }[name]
        words = [sys.executable, "-m", "bench.tunnel_end", str(self.folder), name, other, "--tun", "poliqi0"]
        words += ["--address", f"10.78.0.{last}/24", how, f"{self.hosts[1].address}:7001", *self.options]
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = host.start(*words, cwd=ROOT, stdout=log, stderr=log)

    def said(self, name: str, event: str) -> list[str]:
        text = (self.folder / f"{name}.log").read_text()
        records: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        return [record["text"] for record in records if record["event"] == event]

    def answers(self) -> bool:
        words = self.hosts[0].command("ping", "-c", "1", "-W", "1", "10.78.0.2")
        return subprocess.run(words, capture_output=True, check=False).returncode == 0

    def kill(self, name: str) -> None:
        # the process of `ip netns exec` became the end itself
        self.processes[name].kill()
        self.processes[name].wait()


@contextmanager
def packet_tunnel(hosts: tuple[Host, Host], folder: Path, *options: str) -> Iterator[Ends]:
    ends = Ends(hosts, folder, *options)
    try:
        for name in ("bovisa", "leonardo"):
            ends.start(name)
        until(ends.answers)
        yield ends
    finally:
        for name in ends.processes:
            ends.kill(name)


@contextmanager
def capture(host: Host, file: Path) -> Iterator[None]:
    process = host.start(sys.executable, "-c", CAPTURE, str(file), stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield
    finally:
        process.kill()
        process.communicate()


def carry(hosts: tuple[Host, Host], address: str, thousands: int) -> None:
    """Send the marker so many thousand times by TCP; it has to arrive byte for byte."""
    sink = hosts[1].start(sys.executable, "-c", SINK, address, stdout=subprocess.PIPE)
    try:
        assert sink.stdout is not None
        assert sink.stdout.readline() == b"ready\n"
        said = hosts[0].run(sys.executable, "-c", SOURCE, address, MARKER.decode(), str(thousands))
        assert said.strip() == hashlib.sha256(MARKER * 1000 * thousands).hexdigest()
    finally:
        sink.kill()
        sink.communicate()


def test_a_capture_of_the_bare_cable_holds_the_marker(hosts: tuple[Host, Host], tmp_path: Path) -> None:
    """The others look for it in the same way, and it must not be there."""
    with capture(hosts[1], tmp_path / "wire"):
        carry(hosts, hosts[1].address, 10)
    assert MARKER in (tmp_path / "wire").read_bytes()


@pytest.mark.parametrize("options", [(), ("--no-offloads",)], ids=["large", "small"])
def test_packets_arrive_and_the_cable_shows_nothing(
    hosts: tuple[Host, Host], tmp_path: Path, options: tuple[str, ...]
) -> None:
    with packet_tunnel(hosts, tmp_path, *options):
        with capture(hosts[1], tmp_path / "wire"):
            carry(hosts, "10.78.0.2", 200)
        try:
            for host in hosts:
                host.set_offloads(False)
            carry(hosts, "10.78.0.2", 50)
        finally:
            for host in hosts:
                host.set_offloads(True)
    seen = (tmp_path / "wire").read_bytes()
    assert len(seen) > 1000 * 100 * len(MARKER)
    assert MARKER[:12] not in seen


def test_without_key_nothing_leaves_until_there_is_key_again(hosts: tuple[Host, Host], tmp_path: Path) -> None:
    (tmp_path / "stock").write_text("1")
    with packet_tunnel(hosts, tmp_path, "--rekey-bytes", str(1 << 20)) as ends:
        sink = hosts[1].start(sys.executable, "-c", SINK, "10.78.0.2", stdout=subprocess.PIPE)
        assert sink.stdout is not None
        sink.stdout.readline()
        words = hosts[0].command(sys.executable, "-c", SOURCE, "10.78.0.2", MARKER.decode(), "10000")
        source = subprocess.Popen(words, stderr=subprocess.DEVNULL)
        try:
            until(lambda: any("no key, so nothing is sent" in text for text in ends.said("leonardo", "down")))
            with capture(hosts[1], tmp_path / "wire"):
                assert not ends.answers()
            seen = (tmp_path / "wire").read_bytes()
            assert MARKER[:12] not in seen
            assert len(seen) < 100_000
            (tmp_path / "stock").write_text("1000")
            until(ends.answers)
        finally:
            for process in (source, sink):
                process.kill()
                process.communicate()


def test_a_peer_that_was_killed_comes_back_with_a_fresh_stream(hosts: tuple[Host, Host], tmp_path: Path) -> None:
    with packet_tunnel(hosts, tmp_path) as ends:
        for name in ("bovisa", "leonardo"):
            ends.kill(name)
            ends.start(name)
            until(ends.answers)
        assert len(ends.said("leonardo", "up")) == 3
        assert ends.said("leonardo", "down")


@pytest.fixture(scope="module")
def saes() -> Iterator[dict[str, LiveSae]]:
    """Leonardo calls; Bovisa's service names one target, which answers with the hash of what it was sent."""
    with ExitStack() as stack:
        target = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        serve_hash(target)
        city = stack.enter_context(live_city(["bovisa", "leonardo"], [("bovisa", "leonardo")]))
        city.block("bovisa-leonardo", 1, 1 << 20)
        found = stack.enter_context(live_saes(city, start=False))
        extra = (
            f'[[tunnel.target]]\nname = "hash"\naddress = "127.0.0.1:{target.getsockname()[1]}"\n'
            'peers = ["leonardo"]\n'
        )
        found["bovisa"].toml.write_text(found["bovisa"].toml.read_text() + extra)
        yield found


def test_an_application_of_two_real_sites_goes_through_the_proxy(saes: dict[str, LiveSae]) -> None:
    saes["bovisa"].start()
    (port,) = free_ports(1)
    with tunnel(saes["leonardo"], "--listen", f"127.0.0.1:{port}", "--to", "bovisa:hash") as lines:
        until(lambda: any(line["event"] == "listening" for line in lines()))
        data = os.urandom(16 << 20)
        assert ask(port, data) == hashlib.sha256(data).digest()
        for i in range(100):
            assert ask(port, b"%d" % i) == hashlib.sha256(b"%d" % i).digest()
        opened = [line for line in lines() if line["event"] == "stream"]
        # a hundred connections, and keys for a few streams only
        assert 1 <= len(opened) <= 8
        assert all(line["simulated"] and line["peer"] == "bovisa1" for line in opened)
        saes["bovisa"].kill()
        with pytest.raises(ConnectionResetError), socket.create_connection(("127.0.0.1", port)) as s:
            s.recv(1)
        saes["bovisa"].start()
        assert ask(port, b"again") == hashlib.sha256(b"again").digest()


def test_the_command_makes_the_devices_and_joins_them(saes: dict[str, LiveSae]) -> None:
    why = missing()
    if why is not None:
        pytest.skip(why)
    with ExitStack() as stack:
        (port,) = free_ports(1)
        door, mark = f"127.0.0.1:{port}", os.getpid() % 100_000
        logs: list[Callable[[], list[dict[str, Any]]]] = []
        sides = (("bovisa", "leonardo", "--answer", 2), ("leonardo", "bovisa", "--call", 1))
        for name, peer, how, last in sides:
            words = ["--tun", f"pq{mark}{name[0]}", "--address", f"10.79.{last}.1/24", "--peer", peer, how, door]
            logs.append(stack.enter_context(tunnel(saes[name], *words)))
        for lines in logs:
            until(lambda lines=lines: any(line["event"] == "up" for line in lines()))
        shown = subprocess.run(["ip", "-j", "address", "show", f"pq{mark}b"], capture_output=True, check=True)
        (device,) = json.loads(shown.stdout)
        assert (device["addr_info"][0]["local"], device["mtu"]) == ("10.79.2.1", 1500)
    gone = subprocess.run(["ip", "link", "show", f"pq{mark}b"], capture_output=True, check=False)
    assert gone.returncode


@contextmanager
def tunnel(sae: LiveSae, *words: str) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """`poliqi tunnel` as a process; what it has said until now."""
    log = sae.folder / f"tunnel{time.monotonic_ns()}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*POLIQI, "tunnel", "--sae", str(sae.toml), "--json", *words], stdout=file, stderr=file
        )
    try:
        yield lambda: [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    finally:
        process.terminate()
        assert process.wait(LIMIT_S) == 0, log.read_text()[-2000:]


def ask(port: int, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), LIMIT_S) as s:
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        answer = b""
        while more := s.recv(64):
            answer += more
    return answer


def serve_hash(listener: socket.socket) -> None:
    def one(connection: socket.socket) -> None:
        found = hashlib.sha256()
        with connection:
            while data := connection.recv(1 << 20):
                found.update(data)
            connection.sendall(found.digest())

    def run() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=one, args=(connection,), daemon=True).start()

    threading.Thread(target=run, daemon=True).start()
