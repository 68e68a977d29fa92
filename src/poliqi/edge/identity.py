"""Who a connection speaks for, from the certificate that the handshake verified and nothing else.

The rule, in this order:

1. A subject alternative name of type URI that starts with `urn:poliqi:` decides. There is exactly one, it is
   `urn:poliqi:sae:ID` or `urn:poliqi:kme:ID`, and ID is percent-encoded UTF-8 (RFC 8141, section 2.2).
2. Else the subject's common name is the id of an application (SAE); the subject has exactly one.
3. Else nobody: every request is refused.

Ids have 1 to 64 printable characters and are compared exactly. A site's certificate never acts as an application.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from poliqi.base.ids import KmeId, SaeId
from poliqi.keys.etsi014 import is_sae_id, unquoted

__all__ = ["Caller", "CallerKind", "identify"]

_URN: Final = "urn:poliqi:"


class CallerKind(StrEnum):
    """What a certificate speaks for."""

    SAE = "sae"
    KME = "kme"


@dataclass(frozen=True, slots=True)
class Caller:
    """The holder of a verified certificate; `fingerprint` is its SHA-256 in hexadecimal."""

    kind: CallerKind
    name: str
    not_after_unix_s: float
    serial: int
    issuer: bytes
    fingerprint: str

    @property
    def sae(self) -> SaeId | None:
        """The application's id; None for a site."""
        return SaeId(self.name) if self.kind is CallerKind.SAE else None

    @property
    def kme(self) -> KmeId | None:
        """The site's id; None for an application."""
        return KmeId(self.name) if self.kind is CallerKind.KME else None


def identify(der: bytes) -> Caller | None:
    """Whom a certificate (DER) speaks for; None where it says nothing or contradicts itself."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        found = _from_urn(certificate) or _from_common_name(certificate)
        fingerprint = certificate.fingerprint(hashes.SHA256()).hex()
        issuer = certificate.issuer.public_bytes()
    except (ValueError, x509.DuplicateExtension):
        return None
    if found is None or not is_sae_id(found[1]):
        return None
    not_after = certificate.not_valid_after_utc.timestamp()
    return Caller(found[0], found[1], not_after, certificate.serial_number, issuer, fingerprint)


def _from_urn(certificate: x509.Certificate) -> tuple[CallerKind, str] | None:
    """What a `urn:poliqi:` name says; None where there is none. Raises ValueError on any but one good one."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
    urns = [u for u in names.get_values_for_type(x509.UniformResourceIdentifier) if u.lower().startswith(_URN)]
    if not urns:
        return None
    kind, colon, encoded = urns[0][len(_URN) :].partition(":")
    name = unquoted(encoded.encode())
    if len(urns) != 1 or not colon or name is None:
        raise ValueError("the certificate's urn:poliqi names are not one good one")
    return CallerKind(kind), name


def _from_common_name(certificate: x509.Certificate) -> tuple[CallerKind, str] | None:
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if len(names) != 1 or not isinstance(names[0].value, str):
        return None
    return CallerKind.SAE, names[0].value
