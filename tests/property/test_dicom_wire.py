"""Messages between gateways: what is written is read; nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poliqi.apps.dicom.images import Answer, Head, Held, Outcome, Stage
from poliqi.apps.dicom.wire import (
    HEAD_BYTES,
    Announced,
    Asked,
    answer_message,
    ask_message,
    image_message,
    read_answer,
    read_request,
)
from poliqi.base.errors import ProtocolError
from poliqi.base.ids import SaeId

NAMES = st.text("0123456789abcdef", min_size=32, max_size=32)
UIDS = st.text("0123456789.", min_size=1, max_size=64)
TITLES = st.text("ABCxyz019_-.", min_size=1, max_size=16)


def held(name: str, head: Head, size: int, digest: bytes) -> Held:
    return Held(1, name, head, SaeId("p"), "CT", 7, size, digest, 0.0, Stage.WAITING, None, "", None)


@settings(deadline=None, max_examples=60)
@given(
    NAMES, st.builds(Head, TITLES, UIDS, UIDS, UIDS), st.integers(0, 1 << 40), st.binary(min_size=32, max_size=32)
)
def test_heads_come_back(name: str, head: Head, size: int, digest: bytes) -> None:
    message = image_message(held(name, head, size, digest))
    assert len(message) <= HEAD_BYTES
    got = read_request(message)
    assert isinstance(got, Announced)
    assert (got.id, got.head, got.size, got.digest) == (name, head, size, digest)


@settings(deadline=None, max_examples=60)
@given(NAMES, TITLES)
def test_questions_come_back(name: str, ae: str) -> None:
    assert read_request(ask_message(name, ae)) == Asked(name, ae)


@settings(deadline=None, max_examples=60)
@given(NAMES, st.sampled_from(Outcome), st.none() | st.integers(0, 0xFFFF), st.text())
def test_answers_come_back_printable_and_short(name: str, outcome: Outcome, status: int | None, said: str) -> None:
    got = read_answer(answer_message(Answer(name, outcome, status, said)))
    assert (got.id, got.outcome, got.status) == (name, outcome, status)
    assert got.said.isprintable() or got.said == ""
    assert got.said == "".join(c if c.isprintable() else " " for c in said[:300])


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=5000))
def test_anything_else_is_refused(data: bytes) -> None:
    for read in (read_request, read_answer):
        with pytest.raises(ProtocolError):
            read(data)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_a_changed_head_is_another_or_refused(data: st.DataObject) -> None:
    head = Head("PACS", "1.2.840.10008.5.1.4.1.1.2", "1.2.3", "1.2.840.10008.1.2.1")
    message = bytearray(image_message(held("ab" * 16, head, 10, bytes(32))))
    place = data.draw(st.integers(0, len(message) - 1))
    message[place] ^= data.draw(st.integers(1, 255))
    try:
        got = read_request(bytes(message))
    except ProtocolError:
        return
    assert isinstance(got, Announced)
    assert image_message(held(got.id, got.head, got.size, got.digest)) != image_message(
        held("ab" * 16, head, 10, bytes(32))
    )


@pytest.mark.parametrize(
    "head",
    [
        Head("BACK\\SLASH", "1", "1", "1"),
        Head("", "1", "1", "1"),
        Head("PACS", "../../etc/passwd", "1", "1"),
        Head("PACS", "1", "1 2", "1"),
        Head("PACS", "1", "1", ""),
    ],
)
def test_names_that_are_none_are_refused(head: Head) -> None:
    with pytest.raises(ProtocolError):
        read_request(image_message(held("ab" * 16, head, 1, bytes(32))))
