"""Marks in order, and what waits for them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from poliqi.keys.ledger import Ledger
from poliqi.keys.marks import Readied


def test_marks_are_counted_from_one_and_taken_once_in_order() -> None:
    ledger = Ledger()
    assert [ledger.write(Readied(n)) for n in (7, 8)] == [1, 2]
    assert ledger.take() == ([Readied(7), Readied(8)], 2)
    assert ledger.take() == ([], 2)
    assert ledger.write(Readied(9)) == 3
    assert ledger.take() == ([Readied(9)], 3)


def test_what_waits_for_nothing_is_done_at_once() -> None:
    done: list[str] = []
    Ledger().when(0, lambda: done.append("now"))
    assert done == ["now"]


def test_taking_marks_makes_nothing_durable() -> None:
    ledger, done = Ledger(), list[str]()
    ledger.when(ledger.write(Readied(1)), lambda: done.append("durable"))
    ledger.take()
    assert not done
    ledger.settle(1)
    assert done == ["durable"]


def test_what_is_durable_stays_durable() -> None:
    ledger = Ledger()
    for number in range(3):
        ledger.write(Readied(number))
    ledger.settle(3)
    ledger.settle(1)
    assert ledger.committed == 3


def test_an_action_may_wait_for_more() -> None:
    ledger, done = Ledger(), list[str]()
    first, second = ledger.write(Readied(1)), ledger.write(Readied(2))
    ledger.when(first, lambda: ledger.when(second, lambda: done.append("second")))
    ledger.settle(1)
    assert not done
    ledger.settle(2)
    assert done == ["second"]


@given(st.lists(st.integers(0, 12), max_size=20), st.lists(st.integers(0, 12), max_size=8))
def test_everything_is_done_once_as_soon_as_its_mark_is_durable(waits: list[int], settled: list[int]) -> None:
    ledger = Ledger()
    done: list[int] = []
    for place, number in enumerate(waits):
        ledger.when(number, lambda place=place: done.append(place))
    reached = 0
    for upto in settled:
        ledger.settle(upto)
        reached = max(reached, upto)
        assert sorted(done) == [place for place, number in enumerate(waits) if number <= reached]
