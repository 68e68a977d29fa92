"""Who reads a facility waits for nobody: not for a change, not for another reader, of this process or of others."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from facility_rig import START, World, make_world

from poliqi.base.errors import StoreError
from poliqi.lab.facility import connection as connection_module
from poliqi.lab.facility.database import Database

HOLD = (
    "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('BEGIN IMMEDIATE');"
    "print('held', flush=True); sys.stdin.read(); c.close()"
)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path / "lab")


def ended(work: Callable[[], object]) -> bool:
    """Whether a thread of its own comes to its end, while what would hold it up stands."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(15.0)
    return not thread.is_alive()


def test_a_read_returns_while_others_write_and_a_change_waits(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting, ann = threading.Event(), world.users["ann"]
    patience = connection_module._Patience.__call__  # pyright: ignore[reportPrivateUsage]  # where a change waits

    def told(self: object, asked: int) -> bool:
        waiting.set()
        return patience(self, asked)  # type: ignore[arg-type]

    monkeypatch.setattr(connection_module._Patience, "__call__", told)  # pyright: ignore[reportPrivateUsage]  # as above
    command = [sys.executable, "-c", HOLD, str(world.root / "facility.sqlite")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == "held\n"
        change = threading.Thread(target=world.book, args=("ann", 30, 1))
        change.start()
        assert waiting.wait(15.0)
        assert ended(lambda: world.facility.calendar("saxs", START, START + 7 * 86_400, ann))
        assert change.is_alive()
        other.stdin.close()
        change.join()
    slots = world.facility.calendar("saxs", START, START + 7 * 86_400, ann)
    assert [slot.begin_s for slot in slots] == [START + 30 * 3600]


def test_a_long_look_holds_nobody_up_and_sees_one_moment(world: World) -> None:
    database = Database(world.root)
    count = "SELECT count(*) FROM booking"
    with database.looking():
        [(before,)] = database.read(count)
        assert ended(lambda: world.book("ann", 30, 1))
        assert ended(lambda: database.read(count))
        assert database.read(count) == [(before,)]
    assert database.read(count) == [(before + 1,)]
    database.close()
    with pytest.raises(StoreError, match="closed"):
        database.read(count)


def test_a_change_reads_what_it_has_changed_and_others_do_not(world: World) -> None:
    database = Database(world.root)
    seen: list[object] = []
    where = "SELECT value FROM setting WHERE name = 'test'"
    with database.changing("op") as change:
        change.add("setting", None, "test", "1")
        change.tell("setting")
        with database.looking():
            assert database.read(where) == [("1",)]
        assert ended(lambda: seen.append(database.read(where)))
    assert seen == [[]]
    assert database.read(where) == [("1",)]
    database.close()


def test_what_is_for_reading_cannot_write(world: World) -> None:
    database = Database(world.root)
    with pytest.raises(StoreError, match="ReadOnly"):
        database.read("DELETE FROM session")
    database.close()
