"""Certificates for tests over real TLS: an authority that signs for sites and applications, and revokes."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["Authority", "Pair", "client_context"]

_DAY = datetime.timedelta(days=1)
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER = ExtendedKeyUsageOID.SERVER_AUTH


@cache
def _key(number: int) -> ec.EllipticCurvePrivateKey:
    """A few keys a process, made once: tests need many certificates and no secrecy."""
    return ec.generate_private_key(ec.SECP256R1())


def _name(*common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each) for each in common])


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as files."""

    certificate: Path
    key: Path
    parsed: x509.Certificate


@dataclass
class Authority:
    """A certificate authority in a folder."""

    folder: Path
    name: str = "test authority"
    revoked: list[int] = field(default_factory=list)
    made: int = 0
    below: int | None = 0
    """How many authorities may stand below this one; None: any number."""

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.UTC)
        usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        self.certificate = (
            x509.CertificateBuilder(_name(self.name), _name(self.name), self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _DAY)
            .not_valid_after(now + 100 * _DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=self.below), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self.path = self.folder / "authority.pem"
        self.path.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def issue(
        self,
        *common: str,
        uris: tuple[str, ...] = (),
        hosts: tuple[str, ...] = (),
        usages: tuple[x509.ObjectIdentifier, ...] = (CLIENT,),
        lives: datetime.timedelta = 10 * _DAY,
    ) -> Pair:
        """A certificate with these common names; `lives` below zero: it has ended."""
        self.made += 1
        key = _key(self.made % 4)
        now = datetime.datetime.now(datetime.UTC)
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri) for uri in uris]
        for host in hosts:
            is_number = host[0].isdigit() or ":" in host
            names.append(x509.IPAddress(ipaddress.ip_address(host)) if is_number else x509.DNSName(host))
        authority_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = (
            x509.CertificateBuilder(self.certificate.subject, _name(*common), key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 20 * _DAY)
            .not_valid_after(now + lives)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(authority_id, critical=False)
        )
        if usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        parsed = builder.sign(self._key, hashes.SHA256())
        return self._write(parsed, key)

    def _write(self, parsed: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
        certificate, secret = self.folder / f"{self.made}.pem", self.folder / f"{self.made}.key"
        certificate.write_bytes(parsed.public_bytes(serialization.Encoding.PEM))
        secret.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        secret.chmod(0o600)
        return Pair(certificate, secret, parsed)

    def sae(self, name: str) -> Pair:
        """An application's certificate."""
        return self.issue(name, uris=(f"urn:poliqi:sae:{name}",))

    def kme(self, name: str) -> Pair:
        """A site's certificate, for loopback addresses."""
        return self.issue(
            name, uris=(f"urn:poliqi:kme:{name}",), hosts=("127.0.0.1", "localhost"), usages=(SERVER, CLIENT)
        )

    def endorse(self, other: Authority) -> bytes:
        """A certificate (PEM) that makes another authority one below this."""
        builder = (
            x509.CertificateBuilder(
                self.certificate.subject, other.certificate.subject, other.certificate.public_key()
            )
            .serial_number(x509.random_serial_number())
            .not_valid_before(other.certificate.not_valid_before_utc)
            .not_valid_after(other.certificate.not_valid_after_utc)
        )
        for extension in other.certificate.extensions:
            if not isinstance(extension.value, x509.AuthorityKeyIdentifier):
                builder = builder.add_extension(extension.value, extension.critical)
        signed = builder.sign(self._key, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.PEM)

    def revoke(self, *pairs: Pair, lives: datetime.timedelta = _DAY) -> Path:
        """A current list of everything revoked so far, in a file."""
        self.revoked += [pair.parsed.serial_number for pair in pairs]
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateRevocationListBuilder(self.certificate.subject, now - 2 * _DAY, now + lives)
        for serial in self.revoked:
            entry = x509.RevokedCertificateBuilder(serial, now - _DAY).build()
            builder = builder.add_revoked_certificate(entry)
        path = self.folder / "revoked.pem"
        signed = builder.sign(self._key, hashes.SHA256())
        path.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        return path


def client_context(authority: Authority, pair: Pair | None) -> ssl.SSLContext:
    """How a client that trusts the authority connects, with or without a certificate of its own."""
    context = ssl.create_default_context(cafile=authority.path)
    if pair is not None:
        context.load_cert_chain(pair.certificate, pair.key)
    return context
