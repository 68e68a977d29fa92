"""What stands in the certificates and lists that a site's authority signs (RFC 5280).

Keys are ECDSA on P-384 with SHA-384: every TLS client in use verifies it (Ed25519 is refused by several), and its
strength is that of ML-KEM-768's category.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from poliqi.base.errors import ConfigError
from poliqi.edge.identity import CallerKind

__all__ = [
    "SKEW",
    "Holder",
    "authority_certificate",
    "common_name",
    "holder_certificate",
    "new_key",
    "private_pem",
    "revocation_list",
]

SKEW: Final = timedelta(minutes=5)
"""What is signed is good from this long ago: clocks differ."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Whom a certificate names."""

    party: CallerKind
    id: str
    hosts: tuple[str, ...] = ()


def new_key() -> ec.EllipticCurvePrivateKey:
    """A fresh private key."""
    return ec.generate_private_key(ec.SECP384R1())


def authority_certificate(
    key: ec.EllipticCurvePrivateKey, subject: x509.Name, now: datetime, days: int
) -> x509.Certificate:
    """The authority's own certificate: it signs holders' certificates and lists, and no other authority."""
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_issuer_id(key), critical=False)
        .sign(key, hashes.SHA384())
    )


def holder_certificate(
    signer: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate,
    key: ec.EllipticCurvePublicKey,
    holder: Holder,
    start: datetime,
    until: datetime,
) -> x509.Certificate:
    """The certificate of a KME (server and client, named by its hosts as well) or of an application (client)."""
    purposes = [ExtendedKeyUsageOID.CLIENT_AUTH]
    if holder.party is CallerKind.KME:
        purposes.insert(0, ExtendedKeyUsageOID.SERVER_AUTH)
    uri = x509.UniformResourceIdentifier(f"urn:poliqi:{holder.party}:{holder.id}")
    return (
        x509.CertificateBuilder()
        .subject_name(common_name(holder.id))
        .issuer_name(authority.subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(x509.SubjectAlternativeName([uri, *(_host(h) for h in holder.hosts)]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(_issuer_id(signer), critical=False)
        .sign(signer, hashes.SHA384())
    )


def revocation_list(
    signer: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate,
    number: int,
    revoked: Iterable[tuple[int, datetime]],
    start: datetime,
    until: datetime,
) -> x509.CertificateRevocationList:
    """A signed list of serial numbers and when each was taken back."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.subject)
        .last_update(start)
        .next_update(until)
        .add_extension(_issuer_id(signer), critical=False)
        .add_extension(x509.CRLNumber(number), critical=False)
    )
    for serial, when in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(when).build()
        builder = builder.add_revoked_certificate(entry)
    return builder.sign(signer, hashes.SHA384())


def common_name(text: str) -> x509.Name:
    """A subject of nothing but a common name."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _issuer_id(key: ec.EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    """The extension that says which key signed."""
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _host(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        pass
    labels = text.split(".")
    fit = all(0 < len(label) < 64 and label.replace("-", "a").isalnum() and label.isascii() for label in labels)
    if not fit or len(text) > 253:
        raise ConfigError(f"--host {text[:80]!r}: is neither a host name nor an IP address")
    return x509.DNSName(text)


def private_pem(key: ec.EllipticCurvePrivateKey, passphrase: bytes | None) -> bytes:
    """A private key as a PEM file holds it."""
    sealing = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, sealing)
