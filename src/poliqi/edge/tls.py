"""TLS for servers whose callers all have certificates: version 1.3, no resumption, revocation by list.

The standard library's ssl speaks it. A revoked certificate is refused by the handshake, and an open connection
made with one is closed when the new list is read.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography import x509

from poliqi.base.errors import ConfigError
from poliqi.edge.identity import Caller

__all__ = ["Credentials", "Revocations", "TlsFiles", "load_credentials"]

_PEM_CRL: Final = re.compile(rb"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: our certificate with its chain, its key, who may sign callers' certificates, what they revoked.

    Without `crl` nobody is revoked; with it, every issuer of a caller needs a current list in it.
    """

    certificate: Path
    key: Path
    clients_ca: Path
    crl: Path | None = None
    allow_tls12: bool = False


@dataclass(frozen=True, slots=True)
class Revocations:
    """Serial numbers by issuer."""

    serials: Mapping[bytes, frozenset[int]] = field(default_factory=dict[bytes, frozenset[int]])

    def covers(self, caller: Caller) -> bool:
        """True where the caller's certificate was revoked."""
        return caller.serial in self.serials.get(caller.issuer, frozenset())


@dataclass(frozen=True, slots=True)
class Credentials:
    """What new connections are met with."""

    context: ssl.SSLContext
    revocations: Revocations


def load_credentials(files: TlsFiles) -> Credentials:
    """Read the files. Raises ConfigError naming the one that cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2 if files.allow_tls12 else ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.num_tickets = 0
    try:
        context.load_cert_chain(files.certificate, files.key, password=_no_password)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"certificate {files.certificate} with key {files.key}: cannot be used: {_why(error)}"
        ) from error
    try:
        context.load_verify_locations(files.clients_ca)
    except OSError as error:
        raise ConfigError(f"certificate authorities {files.clients_ca}: cannot be used: {_why(error)}") from error
    if files.crl is None:
        return Credentials(context, Revocations())
    revocations = _read_revocations(files.crl)
    try:
        context.load_verify_locations(files.crl)
    except OSError as error:
        raise ConfigError(f"revocation list {files.crl}: cannot be used: {_why(error)}") from error
    context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
    return Credentials(context, revocations)


def _no_password() -> str:
    """Called where the key is encrypted: a service has nobody to ask, and must not wait at a terminal."""
    raise ValueError("the key is encrypted; give the service one that is not, readable by it alone")


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _read_revocations(path: Path) -> Revocations:
    try:
        lists = [x509.load_pem_x509_crl(pem) for pem in _PEM_CRL.findall(path.read_bytes())]
    except (OSError, ValueError) as error:
        raise ConfigError(f"revocation list {path}: cannot be used: {_why(error)}") from error
    if not lists:
        raise ConfigError(f"revocation list {path} holds no X509 CRL in PEM")
    serials: dict[bytes, frozenset[int]] = {}
    for each in lists:
        issuer = each.issuer.public_bytes()
        serials[issuer] = serials.get(issuer, frozenset()) | {entry.serial_number for entry in each}
    return Revocations(serials)
