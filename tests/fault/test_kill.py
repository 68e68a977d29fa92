"""kill -9 of either end at random points: no pad word is used twice, no key differs, nothing is stuck."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fault.wire_tap import WireTap
from link_states import make_pair_file

from poliqi.base.ids import Role
from poliqi.distill.messages import Confirm, Final_, Message
from poliqi.edge.keyfile import read_keys
from poliqi.edge.pairing import install_pair_file, link_status

HERE = Path(__file__).resolve().parent
WORDS = 1024


class Zygote:
    """Starts ends of links as processes of their own, quickly."""

    def __init__(self) -> None:
        environment = os.environ | {"PYTHONPATH": str(HERE.parent)}
        self._process = subprocess.Popen(
            [sys.executable, HERE / "zygote.py", HERE / "tiny.toml"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
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


class Ends:
    """Alice and Bob of one link, each started, killed and started again."""

    def __init__(self, zygote: Zygote, folder: Path) -> None:
        self._zygote = zygote
        self.folder = folder
        self.alive: dict[Role, int] = {}
        pair = make_pair_file(folder / "pair", WORDS)
        for role in Role:
            install_pair_file(pair, folder / role, role, simulated=True, keep=role is Role.ALICE)
        with __import__("socket").create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        self.tap = WireTap(self.port)

    def start(self, role: Role) -> None:
        meeting = ["--connect", self.tap.address] if role is Role.ALICE else ["--listen", f"127.0.0.1:{self.port}"]
        argv = ["link", "run", str(HERE / "tiny.toml"), "--role", role, "--state", str(self.folder / role)]
        argv += ["--key", str(self.keys(role)), *meeting, "--seed", "1", "--allow-simulated", "--json"]
        self.alive[role] = self._zygote.start(argv, self.log(role))

    def keys(self, role: Role) -> Path:
        return self.folder / f"{role}.keys"

    def log(self, role: Role) -> Path:
        return self.folder / f"{role}.log"

    def kill(self, role: Role, how: int = signal.SIGKILL) -> None:
        os.kill(self.alive[role], how)
        while _runs(self.alive[role]):
            time.sleep(0.002)
        del self.alive[role]

    def blocks(self) -> int:
        return link_status(self.folder / Role.ALICE).blocks

    def records(self, role: Role) -> list[tuple[int, bytes]]:
        path = self.keys(role)
        return [(r.number, r.key.take()) for r in read_keys(path)[1]] if path.exists() else []


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def ends(zygote: Zygote, tmp_path: Path) -> Iterator[Ends]:
    made = Ends(zygote, tmp_path)
    yield made
    for role in list(made.alive):
        made.kill(role)
    made.tap.close()


def wait_for(condition, what: str, ends: Ends, seconds: float = 30.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            logs = {role.value: ends.log(role).read_text()[-2000:] for role in Role}
            raise AssertionError(f"{what} did not happen in {seconds} s: {logs}")
        time.sleep(0.01)


@pytest.mark.slow
def test_killed_at_random_points(ends: Ends) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    chance = random.Random(seed)
    due = threading.Event()
    at = {"frame": 0, "late": False}

    def on_frame(_role: Role, message: Message) -> None:
        late = isinstance(message, Confirm | Final_)
        if (at["late"] and late) or (not at["late"] and ends.tap.frames >= at["frame"]):
            due.set()

    ends.tap.on_frame = on_frame
    for role in Role:
        ends.start(role)
    pending = stalls = 0
    for run in range(int(os.environ.get("POLIQI_KILLS", "50"))):
        at["late"], at["frame"] = chance.random() < 0.5, ends.tap.frames + chance.randrange(1, 120)
        due.clear()
        while not due.wait(20):  # a forked end that stands still is killed as well, and may not be the rule
            stalls += 1
            words = "".join(ends.log(role).read_text()[-1000:] for role in Role)
            assert stalls <= 2, f"seed {seed}, run {run}: no frame came; {words}"
            for role in Role:
                ends.kill(role)
                ends.start(role)
        time.sleep(chance.choice([0.0, chance.uniform(0, 0.004), chance.uniform(0, 0.05)]))
        victims = chance.choice([[Role.ALICE], [Role.BOB], [Role.ALICE, Role.BOB]])
        for role in victims:
            ends.kill(role)
        check(ends, f"seed {seed}, run {run}")
        pending += link_status(ends.folder / Role.BOB).pending > 0
        for role in victims:
            ends.start(role)
    assert pending > 3, f"seed {seed}: Bob was hardly ever killed with a block pending"
    before = ends.blocks()
    wait_for(lambda: ends.blocks() >= before + 2, f"seed {seed}: two more blocks", ends, 60)
    # where other work takes the processor, the kills let few blocks through: as many again are made in peace
    wait_for(lambda: len(ends.records(Role.ALICE)) > 10, f"seed {seed}: more than ten blocks with a key", ends, 60)
    for role in (Role.BOB, Role.ALICE):
        ends.kill(role, signal.SIGTERM)
    check(ends, f"seed {seed}, end")
    assert ends.records(Role.ALICE) == ends.records(Role.BOB), f"seed {seed}"


def check(ends: Ends, where: str) -> None:
    twice = {place: tags for place, tags in list(ends.tap.tags.items()) if len(tags) > 1}
    assert not twice, f"{where}: pad words used twice: {list(twice)}"
    alice, bob = dict(ends.records(Role.ALICE)), dict(ends.records(Role.BOB))
    differ = [number for number in alice.keys() & bob.keys() if alice[number] != bob[number]]
    assert not differ, f"{where}: blocks {differ} differ"
    assert set(bob) <= set(alice), f"{where}: Bob delivered what Alice did not hold"
    for role in Role:
        text = ends.log(role).read_text()
        assert "Traceback" not in text and "poliqi:" not in text, f"{where}: {role}: {text[-2000:]}"
