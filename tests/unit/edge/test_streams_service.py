"""Key streams over real TLS on loopback, both bindings, both clients, two sites."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pytest
from certificates import Authority, client_context
from fake_desk import FakeSites, fake_pair

from poliqi.base.errors import LinkDown
from poliqi.base.ids import KmeId, SaeId
from poliqi.edge.entropy import OperatingSystemEntropy
from poliqi.edge.framing import FrameStream
from poliqi.edge.https import HttpsServer
from poliqi.edge.network import Address
from poliqi.edge.stream_client import AsyncStreamClient, StreamClient
from poliqi.edge.stream_server import StreamServer
from poliqi.edge.streams import StreamService
from poliqi.edge.streams_http import StreamsApplication
from poliqi.edge.tls import TlsFiles
from poliqi.keys.etsi004_messages import Qos, Status

HERE = Address("127.0.0.1", 0)
ENDS = ("qkd://sae-a", "qkd://sae-b")


@dataclass
class Site:
    service: StreamService
    server: StreamServer
    frames: Address
    url: str
    context: ssl.SSLContext


@dataclass
class Two:
    a: Site
    b: Site
    sites: FakeSites
    authority: Authority
    tls: dict[str, TlsFiles]


@asynccontextmanager
async def two_sites(folder: Path) -> AsyncGenerator[Two]:
    authority = Authority(folder)
    made, closers, files = [], [], {}
    desks = fake_pair()
    for desk, sae in zip(desks, ("sae-a", "sae-b"), strict=True):
        own = authority.kme(desk.kme_id)
        tls = files[sae] = TlsFiles(own.certificate, own.key, authority.path)
        service = StreamService(desk, OperatingSystemEntropy())
        server = StreamServer(service, HERE, tls)
        frames = await server.start()
        https = HttpsServer(StreamsApplication(service), HERE, tls)
        address = await https.start()
        context = client_context(authority, authority.sae(sae))
        made.append(Site(service, server, frames, f"https://127.0.0.1:{address.port}", context))
        closers.append((service, server, https))
    try:
        yield Two(made[0], made[1], desks[0].sites, authority, files)
    finally:
        for service, server, https in closers:
            await https.close()
            await server.close()
            await service.close()


def run(folder: Path, work: Callable[[Two], Awaitable[None]]) -> None:
    async def main() -> None:
        async with two_sites(folder) as two:
            await asyncio.wait_for(work(two), 20)

    asyncio.run(main())


async def read_together(a: AsyncStreamClient, b: AsyncStreamClient) -> None:
    opened = await a.open(*ENDS)
    assert opened.status is Status.PEER_NOT_CONNECTED_YET and opened.stream_id is not None
    joined = await b.open(*ENDS, stream_id=opened.stream_id)
    assert joined.status is Status.OK
    mine = [await a.get_key(opened.stream_id) for _ in range(10)]
    theirs = [await b.get_key(opened.stream_id) for _ in range(10)]
    assert [reply.index for reply in mine] == list(range(10))
    assert mine == theirs
    assert len({reply.key for reply in mine}) == 10
    assert await a.close(opened.stream_id) is Status.OK
    assert await b.close(opened.stream_id) is Status.OK


def test_frames_give_both_ends_the_same_chunks(tmp_path: Path) -> None:
    async def work(two: Two) -> None:
        async with (
            await AsyncStreamClient.over_frames(two.a.frames, two.a.context) as a,
            await AsyncStreamClient.over_frames(two.b.frames, two.b.context) as b,
        ):
            await read_together(a, b)
        assert two.a.service.count == two.b.service.count == 0

    run(tmp_path, work)


def test_json_gives_both_ends_the_same_chunks(tmp_path: Path) -> None:
    async def work(two: Two) -> None:
        async with (
            AsyncStreamClient.over_http(two.a.url, two.a.context) as a,
            AsyncStreamClient.over_http(two.b.url, two.b.context) as b,
        ):
            await read_together(a, b)

    run(tmp_path, work)


def test_waiting_clients_of_both_bindings_understand_each_other(tmp_path: Path) -> None:
    def talk(two: Two) -> None:
        with (
            StreamClient.over_frames(two.a.frames, two.a.context) as a,
            StreamClient.over_http(two.b.url, two.b.context) as b,
        ):
            stream = a.open(*ENDS).stream_id
            assert stream is not None
            assert b.open(*ENDS, stream_id=stream).status is Status.OK
            assert a.get_key(stream) == b.get_key(stream)
            assert (a.close(stream), b.close(stream)) == (Status.OK, Status.OK)

    async def work(two: Two) -> None:
        await asyncio.to_thread(talk, two)

    run(tmp_path, work)


def test_open_waits_for_the_peer(tmp_path: Path) -> None:
    stream = UUID(int=0x11112222333344445555666677778888)

    async def work(two: Two) -> None:
        async with (
            await AsyncStreamClient.over_frames(two.a.frames, two.a.context) as a,
            await AsyncStreamClient.over_frames(two.b.frames, two.b.context) as b,
        ):
            first = asyncio.create_task(a.open(*ENDS, Qos(timeout_ms=10_000), stream))
            while two.a.service.count == 0:
                await asyncio.sleep(0.001)
            assert (await b.open(*ENDS, stream_id=stream)).status is Status.OK
            assert (await first).status is Status.OK

    run(tmp_path, work)


def test_a_caller_who_hangs_up_takes_nothing(tmp_path: Path) -> None:
    async def work(two: Two) -> None:
        b = await AsyncStreamClient.over_frames(two.b.frames, two.b.context)
        async with await AsyncStreamClient.over_frames(two.a.frames, two.a.context) as a:
            stream = (await a.open(*ENDS)).stream_id
            assert stream is not None
            await b.open(*ENDS, Qos(timeout_ms=10_000), stream)
            two.sites.stock_bytes = 0
            waiting = asyncio.create_task(b.get_key(stream, index=5))
            await asyncio.sleep(0.05)
            waiting.cancel()
            await b.disconnect()
            while two.b.server.connections:
                await asyncio.sleep(0.001)
            two.sites.stock_bytes = 1 << 20
            async with await AsyncStreamClient.over_frames(two.b.frames, two.b.context) as again:
                replies = [await again.get_key(stream) for _ in range(7)]
        assert [r.index for r in replies if r.status is Status.OK] == list(range(7))

    run(tmp_path, work)


def test_only_the_two_named_applications_are_answered(tmp_path: Path) -> None:
    async def work(two: Two) -> None:
        stranger = client_context(two.authority, two.authority.sae("sae-c"))
        async with (
            await AsyncStreamClient.over_frames(two.a.frames, two.a.context) as a,
            await AsyncStreamClient.over_frames(two.b.frames, stranger) as c,
        ):
            stream = (await a.open(*ENDS)).stream_id
            assert stream is not None
            assert (await c.open(*ENDS, stream_id=stream)).status is Status.NO_CONNECTION
            assert (await c.get_key(stream)).status is Status.NO_CONNECTION
            assert await c.close(stream) is Status.NO_CONNECTION

    run(tmp_path, work)


@pytest.mark.parametrize("who", ["nobody", "a site", "another authority"])
def test_a_connection_without_an_applications_certificate_ends(tmp_path: Path, who: str) -> None:
    async def work(two: Two) -> None:
        other = Authority(tmp_path / "other")
        pair = {
            "nobody": None,
            "a site": two.authority.kme("kme-x"),
            "another authority": other.sae("sae-a"),
        }[who]
        with pytest.raises(LinkDown):
            client = await AsyncStreamClient.over_frames(two.a.frames, client_context(two.authority, pair))
            try:
                await client.open(*ENDS)
            finally:
                await client.disconnect()

    run(tmp_path, work)


@pytest.mark.parametrize(
    "frame", [b"", b"\x90", b"not msgpack", msgspec.msgpack.encode(["CLOSE", b"short"]), b"\xff" * 100]
)
def test_what_is_not_understood_ends_the_connection(tmp_path: Path, frame: bytes) -> None:
    async def work(two: Two) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", two.a.frames.port, ssl=two.a.context)
        stream = FrameStream(reader, writer)
        await stream.write((frame,))
        assert await stream.read(lambda: 1 << 16) is None
        await stream.close()

    run(tmp_path, work)


def test_a_frame_that_is_too_long_is_not_read(tmp_path: Path) -> None:
    async def work(two: Two) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", two.a.frames.port, ssl=two.a.context)
        writer.write((65537).to_bytes(4, "big"))
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()

    run(tmp_path, work)


def test_a_revoked_certificate_ends_its_connection(tmp_path: Path) -> None:
    async def work(two: Two) -> None:
        tls, pair = two.tls["sae-a"], two.authority.sae("sae-a")
        service = StreamService(fake_pair()[0], OperatingSystemEntropy())
        clean = two.authority.revoke()
        server = StreamServer(service, HERE, TlsFiles(tls.certificate, tls.key, tls.clients_ca, clean))
        address = await server.start()
        async with await AsyncStreamClient.over_frames(address, client_context(two.authority, pair)) as client:
            await client.open(*ENDS)
            two.authority.revoke(pair)
            server.reload()
            with pytest.raises(LinkDown):
                await client.open(*ENDS)
        await server.close()
        await service.close()

    run(tmp_path, work)


def test_draining_answers_the_call_under_way_and_no_other(tmp_path: Path) -> None:
    async def work(two: Two) -> None:
        async with (
            await AsyncStreamClient.over_frames(two.a.frames, two.a.context) as busy,
            await AsyncStreamClient.over_frames(two.a.frames, two.a.context) as idle,
        ):
            opened = await busy.open(*ENDS)
            assert opened.stream_id is not None
            await idle.open(*ENDS)
            reached, release = asyncio.Event(), asyncio.Event()
            call = two.a.service.call

            async def slowly(*asked: Any) -> Any:
                reached.set()
                await release.wait()
                return await call(*asked)

            two.a.service.call = slowly  # type: ignore[method-assign]
            asking = asyncio.create_task(busy.close(opened.stream_id))
            await reached.wait()
            draining = asyncio.create_task(two.a.server.drain(10))
            with pytest.raises(LinkDown):
                await idle.open(*ENDS)
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(two.a.frames.host, two.a.frames.port)
            release.set()
            assert await asking is Status.OK
            await draining
            with pytest.raises(LinkDown):
                await busy.open(*ENDS)
            assert two.a.server.connections == 0

    run(tmp_path, work)


def test_draining_does_not_wait_for_ever(tmp_path: Path) -> None:
    async def work(two: Two) -> None:
        reached = asyncio.Event()

        async def never(*_: Any) -> Any:
            reached.set()
            await asyncio.Event().wait()

        two.a.service.call = never  # type: ignore[method-assign]
        async with await AsyncStreamClient.over_frames(two.a.frames, two.a.context) as client:
            asking = asyncio.create_task(client.open(*ENDS))
            await reached.wait()
            await two.a.server.drain(0.05)
            with pytest.raises(LinkDown):
                await asking

    run(tmp_path, work)


def test_one_caller_cannot_take_every_connection_of_the_streams(tmp_path: Path) -> None:
    async def work(two: Two) -> None:
        service = StreamService(fake_pair()[0], OperatingSystemEntropy())
        server = StreamServer(service, HERE, two.tls["sae-a"], connections_of_one=2)
        address = await server.start()
        other = client_context(two.authority, two.authority.sae("sae-a2"))
        try:
            async with (
                await AsyncStreamClient.over_frames(address, two.a.context) as one,
                await AsyncStreamClient.over_frames(address, two.a.context) as two_,
            ):
                await one.open(*ENDS)
                await two_.open(*ENDS)
                async with await AsyncStreamClient.over_frames(address, two.a.context) as third:
                    with pytest.raises(LinkDown):
                        await third.open(*ENDS)
                async with await AsyncStreamClient.over_frames(address, other) as stranger:
                    await stranger.open("qkd://sae-a2", "qkd://sae-b")
        finally:
            await server.close()
            await service.close()

    run(tmp_path, work)


POSTED = [
    ("POST", "/etsi004/v1/nothing", b"{}", 404),
    ("GET", "/etsi004/v1/close", b"", 405),
    ("POST", "/etsi004/v1/close", b"{", 400),
    ("POST", "/etsi004/v1/close", b"[]", 400),
    ("POST", "/etsi004/v1/close", b'{"Key_stream_ID": 7}', 400),
    ("POST", "/etsi004/v1/open_connect", b'{"source":"a","destination":"b","extra":1}', 400),
    ("POST", "/etsi004/v1/open_connect", b'{"source":"a","destination":"b","QoS":{"TTL":4294967296}}', 400),
    ("POST", "/etsi004/v1/get_key", b" " * 65537, 413),
]


def test_http_refuses_in_its_own_words(tmp_path: Path) -> None:
    async def work(two: Two) -> None:
        async with httpx.AsyncClient(base_url=two.a.url, verify=two.a.context, trust_env=False) as client:
            for method, path, body, status in POSTED:
                headers = {"content-type": "application/json"}
                answer = await client.request(method, path, content=body, headers=headers)
                assert answer.status_code == status, (method, path, body[:40])
            text = await client.post("/etsi004/v1/close", content=b"{}", headers={"content-type": "text/plain"})
            assert text.status_code == 415

    run(tmp_path, work)


def test_http_wants_an_application(tmp_path: Path) -> None:
    async def work(two: Two) -> None:
        site = client_context(two.authority, two.authority.kme("kme-x"))
        async with httpx.AsyncClient(base_url=two.a.url, verify=site, trust_env=False) as client:
            assert (await client.post("/etsi004/v1/close", json={})).status_code == 401

    run(tmp_path, work)


def test_metadata_is_the_grade_as_json(tmp_path: Path) -> None:
    async def work(two: Two) -> None:
        async with (
            AsyncStreamClient.over_http(two.a.url, two.a.context) as a,
            AsyncStreamClient.over_http(two.b.url, two.b.context) as b,
        ):
            stream = (await a.open(*ENDS, Qos(metadata_type="application/json"))).stream_id
            assert stream is not None
            await b.open(*ENDS, stream_id=stream)
            small = await a.get_key(stream, metadata_bytes=1)
            assert small.status is Status.METADATA_TOO_SMALL and small.key == b""
            reply = await a.get_key(stream, metadata_bytes=small.metadata_bytes)
            assert reply.status is Status.OK and reply.index == 0
            assert json.loads(reply.metadata)["grade"] == "its"

    run(tmp_path, work)


def test_a_desk_that_breaks_does_not_hang_a_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise OSError("disk")

    async def work(two: Two) -> None:
        async with (
            await AsyncStreamClient.over_frames(two.a.frames, two.a.context) as a,
            await AsyncStreamClient.over_frames(two.b.frames, two.b.context) as b,
        ):
            stream = (await a.open(*ENDS)).stream_id
            assert stream is not None
            monkeypatch.setattr(two.sites.desks[KmeId("kme-a")], "order", broken)
            await b.open(*ENDS, stream_id=stream)
            assert (await a.get_key(stream)).status is Status.NO_CONNECTION

    run(tmp_path, work)


def test_notices_that_are_not_understood_are_dropped(tmp_path: Path) -> None:
    async def work(two: Two) -> None:
        assert two.sites.desks[KmeId("kme-b")].notify(KmeId("kme-a"), "etsi004", b"\xc1")
        assert two.a.service.count == 0
        assert SaeId("sae-a") in two.sites.homes

    run(tmp_path, work)
