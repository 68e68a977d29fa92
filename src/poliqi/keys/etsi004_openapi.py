"""OpenAPI 3.1 paths of the JSON binding of key streams, drawn from the messages themselves."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from poliqi.keys.etsi004_messages import (
    Close,
    CloseReply,
    GetKey,
    GetKeyReply,
    OpenConnect,
    OpenConnectReply,
)

__all__ = ["operation", "paths", "schema_of"]

_REFUSAL: Final = {
    "type": "object",
    "properties": {"message": {"type": "string"}},
    "required": ["message"],
}
_CALLS: Final = (
    ("open_connect", OpenConnect, OpenConnectReply, "OPEN_CONNECT: make a key stream, or open its second end"),
    ("get_key", GetKey, GetKeyReply, "GET_KEY: a chunk of a stream, once to each end"),
    ("close", Close, CloseReply, "CLOSE: end the caller's part in a stream"),
)
_REFUSALS: Final = {
    "400": "not understood",
    "401": "the client certificate names no application",
    "405": "calls are made by POST",
    "413": "the body is too long",
    "415": "the content type is not application/json",
}


def schema_of(kind: Any) -> dict[str, Any]:
    """The JSON schema of a message, with nothing referred to elsewhere."""
    whole = msgspec.json.schema(kind)
    parts: dict[str, Any] = whole.get("$defs", {})

    def inline(node: Any) -> Any:
        if isinstance(node, list):
            return [inline(each) for each in node]  # pyright: ignore[reportUnknownVariableType]  # a JSON value
        if not isinstance(node, dict):
            return node
        reference: Any = node.get("$ref")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # a JSON value
        if isinstance(reference, str):
            return inline(parts[reference.rpartition("/")[2]])
        return {name: inline(value) for name, value in node.items() if name not in ("$defs", "title")}  # pyright: ignore[reportUnknownVariableType]  # a JSON value

    return inline(whole)


def _content(schema: dict[str, Any], media_type: str = "application/json") -> dict[str, Any]:
    return {media_type: {"schema": schema}}


def operation(
    name: str,
    summary: str,
    answers: dict[str, tuple[str, dict[str, Any] | None, str]],
    body: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """One operation; `answers` maps a status to description, schema and media type."""
    described: dict[str, Any] = {}
    for status, (text, schema, media_type) in answers.items():
        described[status] = {"description": text}
        if schema is not None:
            described[status]["content"] = _content(schema, media_type)
    made: dict[str, Any] = {"operationId": name, "summary": summary, "responses": described}
    if body is not None:
        made["requestBody"] = {"required": True, "content": _content(body)}
    return made


def paths() -> dict[str, Any]:
    """The three calls. A call that was understood is answered 200, with its status in the body."""
    made: dict[str, Any] = {}
    for name, asked, reply, summary in _CALLS:
        answers: dict[str, tuple[str, dict[str, Any] | None, str]] = {
            status: (text, _REFUSAL, "application/json") for status, text in _REFUSALS.items()
        }
        answers["200"] = ("the call's reply", schema_of(reply), "application/json")
        post = operation(f"etsi004_{name}", summary, dict(sorted(answers.items())), schema_of(asked))
        made[f"/etsi004/v1/{name}"] = {"post": post}
    return made
