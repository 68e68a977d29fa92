"""Whatever another end sends, a rotation reads a message of its own or refuses it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poliqi.apps.adapters.messages import (
    MESSAGE_BYTES,
    Done,
    Held,
    Message,
    Offer,
    Refused,
    Switch,
    Used,
    decode,
    encode,
)
from poliqi.base.errors import ProtocolError

VECTORS = json.loads((Path(__file__).parents[1] / "vectors/rotation/messages.json").read_text())
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=64)
KEY_IDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=256)
MESSAGES = st.one_of(
    st.builds(Offer, tunnel=NAMES, kind=NAMES, key_id=KEY_IDS, starts=st.booleans()),
    st.builds(Held, key_id=KEY_IDS, starts=st.booleans()),
    st.builds(Switch, key_id=KEY_IDS, starter=st.booleans()),
    st.builds(Used, key_id=KEY_IDS),
    st.builds(Done, key_id=KEY_IDS),
    st.builds(Refused, key_id=KEY_IDS, reason=st.text(st.characters(codec="utf-8"), max_size=200)),
)


@given(MESSAGES)
def test_what_is_said_is_understood(message: Message) -> None:
    data = encode(message)
    if len(data) <= MESSAGE_BYTES:
        assert decode(data) == message


@given(st.one_of(st.binary(max_size=200), st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["say", "key_id", "x"]), inner),
    max_leaves=10,
).map(lambda value: json.dumps(value).encode())))  # fmt: skip
def test_anything_else_is_refused(data: bytes) -> None:
    try:
        message = decode(data)
    except ProtocolError:
        return
    assert encode(message)


@given(MESSAGES, st.data())
def test_a_cut_message_is_refused(message: Message, data: st.DataObject) -> None:
    whole = encode(message)
    with pytest.raises(ProtocolError):
        decode(whole[: data.draw(st.integers(0, len(whole) - 1))])


@pytest.mark.parametrize("case", VECTORS["read"], ids=lambda case: case["is"])
def test_a_message_of_the_vectors_is_read(case: dict[str, str]) -> None:
    assert type(decode(case["text"].encode())).__name__ == case["is"]


@pytest.mark.parametrize("case", VECTORS["refused"], ids=lambda case: case["why"])
def test_a_message_of_the_vectors_is_refused(case: dict[str, str]) -> None:
    with pytest.raises(ProtocolError):
        decode(case["text"].encode())


@pytest.mark.parametrize("data", [b"[" * 4000, b'{"say":"used","key_id":"\xff"}'], ids=["deep", "no UTF-8"])
def test_what_no_text_can_say_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(data)
