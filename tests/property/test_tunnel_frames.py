"""Whatever a peer sends, a tunnel's parsers say a ProtocolError or give back what they were given."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poliqi.apps.tunnel.messages import (
    Kind,
    is_target_name,
    kind_of,
    open_message,
    read_open,
    read_refusal,
    refusal,
)
from poliqi.apps.tunnel.packets import Sources, is_sound, split
from poliqi.base.errors import ProtocolError

OUTSIDE = st.binary(max_size=300)


@given(OUTSIDE)
def test_hostile_messages_raise_only_protocol_errors(data: bytes) -> None:
    for parser in (kind_of, read_open):
        with suppress(ProtocolError):
            parser(data)


@given(OUTSIDE)
def test_what_is_read_as_a_target_is_a_name_or_a_port_and_never_an_address(data: bytes) -> None:
    with suppress(ProtocolError):
        found = read_open(bytes([Kind.OPEN]) + data)
        assert found.encode() == data
        assert is_target_name(found) or 0 < int(found) < 65536
        assert not set(found) & set("/:@ \n\\%")


@given(st.from_regex(r"[a-z][a-z0-9._-]{0,63}", fullmatch=True) | st.integers(1, 65535).map(str))
def test_a_target_comes_back(name: str) -> None:
    assert read_open(open_message(name)) == name


@given(st.text(max_size=300))
def test_a_refusal_cannot_move_a_cursor(reason: str) -> None:
    assert read_refusal(refusal(reason)).isprintable()


@given(OUTSIDE)
def test_any_message_is_split_into_all_of_its_bytes_or_refused(data: bytes) -> None:
    try:
        found = [bytes(packet) for packet in split(memoryview(data))]
    except ProtocolError:
        return
    assert b"".join(struct.pack(">I", len(packet)) + packet for packet in found) == data
    assert all(10 < len(packet) <= 65545 for packet in found)


@given(st.lists(st.binary(min_size=11, max_size=60), max_size=5))
def test_packets_come_back(packets: list[bytes]) -> None:
    message = b"".join(struct.pack(">I", len(packet)) + packet for packet in packets)
    assert [bytes(packet) for packet in split(memoryview(message))] == packets


@given(st.lists(st.binary(min_size=11, max_size=60), min_size=1, max_size=3), st.integers(1, 14))
def test_a_message_that_was_cut_short_is_refused(packets: list[bytes], missing: int) -> None:
    message = b"".join(struct.pack(">I", len(packet)) + packet for packet in packets)
    with pytest.raises(ProtocolError):
        list(split(memoryview(message)[:-missing]))


@given(
    st.tuples(*[st.integers(0, 255)] * 2, *[st.integers(0, 65535)] * 4),
    st.sampled_from([0x40, 0x45, 0x60, 0x65, 0x00]),
    st.binary(min_size=0, max_size=120),
)
def test_a_sound_header_points_nowhere_outside_its_packet(
    fields: tuple[int, int, int, int, int, int], first: int, rest: bytes
) -> None:
    packet = struct.pack("<BBHHHH", *fields) + bytes([first]) + rest
    if not is_sound(memoryview(packet)):
        return
    flags, kind, head, segment, start, offset = fields
    size = 1 + len(rest)
    assert size >= (20 if first >> 4 == 4 else 40)
    assert not flags & 1 or start + offset + 2 <= size
    assert not kind or (head <= size and segment > 0)
    with suppress(KeyError):
        Sources([ipaddress.ip_network("10.0.0.0/8")]).allow(memoryview(packet))


@given(st.ip_addresses(v=4), st.ip_addresses(v=4, network="10.0.0.0/8"))
def test_sources_are_told_apart_as_the_standard_library_does(
    anywhere: ipaddress.IPv4Address, inside: ipaddress.IPv4Address
) -> None:
    network = ipaddress.ip_network("10.0.0.0/8")
    sources = Sources([network])
    for address in (anywhere, inside, anywhere):
        packet = bytes(10) + b"\x45" + bytes(11) + address.packed + bytes(4)
        assert sources.allow(memoryview(packet)) == (address in network)


PACKET = st.builds(
    lambda header, first, source, rest: header + bytes([first]) + bytes(11) + source + rest,
    st.sampled_from([bytes(10), struct.pack("<BBHHHH", 1, 1, 40, 1448, 20, 16)])
    | st.binary(min_size=10, max_size=10),
    st.sampled_from([0x45, 0x60, 0x00]),
    st.sampled_from([b"\x0a\x01\x02\x03", b"\x0b\x01\x02\x03"]),
    st.binary(max_size=40),
)


@given(st.lists(PACKET, max_size=6), st.binary(max_size=8))
def test_the_short_way_admits_exactly_what_the_long_way_does(packets: list[bytes], rest: bytes) -> None:
    message = b"".join(struct.pack(">I", len(packet)) + packet for packet in packets) + rest
    sources = Sources([ipaddress.ip_network("10.0.0.0/8")])

    def collect(found: Iterator[memoryview | None]) -> tuple[list[bytes | None], str]:
        kept: list[bytes | None] = []
        try:
            kept.extend(None if each is None else bytes(each) for each in found)
        except ProtocolError as error:
            return kept, str(error)
        return kept, ""

    long_way = (each if is_sound(each) and sources.allow(each) else None for each in split(memoryview(message)))
    expected = collect(long_way)
    assert collect(sources.admit(memoryview(message))) == expected
    assert collect(sources.admit(memoryview(message))) == expected  # every header is known now
    assert collect(Sources([ipaddress.ip_network("10.0.0.0/8")]).admit(memoryview(message))) == expected
