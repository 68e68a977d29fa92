"""TLS between sites: version 1.3, key exchange X25519MLKEM768, both ends with a certificate, nothing else.

The standard library's ssl cannot name the group, so this drives OpenSSL over memory BIOs from an asyncio
protocol. What is configured is asked again of every finished handshake, and a connection that is anything else is
dropped: there is no older version, no classical group, no resumption and no renegotiation to fall back to.

OpenSSL's binding offers no KeyUpdate, so a connection ends before AES-GCM's limit (RFC 8446, 5.5: 2^24.5 full
records) comes near; the next one has fresh keys.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final, Protocol, cast

from cryptography import x509
from OpenSSL import SSL, crypto
from OpenSSL._util import lib

from poliqi.base.errors import AuthenticationError, ConfigError, LinkDown, PoliqiError, ProtocolError
from poliqi.base.ids import KmeId
from poliqi.edge.credentials import Credentials, identity_of
from poliqi.edge.network import keep_alive
from poliqi.edge.sitetrust import Trust

__all__ = ["GROUP", "HANDSHAKE_S", "SecureConnection", "SecureSink", "tls_context"]

GROUP: Final = "X25519MLKEM768"
HANDSHAKE_S: Final = 10.0
_CIPHER: Final = "TLS_AES_256_GCM_SHA384"
_APPLICATION: Final = b"poliqi-kme/1"
_HANDSHAKE_BYTES: Final = 1 << 16
_RECORD_BYTES: Final = 1 << 14
_OUTPUT_BYTES: Final = 1 << 18
_CLOSE_S: Final = 5.0
_WORN_BYTES: Final = 1 << 38
_RECORD_COST_BYTES: Final = 32
_EXPIRED: Final = 10
_VERIFY_REASONS: Final = {
    9: "is not valid yet: compare the clocks of both sites",
    _EXPIRED: "expired",
    18: "is self-signed and not trusted here",
    19: "was not issued by an authority that is trusted here",
    20: "was not issued by an authority that is trusted here",
    21: "was not issued by an authority that is trusted here",
    22: "comes with a chain that is too long: a site's authority signs it directly",
    23: "was revoked",
    24: "comes from an authority that may not issue certificates",
    26: "is not for this purpose: the peer port takes certificates of KMEs only",
}


class SecureSink(Protocol):
    """What a connection tells its owner, in this order; `ended` comes once, always, last."""

    def secured(self, peer: KmeId, chain: Sequence[x509.Certificate]) -> None:
        """The handshake is over and the peer is this site."""
        ...

    def received(self, data: bytes) -> None:
        """Plain bytes, at most one record of them."""
        ...

    def writable(self) -> None:
        """There is room again for what is to be sent."""
        ...

    def ended(self, error: PoliqiError | None) -> None:
        """The connection is over: None where the peer closed it properly."""
        ...


def tls_context(own: Credentials, trust: Trust) -> SSL.Context:
    """What our end offers and accepts, as caller and as listener. Raises ConfigError where OpenSSL cannot do it."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.set_max_proto_version(SSL.TLS1_3_VERSION)
    context.set_tls13_ciphersuites(_CIPHER.encode())
    _set_group(context)
    context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_COMPRESSION)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.use_certificate(own.certificate)
    context.use_privatekey(own.key)
    store = context.get_cert_store()
    assert store is not None
    for authority in trust.authorities:
        store.add_cert(crypto.X509.from_cryptography(authority))
    store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN | crypto.X509StoreFlags.X509_STRICT)
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _verified)
    context.set_verify_depth(0)
    context.set_alpn_protos([_APPLICATION])
    context.set_alpn_select_callback(_select)
    return context


def _set_group(context: SSL.Context) -> None:
    """pyOpenSSL has no public way to name the groups: this one call goes to the binding beneath it."""
    choose = cast("Callable[[Any, bytes], int] | None", getattr(lib, "SSL_CTX_set1_curves_list", None))
    if choose is None or choose(cast("Any", context)._context, GROUP.encode()) != 1:
        raise ConfigError(f"this OpenSSL offers no {GROUP}: POLIQI needs cryptography >= 50 and pyOpenSSL >= 26.4")


def _select(connection: SSL.Connection, offered: list[bytes]) -> Any:  # noqa: ARG001  # pyOpenSSL's signature
    return _APPLICATION if _APPLICATION in offered else SSL.NO_OVERLAPPING_PROTOCOLS


def _verified(connection: SSL.Connection, certificate: crypto.X509, code: int, depth: int, good: int) -> bool:  # noqa: ARG001  # pyOpenSSL's signature
    """Keep the reason of a failure; OpenSSL's own verdict stands."""
    if not good:
        connection.set_app_data(_describe(certificate, code))
    return bool(good)


def _describe(certificate: crypto.X509, code: int) -> str:
    """One line on why a certificate failed; what it says of itself is a claim, and may be nonsense."""
    reason = _VERIFY_REASONS.get(code, f"does not verify (X.509 error {code})")
    try:
        read = certificate.to_cryptography()
        name, until = identity_of(read).name, read.not_valid_after_utc
    except (
        Exception
    ):  # whatever a parser says of a stranger's bytes: the verdict is known, only the name is missing
        return f"certificate of an unknown party {reason}"
    return f"certificate of {name} {reason}" + (f" on {until:%Y-%m-%d %H:%M} UTC" if code == _EXPIRED else "")


class SecureConnection(asyncio.Protocol):
    """One connection: bytes of the network on one side, plain bytes of a known site on the other."""

    def __init__(
        self, context: SSL.Context, trust: Trust, sink: SecureSink, *, calls: bool, expected: KmeId | None = None
    ) -> None:
        self._tls: Final = SSL.Connection(context, None)
        if calls:
            self._tls.set_connect_state()
        else:
            self._tls.set_accept_state()
        self._trust: Final = trust
        self._sink: Final = sink
        self._expected: Final = expected
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_secured = self._is_over = self._is_held = self._is_full = self._is_closing = False
        self._arrived_bytes = 0
        self._sealed_bytes = 0

    # --- called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._is_over:  # given up while the network was still connecting
            cast("asyncio.Transport", transport).abort()
            return
        self._transport = cast("asyncio.Transport", transport)
        raw = transport.get_extra_info("socket")
        if raw is not None:
            keep_alive(raw)
        self._arm(HANDSHAKE_S, self._is_late)
        self._advance()

    def data_received(self, data: bytes) -> None:
        if self._is_over:
            return
        self._arrived_bytes += len(data)
        if not self._is_secured and self._arrived_bytes > _HANDSHAKE_BYTES:
            self._end(ProtocolError(f"the peer sent over {_HANDSHAKE_BYTES} bytes and finished no handshake"))
            return
        self._tls.bio_write(data)
        self._advance()

    def eof_received(self) -> bool:
        self._end(LinkDown("the peer cut the connection"))
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._end(LinkDown(f"the connection broke: {exc}" if exc else "the connection was cut"))
        self._disarm()

    def pause_writing(self) -> None:
        self._is_full = True

    def resume_writing(self) -> None:
        self._is_full = False
        if not self._is_over:
            self._sink.writable()

    # --- called by the owner

    @property
    def has_room(self) -> bool:
        """True where what is written now goes straight to the network."""
        return self._is_secured and not (self._is_full or self._is_over or self._is_closing)

    @property
    def waiting_bytes(self) -> int:
        """Bytes written that the network has not yet taken."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def write(self, data: bytes) -> None:
        """Send plain bytes; after the end they go nowhere."""
        if self._is_over or self._is_closing:
            return
        try:
            self._tls.sendall(data)
        except SSL.Error as error:
            self._end(self._failure(error))
            return
        self._flush()
        self._sealed_bytes += len(data) + _RECORD_COST_BYTES
        if self._sealed_bytes > _WORN_BYTES:
            with suppress(SSL.Error):
                self._tls.shutdown()
            self._end(LinkDown(f"this connection has sealed {self._sealed_bytes} bytes: the next has fresh keys"))

    def hold(self) -> None:
        """Take nothing more from the network until `go_on`."""
        self._is_held = True
        if self._transport is not None and not self._is_over:
            self._transport.pause_reading()

    def go_on(self) -> None:
        """Take from the network again."""
        self._is_held = False
        if self._transport is not None and not self._is_over and not self._transport.is_closing():
            self._transport.resume_reading()
            self._advance()

    def close(self) -> None:
        """Send what was written, say goodbye, and end; a peer that takes nothing is cut off after 5 s."""
        if self._is_over or self._is_closing or self._transport is None:
            return
        self._is_closing = True
        with suppress(SSL.Error):
            self._tls.shutdown()
        self._flush()
        self._transport.close()
        self._arm(_CLOSE_S, self._transport.abort)

    def abort(self, error: PoliqiError | None = None) -> None:
        """End now."""
        if self._transport is not None:
            self._transport.abort()
        self._end(error or LinkDown("the connection was dropped at this end"))

    # --- inside

    def _advance(self) -> None:
        try:
            if not self._is_secured and not self._is_closing:
                self._tls.do_handshake()
                self._admit()
            while not (self._is_held or self._is_over):
                self._sink.received(self._tls.recv(_RECORD_BYTES))
        except SSL.WantReadError:
            self._flush()
        except SSL.ZeroReturnError:
            self._end(None)
        except SSL.Error as error:
            self._end(self._failure(error))
        except PoliqiError as error:
            self._end(error)

    def _admit(self) -> None:
        """Ask the finished handshake what it is. Raises AuthenticationError, ProtocolError."""
        tls = self._tls
        found = (tls.get_protocol_version_name(), tls.get_group_name(), tls.get_cipher_name())
        if found != ("TLSv1.3", GROUP, _CIPHER) or lib.SSL_session_reused(cast("Any", tls)._ssl):
            raise ProtocolError(f"the handshake gave {found}; only a fresh TLSv1.3, {GROUP}, {_CIPHER} is taken")
        if tls.get_alpn_proto_negotiated() != _APPLICATION:
            raise ProtocolError(
                f"the peer does not speak {_APPLICATION.decode()}: this is the port for other sites"
            )
        chain = tls.get_verified_chain(as_cryptography=True) or []
        peer = self._trust.site_of(chain, datetime.now(UTC))
        if self._expected not in (None, peer):
            raise AuthenticationError(f"{peer} answered where {self._expected} was called: compare the addresses")
        self._is_secured = True
        self._flush()
        self._disarm()
        self._sink.secured(peer, chain)

    def _flush(self) -> None:
        """Hand to the network what OpenSSL has to say: records, the handshake, alerts."""
        if self._transport is None:
            return
        with suppress(SSL.WantReadError):
            while True:
                self._transport.write(self._tls.bio_read(_OUTPUT_BYTES))

    def _failure(self, error: SSL.Error) -> PoliqiError:
        """OpenSSL's error in words."""
        reason = self._tls.get_app_data()
        if isinstance(reason, str):
            return AuthenticationError(reason)
        listed = cast("list[tuple[str, str, str]]", error.args[0] if error.args else [])
        words = ", ".join(why for _, _, why in listed) or "the peer gave no reason"
        return ProtocolError(f"TLS with the peer failed: {words[:200]}")

    def _is_late(self) -> None:
        self._end(LinkDown(f"the peer did not finish the handshake within {HANDSHAKE_S:g} s"))

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self, delay_s: float, action: Callable[[], None]) -> None:
        self._disarm()
        self._timer = asyncio.get_running_loop().call_later(delay_s, action)

    def _end(self, error: PoliqiError | None) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._flush()
        self._disarm()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.close()
            self._arm(_CLOSE_S, self._transport.abort)
        self._sink.ended(None if self._is_closing else error)
