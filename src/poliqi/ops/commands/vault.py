"""`poliqi vault`: secrets kept at several sites, any k of n of which give them back."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

import click

from poliqi.base.errors import ConfigError, DataRefused, KeyExhausted, StoreError

if TYPE_CHECKING:
    from poliqi.apps.settings import SaeSettings
    from poliqi.apps.vault.owner import Need, Owner

__all__ = ["command"]

PATH: Final = click.Path(path_type=Path)
SAE: Final = click.option("--sae", "sae_toml", type=PATH, metavar="SAE.toml", help="this application's file")
JSON: Final = click.option("--json", "as_json", is_flag=True, help="print JSON")
WAIT: Final = click.option(
    "--wait", "wait_s", type=click.FloatRange(0), default=0.0, metavar="S", help="wait so long for key (0: not)"
)
SITES: Final = click.option("--sites", metavar="A,B,...", help='where shares go; "here" is the own site')
THRESHOLD: Final = click.option(
    "--threshold", type=click.IntRange(2), metavar="K", help="how many give it back (3)"
)
_PIECE: Final = 1 << 20


@click.group()
def command() -> None:
    """Keep a secret at several sites: any K of them give it back, fewer know nothing of it.

    \b
      poliqi vault put plan.pdf --sites here,Bovisa,Santa-Barbara,Intesa,ARIA --threshold 3
      poliqi vault get plan.pdf -o plan.pdf        with any two sites gone
      poliqi vault renew plan.pdf                  other shares of the same secret; the old ones are useless
      poliqi vault check                           which sites keep what, and how many may be lost

    Shares travel under one-time pad with one-time tags; a site that changes its share is named.
    """


@command.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--name", help="what it is called here (the file's name); the sites do not learn it")
@SITES
@THRESHOLD
@click.option("--reader", "readers", multiple=True, metavar="SITE", help="may read it, too; repeatable")
@click.option("--dry-run", is_flag=True, help="say what key it needs and when that is there, and end")
@WAIT
@SAE
@JSON
def put(
    file: Path,
    name: str | None,
    sites: str | None,
    threshold: int | None,
    readers: tuple[str, ...],
    dry_run: bool,
    wait_s: float,
    sae_toml: Path | None,
    as_json: bool,
) -> None:
    """Share FILE over the sites. All of them have a share in the end, or nothing has changed."""
    from poliqi.apps.dial import find_peer
    from poliqi.ops.vault_text import need_line, need_record, record_lines, record_of

    settings = _load(sae_toml)
    where, needed = _where(settings, sites, threshold)
    allowed = tuple(find_peer(settings, reader).sae for reader in readers)
    with _owner(settings, wait_s) as owner, file.open("rb") as source:
        size = os.fstat(source.fileno()).st_size
        needs = owner.needs(size, where)
        if dry_run:
            _print([need_record(need) for need in needs], [need_line(need) for need in needs], as_json)
            return
        _check_key(needs, wait_s)
        record = owner.put(name or file.name, size, _pieces(source), needed, where, allowed)
    _print(record_of(settings, record), record_lines(settings, record), as_json)


@command.command()
@click.argument("name")
@click.option("-o", "--out", type=PATH, metavar="FILE", help="into this new file, mode 600 (its name, here)")
@click.option("--record", "by_id", is_flag=True, help="NAME is the id that `list --sites` shows")
@WAIT
@SAE
@JSON
def get(name: str, out: Path | None, by_id: bool, wait_s: float, sae_toml: Path | None, as_json: bool) -> None:
    """Get the secret NAME back from as few sites as give it. A site that lies is named."""
    from poliqi.ops.vault_text import trouble

    settings = _load(sae_toml)
    with _owner(settings, wait_s) as owner:
        reading = owner.recover(_record_id(name), {}) if by_id else owner.read(name)
        target = Path(Path(name).name) if out is None else out
        size = _write(target, reading.blocks())
    record = {
        "name": reading.name,
        "file": str(target),
        "bytes": size,
        "lying": sorted(reading.lying),
        "silent": reading.silent,
        "sites": sorted(s.keeper.place for s in reading.found.sources),
    }
    _print(record, [f"{reading.name}: {size:,} bytes in {target}", *trouble(reading)], as_json)


@command.command(name="list")
@click.option("--sites", "ask_sites", is_flag=True, help="ask the sites what they keep for this application")
@click.option("--kept", is_flag=True, help="show what is kept here for others")
@WAIT
@SAE
@JSON
def list_(ask_sites: bool, kept: bool, wait_s: float, sae_toml: Path | None, as_json: bool) -> None:
    """Show the own secrets: where their shares are, and who could know the pads these came under."""
    from poliqi.ops.vault_text import record_lines, record_of

    settings = _load(sae_toml)
    if kept:
        _list_kept(settings, as_json)
        return
    with _owner(settings, wait_s) as owner:
        if ask_sites:
            _list_sites(owner, as_json)
            return
        records = owner.records()
    lines = [line for record in records for line in record_lines(settings, record)] or ["nothing is kept"]
    _print([record_of(settings, record) for record in records], lines, as_json)


@command.command()
@click.argument("name")
@SITES
@THRESHOLD
@WAIT
@SAE
@JSON
def renew(
    name: str, sites: str | None, threshold: int | None, wait_s: float, sae_toml: Path | None, as_json: bool
) -> None:
    """Give every site another share of the secret NAME; the old ones are destroyed, and useless with the new.

    The secret is put together nowhere. With --sites (or --threshold) it is: it is read and shared anew over those
    sites, so that one that is lost is replaced.
    """
    from poliqi.ops.vault_text import record_lines, record_of, trouble

    settings = _load(sae_toml)
    with _owner(settings, wait_s) as owner:
        found: list[str] = []
        if sites is None and threshold is None:
            record = owner.renew(name)
        else:
            where, needed = _where(settings, sites, threshold)
            record, reading = owner.rebuild(name, needed, where)
            found = trouble(reading)
    _print(record_of(settings, record), [*record_lines(settings, record), *found], as_json)


@command.command()
@click.argument("name")
@WAIT
@SAE
@JSON
def delete(name: str, wait_s: float, sae_toml: Path | None, as_json: bool) -> None:
    """Have every site destroy its share of NAME. A site that is away hears of it at the next `check`."""
    with _owner(_load(sae_toml), wait_s) as owner:
        unheard = owner.delete(name)
    lines = [f"{name} is deleted", *(f"  {place} has not heard of it: {why}" for place, why in unheard.items())]
    _print({"deleted": name, "unheard": unheard}, lines, as_json)


@command.command()
@click.argument("name", required=False)
@click.option("--deep", is_flag=True, help="get every share and judge it; costs key as `get` from all sites")
@WAIT
@SAE
@JSON
def check(name: str | None, deep: bool, wait_s: float, sae_toml: Path | None, as_json: bool) -> None:
    """Say how secrets are: which sites keep their share, how many may still be lost. Ends what a crash cut off.

    Exit code 1 where a secret cannot be had now.
    """
    settings = _load(sae_toml)
    with _owner(settings, wait_s) as owner:
        found = owner.check(name, is_deep=deep)
    records = [
        {
            "name": health.record.name,
            "there": health.there,
            "missing": health.missing,
            "lying": health.lying,
            "threshold": health.record.threshold,
            "spare": health.spare,
        }
        for health in found
    ]
    lines: list[str] = []
    for health in found:
        state = f"{health.spare} more may be lost" if health.spare >= 0 else "CANNOT BE HAD NOW"
        lines.append(
            f"{health.record.name}: {len(health.there)} of {health.record.count} sites, "
            f"{health.record.threshold} needed: {state}"
        )
        lines += [f"  {place} is missing: {why}" for place, why in health.missing.items()]
        lines += [f"  {place} LIES about its share; replace it with `renew --sites`" for place in health.lying]
    _print(records, lines or ["nothing is kept"], as_json)
    if any(health.spare < 0 for health in found):
        sys.exit(1)


@contextmanager
def _owner(settings: SaeSettings, wait_s: float) -> Generator[Owner]:
    from poliqi.apps.keysource import keys_of
    from poliqi.apps.vault.desk import open_owner, patient
    from poliqi.edge.entropy import OperatingSystemEntropy

    keys = keys_of(settings)
    with ExitStack() as stack:
        stack.callback(keys.close)
        wait = patient(wait_s, lambda text: click.echo(text, err=True))
        yield stack.enter_context(open_owner(settings, keys, OperatingSystemEntropy(), wait, _progress()))


def _load(sae_toml: Path | None) -> SaeSettings:
    from poliqi.ops.sae_toml import find_sae_file, load_sae

    return load_sae(find_sae_file(sae_toml))


def _where(settings: SaeSettings, sites: str | None, threshold: int | None) -> tuple[list[str], int]:
    from poliqi.apps.vault.settings import vault_table

    table = vault_table(settings)
    names = [name.strip() for name in sites.split(",")] if sites is not None else list(table.sites)
    if not names:
        raise ConfigError("where to? Give --sites here,Bovisa,... or `sites = [...]` in [vault]")
    return names, threshold or table.threshold


def _record_id(text: str) -> bytes:
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != 16:
        raise ConfigError(f"{text[:60]!r} is no id of a record: 32 hexadecimal digits, from `list --sites`")
    return found


def _pieces(source: BinaryIO) -> Iterator[bytes]:
    while piece := source.read(_PIECE):
        yield piece


def _write(target: Path, blocks: Iterator[bytes]) -> int:
    """All of it or no file; never over another one."""
    draft = target.with_name(f".{target.name}.partial")
    size = 0
    if target.exists():
        raise ConfigError(f"{target} exists already and is never overwritten; name another with --out")
    try:
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
            for block in blocks:
                size += file.write(block)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, target)
    except OSError as error:
        raise StoreError(f"{target}: {error.strerror}; what the sites keep is untouched") from error
    finally:
        draft.unlink(missing_ok=True)
    return size


def _check_key(needs: Sequence[Need], wait_s: float) -> None:
    """Nothing is begun for which key is missing, unless it may wait."""
    from poliqi.ops.vault_text import need_line

    wrong = [need for need in needs if need.why or (need.outlook and need.outlook.refusal)]
    if wrong:
        raise DataRefused("; ".join(need_line(need) for need in wrong))
    late = [n for n in needs if n.outlook and (n.outlook.seconds is None or n.outlook.seconds > wait_s)]
    if late:
        raise KeyExhausted("; ".join(need_line(need) for need in late) + "; try --wait, or again then")
    for need in needs:
        click.echo(need_line(need), err=True)


def _list_kept(settings: SaeSettings, as_json: bool) -> None:
    from poliqi.apps.vault.service import open_shelf
    from poliqi.edge.entropy import OperatingSystemEntropy

    shelf = open_shelf(settings, OperatingSystemEntropy())
    try:
        kept = shelf.notes()
    finally:
        shelf.close()
    records = [
        {"owner": o, "record": r.hex(), "epoch": e, "counts": c, "pad": None if n is None else n.text}
        for o, r, e, c, n in kept
    ]
    lines = [f"{r['record']}  of {r['owner']}, epoch {r['epoch']}, pad {r['pad'] or 'none'}" for r in records]
    _print(records, lines or ["nothing is kept for others"], as_json)


def _list_sites(owner: Owner, as_json: bool) -> None:
    silent: dict[str, str] = {}
    told = [(keeper.place, entry) for keeper, entry in owner.elsewhere(silent)]
    records = [
        {"site": p, "record": e.record.hex(), "epoch": e.epoch, "owner": e.owner, "threshold": e.threshold,
         "count": e.count, "bytes": e.size, "whole": e.is_whole}
        for p, e in sorted(told, key=lambda pair: (pair[1].record, pair[0]))
    ]  # fmt: skip
    lines = [
        f"{r['record']}  at {r['site']}: any {r['threshold']} of {r['count']}, {r['bytes']:,} bytes"
        for r in records
    ]
    lines += [f"{place} does not answer: {why}" for place, why in silent.items()]
    _print(records, lines or ["no site keeps anything for this application"], as_json)


def _print(record: object, lines: Sequence[str], as_json: bool) -> None:
    click.echo(json.dumps(record) if as_json else "\n".join(lines))


def _progress() -> Callable[[int, int], None]:
    last = time.monotonic()

    def show(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last > 1.0:
            last = time.monotonic()
            click.echo(f"{100 * done // total:3d} %  {done / 1e6:.1f} of {total / 1e6:.1f} MB", err=True)

    return show
