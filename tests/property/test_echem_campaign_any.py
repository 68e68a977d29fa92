"""Any load: no channel twice at once, nothing on a blocked span, protocols in order; any bytes as a plan."""

from __future__ import annotations

import pytest
from campaign_rig import HOUR, START, campaign, channel, faults, rest
from hypothesis import given
from hypothesis import strategies as st

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.echem.campaign.plan import Campaign, Cell, Chamber, Span
from poliqi.lab.echem.campaign.schedule import schedule
from poliqi.lab.echem.campaign.spans import FreeTime
from poliqi.ops.campaign_toml import campaign_from

HOURS = st.sampled_from([0.25, 0.5, 1.0, 1.5, 3.0, 8.0])
SPANS = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 6)), max_size=4)


@st.composite
def loads(draw: st.DrawFn) -> Campaign:
    chambers = (Chamber("o0", 0.0, 60.0, draw(st.sampled_from([0, 900]))), Chamber("o1", 0.0, 60.0, 600))
    channels = [
        channel(
            f"c{at}",
            *((begin, begin + long) for begin, long in draw(SPANS)),
            chamber=draw(st.sampled_from([None, "o0", "o1"])),
            room_c=25.0,
            changeover_s=draw(st.sampled_from([0, 600])),
        )
        for at in range(draw(st.integers(1, 4)))
    ]
    channels.append(channel("any", chamber="o0"))
    temperatures = st.sampled_from([None, 25.0, 45.0])
    cells = [
        Cell(
            f"x{at}",
            1.0,
            tuple(
                rest(f"p{order}", draw(HOURS), temperature_c=draw(temperatures))
                for order in range(draw(st.integers(1, 3)))
            ),
            priority=draw(st.integers(1, 3)),
            ready_s=draw(st.none() | st.integers(0, 20).map(lambda hour: START + hour * HOUR)),
            deadline_s=draw(st.none() | st.integers(0, 60).map(lambda hour: START + hour * HOUR)),
            same_channel=draw(st.booleans()),
        )
        for at in range(draw(st.integers(1, 8)))
    ]
    horizon = draw(st.none() | st.integers(10, 60).map(lambda hour: START + hour * HOUR))
    return campaign(channels, cells, chambers=chambers, horizon_s=horizon)


@given(loads(), st.integers(0, 3))
def test_no_schedule_breaks_a_rule(plan: Campaign, seed: int) -> None:
    assert faults(schedule(plan, seed=seed, tries=5)) == []


@given(loads())
def test_the_same_seed_gives_the_same_plan(plan: Campaign) -> None:
    assert schedule(plan, seed=7, tries=4).placed == schedule(plan, seed=7, tries=4).placed


@given(
    st.lists(st.tuples(st.integers(-5, 50), st.integers(0, 9)), max_size=8), st.integers(0, 50), st.integers(1, 9)
)
def test_free_time_is_found_as_by_looking_at_each_minute(
    blocked: list[tuple[int, int]], ready: int, long: int
) -> None:
    free = FreeTime.between(0, 60, [Span(begin, begin + wide, "") for begin, wide in blocked])
    taken = {at for begin, wide in blocked for at in range(begin, begin + wide)}
    fits = [at for at in range(ready, 61 - long) if not taken.intersection(range(at, at + long))]
    found = free.first(ready, long)
    assert found == (fits[0] if fits else None)
    assert free.seconds(0, 60) == len(set(range(60)) - taken)
    if found is not None:
        free.take(found, found + long)
        assert free.seconds(0, 60) == len(set(range(60)) - taken) - long
        with pytest.raises(ValueError, match="not free"):
            free.take(found, found + long)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_plan_or_refused(data: bytes) -> None:
    with pytest.raises((ConfigError, DataRefused)):
        campaign_from(data, "plan.toml")


KEYS = st.sampled_from(
    ["title", "start", "protocol", "channels", "cells", "chamber", "until", "margin_percent", "x"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False, width=16) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(KEYS, VALUES.filter(lambda value: value is not None), max_size=6))
def test_any_table_is_a_plan_or_refused(table: dict[str, object]) -> None:
    from poliqi.ops.toml_text import toml_text

    try:
        text = toml_text(table)
    except (TypeError, ValueError):
        return
    with pytest.raises((ConfigError, DataRefused)):
        campaign_from(text.encode(), "plan.toml")
