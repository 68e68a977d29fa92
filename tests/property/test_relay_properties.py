"""Relay and secret sharing on anything: round trips, lies, noise."""

from __future__ import annotations

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from relay_city import FixedEntropy, Walk, hop_key, make_order, pads_for, stretch

from poliqi.base.errors import AuthenticationError, ProtocolError
from poliqi.base.ids import KmeId, LinkId
from poliqi.base.secret import SecretBytes
from poliqi.keys.grade import Grade, KeyOrigin
from poliqi.keys.kem import KemInitiator, KemPlace, KemResponder
from poliqi.keys.onetime import open_sealed, seal
from poliqi.keys.relay import open_parcel, plan_shares, send_share
from poliqi.keys.relay_messages import RelayParcel, Scheme, decode_relay, encode_relay
from poliqi.keys.segment import SegmentName, comparison_tag
from poliqi.keys.shares import candidates, join_shamir, join_xor, split_shamir, split_xor

ORDER = make_order("ACB", "ADB", scheme=Scheme.XOR, threshold=2)
CLAMP = 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
PLACE = KemPlace(LinkId("pool"), 1, KmeId("a"), KmeId("b"))

GRADE = Grade(KeyOrigin.PHOTONS, "", None, ())


@given(st.data(), st.binary(min_size=1, max_size=64), st.integers(2, 6))
def test_any_threshold_of_shares_gives_any_secret(data: st.DataObject, secret: bytes, count: int) -> None:
    threshold = data.draw(st.integers(2, count))
    same_size = st.binary(min_size=len(secret), max_size=len(secret))
    draws = data.draw(st.lists(same_size, min_size=threshold - 1, max_size=threshold - 1))
    shares = dict(enumerate(split_shamir(secret, threshold, count, FixedEntropy(*draws)), 1))
    chosen = data.draw(st.permutations(list(shares)))[:threshold]
    assert join_shamir({number: shares[number] for number in chosen}) == secret


@given(st.data(), st.binary(min_size=1, max_size=64), st.integers(1, 6))
def test_all_shares_give_any_secret(data: st.DataObject, secret: bytes, count: int) -> None:
    same_size = st.binary(min_size=len(secret), max_size=len(secret))
    draws = data.draw(st.lists(same_size, min_size=count - 1, max_size=count - 1))
    assert join_xor(split_xor(secret, count, FixedEntropy(*draws))) == secret


@given(st.binary(min_size=8, max_size=8), st.binary(min_size=8, max_size=8), st.integers(1, 5))
def test_any_one_lie_among_five_shares_of_three_is_corrected_and_named(
    secret: bytes, lie: bytes, liar: int
) -> None:
    shares = dict(enumerate(split_shamir(secret, 3, 5, FixedEntropy(b"12345678", b"abcdefgh")), 1))
    assume(lie != shares[liar])
    shares[liar] = lie
    best = next(candidates(shares, 3))
    assert (best.secret, best.odd) == (secret, (liar,))


@given(st.binary(max_size=100), st.binary(max_size=30), st.binary(max_size=100), st.binary(max_size=30))
def test_a_tag_fits_one_message_in_one_context(text: bytes, context: bytes, other: bytes, elsewhere: bytes) -> None:
    key = stretch("key", 32)
    cipher, tag = seal(text, bytes(len(text)), key, context)
    assert open_sealed(cipher, tag, bytes(len(text)), key, context).take() == text
    assume((other, elsewhere) != (cipher, context))
    try:
        open_sealed(other, tag, bytes(len(other)), key, elsewhere)
    except AuthenticationError:
        return
    raise AssertionError("a forgery was taken")


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.integers(0, 1023), st.integers(1, 255), min_size=1, max_size=20))
def test_whatever_one_relay_adds_the_ends_notice_or_no_used_bit_differs(lies: dict[int, int]) -> None:
    secret = stretch("the secret", 1024)
    shares = plan_shares(ORDER, SecretBytes(secret), FixedEntropy(stretch("draw", 1024)))

    def lie(_site: str, data: bytes) -> bytes:
        return bytes(byte ^ lies.get(place, 0) for place, byte in enumerate(data))

    arrived = [Walk(ORDER, 1).go(shares[0], lie)[0], Walk(ORDER, 2).go(shares[1])[0]]
    there = join_xor([share.view() for share in arrived])
    name = SegmentName(ORDER.block, 0)
    tags = [comparison_tag(SecretBytes(end), LinkId(ORDER.pool), name, GRADE, b"") for end in (secret, there)]
    r = [int.from_bytes(end[:16], "little") & CLAMP for end in (secret, there)]
    assert (tags[0] == tags[1]) == (r[0] == r[1] and secret[16:] == there[16:])


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_noise_is_no_relay_message(noise: bytes) -> None:
    try:
        message = decode_relay(noise)
    except ProtocolError:
        return
    assert encode_relay(message)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 255))
def test_any_changed_byte_of_a_parcel_is_refused(position: int, change: int) -> None:
    share = SecretBytes(stretch("a share", 1024))
    body = bytearray(encode_relay(send_share(ORDER, 1, share, pads_for(ORDER, "x"), hop_key(ORDER, 1, 1)).parcel))
    body[position % len(body)] ^= change
    try:
        message = decode_relay(bytes(body))
        assert isinstance(message, RelayParcel)
        open_parcel(message, hop_key(ORDER, 1, 1))
    except (ProtocolError, AuthenticationError, ValueError, AssertionError):
        return
    raise RuntimeError("a changed parcel was opened")


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_noise_agrees_on_no_key(noise: bytes) -> None:
    for step in (
        KemResponder(PLACE, bytes(32)).answer,
        KemInitiator(PLACE, bytes(32), FixedEntropy(bytes(64))).finish,
    ):
        try:
            step(noise)
        except ProtocolError:
            continue
        raise AssertionError("noise was taken for a step of the key agreement")
