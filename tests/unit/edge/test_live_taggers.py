"""Drivers of live taggers, over fake modules with the vendors' names: no hardware was at hand."""

from __future__ import annotations

import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.edge.qutag import QutagTags
from poliqi.edge.swabian import SwabianTags
from poliqi.link.timetags.tags import Channel, Meaning, Tagging

MEANINGS = (Meaning.KEY_0, Meaning.KEY_1, Meaning.TEST_0, Meaning.TEST_1)


def tagging(first: int) -> Tagging:
    named = tuple(Channel(first + i, meaning) for i, meaning in enumerate(MEANINGS))
    return Tagging(1e9, (*named, Channel(9, Meaning.UNUSED)))


class FakeSwabian:
    """createTimeTagger, TimeTagStream and freeTimeTagger, with buffers that the test fills."""

    def __init__(self) -> None:
        self.buffers: list[tuple[list[int], list[int], list[int]]] = []
        self.levels: dict[int, float] = {}
        self.freed = self.stopped = 0
        self.asked: list[int] = []

    def createTimeTagger(self, serial: str) -> object:  # noqa: N802  # the vendor's name
        if serial == "absent":
            raise RuntimeError("no Time Tagger with this serial number")
        return SimpleNamespace(setTriggerLevel=self.levels.__setitem__)

    def TimeTagStream(self, _tagger: object, _size: int, channels: list[int]) -> object:  # noqa: N802
        self.asked = channels

        def data() -> object:
            times, inputs, kinds = self.buffers.pop(0) if self.buffers else ([], [], [])
            return SimpleNamespace(
                size=len(times),
                getTimestamps=lambda: np.array(times, np.int64),
                getChannels=lambda: np.array(inputs, np.int32),
                getEventTypes=lambda: np.array(kinds, np.int32),
            )

        return SimpleNamespace(getData=data, stop=lambda: setattr(self, "stopped", self.stopped + 1))

    def freeTimeTagger(self, _tagger: object) -> None:  # noqa: N802
        self.freed += 1


class FakeQutag:
    """The wrapper's QuTAG class."""

    def __init__(self) -> None:
        self.buffers: list[tuple[list[int], list[int]]] = []
        self.lost = 0
        self.conditioning: list[tuple[object, ...]] = []
        self.closed = 0
        self.timebase = 1e-12

    def QuTAG(self) -> FakeQutag:  # noqa: N802
        return self

    def enableChannels(self, channels: list[int]) -> None:  # noqa: N802
        self.channels = channels

    def setSignalConditioning(self, *words: object) -> None:  # noqa: N802
        self.conditioning.append(words)

    def setBufferSize(self, size: int) -> None:  # noqa: N802
        self.size = size

    def getTimebase(self) -> float:  # noqa: N802
        return self.timebase

    def getLastTimestamps(self, _reset: bool) -> tuple[list[int], list[int], int]:  # noqa: N802
        times, inputs = self.buffers.pop(0) if self.buffers else ([], [])
        room = [0] * 5  # the wrapper hands out its whole ring
        return times + room, inputs + room, len(times)

    def getDataLost(self) -> int:  # noqa: N802
        return self.lost

    def deInitialize(self) -> None:  # noqa: N802
        self.closed += 1


@pytest.fixture
def swabian(monkeypatch: pytest.MonkeyPatch) -> FakeSwabian:
    fake = FakeSwabian()
    monkeypatch.setitem(sys.modules, "TimeTagger", fake)
    return fake


@pytest.fixture
def qutag(monkeypatch: pytest.MonkeyPatch) -> FakeQutag:
    fake = FakeQutag()
    monkeypatch.setitem(sys.modules, "QuTAG", fake)
    return fake


def test_a_time_tagger_gives_chunks_of_tags(swabian: FakeSwabian) -> None:
    source = SwabianTags(tagging(1), trigger_v={2: 0.25})
    swabian.buffers = [([], [], []), ([10, 20], [1, 4], [0, 0]), ([20, 35], [2, 3], [0, 0])]
    first, second = source.read(), source.read()
    assert (first.times_ps.tolist(), first.channels.tolist()) == ([10, 20], [1, 4])
    assert (second.times_ps.tolist(), second.channels.tolist()) == ([20, 35], [2, 3])
    assert swabian.asked == [1, 2, 3, 4]
    assert swabian.levels == {2: 0.25}
    source.close()
    source.close()
    assert (source.read(), swabian.freed, swabian.stopped) == (None, 1, 1)


@pytest.mark.parametrize(
    ("kind", "says"), [(1, "error of its clock"), (2, "overflow"), (4, "missed tags"), (9, "kind 9")]
)
def test_lost_tags_are_named(swabian: FakeSwabian, kind: int, says: str) -> None:
    source = SwabianTags(tagging(1))
    swabian.buffers = [([10, 20, 30], [1, 0, 2], [0, kind, 0])]
    with pytest.raises(DataRefused, match=f"{says}.* at 20 ps"):
        source.read()


def test_tags_out_of_order_are_refused(swabian: FakeSwabian) -> None:
    source = SwabianTags(tagging(1))
    swabian.buffers = [([10, 50], [1, 1], [0, 0]), ([40], [1], [0])]
    source.read()
    with pytest.raises(DataRefused, match="tag 2 is at 40 ps after one at 50 ps"):
        source.read()


def test_a_read_that_waits_ends_when_the_source_is_closed(swabian: FakeSwabian) -> None:
    source = SwabianTags(tagging(1))
    answers: list[object] = []
    waiting = threading.Thread(target=lambda: answers.append(source.read()))
    waiting.start()
    source.close()
    waiting.join(10)
    assert answers == [None]
    assert swabian.freed == 1


def test_inputs_of_a_time_tagger_start_at_one(swabian: FakeSwabian) -> None:
    with pytest.raises(ConfigError, match="input 0 does not exist"):
        SwabianTags(tagging(0))


def test_an_absent_instrument_is_named(swabian: FakeSwabian) -> None:
    with pytest.raises(ConfigError, match="absent: no Time Tagger"):
        SwabianTags(tagging(1), serial="absent")


def test_a_qutag_gives_chunks_of_tags(qutag: FakeQutag) -> None:
    source = QutagTags(tagging(0), trigger_v={1: 0.1})
    qutag.buffers = [([], []), ([5, 9, 12], [0, 104, 3]), ([12], [1])]
    first, second = source.read(), source.read()
    assert (first.times_ps.tolist(), first.channels.tolist()) == ([5, 12], [0, 3])
    assert (second.times_ps.tolist(), second.channels.tolist()) == ([12], [1])
    assert qutag.channels == [0, 1, 2, 3]
    assert qutag.conditioning == [(1, 3, 1, 0.1)]
    source.close()
    assert (source.read(), qutag.closed) == (None, 1)


def test_a_qutag_counts_in_its_own_unit(qutag: FakeQutag) -> None:
    qutag.timebase = 80.955e-12  # a quTAU's
    source = QutagTags(tagging(0))
    qutag.buffers = [([1, 1000, 10**12], [0, 1, 2])]
    assert source.read().times_ps.tolist() == [80, 80955, 80955 * 10**9]


def test_lost_tags_of_a_qutag_are_named(qutag: FakeQutag) -> None:
    source = QutagTags(tagging(0))
    qutag.lost = 1
    with pytest.raises(DataRefused, match="tags were lost"):
        source.read()


def test_an_impossible_time_base_is_refused(qutag: FakeQutag) -> None:
    qutag.timebase = 0.0
    with pytest.raises(ConfigError, match="time base of 0 s"):
        QutagTags(tagging(0))


@pytest.mark.parametrize("driver", [SwabianTags, QutagTags])
def test_a_missing_module_is_named_with_its_remedy(driver: type, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TimeTagger", "Swabian.TimeTagger", "QuTAG", "QuTAG_MC", "QuTAG_HR", "qutag"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError, match=r"is not installed; (install|put)"):
        driver(tagging(1))
