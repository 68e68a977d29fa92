"""The messages of a session: MessagePack arrays whose first element is the type (docs/spec/session.md).

What may be large is a memoryview: of what its sender made, or of the frame it came in. Nothing is copied.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from poliqi.base.errors import ProtocolError
from poliqi.distill.contract import Contract

__all__ = [
    "FIRST_FRAME_LIMIT",
    "VERSION",
    "Abort",
    "Amplify",
    "Confirm",
    "Detect",
    "Disclose",
    "Final_",
    "FrameTags",
    "FrameVerdict",
    "Hello",
    "KeyErrors",
    "Message",
    "Parities",
    "Refused",
    "Sift",
    "Tag",
    "Verdict",
    "Verify",
    "Welcome",
    "decode_message",
    "encode_message",
    "frame_limit",
]

VERSION: Final = 1
FIRST_FRAME_LIMIT: Final = 1 << 16

Count = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
Small = Annotated[int, msgspec.Meta(ge=0, le=1 << 48)]
Slot = Annotated[int, msgspec.Meta(ge=0, le=1 << 62)]
Word = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
Text = Annotated[str, msgspec.Meta(max_length=300)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class _Message(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Base of all messages."""


class Hello(_Message, frozen=True, tag=0):
    """Who I am, what I hold, what I propose; `peer_nonce` is empty in Alice's, who speaks first."""

    version: Count
    role: Name
    link_id: Name
    nonce: Word
    peer_nonce: Annotated[bytes, msgspec.Meta(max_length=16)]
    next_block: Small
    next_slot: Slot
    last_confirmed: Small
    contract: Contract | None


class Tag(_Message, frozen=True, tag=1):
    """Authenticates all that its sender said since the transcript began."""

    value: Annotated[bytes, msgspec.Meta(max_length=8192)]


class Detect(_Message, frozen=True, tag=2):
    """Bob: which slots clicked, in which basis, and his bits of the test basis."""

    number: Count
    first_slot: Count
    pulses: Count
    count: Count
    gaps: memoryview
    wide_gaps: memoryview
    bases: memoryview
    test_bits: memoryview


class Sift(_Message, frozen=True, tag=3):
    """Alice: where the bases match, the intensities there, her bits of the test basis."""

    number: Count
    matched: memoryview
    intensities: memoryview
    test_bits: memoryview
    seed: Annotated[bytes, msgspec.Meta(min_length=8, max_length=8)]


class Parities(_Message, frozen=True, tag=4):
    """Both: the parities of one round of reconciliation, packed."""

    turn: Count
    bits: memoryview


class Verify(_Message, frozen=True, tag=5):
    """Alice: polynomial hash of her whole key string at a fresh point."""

    point: Word
    value: Word


class Verdict(_Message, frozen=True, tag=6):
    """Bob: whether his hash is the same."""

    same: bool


class FrameTags(_Message, frozen=True, tag=7):
    """Alice, after a failed verdict: one hash a frame, 16 bytes each, at one fresh point."""

    point: Word
    values: memoryview


class FrameVerdict(_Message, frozen=True, tag=8):
    """Bob: a packed 1 for each frame that differs."""

    differs: memoryview


class Disclose(_Message, frozen=True, tag=9):
    """Both: all bits of the frames that differ, in frame order, packed."""

    bits: memoryview


class Amplify(_Message, frozen=True, tag=10):
    """Alice: fresh Toeplitz seed, n - 1 bits packed."""

    seed: memoryview


class Confirm(_Message, frozen=True, tag=11):
    """Both: the block as I account for it; a difference burns the block."""

    number: Count
    length: Count
    sifted_key: Count
    key_errors: Count
    leak_alice: Count
    leak_bob: Count
    refill_alice: Count
    refill_bob: Count


class Final_(_Message, frozen=True, tag=12):  # noqa: N801 (Final is typing's)
    """Alice: I hold the block; Bob may deliver it."""

    number: Count


class KeyErrors(_Message, frozen=True, tag=16):
    """Bob, where reconciliation does not show Alice the errors: how many each intensity has in the key basis."""

    counts: Annotated[tuple[Small, ...], msgspec.Meta(max_length=4)]


class Refused(_Message, frozen=True, tag=13):
    """Alice: the contract's acceptance test failed; the block is dropped, the session goes on."""

    number: Count


class Welcome(_Message, frozen=True, tag=15):
    """Alice, third word of the hello: she has heard this session's Bob; before it he acts on nothing."""

    peer_nonce: Word


class Abort(_Message, frozen=True, tag=14):
    """Either: the session ends, and why."""

    reason: Text


Message = (
    Hello
    | Tag
    | Detect
    | Sift
    | Parities
    | Verify
    | Verdict
    | FrameTags
    | FrameVerdict
    | Disclose
    | Amplify
    | Confirm
    | Final_
    | Refused
    | Abort
    | Welcome
    | KeyErrors
)

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Message)


def encode_message(message: Message) -> bytes:
    """Encode one message as one frame's payload."""
    return _encoder.encode(message)


def decode_message(frame: bytes) -> Message:
    """Decode one frame's payload; ProtocolError where it is not exactly one well-formed message."""
    try:
        return _decoder.decode(frame)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, OverflowError, RecursionError) as error:
        raise ProtocolError(f"a frame of {len(frame)} bytes is not a message of this protocol: {error}") from error


def frame_limit(contract: Contract) -> int:
    """Largest frame, in bytes, that a block under this contract can need."""
    detections = contract.max_detections
    wide = 8 * min(detections, contract.pulses // 255 + 1)
    return FIRST_FRAME_LIMIT + 2 * detections + wide
