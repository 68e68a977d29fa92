"""Sessions of an instrument: what overlaps is found in two short looks, as the definition finds it in one long."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poliqi.lab.facility.metering import clash
from poliqi.lab.facility.records import Session
from poliqi.lab.facility.schema import SCHEMA

Told = tuple[str, int, int | None]


class Sessions:
    """The tables of a facility, sessions alone in them."""

    def __init__(self) -> None:
        self.sql = apsw.Connection(":memory:")
        self.sql.execute(SCHEMA)

    def enter(self, sessions: Sequence[Told]) -> None:
        self.sql.execute("DELETE FROM session")
        rows = [(f"{name} {start}", name, start, stop) for name, start, stop in sessions]
        self.sql.executemany("INSERT INTO session VALUES (?, ?, ?, ?)", rows)

    def run(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        return list(self.sql.execute(statement, values))


TABLES = Sessions()


@st.composite
def histories(draw: st.DrawFn) -> list[Told]:
    """Some sessions one after the other, often end to end; the last may run, or one that began in between."""
    found: list[Told] = []
    for name in ("saxs", "xrd"):
        marks = draw(st.lists(st.integers(0, 30), unique=True, max_size=10).map(sorted))
        pairs = list(pairwise(marks))
        kept = [pair for pair in pairs if draw(st.booleans())]
        found += [(name, start, stop) for start, stop in kept]
        if draw(st.booleans()):
            free = [t for t in range(32) if not any(start <= t < stop for start, stop in kept)]
            found.append((name, draw(st.sampled_from(free)), None))
    return found


def overlap(one: Told, start_s: int, last_s: int) -> bool:
    return one[2] is None or (one[1] < last_s and one[2] > start_s)


@given(histories(), st.integers(0, 31), st.one_of(st.none(), st.integers(1, 31)))
def test_what_overlaps_is_found(sessions: list[Told], start_s: int, for_s: int | None) -> None:
    """`for_s` None: one is to begin; else the one that began at `start_s`, if any, is to end."""
    TABLES.enter(sessions)
    stop_s = None if for_s is None else start_s + for_s
    last_s = start_s + 1 if stop_s is None else stop_s
    others = [one for one in sessions if one[0] == "saxs" and not (stop_s is not None and one[1] == start_s)]
    wanted = [one for one in others if overlap(one, start_s, last_s)]
    found = clash(TABLES.run, "saxs", start_s, stop_s)
    assert (found is None) == (wanted == [])
    if found is not None:
        assert (found.instrument, found.start_s, found.stop_s) in wanted
        assert found.stop_s is None or all(one[2] is not None for one in wanted), "one that runs is told first"


def test_the_database_itself_lets_one_alone_run() -> None:
    with pytest.raises(apsw.ConstraintError):
        TABLES.enter([("saxs", 1, None), ("saxs", 5, None)])


def test_the_look_does_not_grow_with_the_sessions() -> None:
    """SQLite's own steps, counted: with the first session running, the last one, and none."""
    steps: list[int] = []
    for count in (20, 4000):
        sessions: list[Told] = [("saxs", 10 * n, 10 * n + 9) for n in range(1, count)]
        for more in ((), (("saxs", 1, None),), (("saxs", 10 * count, None),)):
            TABLES.enter([*sessions, *more])
            told: list[int] = []
            TABLES.sql.set_progress_handler(lambda told=told: told.append(1) or False, 10)
            for start, stop in ((10 * count + 5, None), (10 * count, 10 * count + 5), (1, 5), (5, 10 * count)):
                assert isinstance(clash(TABLES.run, "saxs", start, stop), Session | None)
            TABLES.sql.set_progress_handler(None)
            steps.append(len(told))
    assert max(steps) < 100
