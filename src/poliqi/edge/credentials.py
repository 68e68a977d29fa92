"""Certificates, keys and revocation lists as files hold them."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from poliqi.base.errors import AuthenticationError, ConfigError
from poliqi.edge.identity import Caller, identify

__all__ = [
    "Credentials",
    "check_id",
    "fingerprint",
    "identity_of",
    "read_bounded",
    "read_certificates",
    "read_credentials",
    "read_revoked",
]

_ID: Final = re.compile(r"[A-Za-z0-9._~-]{1,64}")
_LARGEST_BYTES: Final = 1 << 20

SigningKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def check_id(text: str, what: str) -> str:
    """`text` where it can name a site, KME or SAE: 1 to 64 unreserved characters (RFC 3986). Raises ConfigError."""
    if _ID.fullmatch(text) is None:
        raise ConfigError(f"{what} {text[:80]!r}: an id is 1 to 64 letters, digits and . _ ~ -")
    return text


def identity_of(certificate: x509.Certificate) -> Caller:
    """Whom a certificate names. Raises AuthenticationError where it names nobody, or contradicts itself."""
    found = identify(certificate.public_bytes(Encoding.DER))
    if found is None:
        raise AuthenticationError("the certificate names nobody: it needs one name urn:poliqi:kme:ID")
    return found


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the whole certificate in hexadecimal, for people to compare."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def read_bounded(path: Path) -> bytes:
    """A small file's bytes. Raises ConfigError where it cannot be read or is over 1 MiB."""
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    if len(data) > _LARGEST_BYTES:
        raise ConfigError(f"{path}: over {_LARGEST_BYTES} bytes; certificates, keys and lists are far smaller")
    return data


def read_certificates(path: Path) -> tuple[x509.Certificate, ...]:
    """The certificates of a PEM file, in order, at least one. Raises ConfigError."""
    try:
        return tuple(x509.load_pem_x509_certificates(read_bounded(path)))
    except ValueError as error:
        raise ConfigError(f"{path}: holds no certificate in PEM form") from error


def read_revoked(path: Path, authorities: Sequence[x509.Certificate]) -> x509.CertificateRevocationList:
    """A revocation list that one of `authorities` signed. Raises ConfigError."""
    try:
        revoked = x509.load_pem_x509_crl(read_bounded(path))
    except ValueError as error:
        raise ConfigError(f"{path}: holds no revocation list in PEM form") from error
    for authority in authorities:
        if revoked.issuer == authority.subject:
            try:
                if revoked.is_signature_valid(cast("ec.EllipticCurvePublicKey", authority.public_key())):
                    return revoked
            except TypeError:
                continue
    raise ConfigError(f"{path}: this revocation list was not signed by the site's authority")


@dataclass(frozen=True, slots=True)
class Credentials:
    """A certificate and its private key."""

    identity: Caller
    certificate: x509.Certificate
    key: SigningKey


def read_credentials(certificate: Path, key: Path) -> Credentials:
    """Our own certificate (the first of its file) and its key, which belong together. Raises ConfigError."""
    ours = read_certificates(certificate)[0]
    data = read_bounded(key)
    if key.stat().st_mode & 0o077 or key.stat().st_uid not in (os.geteuid(), 0):
        raise ConfigError(f"{key}: a private key that others can read; run: chmod 600 {key}")
    try:
        private = load_pem_private_key(data, None)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{key}: holds no private key in PEM form without a passphrase") from error
    if not isinstance(private, (ec.EllipticCurvePrivateKey, ed25519.Ed25519PrivateKey)):
        raise ConfigError(f"{key}: keys are ECDSA or Ed25519; make one with `poliqi pki issue`")
    if private.public_key() != ours.public_key():
        raise ConfigError(f"{key} is not the key of {certificate}: give the two files that were issued together")
    if datetime.now(UTC) > ours.not_valid_after_utc:
        raise ConfigError(
            f"{certificate}: expired on {ours.not_valid_after_utc:%Y-%m-%d}; issue a new one (poliqi pki issue)"
        )
    try:
        return Credentials(identity_of(ours), ours, private)
    except AuthenticationError as error:
        raise ConfigError(f"{certificate}: {error}") from error
