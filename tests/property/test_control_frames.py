"""Whatever arrives on a control stream: a message, nothing, or a ProtocolError; and both cores live through it."""

from __future__ import annotations

import contextlib

import msgspec
from control_rig import make_city, started
from hypothesis import given, settings
from hypothesis import strategies as st

from poliqi.base.errors import ConfigError, ProtocolError
from poliqi.base.ids import KmeId, LinkId
from poliqi.control.agent import Agent, AgentRule
from poliqi.control.messages import (
    FRAME_BYTES,
    Applied,
    ControlMessage,
    Heard,
    Hello,
    LightState,
    LinkReport,
    Notice,
    PeerReport,
    PoolReport,
    Report,
    Route,
    Table,
    Welcome,
    decode,
    encode,
)
from poliqi.control.records import decode_record, load

LINES = st.characters(codec="utf-8", exclude_categories=("Cc",))
NAMES = st.text(LINES, min_size=1, max_size=20) | st.sampled_from(["aria", "bovisa", "aria-bovisa", "aria.intesa"])
TEXTS = st.text(LINES, max_size=60)
COUNTS = st.integers(0, (1 << 62) - 1)
RATES = st.floats(0.0, 1e15)
SHARES = st.floats(0.0, 1.0)
WAYS = st.builds(
    Route.Way,
    paths=st.lists(st.lists(NAMES, min_size=2, max_size=9).map(tuple), min_size=1, max_size=3).map(tuple),
    share=SHARES,
)
MESSAGES: st.SearchStrategy[ControlMessage] = st.one_of(
    st.builds(Hello, version=COUNTS, software=TEXTS, instance=NAMES, epoch=COUNTS, table=COUNTS, obeyed=TEXTS),
    st.builds(Welcome, version=COUNTS, controller=NAMES, instance=NAMES, epoch=COUNTS),
    st.builds(Applied, epoch=COUNTS, table=COUNTS, refused=st.lists(TEXTS, max_size=3).map(tuple)),
    st.builds(Heard, epoch=COUNTS, number=COUNTS),
    st.builds(Notice, kind=NAMES, text=TEXTS, peer=st.none() | NAMES),
    st.builds(
        Report,
        number=COUNTS,
        wall_ns=COUNTS,
        links=st.lists(
            st.builds(
                LinkReport,
                link=NAMES,
                state=st.sampled_from(LightState),
                key_rate_bps=st.none() | RATES,
                qber_key=st.none() | SHARES,
                qber_test=st.none() | SHARES,
                loss_db=st.none() | st.floats(-50.0, 200.0),
                noise=st.none() | SHARES,
                epsilon=st.none() | SHARES,
                blocks=COUNTS,
                age_s=RATES,
                reason=TEXTS,
            ),
            max_size=3,
        ).map(tuple),
        pools=st.lists(
            st.builds(
                PoolReport,
                pool=NAMES,
                peer=NAMES,
                is_relayed=st.booleans(),
                free_bits=COUNTS,
                stored_bits=COUNTS,
                capacity_bits=COUNTS,
                taken_bits=COUNTS,
                filled_bits=COUNTS,
            ),
            max_size=3,
        ).map(tuple),
        peers=st.lists(st.builds(PeerReport, site=NAMES, is_connected=st.booleans()), max_size=3).map(tuple),
        keys_delivered=COUNTS,
        is_draining=st.booleans(),
    ),
    st.builds(
        Table,
        epoch=st.integers(0, 7),
        table=COUNTS,
        routes=st.lists(
            st.builds(
                Route,
                pool=NAMES,
                to=NAMES,
                rate_bps=RATES,
                priority=st.integers(0, 7),
                ways=st.lists(WAYS, max_size=3).map(tuple),
                spares=st.lists(WAYS, max_size=2).map(tuple),
            ),
            max_size=3,
        ).map(tuple),
    ),
)


@settings(max_examples=60)
@given(MESSAGES)
def test_every_message_comes_back_from_its_frame(message: ControlMessage) -> None:
    assert decode(encode(message)) == message


@settings(max_examples=200)
@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_a_message_or_a_protocol_error(frame: bytes) -> None:
    try:
        decode(frame)
    except ProtocolError as error:
        assert len(str(error)) < 1000


@settings(max_examples=60)
@given(MESSAGES, st.data())
def test_a_frame_with_a_byte_changed_is_a_message_or_a_protocol_error(
    message: ControlMessage, data: st.DataObject
) -> None:
    frame = bytearray(encode(message))
    frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ProtocolError):
        decode(bytes(frame))


@settings(max_examples=40)
@given(st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=8), max_size=4), MESSAGES)
def test_fields_that_are_not_known_are_passed_over(extra: dict[str, int | str], message: ControlMessage) -> None:
    plain = msgspec.json.decode(encode(message))
    more = {f"new_{name}": value for name, value in extra.items()}
    assert decode(msgspec.json.encode({**more, **plain})) == message


def test_a_frame_over_the_limit_is_refused_unread() -> None:
    try:
        decode(b" " * (FRAME_BYTES + 1))
    except ProtocolError as error:
        assert f"{FRAME_BYTES}" in str(error)
    else:
        raise AssertionError("it was read")


@settings(max_examples=20, deadline=None)
@given(st.lists(MESSAGES, max_size=6))
def test_a_controller_lives_through_whatever_a_site_says(messages: list[ControlMessage]) -> None:
    rig = started(make_city(("aria", "bovisa", "intesa"), [("aria", "bovisa"), ("bovisa", "intesa")]))
    aria = rig.sites[KmeId("aria")]
    for message in messages:
        if aria.connection is None:
            rig.connect("aria")
            rig.settle(solve=False)
        aria.to_controller.append(encode(message))
        rig.deliver_to_controller("aria")
        rig.now += 0.2
        rig.tick()
    rig.sites[KmeId("aria")].says.clear()
    view = rig.controller.view(rig.now)
    assert view.key_rate_bps >= 0.0
    load([*rig.log, *rig.controller.take_records()])
    for site, frames in rig.controller.take_frames().items():
        assert site in rig.sites
        assert all(decode(frame) is not None for frame in frames)


@settings(max_examples=40, deadline=None)
@given(st.lists(MESSAGES | st.binary(max_size=40), max_size=8))
def test_an_agent_lives_through_whatever_a_controller_says(messages: list[ControlMessage | bytes]) -> None:
    rule = AgentRule({LinkId("aria.intesa"): KmeId("intesa")}, frozenset({KmeId("bovisa")}), 2)
    agent = Agent(KmeId("aria"), "one", "", rule, None)
    agent.connected(0.0)
    epoch = 0
    for now, message in enumerate(messages):
        try:
            agent.received(message if isinstance(message, bytes) else encode(message), float(now))
        except ProtocolError:
            agent.connected(float(now))
        agent.tick(float(now), 0)
        for route in agent.take_routes() or ():
            relays = {site for path in route.paths for site in path[1:-1]}
            assert "bovisa" not in relays
            assert all(path[0] == "aria" and path[-1] == "intesa" and len(path) <= 4 for path in route.paths)
        applied = [m.epoch for frame in agent.take_frames() if isinstance(m := decode(frame), Applied)]
        assert [*applied] == sorted(applied)
        assert all(told >= epoch for told in applied)
        epoch = max([epoch, *applied])


@settings(max_examples=150)
@given(st.lists(st.binary(max_size=80), max_size=5))
def test_lines_that_are_no_records_are_refused_or_torn(lines: list[bytes]) -> None:
    for line in lines:
        with contextlib.suppress(ConfigError):
            decode_record(line)
    try:
        found = load(lines)
    except ConfigError as error:
        assert "line " in str(error)
    else:
        assert found.number == 0
        assert len(lines) <= 1
