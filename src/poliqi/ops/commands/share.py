"""`poliqi share`: offer a dataset to several sites, take it back, fetch what others offer, read the audit."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from poliqi.apps.datasets.shelf import Dataset, Shelf
    from poliqi.apps.settings import SaeSettings

__all__ = ["command"]

PATH: Final = click.Path(path_type=Path)
SAE: Final = click.option("--sae", "sae_toml", type=PATH, metavar="SAE.toml", help="this application's file")
JSON: Final = click.option("--json", "as_json", is_flag=True, help="print JSON")


@click.group()
def command() -> None:
    """One dataset for many sites: sealed once, its key wrapped for each by a quantum key.

    \b
      poliqi share publish scans/ --name trial-7 --to Bovisa --to ARIA     at the owner's
      poliqi share fetch Leonardo trial-7                                  at the others'
      poliqi share revoke trial-7 ARIA                                     no more of it for ARIA
      poliqi share audit                                                   who had what, and when

    The owner's service (`poliqi sae run`) must run for others to fetch. Revoking stops later fetches; it takes
    nothing back that was fetched before.
    """


@command.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--name", required=True, help="what the others call it")
@click.option("--to", "to", multiple=True, metavar="SITE", help="who may have it; repeatable")
@SAE
@JSON
def publish(paths: tuple[Path, ...], name: str, to: tuple[str, ...], sae_toml: Path | None, as_json: bool) -> None:
    """Seal PATHS as one dataset, and let each SITE have it."""
    from poliqi.apps.dial import find_peer

    settings = _load(sae_toml)
    recipients = [find_peer(settings, site).sae for site in to]
    last = time.monotonic()

    def progress(done: int) -> None:
        nonlocal last
        if time.monotonic() - last > 1.0:
            last = time.monotonic()
            click.echo(f"sealed {done / 1e6:.0f} MB", err=True)

    made = _shelf(settings).publish(paths, name, recipients, progress)
    said = f"{made.name}: {made.files} files, {made.plain_bytes} bytes, sealed as {made.id}"
    click.echo(json.dumps(_record(made)) if as_json else said)


@command.command(name="list")
@click.argument("site", required=False)
@SAE
@JSON
def list_(site: str | None, sae_toml: Path | None, as_json: bool) -> None:
    """Show the own datasets and who may have them; with SITE, what that site offers to this application."""
    settings = _load(sae_toml)
    if site is None:
        records = [_record(d) for d in _shelf(settings).all()]
        lines = [line for record in records for line in _lines(record)]
    else:
        entries = _offered(settings, site)
        records = [{"id": e.id, "name": e.name, "files": e.files, "bytes": e.plain_bytes} for e in entries]
        lines = [f"{r['name']:<30} {r['files']} files, {r['bytes']} bytes  {r['id'][:12]}" for r in records]
    click.echo(json.dumps(records) if as_json else "\n".join(lines) or "nothing")


@command.command()
@click.argument("name")
@click.argument("site")
@SAE
@JSON
def grant(name: str, site: str, sae_toml: Path | None, as_json: bool) -> None:
    """Let SITE have the dataset NAME, too."""
    _set(name, site, sae_toml, as_json, is_open=True)


@command.command()
@click.argument("name")
@click.argument("site")
@SAE
@JSON
def revoke(name: str, site: str, sae_toml: Path | None, as_json: bool) -> None:
    """Let SITE have no more of the dataset NAME. What it fetched before, it keeps."""
    _set(name, site, sae_toml, as_json, is_open=False)


@command.command()
@click.argument("name")
@SAE
@JSON
def remove(name: str, sae_toml: Path | None, as_json: bool) -> None:
    """Destroy the own dataset NAME: its key first, then its content."""
    shelf = _shelf(_load(sae_toml))
    dataset = shelf.find(name)
    shelf.remove(dataset.id)
    click.echo(json.dumps({"removed": dataset.id}) if as_json else f"{dataset.name} is destroyed here")


@command.command()
@click.argument("site")
@click.argument("name")
@SAE
@JSON
def fetch(site: str, name: str, sae_toml: Path | None, as_json: bool) -> None:
    """Fetch the dataset NAME of SITE into the inbox. After a cut the same line goes on where it stopped."""
    from poliqi.apps.datasets.fetch import fetch_dataset
    from poliqi.apps.datasets.service import PURPOSE
    from poliqi.apps.dial import dialling, find_peer
    from poliqi.apps.keysource import keys_of
    from poliqi.base.errors import DataRefused

    settings = _load(sae_toml)
    peer = find_peer(settings, site)
    fitting = [e for e in _offered(settings, site) if name in (e.name, e.id) or e.id.startswith(name)]
    if len(fitting) != 1:
        what = "nothing" if not fitting else f"{len(fitting)} datasets"
        raise DataRefused(f"{name[:60]!r}: {peer.place} offers {what} of that name to {settings.sae}; see its list")
    last = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last > 1.0:
            last = time.monotonic()
            click.echo(f"{100 * done // max(1, total):3d} %  {done / 1e6:.0f} of {total / 1e6:.0f} MB", err=True)

    keys = keys_of(settings)
    try:
        channel = dialling(settings, keys)(peer, peer.rule, PURPOSE)
        try:
            found = fetch_dataset(channel, settings, keys, fitting[0].id, progress)
        finally:
            channel.close()
    finally:
        keys.close()
    mark = " (SIMULATED LIGHT: protects nothing)" if found.grade.is_simulated else ""
    record = {
        "name": found.name,
        "folder": str(found.folder),
        "sha256": found.digest,
        "key_id": found.key_id,
        "grade": found.grade.name,
        "simulated": found.grade.is_simulated,
    }
    click.echo(json.dumps(record) if as_json else f"{found.name} is in {found.folder}{mark}")


@command.command()
@SAE
@JSON
def audit(sae_toml: Path | None, as_json: bool) -> None:
    """Print and verify the audit: who published, was granted, revoked, refused, fetched; never a key."""
    count = 0
    for line in _shelf(_load(sae_toml)).audit():
        count += 1
        when = datetime.fromtimestamp(line["time_ns"] / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S")
        detail = " ".join(f"{k}={v}" for k, v in line["detail"].items() if k != "receipt")
        click.echo(json.dumps(line) if as_json else f"{line['seq']:5} {when}  {line['event']:<12} {detail}")
    if not as_json:
        click.echo(f"{count} lines, an unbroken chain", err=True)


def _set(name: str, site: str, sae_toml: Path | None, as_json: bool, *, is_open: bool) -> None:
    from poliqi.apps.dial import find_peer

    settings = _load(sae_toml)
    shelf, peer = _shelf(settings), find_peer(settings, site)
    change = shelf.grant if is_open else shelf.revoke
    changed = change(shelf.find(name).id, peer.sae)
    click.echo(json.dumps(_record(changed)) if as_json else "\n".join(_lines(_record(changed))))


def _offered(settings: SaeSettings, site: str) -> tuple[Any, ...]:
    from poliqi.apps.datasets.fetch import list_datasets
    from poliqi.apps.datasets.service import PURPOSE
    from poliqi.apps.dial import dialling, find_peer
    from poliqi.apps.keysource import keys_of

    peer = find_peer(settings, site)
    keys = keys_of(settings)
    try:
        channel = dialling(settings, keys)(peer, peer.rule, PURPOSE)
        try:
            return list_datasets(channel)
        finally:
            channel.close()
    finally:
        keys.close()


def _load(sae_toml: Path | None) -> SaeSettings:
    from poliqi.ops.sae_toml import find_sae_file, load_sae

    return load_sae(find_sae_file(sae_toml))


def _shelf(settings: SaeSettings) -> Shelf:
    from poliqi.apps.datasets.shelf import Shelf

    return Shelf.of(settings.state)


def _record(dataset: Dataset) -> dict[str, Any]:
    return {
        "id": dataset.id,
        "name": dataset.name,
        "files": dataset.files,
        "bytes": dataset.plain_bytes,
        "sha256": dataset.digest,
        "recipients": [
            {"sae": r.sae, "open": r.revoked_s is None, "fetched": r.fetched} for r in dataset.recipients
        ],
    }


def _lines(record: dict[str, Any]) -> list[str]:
    """A dataset, and a line for each who may or might have it."""
    lines = [f"{record['name']:<30} {record['files']} files, {record['bytes']} bytes  {record['id'][:12]}"]
    for r in record["recipients"]:
        state = "may have it" if r["open"] else "revoked"
        lines.append(f"  {r['sae']:<28} {state}, fetched {r['fetched']} times")
    return lines
