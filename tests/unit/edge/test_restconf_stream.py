"""Notifications as server-sent events: every listener hears all or is cut off, and nobody fills the site."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from certificates import Authority, client_context
from kme_fixture import LoopThread, served

from poliqi.control.etsi015 import MODULE, QkdNode
from poliqi.edge.restconf import RestconfApplication
from poliqi.edge.restconf_data import Root
from poliqi.edge.restconf_schema import schema_of
from poliqi.edge.restconf_stream import EventStream
from poliqi.edge.tls import TlsFiles

PATH = "/restconf/streams/etsi-qkd"
WHEN = "2026-11-23T10:00:00.000Z"


class Listener:
    """One call of `serve`, and what it has sent."""

    def __init__(self, stream: EventStream, caller: str = "controller") -> None:
        self.sent: list[dict[str, Any]] = []
        self.gone = asyncio.Event()
        self.may_send = asyncio.Event()
        self.may_send.set()
        self.task = asyncio.create_task(stream.serve(caller, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        await self.may_send.wait()
        self.sent.append(message)

    @property
    def events(self) -> list[Any]:
        parts = [m["body"] for m in self.sent if m["type"] == "http.response.body"]
        return [json.loads(part[len(b"data: ") :]) for part in parts if part.startswith(b"data: ")]

    @property
    def is_ended(self) -> bool:
        return self.sent[-1] == {"type": "http.response.body", "body": b""}

    async def until(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.events) < count:
                await asyncio.sleep(0)

    async def leave(self) -> None:
        self.gone.set()
        await self.task


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(work())


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_every_listener_hears_every_event_in_order() -> None:
    async def work() -> None:
        stream = EventStream()
        both = [Listener(stream) for _ in range(2)]
        await settle()
        for number in range(20):
            stream.publish(WHEN, "m:n", {"number": number})
        for each in both:
            await each.until(20)
            assert [e["ietf-restconf:notification"]["m:n"]["number"] for e in each.events] == list(range(20))
            assert each.events[0]["ietf-restconf:notification"]["eventTime"] == WHEN
            assert dict(each.sent[0]["headers"])[b"content-type"] == b"text/event-stream"
            await each.leave()
        assert stream.listeners == 0

    run(work)


def test_who_reads_too_slowly_is_cut_off_and_the_others_are_not() -> None:
    async def work() -> None:
        stream = EventStream()
        slow, quick = Listener(stream), Listener(stream)
        await settle()
        slow.may_send.clear()
        for number in range(300):
            stream.publish(WHEN, "m:n", {"number": number})
            await asyncio.sleep(0)
        await quick.until(300)
        assert stream.listeners == 1
        slow.may_send.set()
        await slow.task
        assert slow.is_ended
        assert len(slow.events) < 300
        await quick.leave()

    run(work)


def test_there_is_room_for_so_many_and_no_more() -> None:
    async def work() -> None:
        stream = EventStream(most=3, most_of_one=2)
        listeners = [Listener(stream, "one") for _ in range(2)]
        await settle()
        assert not stream.has_room("one")
        assert stream.has_room("other")
        listeners.append(Listener(stream, "other"))
        await settle()
        assert not stream.has_room("third")
        await listeners.pop().leave()
        assert stream.has_room("third")
        for each in listeners:
            await each.leave()

    run(work)


def test_a_quiet_stream_says_that_it_is_alive() -> None:
    async def work() -> None:
        stream = EventStream(alive_s=0.01)
        one = Listener(stream)
        async with asyncio.timeout(5):
            while len(one.sent) < 5:
                await asyncio.sleep(0.005)
        assert all(m["body"].startswith(b":") and m["body"].endswith(b"\n\n") for m in one.sent[1:])
        stream.publish(WHEN, "m:n", {})
        await one.until(1)
        await one.leave()

    run(work)


def test_a_closed_stream_ends_its_listeners_and_takes_no_more() -> None:
    async def work() -> None:
        stream = EventStream()
        one = Listener(stream)
        await settle()
        stream.close()
        await one.task
        assert one.is_ended
        assert not stream.has_room("controller")

    run(work)


# ------------------------------------------------------------------ over TLS


@contextmanager
def door(tmp_path: Path, stream: EventStream) -> Iterator[tuple[httpx.Client, LoopThread]]:
    authority = Authority(tmp_path / "authority")
    kme = authority.kme("a")
    root = Root(MODULE, "qkd_node", schema_of(QkdNode), {})
    application = RestconfApplication(lambda: (root, ""), stream, ["controller"])
    context: ssl.SSLContext = client_context(authority, authority.sae("controller"))
    with (
        served(application, TlsFiles(kme.certificate, kme.key, authority.path)) as (_, where, thread),
        httpx.Client(base_url=f"https://{where}", verify=context, trust_env=False) as client,
    ):
        yield client, thread


def test_a_client_hears_events_and_its_leaving_is_noticed(tmp_path: Path) -> None:
    stream = EventStream()
    with door(tmp_path, stream) as (client, thread):
        with client.stream("GET", PATH, headers={"accept": "text/event-stream"}) as answer:
            assert answer.headers["content-type"] == "text/event-stream"
            lines = answer.iter_lines()
            assert next(lines) == ": listening"
            thread.call(lambda: stream.publish(WHEN, "m:n", {"x": 1}))
            data = next(line for line in lines if line.startswith("data: "))
            assert json.loads(data[6:])["ietf-restconf:notification"]["m:n"] == {"x": 1}
        end = time.monotonic() + 5
        while thread.call(lambda: stream.listeners):
            assert time.monotonic() < end


@pytest.mark.parametrize(
    ("query", "accept", "status"), [("?start-time=2026-01-01T00:00:00Z", "*/*", 400), ("", "application/json", 406)]
)
def test_what_the_stream_cannot_do_is_refused(tmp_path: Path, query: str, accept: str, status: int) -> None:
    with door(tmp_path, EventStream()) as (client, _):
        answer = client.get(PATH + query, headers={"accept": accept})
        assert answer.status_code == status
        assert "ietf-restconf:errors" in answer.json()


def test_one_listener_too_many_is_told_to_wait(tmp_path: Path) -> None:
    with door(tmp_path, EventStream(most=0)) as (client, _):
        answer = client.get(PATH)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
