"""Requests of ETSI GS QKD 014: what is understood, what is refused, and that nothing else can happen."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poliqi.base.ids import SaeId
from poliqi.keys.etsi014 import (
    Action,
    EncRequest,
    Route,
    read_dec_body,
    read_dec_query,
    read_enc_body,
    read_enc_query,
    read_path,
)
from poliqi.keys.grade import Authenticity, Grade, KeyOrigin
from poliqi.keys.policy import KeyLimits
from poliqi.keys.requests import KeyOrder, Reason, Refused

A, B, C = SaeId("sae-a"), SaeId("sae-b"), SaeId("sae-c")
LIMITS = KeyLimits(key_size_bits=256, min_size_bits=64, max_size_bits=1024, max_number=20, max_slaves=2)
NAME = "550e8400-e29b-41d4-a716-446655440000"


def enc(body: Any) -> EncRequest | Refused:
    return read_enc_body(A, B, json.dumps(body).encode(), LIMITS)


@pytest.mark.parametrize(
    ("path", "sae", "action"),
    [
        (b"/api/v1/keys/sae-b/status", "sae-b", Action.STATUS),
        (b"/api/v1/keys/sae-b/enc_keys", "sae-b", Action.ENC_KEYS),
        (b"/api/v1/keys/sae-b/dec_keys", "sae-b", Action.DEC_KEYS),
        (b"/api/v1/keys/a%2Fb%20c/status", "a/b c", Action.STATUS),
        (b"/api/v1/keys/%C3%A8/status", "è", Action.STATUS),
        (b"/api/v1/keys/a+b/status", "a+b", Action.STATUS),
    ],
)
def test_paths_name_an_application_and_a_method(path: bytes, sae: str, action: Action) -> None:
    assert read_path(path) == Route(SaeId(sae), action)


@pytest.mark.parametrize(
    "path",
    [
        b"/api/v1/keys/sae-b/status/",
        b"/api/v1/keys/sae-b",
        b"/api/v1/keys/sae-b/Status",
        b"/api/v2/keys/sae-b/status",
        b"//api/v1/keys/sae-b/status",
        b"/api/v1/keys/a/b/status",
        b"/",
        b"",
    ],
)
def test_other_paths_are_not_ours(path: bytes) -> None:
    assert read_path(path) is None


@pytest.mark.parametrize(
    "name", [b"", b"%", b"%2", b"%zz", b"%FF", b"%00", b"%0A", b"%20a", b"a" * 65, b"%C3%28", b"\xff"]
)
def test_ids_in_paths_are_refused_where_they_are_none(name: bytes) -> None:
    refused = read_path(b"/api/v1/keys/" + name + b"/status")
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.BAD_REQUEST


def test_get_orders_one_key_of_the_default_size() -> None:
    request = read_enc_query(A, B, b"", LIMITS)
    assert isinstance(request, EncRequest)
    assert request.order == KeyOrder(A, (B,), 1, 256)


def test_get_takes_number_and_size() -> None:
    request = read_enc_query(A, B, b"number=20&size=1024", LIMITS)
    assert isinstance(request, EncRequest)
    assert (request.order.number, request.order.size_bits) == (20, 1024)


@pytest.mark.parametrize(
    "query",
    [
        b"number=0",
        b"number=-1",
        b"number=21",
        b"number=",
        b"number",
        b"number=1.0",
        b"number=%2B1",
        b"number=+1",
        b"number=1_0",
        b"number=one",
        b"number=%D9%A1",
        b"number=1&number=1",
        b"number=9999999999",
        b"number=" + b"9" * 5000,
        b"size=0",
        b"size=7",
        b"size=255",
        b"size=56",
        b"size=1032",
        b"size=%FF",
        b"colour=red",
        b"additional_slave_SAE_IDs=sae-c",
        b"&",
        b"Number=1",
    ],
)
def test_get_refuses_what_is_no_number_or_size_within_limits(query: bytes) -> None:
    refused = read_enc_query(A, B, query, LIMITS)
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.BAD_REQUEST


def test_post_takes_every_member_of_a_key_request() -> None:
    request = enc(
        {
            "number": 3,
            "size": 128,
            "additional_slave_SAE_IDs": ["sae-c"],
            "extension_mandatory": [{"link_id": "link-1"}],
            "extension_optional": [{"anything": {"at": ["all"]}}],
        }
    )
    assert isinstance(request, EncRequest)
    assert request.order == KeyOrder(A, (B, C), 3, 128, "link-1")


def test_post_members_are_all_optional() -> None:
    request = enc({})
    assert isinstance(request, EncRequest)
    assert request.order == KeyOrder(A, (B,), 1, 256)


@pytest.mark.parametrize(
    "body",
    [
        [],
        None,
        1,
        "x",
        {"number": None},
        {"number": "1"},
        {"number": 1.0},
        {"number": True},
        {"number": 0},
        {"number": -3},
        {"number": 21},
        {"number": 10**30},
        {"size": 0},
        {"size": 12},
        {"size": 63},
        {"size": 1032},
        {"size": [256]},
        {"additional_slave_SAE_IDs": None},
        {"additional_slave_SAE_IDs": "sae-c"},
        {"additional_slave_SAE_IDs": [""]},
        {"additional_slave_SAE_IDs": [" "]},
        {"additional_slave_SAE_IDs": [1]},
        {"additional_slave_SAE_IDs": ["\ud800"]},
        {"additional_slave_SAE_IDs": ["x" * 65]},
        {"additional_slave_SAE_IDs": ["sae-c", "sae-c"]},
        {"additional_slave_SAE_IDs": ["sae-a"]},
        {"additional_slave_SAE_IDs": ["sae-b"]},
        {"additional_slave_SAE_IDs": ["c", "d", "e"]},
        {"extension_mandatory": {"link_id": "x"}},
        {"extension_mandatory": ["link_id"]},
        {"extension_mandatory": [{}]},
        {"extension_mandatory": [{"unheard_of": 1}]},
        {"extension_mandatory": [{"link_id": 3}]},
        {"extension_mandatory": [{"link_id": ""}]},
        {"extension_mandatory": [{"link_id": "a"}, {"link_id": "a"}]},
        {"extension_mandatory": [{"poliqi_grade": {}}]},
        {"extension_mandatory": [{"poliqi_grade": {"origins": ["dreams"]}}]},
        {"extension_mandatory": [{"poliqi_grade": {"origins": [[]]}}]},
        {"extension_mandatory": [{"poliqi_grade": {"max_epsilon": "small"}}]},
        {"extension_mandatory": [{"poliqi_grade": {"direct": 1}}]},
        {"extension_optional": 3},
        {"extension_optional": [3]},
        {"aditional_slave_SAE_IDs": ["sae-c"]},
    ],
)
def test_post_refuses(body: Any) -> None:
    refused = enc(body)
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.BAD_REQUEST


def test_master_and_slave_are_two() -> None:
    assert isinstance(read_enc_query(A, A, b"", LIMITS), Refused)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"number": 1, "number": 2}',
        b'{"number": NaN}',
        b'{"number": Infinity}',
        b'{"number": 1' + b"0" * 5000 + b"}",
        b"[" * 30000,
        b'{"extension_optional":' + b"[" * 100 + b"]" * 100 + b"}",
        b"\xef\xbb\xbf{}",
        b"\xff\xfe{}",
        b"{} {}",
        b'{"number": 01}',
        b"{'number': 1}",
    ],
)
def test_bodies_that_are_no_json_are_refused(body: bytes) -> None:
    assert isinstance(read_enc_body(A, B, body, LIMITS), Refused)
    assert isinstance(read_dec_body(body, LIMITS), Refused)


def test_the_grade_that_is_asked_for_has_to_be_met() -> None:
    demand = {"origins": ["photons"], "direct": True, "information_theoretic": True, "max_epsilon": 1e-9}
    request = enc({"extension_mandatory": [{"poliqi_grade": demand}]})
    assert isinstance(request, EncRequest)
    paths = (("kme-a", "kme-b"),)
    good = Grade(KeyOrigin.PHOTONS, "p", 1e-10, paths)
    assert request.demands.meets(good)
    relayed = (("kme-a", "kme-x", "kme-b"),)
    for worse in (
        Grade(KeyOrigin.SIMULATED, "p", 1e-10, good.paths),
        Grade(KeyOrigin.PHOTONS, "p", 1e-8, good.paths),
        Grade(KeyOrigin.PHOTONS, "p", None, good.paths),
        Grade(KeyOrigin.PHOTONS, "p", 1e-10, relayed),
        Grade(KeyOrigin.PHOTONS, "p", 1e-10, good.paths, authenticity=Authenticity.COMPUTATIONAL),
    ):
        assert not request.demands.meets(worse)


def test_dec_keys_takes_one_id_by_get() -> None:
    assert read_dec_query(b"key_ID=" + NAME.encode()) == (uuid.UUID(NAME).bytes,)
    assert read_dec_query(b"key_ID=" + NAME.upper().encode()) == (uuid.UUID(NAME).bytes,)


@pytest.mark.parametrize(
    "query",
    [
        b"",
        b"key_ID=",
        b"key_ID=1",
        b"key_id=" + NAME.encode(),
        b"key_ID=" + NAME.replace("-", "").encode(),
        b"key_ID={" + NAME.encode() + b"}",
        b"key_ID=urn:uuid:" + NAME.encode(),
        b"key_ID=" + NAME.encode() + b"&key_ID=" + NAME.encode(),
        b"key_ID=" + NAME.encode() + b"%0A",
        b"key_ID=" + NAME.encode() + b"&number=1",
    ],
)
def test_dec_keys_by_get_refuses(query: bytes) -> None:
    assert isinstance(read_dec_query(query), Refused)


def test_dec_keys_takes_several_by_post_with_the_reserved_members() -> None:
    other = str(uuid.uuid4())
    body = {
        "key_IDs": [{"key_ID": NAME, "key_ID_extension": {"x": 1}}, {"key_ID": other}],
        "key_IDs_extension": {"y": 2},
    }
    assert read_dec_body(json.dumps(body).encode(), LIMITS) == (uuid.UUID(NAME).bytes, uuid.UUID(other).bytes)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"key_IDs": []},
        {"key_IDs": None},
        {"key_IDs": NAME},
        {"key_IDs": [NAME]},
        {"key_IDs": [{"key_ID": 3}]},
        {"key_IDs": [{"key_ID": None}]},
        {"key_IDs": [{"key_ID": "x"}]},
        {"key_IDs": [{"key_ID": "\ud800"}]},
        {"key_IDs": [{}]},
        {"key_IDs": [{"key_ID": NAME, "colour": 1}]},
        {"key_IDs": [{"key_ID": NAME}, {"key_ID": NAME.upper()}]},
        {"key_IDs": [{"key_ID": str(uuid.UUID(int=n))} for n in range(21)]},
        {"key_IDs": [{"key_ID": NAME}], "number": 1},
    ],
)
def test_dec_keys_by_post_refuses(body: Any) -> None:
    assert isinstance(read_dec_body(json.dumps(body).encode(), LIMITS), Refused)


@given(st.binary(max_size=200))
def test_no_bytes_can_do_anything_else(data: bytes) -> None:
    for outcome in (
        read_path(b"/api/v1/keys/" + data + b"/enc_keys"),
        read_enc_query(A, B, data, LIMITS),
        read_enc_body(A, B, data, LIMITS),
        read_dec_query(data),
        read_dec_body(data, LIMITS),
    ):
        assert isinstance(outcome, Refused | Route | EncRequest | tuple) or outcome is None


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
_MEMBERS = ("number", "size", "additional_slave_SAE_IDs", "extension_mandatory", "extension_optional", "key_IDs")


@given(st.dictionaries(st.sampled_from(_MEMBERS), _JSON))
def test_no_json_can_do_anything_else(body: dict[str, Any]) -> None:
    data = json.dumps(body).encode()
    request = read_enc_body(A, B, data, LIMITS)
    if isinstance(request, EncRequest):
        order = request.order
        assert 1 <= order.number <= LIMITS.max_number
        assert order.size_bits % 8 == 0
        assert LIMITS.min_size_bits <= order.size_bits <= LIMITS.max_size_bits
        assert len({A, *order.slaves}) == len(order.slaves) + 1
    assert isinstance(read_dec_body(data, LIMITS), Refused | tuple)
