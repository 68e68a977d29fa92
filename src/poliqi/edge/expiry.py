"""What runs out soon: certificates, authorities and revocation lists, for logs, metrics and `poliqi pki status`."""

from __future__ import annotations

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

__all__ = ["URGENT_DAYS", "WARN_DAYS", "Expiring", "Urgency", "expiring", "expiry"]

WARN_DAYS: Final = 30
URGENT_DAYS: Final = 7
_CRL: Final = b"-----BEGIN X509 CRL-----"


class Urgency(StrEnum):
    """How soon somebody has to act: not now, within 30 days, within 7 days, or it is over."""

    OK = "ok"
    SOON = "soon"
    URGENT = "urgent"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class Expiring:
    """When something ends; `days_left` is negative once it has."""

    path: Path
    what: str
    until: datetime
    days_left: float

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
        return f"{self.what} ({self.path}) {verb}: renew it ({remedy})"


def expiry(path: Path, now: datetime) -> Expiring:
    """When the first certificate, or the revocation list, of a PEM file ends. Raises ConfigError."""
    data = read_bounded(path)
    try:
        if _CRL in data:
            revoked = x509.load_pem_x509_crl(data)
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
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += sorted(p for p in path.iterdir() if p.suffix in (AUTHORITY_SUFFIX, REVOKED_SUFFIX))
        else:
            files.append(path)
    found = [expiry(path, now) for path in files]
    return sorted((e for e in found if e.days_left < within_days), key=lambda e: e.until)


def _holder(certificate: x509.Certificate) -> str:
    try:
        identity = identity_of(certificate)
    except AuthenticationError:  # an authority, say: its common name has to do
        return _common_name(certificate.subject)
    return f"{identity.kind} {identity.name}"


def _common_name(name: x509.Name) -> str:
    values = [str(a.value) for a in name.get_attributes_for_oid(NameOID.COMMON_NAME)]
    return "".join(c for c in (values or ["no name"])[0][:80] if c.isprintable())
