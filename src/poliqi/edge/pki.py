"""A site's own authority: the folder with its key, what it issued, what it revoked, whom the site trusts.

```
DIR/ca.pem  ca.key          the authority: certificate, private key (0600, under a passphrase if one was given)
DIR/crl.pem                 what it revoked, signed
DIR/index.json              every certificate it ever issued
DIR/issued/NAME-NN.*        .key (0600), .pem (certificate), -chain.pem (certificate, then authority)
DIR/trust/SITE.pem  .crl    the authorities of other sites, and what those revoked
```
Nothing is overwritten but `index.json`, `crl.pem` and what is trusted, each at once
or not at all. Times are UTC and handed in.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from poliqi.base.errors import ConfigError
from poliqi.base.ids import KmeId
from poliqi.edge.certprofile import (
    SKEW,
    Holder,
    authority_certificate,
    common_name,
    holder_certificate,
    new_key,
    private_pem,
    revocation_list,
)
from poliqi.edge.credentials import check_id, read_bounded, read_certificates
from poliqi.edge.durable import replace_file, write_new
from poliqi.edge.identity import CallerKind

__all__ = ["AUTHORITY_DAYS", "CRL_DAYS", "LEAF_DAYS", "Authority", "Entry", "Issued"]

AUTHORITY_DAYS: Final = 3650
LEAF_DAYS: Final = 90
CRL_DAYS: Final = 90
_LONGEST_DAYS: Final = 825
_FORMAT: Final = "poliqi-pki-1"


class Entry(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One certificate that was issued."""

    serial: str
    party: str
    id: str
    name: str
    hosts: list[str]
    not_before: datetime
    not_after: datetime
    revoked: datetime | None = None

    @property
    def path(self) -> str:
        """Its certificate, inside the folder."""
        return f"issued/{self.name}.pem"


class _Index(msgspec.Struct, forbid_unknown_fields=True):
    format: str
    site: str
    crl_number: int
    certificates: list[Entry]


@dataclass(frozen=True, slots=True)
class Issued:
    """Files of a new certificate."""

    entry: Entry
    key: Path
    certificate: Path
    chain: Path


class Authority:
    """The authority of one site, in its folder, used by one process at a time."""

    def __init__(self, folder: Path, passphrase: bytes | None = None) -> None:
        self.folder: Final = folder
        self._passphrase: Final = passphrase
        try:
            self._index = msgspec.json.decode(read_bounded(folder / "index.json"), type=_Index)
        except msgspec.DecodeError as error:
            raise ConfigError(f"{folder / 'index.json'}: {error}") from error
        if self._index.format != _FORMAT:
            raise ConfigError(
                f"{folder / 'index.json'}: format {self._index.format!r}, this version knows {_FORMAT}"
            )
        self.site: Final = KmeId(check_id(self._index.site, "site"))
        self.certificate: Final = read_certificates(folder / "ca.pem")[0]

    @classmethod
    def create(
        cls, folder: Path, site: str, now: datetime, *, days: int = AUTHORITY_DAYS, passphrase: bytes | None = None
    ) -> Authority:
        """A new authority in a folder that holds none. Raises ConfigError."""
        check_id(site, "--site")
        if (folder / "index.json").exists() or (folder / "ca.key").exists():
            raise ConfigError(
                f"{folder} holds an authority already and it is never overwritten: name another folder"
            )
        for made in (folder, folder / "issued", folder / "trust"):
            made.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_days(days, 2 * AUTHORITY_DAYS)
        key = new_key()
        subject = common_name(f"POLIQI authority of {site}"[:64])
        certificate = authority_certificate(key, subject, now, days)
        write_new(folder / "ca.key", private_pem(key, passphrase), 0o600)
        write_new(folder / "ca.pem", certificate.public_bytes(Encoding.PEM), 0o644)
        replace_file(folder / "index.json", msgspec.json.encode(_Index(_FORMAT, site, 0, [])))
        made = cls(folder, passphrase)
        made.refresh_crl(now)
        return made

    @property
    def entries(self) -> tuple[Entry, ...]:
        return tuple(self._index.certificates)

    def issue(
        self, party: CallerKind, holder: str, now: datetime, *, hosts: Sequence[str] = (), days: int = LEAF_DAYS
    ) -> Issued:
        """A new key and certificate. Raises ConfigError for what this authority must not or cannot vouch for."""
        check_id(holder, f"--{party}")
        if party is CallerKind.KME and holder != self.site:
            raise ConfigError(f"--kme {holder}: this authority speaks for site {self.site} and its KME only")
        if party is CallerKind.KME and not hosts:
            raise ConfigError("--host: a KME's certificate names every host name and address it is reached at")
        _check_days(days, _LONGEST_DAYS)
        until = now + timedelta(days=days)
        if until > self.certificate.not_valid_after_utc:
            raise ConfigError(
                f"--days {days}: the authority itself ends on {self.certificate.not_valid_after_utc:%Y-%m-%d}"
            )
        signer = self._signer()
        key, named = new_key(), Holder(party, holder, tuple(hosts))
        certificate = holder_certificate(signer, self.certificate, key.public_key(), named, now - SKEW, until)
        with self._changing() as index:
            earlier = sum(1 for e in index.certificates if (e.party, e.id) == (party.value, holder))
            entry = Entry(
                serial=f"{certificate.serial_number:x}",
                party=party.value,
                id=holder,
                name=f"{party}-{holder}-{earlier + 1:02d}",
                hosts=list(hosts),
                not_before=certificate.not_valid_before_utc,
                not_after=certificate.not_valid_after_utc,
            )
            index.certificates.append(entry)
        files = [self.folder / "issued" / (entry.name + end) for end in (".key", ".pem", "-chain.pem")]
        pem = certificate.public_bytes(Encoding.PEM)
        write_new(files[0], private_pem(key, None), 0o600)
        write_new(files[1], pem, 0o644)
        write_new(files[2], pem + self.certificate.public_bytes(Encoding.PEM), 0o644)
        return Issued(entry, *files)

    def revoke(self, which: str, now: datetime) -> Entry:
        """Take back a certificate, named by its serial in hexadecimal or its file. Raises ConfigError."""
        serial = which.lower().removeprefix("0x").replace(":", "").lstrip("0")
        if Path(which).is_file():
            serial = f"{read_certificates(Path(which))[0].serial_number:x}"
        self._signer()
        with self._changing() as index:
            for at, entry in enumerate(index.certificates):
                if entry.serial == serial:
                    if entry.revoked is not None:
                        raise ConfigError(
                            f"{which}: was revoked on {entry.revoked:%Y-%m-%d} already; if crl.pem does not name "
                            "it yet, sign the list again: poliqi pki crl"
                        )
                    taken = index.certificates[at] = msgspec.structs.replace(entry, revoked=now)
                    break
            else:
                raise ConfigError(f"{which}: no certificate of this authority; `poliqi pki status` lists them")
        self.refresh_crl(now)
        return taken

    def refresh_crl(self, now: datetime, *, days: int = CRL_DAYS) -> Path:
        """Sign the list of what was revoked again, good for `days` from now."""
        _check_days(days, _LONGEST_DAYS)
        signer = self._signer()
        path = self.folder / "crl.pem"
        with self._changing() as index:
            index.crl_number += 1
            revoked = [(int(e.serial, 16), e.revoked) for e in index.certificates if e.revoked is not None]
            signed = revocation_list(
                signer, self.certificate, index.crl_number, revoked, now - SKEW, now + timedelta(days=days)
            )
            replace_file(path, signed.public_bytes(Encoding.PEM))
        return path

    def _signer(self) -> ec.EllipticCurvePrivateKey:
        path = self.folder / "ca.key"
        data = read_bounded(path)
        if path.stat().st_mode & 0o077:
            raise ConfigError(f"{path}: the authority's key can be read by others; run: chmod 600 {path}")
        try:
            key = load_pem_private_key(data, self._passphrase)
        except TypeError as error:
            wanted = "is under a passphrase: give --passphrase-file" if self._passphrase is None else "has none"
            raise ConfigError(f"{path}: {wanted}") from error
        except ValueError as error:
            raise ConfigError(f"{path}: cannot be opened: wrong passphrase, or no key") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != self.certificate.public_key():
            raise ConfigError(f"{path} is not the key of {self.folder / 'ca.pem'}")
        return key

    @contextmanager
    def _changing(self) -> Generator[_Index]:
        """The index as it stands on disk, alone, written back at once."""
        path = self.folder / "index.json"
        held = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX)
            self._index = msgspec.json.decode(read_bounded(path), type=_Index)
            yield self._index
            replace_file(path, msgspec.json.format(msgspec.json.encode(self._index)))
        finally:
            os.close(held)


def _check_days(days: int, longest: int) -> None:
    if not 1 <= days <= longest:
        raise ConfigError(f"--days {days}: 1 to {longest}")
