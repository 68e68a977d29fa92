"""Whatever another end sends, a rotation reads a message of its own or refuses it."""

from __future__ import annotations

import json

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


@pytest.mark.parametrize(
    "data",
    [
        b'{"say":"used"}',
        b'{"say":"used","key_id":""}',
        b'{"say":"used","key_id":"k","key":"AAAA"}',
        b'{"say":"take","key_id":"k"}',
        b'{"say":"used","key_id":"' + b"k" * 257 + b'"}',
        b'{"say":"used","key_id":"k"}' + b" " * MESSAGE_BYTES,
        b"[" * 4000,
        b'{"say":"used","key_id":"\xff"}',
    ],
)
def test_a_message_that_says_more_less_or_other_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(data)
