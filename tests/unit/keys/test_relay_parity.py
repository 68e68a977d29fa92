"""Parity to the end: what the destination recovers, what the sums tell, what is refused."""

from __future__ import annotations

from itertools import product

import msgspec
import pytest
from relay_city import block_of, make_order, photons, stretch

from poliqi.base.errors import AuthenticationError, DataRefused, ProtocolError
from poliqi.base.ids import KmeId
from poliqi.base.secret import SecretBytes
from poliqi.keys.grade import Authenticity
from poliqi.keys.relay_messages import PadRange, Parity, Scheme, decode_relay, encode_relay
from poliqi.keys.relay_parity import check_parity, make_parity, recover

CHAIN = make_order("ACDEB")
KEYS = {hop: stretch(f"key {hop}", 1024) for hop in range(1, 5)}


def pads(hop: int) -> tuple[PadRange, ...]:
    return (PadRange(block_of(f"hop {hop}"), 0, 32, 1024),)


def mac_pads(place: int) -> tuple[PadRange, ...]:
    return (PadRange(block_of(f"mac {place}"), 0, 32, 32),)


def mac_key(place: int) -> SecretBytes:
    return SecretBytes(stretch(f"mac key {place}", 32))


def parity(place: int, *, is_signed: bool = True, epsilon: float = 1e-10) -> Parity:
    into = pads(place), SecretBytes(KEYS[place]), photons(epsilon)
    out = pads(place + 1), SecretBytes(KEYS[place + 1])
    made = make_parity(CHAIN, 1, place, into, out, (mac_pads(place), mac_key(place)) if is_signed else None)
    back = decode_relay(encode_relay(made))
    assert isinstance(back, Parity)
    return back


def test_the_destination_recovers_the_first_hops_key() -> None:
    parities = [parity(place) for place in (3, 1, 2)]
    for one in parities:
        check_parity(one, KmeId("ACDEB"[one.place]), mac_key(one.place))
    value, grade = recover(parities, pads(4), SecretBytes(KEYS[4]), photons(1e-10))
    assert bytes(value.view()) == KEYS[1]
    assert grade.epsilon == pytest.approx(4e-10)
    assert grade.authenticity is Authenticity.INFORMATION_THEORETIC


def test_a_parity_is_the_sum_of_two_link_keys() -> None:
    assert parity(2).parity == bytes(a ^ b for a, b in zip(KEYS[2], KEYS[3], strict=True))


def test_one_sum_without_a_one_time_tag_makes_the_authenticity_computational() -> None:
    _, grade = recover([parity(1), parity(2, is_signed=False), parity(3)], pads(4), SecretBytes(KEYS[4]), photons())
    assert grade.authenticity is Authenticity.COMPUTATIONAL


def test_all_sums_together_are_the_same_spread_for_every_first_key() -> None:
    """Four keys of two bits: the three sums take each of 64 values once, whatever the first key is."""
    for first in range(4):
        sums = {(first ^ b, b ^ c, c ^ d) for b, c, d in product(range(4), repeat=3)}
        assert len(sums) == 64


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("parity", bytes(1024)),
        ("tag", bytes(16)),
        ("into", pads(9)),
        ("out", pads(9)),
        ("mac_key", mac_pads(9)),
        ("incoming", parity(1, epsilon=1e-20).incoming),
        ("order", make_order("ACDEB", name="another")),
    ],
)
def test_every_field_of_a_signed_parity_is_authenticated(field: str, value: object) -> None:
    with pytest.raises(AuthenticationError):
        check_parity(msgspec.structs.replace(parity(1), **{field: value}), KmeId("C"), mac_key(1))


def test_parities_that_do_not_belong_are_refused() -> None:
    good, blank = parity(1), parity(1, is_signed=False)
    with pytest.raises(ProtocolError, match="came from D"):
        check_parity(good, KmeId("D"), mac_key(1))
    with pytest.raises(ProtocolError, match="came from B"):
        check_parity(msgspec.structs.replace(good, place=4), KmeId("B"), mac_key(1))
    with pytest.raises(ProtocolError, match="has 1"):
        check_parity(msgspec.structs.replace(good, share=2), KmeId("C"), mac_key(1))
    with pytest.raises(ProtocolError, match="tag without a key"):
        check_parity(good, KmeId("C"), None)
    with pytest.raises(ProtocolError, match="tag without a key"):
        check_parity(blank, KmeId("C"), mac_key(1))
    with pytest.raises(ProtocolError, match="parts of"):
        check_parity(msgspec.structs.replace(blank, parity=bytes(1023)), KmeId("C"), None)
    with pytest.raises(ProtocolError, match="twice"):
        check_parity(msgspec.structs.replace(blank, order=make_order("ACDCB")), KmeId("C"), None)
    shamir = make_order("ACB", "ADB", scheme=Scheme.SHAMIR, threshold=2)
    with pytest.raises(ProtocolError, match="nobody chose"):
        check_parity(msgspec.structs.replace(blank, order=shamir), KmeId("C"), None)
    check_parity(blank, KmeId("C"), None)


@pytest.mark.parametrize("places", [[1, 2], [2, 3], [1, 1, 2, 3], [1, 3]])
def test_a_path_with_a_gap_gives_nothing(places: list[int]) -> None:
    with pytest.raises(DataRefused, match="not those of one path"):
        recover([parity(place) for place in places], pads(4), SecretBytes(KEYS[4]), photons())


def test_neighbours_must_name_the_same_key() -> None:
    parities = [parity(place) for place in (1, 2, 3)]
    with pytest.raises(DataRefused, match="other key than their neighbours"):
        recover(parities, pads(5), SecretBytes(KEYS[4]), photons())
    parities[1] = msgspec.structs.replace(parities[1], into=pads(7))
    with pytest.raises(DataRefused, match="other key than their neighbours"):
        recover(parities, pads(4), SecretBytes(KEYS[4]), photons())
    with pytest.raises(DataRefused, match="no parities"):
        recover([], pads(1), SecretBytes(KEYS[1]), photons())
