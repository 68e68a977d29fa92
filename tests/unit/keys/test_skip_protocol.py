"""Cisco SKIP: requests and answers of draft-cisco-skip-02."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poliqi.base.ids import KmeId, SaeId
from poliqi.keys.grade import Grade, KeyOrigin
from poliqi.keys.policy import KeyLimits
from poliqi.keys.requests import Delivered, Key, KeyOrder, Reason, Refused
from poliqi.keys.skip import (
    Capabilities,
    EntropyRequest,
    KeyFetch,
    KeyRequest,
    answer_capabilities,
    answer_entropy,
    answer_key,
    is_skip_path,
    read_request,
)

A, B = SaeId("router-a"), SaeId("router-b")
NAME = "00112233445566778899aabbccddeeff"


class Counting:
    """Bytes 0, 1, 2... where entropy would be."""

    source = "test"

    def draw(self, count: int) -> bytes:
        return bytes(range(count))


@pytest.mark.parametrize(
    ("path", "query", "request_"),
    [
        (b"/capabilities", b"", Capabilities()),
        (b"/key", b"remoteSystemID=router-b", KeyRequest(B, None)),
        (b"/key", b"remoteSystemID=router-b&size=128", KeyRequest(B, 128)),
        (b"/key/" + NAME.encode(), b"remoteSystemID=router-b", KeyFetch(B, bytes.fromhex(NAME))),
        (b"/key/" + NAME.upper().encode(), b"remoteSystemID=router-b", KeyFetch(B, bytes.fromhex(NAME))),
        (b"/entropy", b"", EntropyRequest(256)),
        (b"/entropy", b"minentropy=128", EntropyRequest(128)),
    ],
)
def test_requests(path: bytes, query: bytes, request_: object) -> None:
    assert is_skip_path(path)
    assert read_request(path, query) == request_


@pytest.mark.parametrize(
    ("path", "query"),
    [
        (b"/key", b""),
        (b"/key", b"remoteSystemID="),
        (b"/key", b"remoteSystemID=b&remoteSystemID=c"),
        (b"/key", b"remoteSystemID=b&size=0"),
        (b"/key", b"remoteSystemID=b&size=x"),
        (b"/key", b"remoteSystemID=b&colour=1"),
        (b"/key/12", b"remoteSystemID=b"),
        (b"/key/" + b"z" * 32, b"remoteSystemID=b"),
        (b"/key/" + NAME.encode(), b""),
        (b"/entropy", b"minentropy=0"),
        (b"/entropy", b"minentropy=8193"),
        (b"/entropy", b"minentropy=-1"),
        (b"/capabilities", b"x=1"),
    ],
)
def test_refusals(path: bytes, query: bytes) -> None:
    refused = read_request(path, query)
    assert isinstance(refused, Refused)
    assert answer_key(refused).status == 400


@pytest.mark.parametrize("path", [b"/keys", b"/key/", b"/key/a/b", b"/entropy/", b"/", b"/capabilities/"])
def test_other_paths_are_not_skip(path: bytes) -> None:
    assert not is_skip_path(path)


def test_a_key_is_ordered_for_the_caller_and_the_remote_system() -> None:
    assert KeyRequest(B, None).order(A, KeyLimits(key_size_bits=192)) == KeyOrder(A, (B,), 1, 192)
    for bad in (KeyRequest(A, None), KeyRequest(B, 7), KeyRequest(B, 1 << 20)):
        assert isinstance(bad.order(A, KeyLimits()), Refused)


def test_answers_have_the_fields_of_the_draft() -> None:
    assert json.loads(answer_capabilities(A, [B]).body) == {
        "entropy": True,
        "key": True,
        "algorithm": "QKD",
        "localSystemID": "router-a",
        "remoteSystemID": ["router-b"],
    }
    grade = Grade(KeyOrigin.PHOTONS, "p", 1e-10, ((KmeId("a"), KmeId("b")),))
    answer = answer_key(Delivered([Key(bytes.fromhex(NAME), b"\x01\xfe", grade)]))
    assert (answer.status, json.loads(answer.body)) == (200, {"keyId": NAME, "key": "01fe"})
    assert json.loads(answer_entropy(EntropyRequest(20), Counting()).body) == {
        "randomStr": "000102",
        "minentropy": 24,
    }


def test_unknown_and_foreign_keys_look_the_same() -> None:
    bodies = {answer_key(Refused(why, "x")) for why in (Reason.NOT_FOUND, Reason.NOT_PERMITTED)}
    assert len(bodies) == 1
    assert bodies.pop().status == 400


@pytest.mark.parametrize("reason", [Reason.INSUFFICIENT, Reason.PEER_DOWN, Reason.RATE_LIMITED, Reason.UNAVAILABLE])
def test_what_may_pass_is_503_with_a_time(reason: Reason) -> None:
    answer = answer_key(Refused(reason, "later", 4.0))
    assert (answer.status, answer.retry_s) == (503, 4)


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_no_bytes_raise(name: bytes, query: bytes) -> None:
    for path in (b"/key", b"/entropy", b"/capabilities", b"/key/" + name):
        read_request(path, query)
