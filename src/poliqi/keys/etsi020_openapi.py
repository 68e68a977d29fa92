"""OpenAPI 3.1 paths of ETSI GS QKD 020, drawn from the messages themselves."""

from __future__ import annotations

from typing import Any, Final

from poliqi.keys.etsi004_openapi import operation, schema_of
from poliqi.keys.etsi020_messages import (
    ACK_PATH,
    KEYS_PATH,
    VERSIONS_PATH,
    VOID_PATH,
    Ack,
    ExternalKeys,
    Void,
)

__all__ = ["paths"]

_PROBLEM_TYPE: Final = "application/problem+json"
_PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    },
    "required": ["type", "title", "status"],
}
_VERSIONS: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "versions": {"type": "array", "items": {"type": "string"}},
        "capabilities": {"type": "array", "items": {"type": "string"}},
        "extension": {"type": "object"},
    },
    "required": ["versions"],
}

_Answers = dict[str, tuple[str, dict[str, Any] | None, str]]


def _answers(*, good: _Answers, refusals: tuple[str, ...]) -> _Answers:
    texts = {
        "400": "not understood; nothing was retained",
        "401": "not authorised; nothing was retained",
        "503": "could not be done",
    }
    return {**good, **{status: (texts[status], _PROBLEM, _PROBLEM_TYPE) for status in refusals}}


def paths() -> dict[str, Any]:
    """Versions, keys, acknowledgements, voids."""
    acks = schema_of(list[Ack])
    both: _Answers = {
        "200": ("synchronous mode: what became of the keys", acks, "application/json"),
        "202": ("asynchronous mode: the acknowledgement is posted to ack_callback_url", None, ""),
    }
    every = ("400", "401", "503")
    versions: _Answers = {"200": ("versions and capabilities", _VERSIONS, "application/json")}
    taken: _Answers = {"200": ("taken", None, "")}
    return {
        VERSIONS_PATH: {
            "get": operation("etsi020_versions", "Versions served", _answers(good=versions, refusals=("401",)))
        },
        KEYS_PATH: {
            "post": operation(
                "etsi020_ext_keys",
                "Keys from a neighbouring key management system",
                _answers(good=both, refusals=every),
                schema_of(ExternalKeys),
            )
        },
        ACK_PATH: {
            "post": operation("etsi020_ack", "What became of keys", _answers(good=taken, refusals=every), acks)
        },
        VOID_PATH: {
            "post": operation(
                "etsi020_void", "Take keys back", _answers(good=both, refusals=every), schema_of(Void)
            )
        },
    }
