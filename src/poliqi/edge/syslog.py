"""Alarms as syslog messages: RFC 5424, over UDP (RFC 5426), TCP with octet counting (RFC 6587), TLS (RFC 5425)."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from poliqi.base.errors import ConfigError
from poliqi.control.events import Language, Severity
from poliqi.edge.network import Address, parse_address
from poliqi.edge.outlet import AlarmRecord, Outlet

__all__ = ["SyslogOutlet", "alarm_message", "parse_target", "syslog_message"]

_UDP_BYTES: Final = 2048
_TCP_BYTES: Final = 8192
_TIMEOUT_S: Final = 5.0
_LOCAL0: Final = 16
_NOTICE: Final = 5
_SEVERITY: Final = {Severity.CRITICAL: 2, Severity.ERROR: 3, Severity.WARNING: 4, Severity.INFO: 6}
_ENTERPRISE: Final = 32473
"""The enterprise number that RFC 5612 keeps for examples: we have none of our own. A site may set its own."""
_TARGET: Final = re.compile(r"(udp|tcp|tls)://(.+)")
_BOM: Final = b"\xef\xbb\xbf"
_CONTROLS: Final = {**dict.fromkeys(range(32), " "), 127: " "}

Elements = Mapping[str, Iterable[tuple[str, str]]]


def _word(text: str, longest: int) -> str:
    """A header field: printable ASCII without spaces, "-" for nothing."""
    return "".join(c if "!" <= c <= "~" else "_" for c in text)[:longest] or "-"


def _stamp(at: datetime | None) -> str:
    if at is None:
        return "-"
    precision = "milliseconds" if at.microsecond % 1000 == 0 else "microseconds"
    return at.isoformat(timespec=precision).replace("+00:00", "Z")


def _name(text: str) -> str:
    """An SD-NAME: printable ASCII without `=`, space, `]` and `"`; at most 32."""
    return "".join(c if "!" <= c <= "~" and c not in '=]"' else "_" for c in text)[:32] or "_"


def _value(text: str) -> str:
    """A PARAM-VALUE: `"`, `\\` and `]` are escaped by a backslash, nothing else is (section 6.3.3)."""
    return re.sub(r'(["\\\]])', r"\\\1", text)


def _parameters(given: Iterable[tuple[str, str]]) -> str:
    return "".join(f' {_name(name)}="{_value(value)}"' for name, value in given)


def syslog_message(
    priority: int,
    at: datetime | None,
    host: str,
    app: str,
    process: str,
    message: str,
    elements: Elements,
    text: str | bytes = b"",
    longest: int = _TCP_BYTES,
) -> bytes:
    """One SYSLOG-MSG (RFC 5424 section 6). A `text` that is str goes as UTF-8 after a byte order mark, bytes as is.

    `priority` is facility * 8 + severity; `message` the MSGID. A message that is too long loses the end of its
    text, between two characters. Raises ValueError for a priority that is none.
    """
    if not 0 <= priority <= 191:
        raise ValueError(f"syslog priority {priority}: 0 to 191")
    words = (_word(host, 255), _word(app, 48), _word(process, 128), _word(message, 32))
    data = "".join(f"[{_name(element)}{_parameters(given)}]" for element, given in elements.items())
    line = f"<{priority}>1 {_stamp(at)} {' '.join(words)} {data or '-'}"
    head = line.encode(errors="replace")
    if not text:
        return head
    body = text if isinstance(text, bytes) else _BOM + text.translate(_CONTROLS).encode(errors="replace")
    room = longest - len(head) - 1
    if len(body) > room:
        body = body[: max(room, 0)]
        if isinstance(text, str):
            body = body.decode(errors="ignore").encode()
    return head + b" " + body if body else head


def alarm_message(
    record: AlarmRecord,
    host: str,
    facility: int = _LOCAL0,
    enterprise: int = _ENTERPRISE,
    language: Language = Language.ENGLISH,
    longest: int = _TCP_BYTES,
) -> bytes:
    """The syslog message of an alarm; what is over has severity 5 (notice)."""
    severity = _NOTICE if record.is_over else _SEVERITY[record.severity]
    parameters = [
        ("city", record.city),
        ("controller", record.controller),
        ("alarm", str(record.number)),
        ("cause", record.cause),
        ("state", "over" if record.is_over else "raised"),
        ("explains", str(record.explained)),
    ]
    places = (("site", record.site), ("link", record.link), ("span", record.span))
    parameters += [(name, place) for name, place in places if place]
    if record.is_simulated:
        parameters.append(("light", "simulated"))
    return syslog_message(
        8 * facility + severity,
        datetime.fromtimestamp(record.at_s, UTC),
        host,
        "poliqi-control",
        str(os.getpid()),
        "CLEARED" if record.is_over else "ALARM",
        {f"poliqi@{enterprise}": [(name, value[:200].translate(_CONTROLS)) for name, value in parameters]},
        f"{record.text[language]}. {record.advice[language]}" if not record.is_over else record.text[language],
        longest,
    )


@dataclass(frozen=True, slots=True)
class _Target:
    scheme: str
    address: Address


def parse_target(text: str) -> _Target:
    """Read udp://HOST:PORT, tcp://HOST:PORT or tls://HOST:PORT. Raises ConfigError."""
    found = _TARGET.fullmatch(text)
    if found is None:
        raise ConfigError(f"syslog.to {text[:80]!r}: write udp://HOST:514, tcp://HOST:601 or tls://HOST:6514")
    return _Target(found[1], parse_address(found[2], "syslog.to"))


class SyslogOutlet(Outlet):
    """A collector. `authority` (PEM) signs its certificate, where that is not one that the system trusts."""

    def __init__(
        self,
        to: str,
        say: Callable[[str], None],
        authority: Path | None = None,
        language: Language = Language.ENGLISH,
    ) -> None:
        super().__init__(to, say)
        self._target: Final = parse_target(to)
        self._language: Final = language
        self._host: Final = socket.gethostname()
        self._tls: Final = _context(authority) if self._target.scheme == "tls" else None
        self._writer: asyncio.StreamWriter | None = None
        self._reader: asyncio.StreamReader | None = None

    async def deliver(self, record: AlarmRecord) -> None:
        """Send one message. Over UDP nobody says whether it came."""
        if self._target.scheme == "udp":
            await self._send_datagram(self._message(record, _UDP_BYTES))
            return
        message = self._message(record, _TCP_BYTES)
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                writer = await self._connected()
                writer.write(b"%d %b" % (len(message), message))
                await writer.drain()
                await asyncio.sleep(0)
            if self.is_broken():
                raise ConnectionResetError("the collector hung up")
        except (OSError, TimeoutError):
            await self.hang_up()
            raise

    async def hang_up(self) -> None:
        """Close the connection."""
        writer, self._writer, self._reader = self._writer, None, None
        if writer is not None:
            writer.close()
            with suppress(OSError, TimeoutError):
                await asyncio.wait_for(writer.wait_closed(), 1.0)

    def _message(self, record: AlarmRecord, longest: int) -> bytes:
        return alarm_message(record, self._host, language=self._language, longest=longest)

    async def _send_datagram(self, message: bytes) -> None:
        address = self._target.address
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            asyncio.DatagramProtocol, remote_addr=(address.host, address.port)
        )
        try:
            transport.sendto(message)
            await asyncio.sleep(0)
        finally:
            transport.close()

    def is_broken(self) -> bool:
        """Whether the connection, if there was one, is lost."""
        reader, writer = self._reader, self._writer
        return reader is None or writer is None or writer.is_closing() or reader.at_eof()

    async def _connected(self) -> asyncio.StreamWriter:
        if self._writer is not None and not self.is_broken():
            return self._writer
        await self.hang_up()
        address = self._target.address
        name = address.host if self._tls is not None else None
        self._reader, self._writer = await asyncio.open_connection(
            address.host, address.port, ssl=self._tls, server_hostname=name, limit=_UDP_BYTES
        )
        return self._writer


def _context(authority: Path | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=None if authority is None else str(authority))
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"syslog.authority {authority}: no certificate can be read from it: {error}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
