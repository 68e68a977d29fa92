"""What a stream may fail by is summed to the last tag; a record that is false leaves nothing behind."""

from __future__ import annotations

import math
import os
from types import SimpleNamespace
from typing import Any

import pytest

from poliqi.apps.keygrade import KeyGrade
from poliqi.apps.keysource import Key
from poliqi.apps.stream.opening import Frame
from poliqi.apps.stream.padded import PaddedIn, PaddedOut
from poliqi.apps.stream.pads import Pad
from poliqi.apps.stream.terms import Mode, Usage
from poliqi.apps.stream.wire import HEAD_BYTES
from poliqi.base.errors import AuthenticationError
from poliqi.base.ids import SaeId
from poliqi.base.secret import SecretBytes

A, B = SaeId("a"), SaeId("b")


def ends(pad: bytes) -> tuple[PaddedOut, PaddedIn]:
    made: list[Any] = []
    for _ in range(2):
        kept = Pad()
        kept.add([Key("k", SecretBytes(pad))])
        made.append(SimpleNamespace(pad=kept, close=kept.close, need=lambda _size: None))
    return PaddedOut(1, made[0]), PaddedIn(1, made[1])


@pytest.mark.parametrize(("size", "context"), [(0, b""), (3, b""), (4, b""), (1000, b"c" * 77)])
def test_the_epsilon_of_a_tag_counts_head_and_context_at_both_ends(size: int, context: bytes) -> None:
    outgoing, incoming = ends(os.urandom(4096))
    frame = outgoing.seal(Frame.DATA, b"t" * size, context)
    text = memoryview(bytearray(1 << 16))
    incoming.open(Frame.DATA, frame[:HEAD_BYTES], frame[HEAD_BYTES:], text, context)
    # direction (1), number (8), type and length (4), what is added, the text
    expected = 8 * math.ceil((13 + len(context) + size) / 16) / 2**106
    assert outgoing.epsilon == incoming.epsilon == expected


def test_a_stream_s_epsilon_is_that_of_its_keys_and_of_its_tags() -> None:
    grades = (KeyGrade(origin="photons", epsilon=1e-3), KeyGrade(origin="photons", epsilon=2e-3))
    usage = Usage(Mode.ONE_TIME, A, B, ("x", "y"), grades, tag_epsilon=4e-3)
    assert usage.epsilon == pytest.approx(7e-3)
    assert Usage(Mode.QUANTUM, A, B, ("x", "y"), grades, tag_epsilon=4e-3).epsilon is None


def test_a_record_with_a_false_tag_leaves_nothing_of_its_text() -> None:
    outgoing, incoming = ends(os.urandom(4096))
    frame = bytearray(outgoing.seal(Frame.DATA, b"secret text"))
    frame[-1] ^= 1
    text = memoryview(bytearray(1 << 16))
    view = memoryview(frame)
    with pytest.raises(AuthenticationError):
        incoming.open(Frame.DATA, view[:HEAD_BYTES], view[HEAD_BYTES:], text)
    assert not any(text)


def test_used_pad_is_wiped() -> None:
    kept = Pad()
    kept.add([Key("k", SecretBytes(bytes([7]) * 100))])
    [part] = kept._parts
    assert kept.take(60) == bytes([7]) * 60
    assert not part[:60].any()
    assert part[60:].all()
    kept.close()
    assert not part.any()
