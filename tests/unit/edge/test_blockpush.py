"""Blocks as the PoliQI prototype pushes them: taken for what they are worth, from where nobody else can push."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
from ingest_desk import IngestDesk

from poliqi.base.errors import ConfigError, ProtocolError, StoreError
from poliqi.base.ids import LinkId
from poliqi.edge.blockpush import BlockPushServer, check_push_address, name_of_push, read_push
from poliqi.edge.network import Address
from poliqi.keys.grade import Authenticity, Grade, KeyOrigin
from poliqi.keys.requests import Reason, Refused

LINK_ID = "6f1c3b8e-0f0e-4b6c-9d0a-2f3e4d5c6b7a"
BLOCK_ID = "fd7a80b4-b98e-43cb-b860-53d44b4e296b"
POOL = LinkId("leonardo-bovisa")
UNPROVEN = Grade(KeyOrigin.UNPROVEN, "", None, paths=(), authenticity=Authenticity.COMPUTATIONAL)


def message(**changed: Any) -> bytes:
    told: dict[str, Any] = {
        "block_id": BLOCK_ID,
        "material": [1, 2, 255],
        "timestamp": 1650000000,
        "link_id": LINK_ID,
    }
    # the prototype indents its JSON and ends it with a newline
    return (json.dumps(told | changed, indent=4) + "\n").encode()


# ---------------------------------------------------------------- the message


@pytest.mark.parametrize("material", [[1, 2, 255], base64.b64encode(bytes([1, 2, 255])).decode()])
def test_material_is_numbers_or_base64(material: object) -> None:
    assert read_push(message(material=material)).key.take() == bytes([1, 2, 255])


def test_string_of_hex_digits_is_base64_too() -> None:
    assert read_push(message(material="deadbeef")).key.take() == base64.b64decode("deadbeef")


@pytest.mark.parametrize("timestamp", [None, "2022-04-15", 1.5, {"a": [1]}])
def test_timestamp_means_nothing(timestamp: object) -> None:
    assert read_push(message(timestamp=timestamp)).block_id == BLOCK_ID


@pytest.mark.parametrize(
    "changed",
    [
        {"material": []},
        {"material": ""},
        {"material": [256]},
        {"material": [-1]},
        {"material": [1.5]},
        {"material": [True]},
        {"material": ["1"]},
        {"material": "abc"},
        {"material": "ab c="},
        {"material": "_-_-"},
        {"material": None},
        {"material": {"a": 1}},
        {"block_id": ""},
        {"block_id": 7},
        {"block_id": "x" * 129},
        {"block_id": "a\nb"},
        {"link_id": None},
        {"link_id": "\x1b[2J"},
    ],
    ids=str,
)
def test_message_that_breaks_a_rule_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        read_push(message(**changed))


@pytest.mark.parametrize(
    "frame", [b"", b"{}", b"[" * 100_000, b'{"material":' + b"[" * 100_000, b"\xff\xfe", b"nul"]
)
def test_bytes_that_are_no_message_are_refused(frame: bytes) -> None:
    with pytest.raises(ProtocolError):
        read_push(frame)


def test_refusal_does_not_repeat_the_material() -> None:
    with pytest.raises(ProtocolError) as refused:
        read_push(message(material="c2VjcmV0!"))
    assert "c2VjcmV0" not in str(refused.value)


# ---------------------------------------------------------------- names


def test_uuid_names_itself() -> None:
    assert name_of_push(LINK_ID, BLOCK_ID.upper()) == UUID(BLOCK_ID).bytes


@pytest.mark.parametrize("block_id", ["block 7", BLOCK_ID.replace("-", ""), "00000000-0000-0000-0000-000000000001"])
def test_other_ids_are_hashed_with_their_link(block_id: str) -> None:
    data = b"poliqi prototype block" + (1).to_bytes(2, "big") + b"L" + block_id.encode()
    digest = bytearray(hashlib.sha256(data).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    assert name_of_push("L", block_id) == bytes(digest)


def test_no_name_is_that_of_a_distilled_block() -> None:
    for number in (1, 7, 1 << 40, (1 << 63) - 1):
        assert name_of_push(LINK_ID, str(UUID(int=number))) != number.to_bytes(16, "big")


# ---------------------------------------------------------------- addresses


@pytest.mark.parametrize(
    ("host", "isolated", "remedy"),
    [
        ("192.0.2.7", False, "declare the interface isolated"),
        ("0.0.0.0", True, "name one"),
        ("::", True, "name one"),
        ("localhost", False, "give an IP address"),
    ],
)
def test_address_that_strangers_reach_is_refused(host: str, isolated: bool, remedy: str) -> None:
    with pytest.raises(ConfigError, match=remedy):
        check_push_address(Address(host, 9998), isolated=isolated)


@pytest.mark.parametrize(("host", "isolated"), [("127.0.0.1", False), ("::1", False), ("192.0.2.7", True)])
def test_address_that_is_kept_apart_is_taken(host: str, isolated: bool) -> None:
    check_push_address(Address(host, 9998), isolated=isolated)


# ---------------------------------------------------------------- the server

Use = Callable[[BlockPushServer, IngestDesk, list[str], Address], Coroutine[Any, Any, None]]


def serve(use: Use, **options: Any) -> None:
    async def run() -> None:
        said: list[str] = []
        desk = IngestDesk()
        where = Address("127.0.0.1", 0)
        server = BlockPushServer(desk.desk, where, {LINK_ID: POOL}, report=said.append, **options)
        bound = await server.open()
        try:
            await use(server, desk, said, bound)
        finally:
            await server.close()

    asyncio.run(run())


@asynccontextmanager
async def connected(bound: Address) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(bound.host, bound.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)


async def push(bound: Address, *frames: bytes) -> None:
    """As the prototype does: connect, length, JSON, close; and wait until the server has taken all."""
    async with connected(bound) as (reader, writer):
        for frame in frames:
            writer.write(len(frame).to_bytes(4, "big"))
            writer.write(frame)
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 5) == b"", "the protocol has no answers"


def test_pushed_block_is_ingested_as_unproven() -> None:
    async def use(server: BlockPushServer, desk: IngestDesk, _: list[str], bound: Address) -> None:
        await push(bound, message())
        assert desk.held == {(POOL, UUID(BLOCK_ID).bytes): (bytes([1, 2, 255]), UNPROVEN)}
        assert (server.blocks, server.bytes, server.refusals) == (1, 3, 0)

    serve(use)


def test_startup_line_says_that_nobody_is_authenticated() -> None:
    async def use(_: BlockPushServer, __: IngestDesk, said: list[str], bound: Address) -> None:
        assert str(bound) in said[0] and "NOT authenticated" in said[0]

    serve(use)


def test_bad_message_between_two_good_ones_is_reported_and_passed_over() -> None:
    async def use(_: BlockPushServer, desk: IngestDesk, said: list[str], bound: Address) -> None:
        await push(bound, message(), message(material=[999]), message(block_id="second"))
        assert len(desk.held) == 2
        assert "not a pushed block" in said[1]

    serve(use)


def test_link_that_is_not_configured_is_refused() -> None:
    async def use(server: BlockPushServer, desk: IngestDesk, said: list[str], bound: Address) -> None:
        await push(bound, message(link_id=BLOCK_ID))
        assert not desk.calls
        assert (server.refusals, "not configured for block push" in said[1]) == (1, True)

    serve(use)


@pytest.mark.parametrize("failing", [True, False])
def test_refusal_of_the_site_is_reported(failing: bool) -> None:
    async def use(_: BlockPushServer, desk: IngestDesk, said: list[str], bound: Address) -> None:
        desk.error = StoreError("disk full") if failing else None
        desk.refusal = Refused(Reason.NOT_PERMITTED, "unproven keys are not taken")
        await push(bound, message())
        assert ("disk full" if failing else "unproven keys are not taken") in said[1]
        assert BLOCK_ID in said[1]

    serve(use)


def test_frame_over_one_mebibyte_is_refused_at_its_length() -> None:
    async def use(_: BlockPushServer, __: IngestDesk, said: list[str], bound: Address) -> None:
        async with connected(bound) as (reader, writer):
            writer.write(((1 << 20) + 1).to_bytes(4, "big"))
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await asyncio.wait_for(reader.readexactly(1), 5)
        assert "at most 1048576" in said[1]

    serve(use)


def test_slow_sender_is_dropped_while_others_are_served() -> None:
    async def use(_: BlockPushServer, desk: IngestDesk, said: list[str], bound: Address) -> None:
        async with connected(bound) as (reader, writer):
            writer.write(b"\x00\x00\x10\x00{")
            await push(bound, message())
            assert len(desk.held) == 1
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await asyncio.wait_for(reader.readexactly(1), 5)
        assert "too slow" in said[1]

    serve(use, frame_s=0.2)


def test_flood_of_rubbish_does_not_fill_the_log() -> None:
    async def use(server: BlockPushServer, _: IngestDesk, said: list[str], bound: Address) -> None:
        await push(bound, *([b"rubbish"] * 500))
        assert server.refusals == 500
        assert len(said) == 6

    serve(use)
