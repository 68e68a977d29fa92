"""Syslog messages: the examples of RFC 5424 section 6.5, and real collectors on loopback."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from alarm_records import on_loop, record, serving
from certificates import SERVER, Authority
from hypothesis import given, settings
from hypothesis import strategies as st

from poliqi.base.errors import ConfigError
from poliqi.control.events import Language, Severity
from poliqi.edge.syslog import SyslogOutlet, alarm_message, parse_target, syslog_message

AT = datetime(2003, 10, 11, 22, 14, 15, 3000, UTC)
BOM = b"\xef\xbb\xbf"


def test_example_1_of_the_rfc() -> None:
    said = syslog_message(
        34, AT, "mymachine.example.com", "su", "-", "ID47", {}, "'su root' failed for lonvick on /dev/pts/8"
    )
    assert said == (
        b"<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - "
        + BOM
        + b"'su root' failed for lonvick on /dev/pts/8"
    )


def test_example_2_of_the_rfc() -> None:
    at = datetime(2003, 8, 24, 5, 14, 15, 3, timezone(timedelta(hours=-7)))
    said = syslog_message(165, at, "192.0.2.1", "myproc", "8710", "", {}, b"%% It's time to make the do-nuts.")
    assert (
        said
        == b"<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time to make the do-nuts."
    )


EXAMPLE = [("iut", "3"), ("eventSource", "Application"), ("eventID", "1011")]


def test_example_3_of_the_rfc() -> None:
    said = syslog_message(
        165,
        AT,
        "mymachine.example.com",
        "evntslog",
        "",
        "ID47",
        {"exampleSDID@32473": EXAMPLE},
        "An application event log entry...",
    )
    assert said == (
        b"<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 "
        b'[exampleSDID@32473 iut="3" eventSource="Application" eventID="1011"] '
        + BOM
        + b"An application event log entry..."
    )


def test_example_4_of_the_rfc() -> None:
    elements = {"exampleSDID@32473": EXAMPLE, "examplePriority@32473": [("class", "high")]}
    said = syslog_message(165, AT, "mymachine.example.com", "evntslog", "", "ID47", elements)
    assert said == (
        b"<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 "
        b'[exampleSDID@32473 iut="3" eventSource="Application" eventID="1011"]'
        b'[examplePriority@32473 class="high"]'
    )


def test_quotes_brackets_and_backslashes_are_escaped() -> None:
    said = syslog_message(1, None, "h", "a", "", "", {"x@1": [("v", 'a"b]c\\d[')]})
    assert said == b'<1>1 - h a - - [x@1 v="a\\"b\\]c\\\\d["]'


GRAMMAR = re.compile(
    rb"<(?:0|[1-9]\d{0,2})>1 (?:-|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)) "
    rb"[!-~]{1,255} [!-~]{1,48} "
    rb"[!-~]{1,128} [!-~]{1,32} "
    rb'(?:-|(?:\[[!#-<>-\\^-~]{1,32}(?: [!#-<>-\\^-~]{1,32}="(?:[^"\\\]]|\\["\\\]])*")*\])+)(?: .*)?',
    re.DOTALL,
)


@settings(deadline=None)
@given(st.integers(0, 191), st.text(), st.text(), st.text(), st.text(), st.text(), st.text(), st.integers(0, 600))
def test_any_text_gives_a_message_of_the_grammar(
    priority: int, host: str, app: str, name: str, value: str, message: str, text: str, longest: int
) -> None:
    said = syslog_message(priority, AT, host, app, "1", message, {name: [(name, value)]}, text, longest)
    assert GRAMMAR.fullmatch(said)
    said.decode()


def test_a_priority_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="192"):
        syslog_message(192, AT, "h", "a", "", "", {})


def test_a_long_text_is_cut_between_two_characters() -> None:
    said = syslog_message(1, AT, "h", "a", "", "", {}, "è" * 1000, 200)
    assert len(said) <= 200
    assert said.decode().endswith("è")


@pytest.mark.parametrize(
    ("severity", "is_over", "priority"),
    [
        (Severity.CRITICAL, False, 130),
        (Severity.ERROR, False, 131),
        (Severity.WARNING, False, 132),
        (Severity.INFO, False, 134),
        (Severity.CRITICAL, True, 133),
    ],
)
def test_the_priority_says_how_bad_it_is(severity: Severity, is_over: bool, priority: int) -> None:
    assert alarm_message(record(severity=severity, is_over=is_over), "h").startswith(b"<%d>1 " % priority)


def test_an_alarm_says_cause_place_and_what_to_do() -> None:
    said = alarm_message(record(), "poli-1", language=Language.ITALIAN).decode()
    assert " poli-1 poliqi-control " in said
    assert 'cause="span-cut" state="raised" explains="4" span="fibre-a-b" light="simulated"]' in said
    assert "la fibra fibre-a-b è interrotta" in said
    assert "OTDR" in said


@pytest.mark.parametrize("text", ["", "syslog://x:1", "udp://x", "tcp://x:70000", "udp://x y:514", "tcp:/x:1"])
def test_a_target_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_target(text)


class Collector(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.got: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.got.put_nowait(data)


@on_loop
async def test_over_udp_one_datagram_is_one_message() -> None:
    loop, collector = asyncio.get_running_loop(), Collector()
    transport, _ = await loop.create_datagram_endpoint(lambda: collector, local_addr=("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    outlet = SyslogOutlet(f"udp://127.0.0.1:{port}", print)
    try:
        outlet.send(record(number=1))
        outlet.send(record(number=2, text="x" * 5000))
        first, second = [await asyncio.wait_for(collector.got.get(), 5) for _ in range(2)]
        assert b'alarm="1"' in first
        assert b'alarm="2"' in second
        assert len(second) == 2048
    finally:
        await outlet.close()
        transport.close()
    assert (outlet.sent, outlet.failed, outlet.dropped) == (2, 0, 0)


async def counted(reader: asyncio.StreamReader) -> bytes:
    """One message of a stream by octet counting (RFC 6587 section 3.4.1)."""
    length = await reader.readuntil(b" ")
    assert length[:1] != b"0"
    return await reader.readexactly(int(length))


class Stream:
    """A collector that takes octet-counted messages, and can hang up."""

    def __init__(self) -> None:
        self.got: asyncio.Queue[bytes] = asyncio.Queue()
        self.writers: list[asyncio.StreamWriter] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        while True:
            self.got.put_nowait(await counted(reader))

    async def next(self) -> bytes:
        return await asyncio.wait_for(self.got.get(), 10)


async def until(true: Callable[[], bool]) -> None:
    while not true():
        await asyncio.sleep(0.01)


@on_loop
async def test_over_tcp_messages_are_counted_and_a_lost_connection_is_made_anew() -> None:
    collector = Stream()
    async with serving(collector) as port:
        outlet = SyslogOutlet(f"tcp://127.0.0.1:{port}", print)
        for number in range(3):
            outlet.send(record(number=number, text="two\nlines"))
        got = [await collector.next() for _ in range(3)]
        assert [b'alarm="%d"' % n in g for n, g in enumerate(got)] == [True] * 3
        assert b"\n" not in got[0]
        collector.writers[0].close()
        await until(outlet.is_broken)
        outlet.send(record(number=9))
        assert b'alarm="9"' in await collector.next()
        await outlet.close()


@on_loop
async def test_a_collector_that_is_away_is_told_once_and_tried_again() -> None:
    async with serving(Stream()) as port:
        pass
    said: list[str] = []
    outlet = SyslogOutlet(f"tcp://127.0.0.1:{port}", said.append)
    outlet.send(record())
    await until(lambda: outlet.failed > 0)
    collector = Stream()
    async with serving(collector, port):
        assert b"span-cut" in await collector.next()
        await until(lambda: len(said) == 2)
        await outlet.close()
    assert "tried again" in said[0]
    assert "works again" in said[1]


@on_loop
async def test_a_full_queue_drops_the_oldest_and_counts_it() -> None:
    outlet = SyslogOutlet("tcp://127.0.0.1:9", lambda _line: None)
    for number in range(300):
        outlet.send(record(number=number))
    assert outlet.dropped == 44
    await outlet.close()
    assert outlet.sent + outlet.dropped == 300
    outlet.send(record())
    assert outlet.dropped == 301


@on_loop
async def test_over_tls_the_collector_must_be_who_it_says(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("collector", hosts=("127.0.0.1",), usages=(SERVER,))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    collector = Stream()
    async with serving(collector, tls=context) as port:
        trusting = SyslogOutlet(f"tls://127.0.0.1:{port}", print, authority.path)
        trusting.send(record())
        assert b"span-cut" in await collector.next()
        await trusting.close()
        doubting = SyslogOutlet(f"tls://127.0.0.1:{port}", lambda _line: None)
        doubting.send(record())
        await until(lambda: doubting.failed > 0)
        await doubting.close()
        assert not doubting.sent


def test_an_authority_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"syslog\.authority"):
        asyncio.run(_made(tmp_path / "none.pem"))


async def _made(authority: Path) -> SyslogOutlet:
    return SyslogOutlet("tls://127.0.0.1:6514", print, authority)
