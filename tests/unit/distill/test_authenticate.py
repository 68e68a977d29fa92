"""One-time MACs against a plain definition of POLYVAL, lanes, and the ML-DSA bootstrap."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey
from two_parties import Disk, make_contract, wire

from poliqi.base.errors import AuthenticationError, KeyExhausted
from poliqi.base.ids import Role
from poliqi.base.secret import SecretBytes
from poliqi.distill.authenticate import WORD, Lane, OneTimeMac
from poliqi.distill.bootstrap import SignatureBootstrap

POLY = (1 << 128) | (1 << 127) | (1 << 126) | (1 << 121) | 1


def dot(a: int, b: int) -> int:
    """a * b * x^-128 in RFC 8452's field, one bit at a time."""
    product = 0
    for i in range(128):
        if b >> i & 1:
            product ^= a << i
    for _ in range(128):
        product = (product ^ POLY if product & 1 else product) >> 1
    return product


def polyval(key: bytes, data: bytes) -> int:
    state, h = 0, int.from_bytes(key, "little")
    for i in range(0, len(data), 16):
        state = dot(state ^ int.from_bytes(data[i : i + 16], "little"), h)
    return state


def part(data: bytes) -> bytes:
    return len(data).to_bytes(8, "little") + bytes(8) + data + bytes(-len(data) % 16)


def lane(sender: Role, words: bytes, next_word: int = 0) -> Lane:
    return Lane(sender, next_word=next_word, first_word=0, words=SecretBytes(words), capacity=64)


def pair(words: int = 64) -> tuple[OneTimeMac, OneTimeMac]:
    pads = {r: bytes((i * 7 + len(r)) % 251 for i in range(16 * words)) for r in Role}
    alice, bob = (OneTimeMac(role, {r: lane(r, pads[r]) for r in Role}) for role in Role)
    return alice, bob


def test_the_published_vector_of_rfc_8452_holds_for_the_plain_definition_used_here() -> None:
    key = bytes.fromhex("25629347589242761d31f826ba4b757b")
    data = bytes.fromhex("4f4f95668c83dfb6401762bb2d01a262d1a24ddd2721d006bbe45f20d3c9f362")
    assert polyval(key, data).to_bytes(16, "little").hex() == "f7a3b47b846119fae5b7866cf5e5b77e"


def test_a_tag_is_the_masked_polyval_of_the_framed_transcript() -> None:
    words = bytes(range(256)) * 4
    mac = OneTimeMac(Role.ALICE, {r: lane(r, words) for r in Role})
    mac.begin(b"context", jump=False)
    mac.absorb(Role.ALICE, b"first frame")
    mac.absorb(Role.ALICE, b"x" * 32)
    text = part(b"context") + part(b"first frame") + part(b"x" * 32)
    text += (8 * len(text)).to_bytes(8, "little") + bytes(8)
    expected = polyval(words[:16], text) ^ int.from_bytes(words[16:32], "little")
    assert mac.seal() == (1).to_bytes(8, "little") + expected.to_bytes(16, "little")


def test_the_second_tag_of_a_transcript_covers_the_first_part_too() -> None:
    alice, bob = pair()
    for mac in (alice, bob):
        mac.begin(b"c", jump=False)
        mac.absorb(Role.ALICE, b"one")
    bob.check(alice.seal())
    alice.absorb(Role.ALICE, b"two")
    bob.absorb(Role.ALICE, b"two")
    bob.check(alice.seal())


def test_a_tag_is_accepted_once_and_only_in_its_place() -> None:
    alice, bob = pair()
    for mac in (alice, bob):
        mac.begin(b"c", jump=False)
        mac.absorb(Role.ALICE, b"one")
    tag = alice.seal()
    bob.check(tag)
    with pytest.raises(AuthenticationError, match="word 1, word 2 is due"):
        bob.check(tag)


def test_a_hello_may_skip_words_but_never_go_back() -> None:
    pads = {r: bytes(16 * 64) for r in Role}
    ahead = OneTimeMac(Role.ALICE, {r: lane(r, pads[r], next_word=9) for r in Role})
    behind = OneTimeMac(Role.BOB, {r: lane(r, pads[r], next_word=3) for r in Role})
    ahead.begin(b"h", jump=True)
    behind.begin(b"h", jump=True)
    behind.check(ahead.seal())
    restored = OneTimeMac(Role.ALICE, {r: lane(r, pads[r], next_word=4) for r in Role})
    restored.begin(b"h", jump=True)
    behind.begin(b"h", jump=True)
    with pytest.raises(AuthenticationError, match="restored from an old copy"):
        behind.check(restored.seal())


def test_every_transcript_has_a_hash_key_of_its_own() -> None:
    alice, bob = pair()
    tags = []
    for _ in range(2):
        for mac in (alice, bob):
            mac.begin(b"c", jump=False)
            mac.absorb(Role.ALICE, b"one")
        tags.append(alice.seal())
        bob.check(tags[-1])
    indexes = [int.from_bytes(tag[:8], "little") for tag in tags]
    assert indexes == [1, 3]


def test_an_empty_lane_says_so() -> None:
    made = lane(Role.BOB, bytes(16 * 2))
    made.take()
    made.take()
    with pytest.raises(KeyExhausted, match=r"pad of bob: word 2 is not among those held \(0 to 2\)"):
        made.take()


def test_the_first_block_of_an_unpaired_link_is_signed_and_fills_both_lanes() -> None:
    keys = {role: MLDSA65PrivateKey.generate() for role in Role}
    disks = {role: Disk(role, {r: bytearray() for r in Role}) for role in Role}
    contract = make_contract()
    run = wire(contract, (disks[Role.ALICE], disks[Role.BOB]))
    for role in Role:
        signer = SignatureBootstrap(role, keys[role], keys[role.peer].public_key(), capacity=8)
        given = contract if role is Role.ALICE else None
        run.sessions[role] = disks[role].session(contract=given, authenticator=signer)
    run.run()
    for role in Role:
        assert len(disks[role].lanes[Role.ALICE]) == len(disks[role].lanes[Role.BOB]) == 8 * WORD
        assert run.sessions[role].finished
        ledger = run.confirmed(role)[0].report.ledger
        assert any("ML-DSA-65" in entry.note and "computational" in entry.note for entry in ledger.entries)
    assert disks[Role.ALICE].lanes == disks[Role.BOB].lanes
    assert disks[Role.ALICE].keys == disks[Role.BOB].keys


def test_a_stranger_cannot_bootstrap() -> None:
    alice, bob, mallory = (MLDSA65PrivateKey.generate() for _ in range(3))
    disks = {role: Disk(role, {r: bytearray() for r in Role}) for role in Role}
    contract = make_contract()
    run = wire(contract, (disks[Role.ALICE], disks[Role.BOB]))
    run.sessions[Role.ALICE] = disks[Role.ALICE].session(
        contract=contract, authenticator=SignatureBootstrap(Role.ALICE, mallory, bob.public_key(), capacity=8)
    )
    run.sessions[Role.BOB] = disks[Role.BOB].session(
        authenticator=SignatureBootstrap(Role.BOB, bob, alice.public_key(), capacity=8)
    )
    run.run()
    assert "ML-DSA-65 signature does not fit" in run.aborts(Role.BOB)[0].reason
