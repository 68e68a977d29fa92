"""Whatever bytes come to the ingest socket or to block push, they are taken, or refused with a word."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ingest_desk import IngestDesk, short_folder

from poliqi.base.errors import ProtocolError
from poliqi.base.ids import LinkId
from poliqi.base.secret import SecretBytes
from poliqi.edge.blockpush import BlockPushServer, name_of_push, read_push
from poliqi.edge.ingest_server import IngestServer
from poliqi.edge.network import Address
from poliqi.keys.grade import Grade, KeyOrigin
from poliqi.keys.ingest import decode_answer, decode_block, decode_hello, encode_answer, encode_block
from poliqi.keys.requests import Accepted, Block, Reason, Refused

LINKS = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z").map(LinkId)
PRINTABLE = st.text(st.characters(codec="utf-8", categories=("L", "N", "P")), max_size=128)


@st.composite
def blocks(draw: st.DrawFn) -> Block:
    origin = draw(st.sampled_from(KeyOrigin))
    proven = origin is KeyOrigin.PHOTONS and draw(st.booleans())
    epsilon = draw(st.floats(1e-300, 1, exclude_max=True)) if proven else None
    grade = Grade(origin, draw(PRINTABLE), epsilon, paths=())
    key = draw(st.binary(min_size=1, max_size=200))
    return Block(draw(LINKS), draw(st.binary(min_size=16, max_size=16)), SecretBytes(key), grade)


@given(blocks())
def test_blocks_come_back_as_they_went(block: Block) -> None:
    assert decode_block(encode_block(block)) == block


@given(st.sampled_from(Reason), PRINTABLE, st.none() | st.floats(0, 86_400))
def test_answers_come_back_as_they_went(reason: Reason, words: str, wait: float | None) -> None:
    told = Refused(reason, words, wait)
    assert decode_answer(encode_answer(told)) == told


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats()
    | st.binary(max_size=20)
    | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(st.binary(max_size=300) | JUNK.map(msgspec.msgpack.encode))
def test_any_bytes_are_read_or_refused(frame: bytes) -> None:
    for decode in (decode_block, decode_answer, decode_hello, read_push):
        try:
            decode(frame)
        except ProtocolError:
            continue


@given(blocks(), st.data())
def test_cut_or_lengthened_blocks_are_refused(block: Block, data: st.DataObject) -> None:
    frame = encode_block(block)
    cut = data.draw(st.integers(0, len(frame) - 1))
    for broken in (frame[:cut], frame + b"\x00"):
        with pytest.raises(ProtocolError):
            decode_block(broken)


@given(st.binary(min_size=1, max_size=300), PRINTABLE.filter(bool), PRINTABLE.filter(bool))
def test_pushed_blocks_are_read_as_json_says(key: bytes, link_id: str, block_id: str) -> None:
    frame = json.dumps({"block_id": block_id, "material": list(key), "timestamp": 0, "link_id": link_id}).encode()
    pushed = read_push(frame)
    assert (pushed.key.take(), pushed.link_id, pushed.block_id) == (key, link_id, block_id)
    assert len(name_of_push(link_id, block_id)) == 16


STREAMS = st.lists(st.binary(max_size=64), max_size=4).map(
    lambda parts: b"".join(len(p).to_bytes(4, "big") + p for p in parts)
) | st.binary(max_size=80)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(STREAMS, st.booleans()), min_size=1, max_size=4))
def test_hostile_streams_leave_both_servers_serving(streams: list[tuple[bytes, bool]]) -> None:
    async def hurt(opening: Any, good: bytes, desk: IngestDesk) -> None:
        for stream, orderly in streams:
            _, writer = await opening()
            writer.write(stream)
            if orderly:
                writer.close()
            else:
                writer.transport.abort()
        before = len(desk.calls)
        reader, writer = await opening()
        writer.write(len(good).to_bytes(4, "big") + good)
        writer.write_eof()
        await asyncio.wait_for(reader.read(), 5)
        writer.transport.abort()
        assert len(desk.calls) > before

    async def run() -> None:
        desk = IngestDesk()
        grade = Grade(KeyOrigin.SIMULATED, "", None, paths=())
        block = encode_block(Block(LinkId("a"), bytes(16), SecretBytes(b"k"), grade))
        pushed = json.dumps({"block_id": "b", "material": [1], "link_id": "L"}).encode()
        with short_folder() as folder:
            ingest = IngestServer(desk.desk, folder / "ingest")
            push = BlockPushServer(desk.desk, Address("127.0.0.1", 0), {"L": LinkId("a")})
            await ingest.open()
            bound = await push.open()
            try:
                await hurt(lambda: asyncio.open_unix_connection(str(ingest.path)), block, desk)
                await hurt(lambda: asyncio.open_connection(bound.host, bound.port), pushed, desk)
            finally:
                await ingest.close()
                await push.close()

    asyncio.run(run())


def test_acceptance_survives_the_wire() -> None:
    assert decode_answer(encode_answer(Accepted())) == Accepted()
