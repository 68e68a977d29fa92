"""Answers of ETSI GS QKD 014: the standard's members and codes, the grade of each key."""

from __future__ import annotations

import base64
import json
import random
import uuid

import pytest
from fake_desk import fake_pair

from poliqi.base.ids import KmeId, SaeId
from poliqi.keys.etsi014_answer import NOT_FOUND_TEXT, answer_message, answer_outcome, answer_status
from poliqi.keys.grade import Grade, KeyOrigin
from poliqi.keys.requests import Delivered, Key, Reason, Refused

PATH = (KmeId("kme-a"), KmeId("kme-b"))
GRADE = Grade(KeyOrigin.PHOTONS, "finite-key", 1e-10, (PATH,))
OTHER = Grade(KeyOrigin.SIMULATED, 'a "quoted" proof', None, (PATH,))


def test_a_key_container_has_uuids_padded_base64_and_grades() -> None:
    keys = [
        Key(uuid.uuid4().bytes, random.randbytes(size), grade)
        for size, grade in ((8, GRADE), (32, GRADE), (33, OTHER), (512, OTHER), (1, GRADE))
    ]
    answer = answer_outcome(Delivered(keys))
    assert answer.status == 200
    assert json.loads(answer.body) == {
        "keys": [
            {
                "key_ID": str(uuid.UUID(bytes=key.key_id)),
                "key": base64.b64encode(key.value).decode(),
                "key_extension": key.grade.as_json(),
            }
            for key in keys
        ]
    }


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (Reason.BAD_REQUEST, 400),
        (Reason.NOT_FOUND, 400),
        (Reason.NOT_PERMITTED, 401),
        (Reason.NO_ROUTE, 503),
        (Reason.INSUFFICIENT, 503),
        (Reason.PEER_DOWN, 503),
        (Reason.RATE_LIMITED, 503),
        (Reason.UNAVAILABLE, 503),
    ],
)
def test_every_reason_has_its_code_and_503_says_when_to_return(reason: Reason, status: int) -> None:
    answer = answer_outcome(Refused(reason, "because", 2.1))
    assert answer.status == status
    assert answer.retry_s == (3 if status == 503 else None)
    assert set(json.loads(answer.body)) == {"message"}


def test_what_is_not_found_is_said_in_one_text() -> None:
    bodies = {answer_outcome(Refused(Reason.NOT_FOUND, why)).body for why in ("expired", "unknown", "delivered")}
    assert [json.loads(body) for body in bodies] == [{"message": NOT_FOUND_TEXT}]
    assert NOT_FOUND_TEXT == "One or more keys specified are not found on KME"


def test_messages_are_json_whatever_they_hold() -> None:
    assert json.loads(answer_message(400, 'a "b"\n\\').body) == {"message": 'a "b"\n\\'}


def test_status_has_the_members_of_the_standard() -> None:
    desk, _ = fake_pair()
    answer = json.loads(answer_status(desk.report(SaeId("sae-a"), SaeId("sae-b"))).body)
    texts = {"source_KME_ID", "target_KME_ID", "master_SAE_ID", "slave_SAE_ID"}
    counts = {
        "key_size",
        "stored_key_count",
        "max_key_count",
        "max_key_per_request",
        "max_key_size",
        "min_key_size",
        "max_SAE_ID_count",
    }
    assert set(answer) == texts | counts | {"status_extension"}
    assert all(isinstance(answer[name], str) for name in texts)
    assert all(isinstance(answer[name], int) for name in counts)
    assert answer["source_KME_ID"] == "kme-a"
    assert answer["status_extension"]["connected"] is True
    assert answer["status_extension"]["grades"][0]["grade"] == "its"
