"""kill -9 of whoever uses a store, before any change to the disk: a dataset is whole or was never there."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab_stores import check_whole, new_store, written

from poliqi.lab.store.records import Dataset

HERE = Path(__file__).resolve().parent


class Users:
    """Processes that use one store, each forked for one command."""

    def __init__(self, folder: Path) -> None:
        self.store = folder / "store"
        self.acknowledged = set[str]()
        new_store(self.store).close()
        files = written(folder / "files", {"same.dat": b"same", "deep/more.dat": bytes(3 << 20)})
        self.zygote = subprocess.Popen(
            [sys.executable, HERE / "lab_zygote.py", self.store, files],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": f"{HERE.parent}:{HERE.parents[1]}"},
        )

    def tell(self, line: str) -> list[str]:
        assert self.zygote.stdin is not None and self.zygote.stdout is not None
        self.zygote.stdin.write(line + "\n")
        self.zygote.stdin.flush()
        return self.zygote.stdout.readline().split()

    def die(self, number: int, at: int, *, is_checked: bool = True) -> bool:
        """One run that is killed; True where it came to its end before."""
        acknowledged = self.tell(f"all {number} {at}")
        self.acknowledged |= set(acknowledged) - {"end"}
        if is_checked:
            found = {one.id: one for one in check_whole(self.store)}
            assert self.acknowledged <= found.keys()
            self.check_links(found)
        return "end" in acknowledged

    def check_links(self, found: dict[str, Dataset]) -> None:
        with new_store(self.store) as store:
            for one in found.values():
                if one.title.startswith("frames"):
                    assert len(one.files) == 3
                    assert len(store.actions(one.id)) == 1

    def close(self) -> None:
        assert self.zygote.stdin is not None and self.zygote.stdout is not None
        self.zygote.stdin.close()
        self.zygote.stdout.close()
        self.zygote.wait(10)


@pytest.fixture
def users(tmp_path: Path) -> Iterator[Users]:
    made = Users(tmp_path)
    yield made
    made.close()


def test_a_kill_leaves_whole_datasets_or_none(users: Users) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    for number, at in enumerate(draw.sample(range(190), 9)):
        users.die(number, at, is_checked=draw.random() < 0.5)  # else the next one sweeps, and may die at it
    assert users.die(1000, -1)


@pytest.mark.soak
def test_a_kill_before_every_change(users: Users, tmp_path: Path) -> None:
    at = 0
    while not users.die(at, at, is_checked=at % 3 == 0):
        at += 1
    assert at > 100, "there is less to die before than there was"


def test_of_processes_that_ask_at_once_one_works(users: Users) -> None:
    ran, *datasets = users.tell("ask 4")
    assert (ran, len(datasets), len(set(datasets))) == ("ran", 4, 1)
    assert [one.id for one in check_whole(users.store)] == datasets[:1]
