"""stunnel with quantum keys: a server and a client process, and what passes through them."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from adapter_hosts import wait_until
from adapter_rig import two_ends

from bench.played_keys import PlayedSite
from bench.sites import free_ports
from poliqi.apps.adapters.events import Happening
from poliqi.apps.adapters.stunnel import Stunnel
from poliqi.base.errors import LinkDown
from poliqi.base.secret import SecretBytes
from poliqi.edge.entropy import OperatingSystemEntropy
from poliqi.edge.network import Address

pytestmark = pytest.mark.skipif(shutil.which("stunnel") is None, reason="needs stunnel")


class Pair:
    """Two stunnel processes: a service in use, and one for the adapter's probe."""

    def __init__(self, folder: Path, *, has_probe: bool = True) -> None:
        self.folder = folder
        self.enter, between, self.backend, self.probe, probe_between, probe_backend = free_ports(6)
        services = {
            "server": [(between, self.backend), (probe_between, probe_backend)],
            "client": [(self.enter, between), (self.probe, probe_between)],
        }
        for name, ways in services.items():
            self._configure(name, ways)
        entropy = OperatingSystemEntropy()
        self.ends = {
            name: Stunnel(
                folder / f"{name}.secrets",
                folder / f"{name}.pid",
                entropy,
                is_client=name == "client",
                probe=Address("127.0.0.1", port) if has_probe else None,
                proof_s=4.0,
            )
            for name, port in (("server", probe_backend), ("client", self.probe))
        }
        self.processes: list[subprocess.Popen[bytes]] = []
        self.listener = socket.create_server(("127.0.0.1", self.backend))
        threading.Thread(target=self._echo, daemon=True).start()

    def _configure(self, name: str, ways: list[tuple[int, int]]) -> None:
        lines = ["foreground = yes", f"pid = {self.folder}/{name}.pid", f"output = {self.folder}/{name}.log"]
        lines += ["debug = info"]
        for number, (accept, connect) in enumerate(ways):
            lines += [f"[service{number}]", f"client = {'yes' if name == 'client' else 'no'}"]
            lines += [f"accept = 127.0.0.1:{accept}", f"connect = 127.0.0.1:{connect}"]
            lines += ["ciphers = PSK", f"PSKsecrets = {self.folder}/{name}.secrets"]
        (self.folder / f"{name}.conf").write_text("\n".join(lines) + "\n")

    def _echo(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                connection.sendall(connection.recv(100))

    def start(self) -> None:
        for name in self.ends:
            self.processes.append(
                subprocess.Popen(
                    ["stunnel", str(self.folder / f"{name}.conf")],
                    stdin=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )
        for name in self.ends:
            wait_until((self.folder / f"{name}.pid").exists)

    def stop(self) -> None:
        self.listener.close()
        for process in self.processes:
            process.send_signal(signal.SIGKILL)
            process.wait()

    def passes(self) -> bool:
        """True where what goes into the client's service comes back."""
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.enter), timeout=2) as connection:
            connection.sendall(b"a marker")
            return connection.recv(100) == b"a marker"
        return False

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    made = Pair(tmp_path)
    try:
        yield made
    finally:
        made.stop()


def test_nothing_passes_before_the_first_key_and_each_key_is_used(pair: Pair) -> None:
    with two_ends(pair.ends["client"], pair.ends["server"]) as ends:
        pair.start()
        assert not pair.passes()
        rotated = []
        for _ in range(3):
            rotated.append(ends.rotator().once())
            wait_until(pair.passes, 3)
            assert f'Key configured for PSK identity "{rotated[-1]}"' in pair.log("server")
        wait_until(lambda: ends.rotated("bravo") == rotated)
        assert not ends.told(Happening.FAILED)


def test_the_server_may_begin_the_rotation_too(pair: Pair) -> None:
    with two_ends(pair.ends["server"], pair.ends["client"]) as ends:
        pair.start()
        rotated = [ends.rotator().once() for _ in range(2)]
        wait_until(pair.passes, 3)
        assert ends.rotated("alfa") == rotated


def test_a_wrong_key_at_one_end_lets_nothing_pass(pair: Pair) -> None:
    for end in pair.ends.values():
        end.open()
    pair.start()
    for end in pair.ends.values():
        end.hold("wrong", SecretBytes(os.urandom(32)))
        end._proof_s = 1.0
    with pytest.raises(LinkDown, match="no answer through"):
        pair.ends["client"].use("wrong", is_starter=True)
    assert not pair.passes()
    for end in pair.ends.values():
        end.close()


def test_the_key_before_is_refused_once_both_have_the_next(pair: Pair) -> None:
    with two_ends(pair.ends["client"], pair.ends["server"]) as ends:
        pair.start()
        for end in pair.ends.values():
            end.hold("before", SecretBytes(bytes(range(32))))
        pair.ends["client"].use("before", is_starter=True)
        ends.rotator().once()
        wait_until(lambda: ends.rotated("bravo"))
        pair.ends["client"].hold("before", SecretBytes(bytes(range(32))))
        pair.ends["client"]._proof_s = 1.0
        with pytest.raises(LinkDown):
            pair.ends["client"].use("before", is_starter=True)


def test_when_keys_run_out_nothing_new_passes(pair: Pair) -> None:
    with two_ends(pair.ends["client"], pair.ends["server"], PlayedSite(stock_bytes=500), longest_s=2.0) as ends:
        pair.start()
        ends.rotator().once()
        wait_until(pair.passes, 3)
        wait_until(lambda: len(ends.told(Happening.SHUT)) == 2)
        assert not pair.passes()


def test_no_file_ever_holds_a_key(pair: Pair) -> None:
    with two_ends(pair.ends["client"], pair.ends["server"]) as ends:
        pair.start()
        ends.rotator().once()
        for name in pair.ends:
            path = pair.folder / f"{name}.secrets"
            assert path.is_fifo()
            assert path.stat().st_mode & 0o777 == 0o600
    assert not list(pair.folder.glob("*.secrets"))
