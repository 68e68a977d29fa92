"""When the next key is due, what a failed question costs, how pad is used up, what is said beforehand."""

from __future__ import annotations

import numpy as np
import pytest
from stream_ends import FixedKeys

from bench.played_keys import PlayedSite
from poliqi.apps.keygrade import GradeDemand
from poliqi.apps.keysource import Key
from poliqi.apps.stream.needs import needed_bytes, not_ready, quantum_key_bytes, tag_epsilon
from poliqi.apps.stream.pads import KEPT_BYTES, Pad, PadDrawer
from poliqi.apps.stream.rekey import Budget, NextKey, Pause, judge
from poliqi.base.errors import ConfigError, LinkDown
from poliqi.base.ids import SaeId
from poliqi.base.secret import SecretBytes
from poliqi.edge.keyanswers import KeysNotReady

PEER = SaeId("callee")


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_a_key_is_worn_at_half_of_its_time_and_spent_at_the_end() -> None:
    clock = Clock()
    budget = Budget(1 << 30, 120.0, clock)
    budget.used_bytes = 1
    seen: list[tuple[bool, bool]] = []
    for step_s in (59.0, 2.0, 58.0, 2.0):
        clock.now_s += step_s
        seen.append((budget.is_worn(1), budget.is_spent(1)))
    assert seen == [(False, False), (True, False), (True, False), (True, True)]
    budget.renew()
    assert not budget.is_worn(1)


def test_a_key_that_did_nothing_yet_does_one_message_however_late() -> None:
    clock = Clock()
    budget = Budget(10, 120.0, clock)
    clock.now_s += 500.0
    assert not budget.is_spent(1000)


def test_a_site_that_has_no_key_yet_is_not_asked_at_every_message() -> None:
    clock = Clock()
    pause = Pause(clock)
    assert pause.is_over()
    pause.begin(KeysNotReady("none", 4.0))
    clock.now_s += 3.9
    assert not pause.is_over()
    clock.now_s += 0.2
    assert pause.is_over()
    pause.begin(KeysNotReady("none", 9999.0))
    clock.now_s += 30.1
    assert pause.is_over()


class Counting:
    """A source that never has a key."""

    def __init__(self) -> None:
        self.asked = 0
        self.supply = PlayedSite(stock_bytes=0).keys("caller").supply

    def fresh(self, peer: SaeId, number: int, size_bytes: int) -> list[Key]:
        self.asked += 1
        raise KeysNotReady(f"{number} of {size_bytes} bytes with {peer}: none", 20.0)

    def named(self, peer: SaeId, key_ids: object) -> list[Key]:
        raise LinkDown(f"{peer}: {key_ids}")

    def close(self) -> None:
        """Nothing."""


def test_drawing_ahead_that_fails_is_tried_again_only_after_a_pause() -> None:
    source = Counting()
    ahead = NextKey(source, PEER, GradeDemand())
    ahead.begin(is_due=False)
    while source.asked == 0 or ahead._asked is not None:  # until the answer was looked at
        assert ahead.announce(is_due=False) is None
    for _ in range(5):
        ahead.begin(is_due=False)
        assert ahead.announce(is_due=False) is None
    assert source.asked == 1
    ahead.begin(is_due=True)
    with pytest.raises(KeysNotReady, match="32 bytes are needed, 0 are there"):
        ahead.announce(is_due=True)
    assert source.asked == 2


def key_of(name: int, rest: int) -> Key:
    """32 bytes of 0xee and then so many of the name."""
    return Key(str(name), SecretBytes(bytes([0xEE] * 32 + [name] * rest)))


def test_pad_is_added_over_the_seams_of_keys_and_wiped() -> None:
    pad = Pad()
    keys = [key_of(3, 3), key_of(4, 4), key_of(5, 5)]
    pad.add(keys)
    assert pad.take(32) == bytes([0xEE] * 32)
    data = np.zeros(8, np.uint8)
    out = np.zeros(8, np.uint8)
    pad.xor(data, out)
    assert out.tobytes() == bytes([3] * 3 + [4] * 4 + [5])
    assert pad.left == 4
    assert pad.take(4) == bytes([5] * 4)
    with pytest.raises(ValueError, match="none are left"):
        pad.take(1)
    with pytest.raises(ValueError, match="wiped"):
        keys[0].value.view()


def test_the_first_bytes_of_a_key_added_later_are_nothing() -> None:
    pad = Pad()
    pad.add([key_of(1, 2)])
    pad.add([key_of(2, 2), key_of(3, 2)])
    pad.add([key_of(4, 2)])
    assert pad.left == 32 + 8
    assert pad.take(40) == bytes([0xEE] * 32 + [1, 1, 2, 2, 3, 3, 4, 4])


@pytest.mark.parametrize(("most_bytes", "most_number"), [(32, 128), (33, 32), (64, 1)])
def test_a_site_whose_keys_give_no_pad_is_said_to_be_set_up_so(most_bytes: int, most_number: int) -> None:
    site = PlayedSite(most_bytes=most_bytes, most_number=most_number)
    drawer = PadDrawer(site.keys("caller"), PEER, GradeDemand(), [])
    with pytest.raises(ConfigError, match="max_size"):
        drawer.first()
    assert site.delivered == []


def test_a_drawer_asks_for_more_only_as_the_stream_goes_on() -> None:
    site = PlayedSite()
    drawer = PadDrawer(site.keys("caller"), PEER, GradeDemand(), [])
    drawer.first()
    drawn = [len(site.delivered) * 512]
    for _ in range(3):
        drawer.pad.take(100)
        while drawer.more(100):
            pass
        drawn.append(len(site.delivered) * 512)
    assert drawn == [1024] * 4
    while drawer.more(5000):
        pass
    assert drawer.pad.left >= 5000 + KEPT_BYTES
    drawer.close()


def test_a_tag_fails_by_what_poly1305_is_proven_for() -> None:
    assert tag_epsilon(16) == 8 / 2**106
    assert tag_epsilon(65536 + 13) == pytest.approx(8 * 4097 / 2**106)


def test_what_a_message_takes_is_said_beforehand() -> None:
    # 480 of 512 bytes of a key are pad, and nearly all of a long one
    assert 1_000_000 * 512 / 480 < needed_bytes(1_000_000) < 1_000_000 * 512 / 480 + 6000
    assert 1_000_000 < needed_bytes(1_000_000, 1 << 17) - (1 << 17) < 1_004_000
    assert quantum_key_bytes(100, 1000) == 32
    assert quantum_key_bytes(1000, 1000) == 32
    assert quantum_key_bytes(1001, 1000) == 64


def test_an_exhausted_key_says_what_is_there_and_when_the_rest_will_be() -> None:
    site = PlayedSite(stock_bytes=1000, rate_bps=8000.0)
    error = not_ready(site.keys("caller"), PEER, 3000, KeysNotReady("no", None))
    assert "3000 bytes are needed, 1000 are there, the rest in about 2 s" in str(error)
    assert error.retry_s == pytest.approx(2.0)
    site.rate_bps = None
    assert "nobody can say yet" in str(not_ready(site.keys("caller"), PEER, 3000, KeysNotReady("no", None)))


def test_keys_that_are_not_what_was_asked_for_are_refused() -> None:
    keys = FixedKeys({"a": bytes(32), "b": bytes(31)}).named(PEER, ["a", "b"])
    assert judge(keys[:1], GradeDemand(), 1, 32) is None
    assert "gave 2 keys where 1 of 32 bytes" in str(judge(keys, GradeDemand(), 1, 32))
    assert judge(keys, GradeDemand(), 2, 32) is not None
    assert "is no pad" in str(judge(keys, GradeDemand(), 2, None))
    pad = FixedKeys({"c": bytes(33), "d": bytes(512)}).named(PEER, ["c", "d"])
    assert judge(pad, GradeDemand(), 2, None) is None
