"""Rates out of counters, and what applications took minute by minute."""

from __future__ import annotations

import pytest

from poliqi.base.ids import KmeId, LinkId, SaeId
from poliqi.keys.stock import Pool
from poliqi.node.site_rates import Consumption, Rates, rfc3339

LINK = LinkId("a-b")
PLACE = (SaeId("a1"), KmeId("b"))


def pool(filled: int, taken: int = 0, relayed: int = 0) -> dict[LinkId, Pool]:
    made = Pool(LINK, KmeId("b"), 1 << 20, 1 << 10)
    made.filled_bytes, made.taken_bytes, made.relayed_bytes = filled, taken, relayed
    return {LINK: made}


def test_nothing_is_known_after_one_look() -> None:
    rates = Rates()
    assert rates.of(LINK) == (0.0, 0.0, 0.0)
    rates.note(0.0, pool(100))
    assert rates.of(LINK) == (0.0, 0.0, 0.0)


def test_rates_are_bits_a_second_between_first_and_last() -> None:
    rates = Rates()
    rates.note(10.0, pool(100, 10, 1))
    rates.note(12.0, pool(200, 30, 2))
    assert rates.of(LINK) == pytest.approx((400.0, 80.0, 4.0))


def test_what_is_long_past_is_forgotten() -> None:
    rates = Rates()
    for second in range(100):
        rates.note(float(second), pool(1000 if second >= 50 else 0))
    assert rates.of(LINK) == (0.0, 0.0, 0.0)


def test_looks_in_quick_succession_count_as_one() -> None:
    rates = Rates()
    rates.note(0.0, pool(0))
    for tick in range(1000):
        rates.note(1.0 + tick * 1e-4, pool(100))
    assert rates.of(LINK)[0] == pytest.approx(800.0 / 1.0999, rel=1e-3)


def test_a_period_tells_its_times_and_bits() -> None:
    consumption = Consumption()
    consumption.note(1_000_000.0, {PLACE: 5})
    consumption.note(1_000_030.0, {PLACE: 100})
    assert not consumption.periods
    consumption.note(1_000_060.0, {PLACE: 105, (SaeId("quiet"), KmeId("b")): 0})
    [period] = consumption.periods.pop(PLACE)
    assert period.consumed_bits == 800
    assert period.start_time == "1970-01-12T13:46:40.000Z"
    assert period.end_time == "1970-01-12T13:47:40.000Z"
    assert not consumption.periods


def test_old_periods_go() -> None:
    consumption = Consumption()
    for minute in range(30):
        consumption.note(60.0 * minute, {PLACE: minute})
    assert len(consumption.periods[PLACE]) == 10
    assert len({period.end_time for period in consumption.periods[PLACE]}) == 10


def test_a_clock_that_is_set_back_begins_a_new_period() -> None:
    consumption = Consumption()
    consumption.note(1000.0, {PLACE: 0})
    consumption.note(500.0, {PLACE: 10})
    consumption.note(560.0, {PLACE: 20})
    [period] = consumption.periods[PLACE]
    assert period.consumed_bits == 80


def test_times_are_rfc_3339() -> None:
    assert rfc3339(0.0) == "1970-01-01T00:00:00.000Z"
