"""ETSI GS QKD 020 v1.1.1 from its tables: every endpoint, member, status and problem type, without a network."""

from __future__ import annotations

import base64
import json
import uuid
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poliqi.base.errors import ConfigError
from poliqi.base.ids import KmeId, SaeId
from poliqi.keys.etsi020 import Answer, Interop, InteropSettings, Settled, Ship, VoidKeys
from poliqi.keys.etsi020_post import Neighbour, Post, origin_of
from poliqi.keys.etsi020_send import Extensions
from poliqi.keys.grade import Grade, KeyOrigin
from poliqi.keys.requests import Accepted, Outcome, Reason, Refused, Shipment

FAR, NEXT = KmeId("kms-far"), KmeId("kms-next")
TYPES = "https://qkd.etsi.org/gs020-interop-kms/"
CALLBACK = "https://far.example:8020/kmapi/v1/ext_keys/ack"
GRADE = Grade(KeyOrigin.PHOTONS, "proof", 1e-10, ((KmeId("kme-a"), KmeId("kme-b")),))


class Fixed:
    source = "test"

    def draw(self, count: int) -> bytes:
        return bytes(range(count))


@dataclass
class Rig:
    """A core with two neighbours; what it wants done is collected by kind."""

    now: float = 0.0
    answers: dict[int, Answer] = field(default_factory=dict)
    ships: list[Ship] = field(default_factory=list)
    voids: list[VoidKeys] = field(default_factory=list)
    posts: list[Post] = field(default_factory=list)
    settled: dict[int, Outcome] = field(default_factory=dict)

    def __post_init__(self) -> None:
        neighbours = (
            Neighbour(FAR, "https://far.example:8020", frozenset({SaeId("sae-x"), SaeId("sae-y")})),
            Neighbour(NEXT, "https://next.example/", frozenset({SaeId("sae-n")}), grade=GRADE),
        )
        self.core = Interop(KmeId("kme-a"), neighbours, "https://a.example:8020", Fixed(), InteropSettings())
        self.calls = 0

    def gather(self) -> None:
        for action in self.core.take_output():
            match action:
                case Answer(call):
                    assert call not in self.answers
                    self.answers[call] = action
                case Settled(token, outcome):
                    self.settled[token] = outcome
                case Ship():
                    self.ships.append(action)
                case VoidKeys():
                    self.voids.append(action)
                case Post():
                    self.posts.append(action)

    def ask(self, path: str, body: Any, *, method: str = "POST", who: KmeId | None = FAR) -> int:
        self.calls += 1
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.core.receive(self.calls, who, method, f"/kmapi{path}", raw, self.now)
        self.gather()
        return self.calls

    def reply(self, call: int) -> tuple[int, Any]:
        answer = self.answers[call].answer
        return answer.status, json.loads(answer.body) if answer.body else None

    def said(self, path: str, body: Any, **more: Any) -> tuple[int, Any]:
        return self.reply(self.ask(path, body, **more))

    def ship(self, outcome: Outcome | None = None) -> None:
        self.core.shipped(self.ships[-1].job, outcome or Accepted(), self.now)
        self.gather()

    def void(self, outcome: Outcome | None = None) -> None:
        self.core.voided(self.voids[-1].job, outcome or Accepted(), self.now)
        self.gather()

    def posted(self, status: int | None, body: bytes = b"") -> None:
        self.core.posted(self.posts[-1].job, status, body, self.now)
        self.gather()

    def tick(self, seconds: float) -> None:
        self.now += seconds
        self.core.tick(self.now)
        self.gather()


def name(number: int = 1) -> str:
    return str(uuid.UUID(int=number))


def keys(*numbers: int, callback: str | None = CALLBACK, **more: Any) -> dict[str, Any]:
    value = base64.b64encode(bytes(32)).decode()
    body: dict[str, Any] = {
        "keys": [{"key_id": name(n), "value": value} for n in numbers or (1,)],
        "initiator_sae_id": "sae-x",
        "target_sae_ids": ["sae-b"],
        **more,
    }
    return body if callback is None else {**body, "ack_callback_url": callback}


def void(*numbers: int, callback: str | None = None, **more: Any) -> dict[str, Any]:
    body = {
        "key_ids": [name(n) for n in numbers],
        "initiator_sae_id": "sae-x",
        "target_sae_ids": ["sae-b"],
        **more,
    }
    return body if callback is None else {**body, "ack_callback_url": callback}


def test_versions() -> None:
    assert Rig().said("/versions", b"", method="GET") == (
        200,
        {"versions": ["v1"], "capabilities": ["synchronous_mode"], "extension": {}},
    )


@pytest.mark.parametrize("path", ["/versions", "/v1/ext_keys", "/v1/ext_keys/ack", "/v1/ext_keys/void"])
def test_only_registered_neighbours_are_answered(path: str) -> None:
    for who in (None, KmeId("kms-unknown")):
        status, body = Rig().said(path, {}, who=who)
        assert (status, body["type"]) == (401, TYPES + "unauthorized")


def test_asynchronous_mode_answers_202_then_posts_the_ack() -> None:
    rig = Rig()
    assert rig.said("/v1/ext_keys", keys(1, 2)) == (202, None)
    assert rig.ships[0].shipment.key_ids == (uuid.UUID(int=1).bytes, uuid.UUID(int=2).bytes)
    assert rig.posts == []
    rig.ship()
    assert (rig.posts[0].url, rig.posts[0].neighbour) == (CALLBACK, FAR)
    assert json.loads(rig.posts[0].body) == [
        {
            "key_id_container": [{"key_id": name(1)}, {"key_id": name(2)}],
            "ack_status": "relayed",
            "initiator_sae_id": "sae-x",
            "target_sae_ids": ["sae-b"],
        }
    ]


def test_synchronous_mode_answers_200_with_the_acks() -> None:
    rig = Rig()
    call = rig.ask("/v1/ext_keys", keys(callback=None))
    assert call not in rig.answers
    rig.ship()
    status, body = rig.reply(call)
    assert (status, body[0]["ack_status"]) == (200, "relayed")
    assert rig.posts == []


def test_keys_of_a_neighbour_are_unproven_unless_it_is_trusted() -> None:
    rig = Rig()
    rig.ask("/v1/ext_keys", keys())
    assert rig.ships[0].shipment.grade.name == "unproven"
    assert rig.ships[0].shipment.grade.epsilon is None
    rig.ask("/v1/ext_keys", {**keys(7, callback=None), "initiator_sae_id": "sae-n"}, who=NEXT)
    assert rig.ships[1].shipment.grade == GRADE


@pytest.mark.parametrize(
    ("reason", "status", "kind"),
    [
        (Reason.NO_ROUTE, 503, "key-routing-error"),
        (Reason.PEER_DOWN, 503, "key-routing-error"),
        (Reason.INSUFFICIENT, 503, "insufficient-key-material"),
        (Reason.NOT_PERMITTED, 401, "unauthorized"),
        (Reason.UNAVAILABLE, 503, "server-side-general-error"),
    ],
)
def test_keys_that_could_not_be_carried(reason: Reason, status: int, kind: str) -> None:
    rig = Rig()
    waiting, _ = rig.ask("/v1/ext_keys", keys(1, callback=None)), rig.ship(Refused(reason, "why"))
    got, body = rig.reply(waiting)
    assert (got, body["type"], body["status"], body["detail"]) == (status, TYPES + kind, status, "why")
    rig.ask("/v1/ext_keys", keys(2))
    rig.ship(Refused(reason, "why"))
    assert json.loads(rig.posts[0].body)[0]["ack_status"] == "failed"


BAD_KEYS = [
    {},
    b"",
    b"[1]",
    b"\xff",
    {**keys(), "keys": []},
    keys(*range(1025)),
    keys(1, 1),
    {**keys(), "keys": [{"key_id": "no-uuid", "value": "AAAA"}]},
    {**keys(), "keys": [{"key_id": name(), "value": ""}]},
    {**keys(), "keys": [{"key_id": name(), "value": "%%%"}]},
    {**keys(), "keys": [{"key_id": name(), "value": "AAAA", "extension": 5}]},
    {k: v for k, v in keys().items() if k != "initiator_sae_id"},
    {**keys(), "initiator_sae_id": ""},
    {**keys(), "initiator_sae_id": "x" * 65},
    {**keys(), "initiator_sae_id": "space here"},
    {**keys(), "initiator_sae_id": "line\n"},
    {**keys(), "target_sae_ids": []},
    {**keys(), "target_sae_ids": ["sae-b", "sae-b"]},
    {**keys(), "target_sae_ids": ["sae-x"]},
    {**keys(), "extension_mandatory": []},
    {**keys(), "extension_optional": "text"},
]


@pytest.mark.parametrize("body", BAD_KEYS, ids=lambda b: str(b)[:40])
def test_keys_that_are_not_understood_are_not_retained(body: Any) -> None:
    rig = Rig()
    status, answer = rig.said("/v1/ext_keys", body)
    assert (status, answer["type"], answer["status"]) == (400, TYPES + "missing-parameters", 400)
    assert not rig.ships


def test_1024_keys_are_taken() -> None:
    assert Rig().said("/v1/ext_keys", keys(*range(1024)))[0] == 202


@pytest.mark.parametrize("sae", ["a", "x" * 64, "urn:sae:1?a=b#c", "a%20b", "~.-_!$&'()*+,;=:@/"])
def test_sae_ids_are_rfc_3986_characters(sae: str) -> None:
    assert Rig().said("/v1/ext_keys", keys(target_sae_ids=[sae]))[0] == 202


def test_an_unknown_mandatory_extension_is_refused() -> None:
    rig = Rig()
    status, body = rig.said("/v1/ext_keys", keys(extension_mandatory={"E1_new": {}}))
    assert (status, body["type"]) == (503, TYPES + "unsupported-mandatory-extension")
    assert "E1_new" in body["detail"] and not rig.ships
    assert rig.said("/v1/ext_keys", keys(extension_mandatory={}))[0] == 202


def test_unknown_members_and_optional_extensions_are_no_reason_to_refuse() -> None:
    assert Rig().said("/v1/ext_keys", keys(extension_optional={"E1_new": 1}, later={"x": 1}))[0] == 202


@pytest.mark.parametrize(
    "url",
    [
        "http://far.example:8020/ack",
        "https://far.example/ack",
        "https://evil.example:8020/ack",
        "https://far.example:8020@evil.example/ack",
        "https://far.example:8020.evil.example/ack",
        "https://user@far.example:8020/ack",
        "https://far.example:8020\\@evil.example/",
        "https://far.example:99999/",
        "file:///etc/passwd",
        "https://127.0.0.1:8020/ack",
        "https://next.example/ack",
    ],
)
def test_a_callback_that_is_not_the_neighbours_own_is_refused(url: str) -> None:
    rig = Rig()
    status, body = rig.said("/v1/ext_keys", keys(callback=url))
    assert (status, body["type"]) == (401, TYPES + "unauthorized")
    assert not rig.ships and not rig.posts


def test_a_neighbour_speaks_for_its_own_applications_only() -> None:
    rig = Rig()
    for path, body in (("/v1/ext_keys", keys(initiator_sae_id="sae-a")), ("/v1/ext_keys/void", void(1))):
        status, answer = rig.said(path, {**body, "initiator_sae_id": "sae-n"})
        assert (status, answer["type"]) == (401, TYPES + "unauthorized")
    assert not rig.ships and not rig.voids


def test_the_same_request_again_is_answered_the_same_and_carried_once() -> None:
    rig = Rig()
    first = rig.ask("/v1/ext_keys", keys(callback=None))
    second = rig.ask("/v1/ext_keys", keys(callback=None))
    rig.ship()
    third = rig.ask("/v1/ext_keys", keys(callback=None))
    assert rig.reply(first) == rig.reply(second) == rig.reply(third)
    assert rig.said("/v1/ext_keys", keys()) == (202, None)
    assert len(rig.ships) == 1 and len(rig.posts) == 1


def test_a_key_id_is_not_used_twice() -> None:
    rig = Rig()
    rig.ask("/v1/ext_keys", keys(1))
    rig.ship()
    other = base64.b64encode(b"other value").decode()
    for body in (
        {**keys(1), "keys": [{"key_id": name(1), "value": other}]},
        keys(1, 2),
        keys(1, target_sae_ids=["sae-c"]),
        {**keys(1), "initiator_sae_id": "sae-y"},
    ):
        status, answer = rig.said("/v1/ext_keys", body)
        assert (status, answer["type"]) == (503, TYPES + "server-side-general-error")
    assert len(rig.ships) == 1


def test_keys_that_failed_may_come_again() -> None:
    rig = Rig()
    rig.ask("/v1/ext_keys", keys())
    rig.ship(Refused(Reason.INSUFFICIENT, "none"))
    assert rig.said("/v1/ext_keys", keys())[0] == 202
    assert len(rig.ships) == 2


def test_a_synchronous_answer_that_takes_too_long_voids_what_comes_late() -> None:
    rig = Rig()
    call = rig.ask("/v1/ext_keys", keys(callback=None))
    rig.tick(31.0)
    status, body = rig.reply(call)
    assert (status, body["type"]) == (503, TYPES + "timeout")
    rig.ship()
    assert rig.voids[0].key_ids == rig.ships[0].shipment.key_ids


def test_an_ack_is_posted_again_until_it_is_taken() -> None:
    rig = Rig()
    rig.ask("/v1/ext_keys", keys())
    rig.ship()
    times = []
    for status in (None, 503, 429, 500, 200):
        rig.posted(status)
        before, start = len(rig.posts), rig.now
        while len(rig.posts) == before and rig.now < start + 100:
            rig.tick(0.5)
        times.append(rig.now - start)
    assert times[:4] == [1.0, 2.0, 4.0, 8.0] and times[4] >= 100
    assert len({post.body for post in rig.posts}) == 1


@pytest.mark.parametrize("status", [400, 401, 404, 302])
def test_an_ack_that_is_refused_is_not_posted_again(status: int) -> None:
    rig = Rig()
    rig.ask("/v1/ext_keys", keys())
    rig.ship()
    rig.posted(status)
    rig.tick(1000.0)
    assert len(rig.posts) == 1


def test_an_ack_that_nobody_takes_is_given_up() -> None:
    rig = Rig()
    rig.ask("/v1/ext_keys", keys())
    rig.ship()
    for _ in range(100):
        rig.posted(None) if rig.posts else None
        rig.tick(60.0)
    assert rig.core.given_up == 1 and not rig.core.is_busy


def relayed(rig: Rig, *numbers: int) -> None:
    rig.ask("/v1/ext_keys", keys(*numbers, callback=None))
    rig.ship()


def test_void_takes_relayed_keys_back() -> None:
    rig = Rig()
    relayed(rig, 1, 2)
    call = rig.ask("/v1/ext_keys/void", void(1, 2))
    assert (rig.voids[0].master, rig.voids[0].slaves) == ("sae-x", ("sae-b",))
    rig.void()
    status, body = rig.reply(call)
    assert (status, body[0]["ack_status"], len(body[0]["key_id_container"])) == (200, "voided", 2)
    again = rig.said("/v1/ext_keys/void", void(1))
    assert again[1][0]["ack_status"] == "voided" and len(rig.voids) == 1
    assert rig.said("/v1/ext_keys", keys(1, 2))[0] == 503


def test_void_in_asynchronous_mode_posts_its_acks() -> None:
    rig = Rig()
    relayed(rig, 1)
    assert rig.said("/v1/ext_keys/void", void(1, callback=CALLBACK)) == (202, None)
    rig.void()
    assert json.loads(rig.posts[0].body)[0]["ack_status"] == "voided"


def test_void_says_key_by_key_what_it_could_do() -> None:
    rig = Rig()
    relayed(rig, 1, 2)
    call = rig.ask("/v1/ext_keys/void", void(1, 2, 3))
    lost = Refused(Reason.NOT_FOUND, "not there")
    rig.void(lost)
    one, two, three = rig.voids[1:]
    rig.core.voided(one.job, Accepted(), rig.now)
    rig.core.voided(two.job, lost, rig.now)
    rig.core.voided(three.job, lost, rig.now)
    rig.gather()
    found = {ack["ack_status"]: [k["key_id"] for k in ack["key_id_container"]] for ack in rig.reply(call)[1]}
    assert found == {"voided": [name(1)], "failed to void": [name(2)], "key not present": [name(3)]}


def test_a_key_that_was_voided_before_it_came_does_not_come() -> None:
    rig = Rig()
    rig.ask("/v1/ext_keys/void", void(5))
    rig.void(Refused(Reason.NOT_FOUND, "not there"))
    assert rig.said("/v1/ext_keys", keys(5))[0] == 503
    assert not rig.ships


def test_a_void_waits_for_keys_under_way() -> None:
    rig = Rig()
    rig.ask("/v1/ext_keys", keys(1))
    call = rig.ask("/v1/ext_keys/void", void(1))
    assert not rig.voids
    rig.ship()
    rig.void()
    assert rig.reply(call)[1][0]["ack_status"] == "voided"


def test_voiding_everything_wants_a_confirmation() -> None:
    rig = Rig()
    for more in ({}, {"all_confirmation": False}):
        status, body = rig.said("/v1/ext_keys/void", void(**more))
        assert (status, body["type"]) == (400, TYPES + "no-key-ids-or-confirmation")
    relayed(rig, 1)
    call = rig.ask("/v1/ext_keys/void", void(all_confirmation=True))
    assert rig.voids[0].key_ids is None
    rig.void()
    assert rig.reply(call)[0] == 200
    assert rig.said("/v1/ext_keys", keys(1))[0] == 503


@pytest.mark.parametrize(
    "body", [b"", {}, b"[]", {"key_ids": ["x"]}, void(*range(1025))], ids=lambda b: str(b)[:20]
)
def test_a_void_that_is_not_understood(body: Any) -> None:
    status, answer = Rig().said("/v1/ext_keys/void", body)
    assert (status, answer["type"]) == (400, TYPES + "void-request-not-understood")


@pytest.mark.parametrize("body", [b"", {}, [{}], [1], [{"key_id_container": [], "ack_status": "maybe"}]])
def test_an_ack_that_is_not_understood(body: Any) -> None:
    status, answer = Rig().said("/v1/ext_keys/ack", body)
    assert (status, answer["type"]) == (400, TYPES + "ack-not-understood")


def ack(status: str, *numbers: int, targets: tuple[str, ...] = ("sae-x",), initiator: str = "sae-b") -> Any:
    container = [{"key_id": name(n)} for n in numbers]
    return [
        {
            "key_id_container": container,
            "ack_status": status,
            "initiator_sae_id": initiator,
            "target_sae_ids": list(targets),
        }
    ]


def send(rig: Rig, *numbers: int, targets: tuple[str, ...] = ("sae-x",), who: KmeId = FAR) -> None:
    ids = tuple(uuid.UUID(int=n).bytes for n in numbers)
    slaves = tuple(map(SaeId, targets))
    shipment = Shipment(SaeId("sae-b"), slaves, ids, tuple(bytes([n]) * 32 for n in numbers), GRADE)
    rig.core.send(1, who, shipment, rig.now, Extensions(b'{"E1_a": [1,  2]}'))
    rig.gather()


def test_sent_keys_are_released_only_when_all_are_relayed() -> None:
    rig = Rig()
    send(rig, 1, 2, targets=("sae-x", "sae-y"))
    sent = json.loads(rig.posts[0].body)
    assert rig.posts[0].url == "https://far.example:8020/kmapi/v1/ext_keys"
    assert sent["ack_callback_url"] == "https://a.example:8020/kmapi/v1/ext_keys/ack"
    assert base64.b64decode(sent["keys"][1]["value"]) == b"\2" * 32
    assert b'{"E1_a": [1,  2]}' in rig.posts[0].body
    rig.posted(202)
    for numbers, targets in (((1, 2), ("sae-x",)), ((1,), ("sae-y",))):
        assert rig.said("/v1/ext_keys/ack", ack("relayed", *numbers, targets=targets))[0] == 200
        assert not rig.settled
    rig.ask("/v1/ext_keys/ack", ack("relayed", 2, targets=("sae-y",)))
    assert isinstance(rig.settled[1], Accepted)


def test_an_ack_may_come_before_the_202() -> None:
    rig = Rig()
    send(rig, 1)
    rig.ask("/v1/ext_keys/ack", ack("relayed", 1))
    rig.posted(202)
    assert isinstance(rig.settled[1], Accepted) and len(rig.posts) == 1


@pytest.mark.parametrize("status", ["failed", "voided", "failed to void", "key not present"])
def test_sent_keys_that_were_not_relayed_are_never_released(status: str) -> None:
    rig = Rig()
    send(rig, 1, 2)
    rig.posted(202)
    rig.ask("/v1/ext_keys/ack", ack(status, 2))
    assert isinstance(rig.settled[1], Refused)
    assert rig.posts[1].url.endswith("/void")
    assert json.loads(rig.posts[1].body)["key_ids"] == [name(1), name(2)]
    rig.settled.clear()
    assert rig.said("/v1/ext_keys/ack", ack("relayed", 1, 2))[0] == 200
    assert not rig.settled


@pytest.mark.parametrize(("status", "voids"), [(400, 0), (401, 0), (503, 1), (500, 1), (None, 1), (302, 1)])
def test_a_post_that_fails_is_voided_unless_nothing_was_retained(status: int | None, voids: int) -> None:
    rig = Rig()
    send(rig, 1)
    rig.posted(status)
    assert isinstance(rig.settled[1], Refused) and len(rig.posts) == 1 + voids


def test_a_neighbour_that_never_acknowledges_is_told_to_void() -> None:
    rig = Rig()
    send(rig, 1)
    rig.posted(202)
    rig.tick(61.0)
    assert isinstance(rig.settled[1], Refused) and rig.posts[1].url.endswith("/void")


@pytest.mark.parametrize(
    ("body", "kind"), [(json.dumps(ack("relayed", 1)).encode(), Accepted), (b"[]", Refused), (b"junk", Refused)]
)
def test_a_synchronous_neighbours_answer_decides(body: bytes, kind: type) -> None:
    rig = Rig()
    send(rig, 1)
    rig.posted(200, body)
    assert isinstance(rig.settled[1], kind)


def test_only_the_neighbour_that_has_the_keys_acknowledges_them() -> None:
    rig = Rig()
    send(rig, 1)
    status, body = rig.said("/v1/ext_keys/ack", ack("relayed", 1), who=NEXT)
    assert (status, body["type"]) == (400, TYPES + "key-not-present")
    assert not rig.settled


def test_a_key_is_not_sent_twice_nor_where_its_target_does_not_live() -> None:
    rig = Rig()
    send(rig, 1)
    send(rig, 1)
    assert isinstance(rig.settled[1], Refused)
    rig.settled.clear()
    send(rig, 2, targets=("sae-n",))
    assert isinstance(rig.settled[1], Refused) and len(rig.posts) == 1


def test_keys_for_applications_behind_another_neighbour_are_handed_on_with_their_extensions() -> None:
    rig = Rig()
    body = json.dumps(keys(1, target_sae_ids=["sae-n"])).encode()[:-1]
    call = rig.ask("/v1/ext_keys", body + b', "extension_optional": {"E9_x":  [1]}}')
    assert rig.reply(call)[0] == 202 and not rig.ships
    assert rig.posts[0].url == "https://next.example/kmapi/v1/ext_keys"
    assert b'"extension_optional":{"E9_x":  [1]}' in rig.posts[0].body
    rig.posted(202)
    rig.ask("/v1/ext_keys/ack", ack("relayed", 1, targets=("sae-n",), initiator="sae-x"), who=NEXT)
    assert (rig.posts[1].url, json.loads(rig.posts[1].body)[0]["ack_status"]) == (CALLBACK, "relayed")


def test_targets_on_two_ways_are_refused() -> None:
    status, body = Rig().said("/v1/ext_keys", keys(target_sae_ids=["sae-b", "sae-n"]))
    assert (status, body["type"]) == (503, TYPES + "key-routing-error")
    assert Rig().said("/v1/ext_keys", keys(target_sae_ids=["sae-y"]))[0] == 503


def test_transport_codes() -> None:
    rig = Rig()
    assert rig.said("/v1/nothing", b"")[0] == 404
    assert rig.said("/v1/ext_keys", b"", method="GET")[0] == 405
    assert rig.said("/versions", b"", method="POST")[0] == 405


@given(st.binary(max_size=200), st.sampled_from(["/v1/ext_keys", "/v1/ext_keys/ack", "/v1/ext_keys/void"]))
def test_hostile_bytes_are_refused(body: bytes, path: str) -> None:
    rig = Rig()
    assert rig.said(path, body)[0] in (200, 400)
    assert not rig.ships and not rig.voids


@given(st.text(max_size=60))
def test_an_origin_is_https_or_none(url: str) -> None:
    for text in (url, f"https://{url}"):
        origin = origin_of(text)
        assert origin is None or origin.startswith("https://")


@pytest.mark.parametrize(
    "neighbours",
    [
        (Neighbour(FAR, "http://far.example", frozenset()),),
        (Neighbour(FAR, "https://f.example", frozenset()), Neighbour(FAR, "https://g.example", frozenset())),
        tuple(Neighbour(k, "https://f.example", frozenset({SaeId("s")})) for k in (FAR, NEXT)),
    ],
)
def test_neighbours_that_contradict_each_other_are_refused(neighbours: tuple[Neighbour, ...]) -> None:
    with pytest.raises(ConfigError):
        Interop(KmeId("kme-a"), neighbours, "https://a.example", Fixed())
