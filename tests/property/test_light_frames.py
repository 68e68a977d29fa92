"""Reports of light: what was said is heard, anything else is refused with a word."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poliqi.base.errors import ProtocolError
from poliqi.control.lightframe import MOST_LIGHT_BYTES, decode_light, encode_light, is_light
from poliqi.control.messages import LightState, LinkReport

SHARES = st.none() | st.floats(0.0, 1.0)
REPORTS = st.builds(
    LinkReport,
    link=st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z"),
    state=st.sampled_from(LightState),
    key_rate_bps=st.none() | st.floats(0.0, 1e15),
    qber_key=SHARES,
    qber_test=SHARES,
    loss_db=st.none() | st.floats(-50.0, 200.0),
    noise=SHARES,
    epsilon=SHARES,
    blocks=st.integers(0, (1 << 62) - 1),
    age_s=st.floats(0.0, 1e15),
    reason=st.text(st.characters(codec="utf-8", categories=("L", "N", "P")), max_size=512),
)
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=14) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@given(REPORTS)
def test_reports_come_back_as_they_went(report: LinkReport) -> None:
    frame = encode_light(report)
    assert is_light(frame) and len(frame) <= MOST_LIGHT_BYTES
    assert decode_light(frame) == report


@given(st.binary(max_size=300) | JUNK.map(msgspec.msgpack.encode))
def test_any_bytes_are_read_or_refused(frame: bytes) -> None:
    is_light(frame)
    try:
        decode_light(frame)
    except ProtocolError:
        return


@given(REPORTS, st.integers(4, 12), JUNK)
def test_a_field_of_another_kind_never_gets_through(report: LinkReport, at: int, junk: object) -> None:
    fields = msgspec.msgpack.decode(encode_light(report))
    fields[at] = junk
    try:
        read = decode_light(msgspec.msgpack.encode(fields))
    except ProtocolError:
        return
    figures = (read.key_rate_bps, read.qber_key, read.loss_db, read.noise, read.epsilon, read.age_s)
    assert all(math.isfinite(figure) for figure in figures if figure is not None)


@given(REPORTS, st.data())
def test_cut_or_lengthened_reports_are_refused(report: LinkReport, data: st.DataObject) -> None:
    frame = encode_light(report)
    for broken in (frame[: data.draw(st.integers(0, len(frame) - 1))], frame + b"\x00", frame + bytes(5000)):
        with pytest.raises(ProtocolError):
            decode_light(broken)


@pytest.mark.parametrize("figure", [math.nan, math.inf, -math.inf, -1.0])
def test_figures_that_are_no_numbers_are_refused(figure: float) -> None:
    fields = msgspec.msgpack.decode(encode_light(LinkReport(link="a", state=LightState.LIT)))
    for at in (4, 5, 9, 11):
        with pytest.raises(ProtocolError):
            decode_light(msgspec.msgpack.encode([*fields[:at], figure, *fields[at + 1 :]]))


def test_later_versions_may_append_fields() -> None:
    report = LinkReport(link="a", state=LightState.KEYLESS, reason="QBER")
    fields = msgspec.msgpack.decode(encode_light(report))
    for more in (["x"], ["x"] * 9):  # a longer array has another head
        frame = msgspec.msgpack.encode([*fields, *more])
        assert is_light(frame) and decode_light(frame) == report


def test_a_block_is_no_report() -> None:
    assert not is_light(msgspec.msgpack.encode([1, "light", b"", "simulated", "", None, b"k"]))
