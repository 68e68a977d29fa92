"""The line between the ends of a key device: no frame breaks a core, no flipped bit passes, no death divides."""

from __future__ import annotations

import copy
import hashlib
import os
import random
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poliqi.base.errors import ProtocolError
from poliqi.base.ids import LinkId, Role
from poliqi.base.secret import SecretBytes
from poliqi.distill.authenticate import Lane
from poliqi.keys.devices.messages import (
    FRAME_BYTES,
    Announce,
    Have,
    Hello,
    Settle,
    Welcome,
    decode,
    encode,
    is_name,
    pack_bits,
    unpack_bits,
)
from poliqi.keys.devices.pairing import Dropped, Follower, JoinedKeys, Leader, name_of_block
from poliqi.link.keydevice import DeviceKey

LINK, PAIR, WORDS = LinkId("leonardo-bovisa"), "00112233aabbccdd", 64
PADS = {role: os.urandom(16 * WORDS) for role in Role}
KINDS = (Hello, Welcome, Announce, Have, Settle)


class Drawn:
    source = "test"

    def draw(self, count: int) -> bytes:
        return os.urandom(count)


def lanes(first: dict[Role, int] | None = None) -> dict[Role, Lane]:
    at = first or dict.fromkeys(Role, 0)
    return {
        role: Lane(
            role,
            next_word=at[role],
            first_word=at[role],
            words=SecretBytes(PADS[role][16 * at[role] :]),
            capacity=WORDS,
        )
        for role in Role
    }


def keys(bits: dict[str, bytes]) -> list[DeviceKey]:
    return [DeviceKey(name, SecretBytes(data)) for name, data in bits.items()]


def met(last: int = 0, highest: int = 0) -> tuple[Leader, Follower]:
    leader = Leader(LINK, PAIR, lanes(), Drawn(), last)
    follower = Follower(LINK, PAIR, lanes(), Drawn(), highest)
    follower.welcomed(leader.welcome(follower.hello(leader.hello())))
    return leader, follower


@given(st.binary(max_size=600), st.sampled_from(KINDS))
def test_no_bytes_break_a_reader(frame: bytes, kind: type[Hello]) -> None:
    with suppress(ProtocolError):
        decode(frame, kind)


@given(st.data())
def test_a_flipped_bit_anywhere_is_refused_or_drops_the_block(data: st.DataObject) -> None:
    """Of every frame that carries a tag; announcements stand under the tags of what follows them."""
    bits = {f"k{i}": os.urandom(16) for i in range(3)}
    place = data.draw(st.integers(0, 5))

    def wire(number: int, frame: bytes) -> bytes:
        if number != place:
            return frame
        at = data.draw(st.integers(0, 8 * len(frame) - 1))
        changed = bytearray(frame)
        changed[at // 8] ^= 1 << at % 8
        return bytes(changed)

    leader, follower = Leader(LINK, PAIR, lanes(), Drawn(), 0), Follower(LINK, PAIR, lanes(), Drawn(), 0)
    try:
        welcome = leader.welcome(wire(1, follower.hello(wire(0, leader.hello()))))
        follower.welcomed(wire(2, welcome))
        named = follower.announced(wire(3, leader.announce(keys(bits))))
        frame, held = follower.have([DeviceKey(n, SecretBytes(bits[n])) if n in bits else None for n in named])
        outcome = leader.answered(wire(4, frame))
        if isinstance(outcome, Dropped) and not outcome.differs:
            return
        settled = follower.settled(wire(5, leader.settle(outcome)))
    except ProtocolError:
        return
    assert held is not None
    assert isinstance(settled, Dropped), "nothing was believed that was not said"


@given(st.binary(max_size=40), st.integers(1, 300))
def test_kept_bits_are_read_strictly(data: bytes, count: int) -> None:
    try:
        places = unpack_bits(data, count)
    except ProtocolError:
        return
    assert pack_bits([i in set(places) for i in range(count)]) == data


@given(st.text(max_size=140))
def test_names_that_pass_can_be_listed_a_line_each(name: str) -> None:
    if is_name(name):
        assert name.split() == [name]
        assert name.splitlines() == [name]


def test_the_name_of_a_block_is_the_documented_one() -> None:
    body = b"poliqi device block" + b"\x00\x03a-b" + bytes.fromhex(PAIR) + (7).to_bytes(8, "big")
    body += b"\x00\x02k1" + b"\x00\x03k22"
    digest = bytearray(hashlib.sha256(body).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    assert name_of_block(LinkId("a-b"), PAIR, 7, ["k1", "k22"]) == bytes(digest)


@pytest.mark.parametrize("kind", KINDS)
def test_frames_over_their_limit_are_not_read(kind: type[Hello]) -> None:
    with pytest.raises(ProtocolError, match="are allowed here"):
        decode(b"\x91" * (FRAME_BYTES[kind] + 1), kind)


def test_an_old_hello_is_no_hello() -> None:
    leader = Leader(LINK, PAIR, lanes(), Drawn(), 0)
    old = leader.hello()
    follower = Follower(LINK, PAIR, lanes(), Drawn(), 0)
    follower.hello(old)
    cursors = {mark.sender: mark.next_word for mark in follower.marks()}
    with pytest.raises(ProtocolError, match="replay"):
        Follower(LINK, PAIR, lanes(cursors), Drawn(), 0).hello(old)


def test_a_kept_hello_settles_nothing() -> None:
    """It was sent and never arrived: its words are unused, but who plays it cannot answer the follower."""
    leader = Leader(LINK, PAIR, lanes(), Drawn(), 5)
    follower = Follower(LINK, PAIR, lanes(), Drawn(), 6)
    follower.hello(leader.hello())
    with pytest.raises(ProtocolError):
        follower.welcomed(encode(Welcome(os.urandom(16), bytes(24))))


def test_an_end_of_another_pairing_is_named() -> None:
    leader = Leader(LINK, "ff" * 8, lanes(), Drawn(), 0)
    with pytest.raises(ProtocolError, match="pair ffffffffffffffff"):
        Follower(LINK, PAIR, lanes(), Drawn(), 0).hello(leader.hello())


def test_numbers_rise_above_whatever_either_end_has_seen() -> None:
    leader, follower = met(last=3, highest=9)
    assert follower.announced(leader.announce(keys({"k": bytes(16)}))) == ["k"]
    _, block = follower.have(keys({"k": bytes(16)}))
    assert block is not None
    assert block.number == 10


# ---------------------------------------------------------------- deaths


@dataclass
class Kept:
    """What an end has on its disk."""

    cursors: dict[Role, int] = field(default_factory=lambda: dict.fromkeys(Role, 0))
    stored: list[JoinedKeys] = field(default_factory=list)
    held: JoinedKeys | None = None
    highest: int = 0

    @property
    def last(self) -> int:
        return self.stored[-1].number if self.stored else 0


class Death(Exception):
    """An end, or the line, dies here."""


def connection(rng: random.Random, lead: Kept, follow: Kept, fresh: list[DeviceKey]) -> None:
    """One connection with up to three blocks, in the order of docs/spec/key-devices.md; it may die at any step."""

    def step() -> None:
        if rng.random() < 0.12:
            raise Death

    def mark(kept: Kept, end: Leader | Follower) -> None:
        for cursor in end.marks():
            assert cursor.next_word >= kept.cursors[cursor.sender], "a word is used again"
            kept.cursors[cursor.sender] = cursor.next_word

    leader = Leader(LINK, PAIR, lanes(lead.cursors), Drawn(), lead.last)
    follower = Follower(LINK, PAIR, lanes(follow.cursors), Drawn(), follow.highest)
    hello = leader.hello()
    mark(lead, leader)
    step()
    answer = follower.hello(hello)
    mark(follow, follower)
    step()
    welcome = leader.welcome(answer)
    mark(lead, leader)
    step()
    number = follower.welcomed(welcome)
    mark(follow, follower)
    if follow.held is not None and follow.held.number == number:
        follow.stored.append(follow.held)
    follow.held = None
    for _ in range(3):
        step()
        batch, fresh[:3] = [copy.copy(key) for key in fresh[:3]], []
        if not batch:
            return
        follower.announced(leader.announce(batch))
        step()
        have, block = follower.have([key if rng.random() < 0.9 else None for key in batch])
        if block is None:
            continue
        mark(follow, follower)
        follow.held, follow.highest = block, block.number
        step()
        outcome = leader.answered(have)
        assert isinstance(outcome, JoinedKeys)
        frame = leader.settle(outcome)
        mark(lead, leader)
        step()
        lead.stored.append(outcome)
        step()
        settled = follower.settled(frame)
        mark(follow, follower)
        assert isinstance(settled, JoinedKeys)
        follow.stored.append(settled)
        follow.held = None


@given(st.integers(0, 1 << 32))
def test_deaths_at_any_step_leave_the_same_blocks_and_no_key_in_two(seed: int) -> None:
    rng = random.Random(seed)
    lead, follow = Kept(), Kept()
    fresh = [DeviceKey(f"k{i}", SecretBytes(i.to_bytes(16, "big"))) for i in range(24)]
    for _ in range(4):
        with suppress(Death):
            connection(rng, lead, follow, fresh)
    rng.random = lambda: 0.5  # type: ignore[method-assign]
    connection(rng, lead, follow, [])
    assert [(b.number, b.name, b.names) for b in lead.stored] == [
        (b.number, b.name, b.names) for b in follow.stored
    ]
    assert all(a.key == b.key for a, b in zip(lead.stored, follow.stored, strict=True))
    names = [name for block in lead.stored for name in block.names]
    assert len(names) == len(set(names))
    assert follow.held is None


def test_a_refused_frame_is_not_quoted() -> None:
    frame = msgspec.msgpack.encode(["\x1b[2J\nFAKE LINE deadbeef", 1])
    with pytest.raises(ProtocolError, match=r"in \d+ bytes$") as caught:
        decode(frame, Hello)
    assert "deadbeef" not in str(caught.value)
