"""Frames over a stream: whole, in order, within the limit, with clear errors."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poliqi.base.errors import LinkDown, ProtocolError
from poliqi.edge.framing import FrameStream

T = TypeVar("T")


def read_all(data: bytes, limit: int = 1000, pieces: int = 1) -> list[bytes]:
    """Feed `data` in pieces and read frames until the end."""

    async def go() -> list[bytes]:
        reader = asyncio.StreamReader()
        stream = FrameStream(reader, None)  # pyright: ignore[reportArgumentType]  # reading needs no writer
        step = max(len(data) // pieces, 1)
        for start in range(0, len(data), step):
            reader.feed_data(data[start : start + step])
        reader.feed_eof()
        frames: list[bytes] = []
        while (frame := await stream.read(lambda: limit)) is not None:
            frames.append(frame)
        return frames

    return asyncio.run(go())


def over_loopback(talk: Callable[[FrameStream, FrameStream], Awaitable[T]]) -> T:
    """Two connected streams on a real socket."""

    async def go() -> T:
        arrived: asyncio.Future[FrameStream] = asyncio.get_running_loop().create_future()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            arrived.set_result(FrameStream(reader, writer))

        async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            here = FrameStream(*await asyncio.open_connection("127.0.0.1", port))
            there = await arrived
            try:
                return await talk(here, there)
            finally:
                await here.close()
                await there.close()

    return asyncio.run(go())


def test_length_is_four_bytes_big_endian() -> None:
    async def talk(here: FrameStream, there: FrameStream) -> bytes:
        await here.write([b"abc"])
        return await there._reader.readexactly(7)

    assert over_loopback(talk) == b"\0\0\0\3abc"


@given(st.lists(st.binary(max_size=50), max_size=10), st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_frames_come_out_as_they_went_in(frames: list[bytes], pieces: int) -> None:
    data = b"".join(len(f).to_bytes(4, "big") + f for f in frames)
    assert read_all(data, pieces=pieces) == frames


@given(st.binary(max_size=60))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_frames_or_a_clear_error(data: bytes) -> None:
    try:
        frames = read_all(data, limit=40)
    except (LinkDown, ProtocolError):
        return
    assert b"".join(len(f).to_bytes(4, "big") + f for f in frames) == data


def test_longer_frame_than_the_limit_is_refused_before_it_is_read() -> None:
    with pytest.raises(ProtocolError, match="frame of 4294967295 bytes; at most 1000"):
        read_all(b"\xff\xff\xff\xff")


def test_frame_at_the_limit_passes() -> None:
    assert read_all(b"\0\0\3\xe8" + bytes(1000)) == [bytes(1000)]


@pytest.mark.parametrize(
    ("data", "what"), [(b"\0\0", "length of a frame: 2 of 4"), (b"\0\0\0\5ab", "a frame: 2 of 5")]
)
def test_end_inside_a_frame_is_an_error(data: bytes, what: str) -> None:
    with pytest.raises(LinkDown, match=what):
        read_all(data)


def test_large_frame_passes_through_a_small_buffer() -> None:
    payload = bytes(range(256)) * 40_000

    async def talk(here: FrameStream, there: FrameStream) -> bytes | None:
        _, got = await asyncio.gather(here.write([payload]), there.read(lambda: len(payload)))
        return got

    assert over_loopback(talk) == payload


def test_writer_waits_for_a_peer_that_does_not_read() -> None:
    async def talk(here: FrameStream, there: FrameStream) -> bool:
        try:
            await asyncio.wait_for(here.write([bytes(64 << 20)]), 0.2)
        except TimeoutError:
            here.abort()
            return True
        return False

    assert over_loopback(talk)


def test_peer_that_vanished_is_a_lost_link() -> None:
    async def talk(here: FrameStream, there: FrameStream) -> None:
        there.abort()
        for _ in range(100):
            await here.write([bytes(1 << 16)])

    with pytest.raises(LinkDown):
        over_loopback(talk)
