"""Relay, hop by hop: what arrives, who learns what, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import msgspec
import pytest
from relay_city import FixedEntropy, Walk, block_of, hop_key, make_order, pads_for, photons, stretch

from poliqi.base.errors import AuthenticationError, DataRefused, ProtocolError
from poliqi.base.ids import KmeId, LinkId
from poliqi.base.secret import SecretBytes
from poliqi.keys.grade import Authenticity, Grade, KeyOrigin
from poliqi.keys.relay import add_hop, check_order, check_parcel, forward, open_parcel, plan_shares, send_share
from poliqi.keys.relay_messages import RelayOrder, RelayParcel, Scheme
from poliqi.keys.segment import SegmentName, comparison_tag
from poliqi.keys.shares import join_xor

TWO = make_order("ACB", "ADB", scheme=Scheme.XOR, threshold=2)
THREE = make_order("ACB", "ADB", "AEFB", scheme=Scheme.XOR, threshold=3)
TWO_OF_THREE = make_order("ACB", "ADB", "AEFB", scheme=Scheme.SHAMIR, threshold=2)
CHAIN = make_order("ACDEB")
CLAMP = 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
"""RFC 8439, section 2.5: the bits of a tag's key that Poly1305 uses."""

UNPROVEN = Grade(KeyOrigin.PHOTONS, "", None, ())


def secret_of(order: RelayOrder) -> SecretBytes:
    return SecretBytes(stretch("the secret", order.size))


def shares_of(order: RelayOrder, secret: SecretBytes) -> list[SecretBytes]:
    return plan_shares(order, secret, FixedEntropy(*(stretch(f"draw {i}", order.size) for i in range(8))))


def test_over_four_hops_on_one_path_the_secret_arrives_and_every_relay_knows_it() -> None:
    secret = secret_of(CHAIN)
    plain = bytes(secret.view())
    walk = Walk(CHAIN, 1)
    arrived, _ = walk.go(shares_of(CHAIN, secret)[0])
    assert bytes(arrived.view()) == plain
    assert walk.seen == dict.fromkeys("CDEB", plain)


def test_what_travels_on_a_fibre_is_the_share_under_that_hops_own_pad() -> None:
    secret = secret_of(CHAIN)
    plain = bytes(secret.view())
    walk = Walk(CHAIN, 1)
    walk.go(shares_of(CHAIN, secret)[0])
    for hop, parcel in enumerate(walk.parcels, 1):
        pad = bytes(hop_key(CHAIN, 1, hop).view())[32:]
        assert parcel.cipher == bytes(a ^ b for a, b in zip(plain, pad, strict=True))
        assert plain[:16] not in parcel.cipher


def test_over_two_paths_a_relays_whole_view_is_the_same_spread_for_every_secret() -> None:
    """All 256 values of a byte, times all 256 draws, in the lanes of one block: the relay's view has no trace."""
    draw = bytes(range(256)) * 4
    for path in (1, 2):
        spreads: set[tuple[object, ...]] = set()
        for value in range(256):
            shares = plan_shares(TWO, SecretBytes(bytes([value]) * 1024), FixedEntropy(draw))
            walk = Walk(TWO, path)
            walk.go(shares[path - 1])
            (relay,) = (site for site in walk.path[1:-1])
            spreads.add(tuple(sorted(walk.seen[relay])))
        assert spreads == {tuple(sorted(draw))}


@pytest.mark.parametrize("order", [THREE, TWO_OF_THREE], ids=["3 of 3", "2 of 3"])
def test_over_three_paths_one_relays_view_is_the_same_spread_for_every_secret(order: RelayOrder) -> None:
    rng_lanes = list(product(range(32), repeat=2))  # 1024 lanes: two draws of 5 bits
    first, second = bytes(8 * a for a, _ in rng_lanes), bytes(8 * b for _, b in rng_lanes)
    draws = [first, second] if order.scheme is Scheme.XOR else [bytes(range(256)) * 4]
    for path in (1, 2, 3):
        spreads = {
            tuple(sorted(plan_shares(order, SecretBytes(bytes([v]) * 1024), FixedEntropy(*draws))[path - 1].view()))
            for v in range(0, 256, 8)
        }
        assert len(spreads) == 1


def test_a_relay_on_one_of_two_paths_does_not_hold_the_secret() -> None:
    secret = secret_of(TWO)
    plain = bytes(secret.view())
    walks = [Walk(TWO, 1), Walk(TWO, 2)]
    arrived = [walk.go(share)[0] for walk, share in zip(walks, shares_of(TWO, secret), strict=True)]
    assert join_xor([share.view() for share in arrived]) == plain
    assert plain not in (walks[0].seen["C"], walks[1].seen["D"])
    assert join_xor([walks[0].seen["C"], walks[1].seen["D"]]) == plain  # two that conspire


@pytest.mark.parametrize("order", [TWO, THREE], ids=["2 paths", "3 paths"])
@pytest.mark.parametrize("bit", [0, 30, 127, 128, 255, 256, 1000, 8191])
def test_a_bit_that_one_relay_flips_is_noticed_by_the_ends(order: RelayOrder, bit: int) -> None:
    secret = secret_of(order)
    plain = bytes(secret.view())

    def flip(site: str, data: bytes) -> bytes:
        return bytes(b ^ (1 << bit % 8 if i == bit // 8 and site == "C" else 0) for i, b in enumerate(data))

    arrived = [Walk(order, n).go(share, flip)[0] for n, share in enumerate(shares_of(order, secret), 1)]
    there = join_xor([share.view() for share in arrived])
    assert there != plain
    name = SegmentName(order.block, 0)
    tags = {comparison_tag(SecretBytes(data), LinkId(order.pool), name, UNPROVEN, b"") for data in (plain, there)}
    is_cleared = bit < 128 and not CLAMP >> bit & 1
    assert len(tags) == (1 if is_cleared else 2)
    assert not is_cleared or there[32:] == plain[32:]  # what is not noticed is no bit that is used


def test_grades_add_up_along_the_way_and_the_weakest_word_wins() -> None:
    grades = [photons(1e-10), photons(2e-10, proof="other"), photons(4e-10, KeyOrigin.REPLAY), photons(8e-10)]
    _, behind = Walk(CHAIN, 1, grades).go(shares_of(CHAIN, secret_of(CHAIN))[0])
    assert behind.epsilon == pytest.approx(15e-10)
    assert (behind.origin, behind.proof) == (KeyOrigin.REPLAY, "proof + other")
    assert behind.authenticity is Authenticity.INFORMATION_THEORETIC


def test_a_hop_without_a_proof_leaves_none_for_the_way() -> None:
    assert add_hop(add_hop(None, photons()), photons(None)).epsilon is None


def test_epsilons_never_add_up_to_more_than_one() -> None:
    assert add_hop(add_hop(None, photons(0.7)), photons(0.7)).epsilon == 1.0


def test_a_pad_that_itself_came_by_relay_is_no_hop() -> None:
    sites = tuple(KmeId(site) for site in "ACB")
    with pytest.raises(ValueError, match="own fibre"):
        add_hop(None, Grade(KeyOrigin.PHOTONS, "proof", 1e-10, (sites,)))


BAD_ORDERS = [
    (make_order("ACA"), "begins and ends"),
    (make_order("ACB", "ADE", scheme=Scheme.XOR, threshold=2), "does not lead"),
    (make_order("ACCB"), "twice"),
    (make_order("ACDCB"), "twice"),
    (make_order("ABCB"), "twice"),
    (make_order("ACB", "ADCB", scheme=Scheme.XOR, threshold=2), "disjoint"),
    (make_order("AB", "AB", scheme=Scheme.XOR, threshold=2), "disjoint"),
    (make_order("ACB", "ADB"), "does not fit"),
    (make_order("ACB", threshold=2), "does not fit"),
    (make_order("ACB", scheme=Scheme.XOR), "does not fit"),
    (make_order("ACB", "ADB", scheme=Scheme.XOR, threshold=1), "does not fit"),
    (make_order("ACB", "ADB", scheme=Scheme.SHAMIR, threshold=1), "does not fit"),
    (make_order("ACB", "ADB", "AEB", "AFB", scheme=Scheme.SHAMIR, threshold=2), "does not fit"),
    (make_order("ACB", "ADB", scheme=Scheme.SHAMIR, threshold=3), "does not fit"),
]


@pytest.mark.parametrize(("order", "why"), BAD_ORDERS, ids=lambda case: case if isinstance(case, str) else "")
def test_an_order_that_breaks_a_rule_is_refused_at_the_ends_and_at_relays(order: RelayOrder, why: str) -> None:
    with pytest.raises(DataRefused, match=why):
        check_order(order)
    parcel = RelayParcel(order, 1, 1, pads_for(order, "hop"), None, bytes(order.size), bytes(16))
    with pytest.raises(ProtocolError, match=why):
        check_parcel(parcel, KmeId("C"), KmeId("A"), lambda _order: True)


@pytest.mark.parametrize("order", [TWO, THREE, TWO_OF_THREE, CHAIN, make_order("AB")])
def test_orders_that_keep_the_rules_pass(order: RelayOrder) -> None:
    check_order(order, frozenset({KmeId("G"), KmeId("A"), KmeId("B")}))  # the ends themselves are no relays


def test_an_end_refuses_a_site_that_it_forbids() -> None:
    with pytest.raises(DataRefused, match="leads through D, which is forbidden"):
        check_order(THREE, frozenset({KmeId("D"), KmeId("Z")}))


def first_parcel(order: RelayOrder = CHAIN) -> RelayParcel:
    value = shares_of(order, secret_of(order))[0]
    return send_share(order, 1, value, pads_for(order, "hop 1"), hop_key(order, 1, 1)).parcel


def changed(**fields: object) -> RelayParcel:
    return msgspec.structs.replace(first_parcel(), **fields)


def yes(_order: RelayOrder) -> bool:
    return True


@pytest.mark.parametrize(
    ("parcel", "here", "sender", "why"),
    [
        (first_parcel(), "D", "A", "not for D"),
        (first_parcel(), "C", "E", "came to C from E"),
        (changed(hop=2), "C", "A", "not for C"),
        (changed(hop=5), "B", "E", "not for B"),
        (changed(share=2), "C", "A", "share 2"),
        (changed(share=0), "C", "A", "share 0"),
        (changed(cipher=bytes(1023)), "C", "A", "1023 bytes"),
        (changed(pads=pads_for(CHAIN, "x", 1055)), "C", "A", "1055 of key"),
        (changed(behind=add_hop(None, photons())), "C", "A", "one too many"),
        (changed(hop=2), "D", "C", "missing"),
    ],
)
def test_a_parcel_that_is_not_on_its_way_is_refused_before_key_is_spent(
    parcel: RelayParcel, here: str, sender: str, why: str
) -> None:
    with pytest.raises(ProtocolError, match=why):
        check_parcel(parcel, KmeId(here), KmeId(sender), yes)


def test_a_relays_own_rules_may_refuse_an_order() -> None:
    with pytest.raises(DataRefused, match="C does not carry"):
        check_parcel(first_parcel(), KmeId("C"), KmeId("A"), lambda _order: False)


@pytest.mark.parametrize(
    "change",
    [
        lambda p: msgspec.structs.replace(p, cipher=bytes([p.cipher[0] ^ 1]) + p.cipher[1:]),
        lambda p: msgspec.structs.replace(p, tag=bytes([p.tag[0] ^ 1]) + p.tag[1:]),
        lambda p: msgspec.structs.replace(p, share=2),
        lambda p: msgspec.structs.replace(p, hop=2),
        lambda p: msgspec.structs.replace(p, behind=add_hop(None, photons())),
        lambda p: msgspec.structs.replace(p, pads=p.pads[::-1]),
        lambda p: msgspec.structs.replace(p, order=msgspec.structs.replace(p.order, block=block_of("other"))),
        lambda p: msgspec.structs.replace(p, order=msgspec.structs.replace(p.order, pool="A~C")),
        lambda p: msgspec.structs.replace(p, order=msgspec.structs.replace(p.order, paths=(tuple("ACB"),))),
    ],
    ids=["cipher", "tag", "share", "hop", "grade", "pads", "block", "pool", "path"],
)
def test_every_field_stands_under_the_one_time_tag(change: Callable[[RelayParcel], RelayParcel]) -> None:
    with pytest.raises(AuthenticationError):
        open_parcel(change(first_parcel()), hop_key(CHAIN, 1, 1))


def test_the_key_of_a_hop_is_wiped_where_it_was_used_even_for_a_forgery() -> None:
    sent, received = hop_key(CHAIN, 1, 1), hop_key(CHAIN, 1, 2)
    parcel = send_share(CHAIN, 1, secret_of(CHAIN), pads_for(CHAIN, "hop 1"), sent).parcel
    with pytest.raises(AuthenticationError):
        open_parcel(parcel, received)
    for key in (sent, received):
        with pytest.raises(ValueError, match="taken or wiped"):
            key.view()


def test_mistakes_of_the_caller_are_named() -> None:
    parcel = first_parcel(make_order("AB"))
    with pytest.raises(ValueError, match="has arrived"):
        forward(parcel, secret_of(CHAIN), photons(), pads_for(CHAIN, "x"), hop_key(CHAIN, 1, 2))
    with pytest.raises(ValueError, match="1056 bytes of key"):
        send_share(CHAIN, 1, secret_of(CHAIN), pads_for(CHAIN, "x"), SecretBytes(bytes(1055)))
    with pytest.raises(ValueError, match="is for 1024 bytes"):
        plan_shares(CHAIN, SecretBytes(bytes(1023)), FixedEntropy())
