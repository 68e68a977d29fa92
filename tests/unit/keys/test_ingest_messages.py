"""The ingest messages are those of docs/spec/ingest.md, and hold nothing that a site should not believe."""

from __future__ import annotations

import msgspec
import pytest

from poliqi.base.errors import ProtocolError
from poliqi.base.ids import KmeId, LinkId
from poliqi.base.secret import SecretBytes
from poliqi.keys.grade import Grade, KeyOrigin
from poliqi.keys.ingest import (
    decode_answer,
    decode_block,
    decode_hello,
    encode_answer,
    encode_block,
    encode_hello,
)
from poliqi.keys.requests import Accepted, Block, Delivered, Reason, Refused

NAME = bytes(15) + b"\x07"
FIELDS = [1, "east-west", NAME, "photons", "wiesemann", 1e-9, b"key"]


def packed(**changed: object) -> bytes:
    """The specified block with fields changed by their place (`_5=...`)."""
    fields = list(FIELDS)
    for place, value in changed.items():
        fields[int(place[1:])] = value
    return msgspec.msgpack.encode(fields)


def test_hello_is_bytes_of_the_specification() -> None:
    assert encode_hello(KmeId("bovisa")) == b"\x93\xadpoliqi-ingest\x01\xa6bovisa"
    assert decode_hello(encode_hello(KmeId("bovisa"))) == "bovisa"


def test_hello_of_a_later_version_is_refused_by_name() -> None:
    with pytest.raises(ProtocolError, match="site bovisa speaks version 2"):
        decode_hello(msgspec.msgpack.encode(["poliqi-ingest", 2, "bovisa", "more"]))


@pytest.mark.parametrize("frame", [b"", b"GET / HTTP/1.1", b"\x93\xa3foo\x01\xa1b", b"\x91" * 5000])
def test_greeting_of_another_server_is_refused(frame: bytes) -> None:
    with pytest.raises(ProtocolError, match="not the ingest socket"):
        decode_hello(frame)


def test_block_is_bytes_of_the_specification() -> None:
    grade = Grade(KeyOrigin.PHOTONS, "wiesemann", 1e-9, paths=())
    block = Block(LinkId("east-west"), NAME, SecretBytes(b"key"), grade)
    assert encode_block(block) == packed()
    head = b"\x97\x01\xa9east-west\xc4\x10" + NAME + b"\xa7photons\xa9wiesemann\xcb"
    assert encode_block(block).startswith(head)


def test_block_comes_back_whole() -> None:
    block = decode_block(packed())
    assert (block.pool, block.name, block.key.take()) == ("east-west", NAME, b"key")
    assert block.grade == Grade(KeyOrigin.PHOTONS, "wiesemann", 1e-9, paths=())


@pytest.mark.parametrize(
    "changed",
    [
        {"_0": 2},
        {"_1": ""},
        {"_1": "a/b"},
        {"_1": "x" * 65},
        {"_2": bytes(15)},
        {"_2": bytes(17)},
        {"_3": "moonlight"},
        {"_3": "simulated"},
        {"_4": "a\nb"},
        {"_4": "x" * 129},
        {"_5": 0.0},
        {"_5": -1e-9},
        {"_5": 1.0},
        {"_5": float("nan")},
        {"_5": float("inf")},
        {"_6": b""},
        {"_6": "text"},
    ],
    ids=str,
)
def test_block_that_breaks_a_rule_is_refused(changed: dict[str, object]) -> None:
    with pytest.raises(ProtocolError):
        decode_block(packed(**changed))


def test_block_with_a_field_too_many_or_too_few_is_refused() -> None:
    for fields in (FIELDS[:-1], [*FIELDS, 1]):
        with pytest.raises(ProtocolError):
            decode_block(msgspec.msgpack.encode(fields))


def test_refusal_does_not_repeat_the_key() -> None:
    with pytest.raises(ProtocolError) as refused:
        decode_block(packed(_6="SECRET", _3="moonlight"))
    assert "SECRET" not in str(refused.value)


def test_acceptance_is_three_nothings() -> None:
    assert encode_answer(Accepted("stored")) == b"\x93\xc0\xa0\xc0"
    assert decode_answer(b"\x93\xc0\xa0\xc0") == Accepted()


def test_refusal_brings_reason_words_and_wait() -> None:
    told = Refused(Reason.NOT_PERMITTED, "no simulated light", 5.0)
    assert decode_answer(encode_answer(told)) == told
    assert msgspec.msgpack.decode(encode_answer(told)) == ["not-permitted", "no simulated light", 5.0]


def test_unprintable_words_of_a_site_stay_out_of_the_log() -> None:
    answer = decode_answer(msgspec.msgpack.encode(["bad-request", "a\x1b[2Jb\n", None]))
    assert isinstance(answer, Refused) and answer.message == "a?[2Jb?"


@pytest.mark.parametrize("wait", [-1.0, float("nan"), float("inf"), 1e9])
def test_senseless_wait_is_refused(wait: float) -> None:
    with pytest.raises(ProtocolError):
        decode_answer(msgspec.msgpack.encode(["unavailable", "", wait]))


def test_keys_never_go_out_here() -> None:
    with pytest.raises(ValueError, match="brings no keys"):
        encode_answer(Delivered([]))
