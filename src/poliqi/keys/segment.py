"""Segments: the pieces of confirmed blocks that stock is made of, and how both ends cut and compare them.

Both ends of a pool hold the same blocks. Each cuts them in the same way, gives every segment the same owner and
compares a one-time tag of it with the peer before any bit is used.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Final

from cryptography.hazmat.primitives.poly1305 import Poly1305

from poliqi.base.ids import KmeId, LinkId
from poliqi.base.secret import SecretBytes
from poliqi.keys.grade import Grade

__all__ = [
    "HEAD_BYTES",
    "SEGMENT_BYTES",
    "SegmentName",
    "SegmentRecord",
    "SegmentState",
    "block_of_number",
    "comparison_tag",
    "cut",
    "first_usable",
    "owner_of",
]

SEGMENT_BYTES: Final = 1 << 16
HEAD_BYTES: Final = 32
_PROVEN_LEAST: Final = 1024
_SPLIT_LEAST: Final = 4096


class SegmentState(StrEnum):
    """`stored`: durable here. `ready`: durable at both ends and found equal."""

    STORED = "stored"
    READY = "ready"


@dataclass(frozen=True, slots=True, order=True)
class SegmentName:
    """The same words at both ends: the block's 16 bytes and the part's place in it."""

    block: bytes
    part: int


@dataclass(slots=True)
class SegmentRecord:
    """A segment as the store knows it.

    `number` is this store's own and is never given again. `leased`: for a segment of one's own, bytes below it
    may have been used; for a segment of the peer's, bytes below it were used. `tag` is compared with the peer.
    """

    number: int
    pool: LinkId
    name: SegmentName
    owner: KmeId
    size: int
    grade: Grade
    tag: bytes
    state: SegmentState = SegmentState.STORED
    leased: int = 0


def block_of_number(number: int, pairing: str = "0" * 16) -> bytes:
    """The 16 bytes that name a numbered block of a distilling link: the pairing's 16 hex digits, then the number.

    A link that is paired again begins its numbers anew, and these are other blocks.
    """
    return bytes.fromhex(pairing) + number.to_bytes(8, "big")


def cut(size: int) -> list[tuple[int, int]]:
    """Start and end of each segment of a block of `size` bytes: equal parts, an even number of large ones."""
    count = max(1, -(-size // SEGMENT_BYTES))
    if size >= _SPLIT_LEAST:
        count += count & 1
    edges = [size * i // count for i in range(count + 1)]
    return list(pairwise(edges))


def owner_of(name: SegmentName, first: KmeId, second: KmeId) -> KmeId:
    """Who may give keys out of a segment: the two ends in turn, by a rule that needs no talk."""
    ends = sorted((first, second))
    return ends[(name.block[-1] + name.part) & 1]


def first_usable(size: int) -> int:
    """First byte that may become key: the head of a segment was spent on its comparison."""
    return HEAD_BYTES if size >= _PROVEN_LEAST else 0


def comparison_tag(
    payload: SecretBytes, pool: LinkId, name: SegmentName, grade: Grade, pool_secret: bytes
) -> bytes:
    """16 bytes that both ends compare: of the bits, and of what each end was told that they are.

    A segment of 1 KiB or more pays for it with its own first 32 bytes, the key of a one-time Poly1305 over the
    rest: nothing of the rest is told, to anyone; unequal rests agree with probability at most
    8 ceil(L/16) / 2^106 (Bernstein, FSE 2005, theorem 3.3). A shorter one, from a device without a proof, is
    compared by HMAC-SHA256 under a secret that both ends agreed on, which is computational.
    """
    view = payload.view()
    context = b"poliqi segment\x00" + len(pool.encode()).to_bytes(2, "big") + pool.encode()
    context += name.block + name.part.to_bytes(4, "big") + len(view).to_bytes(4, "big")
    words = (grade.origin.encode(), grade.proof.encode(), b"unproven" if grade.epsilon is None else b"proven")
    context += b"".join(len(word).to_bytes(2, "big") + word for word in words)
    if first_usable(len(view)) == 0:
        return hmac.digest(pool_secret, context + bytes(view), hashlib.sha256)[:16]
    mac = Poly1305(bytes(view[:HEAD_BYTES]))
    mac.update(context)
    mac.update(view[HEAD_BYTES:])
    return mac.finalize()
