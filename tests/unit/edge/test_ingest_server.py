"""The ingest socket: private, patient with the store, impatient with senders, and never brought down by one."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from ingest_desk import IngestDesk, short_folder

from poliqi.base.errors import ConfigError, StoreError
from poliqi.base.ids import LinkId
from poliqi.base.secret import SecretBytes
from poliqi.edge.ingest_server import IngestServer, LocalPeers
from poliqi.keys.grade import Grade, KeyOrigin
from poliqi.keys.ingest import MOST_BLOCK_BYTES, decode_answer, decode_hello, encode_block
from poliqi.keys.requests import Accepted, Block, Reason, Refused
from poliqi.keys.segment import block_of_number

LINK = LinkId("east-west")


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as made:
        yield made


def make_block(number: int, key: bytes = b"key", link: LinkId = LINK) -> bytes:
    grade = Grade(KeyOrigin.PHOTONS, "wiesemann", 1e-9, paths=())
    return encode_block(Block(link, block_of_number(number), SecretBytes(key), grade))


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, frame: bytes) -> None:
        self.writer.write(len(frame).to_bytes(4, "big") + frame)

    async def read(self) -> bytes:
        size = int.from_bytes(await self.reader.readexactly(4), "big")
        return await self.reader.readexactly(size)

    async def bring(self, frame: bytes) -> Accepted | Refused:
        self.send(frame)
        return decode_answer(await self.read())

    async def is_dropped(self) -> bool:
        try:
            return await asyncio.wait_for(self.reader.read(), 5) == b""
        except ConnectionError:
            return True


@asynccontextmanager
async def connected(path: Path) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_unix_connection(str(path))
    client = Client(reader, writer)
    try:
        assert decode_hello(await client.read()) == "leonardo"
        yield client
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)


Use = Callable[[IngestServer, IngestDesk, list[str]], Coroutine[Any, Any, None]]


def serve(folder: Path, use: Use, **options: Any) -> None:
    async def run() -> None:
        said: list[str] = []
        desk = IngestDesk()
        server = IngestServer(desk.desk, folder / "ingest", report=said.append, **options)
        await server.open()
        try:
            await use(server, desk, said)
        finally:
            await server.close()

    asyncio.run(run())


# ---------------------------------------------------------------- blocks


def test_block_is_accepted_once_the_desk_holds_it(folder: Path) -> None:
    async def use(server: IngestServer, desk: IngestDesk, _: list[str]) -> None:
        async with connected(server.path) as client:
            assert await client.bring(make_block(1, b"k1")) == Accepted()
        key, grade = desk.held[LINK, block_of_number(1)]
        assert (key, grade) == (b"k1", Grade(KeyOrigin.PHOTONS, "wiesemann", 1e-9, paths=()))
        assert (server.blocks, server.bytes, server.refusals) == (1, 2, 0)

    serve(folder, use)


def test_nothing_is_answered_before_the_desk_is_done(folder: Path) -> None:
    async def use(server: IngestServer, desk: IngestDesk, _: list[str]) -> None:
        desk.gate = asyncio.Event()
        async with connected(server.path) as client:
            client.send(make_block(1))
            client.send(make_block(2))
            answer = asyncio.create_task(client.read())
            done, _ = await asyncio.wait([answer], timeout=0.1)
            assert not done
            assert len(desk.calls) == 1, "the second is not read before the first is answered"
            desk.gate.set()
            assert decode_answer(await answer) == Accepted()
            assert decode_answer(await client.read()) == Accepted()

    serve(folder, use)


def test_several_links_feed_one_site_at_once(folder: Path) -> None:
    async def use(server: IngestServer, desk: IngestDesk, _: list[str]) -> None:
        async def feed(link: str) -> None:
            async with connected(server.path) as client:
                for number in range(1, 6):
                    assert await client.bring(make_block(number, link=LinkId(link))) == Accepted()

        await asyncio.gather(*(feed(f"link-{i}") for i in range(4)))
        assert len(desk.held) == 20

    serve(folder, use)


def test_refusal_of_the_desk_is_passed_on(folder: Path) -> None:
    async def use(server: IngestServer, desk: IngestDesk, said: list[str]) -> None:
        desk.refusal = Refused(Reason.NOT_PERMITTED, "policy: no simulated light", 60.0)
        async with connected(server.path) as client:
            assert await client.bring(make_block(1)) == desk.refusal
        assert "no simulated light" in said[0]

    serve(folder, use)


def test_store_that_fails_is_unavailable_and_keeps_serving(folder: Path) -> None:
    async def use(server: IngestServer, desk: IngestDesk, said: list[str]) -> None:
        async with connected(server.path) as client:
            desk.error = StoreError("disk full at /var/lib/secret-place")
            answer = await client.bring(make_block(1))
            assert isinstance(answer, Refused) and answer.reason is Reason.UNAVAILABLE and answer.retry_s
            desk.error = None
            assert await client.bring(make_block(1)) == Accepted()
        assert "disk full" in said[0]

    serve(folder, use)


def test_largest_block_is_taken(folder: Path) -> None:
    async def use(server: IngestServer, desk: IngestDesk, _: list[str]) -> None:
        frame = make_block(1, bytes(MOST_BLOCK_BYTES - len(make_block(1, bytes(1 << 17))) + (1 << 17)))
        assert len(frame) == MOST_BLOCK_BYTES
        async with connected(server.path) as client:
            assert await client.bring(frame) == Accepted()
        assert len(desk.held) == 1

    serve(folder, use)


# ---------------------------------------------------------------- hostile and stuck senders


def test_bytes_that_are_no_block_are_refused_and_the_next_is_taken(folder: Path) -> None:
    async def use(server: IngestServer, desk: IngestDesk, _: list[str]) -> None:
        async with connected(server.path) as client:
            answer = await client.bring(msgspec.msgpack.encode({"block": 1}))
            assert isinstance(answer, Refused) and answer.reason is Reason.BAD_REQUEST
            assert await client.bring(make_block(1)) == Accepted()
        assert len(desk.held) == 1

    serve(folder, use)


def test_frame_over_the_limit_ends_the_connection_at_its_length(folder: Path) -> None:
    async def use(server: IngestServer, _: IngestDesk, said: list[str]) -> None:
        async with connected(server.path) as client:
            client.writer.write((MOST_BLOCK_BYTES + 1).to_bytes(4, "big"))
            assert await client.is_dropped()
        assert "at most 16777216" in said[0]

    serve(folder, use)


def test_connection_that_ends_inside_a_frame_harms_nobody(folder: Path) -> None:
    async def use(server: IngestServer, desk: IngestDesk, _: list[str]) -> None:
        for part in (b"\x00", b"\x00\x00\x00\x09", b"\x00\x00\x00\x09half"):
            async with connected(server.path) as client:
                client.writer.write(part)
                client.writer.write_eof()
                assert await client.is_dropped()
        async with connected(server.path) as client:
            assert await client.bring(make_block(1)) == Accepted()
        assert len(desk.calls) == 1

    serve(folder, use)


def test_stuck_sender_is_dropped_and_holds_up_nobody(folder: Path) -> None:
    async def use(server: IngestServer, _: IngestDesk, said: list[str]) -> None:
        async with connected(server.path) as stuck, connected(server.path) as other:
            stuck.writer.write(b"\x00\x00\x00\x09half")
            assert await other.bring(make_block(1)) == Accepted()
            assert await stuck.is_dropped()
        assert "too slow" in said[0]

    serve(folder, use, frame_s=0.2)


def test_idle_link_is_not_dropped(folder: Path) -> None:
    async def use(server: IngestServer, _: IngestDesk, __: list[str]) -> None:
        async with connected(server.path) as client:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.reader.read(), 0.3)
            assert await client.bring(make_block(1)) == Accepted()

    serve(folder, use, frame_s=0.1)


def test_connections_beyond_the_limit_are_turned_away(folder: Path) -> None:
    async def use(server: IngestServer, _: IngestDesk, said: list[str]) -> None:
        held = [await asyncio.open_unix_connection(str(server.path)) for _ in range(65)]
        clients = [Client(*pair) for pair in held]
        for client in clients[:64]:
            await client.read()
        assert await clients[64].is_dropped()
        assert "64 connections are open" in said[0]
        for client in clients:
            client.writer.transport.abort()
        await asyncio.sleep(0.05)

    serve(folder, use)


# ---------------------------------------------------------------- who may connect


def test_socket_and_folder_are_private(folder: Path) -> None:
    async def use(server: IngestServer, _: IngestDesk, __: list[str]) -> None:
        assert stat.S_IMODE(server.path.stat().st_mode) == 0o600
        assert stat.S_IMODE(server.path.parent.stat().st_mode) == 0o700

    serve(folder / "new", use)


def test_other_users_mean_a_socket_for_the_folder_s_group(folder: Path) -> None:
    async def use(server: IngestServer, _: IngestDesk, __: list[str]) -> None:
        assert stat.S_IMODE(server.path.stat().st_mode) == 0o660
        assert server.path.stat().st_gid == folder.stat().st_gid

    folder.chmod(0o750)
    serve(folder, use, peers=LocalPeers(gids=frozenset({12345})))


@pytest.mark.parametrize(("mode", "peers"), [(0o750, LocalPeers()), (0o755, LocalPeers(frozenset({7})))])
def test_folder_that_is_open_to_others_is_refused(folder: Path, mode: int, peers: LocalPeers) -> None:
    folder.chmod(mode)
    with pytest.raises(ConfigError, match="open to others"):
        asyncio.run(IngestServer(IngestDesk().desk, folder / "ingest", peers=peers).open())


@pytest.mark.parametrize(
    ("peers", "uid", "gid", "admitted"),
    [
        (LocalPeers(), os.geteuid(), 1, True),
        (LocalPeers(), os.geteuid() + 1, os.getegid(), False),
        (LocalPeers(uids=frozenset({4000})), 4000, 1, True),
        (LocalPeers(gids=frozenset({4000})), 5000, 4000, True),
        (LocalPeers(gids=frozenset({4000})), 4000, 5000, False),
    ],
)
def test_users_are_told_apart(peers: LocalPeers, uid: int, gid: int, admitted: bool) -> None:
    assert (peers.refusal(uid, gid) is None) == admitted


def test_user_who_may_not_is_dropped_before_the_hello(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(server: IngestServer, desk: IngestDesk, said: list[str]) -> None:
        monkeypatch.setattr("poliqi.edge.ingest_server.peer_credentials", lambda _: (os.geteuid() + 1, 1))
        reader, writer = await asyncio.open_unix_connection(str(server.path))
        client = Client(reader, writer)
        assert await client.is_dropped()
        writer.transport.abort()
        assert "not among those" in said[0]
        assert not desk.calls

    serve(folder, use)


# ---------------------------------------------------------------- start and stop


def test_second_site_on_one_socket_is_refused(folder: Path) -> None:
    async def use(server: IngestServer, _: IngestDesk, __: list[str]) -> None:
        with pytest.raises(ConfigError, match="served by another process"):
            await IngestServer(IngestDesk().desk, server.path).open()

    serve(folder, use)


def test_socket_left_by_a_killed_process_is_replaced(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(folder / "ingest"))

    async def use(server: IngestServer, _: IngestDesk, __: list[str]) -> None:
        async with connected(server.path) as client:
            assert await client.bring(make_block(1)) == Accepted()

    serve(folder, use)


def test_file_in_its_place_is_never_removed(folder: Path) -> None:
    (folder / "ingest").write_text("precious")
    with pytest.raises(ConfigError, match="a file stands there"):
        asyncio.run(IngestServer(IngestDesk().desk, folder / "ingest").open())
    assert (folder / "ingest").read_text() == "precious"


def test_path_too_long_for_a_socket_is_named(folder: Path) -> None:
    with pytest.raises(ConfigError, match="at most 107 bytes"):
        asyncio.run(IngestServer(IngestDesk().desk, folder / ("x" * 120)).open())


def test_closing_finishes_what_is_being_stored(folder: Path) -> None:
    async def use(server: IngestServer, desk: IngestDesk, _: list[str]) -> None:
        desk.gate = asyncio.Event()
        async with connected(server.path) as client, connected(server.path) as idle:
            client.send(make_block(1))
            while not desk.calls:
                await asyncio.sleep(0.005)
            closing = asyncio.create_task(server.close())
            await asyncio.sleep(0.01)
            assert not server.path.exists()
            desk.gate.set()
            assert decode_answer(await client.read()) == Accepted()
            await closing
            assert await idle.is_dropped()

    serve(folder, use)


def test_it_serves_under_uvloop_too(folder: Path) -> None:
    uvloop = pytest.importorskip("uvloop")

    async def run() -> None:
        desk = IngestDesk()
        server = IngestServer(desk.desk, folder / "ingest")
        await server.open()
        async with connected(server.path) as client:
            assert await client.bring(make_block(1)) == Accepted()
        await server.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
