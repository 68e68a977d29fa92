"""Test campaigns: durations, limits, schedules against exact optima, bounds, files."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import replace
from itertools import product

import highspy
import numpy as np
import pytest
from campaign_rig import HOUR, START, campaign, cell, channel, faults, rest

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.campaign.files import channel_use, schedule_csv, schedule_ics, schedule_record
from poliqi.lab.echem.campaign.gantt import gantt_panels
from poliqi.lab.echem.campaign.plan import Cell, Chamber
from poliqi.lab.echem.campaign.protocol import Block, Protocol, Step, StepKind, Sweep, need_of, predicted_s
from poliqi.lab.echem.campaign.schedule import Schedule, schedule
from poliqi.lab.onepage import Page, page_bytes


def protocol(*steps: Step, **more: object) -> Protocol:
    return Protocol("p", (Block(steps),), **more)  # type: ignore[arg-type]


def test_durations_follow_from_capacity_and_rate() -> None:
    steps = (
        Step(StepKind.CHARGE, c_rate=0.5, voltage_v=4.2),
        Step(StepKind.HOLD, hours=1.0, voltage_v=4.2),
        Step(StepKind.DISCHARGE, current_a=0.01, of_capacity=0.5, voltage_v=2.5),
    )
    assert predicted_s(Protocol("p", (Block(steps, 3),), repeat=2), 0.04) == pytest.approx(6 * (2 + 1 + 2) * HOUR)
    need = need_of(protocol(*steps), 0.04)
    assert (need.current_a, need.low_v, need.high_v, need.impedance) == (0.02, 2.5, 4.2, False)


def test_a_time_limit_shortens_a_charge() -> None:
    step = Step(StepKind.CHARGE, c_rate=0.1, hours=3.0)
    assert predicted_s(protocol(step), 1.0) == 3 * HOUR


def test_a_spectrum_takes_the_sum_of_its_periods() -> None:
    sweep = Sweep(1e4, 1e-2, 10, 2.0)
    whole = 2 * sum(1 / f for f in np.logspace(4, -2, 61))
    assert predicted_s(protocol(Step(StepKind.EIS, sweep=sweep)), 1.0) == pytest.approx(whole)
    assert need_of(protocol(Step(StepKind.EIS, sweep=sweep)), 1.0).impedance


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (Step(StepKind.CHARGE), "one of c_rate and current_a"),
        (Step(StepKind.CHARGE, c_rate=1.0, current_a=1.0), "one of c_rate and current_a"),
        (Step(StepKind.DISCHARGE, c_rate=-1.0), "a current above 0"),
        (Step(StepKind.CHARGE, c_rate=1.0, of_capacity=2.0), "at most 1.5"),
        (Step(StepKind.HOLD, voltage_v=4.2), "state its hours"),
        (Step(StepKind.REST, hours=-1.0), "above 0"),
        (Step(StepKind.REST, hours=math.inf), "above 0"),
        (Step(StepKind.EIS), "from_hz"),
        (Step(StepKind.EIS, sweep=Sweep(0.0, 1.0, 10, 1.0)), "above 0"),
        (Step(StepKind.EIS, sweep=Sweep(1e9, 1e-9, 1000, 1.0)), "at most 10000"),
        (Step(StepKind.REST, hours=1e6), "ten years"),
    ],
)
def test_what_cannot_be_predicted_is_refused(step: Step, words: str) -> None:
    with pytest.raises(DataRefused, match=words):
        predicted_s(protocol(step), 1.0)


@pytest.mark.parametrize(
    ("step", "lack"),
    [
        (Step(StepKind.CHARGE, current_a=9.0), "9 A is above its 5 A"),
        (Step(StepKind.CHARGE, c_rate=1.0, voltage_v=5.5), "5.5 V is above its 5 V"),
        (Step(StepKind.HOLD, hours=1.0, voltage_v=-0.1), "-0.1 V is below its 0 V"),
        (Step(StepKind.EIS, sweep=Sweep(10.0, 1.0, 5, 1.0)), "measures no impedance"),
    ],
)
def test_what_no_channel_can_do_names_cell_protocol_and_limit(step: Step, lack: str) -> None:
    plan = campaign([channel("c1")], [Cell("x", 1.0, (protocol(step),))])
    with pytest.raises(DataRefused, match=f"cell 'x', protocol 'p': .*channel c1: {lack}"):
        schedule(plan)


def test_a_temperature_needs_a_chamber_or_a_stated_room() -> None:
    warm = [Cell("x", 1.0, (rest("p", 1.0, temperature_c=25.0),))]
    with pytest.raises(DataRefused, match="temperature is not stated"):
        schedule(campaign([channel("c")], warm))
    with pytest.raises(DataRefused, match="stands at 20 degC"):
        schedule(campaign([channel("c", room_c=20.0)], warm))
    with pytest.raises(DataRefused, match="from 30 to 60 degC"):
        schedule(campaign([channel("c", chamber="o")], warm, chambers=(Chamber("o", 30.0, 60.0),)))
    assert not faults(schedule(campaign([channel("c", room_c=25.0)], warm)))


def test_one_chamber_has_one_temperature_at_a_time() -> None:
    channels = [channel(f"c{at}", chamber="oven") for at in range(4)]
    cells = [
        Cell(f"x{at}", 1.0, (rest("p", 2.0, temperature_c=25.0 + 20 * (at % 2)),), priority=1 + at)
        for at in range(8)
    ]
    made = schedule(campaign(channels, cells, chambers=(Chamber("oven", 20.0, 60.0, 1800),)))
    assert faults(made) == []
    assert made.end_s == START + 4.5 * HOUR  # four at once, the change, the other four


def test_blocked_spans_are_kept_free() -> None:
    made = schedule(campaign([channel("c", (2, 3))], [cell("a", 1.5), cell("b", 2.0)]))
    assert faults(made) == []
    assert sorted((one.begin_s - START) / HOUR for one in made.placed) == [0.0, 3.0]
    assert made.gap == 0


def test_protocols_keep_their_order_and_a_cell_may_stay_on_its_channel() -> None:
    channels = [channel("c1", changeover_s=600), channel("c2", changeover_s=600)]
    cells = [cell(f"x{at}", 1.0, 2.0, 0.5, same_channel=True) for at in range(5)]
    made = schedule(campaign(channels, cells))
    assert faults(made) == []
    follow = [one for one in made.placed if one.job.order]
    assert all(one.mount_s == one.begin_s for one in follow)  # the cell is on its channel already


def test_the_more_urgent_goes_first_and_lateness_is_told() -> None:
    urgent = cell("urgent", 4.0, priority=1)
    late = cell("late", 3.0, priority=2, deadline_s=START + 5 * HOUR)
    made = schedule(campaign([channel("c")], [late, urgent]))
    assert [made.campaign.cells[one.job.cell].name for one in made.placed] == ["urgent", "late"]
    assert made.late() == [("late", 2 * HOUR)]


def test_slack_decides_between_deadlines() -> None:
    cells = [
        cell("long", 6.0),
        cell("due", 1.0, deadline_s=START + HOUR),
        cell("also", 2.0, deadline_s=START + 3 * HOUR),
    ]
    made = schedule(campaign([channel("c")], cells))
    assert made.late() == []


def test_what_does_not_fit_before_the_horizon_is_told() -> None:
    plan = campaign([channel("c", (3, 4))], [cell("a", 4.0, 1.0), cell("b", 2.0)], horizon_s=START + 7 * HOUR)
    made = schedule(plan)
    assert [(job.cell, job.order) for job in made.unplaced] == [(0, 0), (0, 1)]
    assert len(made.placed) == 1


def test_cells_wait_until_they_are_ready() -> None:
    made = schedule(campaign([channel("c")], [cell("a", 1.0, ready_s=START + 5 * HOUR), cell("b", 2.0)]))
    assert faults(made) == []
    assert made.end_s == made.bound_s == START + 6 * HOUR


def optimum_h(hours: list[int], channels: int, blocked: list[list[int]], horizon: int) -> int:
    """The shortest campaign of single tests, exactly: x[job, channel, begin] by HiGHS."""
    solver = highspy.Highs()
    solver.silent()
    free = [
        (job, on, begin)
        for job, on, begin in product(range(len(hours)), range(channels), range(horizon))
        if begin + hours[job] <= horizon and not any(begin <= at < begin + hours[job] for at in blocked[on])
    ]
    x = {one: solver.addBinary() for one in free}
    end = solver.addVariable(0, horizon)
    for job, long in enumerate(hours):
        mine = [one for one in free if one[0] == job]
        solver.addConstr(sum(x[one] for one in mine) == 1)
        solver.addConstr(sum((one[2] + long) * x[one] for one in mine) <= end)
    for on, at in product(range(channels), range(horizon)):
        over = [one for one in free if one[1] == on and one[2] <= at < one[2] + hours[one[0]]]
        if over:
            solver.addConstr(sum(x[one] for one in over) <= 1)
    solver.minimize(end)
    return round(solver.getObjectiveValue())


@pytest.mark.parametrize("seed", range(6))
def test_small_campaigns_lie_between_bound_and_a_tenth_above_the_optimum(seed: int) -> None:
    draw = np.random.default_rng(seed)
    hours = draw.integers(1, 5, 6).tolist()
    blocked = [sorted({int(at) for at in draw.integers(0, 10, 2)}) for _ in range(2)]
    channels = [channel(f"c{on}", *((at, at + 1) for at in taken)) for on, taken in enumerate(blocked)]
    made = schedule(campaign(channels, [cell(f"x{at}", long) for at, long in enumerate(hours)]))
    best = optimum_h(hours, 2, blocked, 18)
    assert faults(made) == []
    assert made.bound_s <= START + best * HOUR <= made.end_s
    assert (made.end_s - START) / HOUR <= 1.1 * best


def test_a_thousand_cells_are_planned_within_three_percent_of_the_bound() -> None:
    draw = np.random.default_rng(4)
    kinds = [[rest(f"{at}-{k}", base * k) for k in (1.0, 1.4, 2.0)] for at, base in enumerate((20.0, 6.0, 60.0))]
    cells = [Cell(f"x{at}", 1.0, tuple(kind[int(draw.integers(3))] for kind in kinds)) for at in range(1000)]
    made = schedule(campaign([channel(f"c{at}", changeover_s=600) for at in range(32)], cells), tries=1)
    assert faults(made) == []
    assert made.gap < 0.03


def example() -> Schedule:
    plan = campaign([channel("c1", (1, 2)), channel("c,2;")], [cell("à" * 40, 1.0, 2.0), cell("b", 3.0)])
    return schedule(replace(plan, title="Batch, 7; \\x"))


def test_the_table_has_a_row_each_test() -> None:
    made = example()
    head, *rows = csv.reader(io.StringIO(schedule_csv(made).decode()))
    assert head[0] == "Channel"
    assert len(rows) == 3
    assert {row[4] for row in rows} >= {"2025-12-01T00:00:00Z"}


def test_the_calendar_is_one_of_rfc_5545() -> None:
    data = schedule_ics(example(), START)
    lines = data.split(b"\r\n")
    assert lines[0] == b"BEGIN:VCALENDAR"
    assert lines[-2:] == [b"END:VCALENDAR", b""]
    assert all(len(line) <= 75 for line in lines)
    assert not any(b"\n" in line for line in lines)
    whole = data.replace(b"\r\n ", b"").decode().split("\r\n")
    assert whole.count("BEGIN:VEVENT") == whole.count("END:VEVENT") == 3
    assert f"SUMMARY:{'à' * 40}: p0" in whole
    assert "LOCATION:c\\,2\\;" in whole
    assert len({line for line in whole if line.startswith("UID:")}) == 3
    assert "DTSTART:20251201T000000Z" in whole


def uids(title: str, *cells: Cell) -> list[str]:
    made = schedule(replace(campaign([channel("c")], cells), title=title))
    return [line for line in schedule_ics(made, START).decode().split("\r\n") if line.startswith("UID:")]


def test_an_event_keeps_its_name_when_the_campaign_is_planned_anew_and_has_it_alone() -> None:
    first = uids("batch 7", cell("a", 1.0, 2.0))
    later = uids("batch 7", cell("z", 5.0, priority=-1), cell("a", 1.0, 2.0))
    assert len(set(first)) == 2
    assert set(first) < set(later)
    assert not set(first) & set(uids("batch 8", cell("a", 1.0, 2.0)))


def test_use_counts_free_time_alone() -> None:
    made = schedule(campaign([channel("c1", (1, 2))], [cell("a", 1.0), cell("b", 2.0)]))
    (use,) = channel_use(made)
    assert (use.busy_s, use.available_s, use.share) == (3 * HOUR, 3 * HOUR, 1.0)
    assert schedule_record(made)["gap"] == 0.0


def test_the_chart_is_drawn_whatever_the_names() -> None:
    made = example()
    page = page_bytes(Page("t", panels=gantt_panels(made)), ".html")
    assert page.count(b"<figure class=wide><svg") == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"channels": (channel("a"), channel("a"))}, "two channels"),
        ({"cells": (cell("x", 1.0), cell("x", 1.0))}, "two cells"),
        ({"channels": ()}, "at least one channel"),
        ({"margin": -0.1}, "margin"),
        ({"channels": (channel("a", (3, 2)),)}, "ends before it begins"),
        ({"channels": (channel("a", chamber="nowhere"),)}, "no chamber"),
        ({"cells": (Cell("x", 1.0, ()),)}, "no protocol"),
        ({"cells": (Cell("x", 0.0, (rest("p", 1.0),)),)}, "cell 'x': capacity"),
    ],
)
def test_campaigns_that_cannot_be_are_refused(change: dict[str, object], words: str) -> None:
    plan = campaign([channel("c")], [cell("y", 1.0)])
    with pytest.raises(DataRefused, match=words):
        replace(plan, **change)  # type: ignore[arg-type]
