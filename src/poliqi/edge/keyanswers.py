"""What an ETSI GS QKD 014 client asks and how it reads the answers; no socket in it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn, TypeVar
from urllib.parse import quote

import msgspec

from poliqi.base.errors import ConfigError, DataRefused, KeyExhausted, LinkDown, ProtocolError
from poliqi.base.secret import SecretBytes

__all__ = [
    "ANSWER_BYTES",
    "Key",
    "KeyStatus",
    "KeysNotReady",
    "Question",
    "ask_keys",
    "ask_named",
    "ask_status",
    "read_keys",
    "read_status",
]

ANSWER_BYTES: Final = 8 << 20
"""Longer answers are refused unread."""

_LONGEST_TEXT: Final = 200

S = TypeVar("S")


class KeysNotReady(KeyExhausted):
    """The site has not enough key now, or cannot give it; ask again after `retry_s` seconds (None: not said)."""

    def __init__(self, message: str, retry_s: float | None) -> None:
        super().__init__(message)
        self.retry_s: Final = retry_s


@dataclass(frozen=True, slots=True)
class Key:
    """A key: the name to tell the other end, its bits, and what its site says about it (grade, epsilon, paths)."""

    key_id: str
    value: SecretBytes
    grade: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def size_bits(self) -> int:
        """Its size."""
        return 8 * len(self.value)


@dataclass(frozen=True, slots=True)
class KeyStatus:
    """What a site says of the keys between two applications (ETSI GS QKD 014, clause 6.1)."""

    source_kme: str
    target_kme: str
    master: str
    slave: str
    key_size_bits: int
    stored_keys: int
    capacity_keys: int
    max_keys_per_request: int
    max_size_bits: int
    min_size_bits: int
    max_slaves: int
    extension: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Question:
    """An HTTP request, and what its answer must keep to."""

    method: str
    path: str
    body: bytes | None = None
    size_bits: int | None = None
    number: int | None = None
    key_ids: tuple[str, ...] = ()

    @property
    def takes_keys(self) -> bool:
        """True where asking twice would use up keys."""
        return self.body is not None


class _Status(msgspec.Struct):
    source_KME_ID: str  # noqa: N815  # the standard's spelling
    target_KME_ID: str  # noqa: N815
    master_SAE_ID: str  # noqa: N815
    slave_SAE_ID: str  # noqa: N815
    key_size: int
    stored_key_count: int
    max_key_count: int
    max_key_per_request: int
    max_key_size: int
    min_key_size: int
    max_SAE_ID_count: int  # noqa: N815
    status_extension: dict[str, Any] | None = None


class _Key(msgspec.Struct):
    key_ID: str  # noqa: N815
    key: str
    key_extension: dict[str, Any] | None = None


class _Container(msgspec.Struct):
    keys: list[_Key]


class _Error(msgspec.Struct):
    message: str


def ask_status(other: str) -> Question:
    """How many keys wait between the caller and `other`."""
    return Question("GET", _path(other, "status"))


def ask_keys(
    slave: str,
    number: int,
    size_bits: int | None,
    more_slaves: Sequence[str],
    mandatory: Sequence[Mapping[str, Any]],
    optional: Sequence[Mapping[str, Any]],
) -> Question:
    """Fresh keys for the caller as master and `slave`. Raises ValueError on a number or size below 1."""
    if number < 1 or (size_bits is not None and (size_bits < 8 or size_bits % 8)):
        raise ValueError(f"{number} keys of {size_bits} bits: ask for one or more, of whole bytes")
    asked: dict[str, Any] = {"number": number}
    if size_bits is not None:
        asked["size"] = size_bits
    if more_slaves:
        asked["additional_slave_SAE_IDs"] = list(more_slaves)
    if mandatory:
        asked["extension_mandatory"] = list(mandatory)
    if optional:
        asked["extension_optional"] = list(optional)
    return Question("POST", _path(slave, "enc_keys"), msgspec.json.encode(asked), size_bits, number)


def ask_named(master: str, key_ids: Sequence[str]) -> Question:
    """The keys that `master` named to the caller. Raises ValueError where none is named."""
    if isinstance(key_ids, str) or not key_ids:
        raise ValueError("name at least one key_ID, in a list")
    body = msgspec.json.encode({"key_IDs": [{"key_ID": key_id} for key_id in key_ids]})
    return Question("POST", _path(master, "dec_keys"), body, None, len(key_ids), tuple(key_ids))


def _path(sae: str, action: str) -> str:
    return f"/api/v1/keys/{quote(sae, safe='')}/{action}"


def read_status(status: int, headers: Mapping[str, str], body: bytes) -> KeyStatus:
    """Read the answer to `ask_status`. Raises as `_refuse` does, and ProtocolError."""
    if status != 200:
        _refuse(status, headers, body, is_fetch=False)
    s = _decode(body, _Status)
    return KeyStatus(
        s.source_KME_ID,
        s.target_KME_ID,
        s.master_SAE_ID,
        s.slave_SAE_ID,
        s.key_size,
        s.stored_key_count,
        s.max_key_count,
        s.max_key_per_request,
        s.max_key_size,
        s.min_key_size,
        s.max_SAE_ID_count,
        s.status_extension or {},
    )


def read_keys(question: Question, status: int, headers: Mapping[str, str], body: bytes) -> list[Key]:
    """Read a key container: as many keys, of the size and names asked for. Raises as `_refuse`, ProtocolError."""
    if status != 200:
        _refuse(status, headers, body, is_fetch=bool(question.key_ids))
    got = _decode(body, _Container).keys
    if len(got) != question.number:
        raise ProtocolError(
            f"the site gave {len(got)} keys where {question.number} were asked for: use none of them"
        )
    keys = [Key(k.key_ID, _bits(k), k.key_extension or {}) for k in got]
    if question.size_bits is not None and any(k.size_bits != question.size_bits for k in keys):
        raise ProtocolError(f"the site gave keys of other sizes than {question.size_bits} bits: use none of them")
    if len({k.key_id for k in keys}) < len(keys):
        raise ProtocolError("the site gave two keys one name: use none of them")
    if not question.key_ids:
        return keys
    named = {k.key_id.lower(): k for k in keys}
    try:
        return [named[key_id.lower()] for key_id in question.key_ids]
    except KeyError:
        raise ProtocolError("the site gave other keys than those asked for: use none of them") from None


def _bits(key: _Key) -> SecretBytes:
    try:
        value = SecretBytes(base64.b64decode(key.key, validate=True))
    except (binascii.Error, ValueError):
        raise ProtocolError(f"key {key.key_ID[:64]!r} is not base64: use none of them") from None
    if not len(value) or not 0 < len(key.key_ID) <= 128:
        raise ProtocolError("the site gave a key without bits or name: use none of them")
    return value


def _decode(body: bytes, kind: type[S]) -> S:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, RecursionError):
        raise ProtocolError(f"the site's answer ({len(body)} bytes) is not what ETSI GS QKD 014 says") from None


def _refuse(status: int, headers: Mapping[str, str], body: bytes, *, is_fetch: bool) -> NoReturn:
    """Raise what the caller can decide upon.

    503 KeysNotReady; 400 ConfigError, but DataRefused where keys were asked for by name; 401, 403 and other 4xx
    ConfigError; other 5xx LinkDown.
    """
    said = _message(body)
    if status == 503:
        raise KeysNotReady(f"no key now: {said}", _retry_s(headers.get("retry-after")))
    if status == 400 and is_fetch:
        raise DataRefused(f"the site does not have these keys for you (any more): {said}")
    if status in (401, 403):
        raise ConfigError(
            f"the site does not permit this: {said}; register both applications and allow the pair at both sites"
        )
    if 400 <= status < 500:
        raise ConfigError(f"the site refuses the request (HTTP {status}): {said}")
    if status >= 500:
        raise LinkDown(f"the site failed (HTTP {status}): {said}; try again later")
    raise ProtocolError(f"the site answered with HTTP {status}, which ETSI GS QKD 014 does not know")


def _message(body: bytes) -> str:
    try:
        text = msgspec.json.decode(body, type=_Error).message
    except (msgspec.DecodeError, RecursionError):
        return "no reason given"
    return "".join(c if c.isprintable() else " " for c in text[:_LONGEST_TEXT]) or "no reason given"


def _retry_s(text: str | None) -> float | None:
    """Retry-After in seconds; a date or nonsense counts as not said."""
    return float(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 8 else None
