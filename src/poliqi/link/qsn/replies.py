"""What a QSN-d-1 replies, the `{ [ ... ] }` that is no JSON included (docs/spec/qsn-d-1.md)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from poliqi.base.errors import ProtocolError
from poliqi.base.secret import SecretBytes
from poliqi.link.qsn.requests import is_key_id

__all__ = [
    "DELETED",
    "DONE",
    "MOST_KEY_BYTES",
    "NO_KEY",
    "AttributeValue",
    "Deleted",
    "Done",
    "KeyRecord",
    "KeyReply",
    "Keys",
    "Refusal",
    "Reply",
    "encode_error",
    "encode_key",
    "encode_keys",
    "encode_value",
    "qber_of",
    "read_reply",
]

MOST_KEY_BYTES: Final = 8_191
"""The longest key that a device can promise: 65,535 sifted bits are all that its `samples` can say."""

_WRAPPED: Final = re.compile(rb"[ \t\r\n]*\{[ \t\r\n]*(\[.*\])[ \t\r\n]*\}[ \t\r\n]*", re.DOTALL)
_MOST_KEYS: Final = 4_096

_Byte = Annotated[int, Meta(ge=0, le=255)]
_Millis = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]


class _Key(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key object; an empty one may lack anything."""

    time: _Millis | Annotated[str, Meta(max_length=0)] | None = 0
    ID: Annotated[str, Meta(max_length=36)] | None = ""
    Key: Annotated[list[_Byte], Meta(max_length=1 << 20)] | None = None


class _Object(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Any reply that is one object; which one, its members tell."""

    time: _Millis | Annotated[str, Meta(max_length=0)] | UnsetType | None = UNSET
    ID: Annotated[str, Meta(max_length=36)] | UnsetType | None = UNSET
    Key: Annotated[list[_Byte], Meta(max_length=1 << 20)] | UnsetType | None = UNSET
    status: Annotated[str, Meta(max_length=64)] | UnsetType = UNSET
    value: Annotated[str, Meta(max_length=256)] | UnsetType = UNSET
    message: Annotated[str, Meta(max_length=256)] | UnsetType = UNSET
    command: Annotated[str, Meta(max_length=64)] | UnsetType = UNSET
    parameter: Annotated[str, Meta(max_length=64)] | UnsetType = UNSET


_KEYS: Final = msgspec.json.Decoder(Annotated[list[_Key], Meta(max_length=_MOST_KEYS)])
_OBJECT: Final = msgspec.json.Decoder(_Object)


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key as a device sends it: when it was made (milliseconds since 1970), its ID in lower case, its bytes."""

    time_ms: int
    key_id: str
    key: SecretBytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Keys:
    """The reply to `Get keys` and `Get key by ID`, and what is pushed later."""

    records: tuple[KeyRecord, ...]


@dataclass(frozen=True, slots=True)
class KeyReply:
    """The reply to `get_key`: one key, or none."""

    record: KeyRecord | None


@dataclass(frozen=True, slots=True)
class AttributeValue:
    """The reply to `get_attribute`."""

    value: str


@dataclass(frozen=True, slots=True)
class Done:
    """The reply to `set_attribute`."""


@dataclass(frozen=True, slots=True)
class Deleted:
    """The reply to `Delete by IDs`."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The device's own word for why not."""

    message: str


Reply = Keys | KeyReply | AttributeValue | Done | Deleted | Refusal

NO_KEY: Final = b'{"time":0,"ID":"","Key":[]}'
DONE: Final = b'{"status":"Successful"}'
DELETED: Final = b'{"command":"Keys deleted","parameter":"","value":"Done"}'


def read_reply(payload: bytes) -> Reply:
    """Which reply this is. Raises ProtocolError, never with a byte of a key in its words."""
    wrapped = _WRAPPED.fullmatch(payload)
    try:
        if wrapped is not None or payload.lstrip(b" \t\r\n")[:1] == b"[":
            return _read_keys(payload if wrapped is None else wrapped[1])
        return _read_object(payload)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise ProtocolError(
            f"QSN-d-1: no reply that it documents: {type(error).__name__} in {len(payload)} bytes"
        ) from None


def _read_keys(array: bytes) -> Keys:
    """An empty key object in an array stands for no key."""
    found = [_record(each) for each in _KEYS.decode(array)]
    records = tuple(each for each in found if each is not None)
    if len({each.key_id for each in records}) != len(records):
        raise ProtocolError("QSN-d-1: a reply names one key ID twice")
    return Keys(records)


def _read_object(payload: bytes) -> Reply:
    told = _OBJECT.decode(payload)
    given = {name for name in told.__struct_fields__ if getattr(told, name) is not UNSET}
    if given <= {"time", "ID", "Key"}:
        empty: dict[str, Any] = {name: getattr(told, name) for name in given}
        return KeyReply(_record(_Key(**empty)))
    match told:
        case _Object(status="Successful", value=str(value)) if given == {"status", "value"}:
            return AttributeValue(value)
        case _Object(status="Successful") if given == {"status"}:
            return Done()
        case _Object(status="ERROR", message=str(message)) if given == {"status", "message"}:
            return Refusal(message if message.isprintable() else "(words that cannot be printed)")
        case _Object(command="Keys deleted", value="Done") if given <= {"command", "parameter", "value"}:
            return Deleted()
        case _:
            raise ProtocolError(f"QSN-d-1: no reply that it documents: members {', '.join(sorted(given))}")


def _record(told: _Key) -> KeyRecord | None:
    if not told.ID and not told.Key:
        return None
    if not told.ID or not told.Key:
        raise ProtocolError("QSN-d-1: an ID without a key, or a key without an ID")
    if not isinstance(told.time, int):
        raise ProtocolError("QSN-d-1: a key without the time of its making")
    if not is_key_id(told.ID):
        raise ProtocolError("QSN-d-1: the ID of a key is no UUID")
    return KeyRecord(told.time, told.ID.lower(), SecretBytes(bytes(told.Key)))


def qber_of(text: str) -> float:
    """The error rate that a device says it has. Raises ProtocolError where that is no share from 0 to 1."""
    try:
        qber = float(text)
    except ValueError:
        qber = math.nan
    if not 0.0 <= qber <= 1.0:
        raise ProtocolError(f"QSN-d-1: the device says a QBER of {text[:40]!r}, which is no number from 0 to 1")
    return qber


def encode_key(time_ms: int, key_id: str, key: SecretBytes) -> bytes:
    """One key object."""
    return msgspec.json.encode({"time": time_ms, "ID": key_id, "Key": list(key.view())})


def encode_keys(objects: Iterable[bytes]) -> bytes:
    """Key objects in the array that the device wraps."""
    return b"{ [ " + b", ".join(objects) + b" ] }"


def encode_value(value: str) -> bytes:
    """The reply to `get_attribute`."""
    return msgspec.json.encode({"status": "Successful", "value": value})


def encode_error(message: str) -> bytes:
    """The reply to an attribute that cannot be read or set."""
    return msgspec.json.encode({"status": "ERROR", "message": message})
