"""Which site's authority may speak for whom.

Each site has an authority of its own, and that authority speaks for the KME of that site and for no other: the
folder of trust maps authorities to sites, one file a site, and a chain is believed only where the two agree. (X.509
name constraints on URIs are left alone: few libraries enforce them.) Wall-clock time is handed in by whoever asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from poliqi.base.errors import AuthenticationError, ConfigError
from poliqi.base.ids import KmeId
from poliqi.edge.credentials import check_id, fingerprint, identity_of, read_certificates, read_revoked
from poliqi.edge.durable import replace_file

__all__ = ["AUTHORITY_SUFFIX", "REVOKED_SUFFIX", "SiteTrust", "Trust", "add_trust", "read_trust"]

AUTHORITY_SUFFIX: Final = ".pem"
REVOKED_SUFFIX: Final = ".crl"


@dataclass(frozen=True, slots=True)
class SiteTrust:
    """The authorities of one site (two of them while one succeeds the other) and what they have revoked."""

    site: KmeId
    authorities: tuple[x509.Certificate, ...]
    revoked: x509.CertificateRevocationList | None = None


class Trust:
    """Which authority speaks for which site."""

    def __init__(self, sites: Iterable[SiteTrust]) -> None:
        self.sites: Final = {trusted.site: trusted for trusted in sites}
        self._by_authority: Final[dict[str, SiteTrust]] = {}
        for trusted in self.sites.values():
            for authority in trusted.authorities:
                other = self._by_authority.setdefault(fingerprint(authority), trusted)
                if other is not trusted:
                    raise ConfigError(
                        f"one authority is trusted for {other.site} and {trusted.site}: each site needs its own"
                    )

    @property
    def authorities(self) -> tuple[x509.Certificate, ...]:
        return tuple(a for trusted in self.sites.values() for a in trusted.authorities)

    def site_of(self, chain: Sequence[x509.Certificate], now: datetime) -> KmeId:
        """The site whose KME presented a chain: its own certificate, then the authority that signed it.

        Checks signature, validity, revocation, purpose, and that this authority speaks for this KME. Raises
        AuthenticationError with the reason.
        """
        trusted = self._by_authority.get(fingerprint(chain[1])) if len(chain) == 2 else None
        if trusted is None:
            raise AuthenticationError("the certificate was not issued by an authority that is trusted here")
        certificate, authority = chain
        found = identity_of(certificate)
        if found.kme != trusted.site:
            raise AuthenticationError(
                f"the authority of {trusted.site} vouched for {found.kind} {found.name}: "
                f"it speaks for kme {trusted.site} only"
            )
        _check_signature(certificate, authority, trusted.site)
        _check_purpose(certificate, trusted.site)
        _check_times(certificate, trusted.site, now)
        if trusted.revoked is not None:
            _check_revoked(certificate, trusted.revoked, trusted.site, now)
        return trusted.site


def _check_signature(certificate: x509.Certificate, authority: x509.Certificate, site: KmeId) -> None:
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError, TypeError) as error:
        raise AuthenticationError(f"the certificate of {site} does not carry its authority's signature") from error


def _check_purpose(certificate: x509.Certificate, site: KmeId) -> None:
    try:
        usages = set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except (x509.ExtensionNotFound, ValueError):
        usages = set[x509.ObjectIdentifier]()
    if not {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH} <= usages:
        raise AuthenticationError(f"the certificate of {site} is not for a KME: it needs serverAuth and clientAuth")


def _check_times(certificate: x509.Certificate, site: KmeId, now: datetime) -> None:
    if now < certificate.not_valid_before_utc:
        raise AuthenticationError(
            f"certificate of {site} is not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC: "
            "compare the clocks of both sites"
        )
    if now > certificate.not_valid_after_utc:
        raise AuthenticationError(
            f"certificate of {site} expired on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC: "
            "issue a new one there (poliqi pki issue)"
        )


def _check_revoked(
    certificate: x509.Certificate, revoked: x509.CertificateRevocationList, site: KmeId, now: datetime
) -> None:
    until = revoked.next_update_utc
    if until is None or now > until:
        raise AuthenticationError(
            f"the revocation list of {site} ended on {until:%Y-%m-%d}: bring a fresh one (poliqi pki crl)"
            if until is not None
            else f"the revocation list of {site} has no end: have it made again (poliqi pki crl)"
        )
    entry = revoked.get_revoked_certificate_by_serial_number(certificate.serial_number)
    if entry is not None:
        raise AuthenticationError(f"certificate of {site} was revoked on {entry.revocation_date_utc:%Y-%m-%d}")


def read_trust(folder: Path) -> Trust:
    """A folder of trust: SITE.pem with a site's authorities, SITE.crl with what they revoked.

    Raises ConfigError.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no folder of trusted sites; make it with `poliqi pki trust`")
    sites: list[SiteTrust] = []
    for path in sorted(folder.glob("*" + AUTHORITY_SUFFIX)):
        site = KmeId(check_id(path.name.removesuffix(AUTHORITY_SUFFIX), f"{path}: site"))
        authorities = read_certificates(path)
        for authority in authorities:
            if not _is_authority(authority):
                raise ConfigError(f"{path}: holds a certificate that is not of an authority (CA:TRUE)")
        listed = folder / (site + REVOKED_SUFFIX)
        sites.append(SiteTrust(site, authorities, read_revoked(listed, authorities) if listed.exists() else None))
    return Trust(sites)


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False


def add_trust(
    folder: Path, site: str, *, authority: Path | None, revoked: Path | None, also: bool = False, own: str = ""
) -> SiteTrust:
    """Trust another site's authority, or take its newer revocation list; the folder is one of trust.

    `also` adds an authority beside those that stand. Raises ConfigError.
    """
    check_id(site, "--site")
    if site == own:
        raise ConfigError(f"--site {site}: is this site itself; only other sites are trusted here")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    target, listed = folder / (site + AUTHORITY_SUFFIX), folder / (site + REVOKED_SUFFIX)
    standing = read_certificates(target) if target.exists() else ()
    brought = read_certificates(authority) if authority is not None else ()
    if standing and brought and not also and {fingerprint(c) for c in brought} - {fingerprint(c) for c in standing}:
        raise ConfigError(
            f"{target}: another authority of {site} stands there; add to it with --also, or remove it"
        )
    known = {fingerprint(c) for c in standing}
    together = (*standing, *(c for c in brought if fingerprint(c) not in known))
    if not together:
        raise ConfigError(f"site {site} has no authority here yet: give its ca.pem")
    new = read_revoked(revoked, together) if revoked is not None else None
    if new is not None and listed.exists() and _number(read_revoked(listed, together)) > _number(new):
        raise ConfigError(f"{revoked}: is older than the revocation list of {site} that stands here")
    others = [t for t in read_trust(folder).sites.values() if t.site != site]
    trusted = SiteTrust(KmeId(site), together, new)
    Trust([*others, trusted])
    if brought:
        replace_file(target, b"".join(c.public_bytes(Encoding.PEM) for c in together))
    if new is not None:
        replace_file(listed, new.public_bytes(Encoding.PEM))
    return trusted


def _number(revoked: x509.CertificateRevocationList) -> int:
    try:
        return revoked.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound:
        return 0
