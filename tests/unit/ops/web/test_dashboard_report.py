"""The month report: what was promised beside what was kept, in both languages, month by month."""

from __future__ import annotations

from dataclasses import replace

import pytest
from dashboard_rig import Rig, parsed

from bench.citymodel import sample_month
from poliqi.base.errors import StoreError
from poliqi.control.servicelevel import ServiceLine
from poliqi.ops.web.month import MonthName


@pytest.fixture
def rig() -> Rig:
    rig = Rig()
    rig.clock[0] = 1_795_608_000.0  # 25 November 2026, noon in UTC
    rig.city.months[2026, 11] = sample_month(rig.city.city, 2026, 11)
    return rig


def test_the_present_month_is_shown_with_its_verdict(rig: Rig) -> None:
    english, italian = (parsed(rig.ask("/report", headers={"accept-language": x}).text).text for x in ("en", "it"))
    assert "Month report Nov 2026" in english
    assert "9 of 10 demands had the promised service" in english
    assert "Rapporto mensile nov 2026" in italian
    assert "9 richieste su 10" in italian


def test_a_demand_that_was_let_down_stands_out_with_its_outage(rig: Rig) -> None:
    text = parsed(rig.ask("/report").text).text
    assert text.count("not kept") == 1
    assert "leonardo-aria not kept 99.792 %" in text  # an hour and a half of thirty days
    assert "leonardo-bovisa: no light" in text


def test_what_is_not_known_is_not_called_kept(rig: Rig) -> None:
    month = rig.city.months[2026, 11]
    nothing = tuple(ServiceLine(d.name) for d in month.demands)
    rig.city.months[2026, 11] = replace(month, demands=nothing)
    page = parsed(rig.ask("/report").text)
    assert "No demand is known to have missed the promised" in page.text
    assert "of 10 of 10 it cannot be said" in page.text
    assert "0 of 10 demands" not in page.text
    assert page.all("p", lambda a: a.get("class") == "verdict off")
    assert page.text.count("cannot be said") == 11
    italian = parsed(rig.ask("/report", headers={"accept-language": "it"}).text).text
    assert "per 10 su 10 non è determinabile" in italian


def test_one_demand_of_which_nothing_is_known_keeps_the_month_open(rig: Rig) -> None:
    month = rig.city.months[2026, 11]
    known = [line for line in month.demands if month.is_met(line)]
    rig.city.months[2026, 11] = replace(month, demands=(*known, ServiceLine("leonardo-aria")))
    page = parsed(rig.ask("/report").text)
    assert "of 1 of 10 it cannot be said" in page.text
    assert page.all("p", lambda a: a.get("class") == "verdict off")


def test_what_else_was_going_on_is_not_called_a_cause(rig: Rig) -> None:
    english, italian = (parsed(rig.ask("/report", headers={"accept-language": x}).text).text for x in ("en", "it"))
    assert "length meanwhile" in english
    assert "durata nel frattempo" in italian


def test_months_lead_to_their_neighbours(rig: Rig) -> None:
    links = [a["href"] for a in parsed(rig.ask("/report?month=2026-01").text).all("a") if "month=" in a["href"]]
    assert [x for x in links if "report%3F" not in x] == [
        "/report?month=2025-12",
        "/report?month=2026-02",
        "/api/report?month=2026-01",
    ]
    assert "/report?month=2026-12" not in rig.ask("/report").text


def test_a_month_without_a_record_says_so(rig: Rig) -> None:
    assert "Nothing is recorded of this month." in rig.ask("/report?month=2025-03").text
    assert rig.ask("/api/report?month=2025-03").status_code == 404


@pytest.mark.parametrize("month", ["2026-13", "2026-00", "26-11", "2026-11-01", "x", "٢٠٢٦-11", "../.."])
def test_what_is_no_month_is_not_found(rig: Rig, month: str) -> None:
    assert rig.ask("/report", params={"month": month}).status_code == 404
    assert rig.ask("/api/report", params={"month": month}).status_code == 404


def test_the_report_as_an_object(rig: Rig) -> None:
    found = rig.ask("/api/report").json()
    assert found["target"] == 0.999
    assert [d["is_met"] for d in found["demands"]].count(False) == 1
    assert len(found["links"]) == 5


def test_a_log_that_cannot_be_read_is_no_report_and_is_complained_of(rig: Rig) -> None:
    async def report(year: int, month: int) -> None:
        raise StoreError("city-2026-11.log: cannot be read")

    rig.city.report = report  # type: ignore[method-assign]
    assert "Nothing is recorded of this month." in rig.ask("/report").text
    assert rig.complaints == ["no report of 2026-11: city-2026-11.log: cannot be read"]


def test_a_log_is_not_read_anew_for_every_reader(rig: Rig) -> None:
    for _ in range(3):
        rig.ask("/report")
    assert rig.city.reported == 1
    rig.clock[0] += 61.0
    rig.ask("/report")
    assert rig.city.reported == 2


@pytest.mark.parametrize(
    ("start", "by", "end"), [("2026-11", 1, "2026-12"), ("2026-12", 1, "2027-01"), ("2026-01", -1, "2025-12")]
)
def test_months_follow_each_other(start: str, by: int, end: str) -> None:
    name = MonthName.read(start, 0.0)
    assert name is not None
    assert str(name.moved(by)) == end
