"""kill -9 of either end of a key device at random points: no key in two blocks, no block differs, nothing hangs."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from device_rig import pair_states
from ingest_desk import IngestDesk, short_folder
from kme_fixture import LoopThread

from poliqi.base.ids import Role
from poliqi.edge.devicestate import device_totals
from poliqi.edge.ingest_server import IngestServer

HERE = Path(__file__).resolve().parent
KEY_BYTES = 32


class Zygote:
    """Starts ends as processes of their own, quickly."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, HERE / "device_zygote.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(HERE.parent)},
        )
        assert self._process.stdout is not None and self._process.stdin is not None
        self._out, self._in = self._process.stdout, self._process.stdin
        assert self._out.readline() == "ready\n"

    def start(self, argv: list[str], log: Path) -> int:
        self._in.write(json.dumps({"argv": argv, "log": str(log)}) + "\n")
        self._in.flush()
        return int(self._out.readline())

    def close(self) -> None:
        self._in.close()
        self._out.close()
        self._process.wait(10)


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    made = Zygote()
    yield made
    made.close()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


class Two:
    """Both ends as processes over folders of key files; their sites only take blocks."""

    def __init__(self, folder: Path, zygote: Zygote, loop: LoopThread) -> None:
        self.folder, self._zygote, self._loop = folder, zygote, loop
        self.states = pair_states(folder, words=4096)
        self.desks = {role: IngestDesk(role.value) for role in Role}
        self.drops = {role: folder / f"keys-{role.value}" for role in Role}
        self.pids: dict[Role, int] = {}
        self.made: dict[bytes, str] = {}
        self._servers: list[IngestServer] = []
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        for role in Role:
            self.drops[role].mkdir(mode=0o700)
            ingest = folder / f"site-{role.value}" / "ingest"
            server = IngestServer(self.desks[role].desk, ingest)
            loop.run(server.open())
            self._servers.append(server)
            meeting = "connect" if role is Role.ALICE else "listen"
            (folder / f"{role.value}.toml").write_text(
                f'device = "folder"\nstate = "{role.value}"\nsite = "{ingest}"\nblock = "512 bit"\n'
                f'gather = "20 ms"\nwait = "2 s"\n{meeting} = "127.0.0.1:{port}"\n'
                f'[options]\nfolder = "{self.drops[role]}"\n'
            )

    def start(self, role: Role) -> None:
        argv = ["device", "run", str(self.folder / f"{role.value}.toml"), "--json"]
        self.pids[role] = self._zygote.start(argv, self.log(role))

    def log(self, role: Role) -> Path:
        return self.folder / f"{role.value}.log"

    def drop_keys(self, count: int) -> None:
        for _ in range(count):
            data, name = os.urandom(KEY_BYTES), f"k{len(self.made):06d}"
            self.made[data] = name
            for folder in self.drops.values():
                (folder / f".{name}").write_bytes(data)
                (folder / f".{name}").rename(folder / f"{name}.key")

    def kill(self, role: Role, number: int = signal.SIGKILL) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pids[role], number)
        self.until(lambda: not is_alive(self.pids[role]), f"{role} ends")

    def until(self, condition: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
        limit = time.monotonic() + seconds
        while not condition():
            logs = [self.log(role).read_text()[-3000:] for role in Role if self.log(role).exists()]
            assert time.monotonic() < limit, f"{what} did not happen: {logs}"
            time.sleep(0.005)

    def check(self) -> None:
        """What both sites hold is equal; no key stands in two blocks of a site; every key was dropped."""
        held = [self.desks[role].held for role in Role]
        for name in held[0].keys() & held[1].keys():
            assert held[0][name] == held[1][name]
        for blocks in held:
            keys = [data[i : i + KEY_BYTES] for data, _ in blocks.values() for i in range(0, len(data), KEY_BYTES)]
            assert len(keys) == len(set(keys))
            assert set(keys) <= self.made.keys()

    def close(self) -> None:
        for role in self.pids:
            self.kill(role)
        for server in self._servers:
            self._loop.run(server.close())


@pytest.fixture
def two(zygote: Zygote) -> Iterator[Two]:
    loop = LoopThread()
    with short_folder() as folder:
        made = Two(folder, zygote, loop)
        try:
            yield made
        finally:
            made.close()
            loop.close()


def kill_and_look(two: Two, seed: int, kills: int) -> None:
    rng = random.Random(seed)
    for role in Role:
        two.start(role)
    for _ in range(kills):
        two.drop_keys(6)
        victim = rng.choice(list(Role))
        time.sleep(rng.uniform(0.0, 0.25))
        two.kill(victim)
        two.check()
        two.start(victim)
    before = len(two.desks[Role.ALICE].held)
    two.drop_keys(4)
    two.until(lambda: len(two.desks[Role.ALICE].held) > before, "blocks come again")
    two.until(lambda: not list(two.drops[Role.ALICE].iterdir()), "the leader's keys are used or given up")
    for role in Role:
        two.kill(role, signal.SIGTERM)
    two.check()
    totals = {role: device_totals(two.states[role]) for role in Role}
    assert all(t is not None and not t.waiting_bytes and not t.faults for t in totals.values()), totals
    assert two.desks[Role.ALICE].held.keys() == two.desks[Role.BOB].held.keys(), "what one holds the other holds"


@pytest.mark.slow
def test_ends_that_are_killed_put_no_key_into_two_blocks(two: Two) -> None:
    kill_and_look(two, seed=int.from_bytes(os.urandom(4), "big"), kills=4)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10))
def test_ends_that_are_killed_often_put_no_key_into_two_blocks(two: Two, seed: int) -> None:
    kill_and_look(two, seed, kills=30)
