"""Wegman-Carter authentication of the whole transcript from one-time pads.

A tag is POLYVAL_H(transcript, length) XOR pad word (Wegman and Carter 1981): an almost-XOR-universal
hash whose value is hidden by a one-time pad, so that H stays secret over the tags of a transcript while each
pad word serves one tag. One forging attempt succeeds with probability at most (blocks + 1) / 2^128.

Each direction has its own pad, called its lane and named after its sender: an absolute sequence of 16-byte
words. Every transcript takes a fresh word as its hash key and a word for each tag after it: a word that was
used twice (a state restored from an old copy) then tells nothing about any other transcript.
"""

from __future__ import annotations

import hmac
import math
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from poliqi.base.errors import AuthenticationError, KeyExhausted
from poliqi.base.ids import Role
from poliqi.base.secret import SecretBytes
from poliqi.distill.kernels.polyval import PolyHash
from poliqi.distill.outcome import PadCursor

__all__ = [
    "HELLO_TAGS",
    "TAGS_PER_BLOCK",
    "WORD",
    "WORDS_PER_BLOCK",
    "Authenticator",
    "Lane",
    "OneTimeMac",
    "feed",
]

WORD: Final = 16
_LARGE_FRAME: Final = 4096
HELLO_TAGS: Final = {Role.ALICE: 2, Role.BOB: 1}
TAGS_PER_BLOCK: Final = 2
WORDS_PER_BLOCK: Final = 1 + TAGS_PER_BLOCK
_TAGS_OF_A_KEY: Final = 2 * TAGS_PER_BLOCK + sum(HELLO_TAGS.values())


def feed(update: Callable[[bytes | memoryview], object], frame: bytes) -> None:
    """Give a hash a frame as transcripts hold it: a block with its length, then its bytes, zero-padded to 16."""
    head, whole = len(frame).to_bytes(8, "little") + bytes(8), len(frame) - len(frame) % WORD
    if len(frame) < _LARGE_FRAME:
        update(head + frame + bytes(-len(frame) % WORD))
        return
    update(head)
    update(memoryview(frame)[:whole])
    if whole < len(frame):
        update(frame[whole:].ljust(WORD, b"\0"))


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

    def begin(self, context: bytes, *, jump: bool) -> None:
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

    def epsilon(self, more_bytes: int) -> float:
        """Bound on the probability that any of the tags behind a key is forged: all of its block's and hello's.

        `more_bytes` is what a direction will still say in this block.
        """
        ...


class Lane:
    """The pad of one direction, as far as it is in memory: words `first_word` and on."""

    def __init__(self, sender: Role, *, next_word: int, first_word: int, words: SecretBytes, capacity: int) -> None:
        self.sender: Final = sender
        self.capacity: Final = capacity
        self.next_word = next_word
        self._first: Final = first_word
        self._words = bytearray(words.view())

    @property
    def end_word(self) -> int:
        return self._first + len(self._words) // WORD

    @property
    def available(self) -> int:
        return self.end_word - self.next_word

    def word(self, index: int) -> bytes:
        """Word `index`; KeyExhausted outside what is held."""
        start = (index - self._first) * WORD
        if index < self._first or index >= self.end_word:
            raise KeyExhausted(
                f"pad of {self.sender}: word {index} is not among those held ({self._first} to {self.end_word}); "
                "pair the link again"
            )
        return bytes(self._words[start : start + WORD])

    def take(self) -> tuple[int, bytes]:
        """The next word and its index; it is used from here on."""
        index = self.next_word
        word = self.word(index)
        self.next_word = index + 1
        return index, word

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
        self._opening: bytes | None = None

    def begin(self, context: bytes, *, jump: bool) -> None:
        # my own words are taken when I first speak: who merely knocks must not cost me any
        self._opening = context
        self._waiting = [context] if jump else None
        if not jump:
            self._open()
            self._start(self._in, self._in.take()[1], [context])

    def _open(self) -> None:
        if self._opening is not None:
            opening, self._opening = self._opening, None
            self._start(self._out, self._out.take()[1], [opening])

    def _start(self, lane: Lane, hash_key: bytes, parts: list[bytes]) -> None:
        fresh = PolyHash(hash_key)
        for part in parts:
            feed(fresh.update, part)
        self._hashes[lane.sender] = fresh

    def absorb(self, sender: Role, frame: bytes) -> None:
        if sender == self._out.sender:
            self._open()
        if sender == self._in.sender and self._waiting is not None:
            self._waiting.append(frame)
        else:
            feed(self._hashes[sender].update, frame)

    def seal(self) -> bytes:
        self._open()
        index, word = self._out.take()
        return index.to_bytes(8, "little") + self._masked(self._out.sender, word)

    def _masked(self, sender: Role, word: bytes) -> bytes:
        value = self._hashes[sender].digest_with_length()
        return (int.from_bytes(value, "little") ^ int.from_bytes(word, "little")).to_bytes(WORD, "little")

    def check(self, tag: bytes) -> None:
        if len(tag) != 8 + WORD:
            raise AuthenticationError(f"a tag of {len(tag)} bytes came, {8 + WORD} are needed")
        index = int.from_bytes(tag[:8], "little")
        if self._waiting is not None:
            self._jump(index, self._waiting)
        elif index != self._in.next_word:
            raise AuthenticationError(f"tag names pad word {index}, word {self._in.next_word} is due")
        if not hmac.compare_digest(self._masked(self._in.sender, self._in.word(index)), tag[8:]):
            raise AuthenticationError(f"the tag at pad word {index} does not fit what was received")
        self._in.next_word = index + 1
        self._waiting = None

    def _jump(self, index: int, waiting: list[bytes]) -> None:
        lane = self._in
        if not lane.next_word < index < lane.end_word:
            raise AuthenticationError(
                f"peer's pad word {index} is not among the unused ones ({lane.next_word} to {lane.end_word}): "
                "a replay, or one end was restored from an old copy; if so, pair the link again"
            )
        self._start(lane, lane.word(index - 1), waiting)

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

    def epsilon(self, more_bytes: int) -> float:
        blocks = max(each.blocks for each in self._hashes.values()) + math.ceil(more_bytes / WORD)
        return _TAGS_OF_A_KEY * math.ldexp(blocks + 1, -128)
