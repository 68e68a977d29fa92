"""The ASGI application of a site's key delivery: ETSI GS QKD 014, Cisco SKIP, and the description of both.

One function a method: read the request (keys.etsi014, keys.skip), ask the desk, put the outcome into words. The
caller is `scope["state"]["caller"]`, which the server took from a verified certificate.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from poliqi.base.errors import PoliqiError
from poliqi.base.ids import SaeId
from poliqi.base.secret import Entropy
from poliqi.edge.asgi import Application
from poliqi.edge.desk import KeyDesk
from poliqi.edge.identity import Caller
from poliqi.keys import etsi014, skip
from poliqi.keys.etsi014 import Action, EncRequest, Route
from poliqi.keys.etsi014_answer import Answer, answer_message, answer_outcome, answer_status
from poliqi.keys.openapi import document
from poliqi.keys.policy import KeyLimits
from poliqi.keys.requests import Delivered, KeyOrder, Outcome, Reason, Refused

__all__ = ["BODY_LIMIT_BYTES", "KmeApplication"]

BODY_LIMIT_BYTES: Final = 64 << 10
_ALLOWED: Final = {Action.STATUS: "GET", Action.ENC_KEYS: "GET, POST", Action.DEC_KEYS: "GET, POST"}
_HEADERS: Final = ((b"content-type", b"application/json"), (b"cache-control", b"no-store"))
_SWIFT_HEAD: Final = b"content-type: application/json\r\ncache-control: no-store\r\n%bcontent-length: %d\r\n\r\n%b"
_BROKEN: Final = b'{"message": "Internal Server Error"}'
_ORDERS_KNOWN: Final = 4096
_NO_GRADE: Final = Refused(Reason.INSUFFICIENT, "no keys of the grade that poliqi_grade asks for", 60.0)
_NOBODY: Final = answer_message(401, "the client certificate names no application")
_FAILED: Final = answer_message(503, "the key management cannot answer now", retry_s=5.0)

_Receive = Callable[[], Awaitable[dict[str, Any]]]
_Send = Callable[[dict[str, Any]], Awaitable[None]]


class KmeApplication:
    """Serves `desk`. With `entropy`, SKIP too: `partners` lists whom an application may share keys with.

    Paths of neither standard go to `others`; `described` are those of them that the description is to hold.
    """

    def __init__(
        self,
        desk: KeyDesk,
        *,
        entropy: Entropy | None = None,
        partners: Callable[[SaeId], Sequence[SaeId]] = lambda _: (),
        others: Application | None = None,
        described: dict[str, Any] | None = None,
    ) -> None:
        self._desk: Final = desk
        self._entropy: Final = entropy
        self._partners: Final = partners
        self._others: Final = others
        text = json.dumps(document(has_skip=entropy is not None, more_paths=described))
        self._orders: Final[dict[tuple[SaeId, bytes, bytes], tuple[KeyLimits, KeyOrder]]] = {}
        """GETs that came before, read; each as long as its caller's limits stay the same object."""
        self._document: Final = Answer(200, text.encode())

    def swift(
        self, path: bytes, query: bytes, caller: Caller | None, answer: Callable[[int, bytes], None]
    ) -> asyncio.Future[Outcome] | None:
        """Take a GET of enc_keys or dec_keys that is in order; None for all else."""
        sae = None if caller is None else caller.sae
        if sae is None:
            return None
        asked = self._asked(sae, path, query)
        if asked is None:
            return None
        try:
            outcome = self._desk.order(asked) if isinstance(asked, KeyOrder) else self._desk.fetch(sae, *asked)
        except Exception as error:  # whatever it was, it is answered where outcomes are
            outcome = asyncio.get_running_loop().create_future()
            outcome.set_exception(error)
        future = outcome if isinstance(outcome, asyncio.Future) else asyncio.ensure_future(outcome)
        future.add_done_callback(lambda done: answer(*_swift_answer(done)))
        return future

    def _asked(self, sae: SaeId, path: bytes, query: bytes) -> KeyOrder | tuple[SaeId, tuple[bytes, ...]] | None:
        """What a GET asks for; None where it must be looked at more closely."""
        limits = self._desk.limits(sae)
        place = (sae, path, query)
        known = self._orders.get(place)
        if known is not None and known[0] is limits:
            return known[1]
        route = etsi014.read_path(path)
        if not isinstance(route, Route):
            return None
        if route.action is Action.DEC_KEYS:
            key_ids = etsi014.read_dec_query(query)
            return None if isinstance(key_ids, Refused) else (route.sae, key_ids)
        if route.action is not Action.ENC_KEYS:
            return None
        request = etsi014.read_enc_query(sae, route.sae, query, limits)
        if isinstance(request, Refused):
            return None
        if len(self._orders) >= _ORDERS_KNOWN:
            self._orders.clear()
        self._orders[place] = limits, request.order
        return request.order

    async def __call__(self, scope: dict[str, Any], receive: _Receive, send: _Send) -> None:
        """Answer one HTTP request (ASGI 3)."""
        if scope["type"] != "http":
            raise RuntimeError(f"this application speaks http, not {scope['type']}")
        raw_path: bytes = scope["raw_path"]
        route = etsi014.read_path(raw_path)
        try:
            if route is not None:
                answer = await self._etsi014(route, scope, receive)
            elif self._entropy is not None and skip.is_skip_path(raw_path):
                answer = await self._skip(raw_path, scope, self._entropy)
            elif raw_path == b"/openapi.json":
                answer = self._document if scope["method"] == "GET" else _not_allowed("GET")
            elif self._others is not None:
                return await self._others(scope, receive, send)
            else:
                answer = answer_message(404, "there is nothing at this path")
        except PoliqiError:
            answer = _FAILED
        status, body, retry_s, allow = answer
        headers = [*_HEADERS, (b"content-length", b"%d" % len(body))]
        if retry_s is not None:
            headers.append((b"retry-after", b"%d" % retry_s))
        if allow is not None:
            headers.append((b"allow", allow.encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        return await send({"type": "http.response.body", "body": body})

    async def _etsi014(self, route: Route | Refused, scope: dict[str, Any], receive: _Receive) -> Answer:
        method: str = scope["method"]
        if isinstance(route, Refused):
            return answer_outcome(route)
        if method != "GET" and (method != "POST" or route.action is Action.STATUS):
            return _not_allowed(_ALLOWED[route.action])
        sae = _sae_of(scope)
        if sae is None:
            return _NOBODY
        body = b""
        if method == "POST":
            body = await _read_body(scope, receive)
            if isinstance(body, Answer):
                return body
        match route.action:
            case Action.ENC_KEYS:
                return await self._enc_keys(sae, route.sae, method, scope["query_string"], body)
            case Action.DEC_KEYS:
                return await self._dec_keys(sae, route.sae, method, scope["query_string"], body)
            case Action.STATUS:
                return self._status(sae, route.sae, scope["query_string"])

    def _status(self, caller: SaeId, other: SaeId, query: bytes) -> Answer:
        refused = etsi014.read_query(query, ())
        if isinstance(refused, Refused):
            return answer_outcome(refused)
        if caller == other:
            return answer_outcome(etsi014.refuse("master and slave are the same application"))
        return answer_status(self._desk.report(caller, other))

    async def _enc_keys(self, caller: SaeId, slave: SaeId, method: str, query: bytes, body: bytes) -> Answer:
        limits = self._desk.limits(caller)
        if method == "GET":
            request = etsi014.read_enc_query(caller, slave, query, limits)
        else:
            refused = etsi014.read_query(query, ())
            request = (
                refused if isinstance(refused, Refused) else etsi014.read_enc_body(caller, slave, body, limits)
            )
        if isinstance(request, Refused):
            return answer_outcome(request)
        if request.demands.names_a_grade:
            return answer_outcome(await self._order_by_grade(request))
        return answer_outcome(await self._desk.order(request.order))

    async def _order_by_grade(self, request: EncRequest) -> Outcome:
        """Order where every grade in stock will do, and hand over only keys that do: what does not is used up."""
        for slave in request.order.slaves:
            report = self._desk.report(request.order.master, slave)
            if isinstance(report, Refused):
                return report
            if not report.grades or not all(request.demands.meets(grade) for grade in report.grades):
                return _NO_GRADE
        outcome = await self._desk.order(request.order)
        if isinstance(outcome, Delivered) and not all(request.demands.meets(key.grade) for key in outcome.keys):
            return _NO_GRADE
        return outcome

    async def _dec_keys(self, caller: SaeId, master: SaeId, method: str, query: bytes, body: bytes) -> Answer:
        if method == "GET":
            key_ids = etsi014.read_dec_query(query)
        else:
            refused = etsi014.read_query(query, ())
            limits = self._desk.limits(caller)
            key_ids = refused if isinstance(refused, Refused) else etsi014.read_dec_body(body, limits)
        if isinstance(key_ids, Refused):
            return answer_outcome(key_ids)
        return answer_outcome(await self._desk.fetch(caller, master, key_ids))

    async def _skip(self, raw_path: bytes, scope: dict[str, Any], entropy: Entropy) -> Answer:
        if scope["method"] != "GET":
            return _not_allowed("GET")
        sae = _sae_of(scope)
        if sae is None:
            return answer_message(400, "the client certificate names no application")
        match skip.read_request(raw_path, scope["query_string"]):
            case Refused() as refused:
                return skip.answer_key(refused)
            case skip.Capabilities():
                return skip.answer_capabilities(sae, self._partners(sae))
            case skip.EntropyRequest() as request:
                return skip.answer_entropy(request, entropy)
            case skip.KeyFetch(remote, key_id):
                return skip.answer_key(await self._desk.fetch(sae, remote, (key_id,)))
            case skip.KeyRequest() as request:
                order = request.order(sae, self._desk.limits(sae))
                return skip.answer_key(order if isinstance(order, Refused) else await self._desk.order(order))


def _swift_answer(done: asyncio.Future[Outcome]) -> tuple[int, bytes]:
    """Status, and all that follows the status line and the date."""
    if done.cancelled():
        return 0, b""
    error = done.exception()
    if error is not None and not isinstance(error, PoliqiError):
        return 500, _SWIFT_HEAD % (b"", len(_BROKEN), _BROKEN)
    status, body, retry_s, _ = _FAILED if error is not None else answer_outcome(done.result())
    return status, _SWIFT_HEAD % (b"" if retry_s is None else b"retry-after: %d\r\n" % retry_s, len(body), body)


def _sae_of(scope: dict[str, Any]) -> SaeId | None:
    caller: Caller | None = scope["state"]["caller"]
    return None if caller is None else caller.sae


def _not_allowed(allow: str) -> Answer:
    return answer_message(405, "this method is not allowed here", allow=allow)


async def _read_body(scope: dict[str, Any], receive: _Receive) -> bytes | Answer:
    """The body of a POST, within limits and of the right type."""
    for name, value in scope["headers"]:
        if name == b"content-type" and not _is_json(value):
            return answer_message(415, "the content type is not application/json")
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body", False) and len(body) <= BODY_LIMIT_BYTES:
        message = await receive()
        body += message.get("body", b"")
    if len(body) > BODY_LIMIT_BYTES:
        return answer_message(413, f"the body is longer than {BODY_LIMIT_BYTES} bytes")
    return body


def _is_json(content_type: bytes) -> bool:
    kind, _, parameters = content_type.lower().partition(b";")
    charset = parameters.replace(b" ", b"").replace(b'"', b"")
    return kind.strip() == b"application/json" and charset in (b"", b"charset=utf-8")
