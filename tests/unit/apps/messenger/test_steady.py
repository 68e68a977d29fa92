"""Constant rate: what can be seen on the wire is the same whether somebody writes or not."""

from __future__ import annotations

import itertools
from pathlib import Path

import msgspec
import pytest
from sealed_talk import Town, application

from bench.played_keys import PlayedSite
from poliqi.apps.envelope.pads import PadSource
from poliqi.apps.envelope.rule import PadRule
from poliqi.apps.keygrade import GradeDemand
from poliqi.apps.messenger.delivery import Postman
from poliqi.apps.messenger.letter import HEAD_BYTES
from poliqi.apps.messenger.mailbox import Mailbox, State
from poliqi.apps.messenger.service import MessageService, open_mailbox
from poliqi.apps.messenger.steady import Rate, Steady, Tick
from poliqi.base.errors import LinkDown
from poliqi.base.ids import SaeId
from poliqi.edge.entropy import OperatingSystemEntropy

BRUNO = SaeId("bruno")
RULE = PadRule(GradeDemand(), is_hybrid=True)
SYSTEM = OperatingSystemEntropy()


class Clock:
    """Time that passes only while somebody waits."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.left = 0

    def __call__(self) -> float:
        return self.now_s

    def wait(self, seconds: float) -> bool:
        self.now_s += seconds
        self.left -= 1
        return self.left >= 0


class Line:
    """Anna writes to Bruno at a constant rate; `seen` is (time, who, length of each part) of all on the wire."""

    def __init__(self, folder: Path, rate: Rate, site: PlayedSite | None = None) -> None:
        self.town, self.clock = Town(site), Clock()
        self.boxes: dict[str, Mailbox] = {}
        settings = {n: application(n, folder / n, [o]) for n, o in (("anna", "bruno"), ("bruno", "anna"))}
        for name, each in settings.items():
            self.boxes[name] = open_mailbox(each, SYSTEM, itertools.count().__next__)
            self.town.services[name] = MessageService(each, self.boxes[name], self.town.keys(name))
        self.seen: list[tuple[float, str, tuple[int, ...]]] = []
        self.town.wire.change = self._see
        postman = Postman(settings["anna"], self.boxes["anna"], self.town.keys("anna"), self.town.dial("anna"))
        peer = settings["anna"].peers[BRUNO]
        self.steady = Steady(postman, self.boxes["anna"], peer, rate, self.clock, self.clock.wait)

    def _see(self, who: str, data: bytes) -> bytes:
        parts = msgspec.msgpack.decode(data)
        self.seen.append((self.clock.now_s, who, (len(data), *(len(p) for p in parts if not isinstance(p, int)))))
        return data

    def run(self, ticks: int, words: dict[int, str]) -> list[Tick]:
        """So many ticks, with something written before some of them."""
        self.clock.left = ticks
        found: list[Tick] = []
        for number, tick in enumerate(self.steady.run()):
            found.append(tick)
            if number + 1 in words:
                self.boxes["anna"].write(BRUNO, words[number + 1])
        return found


def test_the_wire_is_the_same_whatever_is_written(tmp_path: Path):
    rate = Rate(1.0, 512)
    quiet = Line(tmp_path / "quiet", rate)
    quiet.run(12, {})
    busy = Line(tmp_path / "busy", rate)
    ticks = busy.run(12, {1: "a", 2: "b" * rate.text_most, 3: "c", 4: "d", 9: "e"})
    assert quiet.seen == busy.seen
    assert [t for t, who, _ in busy.seen if who == "anna"] == [101.0 + i for i in range(12)]
    assert [tick.was_letter for tick in ticks] == [i in (1, 2, 3, 4, 9) for i in range(12)]
    assert [m.text for m in busy.boxes["bruno"].messages()] == ["a", "b" * 459, "c", "d", "e"]


def test_dummies_leave_no_message(tmp_path: Path):
    line = Line(tmp_path, Rate(0.5, 256))
    line.run(5, {})
    assert line.boxes["bruno"].messages() == []


def test_what_is_too_long_waits_and_says_so(tmp_path: Path):
    line = Line(tmp_path, Rate(1.0, 256))
    line.boxes["anna"].write(BRUNO, "x" * (256 - HEAD_BYTES + 1))
    line.run(3, {})
    [message] = line.boxes["anna"].messages()
    assert message.state is State.WAITING and "203 bytes that fit" in message.why


@pytest.mark.parametrize(
    ("rate", "day_bytes"),
    [
        # 512 + 16 + 2 * 32 bytes a second, and 32 that a second key loses; 256 + 80 every ten minutes
        (Rate(1.0, 512), 624 * 86400),
        (Rate(600.0, 256), 336 * 144),
    ],
)
def test_the_key_a_day_is_told_beforehand(rate: Rate, day_bytes: float):
    assert rate.day_bytes(key_of(rate, PlayedSite())) == day_bytes


def key_of(rate: Rate, site: PlayedSite) -> int:
    return PadSource(site.keys("anna"), BRUNO, RULE).outlook((rate.pad_bytes, 1)).needed_bytes


def test_the_key_that_is_told_is_the_key_that_is_used(tmp_path: Path):
    line = Line(tmp_path, Rate(1.0, 512), PlayedSite(stock_bytes=1 << 20))
    line.run(10, {3: "hello"})
    # 592 bytes in two keys of 312
    assert (1 << 20) - line.town.site.stock_bytes == 10 * 624 == 10 * key_of(Rate(1.0, 512), line.town.site)


def test_missing_key_stops_the_wire_for_a_while_and_loses_nothing(tmp_path: Path):
    line = Line(tmp_path, Rate(1.0, 512), PlayedSite(stock_bytes=3 * 624, rate_bps=8 * 624))
    line.boxes["anna"].write(BRUNO, "one")
    ticks = line.run(4, {3: "two"})
    assert "left" in ticks[3].why
    line.town.site.stock_bytes = 1 << 20
    line.run(1, {})
    assert [m.text for m in line.boxes["bruno"].messages()] == ["one", "two"]


def test_a_lost_stream_is_opened_again_on_schedule(tmp_path: Path):
    line = Line(tmp_path, Rate(1.0, 512))
    see, cuts = line.town.wire.change, iter([False, True])

    def cut(who: str, data: bytes) -> bytes:
        if who == "anna" and next(cuts, False):
            raise LinkDown("cut")
        return see(who, data)

    line.town.wire.change = cut
    line.boxes["anna"].write(BRUNO, "one")
    ticks = line.run(4, {1: "two"})
    assert [t.why for t in ticks] == ["", "cut", "", ""]
    assert [t for t, who, _ in line.seen if who == "anna"] == [101.0, 107.0, 108.0]
    assert [m.text for m in line.boxes["bruno"].messages()] == ["one", "two"]
