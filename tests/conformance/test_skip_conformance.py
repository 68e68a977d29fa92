"""Cisco SKIP (draft-cisco-skip-02) from outside: every method, field and code, between two sites."""

from __future__ import annotations

import httpx
import pytest
from kme_fixture import KmePair, kme_pair

from poliqi.keys.requests import Reason, Refused

__all__ = ["kme_pair"]


@pytest.fixture
def a(kme_pair: KmePair) -> httpx.Client:
    return kme_pair.client("sae-a")


@pytest.fixture
def b(kme_pair: KmePair) -> httpx.Client:
    return kme_pair.client("sae-b")


def test_capabilities(a: httpx.Client) -> None:
    told = a.get("/capabilities").json()
    assert set(told) == {"entropy", "key", "algorithm", "localSystemID", "remoteSystemID"}
    assert (told["entropy"], told["key"]) == (True, True)
    assert told["localSystemID"] == "sae-a"
    assert "sae-b" in told["remoteSystemID"]
    assert "sae-a" not in told["remoteSystemID"]


def test_both_systems_get_the_key_and_nobody_gets_it_again(a: httpx.Client, b: httpx.Client) -> None:
    fresh = a.get("/key", params={"remoteSystemID": "sae-b"})
    assert fresh.status_code == 200
    assert set(fresh.json()) == {"keyId", "key"}
    assert len(bytes.fromhex(fresh.json()["keyId"])) == 16
    assert len(bytes.fromhex(fresh.json()["key"])) == 32
    place = f"/key/{fresh.json()['keyId']}"
    assert b.get(place, params={"remoteSystemID": "sae-a"}).json() == fresh.json()
    again = b.get(place, params={"remoteSystemID": "sae-a"})
    assert again.status_code == 400
    assert fresh.headers["cache-control"] == again.headers["cache-control"] == "no-store"


def test_size(a: httpx.Client) -> None:
    fresh = a.get("/key", params={"remoteSystemID": "sae-b", "size": 128}).json()
    assert len(bytes.fromhex(fresh["key"])) == 16


def test_a_key_of_one_protocol_is_had_by_the_other(a: httpx.Client, b: httpx.Client) -> None:
    fresh = a.get("/api/v1/keys/sae-b/enc_keys").json()["keys"][0]
    name = fresh["key_ID"].replace("-", "")
    assert b.get(f"/key/{name}", params={"remoteSystemID": "sae-a"}).json()["keyId"] == name


@pytest.mark.parametrize(
    "path",
    [
        "/key",
        "/key?remoteSystemID=",
        "/key?remoteSystemID=nobody",
        "/key?remoteSystemID=sae-a",
        "/key?remoteSystemID=sae-b&size=0",
        "/key?remoteSystemID=sae-b&size=100000",
        "/key?remoteSystemID=sae-b&size=x",
        "/key?remoteSystemID=sae-b&remoteSystemID=sae-b",
        "/key/00000000000000000000000000000000?remoteSystemID=sae-b",
        "/key/xyz?remoteSystemID=sae-b",
        "/entropy?minentropy=0",
        "/entropy?minentropy=x",
        "/entropy?minentropy=100000",
        "/capabilities?x=1",
    ],
)
def test_400(a: httpx.Client, path: str) -> None:
    answer = a.get(path)
    assert answer.status_code == 400
    assert set(answer.json()) == {"message"}


def test_a_key_for_others_looks_like_none(a: httpx.Client, kme_pair: KmePair) -> None:
    fresh = a.get("/key", params={"remoteSystemID": "sae-b"}).json()
    stranger = kme_pair.client("sae-c")
    foreign = stranger.get(f"/key/{fresh['keyId']}", params={"remoteSystemID": "sae-a"})
    unknown = stranger.get(f"/key/{'0' * 32}", params={"remoteSystemID": "sae-a"})
    assert (
        (foreign.status_code, foreign.content) == (unknown.status_code, unknown.content) == (400, unknown.content)
    )


def test_404_405_503(a: httpx.Client, kme_pair: KmePair) -> None:
    assert a.get("/keys").status_code == 404
    for path in ("/capabilities", "/key", "/key/" + "0" * 32, "/entropy"):
        answer = a.post(path)
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
    assert kme_pair.sites is not None
    kme_pair.sites.refuse_next = Refused(Reason.INSUFFICIENT, "not now", 2.0)
    short = a.get("/key", params={"remoteSystemID": "sae-b"})
    assert (short.status_code, short.headers["retry-after"]) == (503, "2")


def test_entropy(a: httpx.Client) -> None:
    answers = [a.get("/entropy", params={"minentropy": 129}).json() for _ in range(2)]
    for answer in answers:
        assert answer["minentropy"] >= 129
        assert len(bytes.fromhex(answer["randomStr"])) * 8 == answer["minentropy"]
    assert answers[0] != answers[1]
    assert a.get("/entropy").json()["minentropy"] == 256
