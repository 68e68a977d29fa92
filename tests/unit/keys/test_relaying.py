"""Keys between sites without a fibre: carried by trusted nodes, over one path or several."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from relay_rig import RelayCity

from poliqi.base.ids import KmeId, LinkId
from poliqi.keys import relaying
from poliqi.keys.hopkeys import HopKeys
from poliqi.keys.messages import ParcelMessage, decode, encode
from poliqi.keys.peer import PeerLink
from poliqi.keys.relay_messages import RelayParcel, Scheme, decode_relay, encode_relay
from poliqi.keys.relaying import RelayRoute
from poliqi.keys.requests import Delivered, Refused

TWO = [["a", "b", "e"], ["a", "c", "e"]]
THREE = [*TWO, ["a", "d", "e"]]
FIVE = [["a", relay, "g"] for relay in "bcdef"]


def exchanged(city: RelayCity) -> Delivered:
    city.tick(1.0)
    city.tick(2.0)
    ordered, fetched = city.exchange(f"{city.origin}1", f"{city.destination}1", number=3)
    assert [k.value for k in ordered.keys] == [k.value for k in fetched.keys]
    return ordered


def test_four_hops_on_one_path() -> None:
    grade = exchanged(RelayCity([["a", "b", "c", "d", "e"]])).keys[0].grade
    assert grade.name == "its-trusted-relay"
    assert grade.relays == {"b", "c", "d"}
    assert grade.epsilon == pytest.approx(4e-10)  # four proofs of 1e-10


def test_on_one_path_a_relay_knows_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []
    honest = relaying.forward

    def forward(parcel: RelayParcel, value: Any, *rest: Any) -> Any:
        seen.append(bytes(value.view()))
        return honest(parcel, value, *rest)

    monkeypatch.setattr(relaying, "forward", forward)
    keys = exchanged(RelayCity([["a", "b", "c", "d", "e"]])).keys
    assert all(any(key.value in share for share in seen) for key in keys)


@pytest.mark.parametrize(("paths", "name"), [(TWO, "its-2-of-2-paths"), (THREE, "its-3-of-3-paths")])
def test_on_disjoint_paths_no_relay_sees_the_key(
    paths: list[list[str]], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bytes] = []
    honest = relaying.forward

    def forward(parcel: RelayParcel, value: Any, *rest: Any) -> Any:
        seen.append(bytes(value.view()))
        return honest(parcel, value, *rest)

    monkeypatch.setattr(relaying, "forward", forward)
    keys = exchanged(RelayCity(paths, Scheme.XOR, len(paths))).keys
    assert keys[0].grade.name == name
    assert len(seen) >= len(paths)
    assert not any(key.value in share for key in keys for share in seen)


def test_two_of_three_paths_survive_the_loss_of_one() -> None:
    city = RelayCity(THREE, Scheme.SHAMIR, 2)
    city.cut("a", "c")
    assert exchanged(city).keys[0].grade.threshold == 2


@pytest.fixture
def lying(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Have a relay open its shares, flip a bit of each and seal them properly again."""
    honest = relaying.forward

    def lie(relay: str) -> None:
        def forward(parcel: RelayParcel, value: Any, *rest: Any) -> Any:
            if parcel.order.paths[parcel.share - 1][1] == relay:
                data = bytearray(value.view())
                data[100] ^= 1
                value = type(value)(data)
            return honest(parcel, value, *rest)

        monkeypatch.setattr(relaying, "forward", forward)

    return lie


def test_a_relay_that_flips_a_bit_is_detected(lying: Callable[[str], None]) -> None:
    city = RelayCity(TWO, Scheme.XOR, 2, size=2048)
    lying("b")
    city.tick(1.0)
    city.tick(2.0)
    ordered = city.order("a1", "e1")
    city.settle()
    assert isinstance(ordered.outcome, Refused)
    events = [e for name in "ae" for e in city.sites[KmeId(name)].kme.take_events()]
    assert any(e.kind == "segment-mismatch" for e in events)


def test_a_relay_that_is_outvoted_is_named(lying: Callable[[str], None]) -> None:
    city = RelayCity(FIVE, Scheme.SHAMIR, 3, size=2048)
    lying("c")
    exchanged(city)
    lied = [detail for event, detail in city.sites[KmeId("g")].store.audit if event == "relay-lied"]
    assert lied
    assert all(detail["path"] == ["a", "c", "g"] for detail in lied)


def test_a_parcel_changed_on_the_wire_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    city = RelayCity([["a", "b", "c"]])
    honest = PeerLink.take_frames

    def spoiled(frame: bytes) -> bytes:
        message = decode(frame)
        if isinstance(message, ParcelMessage) and isinstance(parcel := decode_relay(message.body), RelayParcel):
            cipher = bytes([parcel.cipher[0] ^ 1]) + parcel.cipher[1:]
            return encode(ParcelMessage(encode_relay(msgspec.structs.replace(parcel, cipher=cipher))))
        return frame

    monkeypatch.setattr(PeerLink, "take_frames", lambda self, ledger: [spoiled(f) for f in honest(self, ledger)])
    city.tick(1.0)
    events = city.sites[KmeId("b")].kme.take_events()
    assert any("one-time tag" in e.text for e in events)


def test_a_pool_is_filled_only_while_it_is_low() -> None:
    city = RelayCity([["a", "b", "c"]])
    for _ in range(5):
        city.tick(10.0)
    assert city.sites[KmeId("a")].kme.state.counts["blocks_relayed"] == 1


def test_the_destination_refuses_a_way_through_a_site_it_forbids() -> None:
    from poliqi.keys.graderule import GradeRule

    city = RelayCity([["a", "b", "c"]], rule=GradeRule(never_through=frozenset({KmeId("b")})))
    city.tick(1.0)
    assert "blocks_relayed" not in city.sites[KmeId("a")].kme.state.counts
    assert any(e.kind == "relay-refused" for e in city.sites[KmeId("a")].kme.take_events())


def test_parities_where_one_path_is_a_fibre() -> None:
    city = RelayCity([["a", "c"], ["a", "b", "c"]], Scheme.XOR, 2, parity=True)
    assert exchanged(city).keys


@pytest.mark.parametrize(("paths", "scheme"), [([["a", "b", "c", "d"]], Scheme.SINGLE), (TWO, Scheme.XOR)])
def test_parities_straight_to_the_end(paths: list[list[str]], scheme: Scheme) -> None:
    city = RelayCity(paths, scheme, len(paths), parity=True)
    grade = exchanged(city).keys[0].grade
    assert grade.authenticity == "computational"
    assert grade.relays == {site for path in paths for site in path[1:-1]}
    assert grade.threshold == len(paths)


def rerouted(city: RelayCity, path: list[str]) -> None:
    """From now on the stock is filled over this path."""
    route = RelayRoute(city.virtual, KmeId("e"), Scheme.SINGLE, 1, (tuple(KmeId(s) for s in path),), 4096)
    city.sites[KmeId("a")].kme.fill((route,))


def test_a_block_that_a_dead_relay_holds_up_is_sent_again_over_the_new_way_at_once() -> None:
    city = RelayCity(TWO, Scheme.XOR, 2)
    rerouted(city, TWO[0])
    city.kill("b", is_noticed=False)
    city.tick(1.0)
    assert city.sites[KmeId("a")].kme.state.stock.pools[city.virtual].own_bytes == 0
    rerouted(city, TWO[1])
    city.tick(1.0)
    city.settle()
    ordered, fetched = city.exchange("a1", "e1")
    assert [k.value for k in ordered.keys] == [k.value for k in fetched.keys]
    assert ordered.keys[0].grade.relays == {"c"}


def test_pads_that_do_not_suffice_are_not_burnt() -> None:
    city = RelayCity([["a", "b", "e"]])
    pool = city.sites[KmeId("a")].kme.state.stock.pools[LinkId("a-b")]
    left = pool.own_bytes
    hops = HopKeys(city.sites[KmeId("a")].kme.state)
    assert hops.take(KmeId("b"), left + 64) is None
    assert pool.own_bytes == left
    taken = hops.take(KmeId("b"), left // 2 + 7)
    assert taken is not None
    assert sum(pad.size for pad in taken.pads) == len(taken.key) == left // 2 + 7
    assert left // 2 - 64 <= pool.own_bytes <= left // 2
