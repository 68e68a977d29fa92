"""Get keys from a site's key management (ETSI GS QKD 014), from Python: `KeyClient`, or `AsyncKeyClient`.

Connections are kept open, TLS 1.3 with certificates on both sides. A question that uses up keys is sent once:
where its answer is lost the keys are lost with it, on purpose, since asking again could only give other ones.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NoReturn, Self

import httpx

from poliqi.base.errors import AuthenticationError, ConfigError, LinkDown, ProtocolError
from poliqi.edge.keyanswers import (
    ANSWER_BYTES,
    Key,
    KeysNotReady,
    KeyStatus,
    Question,
    ask_keys,
    ask_named,
    ask_status,
    read_keys,
    read_status,
)

__all__ = ["AsyncKeyClient", "Key", "KeyClient", "KeyStatus", "KeysNotReady", "client_context"]

_ATTEMPTS: Final = 3
_NOT_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_Headers = Mapping[str, str]


def client_context(cert: str | Path, key: str | Path, ca: str | Path) -> ssl.SSLContext:
    """TLS 1.3, the server verified by `ca` and by its name, the client by `cert` and `key`. Raises ConfigError."""
    # not create_default_context: it writes the session's secrets to the file that SSLKEYLOGFILE names
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_verify_locations(cafile=str(ca))
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"authority {ca}: {_reason(error)}; name a PEM file of certificates") from None
    try:
        # a key with a passphrase is refused: nobody is asked for it on a terminal
        context.load_cert_chain(str(cert), str(key), password="")
    except (OSError, ssl.SSLError, ValueError) as error:
        raise ConfigError(
            f"certificate {cert} with key {key}: {_reason(error)}; name two PEM files that belong together"
        ) from None
    return context


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or getattr(error, "reason", None) or type(error).__name__


class _Session:
    """What both clients share: where the site is, and what went wrong."""

    def __init__(self, url: str, cert: str | Path, key: str | Path, ca: str | Path, timeout_s: float) -> None:
        parsed = _url(url)
        self.url: Final = str(parsed).rstrip("/")
        self._settings: Final[dict[str, Any]] = {
            "base_url": parsed,
            "verify": client_context(cert, key, ca),
            "trust_env": False,
            "timeout": timeout_s,
            "follow_redirects": False,
        }
        self._certificate: Final = Path(cert)
        self._ends: Final = _end_of(self._certificate)

    def _may_retry(self, question: Question, error: httpx.TransportError, attempt: int) -> bool:
        """Again only where nothing was sent, or where asking uses up nothing; never a third time."""
        if attempt >= _ATTEMPTS or _is_refusal(error):
            return False
        return isinstance(error, _NOT_SENT) or not question.takes_keys

    def _failed(self, question: Question, error: httpx.TransportError) -> NoReturn:
        is_refusal = _is_refusal(error)
        has_ended = self._ends is not None and self._ends <= datetime.now(UTC)
        if has_ended and (is_refusal or not isinstance(error, _NOT_SENT)):  # a site hangs up on it and says no more
            raise AuthenticationError(
                f"{self.url} hung up: certificate {self._certificate} ended on {self._ends:%Y-%m-%d %H:%M} UTC: "
                "have the site issue another (`poliqi pki issue`), then `poliqi sae reload`"
            ) from error
        if is_refusal:
            raise AuthenticationError(
                f"{self.url}: certificates were not accepted ({error}); check authority, host name and expiry"
            ) from error
        if isinstance(error, _NOT_SENT):
            raise LinkDown(f"{self.url} cannot be reached: {str(error) or type(error).__name__}") from error
        lost = "; what it may have given is used up: ask for other keys" if question.takes_keys else ""
        raise LinkDown(
            f"{self.url} was lost before its answer came: {str(error) or type(error).__name__}{lost}"
        ) from error


def _end_of(certificate: Path) -> datetime | None:
    """When the certificate that was loaded ends: the file may be renewed while this one is in use."""
    from poliqi.edge.expiry import expiry

    try:
        return expiry(certificate, datetime.now(UTC)).until
    except ConfigError:  # what TLS made of it is good enough
        return None


def _url(text: str) -> httpx.URL:
    """Only https and an address; Raises ConfigError."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise ConfigError(f"URL {text[:80]!r}: {error}; write https://HOST:PORT") from None
    if url.scheme != "https" or not url.host or url.path not in ("", "/") or url.query or url.userinfo:
        raise ConfigError(f"URL {text[:80]!r}: write https://HOST:PORT and nothing behind it")
    return url


def _is_refusal(error: Exception) -> bool:
    """True where TLS failed: a certificate was not accepted, by us or by the site."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return not isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError | ssl.SSLSyscallError)
        cause = cause.__cause__ or cause.__context__
    return False


def _room(response: httpx.Response, so_far: int) -> None:
    if so_far > ANSWER_BYTES or int(response.headers.get("content-length", "0")) > ANSWER_BYTES:
        raise ProtocolError(f"the site's answer is longer than {ANSWER_BYTES} bytes")


class KeyClient(_Session):
    """One application's connection to its own site; close it, or use it in a `with`. For one thread at a time.

    `url` is `https://HOST:PORT`; `cert`, `key` and `ca` are PEM files: the application's certificate and private
    key, and the authority of the site. Errors are told at each method; ConfigError also where a file is no good.
    """

    def __init__(
        self, url: str, *, cert: str | Path, key: str | Path, ca: str | Path, timeout_s: float = 10.0
    ) -> None:
        super().__init__(url, cert, key, ca, timeout_s)
        self._http: Final = httpx.Client(**self._settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._http.close()

    def status(self, other: str) -> KeyStatus:
        """What is in stock towards `other`. Raises LinkDown, ConfigError, KeysNotReady, ProtocolError."""
        return read_status(*self._ask(ask_status(other)))

    def get_keys(
        self,
        slave: str,
        number: int = 1,
        size_bits: int | None = None,
        *,
        more_slaves: Sequence[str] = (),
        mandatory: Sequence[Mapping[str, Any]] = (),
        optional: Sequence[Mapping[str, Any]] = (),
    ) -> list[Key]:
        """`number` fresh keys to share with `slave` (and `more_slaves`), all or none; None: the site's usual size.

        Raises KeysNotReady (ask again later), ConfigError (not permitted, or out of the limits), LinkDown,
        ProtocolError. `mandatory` and `optional` are extensions of the standard.
        """
        question = ask_keys(slave, number, size_bits, more_slaves, mandatory, optional)
        return read_keys(question, *self._ask(question))

    def get_key(self, slave: str, size_bits: int | None = None) -> Key:
        """One fresh key to share with `slave`; as `get_keys`."""
        return self.get_keys(slave, 1, size_bits)[0]

    def get_named_keys(self, master: str, key_ids: Sequence[str]) -> list[Key]:
        """The keys that `master` has named to this application, in that order; each can be had once.

        Raises DataRefused where one of them is not there for this application (any more), and as `get_keys`.
        """
        question = ask_named(master, key_ids)
        return read_keys(question, *self._ask(question))

    def get_named_key(self, master: str, key_id: str) -> Key:
        """The key that `master` has named to this application; as `get_named_keys`."""
        return self.get_named_keys(master, [key_id])[0]

    def _ask(self, question: Question) -> tuple[int, _Headers, bytes]:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._once(question)
            except httpx.TransportError as error:
                if not self._may_retry(question, error, attempt):
                    self._failed(question, error)
        raise AssertionError("the last attempt answers or raises")

    def _once(self, question: Question) -> tuple[int, _Headers, bytes]:
        body = bytearray()
        with self._http.stream(
            question.method, question.path, content=question.body, headers=_headers(question)
        ) as r:
            for piece in r.iter_bytes():
                body += piece
                _room(r, len(body))
            return r.status_code, r.headers, bytes(body)


class AsyncKeyClient(_Session):
    """`KeyClient` for asyncio: the same methods, awaited; many at once share a few connections."""

    def __init__(
        self, url: str, *, cert: str | Path, key: str | Path, ca: str | Path, timeout_s: float = 10.0
    ) -> None:
        super().__init__(url, cert, key, ca, timeout_s)
        self._http: Final = httpx.AsyncClient(**self._settings)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Hang up."""
        await self._http.aclose()

    async def status(self, other: str) -> KeyStatus:
        """As `KeyClient.status`."""
        return read_status(*await self._ask(ask_status(other)))

    async def get_keys(
        self,
        slave: str,
        number: int = 1,
        size_bits: int | None = None,
        *,
        more_slaves: Sequence[str] = (),
        mandatory: Sequence[Mapping[str, Any]] = (),
        optional: Sequence[Mapping[str, Any]] = (),
    ) -> list[Key]:
        """As `KeyClient.get_keys`."""
        question = ask_keys(slave, number, size_bits, more_slaves, mandatory, optional)
        return read_keys(question, *await self._ask(question))

    async def get_key(self, slave: str, size_bits: int | None = None) -> Key:
        """As `KeyClient.get_key`."""
        return (await self.get_keys(slave, 1, size_bits))[0]

    async def get_named_keys(self, master: str, key_ids: Sequence[str]) -> list[Key]:
        """As `KeyClient.get_named_keys`."""
        question = ask_named(master, key_ids)
        return read_keys(question, *await self._ask(question))

    async def get_named_key(self, master: str, key_id: str) -> Key:
        """As `KeyClient.get_named_key`."""
        return (await self.get_named_keys(master, [key_id]))[0]

    async def _ask(self, question: Question) -> tuple[int, _Headers, bytes]:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return await self._once(question)
            except httpx.TransportError as error:
                if not self._may_retry(question, error, attempt):
                    self._failed(question, error)
        raise AssertionError("the last attempt answers or raises")

    async def _once(self, question: Question) -> tuple[int, _Headers, bytes]:
        body = bytearray()
        async with self._http.stream(
            question.method, question.path, content=question.body, headers=_headers(question)
        ) as r:
            async for piece in r.aiter_bytes():
                body += piece
                _room(r, len(body))
            return r.status_code, r.headers, bytes(body)


def _headers(question: Question) -> dict[str, str]:
    """No compression is asked for: an answer is small, and its length must tell nothing more."""
    kind = {} if question.body is None else {"content-type": "application/json"}
    return {"accept": "application/json", "accept-encoding": "identity", **kind}
