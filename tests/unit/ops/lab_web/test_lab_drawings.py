"""Curves, provenance and weeks as drawn: where points, boxes and bookings lie; which pictures may be shown."""

from __future__ import annotations

import re
import sys
import time
from datetime import date
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from lab_pages_rig import CURVE, png, svg

from poliqi.lab.facility.localtime import day_s, instant
from poliqi.lab.facility.records import Slot, SlotState
from poliqi.lab.store.records import StoredFile
from poliqi.lab.xray.curve import Axis, Curve, IntensityUnit
from poliqi.ops.lab_web import curves, dataset
from poliqi.ops.lab_web.calendar import monday_of, week_of
from poliqi.ops.lab_web.curvechart import drawn_curve, scale_of, thinned
from poliqi.ops.lab_web.curves import curve_points
from poliqi.ops.lab_web.figures import figure_type
from poliqi.ops.lab_web.graph import HEIGHT, Node, drawn_graph, rows_of

# ---- curves


def test_a_power_law_is_a_straight_line_on_logarithmic_axes() -> None:
    points = [(10.0**n, 10.0 ** (-4 * n), 0.0) for n in range(-1, 3)]
    drawing = str(drawn_curve(points, ("q", "I"), "a", True, 640, 360, "x"))
    [line] = re.findall(r'class="line" d="([^"]+)"', drawing)
    at = [tuple(map(float, place.split())) for place in re.split("[ML]", line) if place]
    steps = np.array([(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(at)])
    assert np.all(np.ptp(steps, axis=0) <= 0.2), "each place is rounded to a tenth of a pixel"
    assert at[0][0] < at[-1][0]
    assert at[0][1] < at[-1][1], "intensity falls: further down"


@pytest.mark.parametrize(
    ("values", "is_log", "ticks"),
    [
        ([0.1, 1000.0], True, (0.1, 1.0, 10.0, 100.0, 1000.0)),
        ([2.0, 9.0], True, (2.0, 5.0)),
        ([0.0, 10.0], False, (0.0, 2.0, 4.0, 6.0, 8.0, 10.0)),
        ([5.0, 5.0], False, (2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0)),
        ([], True, (1.0,)),
        ([-1.0, float("nan"), float("inf")], True, (1.0,)),
    ],
)
def test_axes_have_round_numbers(values: list[float], is_log: bool, ticks: tuple[float, ...]) -> None:
    found = scale_of(values, is_log)
    assert np.allclose(found.ticks, ticks), found.ticks


def test_a_mean_of_neighbours_has_a_smaller_sigma() -> None:
    points = [(float(n), 10.0, 2.0) for n in range(1000)]
    few = thinned(points, 250)
    assert len(few) == 250
    assert few[0] == (1.5, 10.0, 1.0)


def test_a_curve_in_hdf5_is_read_by_a_child(tmp_path: Path) -> None:
    pytest.importorskip("h5py", reason="needs the extra 'xray'")
    from poliqi.lab.xray.nxcansas import write_curve

    x = np.linspace(0.1, 3.0, 40)
    path = tmp_path / "c.h5"
    write_curve(path, Curve(Axis.Q_PER_NM, x, 1.0 / x, 0.1 / x, IntensityUnit.PER_CM, title="c", simulated=True))
    found = curve_points(StoredFile("sub/c.h5", path.stat().st_size, "1" * 64), path)
    assert found is not None
    assert (found.axis, found.unit, found.is_simulated, len(found.points)) == (
        Axis.Q_PER_NM, IntensityUnit.PER_CM, True, 40,
    )  # fmt: skip
    assert found.points[-1] == pytest.approx((3.0, 1 / 3, 0.1 / 3))


def test_what_is_no_curve_is_none(tmp_path: Path) -> None:
    for number, (name, data) in enumerate(
        [
            ("a.csv", b"no numbers"),
            ("b.csv", b"1 2\n2 3\n"),
            ("c.h5", b"\x89HDF\r\n\x1a\n" + bytes(100)),
            ("d.txt", bytes(9)),
        ]
    ):
        path = tmp_path / name
        path.write_bytes(data)
        assert curve_points(StoredFile(name, len(data), f"{number:064d}"), path) is None, name


def test_a_reader_that_breaks_takes_nothing_down_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of the child: one that dies, one that says something else."""
    for number, code in enumerate(("import os; os.abort()", "print('[1, 2]')")):
        broken = tmp_path / f"python{number}"
        broken.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{code}"\n')
        broken.chmod(0o700)
        monkeypatch.setattr(sys, "executable", str(broken))
        path = tmp_path / "c.h5"
        path.write_bytes(b"x")
        assert curve_points(StoredFile("c.h5", 1, f"{number + 7:064d}"), path) is None
        monkeypatch.undo()


def test_a_table_of_text_is_a_curve(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text(CURVE)
    found = curve_points(StoredFile("c.csv", len(CURVE), "9" * 64), tmp_path / "c.csv")
    assert found is not None
    assert (found.axis, found.unit, found.is_simulated) == (Axis.Q_PER_NM, IntensityUnit.PER_CM, True)


def test_a_curve_that_must_be_waited_for_is_left_out_and_found_later(tmp_path: Path) -> None:
    pytest.importorskip("h5py", reason="needs the extra 'xray'")
    from poliqi.lab.xray.nxcansas import write_curve

    x, path = np.linspace(0.1, 3.0, 40), tmp_path / "c.h5"
    write_curve(path, Curve(Axis.Q_PER_NM, x, 1.0 / x, 0.1 / x, IntensityUnit.PER_CM, title="c", simulated=True))
    file = StoredFile("c.h5", path.stat().st_size, "8" * 64)
    with curves._reading:  # as another visitor's child does
        assert curve_points(file, path, time.monotonic()) is None
    assert curve_points(file, path, time.monotonic() + 60) is not None
    with curves._reading:  # what is known is waited for by nobody
        assert curve_points(file, path, time.monotonic()) is not None


def test_a_page_reads_the_first_files_that_may_be_curves_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a dataset holds, and however few of its files can be drawn."""
    asked: list[str] = []
    monkeypatch.setattr(dataset, "drawing_of", lambda file, *_: asked.append(file.path))
    files = [StoredFile(f"{n:04}.{'dat' if n % 2 else 'bin'}", 100, f"{n:064d}") for n in range(5000)]
    guest = SimpleNamespace(store=SimpleNamespace(file_path=lambda _: Path("x")))
    call: Any = SimpleNamespace(guest=guest, say=None)
    assert dataset._drawings(call, [dataset._Entry(n, file) for n, file in enumerate(files)]) == []
    assert asked == [f"{n:04}.dat" for n in range(1, 16, 2)]


def test_a_page_begins_no_file_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(dataset, "drawing_of", lambda file, *_: asked.append(file.path))
    monkeypatch.setattr(dataset, "_DRAWING_S", -1.0)
    guest = SimpleNamespace(store=SimpleNamespace(file_path=lambda _: Path("x")))
    call: Any = SimpleNamespace(guest=guest, say=None)
    dataset._drawings(call, [dataset._Entry(n, StoredFile(f"{n}.h5", 100, f"{n:064d}")) for n in range(5)])
    assert asked == ["0.h5"]


# ---- pictures


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (png(), "image/png"),
        (png(100_000, 100_000)[:60], None),
        (svg(), "image/svg+xml"),
        (b'<?xml version="1.0"?><!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "x">' + svg(), "image/svg+xml"),
        (b'<!DOCTYPE svg [<!ENTITY a "aa">]>' + svg("&a;"), None),
        (b'<!doctype svg [<!entity a "aa">]>' + svg("&a;"), None),
        (svg().decode().encode("utf-16"), None),
        (b"<html><script>alert(1)</script>", None),
        (b" " * 5000 + svg(), None),
        (svg() + b"\0", None),
        (b"GIF89a", None),
        (b"", None),
        (b"\x89PNG\r\n\x1a\n", None),
    ],
)
def test_only_what_is_a_picture_is_shown_as_one(data: bytes, kind: str | None) -> None:
    assert figure_type(data) == kind


# ---- provenance


def node(name: str, *above: str, style: str = "dataset") -> Node:
    return Node(name, style, "dataset", name, above)


def test_each_box_stands_below_all_that_it_comes_from() -> None:
    nodes = [node("d", "b", "c"), node("b", "a"), node("c"), node("a"), node("e", "d")]
    rows = rows_of(nodes)
    place = {n.id: number for number, row in enumerate(rows) for n in row}
    assert all(place[n.id] > place[a] for n in nodes for a in n.above)
    assert place["c"] == place["d"] - 1, "what has nothing above it stands right above what comes from it"


def test_a_circle_and_what_is_not_there_end() -> None:
    rows = rows_of([node("a", "b"), node("b", "a"), node("c", "c", "nowhere")])
    assert sorted(n.id for row in rows for n in row) == ["a", "b", "c"]


def test_titles_are_text_and_long_ones_are_cut() -> None:
    hostile = Node("x", "dataset", "Dataset", '</title><script>"&' + "x" * 50, href='/lab/"><b>')
    drawing = str(drawn_graph([hostile], "a", "simulated"))
    assert "<script>" not in drawing
    assert "<b>" not in drawing
    assert "…</text>" in drawing
    assert f'height="{HEIGHT}"' in drawing


# ---- weeks


def slot(begin: str, end: str, state: SlotState = SlotState.BUSY) -> Slot:
    return Slot(instant(begin), instant(end), state)


def test_a_booking_stands_in_the_hours_that_it_touches() -> None:
    week = week_of([slot("2026-09-22 09:15", "2026-09-22 11:30")], date(2026, 9, 21))
    [cell] = [cell for row in week.rows for cell in row if cell is not None and cell.state == "busy"]
    assert cell.hours == 3
    assert week.hours[next(n for n, row in enumerate(week.rows) if cell in row)] == 9
    assert sum(cell.hours for row in week.rows for cell in row if cell) == 7 * len(week.hours), (
        "no hole, no overlap"
    )


def test_a_night_makes_the_day_longer() -> None:
    week = week_of([slot("2026-09-22 22:30", "2026-09-23 02:00")], date(2026, 9, 21))
    assert (week.hours[0], week.hours[-1]) == (0, 23)


@pytest.mark.parametrize("monday", [date(2026, 3, 23), date(2026, 10, 19)])
def test_the_nights_when_clocks_change_have_their_hours(monday: date) -> None:
    """23 and 25 hours on those Sundays; the table has 24 rows on each day."""
    begin, end = day_s(monday), day_s(date.fromordinal(monday.toordinal() + 7))
    assert (end - begin) // 3600 in (167, 169)
    week = week_of([Slot(begin, end, SlotState.BUSY)], monday)
    assert len(week.hours) == 24
    assert sum(cell.hours for row in week.rows for cell in row if cell) == 168


@pytest.mark.parametrize(
    ("text", "monday"),
    [("2026-W39", "2026-09-21"), ("2026-W53", "2026-12-28"), ("2027-W53", "2026-11-23"), ("x", "2026-11-23")],
)
def test_a_week_has_its_monday(text: str, monday: str) -> None:
    """ISO 8601: 2026 has 53 weeks, 2027 has not; what there is not is this week."""
    assert monday_of(text, date(2026, 11, 25)) == date.fromisoformat(monday)
