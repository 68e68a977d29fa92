"""`poliqi pki`: a site's own authority: certificates for its KME and its applications, trust in other sites."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from poliqi.base.errors import ConfigError

if TYPE_CHECKING:
    from poliqi.edge.pki import Authority, Entry

__all__ = ["command"]

FOLDER: Final = click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
JSON: Final = click.option("--json", "as_json", is_flag=True, help="print JSON")
FILE: Final = click.Path(path_type=Path, exists=True, dir_okay=False)
PASSPHRASE: Final = click.option(
    "--passphrase-file", type=FILE, metavar="FILE", help="its first line is the passphrase of the authority's key"
)
_COLOURS: Final = {"ok": "green", "soon": "yellow", "urgent": "red", "over": "red"}
_EXIT: Final = {"ok": 0, "soon": 3, "urgent": 4, "over": 4}


@click.group()
def command() -> None:
    """Certificates of a site: make its authority, issue, revoke, trust other sites, see what runs out."""


def _now() -> datetime:
    return datetime.now(UTC)


def _passphrase(path: Path | None) -> bytes | None:
    if path is None:
        return None
    from poliqi.edge.credentials import read_bounded

    line = read_bounded(path).split(b"\n", 1)[0].rstrip(b"\r")
    if len(line) < 8:
        raise ConfigError(f"{path}: a passphrase of {len(line)} bytes; give at least 8 in the first line")
    return line


def _open(folder: Path, passphrase: Path | None = None) -> Authority:
    from poliqi.edge.pki import Authority

    return Authority(folder, _passphrase(passphrase))


def _say(as_json: bool, record: dict[str, Any], *lines: str) -> None:
    click.echo(json.dumps(record) if as_json else "\n".join(lines))


@command.command()
@FOLDER
@click.option("--site", required=True, metavar="NAME", help="name of the site, which is the id of its KME")
@click.option("--days", default=3650, show_default=True, help="days that the authority lasts")
@PASSPHRASE
@JSON
def init(folder: Path, site: str, days: int, passphrase_file: Path | None, as_json: bool) -> None:
    """Make the authority of a site in DIR. Never over another."""
    from poliqi.edge.credentials import fingerprint
    from poliqi.edge.pki import Authority

    made = Authority.create(folder, site, _now(), days=days, passphrase=_passphrase(passphrase_file))
    mark = fingerprint(made.certificate)
    _say(
        as_json,
        {"site": site, "authority": str(folder / "ca.pem"), "fingerprint": mark},
        f"authority of {site}: {folder / 'ca.pem'}, key in {folder / 'ca.key'}",
        f"fingerprint: {mark}",
        "give ca.pem and crl.pem to the other sites; compare the fingerprint over the telephone",
    )


@command.command()
@FOLDER
@click.option("--kme", metavar="ID", help="for this site's KME (its id is the site's name)")
@click.option("--sae", metavar="ID", help="for an application")
@click.option("--host", "hosts", multiple=True, metavar="NAME|IP", help="a name or address of the KME; repeatable")
@click.option("--days", default=90, show_default=True, help="days that the certificate lasts")
@PASSPHRASE
@JSON
def issue(
    folder: Path,
    kme: str | None,
    sae: str | None,
    hosts: tuple[str, ...],
    days: int,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Issue a key and a certificate into DIR/issued. A new one for the same holder gets the next number."""
    from poliqi.edge.identity import CallerKind

    if (kme is None) == (sae is None):
        raise ConfigError("give one of --kme and --sae: a certificate names one party")
    party, holder = (CallerKind.KME, kme) if kme is not None else (CallerKind.SAE, sae)
    assert holder is not None
    issued = _open(folder, passphrase_file).issue(party, holder, _now(), hosts=hosts, days=days)
    _say(
        as_json,
        _record(issued.entry)
        | {"key": str(issued.key), "certificate": str(issued.certificate), "chain": str(issued.chain)},
        f"{party} {holder}, serial {issued.entry.serial}, until {issued.entry.not_after:%Y-%m-%d}",
        f"key:         {issued.key}",
        f"certificate: {issued.certificate}",
        f"with chain:  {issued.chain}",
    )


@command.command()
@FOLDER
@click.argument("which", metavar="SERIAL|FILE")
@PASSPHRASE
@JSON
def revoke(folder: Path, which: str, passphrase_file: Path | None, as_json: bool) -> None:
    """Take a certificate back and sign crl.pem anew. Bring crl.pem to whoever checks it."""
    entry = _open(folder, passphrase_file).revoke(which, _now())
    _say(
        as_json,
        _record(entry) | {"crl": str(folder / "crl.pem")},
        f"revoked {entry.party} {entry.id}, serial {entry.serial}",
        f"bring {folder / 'crl.pem'} to the servers of this site and to the other sites (poliqi pki trust --crl)",
    )


@command.command()
@FOLDER
@click.option("--days", default=90, show_default=True, help="days until it has to be signed again")
@PASSPHRASE
@JSON
def crl(folder: Path, days: int, passphrase_file: Path | None, as_json: bool) -> None:
    """Sign the list of revoked certificates anew."""
    from poliqi.edge.expiry import expiry

    path = _open(folder, passphrase_file).refresh_crl(_now(), days=days)
    until = expiry(path, _now()).until
    _say(as_json, {"crl": str(path), "until": until.isoformat()}, f"{path}, good until {until:%Y-%m-%d}")


@command.command()
@FOLDER
@click.argument("authority", metavar="[CA.pem]", type=FILE, required=False)
@click.option("--site", required=True, metavar="NAME", help="the site that this authority speaks for")
@click.option("--crl", "revoked", type=FILE, metavar="FILE", help="that site's list of revoked certificates")
@click.option("--fingerprint", "expected", metavar="HEX", help="refuse an authority with any other SHA-256")
@click.option("--also", is_flag=True, help="beside the authority that stands (while one follows another)")
@JSON
def trust(
    folder: Path,
    authority: Path | None,
    site: str,
    revoked: Path | None,
    expected: str | None,
    also: bool,
    as_json: bool,
) -> None:
    """Trust another site's authority for that site's KME and nothing else, or bring its newer list."""
    from poliqi.edge.credentials import fingerprint, read_certificates
    from poliqi.edge.sitetrust import add_trust

    if authority is None and revoked is None:
        raise ConfigError("give the site's ca.pem, its --crl, or both")
    if authority is not None and expected is not None:
        found = fingerprint(read_certificates(authority)[0])
        if found != expected.lower().replace(":", ""):
            raise ConfigError(f"{authority}: its fingerprint is {found}, not the expected one: do not trust it")
    own = _open(folder).site if (folder / "index.json").exists() else ""
    trusted = add_trust(folder / "trust", site, authority=authority, revoked=revoked, also=also, own=own)
    marks = [fingerprint(a) for a in trusted.authorities]
    _say(
        as_json,
        {"site": site, "fingerprints": marks, "crl": revoked is not None},
        f"site {site}: its authority speaks for kme {site} and for nobody else",
        *(f"fingerprint: {mark}  (compare it over the telephone)" for mark in marks),
    )


@command.command()
@FOLDER
@JSON
def status(folder: Path, as_json: bool) -> None:
    """List certificates with the days they have left. Exit code 3: under 30 days; 4: under 7 days, or over."""
    from poliqi.edge.expiry import expiring

    here, now = _open(folder), _now()
    latest = {(e.party, e.id): e for e in here.entries if e.revoked is None}
    rows = [(e, None if e.revoked or latest[e.party, e.id] is not e else _left(e, now)) for e in here.entries]
    watched = [folder / "ca.pem", folder / "crl.pem", folder / "trust", *(folder / e.path for e in latest.values())]
    found = expiring([path for path in watched if path.exists()], now, float("inf"))
    worst = max((e.urgency for e in found), key=list(_EXIT).index)
    if as_json:
        files = [
            {
                "file": str(e.path),
                "what": e.what,
                "until": e.until.isoformat(),
                "days_left": round(e.days_left, 2),
                "state": e.urgency.value,
            }
            for e in found
        ]
        certificates = [_record(e) | {"days_left": left and round(left, 2)} for e, left in rows]
        click.echo(json.dumps({"site": here.site, "state": worst, "watched": files, "certificates": certificates}))
    else:
        click.echo(f"authority of site {here.site}")
        for e in found:
            word = "EXPIRED" if e.days_left < 0 else f"{e.days_left:.0f} days left"
            click.secho(f"  {word:>15}  {e.what}  {e.path}", fg=_COLOURS[e.urgency])
        for entry, left in rows:
            if left is None:
                word = f"revoked {entry.revoked:%Y-%m-%d}" if entry.revoked else "superseded"
                click.echo(f"  {word:>15}  {entry.party} {entry.id}, serial {entry.serial}")
    sys.exit(_EXIT[worst])


def _left(entry: Entry, now: datetime) -> float:
    return (entry.not_after - now).total_seconds() / 86400


def _record(entry: Entry) -> dict[str, Any]:
    return {
        "serial": entry.serial,
        "party": entry.party,
        "id": entry.id,
        "hosts": entry.hosts,
        "not_before": entry.not_before.isoformat(),
        "not_after": entry.not_after.isoformat(),
        "revoked": entry.revoked and entry.revoked.isoformat(),
        "file": entry.path,
    }
