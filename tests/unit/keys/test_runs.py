"""The runs that are outstanding: found by name and key, dropped once, gone when their time is over."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poliqi.base.ids import KmeId, SaeId
from poliqi.keys.ledger import Ledger
from poliqi.keys.marks import RunDropped, RunUsed
from poliqi.keys.run import Run, RunKey
from poliqi.keys.runs import Runs


def run_of(number: int, segment: int = 1, count: int = 2, slaves: int = 1) -> Run:
    key = RunKey(KmeId("a"), number)
    names = tuple(SaeId(f"s{i}") for i in range(slaves))
    return Run(key, KmeId("a"), segment, 32, 32, count, SaeId("m"), names)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def runs(ledger: Ledger) -> Runs:
    return Runs(ledger)


def test_a_run_is_found_by_its_key_and_its_keys_by_their_names(runs: Runs) -> None:
    run = run_of(1)
    runs.add(run, [b"first", b"second"], 10.0)
    assert runs.get(run.key) is run and list(runs) == [run] and len(runs) == 1
    assert runs.find(b"second") == (run, 1) and runs.find(b"third") is None
    assert runs.named_keys == 2


def test_a_dropped_run_leaves_nothing_and_is_marked_once(runs: Runs, ledger: Ledger) -> None:
    run, other = run_of(1), run_of(2)
    runs.add(run, [b"first"], 10.0)
    runs.add(other, [b"other"], 10.0)
    runs.drop(run)
    runs.drop(run)
    assert ledger.take()[0] == [RunDropped(run.key)]
    assert runs.find(b"first") is None and runs.get(run.key) is None and runs.named_keys == 1
    assert runs.holds_segment(1)
    runs.drop(other)
    assert not runs.holds_segment(1) and not len(runs)


def test_how_a_run_stands_is_written_down(runs: Runs, ledger: Ledger) -> None:
    run = run_of(1)
    run.used, run.user, run.user_used = 3, b"boot", 2
    assert runs.mark_used(run) == 1
    assert ledger.take()[0] == [RunUsed(run.key, 3, b"boot", 2)]


def test_a_run_is_all_used_when_every_slave_has_every_key() -> None:
    run = run_of(1, count=3, slaves=2)
    run.used = 0b111110
    assert not run.all_used
    run.used = 0b111111
    assert run.all_used and run.end == 32 + 3 * 32


@given(
    st.lists(st.tuples(st.floats(0, 100), st.integers(1, 3)), max_size=12), st.lists(st.floats(0, 120), max_size=5)
)
def test_runs_end_when_their_time_is_over_and_not_before(
    lives: list[tuple[float, int]], clock: list[float]
) -> None:
    runs, gone = Runs(Ledger()), list[int]()
    for number, (deadline, segment) in enumerate(lives):
        runs.add(run_of(number, segment), [], deadline)
    for now in sorted(clock):
        runs.expire(now, lambda run: gone.append(run.key.number))
        over = {n for n, (deadline, _) in enumerate(lives) if deadline <= now}
        assert set(gone) == over and len(gone) == len(over)
        left = [(deadline, segment) for deadline, segment in lives if deadline > now]
        assert runs.next_deadline() == min((deadline for deadline, _ in left), default=None)
        assert [runs.holds_segment(n) for n in (1, 2, 3)] == [any(s == n for _, s in left) for n in (1, 2, 3)]


def test_a_run_that_was_dropped_does_not_expire(runs: Runs) -> None:
    run, gone = run_of(1), list[Run]()
    runs.add(run, [], 1.0)
    runs.drop(run)
    runs.expire(2.0, gone.append)
    assert not gone
