"""Messages by which a link process hands blocks to its site (docs/spec/ingest.md): pure bytes in and out.

The site says hello; then each block is answered, in order: accepted once it is durable, or refused and why. What a
link says of its light stands in `poliqi.control.lightframe`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from typing import Annotated, Any, Final, Literal, NamedTuple, cast

import msgspec
from msgspec import Meta

from poliqi.base.errors import ProtocolError
from poliqi.base.ids import KmeId, LinkId
from poliqi.base.secret import SecretBytes
from poliqi.keys.grade import Grade, KeyOrigin
from poliqi.keys.requests import Accepted, Block, Outcome, Reason, Refused

__all__ = [
    "MOST_ANSWER_BYTES",
    "MOST_BLOCK_BYTES",
    "Greeting",
    "decode_answer",
    "decode_block",
    "decode_greeting",
    "decode_hello",
    "encode_answer",
    "encode_block",
    "encode_hello",
]

MOST_BLOCK_BYTES: Final = 1 << 24
MOST_ANSWER_BYTES: Final = 4096
_VERSION: Final = 1
_MOST_MESSAGE: Final = 512
_LONGEST_WAIT_S: Final = 86_400.0
_LINK: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PROTOCOL = Literal["poliqi-ingest"]


class _Hello(msgspec.Struct, array_like=True, frozen=True):
    """Later versions may append fields."""

    protocol: _PROTOCOL
    version: int
    kme_id: Annotated[str, Meta(min_length=1, max_length=255)]
    takes: Any = ()


class Greeting(NamedTuple):
    """What a site says of itself: its name, and the kinds of frames that it takes besides blocks."""

    kme_id: KmeId
    takes: frozenset[str]


class _Block(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    version: int
    link_id: str
    block: Annotated[bytes, Meta(min_length=16, max_length=16)]
    origin: KeyOrigin
    proof: Annotated[str, Meta(max_length=128)]
    epsilon: float | None
    key: Annotated[bytes, Meta(min_length=1)]


class _Answer(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    """`reason` is None where the block was accepted."""

    reason: Reason | None
    message: str
    retry_s: float | None


_HELLO: Final = msgspec.msgpack.Decoder(_Hello)
_BLOCK: Final = msgspec.msgpack.Decoder(_Block)
_ANSWER: Final = msgspec.msgpack.Decoder(_Answer)
_ENCODER: Final = msgspec.msgpack.Encoder()
_BAD: Final = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)


def encode_hello(kme_id: KmeId, takes: Collection[str] = ()) -> bytes:
    """What a site says first on every connection; `takes` names the frames that it takes besides blocks."""
    return _ENCODER.encode(("poliqi-ingest", _VERSION, kme_id, *([sorted(takes)] if takes else [])))


def decode_hello(frame: bytes) -> KmeId:
    """Name of the site that speaks. Raises ProtocolError where it is no site or speaks another version."""
    return decode_greeting(frame).kme_id


def decode_greeting(frame: bytes) -> Greeting:
    """What a site says first. Raises ProtocolError where it is no site or speaks another version."""
    try:
        hello = _HELLO.decode(frame)
    except _BAD as error:
        raise ProtocolError(
            f"this is not the ingest socket of a site: {type(error).__name__} in {len(frame)} bytes"
        ) from None
    if hello.version != _VERSION:
        raise ProtocolError(f"site {hello.kme_id} speaks version {hello.version} of ingest, this end {_VERSION}")
    takes = cast("list[Any]", hello.takes) if isinstance(hello.takes, list) else []
    return Greeting(KmeId(hello.kme_id), frozenset(name for name in takes if isinstance(name, str)))


def encode_block(block: Block) -> bytes:
    """A block as it goes to the site; of its grade origin, proof and epsilon: the site knows the rest."""
    g = block.grade
    fields = (_VERSION, block.pool, block.name, g.origin, g.proof, g.epsilon)
    return _ENCODER.encode((*fields, block.key.view()))


def decode_block(frame: bytes) -> Block:
    """Read a block; `paths` of its grade are empty until the site fills them. Raises ProtocolError."""
    try:
        told = _BLOCK.decode(frame)
    except _BAD as error:
        raise ProtocolError(f"not a block: {type(error).__name__} in {len(frame)} bytes") from None
    if told.version != _VERSION:
        raise ProtocolError(f"a block of version {told.version}; this site takes version {_VERSION}")
    if not _LINK.fullmatch(told.link_id):
        raise ProtocolError("a block of a link whose name is not 1 to 64 of A-Z a-z 0-9 . _ -")
    if not told.proof.isprintable():
        raise ProtocolError("a block whose proof has a name that cannot be printed")
    if told.epsilon is not None and not (0.0 < told.epsilon < 1.0 and told.origin is KeyOrigin.PHOTONS):
        raise ProtocolError("a block with an epsilon: it lies between 0 and 1 and is for real photons only")
    grade = Grade(told.origin, told.proof, told.epsilon, paths=())
    return Block(LinkId(told.link_id), told.block, SecretBytes(told.key), grade)


def encode_answer(outcome: Outcome) -> bytes:
    """The site's answer to a block."""
    match outcome:
        case Accepted():
            return _ENCODER.encode(_Answer(None, "", None))
        case Refused(reason, message, retry_s):
            return _ENCODER.encode(_Answer(reason, message[:_MOST_MESSAGE], retry_s))
        case _:
            raise ValueError("a block is accepted or refused; it brings no keys")


def decode_answer(frame: bytes) -> Accepted | Refused:
    """Read the site's answer. Raises ProtocolError."""
    try:
        told = _ANSWER.decode(frame)
    except _BAD as error:
        raise ProtocolError(f"not an answer of a site: {type(error).__name__} in {len(frame)} bytes") from None
    if told.reason is None:
        return Accepted()
    wait = told.retry_s
    if wait is not None and not (math.isfinite(wait) and 0.0 <= wait <= _LONGEST_WAIT_S):
        raise ProtocolError("an answer that asks for a wait which is no number of seconds within a day")
    message = "".join(c if c.isprintable() else "?" for c in told.message[:_MOST_MESSAGE])
    return Refused(told.reason, message, wait)
