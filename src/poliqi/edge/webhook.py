"""Alarms posted to a URL as JSON, signed so that whoever is told knows who says so and when.

The header `Poliqi-Signature: t=UNIX_TIME,v1=HEX` holds HMAC-SHA256 with the shared secret over the time, a dot and
the body. Only https, or http on loopback; redirects are refused; nothing of the answer is kept.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Final

import httpx
import msgspec
from cryptography.hazmat.primitives import hashes, hmac

from poliqi.base.errors import ConfigError, StoreError
from poliqi.base.secret import SecretBytes
from poliqi.edge.folder import check_private
from poliqi.edge.outlet import AlarmRecord, Outlet, Refused

__all__ = ["WebhookOutlet", "alarm_body", "read_secret", "signature"]

_TIMEOUT_S: Final = 5.0
_LEAST_SECRET: Final = 16
_MOST_SECRET: Final = 4096
_TRY_AGAIN: Final = frozenset({408, 425, 429})
SIGNATURE_HEADER: Final = "Poliqi-Signature"


def alarm_body(record: AlarmRecord) -> bytes:
    """The JSON object of an alarm (docs/reference/alarms.md)."""
    return msgspec.json.encode(
        {
            "type": "alarm",
            "version": 1,
            "state": "over" if record.is_over else "raised",
            "city": record.city,
            "controller": record.controller,
            "number": record.number,
            "cause": record.cause,
            "severity": record.severity,
            "since": record.since_s,
            "at": record.at_s,
            "site": record.site,
            "link": record.link,
            "span": record.span,
            "text": dict(record.text),
            "advice": dict(record.advice),
            "rivals": record.rivals,
            "explains": record.explains,
            "explained": record.explained,
            "light": "simulated" if record.is_simulated else "real",
        }
    )


def read_secret(path: Path) -> SecretBytes:
    """The shared secret: the bytes of a private file, without white space around them. Raises ConfigError."""
    try:
        check_private(path)
        with path.open("rb") as file:
            data = file.read(_MOST_SECRET + 1)
    except (OSError, StoreError) as error:
        raise ConfigError(f"webhook.secret_file: {error}") from None
    secret = data.strip()
    if not _LEAST_SECRET <= len(secret) <= _MOST_SECRET:
        raise ConfigError(
            f"webhook.secret_file {path}: {len(secret)} bytes; {_LEAST_SECRET} to {_MOST_SECRET} are needed, "
            "such as those of `openssl rand -hex 32`"
        )
    return SecretBytes(secret)


def signature(secret: SecretBytes, at: int, body: bytes) -> str:
    """The value of the header, for a body that is sent at a Unix time."""
    mac = hmac.HMAC(bytes(secret.view()), hashes.SHA256())
    mac.update(b"%d." % at + body)
    return f"t={at},v1={mac.finalize().hex()}"


def _url(text: str) -> httpx.URL:
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, ValueError) as error:
        raise ConfigError(f"webhook.url: {error}") from None
    if url.userinfo:
        raise ConfigError("webhook.url: leave name and password out; requests are signed with webhook.secret_file")
    if url.scheme == "https" and url.host:
        return url
    if url.scheme == "http" and _is_loopback(url.host):
        return url
    raise ConfigError(f"webhook.url {url.scheme}://{url.host}: use https (http only for 127.0.0.1, ::1, localhost)")


def _no_cookies() -> CookieJar:
    """A jar that takes nothing: what a collector answers is not kept."""
    return CookieJar(DefaultCookiePolicy(allowed_domains=()))


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class WebhookOutlet(Outlet):
    """A URL that is told. Query strings, which may hold a token, stand in no line and no metric."""

    def __init__(
        self,
        url: str,
        secret: SecretBytes,
        say: Callable[[str], None],
        authority: Path | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._url: Final = _url(url)
        port = "" if self._url.port is None else f":{self._url.port}"
        super().__init__(f"{self._url.scheme}://{self._url.host}{port}{self._url.path}", say)
        self._secret: Final = secret
        self._clock: Final = clock
        verify = (
            httpx.create_ssl_context() if authority is None else httpx.create_ssl_context(verify=str(authority))
        )
        self._http: Final = httpx.AsyncClient(
            verify=verify, timeout=_TIMEOUT_S, follow_redirects=False, trust_env=False, cookies=_no_cookies()
        )

    async def deliver(self, record: AlarmRecord) -> None:
        """Post one alarm. What it answers is not read, but for the status."""
        body = alarm_body(record)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "poliqi",
            SIGNATURE_HEADER: signature(self._secret, int(self._clock()), body),
        }
        try:
            async with self._http.stream("POST", self._url, content=body, headers=headers) as response:
                status = response.status_code
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise OSError(f"{type(error).__name__}") from None
        if status in _TRY_AGAIN or status >= 500:
            raise OSError(f"it answers {status}")
        if not 200 <= status < 300:
            raise Refused(f"it answers {status}" + (", a redirect" if 300 <= status < 400 else ""))

    async def hang_up(self) -> None:
        """Close the connection and wipe the secret."""
        await self._http.aclose()
        self._secret.close()
