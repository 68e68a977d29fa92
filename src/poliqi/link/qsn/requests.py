"""What clients ask of a QSN-d-1, and how it stands on the wire (docs/spec/qsn-d-1.md)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Final, assert_never

import msgspec
from msgspec import Meta

from poliqi.base.errors import ProtocolError

__all__ = [
    "Attribute",
    "DeleteByIds",
    "Envelope",
    "FlushKeys",
    "GetAttribute",
    "GetKey",
    "GetKeyById",
    "GetKeys",
    "Request",
    "SetAttribute",
    "encode_request",
    "is_key_id",
    "read_envelope",
    "read_request",
]

_MOST_IDS: Final = 65_536
_U32: Final = (1 << 32) - 1
_NUMBER: Final = re.compile(r"[0-9]{1,10}")
_KEY_ID: Final = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


class Attribute(StrEnum):
    """What a device tells of itself."""

    WAVELENGTH = "wavelength"
    QBER = "QBER"
    CHANNEL_ATT = "channel_att"
    TTL = "ttl"
    SAMPLES = "samples"


@dataclass(frozen=True, slots=True)
class GetAttribute:
    """The value of one attribute; names that no device knows may be asked for too."""

    name: str


@dataclass(frozen=True, slots=True)
class SetAttribute:
    """Another value for one attribute."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class GetKey:
    """One key, whichever is next."""


@dataclass(frozen=True, slots=True)
class GetKeyById:
    """The key of this ID."""

    key_id: str


@dataclass(frozen=True, slots=True)
class GetKeys:
    """The next `count` keys, those that are still to be made included."""

    count: int


@dataclass(frozen=True, slots=True)
class FlushKeys:
    """Delete every key of this end."""


@dataclass(frozen=True, slots=True)
class DeleteByIds:
    """Delete these keys at this end."""

    key_ids: tuple[str, ...]


Request = GetAttribute | SetAttribute | GetKey | GetKeyById | GetKeys | FlushKeys | DeleteByIds


class Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What every request and partner message is on the wire."""

    command: Annotated[str, Meta(min_length=1, max_length=64)]
    attribute: Annotated[str, Meta(max_length=64)] | None = ""
    value: msgspec.Raw = msgspec.Raw(b'""')


_ENVELOPE: Final = msgspec.json.Decoder(Envelope)
_TEXT: Final = msgspec.json.Decoder(Annotated[str, Meta(max_length=64)])
_TEXT_OR_NUMBER: Final = msgspec.json.Decoder(
    Annotated[str, Meta(max_length=64)] | Annotated[int, Meta(ge=0, le=_U32)]
)
_IDS: Final = msgspec.json.Decoder(
    Annotated[list[Annotated[str, Meta(min_length=36, max_length=36)]], Meta(max_length=_MOST_IDS)]
)


def is_key_id(text: str) -> bool:
    """Whether `text` has the form of the device's IDs, 8-4-4-4-12 hexadecimal digits."""
    return _KEY_ID.fullmatch(text) is not None


def read_envelope(payload: bytes) -> Envelope:
    """Command, attribute and the value as it stands. Raises ProtocolError."""
    try:
        return _ENVELOPE.decode(payload)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise ProtocolError(f"QSN-d-1: no request: {type(error).__name__} in {len(payload)} bytes") from None


def read_request(envelope: Envelope) -> Request | None:
    """What a client asks; None where the command is none of a client's. Raises ProtocolError."""
    attribute, value = envelope.attribute or "", bytes(envelope.value)
    try:
        match envelope.command:
            case "get_attribute":
                return GetAttribute(attribute)
            case "set_attribute":
                return SetAttribute(attribute, str(_TEXT_OR_NUMBER.decode(value)))
            case "get_key":
                return GetKey()
            case "Get key by ID":
                return GetKeyById(_key_id(_TEXT.decode(value)))
            case "Get keys":
                return GetKeys(_count(_TEXT.decode(value)))
            case "Flush keys":
                return FlushKeys()
            case "Delete by IDs":
                return DeleteByIds(tuple(_key_id(name) for name in _IDS.decode(value)))
            case _:
                return None
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise ProtocolError(f"QSN-d-1: {envelope.command}: {type(error).__name__} in {len(value)} bytes") from None


def encode_request(request: Request) -> bytes:
    """The JSON text of a request."""
    match request:
        case GetAttribute(name):
            return _text("get_attribute", name, "")
        case SetAttribute(name, value):
            return _text("set_attribute", name, value)
        case GetKey():
            return _text("get_key", "", "")
        case GetKeyById(key_id):
            return _text("Get key by ID", "", key_id)
        case GetKeys(count):
            return _text("Get keys", "", str(count))
        case FlushKeys():
            return _text("Flush keys", "", "")
        case DeleteByIds(key_ids):
            return _text("Delete by IDs", "", list(key_ids))
    assert_never(request)


def _text(command: str, attribute: str, value: Any) -> bytes:
    return msgspec.json.encode({"command": command, "attribute": attribute, "value": value})


def _key_id(text: str) -> str:
    if not is_key_id(text):
        raise ProtocolError("QSN-d-1: the ID of a key is no UUID")
    return text.lower()


def _count(text: str) -> int:
    if _NUMBER.fullmatch(text) is None or int(text) > _U32:
        raise ProtocolError(f"QSN-d-1: Get keys: {text[:20]!r} is no whole number of 32 bits")
    return int(text)
