"""ETSI GS QKD 020 v1.1.1, its messages: keys, acknowledgements, voids, and problems (RFC 9457).

Members that the standard does not name are passed over; extensions are kept as they came, byte for byte.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Final, TypeVar, cast
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from poliqi.base.errors import ProtocolError

__all__ = [
    "ACK_PATH",
    "BODY_BYTES",
    "KEYS_PATH",
    "VERSIONS_PATH",
    "VOID_PATH",
    "Ack",
    "AckStatus",
    "AckedKey",
    "ExternalKey",
    "ExternalKeys",
    "HttpAnswer",
    "Problem",
    "Void",
    "encode",
    "problem",
    "read_acks",
    "read_keys",
    "read_void",
    "versions",
]

BODY_BYTES: Final = 1 << 20
"""Longest body that is read: 1024 keys with room for extensions."""

VERSIONS_PATH: Final = "/kmapi/versions"
KEYS_PATH: Final = "/kmapi/v1/ext_keys"
ACK_PATH: Final = "/kmapi/v1/ext_keys/ack"
VOID_PATH: Final = "/kmapi/v1/ext_keys/void"

_PROBLEMS: Final = "https://qkd.etsi.org/gs020-interop-kms/"
_MOST: Final = 1024

Sae = Annotated[str, Meta(pattern=r"^[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]{1,64}\Z")]
Saes = Annotated[list[Sae], Meta(min_length=1, max_length=64)]
Url = Annotated[str, Meta(min_length=9, max_length=512)]


class AckStatus(StrEnum):
    """What became of keys."""

    RELAYED = "relayed"
    FAILED = "failed"
    VOIDED = "voided"
    FAILED_TO_VOID = "failed to void"
    NOT_PRESENT = "key not present"


class Problem(StrEnum):
    """Why a request was refused: the last part of the problem's type."""

    MISSING_PARAMETERS = "missing-parameters"
    KEY_ROUTING_ERROR = "key-routing-error"
    VOID_NOT_UNDERSTOOD = "void-request-not-understood"
    NO_KEY_IDS = "no-key-ids-or-confirmation"
    ACK_NOT_UNDERSTOOD = "ack-not-understood"
    KEY_NOT_PRESENT = "key-not-present"
    UNAUTHORIZED = "unauthorized"
    TIMEOUT = "timeout"
    GENERAL_ERROR = "server-side-general-error"
    INSUFFICIENT_KEY = "insufficient-key-material"
    UNSUPPORTED_EXTENSION = "unsupported-mandatory-extension"


_STATUSES: Final = {
    Problem.MISSING_PARAMETERS: 400,
    Problem.VOID_NOT_UNDERSTOOD: 400,
    Problem.NO_KEY_IDS: 400,
    Problem.ACK_NOT_UNDERSTOOD: 400,
    Problem.KEY_NOT_PRESENT: 400,
    Problem.UNAUTHORIZED: 401,
}


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An answer: HTTP status, body, media type."""

    status: int
    body: bytes = b""
    media_type: str = "application/json"


class ExternalKey(Struct, frozen=True, omit_defaults=True):
    """A key as one KMS hands it to another."""

    key_id: UUID
    value: Annotated[bytes, Meta(min_length=1, max_length=8192)]
    extension: Raw | UnsetType = UNSET

    def __repr__(self) -> str:
        return f"<ExternalKey {self.key_id} of {8 * len(self.value)} bits>"


class ExternalKeys(Struct, frozen=True, omit_defaults=True):
    """Keys of an initiator for its targets. Without a callback the sender waits for the acknowledgement."""

    keys: Annotated[list[ExternalKey], Meta(min_length=1, max_length=_MOST)]
    initiator_sae_id: Sae
    target_sae_ids: Saes
    ack_callback_url: Url | UnsetType = UNSET
    extension_mandatory: dict[str, Raw] | UnsetType = UNSET
    extension_optional: Raw | UnsetType = UNSET


class AckedKey(Struct, frozen=True, omit_defaults=True):
    """A key that an acknowledgement speaks of."""

    key_id: UUID
    extension: Raw | UnsetType = UNSET


class Ack(Struct, frozen=True, omit_defaults=True):
    """What became of some keys of an initiator."""

    key_id_container: Annotated[list[AckedKey], Meta(max_length=_MOST)]
    ack_status: AckStatus
    initiator_sae_id: Sae
    target_sae_ids: Saes
    message: Annotated[str, Meta(max_length=1024)] | UnsetType = UNSET
    extension: Raw | UnsetType = UNSET


class Void(Struct, frozen=True, omit_defaults=True):
    """Take back these keys; none named and `all_confirmation`: all of the initiator's for these targets."""

    key_ids: Annotated[list[UUID], Meta(max_length=_MOST)]
    initiator_sae_id: Sae
    target_sae_ids: Saes
    ack_callback_url: Url | UnsetType = UNSET
    all_confirmation: bool | UnsetType = UNSET


M = TypeVar("M")


def _read(body: bytes, kind: type[M]) -> M:
    if len(body) > BODY_BYTES:
        raise ProtocolError(f"the body has {len(body)} bytes; at most {BODY_BYTES} are read")
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ProtocolError(str(error)) from error


def _check_names(message: ExternalKeys | Void | Ack) -> None:
    targets = message.target_sae_ids
    if len(set(targets)) != len(targets) or message.initiator_sae_id in targets:
        raise ProtocolError("the initiator and the targets are not different applications")


def read_keys(body: bytes) -> ExternalKeys:
    """Read the body of ext_keys. Raises ProtocolError."""
    message = _read(body, ExternalKeys)
    _check_names(message)
    if len({key.key_id for key in message.keys}) != len(message.keys):
        raise ProtocolError("a key_id stands there twice")
    for extension in (message.extension_optional, *(key.extension for key in message.keys)):
        if extension is not UNSET and not bytes(extension).lstrip().startswith(b"{"):
            raise ProtocolError("an extension is no object")
    return message


def read_void(body: bytes) -> Void:
    """Read the body of void. Raises ProtocolError."""
    message = _read(body, Void)
    _check_names(message)
    return message


def read_acks(body: bytes) -> list[Ack]:
    """Read the body of ack, or of a synchronous answer. Raises ProtocolError."""
    return _read(body, cast("type[list[Ack]]", _Acks))


_Acks = Annotated[list[Ack], Meta(max_length=_MOST)]


def encode(message: Any) -> bytes:
    """The JSON of a message."""
    return msgspec.json.encode(message)


def problem(kind: Problem, detail: str) -> HttpAnswer:
    """The answer that refuses a request (RFC 9457). 400 and 401: nothing of the request was kept."""
    status = _STATUSES.get(kind, 503)
    body = {
        "type": _PROBLEMS + kind,
        "title": kind.value.replace("-", " ").capitalize(),
        "status": status,
        "detail": detail,
    }
    return HttpAnswer(status, msgspec.json.encode(body), "application/problem+json")


def versions() -> HttpAnswer:
    """The answer to a request for versions."""
    body: dict[str, Any] = {"versions": ["v1"], "capabilities": ["synchronous_mode"], "extension": {}}
    return HttpAnswer(200, msgspec.json.encode(body))
