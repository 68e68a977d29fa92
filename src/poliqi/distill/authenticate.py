"""Wegman-Carter authentication of the whole transcript from one-time pads.

A tag is POLYVAL_H(transcript, length) XOR pad word (Wegman and Carter 1981): an almost-XOR-universal
hash whose value is hidden by a one-time pad, so that the hash key H may serve many tags while each pad
word serves one. One forging attempt succeeds with probability at most (blocks + 1) / 2^128.

Each direction has its own pad, called its lane and named after its sender: an absolute sequence of
16-byte words. Word i with i % EPOCH == 0 is the hash key of its epoch and never pads a tag.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Final, Protocol

from poliqi.base.errors import AuthenticationError, KeyExhausted
from poliqi.base.ids import Role
from poliqi.base.secret import SecretBytes
from poliqi.distill.kernels.polyval import PolyHash
from poliqi.distill.outcome import PadCursor

__all__ = ["EPOCH", "TAGS_PER_BLOCK", "WORD", "Authenticator", "Lane", "OneTimeMac", "framed"]

WORD: Final = 16
EPOCH: Final = 1 << 16
TAGS_PER_BLOCK: Final = 2


def framed(frame: bytes) -> bytes:
    """A frame as the transcript holds it: a block with its length, then its bytes, zero-padded to 16."""
    return len(frame).to_bytes(8, "little") + bytes(8) + frame + bytes(-len(frame) % 16)


class Authenticator(Protocol):
    """Proves to each end that the transcript so far is what its peer sent."""

    @property
    def name(self) -> str:
        """What the ledger prints."""
        ...

    @property
    def one_block_only(self) -> bool:
        """Whether the session must end after its first confirmed block."""
        ...

    def begin(self, context: bytes, tags: int, *, jump: bool) -> None:
        """Start a new transcript in both directions; `jump`: the peer's first tag names its own word."""
        ...

    def absorb(self, sender: Role, frame: bytes) -> None:
        """Add a frame to its sender's transcript."""
        ...

    def seal(self) -> bytes:
        """Tag all that I sent since `begin`."""
        ...

    def check(self, tag: bytes) -> None:
        """Verify the peer's tag over all that it sent since `begin`; AuthenticationError otherwise."""
        ...

    def marks(self) -> list[PadCursor]:
        """What must be durable before the next byte leaves."""
        ...

    def refill_words(self) -> tuple[int, int]:
        """Words that fill Alice's and Bob's lane to capacity once this block's tags are spent."""
        ...

    def refill(self, alice: bytes, bob: bytes) -> None:
        """Append words to both lanes."""
        ...

    def words_left(self) -> int | None:
        """Words in the emptier lane; None where tags cost none."""
        ...

    def epsilon(self) -> float:
        """Sum over the tags since `begin` of the probability that a forgery passes."""
        ...


class Lane:
    """The pad of one direction, as far as it is in memory: words `first_word` and on."""

    def __init__(
        self,
        sender: Role,
        *,
        next_word: int,
        first_word: int,
        words: SecretBytes,
        hash_key: SecretBytes,
        capacity: int,
    ) -> None:
        self.sender: Final = sender
        self.capacity: Final = capacity
        self.next_word = next_word
        self._first = first_word
        self._words = bytearray(words.view())
        self._key_epoch = next_word - next_word % EPOCH
        self._key = bytes(hash_key.view())

    @property
    def end_word(self) -> int:
        return self._first + len(self._words) // WORD

    @property
    def available(self) -> int:
        return self.end_word - self.next_word

    def align(self, tags: int) -> None:
        """Move past the end of an epoch that cannot hold `tags` more words, and past its hash-key word."""
        place = self.next_word % EPOCH
        if place and place + tags > EPOCH:
            self.next_word += EPOCH - place
        if self.next_word % EPOCH == 0:
            self.next_word += 1
        if self.available < tags:
            raise KeyExhausted(
                f"pad of {self.sender}: {max(self.available, 0)} words left, {tags} needed; pair the link again"
            )

    def word(self, index: int) -> bytes:
        """Word `index`; KeyExhausted outside what is held."""
        start = (index - self._first) * WORD
        if index < self._first or index >= self.end_word:
            raise KeyExhausted(f"pad of {self.sender}: word {index} is not held ({self._first} to {self.end_word})")
        return bytes(self._words[start : start + WORD])

    def hash_key(self, index: int) -> bytes:
        """Hash key of the epoch that word `index` lies in."""
        epoch = index - index % EPOCH
        if epoch != self._key_epoch:
            self._key = self.word(epoch)
            self._key_epoch = epoch
        return self._key

    def extend(self, words: bytes) -> None:
        self._words += words


class OneTimeMac:
    """Authenticator of a paired link: 24 bytes a tag, the word's index and the masked hash."""

    name = "Wegman-Carter, POLYVAL with one-time pad"
    one_block_only = False

    def __init__(self, role: Role, lanes: Mapping[Role, Lane]) -> None:
        self._out: Final = lanes[role]
        self._in: Final = lanes[role.peer]
        self._lanes: Final = lanes
        self._hashes: dict[Role, PolyHash] = {}
        self._waiting: list[bytes] | None = None
        self._epsilon = 0.0

    def begin(self, context: bytes, tags: int, *, jump: bool) -> None:
        self._epsilon = 0.0
        self._out.align(tags)
        self._start(self._out, context)
        if jump:
            self._waiting = [framed(context)]
        else:
            self._waiting = None
            self._in.align(tags)
            self._start(self._in, context)

    def _start(self, lane: Lane, context: bytes) -> None:
        fresh = PolyHash(lane.hash_key(lane.next_word))
        fresh.update(framed(context))
        self._hashes[lane.sender] = fresh

    def absorb(self, sender: Role, frame: bytes) -> None:
        if sender == self._in.sender and self._waiting is not None:
            self._waiting.append(framed(frame))
        else:
            self._hashes[sender].update(framed(frame))

    def seal(self) -> bytes:
        index = self._out.next_word
        self._out.next_word = index + 1
        return index.to_bytes(8, "little") + self._value(self._out, index)

    def _value(self, lane: Lane, index: int) -> bytes:
        running = self._hashes[lane.sender]
        self._epsilon += running.epsilon
        masked = int.from_bytes(running.digest_with_length(), "little") ^ int.from_bytes(lane.word(index), "little")
        return masked.to_bytes(WORD, "little")

    def check(self, tag: bytes) -> None:
        if len(tag) != 8 + WORD:
            raise AuthenticationError(f"a tag of {len(tag)} bytes came, {8 + WORD} are needed")
        index = int.from_bytes(tag[:8], "little")
        if self._waiting is not None:
            self._jump(index)
        elif index != self._in.next_word:
            raise AuthenticationError(f"tag names pad word {index}, word {self._in.next_word} is due")
        if not hmac.compare_digest(self._value(self._in, index), tag[8:]):
            raise AuthenticationError(f"the tag at pad word {index} does not fit what was received")
        self._in.next_word = index + 1

    def _jump(self, index: int) -> None:
        lane, waiting = self._in, self._waiting or []
        if not lane.next_word <= index < lane.end_word or index % EPOCH == 0:
            raise AuthenticationError(
                f"peer's pad word {index} is not among the unused ones ({lane.next_word} to {lane.end_word}): "
                "a replay, or one end was restored from an old copy; if so, pair the link again"
            )
        fresh = PolyHash(lane.hash_key(index))
        for part in waiting:
            fresh.update(part)
        self._hashes[lane.sender] = fresh
        self._waiting = None

    def marks(self) -> list[PadCursor]:
        return [PadCursor(lane.sender, lane.next_word) for lane in self._lanes.values()]

    def refill_words(self) -> tuple[int, int]:
        alice, bob = self._lanes[Role.ALICE], self._lanes[Role.BOB]
        return alice.capacity - (alice.available - TAGS_PER_BLOCK), bob.capacity - (bob.available - 1)

    def refill(self, alice: bytes, bob: bytes) -> None:
        self._lanes[Role.ALICE].extend(alice)
        self._lanes[Role.BOB].extend(bob)

    def words_left(self) -> int | None:
        return min(lane.available for lane in self._lanes.values())

    def epsilon(self) -> float:
        return self._epsilon
