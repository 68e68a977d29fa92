"""Alarms posted to a URL: signed, tried again, never redirected."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from alarm_records import Handler, on_loop, record, serving

from poliqi.base.errors import ConfigError
from poliqi.base.secret import SecretBytes
from poliqi.edge.webhook import WebhookOutlet, alarm_body, read_secret, signature

SECRET = b"0123456789abcdef0123456789abcdef"


class Hook:
    """An HTTP server that keeps what is posted and answers with the statuses it was given, then 204."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.got: list[tuple[dict[str, str], bytes]] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            lines = head.decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (li.partition(": ") for li in lines[1:] if li)}
            body = await reader.readexactly(int(headers["content-length"]))
            self.got.append((headers | {"line": lines[0]}, body))
            status = self.statuses.pop(0) if self.statuses else 204
            more = "Location: http://127.0.0.1:1/elsewhere\r\n" if 300 <= status < 400 else ""
            writer.write(f"HTTP/1.1 {status} x\r\n{more}Content-Length: 0\r\n\r\n".encode())


@asynccontextmanager
async def hooked(handler: Handler, said: list[str] | None = None) -> AsyncIterator[WebhookOutlet]:
    say = (lambda _line: None) if said is None else said.append
    async with serving(handler) as port:
        url = f"http://127.0.0.1:{port}/alarms?token=hush"
        outlet = WebhookOutlet(url, SecretBytes(SECRET), say, clock=lambda: 1234.9)
        try:
            yield outlet
        finally:
            await outlet.close()


async def until(true: Callable[[], bool]) -> None:
    while not true():
        await asyncio.sleep(0.01)


@on_loop
async def test_an_alarm_is_posted_and_signed() -> None:
    hook = Hook()
    async with hooked(hook) as outlet:
        outlet.send(record())
        await until(lambda: outlet.sent == 1)
    headers, body = hook.got[0]
    assert headers["line"] == "POST /alarms?token=hush HTTP/1.1"
    expected = hmac.new(SECRET, b"1234." + body, hashlib.sha256).hexdigest()
    assert headers["poliqi-signature"] == f"t=1234,v1={expected}"
    told = json.loads(body)
    assert told["cause"] == "span-cut"
    assert told["state"] == "raised"
    assert told["light"] == "simulated"
    assert set(told["text"]) == {"en", "it"}


def test_the_signature_is_the_hmac_of_time_dot_body() -> None:
    mac = hmac.new(b"Jefe", b"1.what do ya want for nothing?", "sha256").hexdigest()
    assert signature(SecretBytes(b"Jefe"), 1, b"what do ya want for nothing?") == f"t=1,v1={mac}"


@on_loop
async def test_a_busy_server_is_tried_again() -> None:
    hook, said = Hook(503, 429), list[str]()
    async with hooked(hook, said=said) as outlet:
        outlet.send(record())
        await until(lambda: outlet.sent == 1)
    assert len(hook.got) == 3
    assert outlet.failed == 2
    assert "works again" in said[-1]


@pytest.mark.parametrize("status", [302, 307, 400, 401, 404])
def test_a_no_is_a_no_and_redirects_are_not_followed(status: int) -> None:
    @on_loop
    async def body() -> None:
        hook, said = Hook(status), list[str]()
        async with hooked(hook, said=said) as outlet:
            outlet.send(record())
            await until(lambda: outlet.dropped == 1)
        assert len(hook.got) == 1
        assert str(status) in said[0]
        assert "hush" not in said[0]

    body()


@on_loop
async def test_a_server_that_says_nothing_sensible_is_tried_again() -> None:
    async def nonsense(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x00\xff" * 50)
        writer.close()

    async with hooked(nonsense) as outlet:
        outlet.send(record())
        await until(lambda: outlet.failed >= 1)
        assert outlet.sent == 0


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/x",
        "ftp://x/y",
        "https://",
        "x",
        "https://me:pass@example.org/",
        "http://[::2]/",
        "http://localhost.evil/",
    ],
)
def test_urls_that_would_tell_strangers_are_refused(url: str) -> None:
    with pytest.raises(ConfigError) as told:
        WebhookOutlet(url, SecretBytes(SECRET), print)
    assert "pass@" not in str(told.value)


def test_the_secret_is_read_from_a_private_file(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(SECRET + b"\n")
    path.chmod(0o600)
    assert read_secret(path).take() == SECRET
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        read_secret(path)


@pytest.mark.parametrize("data", [b"", b"short", b"x" * 5000])
def test_a_secret_of_the_wrong_length_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "secret"
    path.write_bytes(data)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="openssl"):
        read_secret(path)


def test_nothing_shows_the_secret() -> None:
    async def made() -> str:
        outlet = WebhookOutlet("https://example.org/x?token=hush", SecretBytes(SECRET), print)
        shown = f"{outlet!r} {outlet.name} {vars(outlet)}"
        await outlet.close()
        return shown

    shown = asyncio.run(made())
    assert SECRET.decode() not in shown
    assert "hush" not in shown.replace("'https://example.org/x?token=hush'", "")


def test_the_body_is_small() -> None:
    assert len(alarm_body(record())) < 4096
