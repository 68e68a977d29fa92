"""What runs out soon: certificates, authorities and revocation lists, for logs, metrics and `poliqi pki status`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from poliqi.base.errors import AuthenticationError, ConfigError
from poliqi.edge.credentials import identity_of, read_bounded
from poliqi.edge.sitetrust import AUTHORITY_SUFFIX, REVOKED_SUFFIX

__all__ = ["URGENT_DAYS", "WARN_DAYS", "Expiring", "Urgency", "expiries", "expiring", "expiry"]

WARN_DAYS: Final = 30
URGENT_DAYS: Final = 7
_CRL: Final = re.compile(rb"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", re.DOTALL)


class Urgency(StrEnum):
    """How soon somebody has to act: not now, within 30 days, within 7 days, or it is over."""

    OK = "ok"
    SOON = "soon"
    URGENT = "urgent"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class Expiring:
    """When something ends; `days_left` is negative once it has. `is_foreign`: somebody else has to renew it."""

    path: Path
    what: str
    until: datetime
    days_left: float
    is_foreign: bool = False

    @property
    def urgency(self) -> Urgency:
        if self.days_left < 0:
            return Urgency.OVER
        if self.days_left < URGENT_DAYS:
            return Urgency.URGENT
        return Urgency.SOON if self.days_left < WARN_DAYS else Urgency.OK

    @property
    def line(self) -> str:
        """For a log: what, when, and what to do."""
        when = f"{self.until:%Y-%m-%d %H:%M} UTC"
        verb = f"expired on {when}" if self.days_left < 0 else f"expires on {when}, in {self.days_left:.0f} days"
        remedy = "poliqi pki crl" if self.what.startswith("revocation") else "poliqi pki issue"
        act = "have its owner renew it and bring it here" if self.is_foreign else f"renew it ({remedy})"
        return f"{self.what} ({self.path}) {verb}: {act}"


def expiry(path: Path, now: datetime) -> Expiring:
    """When the first certificate, or the first revocation list to end, of a PEM file ends. Raises ConfigError."""
    data = read_bounded(path)
    try:
        lists = [x509.load_pem_x509_crl(pem) for pem in _CRL.findall(data)]
        if lists:
            never = datetime.min.replace(tzinfo=now.tzinfo)
            revoked = min(lists, key=lambda each: each.next_update_utc or never)
            what, until = f"revocation list of {_common_name(revoked.issuer)}", revoked.next_update_utc
        else:
            first = x509.load_pem_x509_certificates(data)[0]
            what, until = f"certificate of {_holder(first)}", first.not_valid_after_utc
    except ValueError as error:
        raise ConfigError(f"{path}: holds no certificate and no revocation list in PEM form") from error
    if until is None:
        raise ConfigError(f"{path}: this revocation list has no end; have it made again with `poliqi pki crl`")
    return Expiring(path, what, until, (until - now).total_seconds() / 86400)


def expiring(paths: Iterable[Path], now: datetime, within_days: float = WARN_DAYS) -> list[Expiring]:
    """What of these files ends within so many days, or has ended, the soonest first.

    A folder stands for the *.pem and *.crl in it. Raises ConfigError for a file that cannot be read.
    """
    found, wrong = expiries(paths, now)
    if wrong:
        raise wrong[0]
    return [e for e in found if e.days_left < within_days]


def expiries(paths: Iterable[Path], now: datetime) -> tuple[list[Expiring], list[ConfigError]]:
    """When each of these files ends, the soonest first, and what is wrong with those that cannot be read.

    A folder stands for the *.pem and *.crl in it.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += sorted(p for p in path.iterdir() if p.suffix in (AUTHORITY_SUFFIX, REVOKED_SUFFIX))
        else:
            files.append(path)
    found: list[Expiring] = []
    wrong: list[ConfigError] = []
    for path in files:
        try:
            found.append(expiry(path, now))
        except ConfigError as error:
            wrong.append(error)
    return sorted(found, key=lambda e: e.until), wrong


def _holder(certificate: x509.Certificate) -> str:
    """Whom a certificate speaks for. An authority speaks for nobody, and its common name is no application's id."""
    try:
        identity = None if _is_authority(certificate) else identity_of(certificate)
    except AuthenticationError:
        identity = None
    return _common_name(certificate.subject) if identity is None else f"{identity.kind} {identity.name}"


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        return False


def _common_name(name: x509.Name) -> str:
    values = [str(a.value) for a in name.get_attributes_for_oid(NameOID.COMMON_NAME)]
    return "".join(c for c in (values or ["no name"])[0][:80] if c.isprintable())
