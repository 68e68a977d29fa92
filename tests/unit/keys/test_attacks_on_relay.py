"""What a lying relay, an old disk image or a second fibre must not do to relayed keys."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from typing import Any

import pytest
from held_city import Held
from kme_rig import City, Site
from relay_rig import RelayCity

from poliqi.base.errors import DataRefused
from poliqi.base.ids import KmeId, LinkId
from poliqi.base.secret import SecretBytes
from poliqi.keys import messages as m
from poliqi.keys import relaying
from poliqi.keys.grade import Grade, KeyOrigin
from poliqi.keys.graderule import GradeRule
from poliqi.keys.hopkeys import HopKeys
from poliqi.keys.kme import SharedPool
from poliqi.keys.relay_messages import (
    PadRange,
    RelayParcel,
    RelayRefusal,
    RelayStored,
    Scheme,
    decode_relay,
    encode_relay,
)
from poliqi.keys.requests import Accepted, Block, Delivered
from poliqi.keys.segment import block_of_number

A, B, D, X = KmeId("a"), KmeId("b"), KmeId("d"), KmeId("x")
ONE = [["a", "x", "d"]]
THREE = [["a", relay, "d"] for relay in "xyz"]
PHOTON_BLOCK = Grade(KeyOrigin.PHOTONS, "a proof", 1e-10, ())
SIMULATED = Grade(KeyOrigin.SIMULATED, "", None, ())


def stored(city: RelayCity, site: str) -> int:
    return city.sites[KmeId(site)].kme.state.stock.pools[city.virtual].stored_bytes


def events(city: City, site: str) -> str:
    return "\n".join(event.text for event in city.sites[KmeId(site)].kme.take_events())


# -------------------------------------------------------------------- refusals and lost answers


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Relay x passes its share on and tells the origin, in the name of d, that d refuses."""
    honest = relaying.forward

    def forward(parcel: RelayParcel, *rest: Any) -> Any:
        onward = honest(parcel, *rest)
        if parcel.order.paths[parcel.share - 1][1] == X:
            said.append(parcel.order.block)
        return onward

    said: list[bytes] = []
    pushed = City.push_from

    def push_from(self: City, site: Site) -> bool:
        if site.name == X and said:
            origin, body = self.sites[A], encode_relay(RelayRefusal(said.pop(), 0, "d", "no"))
            origin.inbox.append((X, origin.kme.state.links[X].connection, m.encode(m.ParcelMessage(body))))
        return pushed(self, site)

    monkeypatch.setattr(relaying, "forward", forward)
    monkeypatch.setattr(City, "push_from", push_from)


@pytest.mark.usefixtures("refusing")
def test_one_relay_of_three_cannot_refuse_for_the_destination() -> None:
    city = RelayCity(THREE, Scheme.SHAMIR, 2)
    city.tick(1.0)
    city.tick(61.0)  # the third share may be waited for
    assert city.sites[A].kme.state.counts["blocks_relayed"] >= 1
    assert stored(city, "a") == stored(city, "d") > 0


@pytest.mark.usefixtures("refusing")
def test_a_block_that_the_origin_gave_up_is_destroyed_at_the_destination() -> None:
    city = RelayCity(ONE)
    city.tick(1.0)
    city.tick(0.1)
    assert "was given up" in events(city, "a")
    assert stored(city, "a") == stored(city, "d") == 0


class CrashingCity(RelayCity):
    """The origin crashes when it is about to hear that its block has arrived."""

    def deliver_at(self, site: Site) -> bool:
        message = m.decode(site.inbox[0][2]) if site.inbox else None
        if isinstance(message, m.ParcelMessage) and isinstance(decode_relay(message.body), RelayStored):
            self.kill(site.name)
        return super().deliver_at(site)


def test_a_block_that_the_origin_lost_in_a_crash_is_destroyed_at_the_destination() -> None:
    city = CrashingCity(ONE)
    city.tick(1.0)
    assert city.sites[A].dead
    assert stored(city, "d") > 0
    city.start(A, city.sites[A].store)
    city.sites[A].kme.fill(())
    for there in ("x", "d"):
        city.join("a", there)
    city.settle()
    city.tick(0.1)
    assert stored(city, "a") == stored(city, "d") == 0


# -------------------------------------------------------------------- an old image of the disk


class HeldCity(Held, RelayCity):
    """A city with a relay whose words about the use of segments come late."""


def test_a_site_set_back_relays_nothing_under_a_pad_that_was_used(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: dict[tuple[bytes, int], list[PadRange]] = defaultdict(list)

    def says(self: Site, peer: KmeId, frame: bytes) -> None:
        message = m.decode(frame)
        if self.name == A and isinstance(message, m.ParcelMessage):
            parcel = decode_relay(message.body)
            for pad in parcel.pads if isinstance(parcel, RelayParcel) else ():
                sent[pad.block, pad.part].append(pad)

    monkeypatch.setattr(Site, "says", says)
    city = HeldCity(ONE)
    image = city.sites[A].store.image()
    city.tick(1.0)
    assert stored(city, "d") > 0
    city.kill(A)
    city.settle()
    city.start(A, image)
    city.late = frozenset({X})
    for there in ("x", "d"):
        city.join("a", there)
    city.settle()
    assert all(link.is_live for link in city.sites[A].kme.state.links.values())
    city.tick(2.0)
    city.late = frozenset()
    city.settle()
    for _ in range(4):
        city.tick(5.0)
    assert city.sites[A].kme.state.counts["blocks_relayed"] >= 1  # afterwards it works
    for pads in sent.values():
        pads.sort(key=lambda pad: pad.offset)
        ends = [pad.offset + pad.size for pad in pads]
        assert all(end <= after.offset for end, after in zip(ends, pads[1:], strict=False)), pads


# -------------------------------------------------------------------- two fibres between two neighbours


class TwoFibres(City):
    """Two sites with two fibres, which they list in another order."""

    def __init__(self, numbers: tuple[int, int]) -> None:
        super().__init__(["a", "b"], [("a", "b")])
        self.join("a", "b")
        self.settle()
        for pool, number in zip(("a-b", "a-b2"), numbers, strict=True):
            key = hashlib.shake_256(pool.encode()).digest(131_072)
            for site in self.sites.values():
                block = Block(LinkId(pool), block_of_number(number), SecretBytes(key), PHOTON_BLOCK)
                assert site.kme.ingest(block).outcome is None
                self.settle()

    def settings(self, site: KmeId) -> list[SharedPool]:
        [first] = super().settings(site)
        second = SharedPool(LinkId("a-b2"), first.peer, low_water=4096)
        return [first, second] if site == A else [second, first]

    def hop_key(self) -> tuple[bytes, bytes]:
        """A hop's key as one end takes it and as the other end finds it."""
        one, two = (self.sites[site].kme.state for site in (A, B))
        taken: Any = HopKeys(one).take(B, 96)
        key, _ = HopKeys(two).use(two.links[A], taken[0])
        return bytes(taken[1].view()), bytes(key.view())


def test_over_two_fibres_the_key_of_a_hop_is_the_same_at_both_ends() -> None:
    mine, theirs = TwoFibres((1, 2)).hop_key()
    assert mine == theirs


def test_segments_of_one_name_in_two_fibres_are_not_taken_for_each_other() -> None:
    city = TwoFibres((1, 1))
    before = {r.number: r.leased for r in city.sites[B].kme.state.stock.by_number.values()}
    with pytest.raises(DataRefused):
        city.hop_key()
    assert {r.number: r.leased for r in city.sites[B].kme.state.stock.by_number.values()} == before


class TwoFibresToRelay(RelayCity):
    """The origin and its relay have two fibres; `number` is that of the second one's block."""

    number = 1

    def settings(self, site: KmeId) -> list[SharedPool]:
        second = SharedPool(LinkId("a-x-second"), X if site == A else A)
        return [*super().settings(site), *([second] if site in (A, X) else [])]

    def block(self, a: str, b: str, number: int, size: int, grade: Grade = PHOTON_BLOCK) -> bytes:
        if {a, b} != {"a", "x"}:
            return super().block(a, b, number, size, grade)
        for pool, which, bytes_ in (("a-x", 1, 6000), ("a-x-second", self.number, 200_000)):
            key = hashlib.shake_256(pool.encode()).digest(bytes_)
            for name in (A, X):
                block = Block(LinkId(pool), block_of_number(which), SecretBytes(key), grade)
                ticket = self.sites[name].kme.ingest(block)
                self.settle()
                assert isinstance(ticket.outcome, Accepted)
        return b""


@pytest.mark.parametrize("number", [1, 1000])
def test_a_relay_over_two_fibres_works_or_fails_closed(number: int) -> None:
    city = type("Numbered", (TwoFibresToRelay,), {"number": number})(ONE)
    for _ in range(8):
        city.tick(1.0)
    ordered = city.order("a1", "d1")
    city.settle()
    told = [event for site in city.sites.values() for event in site.kme.take_events()]
    assert not any(event.kind == "segment-mismatch" for event in told)
    assert not any("one-time tag" in event.text for event in told)  # nobody took the wrong bits for a hop's key
    if number != 1:
        assert isinstance(ordered.outcome, Delivered)
        fetched = city.fetch("d1", "a1", [ordered.outcome.keys[0].key_id])
        city.settle()
        assert isinstance(fetched.outcome, Delivered)
        assert fetched.outcome.keys[0].value == ordered.outcome.keys[0].value


# -------------------------------------------------------------------- lies about what a block is, and about whom


def test_a_block_over_a_simulated_first_hop_is_not_used_as_one_of_photons(monkeypatch: pytest.MonkeyPatch) -> None:
    class Simulated(RelayCity):
        def block(self, a: str, b: str, number: int, size: int, grade: Grade = PHOTON_BLOCK) -> bytes:
            return super().block(a, b, number, size, SIMULATED if {a, b} == {"a", "x"} else grade)

    honest = relaying.forward

    def forward(parcel: RelayParcel, value: Any, grade: Grade, *rest: Any) -> Any:
        """The relay says that the first hop was of photons."""
        lie = Grade(KeyOrigin.PHOTONS, "a proof", 1e-10, grade.paths)
        return honest(parcel, value, lie, *rest)

    monkeypatch.setattr(relaying, "forward", forward)
    city = Simulated(ONE, rule=GradeRule(origins=frozenset(KeyOrigin)))
    city.tick(1.0)
    city.tick(0.1)
    assert stored(city, "a") == stored(city, "d") == 0
    assert "not used" in events(city, "a")


@pytest.mark.parametrize("liar", ["x", "y", "z"])
def test_of_three_shares_that_disagree_nobody_is_accused(liar: str, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = relaying.forward

    def forward(parcel: RelayParcel, value: Any, *rest: Any) -> Any:
        if parcel.order.paths[parcel.share - 1][1] == liar:
            data = bytearray(value.view())
            data[40] ^= 1
            value = SecretBytes(data)
        return honest(parcel, value, *rest)

    monkeypatch.setattr(relaying, "forward", forward)
    city = RelayCity(THREE, Scheme.SHAMIR, 2)
    for _ in range(10):
        city.tick(1.0)
    accused = [detail["path"] for event, detail in city.sites[D].store.audit if event == "relay-lied"]
    assert all(path == ["a", liar, "d"] for path in accused)
