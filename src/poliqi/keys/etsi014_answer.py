"""ETSI GS QKD 014 v1.1.1 answers: from outcomes to status codes and JSON.

Written for speed: a key container costs about a microsecond a key, and a grade is put into JSON once.
"""

from __future__ import annotations

import json
from binascii import b2a_base64
from collections.abc import Iterable
from typing import Final, NamedTuple

from poliqi.keys.grade import Grade
from poliqi.keys.requests import Accepted, Delivered, Key, Outcome, Reason, Refused, StockReport

__all__ = ["NOT_FOUND_TEXT", "Answer", "answer_message", "answer_outcome", "answer_status"]

NOT_FOUND_TEXT: Final = "One or more keys specified are not found on KME"
"""One text for unknown, expired and already delivered keys, so that nobody learns which it is."""

_STATUS: Final = {
    Reason.BAD_REQUEST: 400,
    Reason.NOT_FOUND: 400,
    Reason.NOT_PERMITTED: 401,
    Reason.NO_ROUTE: 503,
    Reason.INSUFFICIENT: 503,
    Reason.PEER_DOWN: 503,
    Reason.RATE_LIMITED: 503,
    Reason.UNAVAILABLE: 503,
}
_MOST_GRADES: Final = 1024
_grades: dict[int, tuple[Grade, str]] = {}  # by identity; the grade is held, so that its id stays its own


class Answer(NamedTuple):
    """A status code, the JSON body, and after how many seconds to ask again."""

    status: int
    body: bytes
    retry_s: int | None = None
    allow: str | None = None


def answer_message(status: int, message: str, *, retry_s: float | None = None, allow: str | None = None) -> Answer:
    """An error in the standard's form (clause 6.5), without `details`."""
    whole_s = None if retry_s is None else max(1, int(-(-retry_s // 1)))
    return Answer(status, json.dumps({"message": message}).encode(), whole_s, allow)


def answer_outcome(outcome: Outcome) -> Answer:
    """A key container, or the refusal's code and message."""
    if isinstance(outcome, Delivered):
        return Answer(200, _container(outcome.keys))
    if isinstance(outcome, Accepted):
        raise TypeError("an order or a fetch that was accepted without keys is no answer")
    message = NOT_FOUND_TEXT if outcome.reason is Reason.NOT_FOUND else outcome.message
    status = _STATUS[outcome.reason]
    retry_s = (outcome.retry_s or 1.0) if status == 503 else None
    return answer_message(status, message, retry_s=retry_s)


def _container(keys: Iterable[Key]) -> bytes:
    """A key container (clause 6.3), each key with its grade as key_extension."""
    parts: list[str] = []
    last: Grade | None = None
    tail = ""
    for key_id, value, grade in keys:
        if grade is not last:
            last, tail = grade, f'","key_extension":{_grade_json(grade)}}}'
        h = key_id.hex()
        text = b2a_base64(value, newline=False).decode()
        parts.append(f'{{"key_ID":"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}","key":"{text}{tail}')
    return f'{{"keys":[{",".join(parts)}]}}'.encode()


def _grade_json(grade: Grade) -> str:
    known = _grades.get(id(grade))
    if known is not None:
        return known[1]
    if len(_grades) >= _MOST_GRADES:
        _grades.clear()
    text = json.dumps(grade.as_json(), separators=(",", ":"))
    _grades[id(grade)] = (grade, text)
    return text


def answer_status(report: StockReport | Refused) -> Answer:
    """The status of a pair of applications (clause 6.1), with what we add in status_extension."""
    if isinstance(report, Refused):
        return answer_outcome(report)
    members = {
        "source_KME_ID": report.source_kme,
        "target_KME_ID": report.target_kme,
        "master_SAE_ID": report.master,
        "slave_SAE_ID": report.slave,
        "key_size": report.key_size_bits,
        "stored_key_count": report.stored_keys,
        "max_key_count": report.capacity_keys,
        "max_key_per_request": report.max_keys_per_request,
        "max_key_size": report.max_size_bits,
        "min_key_size": report.min_size_bits,
        "max_SAE_ID_count": report.max_slaves,
        "status_extension": {
            "connected": report.connected,
            "grades": [grade.as_json() for grade in report.grades],
            "filled_bits": 8 * report.filled_bytes,
        },
    }
    return Answer(200, json.dumps(members).encode())
