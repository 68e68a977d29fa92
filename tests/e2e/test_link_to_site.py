"""Two real link processes hand their keys to two sites; one site goes away in the middle and comes back."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from e2e.command_line import TINY, start
from ingest_desk import IngestDesk, short_folder
from link_states import make_pair_file

from poliqi.base.ids import Role
from poliqi.edge.ingest_server import IngestServer
from poliqi.edge.pairing import install_pair_file, link_status
from poliqi.keys.grade import KeyOrigin
from poliqi.ops.cli import cli


class Site:
    """An ingest server in a thread, over a desk that outlives it."""

    def __init__(self, name: str, folder: Path) -> None:
        self.desk = IngestDesk(name)
        self.socket = folder / name / "ingest"
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(ready)))
        self._thread.start()
        assert ready.wait(10)

    async def _run(self, ready: threading.Event) -> None:
        server = IngestServer(self.desk.desk, self.socket)
        await server.open()
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        ready.set()
        await self._over.wait()
        await server.close()

    def stop(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._over.set)
            self._thread.join(20)
            assert not self._thread.is_alive()
            self._loop = None


@pytest.fixture
def sites() -> Iterator[dict[Role, Site]]:
    with short_folder() as folder:
        made = {role: Site(f"site-{role}", folder) for role in Role}
        for site in made.values():
            site.start()
        yield made
        for site in made.values():
            site.stop()


class Link:
    """Both ends of a link, each a process whose records are read as they come."""

    def __init__(self, folder: Path, sites: dict[Role, Site]) -> None:
        self.folder, self.sites = folder, sites
        self.records: dict[Role, list[dict[str, Any]]] = {role: [] for role in Role}
        pair = make_pair_file(folder / "pair", 512)
        for role in Role:
            install_pair_file(pair, folder / role, role, simulated=True, keep=role is Role.ALICE)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.running: dict[Role, subprocess.Popen[str]] = {}
        self._readers: list[threading.Thread] = []
        for role, meeting in ((Role.BOB, "--listen"), (Role.ALICE, "--connect")):
            words = ("link", "run", TINY, "--role", role, "--state", folder / role, "--site", sites[role].socket)
            light = ("--seed", 7, "--allow-simulated", "--json")
            self.running[role] = start(*words, meeting, f"127.0.0.1:{port}", *light)
            reader = threading.Thread(target=self._read, args=(role,))
            reader.start()
            self._readers.append(reader)

    def _read(self, role: Role) -> None:
        out = self.running[role].stdout
        assert out is not None
        for line in out:
            self.records[role].append(json.loads(line))

    def blocks(self, role: Role) -> int:
        return sum(r["event"] == "block" and r["net_bits"] > 0 for r in self.records[role])

    def texts(self, role: Role) -> list[str]:
        return [r["text"] for r in list(self.records[role]) if r["event"] == "site"]

    def stop(self) -> None:
        for process in self.running.values():
            process.send_signal(signal.SIGTERM)
        for process in self.running.values():
            process.wait(30)
        for reader in self._readers:
            reader.join(10)
        for process in self.running.values():
            assert process.stdout is not None and process.stderr is not None
            process.stdout.close()
            assert (process.stderr.read(), process.returncode) == ("", 0)
            process.stderr.close()


def wait_for(condition: Any, what: str, link: Link, seconds: float = 90) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"{what} did not happen: {link.records}"
        time.sleep(0.02)


@pytest.mark.slow
def test_keys_reach_both_sites_through_an_outage(tmp_path: Path, sites: dict[Role, Site]) -> None:
    alice, bob = sites[Role.ALICE], sites[Role.BOB]
    link = Link(tmp_path, sites)
    try:
        wait_for(lambda: len(alice.desk.held) >= 2, "two blocks at Alice's site", link)
        alice.stop()
        held = len(alice.desk.held)
        made = link.blocks(Role.ALICE)
        wait_for(lambda: link.blocks(Role.ALICE) >= made + 3, "three more blocks without the site", link)
        assert len(alice.desk.held) == held
        alice.start()
        wait_for(lambda: len(alice.desk.held) >= held + 3, "delivery after the site came back", link)
    finally:
        link.stop()
    assert link_status(tmp_path / Role.ALICE).undelivered == link_status(tmp_path / Role.BOB).undelivered == 0
    shared = alice.desk.held.keys() & bob.desk.held.keys()
    assert len(shared) >= 5
    assert all(alice.desk.held[name][0] == bob.desk.held[name][0] for name in shared)
    assert len(alice.desk.held) == link_status(tmp_path / Role.ALICE).blocks, "every confirmed block, each once"
    assert alice.desk.calls == sorted(alice.desk.calls), "in order"
    assert {grade.origin for _, grade in alice.desk.held.values()} == {KeyOrigin.SIMULATED}
    assert any("bytes of key wait in the state" in text for text in link.texts(Role.ALICE))
    assert "the site takes keys" in link.texts(Role.ALICE)


def test_keys_go_to_one_place_only(tmp_path: Path) -> None:
    words = ["link", "run", str(TINY), "--role", "bob", "--state", str(tmp_path), "--listen", "127.0.0.1:0"]
    for places in ([], ["--key", str(tmp_path / "k"), "--site", str(tmp_path / "s")]):
        result = CliRunner().invoke(cli, [*words, *places])
        assert "give one of --key FILE and --site SOCKET" in str(result.exception)
