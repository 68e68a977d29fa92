"""ETSI GS QKD 014 v1.1.1 from outside: every method, field and code, over mutual TLS, between two sites."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import uuid
from typing import Any

import httpx
import pytest
from kme_fixture import KmePair, kme_pair

from poliqi.base.ids import SaeId
from poliqi.keys.requests import Reason, Refused

__all__ = ["kme_pair"]

ENC, DEC, STATUS = "/api/v1/keys/sae-b/enc_keys", "/api/v1/keys/sae-a/dec_keys", "/api/v1/keys/sae-b/status"
LOST = {"message": "One or more keys specified are not found on KME"}


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [key["key_ID"] for key in answer.json()["keys"]]


def values(answer: httpx.Response) -> dict[str, bytes]:
    assert answer.status_code == 200, answer.text
    return {key["key_ID"]: base64.b64decode(key["key"], validate=True) for key in answer.json()["keys"]}


def is_error(answer: httpx.Response, status: int) -> None:
    """The standard's error: a code, JSON with a message, nothing that may be kept by anybody between."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert isinstance(answer.json()["message"], str)
    assert set(answer.json()) == {"message"}
    assert ("retry-after" in answer.headers) == (status == 503)


@pytest.fixture
def a(kme_pair: KmePair) -> httpx.Client:
    return kme_pair.client("sae-a")


@pytest.fixture
def b(kme_pair: KmePair) -> httpx.Client:
    return kme_pair.client("sae-b")


@pytest.fixture
def c(kme_pair: KmePair) -> httpx.Client:
    return kme_pair.client("sae-c")


def test_status_tells_the_pair_and_the_limits(a: httpx.Client) -> None:
    answer = a.get(STATUS)
    assert answer.status_code == 200
    told = answer.json()
    assert (told["source_KME_ID"], told["target_KME_ID"]) == ("kme-a", "kme-b")
    assert (told["master_SAE_ID"], told["slave_SAE_ID"]) == ("sae-a", "sae-b")
    assert told["min_key_size"] <= told["key_size"] <= told["max_key_size"]
    assert told["stored_key_count"] <= told["max_key_count"]
    assert told["max_key_per_request"] >= 1
    assert told["max_SAE_ID_count"] >= 0


def test_one_key_of_the_default_size_comes_by_get_and_is_the_same_at_the_slave(
    a: httpx.Client, b: httpx.Client
) -> None:
    fresh = a.get(ENC)
    (name,) = ids(fresh)
    assert str(uuid.UUID(name)) == name
    assert len(values(fresh)[name]) * 8 == a.get(STATUS).json()["key_size"]
    assert fresh.headers["cache-control"] == "no-store"
    assert values(b.get(DEC, params={"key_ID": name})) == values(fresh)


def test_number_and_size_by_get(a: httpx.Client) -> None:
    told = a.get(STATUS).json()
    for number, size in ((1, told["min_key_size"]), (3, told["max_key_size"]), (told["max_key_per_request"], 64)):
        fresh = values(a.get(ENC, params={"number": number, "size": size}))
        assert len(fresh) == number
        assert {8 * len(value) for value in fresh.values()} == {size}


def test_a_batch_goes_by_post_both_ways(a: httpx.Client, b: httpx.Client) -> None:
    fresh = a.post(ENC, json={"number": 4, "size": 128, "extension_optional": [{"unheard_of": 1}]})
    assert len(ids(fresh)) == 4
    taken = b.post(DEC, json={"key_IDs": [{"key_ID": name} for name in reversed(ids(fresh))]})
    assert ids(taken) == list(reversed(ids(fresh)))
    assert values(taken) == values(fresh)


def test_no_two_keys_are_alike(a: httpx.Client) -> None:
    fresh = [values(a.get(ENC, params={"number": 100})) for _ in range(3)]
    assert len({name for each in fresh for name in each}) == 300
    assert len({value for each in fresh for value in each.values()}) == 300


def test_every_key_tells_its_grade(a: httpx.Client, b: httpx.Client) -> None:
    fresh = a.get(ENC).json()["keys"][0]
    taken = b.get(DEC, params={"key_ID": fresh["key_ID"]}).json()["keys"][0]
    assert fresh["key_extension"] == taken["key_extension"]
    assert {"grade", "origin", "epsilon", "proof", "paths", "hybrid"} <= set(fresh["key_extension"])


def test_multicast_gives_every_named_slave_the_same_key_once(
    a: httpx.Client, b: httpx.Client, c: httpx.Client
) -> None:
    fresh = a.post(ENC, json={"additional_slave_SAE_IDs": ["sae-c"]})
    (name,) = ids(fresh)
    for slave in (b, c):
        assert values(slave.get(DEC, params={"key_ID": name})) == values(fresh)
        is_error(slave.get(DEC, params={"key_ID": name}), 400)


@pytest.mark.parametrize(
    "query",
    [
        "number=0",
        "number=-1",
        "number=x",
        "number=1000000",
        "number=",
        "number=1&number=2",
        "size=0",
        "size=-8",
        "size=255",
        "size=8000000",
        "size=big",
        "number=1;size=64",
        "number=%FF",
        "unheard_of=1",
    ],
)
def test_enc_keys_by_get_refuses(a: httpx.Client, query: str) -> None:
    is_error(a.get(f"{ENC}?{query}"), 400)


@pytest.mark.parametrize(
    "body",
    [
        {"number": 0},
        {"number": "2"},
        {"number": 1000000},
        {"size": 0},
        {"size": 7},
        {"size": 8000000},
        {"size": None},
        {"additional_slave_SAE_IDs": [""]},
        {"additional_slave_SAE_IDs": ["  "]},
        {"additional_slave_SAE_IDs": ["sae-c", "sae-c"]},
        {"additional_slave_SAE_IDs": ["sae-b"]},
        {"additional_slave_SAE_IDs": ["sae-a"]},
        {"additional_slave_SAE_IDs": "sae-c"},
        {"additional_slave_SAE_IDs": [f"sae-{n}" for n in range(100)]},
        {"extension_mandatory": [{"unheard_of": 1}]},
        {"extension_mandatory": {"link_id": "x"}},
        {"extension_optional": "x"},
        [],
        "text",
    ],
)
def test_enc_keys_by_post_refuses(a: httpx.Client, body: Any) -> None:
    is_error(a.post(ENC, json=body), 400)


@pytest.mark.parametrize("body", [b"", b"{", b'{"number":1,"number":2}', b'{"number":NaN}', b"\xff", b"[" * 60000])
@pytest.mark.parametrize("path", [ENC, DEC])
def test_bodies_that_are_no_json_are_refused(a: httpx.Client, path: str, body: bytes) -> None:
    is_error(a.post(path, content=body, headers={"content-type": "application/json"}), 400)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"key_IDs": []},
        {"key_IDs": ["x"]},
        {"key_IDs": [{"key_ID": "not-a-uuid"}]},
        {"key_IDs": [{"key_ID": str(uuid.UUID(int=5))}] * 2},
        {"key_IDs": [{"key_ID": str(uuid.UUID(int=n))} for n in range(500)]},
    ],
)
def test_dec_keys_by_post_refuses(b: httpx.Client, body: Any) -> None:
    is_error(b.post(DEC, json=body), 400)


def test_dec_keys_by_get_wants_exactly_one_id(a: httpx.Client, b: httpx.Client) -> None:
    names = ids(a.get(ENC, params={"number": 2}))
    is_error(b.get(DEC), 400)
    is_error(b.get(DEC, params=[("key_ID", names[0]), ("key_ID", names[1])]), 400)
    assert len(ids(b.post(DEC, json={"key_IDs": [{"key_ID": n} for n in names]}))) == 2


def test_unknown_delivered_and_expired_keys_are_refused_alike(
    a: httpx.Client, b: httpx.Client, kme_pair: KmePair
) -> None:
    delivered, expiring = ids(a.get(ENC, params={"number": 2}))
    b.get(DEC, params={"key_ID": delivered})
    answers = [b.get(DEC, params={"key_ID": name}) for name in (delivered, str(uuid.uuid4()))]
    if kme_pair.sites is not None:
        kme_pair.sites.now_s += 2 * kme_pair.sites.limits.ttl_s
        answers.append(b.get(DEC, params={"key_ID": expiring}))
    for answer in answers:
        is_error(answer, 400)
        assert answer.json() == LOST
        assert "retry-after" not in answer.headers


def test_a_batch_is_all_or_nothing(a: httpx.Client, b: httpx.Client) -> None:
    name = ids(a.get(ENC))[0]
    is_error(b.post(DEC, json={"key_IDs": [{"key_ID": name}, {"key_ID": str(uuid.uuid4())}]}), 400)
    assert ids(b.get(DEC, params={"key_ID": name})) == [name]


def test_who_was_not_named_gets_401_and_takes_nothing(a: httpx.Client, b: httpx.Client, c: httpx.Client) -> None:
    name = ids(a.get(ENC))[0]
    is_error(c.get(DEC, params={"key_ID": name}), 401)
    is_error(a.get(DEC, params={"key_ID": name}), 401)
    assert ids(b.get(DEC, params={"key_ID": name})) == [name]


def test_master_and_slave_are_two(a: httpx.Client) -> None:
    is_error(a.get("/api/v1/keys/sae-a/enc_keys"), 400)
    is_error(a.get("/api/v1/keys/sae-a/status"), 400)


def test_strangers_are_401(a: httpx.Client) -> None:
    is_error(a.get("/api/v1/keys/nobody/enc_keys"), 401)
    is_error(a.get("/api/v1/keys/nobody/status"), 401)


def test_a_certificate_without_an_application_is_401(kme_pair: KmePair) -> None:
    kme_pair.homes["kme-as-sae"] = "kme-a"
    kme_pair.certificates["kme-as-sae"] = kme_pair.authority.issue("sae-a", uris=("urn:poliqi:kme:kme-a",))
    is_error(kme_pair.client("kme-as-sae").get(ENC), 401)


def test_the_common_name_of_an_ordinary_certificate_is_the_application(kme_pair: KmePair, b: httpx.Client) -> None:
    kme_pair.homes["ordinary"] = "kme-a"
    kme_pair.certificates["ordinary"] = kme_pair.authority.issue("sae-a")
    fresh = kme_pair.client("ordinary").get(ENC)
    assert values(b.get(DEC, params={"key_ID": ids(fresh)[0]})) == values(fresh)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", STATUS, "GET"),
        ("HEAD", STATUS, "GET"),
        ("PUT", STATUS, "GET"),
        ("DELETE", ENC, "GET, POST"),
        ("HEAD", ENC, "GET, POST"),
        ("PATCH", DEC, "GET, POST"),
        ("OPTIONS", DEC, "GET, POST"),
    ],
)
def test_other_methods_are_405(a: httpx.Client, method: str, path: str, allowed: str) -> None:
    answer = a.request(method, path)
    assert answer.status_code == 405
    assert answer.headers["allow"] == allowed


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 404),
        ("/api/v1/keys/sae-b", 404),
        ("/api/v1/keys/sae-b/enc_keys/", 404),
        ("/api/v2/keys/sae-b/enc_keys", 404),
        ("/api/v1/keys/sae-b/other", 404),
        ("/api/v1/keys//enc_keys", 400),
        ("/api/v1/keys/%FF/enc_keys", 400),
        ("/api/v1/keys/" + "x" * 65 + "/enc_keys", 400),
        ("/api/v1/keys/sae%2Db/enc_keys", 200),
        ("/api/v1/keys/sae%2Fb/enc_keys", 401),
    ],
)
def test_paths(a: httpx.Client, path: str, status: int) -> None:
    assert a.get(path).status_code == status


def test_transport_guards(a: httpx.Client) -> None:
    is_error(a.post(ENC, content=b"{}", headers={"content-type": "text/plain"}), 415)
    is_error(a.post(ENC, content=b" " * (64 * 1024) + b"{}", headers={"content-type": "application/json"}), 413)
    for kind in ("application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"'):
        assert a.post(ENC, content=b"{}", headers={"content-type": kind}).status_code == 200


@pytest.mark.parametrize("reason", [Reason.INSUFFICIENT, Reason.PEER_DOWN, Reason.RATE_LIMITED, Reason.UNAVAILABLE])
def test_what_may_pass_is_503_and_says_when_to_return(a: httpx.Client, kme_pair: KmePair, reason: Reason) -> None:
    assert kme_pair.sites is not None
    kme_pair.sites.refuse_next = Refused(reason, "not now", 2.5)
    answer = a.get(ENC)
    is_error(answer, 503)
    assert answer.headers["retry-after"] == "3"


def test_the_link_that_an_extension_names_is_ordered_from(a: httpx.Client) -> None:
    assert len(ids(a.post(ENC, json={"extension_mandatory": [{"link_id": str(uuid.uuid4())}]}))) == 1


def test_keys_of_a_lesser_grade_than_asked_for_are_not_given(a: httpx.Client) -> None:
    good = {"origins": ["photons"], "max_epsilon": 1e-9, "direct": True}
    assert len(ids(a.post(ENC, json={"extension_mandatory": [{"poliqi_grade": good}]}))) == 1
    too_good = {"max_epsilon": 1e-30}
    is_error(a.post(ENC, json={"extension_mandatory": [{"poliqi_grade": too_good}]}), 503)


def test_every_hand_over_happened_once(kme_pair: KmePair, a: httpx.Client, b: httpx.Client) -> None:
    for name in ids(a.get(ENC, params={"number": 5})):
        b.get(DEC, params={"key_ID": name})
        b.get(DEC, params={"key_ID": name})
    assert kme_pair.sites is not None
    given = kme_pair.sites.given
    assert len(given) == len(set(given))
    assert SaeId("sae-b") in {sae for sae, _ in given}


def qkd014_client(pair: KmePair, sae: str, *arguments: str) -> tuple[int, str]:
    """Run the client of the Python package index, an independent implementation."""
    own = pair.certificate(sae)
    command = [
        *(sys.executable, "-m", "etsi_qkd_014_client.cli", "-H", str(pair.addresses[pair.homes[sae]])),
        *("-c", str(own.certificate), "-k", str(own.key), "-r", str(pair.authority.path), *arguments),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    first, _, rest = done.stdout.partition("\n")
    return int(first.rpartition(":")[2]), rest


def test_an_independent_client_makes_the_round_trip(kme_pair: KmePair) -> None:
    status, told = qkd014_client(kme_pair, "sae-a", "get_status", "sae-b")
    assert status == 200, told
    status, fresh = qkd014_client(kme_pair, "sae-a", "get_key", "sae-b")
    assert status == 200, fresh
    name = next(str(uuid.UUID(word)) for word in fresh.replace("(", " ").replace(")", " ").split() if is_uuid(word))
    status, taken = qkd014_client(kme_pair, "sae-b", "get_key_with_id", name, "sae-a")
    assert status == 200, taken
    assert name in taken
    status, _ = qkd014_client(kme_pair, "sae-b", "get_key_with_id", name, "sae-a")
    assert status == 400


def is_uuid(word: str) -> bool:
    try:
        uuid.UUID(word.strip(",'\""))
    except ValueError:
        return False
    return True


def test_the_description_of_the_interface_is_served(a: httpx.Client) -> None:
    described = json.loads(a.get("/openapi.json").content)
    assert described["openapi"].startswith("3.1")
    assert "/api/v1/keys/{slave_SAE_ID}/enc_keys" in described["paths"]
