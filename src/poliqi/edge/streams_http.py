"""Key streams (ETSI GS QKD 004) as JSON over HTTP: an ASGI application that any server of ours can mount.

A call that was understood is answered 200 with its status in the body, whatever the status; HTTP's own codes
speak of HTTP only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

import msgspec

from poliqi.base.errors import ProtocolError
from poliqi.base.ids import SaeId
from poliqi.edge.streams import StreamService
from poliqi.keys.etsi004_messages import (
    MESSAGE_BYTES,
    Close,
    GetKey,
    OpenConnect,
    Request,
    json_of,
    read_json,
)

__all__ = ["StreamsApplication", "sae_of_scope"]

_PREFIX: Final = "/etsi004/v1/"
_CALLS: Final[dict[str, type[OpenConnect] | type[GetKey] | type[Close]]] = {
    f"{_PREFIX}open_connect": OpenConnect,
    f"{_PREFIX}get_key": GetKey,
    f"{_PREFIX}close": Close,
}

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


def sae_of_scope(scope: Scope) -> SaeId | None:
    """The application that the server verified (edge.https)."""
    caller = scope.get("state", {}).get("caller")
    return None if caller is None else caller.sae


class StreamsApplication:
    """POST /etsi004/v1/open_connect, get_key and close. `sae_of` takes the verified caller from the scope."""

    prefix: Final = _PREFIX

    def __init__(self, service: StreamService, sae_of: Callable[[Scope], SaeId | None] = sae_of_scope) -> None:
        self._service: Final = service
        self._sae_of: Final = sae_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise ValueError(f"key streams are served over HTTP, not {scope['type']}")
        request = await self._request(scope, receive)
        if isinstance(request, tuple):
            await _send(send, *request)
            return
        sae, message = request["sae"], request["message"]
        call = asyncio.ensure_future(self._service.call(sae, message))
        gone = asyncio.ensure_future(receive())
        try:
            await asyncio.wait((call, gone), return_when=asyncio.FIRST_COMPLETED)
            if call.done():
                await _send(send, 200, json_of(await call))
        finally:
            for each in (call, gone):
                each.cancel()
                with suppress(asyncio.CancelledError):
                    await each

    async def _request(self, scope: Scope, receive: Receive) -> dict[str, Any] | tuple[int, bytes]:
        """The call and who makes it, or the refusal in HTTP's words."""
        kind = _CALLS.get(scope["path"])
        if kind is None:
            return 404, _message("there is nothing here")
        if scope["method"] != "POST":
            return 405, _message("calls are made by POST")
        sae = self._sae_of(scope)
        if sae is None:
            return 401, _message("the client certificate names no application")
        types = [value for name, value in scope["headers"] if name == b"content-type"]
        if any(value.lower().partition(b";")[0].strip() != b"application/json" for value in types):
            return 415, _message("the content type is not application/json")
        body = await _body(receive)
        if body is None:
            return 413, _message(f"the body is longer than {MESSAGE_BYTES} bytes")
        try:
            message: Request = read_json(body, kind)
        except ProtocolError as error:
            return 400, _message(str(error))
        return {"sae": sae, "message": message}


def _message(text: str) -> bytes:
    return msgspec.json.encode({"message": text})


async def _body(receive: Receive) -> bytes | None:
    """The whole body; None where it is too long."""
    body = b""
    while True:
        event = await receive()
        body += event.get("body", b"")
        if len(body) > MESSAGE_BYTES:
            return None
        if not event.get("more_body", False):
            return body


async def _send(send: Send, status: int, body: bytes) -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
    ]
    if status == 405:
        headers.append((b"allow", b"POST"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
