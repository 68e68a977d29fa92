"""TLS for servers whose callers all have certificates: version 1.3, no resumption, revocation by list.

The standard library's ssl speaks it. Where each caller has an authority of its own, that one speaks for this caller
and for no other: the handshake alone would believe any of them about anybody. A revoked certificate is refused by
the handshake, and an open connection made with one is closed when the new list is read.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from poliqi.base.errors import ConfigError
from poliqi.base.ids import KmeId
from poliqi.edge.credentials import fingerprint, read_certificates
from poliqi.edge.identity import Caller

__all__ = ["Revocations", "ServerCredentials", "TlsFiles", "Vouchers", "handshake_failure", "load_credentials"]

_PEM_CRL: Final = re.compile(rb"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: our certificate with its chain, its key, who may sign callers' certificates, what they revoked.

    `clients_ca` is one file for all callers, one for each site, which then are the only callers, or None where
    nobody is asked for a certificate. Without `crl` nobody is revoked; with it, every issuer of a caller needs a
    current list in it. `are_clients_known` False: callers without a certificate are let in, as nobody; one that is
    shown still has to be good.
    """

    certificate: Path
    key: Path
    clients_ca: Path | Mapping[KmeId, Path] | None
    crl: Path | None = None
    allow_tls12: bool = False
    are_clients_known: bool = True


@dataclass(frozen=True, slots=True)
class Revocations:
    """Serial numbers by issuer."""

    serials: Mapping[bytes, frozenset[int]] = field(default_factory=dict[bytes, frozenset[int]])

    def covers(self, caller: Caller) -> bool:
        """True where the caller's certificate was revoked."""
        return caller.serial in self.serials.get(caller.issuer, frozenset())


@dataclass(frozen=True, slots=True)
class Vouchers:
    """Who alone may sign the certificate of which site; `of` None: the handshake decides, one authority for all."""

    of: Mapping[KmeId, tuple[x509.Certificate, ...]] | None = None

    def objection(self, caller: Caller | None, der: bytes) -> str:
        """Why a certificate (DER) that says it is `caller`'s is not believed, or nothing.

        It has to be signed by that site's authority itself: names of issuers prove nothing, and an authority below
        it may not vouch.
        """
        if self.of is None:
            return ""
        authorities = None if caller is None or caller.kme is None else self.of.get(caller.kme)
        if caller is None or authorities is None:
            return f"certificate of {'nobody' if caller is None else caller.name}, who is not expected here"
        if any(_is_signed_by(der, authority) for authority in authorities):
            return ""
        return f"certificate that says {caller.name}, but the authority of {caller.name} did not sign it"


def _is_signed_by(der: bytes, authority: x509.Certificate) -> bool:
    try:
        x509.load_der_x509_certificate(der).verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


@dataclass(frozen=True, slots=True)
class ServerCredentials:
    """What new connections are met with."""

    context: ssl.SSLContext
    revocations: Revocations
    vouchers: Vouchers


def handshake_failure(error: Exception) -> str:
    """Why a handshake failed, in words for a log: "CRL has expired", say."""
    told: object = getattr(error, "verify_message", None) or getattr(error, "reason", None)
    return str(told or type(error).__name__)


def load_credentials(files: TlsFiles) -> ServerCredentials:
    """Read the files. Raises ConfigError naming the one that cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2 if files.allow_tls12 else ssl.TLSVersion.TLSv1_3
    context.verify_mode = _verify_mode(files)
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.num_tickets = 0
    try:
        context.load_cert_chain(files.certificate, files.key, password=_no_password)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"certificate {files.certificate} with key {files.key}: cannot be used: {_why(error)}"
        ) from error
    clients = files.clients_ca
    by_site: Mapping[KmeId, Path] = {} if clients is None or isinstance(clients, Path) else clients
    for path in (clients,) if isinstance(clients, Path) else by_site.values():
        try:
            context.load_verify_locations(path)
        except OSError as error:
            raise ConfigError(f"certificate authorities {path}: cannot be used: {_why(error)}") from error
    vouchers = Vouchers(_read_vouchers(by_site)) if isinstance(clients, Mapping) else Vouchers()
    if files.crl is None:
        return ServerCredentials(context, Revocations(), vouchers)
    revocations = _read_revocations(files.crl)
    try:
        context.load_verify_locations(files.crl)
    except OSError as error:
        raise ConfigError(f"revocation list {files.crl}: cannot be used: {_why(error)}") from error
    context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
    return ServerCredentials(context, revocations, vouchers)


def _verify_mode(files: TlsFiles) -> ssl.VerifyMode:
    if files.clients_ca is None:
        return ssl.CERT_NONE
    return ssl.CERT_REQUIRED if files.are_clients_known else ssl.CERT_OPTIONAL


def _read_vouchers(files: Mapping[KmeId, Path]) -> dict[KmeId, tuple[x509.Certificate, ...]]:
    found = {site: read_certificates(path) for site, path in files.items()}
    owners: dict[str, KmeId] = {}
    for site, authorities in found.items():
        for authority in authorities:
            other = owners.setdefault(fingerprint(authority), site)
            if other != site:
                raise ConfigError(f"{files[site]}: one authority for {other} and {site}: each needs its own")
    return found


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
