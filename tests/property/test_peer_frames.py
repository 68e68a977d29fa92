"""Frames survive any way of cutting the stream; hostile bytes give a refusal, never anything else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from poliqi.base.errors import ProtocolError
from poliqi.edge.peerstream import FRAME_BYTES, FrameCutter

frames = st.lists(st.binary(max_size=300), max_size=20)


def wire(sent: list[bytes]) -> bytes:
    return b"".join(len(frame).to_bytes(4, "big") + frame for frame in sent)


@given(frames, st.lists(st.integers(1, 400), max_size=60))
def test_any_cut_of_the_bytes_gives_the_same_frames(sent: list[bytes], cuts: list[int]) -> None:
    data, cutter, got = wire(sent), FrameCutter(), []
    for cut in [*cuts, len(data) or 1]:
        got += cutter.cut(data[:cut])
        data = data[cut:]
    got += cutter.cut(data)
    assert got == sent
    assert not cutter.is_inside


@given(frames, st.binary(min_size=1, max_size=300), st.data())
def test_a_frame_that_has_begun_is_known(sent: list[bytes], last: bytes, data: st.DataObject) -> None:
    whole = wire([last])
    part = data.draw(st.integers(1, len(whole) - 1))
    cutter = FrameCutter()
    assert cutter.cut(wire(sent) + whole[:part]) == sent
    assert cutter.is_inside


@given(st.lists(st.binary(min_size=1, max_size=5000), max_size=20))
def test_hostile_bytes_are_frames_or_refused_and_little_is_kept(pieces: list[bytes]) -> None:
    cutter, kept = FrameCutter(), 0
    try:
        for piece in pieces:
            kept += len(piece)
            kept -= sum(4 + len(frame) for frame in cutter.cut(piece))
    except ProtocolError:
        return
    assert len(cutter._rest) == kept < 4 + FRAME_BYTES


@given(st.integers(FRAME_BYTES + 1, (1 << 32) - 1), frames)
def test_a_length_over_the_limit_is_refused_before_its_bytes_come(length: int, sent: list[bytes]) -> None:
    cutter = FrameCutter()
    cutter.cut(wire(sent))
    try:
        cutter.cut(length.to_bytes(4, "big"))
    except ProtocolError as error:
        assert str(length) in str(error)
    else:
        raise AssertionError("taken")
