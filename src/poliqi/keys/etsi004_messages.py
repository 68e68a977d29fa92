"""ETSI GS QKD 004 v2.1.1, its calls as messages: quality of service, statuses, requests and replies.

One definition serves both bindings: JSON objects with the standard's names, and msgpack arrays in frames
(docs/spec/streams.md).
"""

from __future__ import annotations

import re
from enum import IntEnum
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import unquote
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from poliqi.base.errors import ProtocolError
from poliqi.base.ids import SaeId

__all__ = [
    "MESSAGE_BYTES",
    "METADATA_TYPE",
    "Close",
    "CloseReply",
    "GetKey",
    "GetKeyReply",
    "OpenConnect",
    "OpenConnectReply",
    "Qos",
    "Reply",
    "Request",
    "Status",
    "frame_of",
    "json_of",
    "read_json",
    "read_reply_frame",
    "read_request_frame",
    "sae_of",
]

MESSAGE_BYTES: Final = 1 << 16
"""Longest message in either binding."""

METADATA_TYPE: Final = "application/json"
"""The one Metadata_mimetype that is served, beside the empty one for none."""

_URI: Final = re.compile(r"(?:qkd|sae)://([^/?#@:]*)(?:[/?#].*)?", re.DOTALL)

Uint32 = Annotated[int, Meta(ge=0, le=0xFFFFFFFF)]
Uri = Annotated[str, Meta(min_length=1, max_length=256)]


class Status(IntEnum):
    """What became of a call (clause 6, table of statuses)."""

    OK = 0
    PEER_NOT_CONNECTED_YET = 1
    """OPEN_CONNECT succeeded; the peer application has not opened its end."""
    INSUFFICIENT_KEY = 2
    PEER_NOT_CONNECTED = 3
    """GET_KEY failed: the peer application has not opened its end, or has closed it."""
    NO_CONNECTION = 4
    """No QKD connection, or none that the caller has a part in."""
    KSID_IN_USE = 5
    TIMEOUT = 6
    QOS_NOT_MET = 7
    """OPEN_CONNECT failed; the QoS that comes back would be met."""
    METADATA_TOO_SMALL = 8
    """GET_KEY failed and took nothing; the Metadata_size that comes back would do."""


class Qos(
    Struct,
    frozen=True,
    forbid_unknown_fields=True,
    rename={
        "chunk_bytes": "Key_chunk_size",
        "max_bps": "Max_bps",
        "min_bps": "Min_bps",
        "jitter": "Jitter",
        "priority": "Priority",
        "timeout_ms": "Timeout",
        "ttl_s": "TTL",
        "metadata_type": "Metadata_mimetype",
    },
):
    """Quality of service. Zero leaves a value to the site, except in `timeout_ms`: do not wait."""

    chunk_bytes: Uint32 = 0
    max_bps: Uint32 = 0
    min_bps: Uint32 = 0
    jitter: Uint32 = 0
    priority: Uint32 = 0
    timeout_ms: Uint32 = 0
    ttl_s: Uint32 = 0
    metadata_type: Annotated[str, Meta(max_length=255)] = ""


class OpenConnect(
    Struct, frozen=True, forbid_unknown_fields=True, rename={"qos": "QoS", "stream_id": "Key_stream_ID"}
):
    """OPEN_CONNECT: make a stream, or open the second end of one whose `stream_id` the peer told."""

    source: Uri
    destination: Uri
    qos: Qos = Qos()
    stream_id: UUID | None = None

    def other_than(self, caller: SaeId) -> SaeId | None:
        """The application at the other end; None where `caller` is neither of the two, or both."""
        names = {sae_of(self.source), sae_of(self.destination)}
        return next(iter(names - {caller}), None) if caller in names else None


class GetKey(
    Struct,
    frozen=True,
    forbid_unknown_fields=True,
    rename={"stream_id": "Key_stream_ID", "metadata_bytes": "Metadata_size"},
):
    """GET_KEY: chunk `index`, or the next one; `metadata_bytes` is the caller's room, None for no metadata."""

    stream_id: UUID
    index: Uint32 | None = None
    metadata_bytes: Uint32 | None = None


class Close(Struct, frozen=True, forbid_unknown_fields=True, rename={"stream_id": "Key_stream_ID"}):
    """CLOSE: end the caller's part in a stream."""

    stream_id: UUID


class OpenConnectReply(
    Struct, frozen=True, forbid_unknown_fields=True, rename={"qos": "QoS", "stream_id": "Key_stream_ID"}
):
    """The stream and the QoS that is granted; with QOS_NOT_MET the QoS that would be."""

    status: Status
    stream_id: UUID | None = None
    qos: Qos | None = None


class GetKeyReply(
    Struct,
    frozen=True,
    forbid_unknown_fields=True,
    rename={"key": "Key_buffer", "metadata_bytes": "Metadata_size", "metadata": "Metadata_buffer"},
):
    """A chunk of key with its index and its metadata."""

    status: Status
    index: Uint32 | None = None
    key: bytes = b""
    metadata_bytes: Uint32 = 0
    metadata: str = ""

    def __repr__(self) -> str:
        return f"<GetKeyReply {self.status.name}, index {self.index}, {len(self.key)} bytes>"


class CloseReply(Struct, frozen=True, forbid_unknown_fields=True):
    """Whether there was anything to close."""

    status: Status


class _QosFrame(Qos, frozen=True, array_like=True):
    pass


class _OpenConnectFrame(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="OPEN_CONNECT"):
    source: Uri
    destination: Uri
    qos: _QosFrame
    stream_id: UUID | None = None


class _GetKeyFrame(GetKey, frozen=True, array_like=True, tag="GET_KEY"):
    pass


class _CloseFrame(Close, frozen=True, array_like=True, tag="CLOSE"):
    pass


class _OpenConnectReplyFrame(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="OPENED"):
    status: Status
    stream_id: UUID | None = None
    qos: _QosFrame | None = None


class _GetKeyReplyFrame(GetKeyReply, frozen=True, array_like=True, tag="KEY"):
    pass


class _CloseReplyFrame(CloseReply, frozen=True, array_like=True, tag="CLOSED"):
    pass


Request = OpenConnect | GetKey | Close
Reply = OpenConnectReply | GetKeyReply | CloseReply
M = TypeVar("M", bound=Request | Reply)

_encoder: Final = msgspec.msgpack.Encoder(uuid_format="bytes")
_requests: Final = msgspec.msgpack.Decoder(_OpenConnectFrame | _GetKeyFrame | _CloseFrame)
_replies: Final = msgspec.msgpack.Decoder(_OpenConnectReplyFrame | _GetKeyReplyFrame | _CloseReplyFrame)


def _values(message: Struct) -> tuple[object, ...]:
    return tuple(
        _QosFrame(*msgspec.structs.astuple(value)) if type(value) is Qos else value
        for value in msgspec.structs.astuple(message)
    )


def _plain(message: Struct) -> tuple[object, ...]:
    return tuple(
        Qos(*msgspec.structs.astuple(value)) if type(value) is _QosFrame else value
        for value in msgspec.structs.astuple(message)
    )


_FRAMES: Final[dict[type, type[Struct]]] = {
    OpenConnect: _OpenConnectFrame,
    GetKey: _GetKeyFrame,
    Close: _CloseFrame,
    OpenConnectReply: _OpenConnectReplyFrame,
    GetKeyReply: _GetKeyReplyFrame,
    CloseReply: _CloseReplyFrame,
}
_MESSAGES: Final = {frame: message for message, frame in _FRAMES.items()}


def frame_of(message: Request | Reply) -> bytes:
    """The payload of a frame."""
    return _encoder.encode(_FRAMES[type(message)](*_values(message)))


def _frame(data: bytes, decoder: msgspec.msgpack.Decoder[Any]) -> Any:
    _check_length(data)
    try:
        frame = decoder.decode(data)
    except (msgspec.MsgspecError, ValueError) as error:
        raise ProtocolError(f"ETSI 004: a frame was not understood: {error}") from error
    return _MESSAGES[type(frame)](*_plain(frame))


def _check_length(data: bytes) -> None:
    if len(data) > MESSAGE_BYTES:
        raise ProtocolError(f"ETSI 004: a message of {len(data)} bytes came; at most {MESSAGE_BYTES} are allowed")


def read_request_frame(data: bytes) -> Request:
    """Read a frame's payload. Raises ProtocolError."""
    return _frame(data, _requests)


def read_reply_frame(data: bytes) -> Reply:
    """Read a frame's payload. Raises ProtocolError."""
    return _frame(data, _replies)


def json_of(message: Request | Reply) -> bytes:
    """The message as a JSON object with the standard's names."""
    return msgspec.json.encode(message)


def read_json(data: bytes, kind: type[M]) -> M:
    """Read a JSON object as a message of this kind. Raises ProtocolError."""
    _check_length(data)
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ProtocolError(f"ETSI 004: the body is no {kind.__name__}: {error}") from error


def sae_of(uri: str) -> SaeId | None:
    """The application that a source or destination names: `qkd://ID`, or its id alone.

    What follows the id (a path, a query) is not looked at. None where there is no id in it.
    """
    found = _URI.fullmatch(uri)
    if found is not None:
        name = unquote(found[1])
        return SaeId(name) if name else None
    return SaeId(uri) if uri else None
