"""The month report's page: which month, what was promised, what was kept."""

from __future__ import annotations

import asyncio
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from poliqi.base.errors import PoliqiError
from poliqi.control.reporttext import WORDS, ReportTable, report_tables
from poliqi.control.servicelevel import MonthReport, ServiceLine
from poliqi.ops.web.scene import Level, Scene
from poliqi.ops.web.source import CitySource
from poliqi.ops.web.speaker import Quantity

__all__ = ["MonthName", "Reports", "month_page"]

_NAME: Final = re.compile(r"(2[0-9]{3})-(0[1-9]|1[0-2])")
_FRESH_S: Final = 60.0
_KEPT: Final = 13


@dataclass(frozen=True, slots=True)
class MonthName:
    """A month of the calendar, UTC."""

    year: int
    month: int

    @classmethod
    def read(cls, text: str, now_unix_s: float) -> MonthName | None:
        """From "2026-11"; the present one for nothing; None for anything else."""
        if not text:
            today = time.gmtime(now_unix_s)
            return cls(today.tm_year, today.tm_mon)
        found = _NAME.fullmatch(text)
        return None if found is None else cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.month:02d}"

    def moved(self, months: int) -> MonthName:
        """So many months later."""
        whole = self.year * 12 + self.month - 1 + months
        return MonthName(whole // 12, whole % 12 + 1)


class Reports:
    """Reports as they were made within the last minute: each costs the reading of a month's log."""

    def __init__(self, source: CitySource, wall: Callable[[], float], complain: Callable[[str], None]) -> None:
        self._source: Final = source
        self._wall: Final = wall
        self._complain: Final = complain
        self._made: Final[OrderedDict[MonthName, tuple[float, MonthReport | None]]] = OrderedDict()
        self._one_at_a_time: Final = asyncio.Lock()

    async def of(self, name: MonthName) -> MonthReport | None:
        """The report of a month; None where nothing of it is recorded."""
        async with self._one_at_a_time:
            made = self._made.get(name)
            if made is None or not 0.0 <= self._wall() - made[0] < _FRESH_S:
                made = self._made[name] = (self._wall(), await self._make(name))
                if len(self._made) > _KEPT:
                    self._made.popitem(last=False)
            return made[1]

    async def _make(self, name: MonthName) -> MonthReport | None:
        try:
            return await self._source.report(name.year, name.month)
        except PoliqiError as error:
            self._complain(f"no report of {name}: {error}")
            return None


def month_page(scene: Scene, name: MonthName, found: MonthReport | None) -> dict[str, Any]:
    """What the template is filled with."""

    def named(month: MonthName) -> tuple[str, str]:
        return str(month), f"{scene.say(f'month.m{month.month}')} {month.year}"

    is_present = name == MonthName.read("", scene.now_unix_s)
    page: dict[str, Any] = {
        "found": found,
        "heading": named(name)[1],
        "before": named(name.moved(-1)),
        "after": None if is_present else named(name.moved(1)),
    }
    if found is None:
        return page
    met = [found.is_met(line) for line in found.demands]
    return page | {
        "headline": _headline(scene, found, met),
        "verdict": _level(False if False in met else None if None in met or not met else True),
        "demands": [_demand(scene, found, line) for line in found.demands],
        "tables": _tables(scene, found),
    }


def _headline(scene: Scene, report: MonthReport, met: list[bool | None]) -> str:
    """How many demands had what was promised; where none is known to have missed it, how many are open."""
    promised, unknown = scene.say.percent(report.target, 2), met.count(None)
    if unknown and False not in met:
        return scene.say("report.verdict_open", unknown=unknown, of=len(met), promised=promised)
    return scene.say("report.verdict", kept=met.count(True), of=len(met), promised=promised)


def _level(is_met: bool | None) -> Level:
    return Level.OFF if is_met is None else Level.GOOD if is_met else Level.BAD


def _demand(scene: Scene, report: MonthReport, line: ServiceLine) -> dict[str, Any]:
    """One row."""
    plan, is_met = scene.view.city.demand.get(line.name), report.is_met(line)

    def mean(bits: float) -> Quantity:
        return scene.say.rate(bits / line.seen_s if line.seen_s else None)

    return {
        "name": line.name,
        "title": scene.pair_name(plan.ends) if plan else line.name,
        "level": _level(is_met),
        "word": scene.say("report.unknown" if is_met is None else "report.kept" if is_met else "report.broken"),
        "availability": scene.say.percent(line.availability, 3),
        "planned": scene.say.lasting(line.planned_s / 3600.0),
        "wanted": mean(line.wanted_bits),
        "granted": mean(line.granted_bits),
        "delivered": mean(line.delivered_bits),
    }


def _tables(scene: Scene, report: MonthReport) -> list[ReportTable]:
    """Outages and what nobody saw."""
    titles = {*WORDS["outages"], *WORDS["gaps"]}
    return [table for table in report_tables(report, scene.say.language) if table.title in titles]
