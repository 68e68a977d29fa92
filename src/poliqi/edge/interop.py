"""ETSI GS QKD 020 with its clock, its desk and its neighbours: the ASGI application, and what sends keys.

Serve `InteropApplication` with edge.https on a port of its own, with a body limit of `BODY_BYTES` and the authority
of each neighbour (`TlsFiles.clients_ca`): whoever calls is the site that the certificate names, if that site's own
authority signed it. Each neighbour is called by a client of its own, which believes its authority only.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import httpx

from poliqi.base.errors import ConfigError
from poliqi.base.ids import KmeId
from poliqi.base.secret import Entropy
from poliqi.edge.complaints import Complaints
from poliqi.edge.desk import KeyDesk
from poliqi.keys.etsi020 import TICK_S, Action, Answer, Interop, InteropSettings, Settled, Ship, VoidKeys
from poliqi.keys.etsi020_messages import BODY_BYTES, HttpAnswer, Problem, problem
from poliqi.keys.etsi020_post import Neighbour, Post
from poliqi.keys.etsi020_send import Extensions
from poliqi.keys.requests import Outcome, Reason, Refused, Shipment

__all__ = ["InteropApplication", "InteropService", "kme_of_scope", "neighbour_context"]

_JSON: Final = {"content-type": "application/json"}
_POST_S: Final = 35.0
_ANSWER_BYTES: Final = BODY_BYTES

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


def neighbour_context(authority: Path, certificate: Path, key: Path) -> ssl.SSLContext:
    """How a neighbour is called: TLS 1.3, our certificate, theirs signed by `authority`. Raises ConfigError."""
    # not create_default_context: it writes the session's secrets to the file that SSLKEYLOGFILE names
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_verify_locations(authority)
    except OSError as error:
        raise ConfigError(f"authority {authority}: cannot be used: {error.strerror or error}") from error
    try:
        context.load_cert_chain(certificate, key, password="")  # nobody is asked for a passphrase
    except (OSError, ValueError) as error:
        raise ConfigError(f"certificate {certificate} with key {key}: cannot be used: {error}") from error
    return context


def kme_of_scope(scope: Scope) -> KmeId | None:
    """The site that the server verified (edge.https)."""
    caller = scope.get("state", {}).get("caller")
    return None if caller is None else caller.kme


class InteropService:
    """A site's dealings with neighbouring key management systems, in a running event loop.

    `callback_url` is where neighbours reach our own `InteropApplication`, such as https://kme.example:8020; `tls`
    is how each of them is called.
    """

    def __init__(
        self,
        desk: KeyDesk,
        neighbours: Iterable[Neighbour],
        callback_url: str,
        tls: Mapping[KmeId, ssl.SSLContext],
        entropy: Entropy,
        settings: InteropSettings | None = None,
        say: Complaints | None = None,
    ) -> None:
        self._desk: Final = desk
        self._core: Final = Interop(desk.kme_id, neighbours, callback_url, entropy, settings)
        self._complain: Final = say or Complaints(lambda _: None)
        self._clients = _clients(tls)
        self._posting: Final[Counter[httpx.AsyncClient]] = Counter()
        self._calls: Final[dict[int, asyncio.Future[HttpAnswer]]] = {}
        self._sends: Final[dict[int, asyncio.Future[Outcome]]] = {}
        self._tasks: Final[set[asyncio.Task[None]]] = set()
        self._last_call = 0
        self._timer: asyncio.TimerHandle | None = None
        self._is_pumping = False
        self._is_closed = False

    def reload(self, tls: Mapping[KmeId, ssl.SSLContext]) -> None:
        """Call neighbours this way from now on; posts under way end as they began."""
        old, self._clients = self._clients, _clients(tls)
        for client in old.values():
            if not self._posting[client]:
                self._start(client.aclose())

    @property
    def given_up(self) -> int:
        """Acknowledgements and voids that no neighbour took in time."""
        return self._core.given_up

    async def send(self, neighbour: KmeId, shipment: Shipment, extensions: Extensions | None = None) -> Outcome:
        """Send keys to a neighbour. Accepted: all were relayed, and may be released; Refused: none may ever be.

        When the waiting task is cancelled, the neighbour is told to throw the keys away.
        """
        if self._is_closed:
            return Refused(Reason.UNAVAILABLE, "the site is stopping")
        future = asyncio.get_running_loop().create_future()
        self._last_call += 1
        token = self._last_call
        self._sends[token] = future
        try:
            self._core.send(token, neighbour, shipment, time.monotonic(), extensions)
            self._pump()
            return await future
        finally:
            del self._sends[token]
            if future.cancelled() and not self._is_closed:
                self._core.abandon(token, time.monotonic())
                self._pump()

    async def answer(self, caller: KmeId | None, method: str, path: str, body: bytes) -> HttpAnswer:
        """Answer a neighbour's request."""
        if self._is_closed:
            return problem(Problem.GENERAL_ERROR, "the site is stopping")
        future = asyncio.get_running_loop().create_future()
        self._last_call += 1
        number = self._last_call
        self._calls[number] = future
        try:
            self._core.receive(number, caller, method, path, body, time.monotonic())
            self._pump()
            return await future
        finally:
            del self._calls[number]

    def _pump(self) -> None:
        if self._is_pumping:
            return
        self._is_pumping = True
        try:
            while output := self._core.take_output():
                for action in output:
                    self._do(action)
        finally:
            self._is_pumping = False
        if self._timer is None and self._core.is_busy and not self._is_closed:
            self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def _do(self, action: Action) -> None:
        match action:
            case Answer(call, answer):
                _settle(self._calls.get(call), answer)
            case Settled(token, outcome):
                _settle(self._sends.get(token), outcome)
            case Ship():
                self._start(self._ship(action))
            case VoidKeys():
                self._start(self._void(action))
            case Post():
                self._start(self._post(action))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        if self._is_closed:
            work.close()
            return
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ship(self, action: Ship) -> None:
        outcome = await self._outcome(self._desk.ship(action.shipment))
        self._core.shipped(action.job, outcome, time.monotonic())
        self._pump()

    async def _void(self, action: VoidKeys) -> None:
        outcome = await self._outcome(self._desk.void(action.master, action.slaves, action.key_ids))
        self._core.voided(action.job, outcome, time.monotonic())
        self._pump()

    async def _outcome(self, asked: Awaitable[Outcome]) -> Outcome:
        try:
            return await asked
        except Exception as error:  # a neighbour must get an answer whatever broke here
            self._complain(f"interop: the desk failed: {type(error).__name__}", known=True)
            return Refused(Reason.UNAVAILABLE, "the key management failed")

    async def _post(self, action: Post) -> None:
        status, body = await self._posted(action)
        self._core.posted(action.job, status, body, time.monotonic())
        self._pump()

    async def _posted(self, action: Post) -> tuple[int | None, bytes]:
        client = self._clients[action.neighbour]
        self._posting[client] += 1
        try:
            async with (
                asyncio.timeout(_POST_S),
                client.stream("POST", action.url, content=action.body, headers=_JSON) as answer,
            ):
                body = bytearray()
                async for part in answer.aiter_raw():
                    body += part
                    if len(body) > _ANSWER_BYTES:
                        line = f"interop: {action.neighbour} answered more than {_ANSWER_BYTES} bytes"
                        self._complain(line, known=True)
                        return None, b""
                return answer.status_code, bytes(body)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            why = str(error) or type(error).__name__
            self._complain(f"interop: {action.neighbour} cannot be reached: {why}", known=True)
            return None, b""
        finally:
            self._posting[client] -= 1
            if not self._posting[client]:
                del self._posting[client]
                if client is not self._clients.get(action.neighbour):
                    await client.aclose()

    def _tick(self) -> None:
        self._timer = None
        self._core.tick(time.monotonic())
        self._pump()

    async def close(self, grace_s: float = 2.0) -> None:
        """Answer no more; let what is being posted arrive for a while. The rest is for the neighbours to void."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        for future in (*self._calls.values(), *self._sends.values()):
            future.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_s)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for client in (*self._clients.values(), *self._posting):
            await client.aclose()


def _clients(tls: Mapping[KmeId, ssl.SSLContext]) -> dict[KmeId, httpx.AsyncClient]:
    return {
        neighbour: httpx.AsyncClient(verify=context, trust_env=False, follow_redirects=False, timeout=_POST_S)
        for neighbour, context in tls.items()
    }


def _settle(future: asyncio.Future[Any] | None, value: HttpAnswer | Outcome) -> None:
    if future is not None and not future.done():
        future.set_result(value)


class InteropApplication:
    """The ASGI application for neighbours; `kme_of` takes the verified caller from the scope."""

    prefix: Final = "/kmapi/"

    def __init__(self, service: InteropService, kme_of: Callable[[Scope], KmeId | None] = kme_of_scope) -> None:
        self._service: Final = service
        self._kme_of: Final = kme_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise ValueError(f"ETSI 020 is served over HTTP, not {scope['type']}")
        body = await _body(receive)
        if body is None:
            answer = problem(Problem.GENERAL_ERROR, f"the body is longer than {BODY_BYTES} bytes")
            await _send(send, HttpAnswer(413, answer.body, answer.media_type))
            return
        call = asyncio.ensure_future(
            self._service.answer(self._kme_of(scope), scope["method"], scope["path"], body)
        )
        gone = asyncio.ensure_future(receive())
        try:
            await asyncio.wait((call, gone), return_when=asyncio.FIRST_COMPLETED)
            if call.done():
                await _send(send, await call)
        finally:
            for each in (call, gone):
                each.cancel()
                with suppress(asyncio.CancelledError):
                    await each


async def _body(receive: Receive) -> bytes | None:
    """The whole body; None where it is too long."""
    body = bytearray()
    while True:
        event = await receive()
        body += event.get("body", b"")
        if len(body) > BODY_BYTES:
            return None
        if not event.get("more_body", False):
            return bytes(body)


async def _send(send: Send, answer: HttpAnswer) -> None:
    headers = [
        (b"content-type", answer.media_type.encode()),
        (b"content-length", b"%d" % len(answer.body)),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
