"""RESTCONF (RFC 8040) of a node: reading, discovery and notifications; nothing can be written.

`scope["state"]["caller"]` is whom the client certificate speaks for (edge.https); only readers that the site names
are answered. A path that ends in a slash is answered in plain JSON, without module names, as some controllers want.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from poliqi.edge.identity import Caller
from poliqi.edge.restconf_data import Root, read_all, read_resource
from poliqi.edge.restconf_library import LIBRARY_VERSION, STREAM_PATH, library, monitoring
from poliqi.edge.restconf_request import Refusal, parse_path, parse_query
from poliqi.edge.restconf_stream import EventStream

__all__ = ["RestconfApplication"]

_YANG: Final = b"application/yang-data+json"
_JSON: Final = b"application/json"
_XRD: Final = b"application/xrd+xml"
_EVENTS: Final = b"text/event-stream"
_READS: Final = ("GET", "HEAD")
_ALLOW: Final = b"GET, HEAD, OPTIONS"
_DATA: Final = b"/restconf/data"
_OPERATIONS: Final = b"/restconf/operations"
_HOST_META: Final = (
    b"<XRD xmlns='http://docs.oasis-open.org/ns/xri/xrd-1.0'><Link rel='restconf' href='/restconf'/></XRD>\n"
)

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    kind: bytes
    body: bytes
    more: tuple[tuple[bytes, bytes], ...] = ()


class RestconfApplication:
    """Serves the roots that `data` gives, with the library's, to callers whose name is in `readers`.

    `data` also gives an HTTP date: when the roots were last found changed.
    """

    def __init__(self, data: Callable[[], tuple[Root, str]], stream: EventStream, readers: Collection[str]) -> None:
        self._data: Final = data
        self._stream: Final = stream
        self._readers: Final = frozenset(readers)
        self._own: Final = (library(), monitoring())

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request (ASGI 3)."""
        if scope["type"] != "http":
            raise ValueError(f"RESTCONF is served over HTTP, not {scope['type']}")
        caller: Caller | None = scope["state"]["caller"]
        refusal = self._stranger(caller)
        if refusal is None and scope["raw_path"] == STREAM_PATH.encode() and scope["method"] == "GET":
            assert caller is not None
            refusal = self._deaf(caller.name, scope)
            if refusal is None:
                await receive()
                self._data()  # what is told from here on is what changes after this
                return await self._stream.serve(caller.name, receive, send)
        answer = self._answer(scope) if refusal is None else _refused(refusal)
        await _send(send, answer)
        return None

    def _stranger(self, caller: Caller | None) -> Refusal | None:
        """Why a caller is not answered."""
        if caller is None:
            return Refusal(401, "access-denied", "the client certificate names nobody")
        if caller.name not in self._readers:
            return Refusal(403, "access-denied", f"{caller.name} is not among the readers that the site names")
        return None

    def _deaf(self, caller: str, scope: dict[str, Any]) -> Refusal | None:
        """Why a caller may not listen."""
        if scope["query_string"]:
            return Refusal(400, "invalid-value", "the stream takes no query: nothing is filtered or repeated")
        if not _accepts(scope["headers"], _EVENTS):
            return Refusal(406, "invalid-value", f"the stream is {_EVENTS.decode()}, which Accept rules out")
        if not self._stream.has_room(caller):
            return Refusal(503, "resource-denied", "too many listeners; close some, or try again later")
        return None

    # ---------------------------------------------------------------- resources

    def _answer(self, scope: dict[str, Any]) -> _Answer:
        path: bytes = scope["raw_path"]
        method: str = scope["method"]
        if not _is_resource(path):
            return _refused(
                Refusal(404, "invalid-value", "there is nothing at this path; /restconf/data is the data")
            )
        if method == "OPTIONS":
            return _Answer(200, _YANG, b"", ((b"allow", _ALLOW),))
        if method not in _READS:
            text = f"{method} is not supported: a site is configured by its site.toml, and only read from here"
            return _refused(Refusal(405, "operation-not-supported", text))
        if path.removesuffix(b"/") == b"/.well-known/host-meta":
            return _Answer(200, _XRD, _HOST_META)
        return self._read(path, scope["query_string"], scope["headers"])

    def _read(self, path: bytes, query: bytes, headers: Any) -> _Answer:
        yang = _accepts(headers, _YANG)
        is_plain = path.endswith(b"/") and not _names(headers, _YANG)
        kind = _YANG if yang and not is_plain else _JSON
        if kind is _JSON and not _accepts(headers, _JSON):
            text = "only application/yang-data+json is spoken here, and Accept rules it out"
            return _refused(Refusal(406, "invalid-value", text))
        path = path.removesuffix(b"/")
        if path != _DATA and not path.startswith(_DATA + b"/"):
            told = _static(path, query)
            return _refused(told) if isinstance(told, Refusal) else _Answer(200, kind, msgspec.json.encode(told))
        steps, wanted = parse_path(path[len(_DATA) + 1 :]), parse_query(query)
        for refusal in (steps, wanted):
            if isinstance(refusal, Refusal):
                return _refused(refusal)
        assert not isinstance(steps, Refusal)
        assert not isinstance(wanted, Refusal)
        root, modified = self._data()
        roots = (root, *self._own)
        told = read_resource(roots, steps, wanted, is_plain=is_plain) if steps else read_all(roots, wanted)
        if isinstance(told, Refusal):
            return _refused(told)
        return _tagged(_Answer(200, kind, msgspec.json.encode(told)), modified, headers)


def _is_resource(path: bytes) -> bool:
    path = path.removesuffix(b"/")
    known = (b"/.well-known/host-meta", b"/restconf", b"/restconf/yang-library-version", _OPERATIONS, _DATA)
    return path in known or path == STREAM_PATH.encode() or path.startswith(_DATA + b"/")


def _static(path: bytes, query: bytes) -> object | Refusal:
    """Resources that never change."""
    wanted = parse_query(query, ())
    if isinstance(wanted, Refusal):
        return wanted
    if path == _OPERATIONS:
        return {"ietf-restconf:operations": {}}
    if path == b"/restconf":
        return {"ietf-restconf:restconf": {"data": {}, "operations": {}, "yang-library-version": LIBRARY_VERSION}}
    if path == b"/restconf/yang-library-version":
        return {"ietf-restconf:yang-library-version": LIBRARY_VERSION}
    return Refusal(406, "invalid-value", f"{STREAM_PATH} is a stream: GET it, as {_EVENTS.decode()}")


def _tagged(answer: _Answer, modified: str, headers: Any) -> _Answer:
    """The answer with its entity tag, or 304 where the caller has it already."""
    tag = b'"%b"' % hashlib.sha256(answer.kind + answer.body).hexdigest()[:32].encode()
    more = ((b"etag", tag), (b"last-modified", modified.encode()), (b"vary", b"accept"))
    known = [value for name, value in headers if name == b"if-none-match"]
    had = {part.strip().removeprefix(b"W/") for value in known for part in value.split(b",")}
    if had & {tag, b"*"}:
        return _Answer(304, answer.kind, answer.body, more)  # its length is told, its body is not sent
    return _Answer(answer.status, answer.kind, answer.body, more)


def _refused(refusal: Refusal) -> _Answer:
    error = {"error-type": "protocol", "error-tag": refusal.tag, "error-message": refusal.message}
    body = msgspec.json.encode({"ietf-restconf:errors": {"error": [error]}})
    more: tuple[tuple[bytes, bytes], ...] = ()
    if refusal.status == 405:
        more = ((b"allow", _ALLOW),)
    elif refusal.status == 503:
        more = ((b"retry-after", b"10"),)
    return _Answer(refusal.status, _YANG, body, more)


def _ranges(headers: Any) -> list[bytes]:
    """Media ranges of Accept that are not ruled out by q=0."""
    values = [value for name, value in headers if name == b"accept" and value]
    found: list[bytes] = []
    for part in b",".join(values).lower().split(b",") if values else (b"*/*",):
        kind, *parameters = (each.strip() for each in part.split(b";"))
        weights = [p[2:] for p in parameters if p.startswith(b"q=")]
        if kind and not any(weight.strip(b"0.") == b"" for weight in weights):
            found.append(kind)
    return found


def _accepts(headers: Any, kind: bytes) -> bool:
    family = kind.partition(b"/")[0] + b"/*"
    return any(each in (kind, family, b"*/*") for each in _ranges(headers))


def _names(headers: Any, kind: bytes) -> bool:
    """Whether Accept names this type and not just any."""
    return kind in _ranges(headers)


async def _send(send: Send, answer: _Answer) -> None:
    headers = [
        (b"content-type", answer.kind),
        (b"content-length", b"%d" % len(answer.body)),
        (b"cache-control", b"no-cache"),
        *answer.more,
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
