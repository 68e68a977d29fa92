"""The watch notices what must not happen: doubles that break each invariant, one at a time."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from twin_city import quiet, ring

from poliqi.base.ids import KmeId
from poliqi.control.agent import Agent
from poliqi.keys.grade import Grade, KeyOrigin
from poliqi.keys.kme import Kme
from poliqi.keys.requests import Delivered, Key, KeyOrder, Ticket
from poliqi.twin.invariants import InvariantBroken, Watch
from poliqi.twin.marked import MarkedEntropy, are_keys, find_key, is_key, stretch
from poliqi.twin.world import run

GRADE = Grade(KeyOrigin.SIMULATED, "a proof", None, ())
A, B = KmeId("a"), KmeId("b")
SCENARIO = quiet(ring(3), 6.0)


def key(name: int, start: int = 0, size: int = 32) -> Key:
    return Key(name.to_bytes(16, "big"), stretch("a block", 4096)[start : start + size], GRADE)


def test_keys_side_by_side_are_fine() -> None:
    watch = Watch()
    watch.to_master(A, [key(1), key(2, 32)])
    watch.to_slave(B, [key(1), key(2, 32)])
    assert (watch.delivered, watch.fetched) == (2, 2)


@pytest.mark.parametrize(
    ("again", "said"),
    [
        (key(1, 64), "was given out twice"),
        (key(2), "share bits"),
        (key(2, 8), "share bits"),
        (key(2, 16), "share bits"),
    ],
)
def test_a_second_use_is_noticed(again: Key, said: str) -> None:
    watch = Watch()
    watch.to_master(A, [key(1)])
    with pytest.raises(InvariantBroken, match=said) as broken:
        watch.to_master(A, [again])
    assert key(1).value.hex() not in str(broken.value)


def test_a_key_that_nobody_made_is_noticed() -> None:
    with pytest.raises(InvariantBroken, match="never made"):
        Watch().to_master(A, [Key(bytes(16), bytes(range(32)), GRADE)])


def test_unequal_ends_and_a_second_fetch_are_noticed() -> None:
    watch = Watch()
    watch.to_master(A, [key(1)])
    with pytest.raises(InvariantBroken, match="differs between a and b"):
        watch.to_slave(B, [key(1, 32)])
    watch.to_slave(B, [key(1)])
    with pytest.raises(InvariantBroken, match="given out twice at b"):
        watch.to_slave(B, [key(1)])
    with pytest.raises(InvariantBroken, match="which no master has"):
        watch.to_slave(B, [key(7)])


def test_a_late_answer_is_noticed() -> None:
    with pytest.raises(InvariantBroken, match="an order was not answered within 15 s"):
        Watch().answered(15.5, "an order")


# ---------------------------------------------------------------- what the controller sees


SECRET = MarkedEntropy(1, "a").draw(48)


@pytest.mark.parametrize(
    "text",
    [
        SECRET.hex(),
        SECRET.hex().upper(),
        "x" + SECRET[3:].hex(),
        base64.b64encode(SECRET).decode(),
        base64.b64encode(b"z" + SECRET).decode(),
        base64.urlsafe_b64encode(SECRET[5:]).decode(),
        str(list(SECRET)),
        str(list(SECRET)).replace(" ", ""),
    ],
)
def test_key_is_found_however_it_is_spelt(text: str) -> None:
    assert find_key(b'{"note": "' + text.encode() + b'"}')
    with pytest.raises(InvariantBroken, match="key material stands in a frame"):
        Watch().told(text.encode(), "a frame")


def test_raw_key_is_found_in_bytes() -> None:
    assert find_key(b"\xff\x00" + SECRET)


def test_sums_of_key_are_still_key() -> None:
    other = MarkedEntropy(2, "b").draw(48)
    assert is_key(bytes(a ^ b for a, b in zip(SECRET, other, strict=True)))


def test_what_is_no_key_is_not_found() -> None:
    noise = np.random.default_rng(1).bytes(1 << 20)
    assert not is_key(noise)
    assert not find_key(base64.b64encode(noise[:30_000]) + bytes(64) + b"0" * 64 + b"A" * 64)
    assert not is_key(MarkedEntropy(1, "names").draw(16))


def test_many_keys_are_known_at_once_and_one_that_is_none_among_them() -> None:
    keys = [stretch(f"key {number}", 32) for number in range(5)]
    assert are_keys(keys)
    assert not are_keys([*keys, bytes(32)])
    assert not are_keys([*keys, keys[0][4:]])
    assert not are_keys([keys[0][:8]])


# ---------------------------------------------------------------- doubles in a whole twin


def test_an_honest_city_breaks_nothing() -> None:
    result = run(SCENARIO, 1)
    assert result.broken == ""
    assert result.keys_fetched > 0
    assert result.recovered_s is not None


def test_a_key_management_that_gives_a_key_twice_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    honest, kept = Kme.order, list[Key]()

    def twice(self: Kme, order: KeyOrder, now: float) -> Ticket:
        ticket = honest(self, order, now)
        if kept:
            ticket.outcome = Delivered([kept[0]])
        else:
            ticket.listener = None
        return ticket

    settle = Ticket.settle

    def remember(self: Ticket, outcome: object) -> None:
        if isinstance(outcome, Delivered) and not kept:
            kept.append(outcome.keys[0])
        settle(self, outcome)  # type: ignore[arg-type]

    monkeypatch.setattr(Kme, "order", twice)
    monkeypatch.setattr(Ticket, "settle", remember)
    assert "given out twice" in run(SCENARIO, 1).broken


def test_a_stock_that_sinks_below_nothing_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Kme.tick

    def tick(self: Kme, now: float) -> list[KmeId]:
        if now > 3.0:
            next(iter(self.state.stock.pools.values())).own_bytes -= 1 << 40
        return honest(self, now)

    monkeypatch.setattr(Kme, "tick", tick)
    assert "is negative" in run(SCENARIO, 1).broken


def test_an_agent_that_tells_key_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Agent.take_frames

    def leak(self: Agent) -> list[bytes]:
        return [frame[:-1] + b',"more":"' + SECRET.hex().encode() + b'"}' for frame in honest(self)]

    monkeypatch.setattr(Agent, "take_frames", leak)
    assert "key material stands in what" in run(SCENARIO, 1).broken


def test_orders_that_nobody_answers_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Kme, "order", lambda _self, _order, _now: Ticket())
    assert "was not answered within" in run(quiet(ring(3), 40.0), 1).broken


def test_a_city_that_stays_without_key_is_caught() -> None:
    from poliqi.twin.scenario import Scenario

    without = Scenario(
        **{f: getattr(SCENARIO, f) for f in SCENARIO.__slots__} | {"capacity": 1024, "settle_s": 4.0}
    )
    assert "no keys flow" in run(without, 1).broken


def test_a_core_that_raises_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_self: Kme, _now: float) -> list[KmeId]:
        raise KeyError("a pool")

    monkeypatch.setattr(Kme, "tick", fails)
    result = run(SCENARIO, 1)
    assert result.broken.endswith("KeyError: 'a pool'")
    assert isinstance(result.trace, KeyError)
