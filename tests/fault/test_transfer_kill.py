"""kill -9 of sender or receiver at random moments: every file arrives byte for byte, once; no key serves twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fault.key_desk import KeyDesk
from transfer_rig import content

from bench.played_keys import PlayedSite
from poliqi.apps.identity import Identity
from poliqi.apps.share.receipt import read_receipt, verify_receipt
from poliqi.base.ids import SaeId
from poliqi.edge.entropy import OperatingSystemEntropy

HERE = Path(__file__).resolve().parent


class Ends:
    """A sender and a receiver, each a process that is started, killed, and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.identities = {}
        for name in ("office", "archive"):
            self.identities[name] = Identity.make(SaeId(name), OperatingSystemEntropy())
            self.identities[name].write(folder / f"{name}.key")
        self.site = PlayedSite()
        self.desk = KeyDesk(folder / "keys", self.site)
        self.zygote = subprocess.Popen(
            [sys.executable, HERE / "transfer_zygote.py", folder, folder / "keys"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": f"{HERE.parent}:{HERE.parents[1]}"},
        )
        assert self.zygote.stdout is not None and self.zygote.stdin is not None
        self._out, self._in = self.zygote.stdout, self.zygote.stdin
        assert self._out.readline() == "ready\n"

    def start(self, role: str, path: Path | str = "", die_at: int = -1) -> int:
        """Its process. It dies before its change `die_at` to the disk, counted from 0; not where that is -1."""
        self._in.write(f"{role} {die_at} {path}\n")
        self._in.flush()
        return int(self._out.readline())

    def close(self) -> None:
        self._in.close()
        self._out.close()
        self.zygote.wait(10)
        self.desk.close()

    @property
    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text() if path.exists() else ""


def runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def kill(process: int) -> None:
    if runs(process):
        os.kill(process, signal.SIGKILL)
    while runs(process):
        time.sleep(0.001)


def wait(process: int, seconds: float) -> bool:
    """True where it has ended within that time."""
    until = time.monotonic() + seconds
    while runs(process):
        if time.monotonic() > until:
            return False
        time.sleep(0.001)
    return True


@pytest.fixture
def ends(tmp_path: Path) -> Iterator[Ends]:
    made = Ends(tmp_path)
    yield made
    made.close()


def make_source(root: Path, dice: random.Random) -> Path:
    """Some small files, a large one between them."""
    (root / "b").mkdir(parents=True)
    for number in range(dice.randint(0, 200)):
        (root / f"a{number:03}").write_bytes(dice.randbytes(dice.randint(0, 3000)))
    (root / "b/big").write_bytes(dice.randbytes(4096) * dice.randint(500, 3000))
    for number in range(dice.randint(0, 50)):
        (root / f"b/c{number:03}").write_bytes(dice.randbytes(dice.randint(0, 200_000)))
    return root


def receipts(ends: Ends) -> int:
    """How many the sender has. With its receipt a transfer is over; the same command would begin another."""
    return len(list((ends.folder / "office/state/receipts").glob("*.json")))


def one_transfer(ends: Ends, source: Path, dice: random.Random, kills_most: int) -> int:
    """Send it, killing as often as comes about and at most so often; how often that was."""
    kills, sent = 0, receipts(ends)
    receiver, until = ends.start("receive"), time.monotonic() + 120
    sender = receiver
    while receipts(ends) == sent:
        assert time.monotonic() < until, f"stuck after {kills} kills: {ends.log[-2000:]}"
        if not runs(receiver):
            receiver = ends.start("receive")
        sender = ends.start("send", source)
        if kills >= kills_most:
            wait(sender, 60)
            continue
        # most moments lie in the first tenths of a second; the longer ones reach the end and the receipt
        if wait(sender, dice.uniform(0.0, 0.06) if dice.random() < 0.8 else dice.uniform(0.0, 0.4)):
            continue
        kills += 1
        which = dice.choice(("sender", "receiver", "both"))
        if which != "receiver":
            kill(sender)
        if which != "sender":
            kill(receiver)
            # at once, since a connection that nobody takes waits for its handshake's deadline
            receiver = ends.start("receive")
        assert wait(sender, 30), ends.log[-2000:]
    kill(sender)
    kill(receiver)
    return kills


def run(ends: Ends, wanted: int, seed: int) -> None:
    dice, kills, transfers, keys = random.Random(seed), 0, 0, list[str]()
    while kills < wanted:
        name = f"source{transfers}"
        source = make_source(ends.folder / name, dice)
        kills += one_transfer(ends, source, dice, min(40, wanted - kills))
        transfers += 1
        arrived = ends.folder / "archive/inbox/office"
        assert content(arrived / name) == content(source), f"seed {seed}, transfer {transfers}"
        assert len(list(arrived.iterdir())) == transfers, f"seed {seed}: something arrived twice"
        assert not list((ends.folder / "archive/inbox/.partial/office").iterdir())
    for path in (ends.folder / "office/state/receipts").glob("*.json"):
        verify_receipt(path.read_bytes(), ends.identities["archive"].contact)
        keys += read_receipt(path.read_bytes()).key_ids
    assert len(list((ends.folder / "archive/inbox/.receipts/office").glob("*.json"))) == transfers
    # the audit: the site gave every key once, and no key served two streams
    assert len(set(ends.site.delivered)) == len(ends.site.delivered)
    assert len(set(keys)) == len(keys)
    assert set(keys) <= set(ends.site.delivered)


@pytest.mark.slow
@pytest.mark.parametrize("role", ["send", "receive"])
def test_death_before_any_one_change_to_the_disk(ends: Ends, role: str) -> None:
    """Every sixth change, another first one each time: `test_death_before_each_change_to_the_disk` takes all."""
    die(ends, role, random.SystemRandom().randrange(6), 6)


@pytest.mark.soak
@pytest.mark.parametrize("role", ["send", "receive"])
def test_death_before_each_change_to_the_disk(ends: Ends, role: str) -> None:
    die(ends, role, 0, 1)


def die(ends: Ends, role: str, first: int, step: int) -> None:
    """Die at either end. The same command again ends it: once there, and nothing left behind."""
    inbox, names = ends.folder / "archive/inbox", list[str]()
    has_lived = False
    while not has_lived:
        number = first + step * len(names)
        names.append(f"source{number:03}")
        source = ends.folder / names[-1]
        (source / "b").mkdir(parents=True)
        (source / "a").write_bytes(b"small")
        (source / "b/big").write_bytes(bytes(range(256)) * 1200)
        receiver = ends.start("receive", die_at=number if role == "receive" else -1)
        said = ends.log.count("sent\n")
        assert wait(ends.start("send", source, number if role == "send" else -1), 30), ends.log[-2000:]
        has_lived = runs(receiver) and ends.log.count("sent\n") > said
        kill(receiver)
        receiver = ends.start("receive")
        # whoever saw the command die calls it again, unless it is known to be over
        while receipts(ends) < len(names) or list(ends.folder.glob("office/state/send/*/state")):
            assert wait(ends.start("send", source), 30), ends.log[-2000:]
        kill(receiver)
        assert sorted(path.name for path in (inbox / "office").iterdir()) == names, f"{role} {number}"
        assert content(inbox / "office" / names[-1]) == content(source)
        assert not list((inbox / ".partial/office").iterdir()), f"{role} {number}"
        assert len(list((inbox / ".receipts/office").glob("*.json"))) == receipts(ends) == len(names)
    # a handful would mean that the deaths missed their marks
    assert first + step * len(names) > 20


@pytest.mark.slow
def test_two_hundred_kills(ends: Ends) -> None:
    run(ends, 200, random.SystemRandom().randrange(1 << 32))


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_two_thousand_kills(ends: Ends) -> None:
    run(ends, 2000, random.SystemRandom().randrange(1 << 32))
