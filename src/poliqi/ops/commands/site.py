"""`poliqi site`: run a site's key management, look after it, destroy its keys."""

from __future__ import annotations

import json
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import click

from poliqi.base.errors import ConfigError, DataRefused, LinkDown

if TYPE_CHECKING:
    from poliqi.edge.audit import AuditHead

__all__ = ["command"]

SITE: Final = click.argument("site_toml", metavar="SITE.toml", type=click.Path(path_type=Path))
JSON: Final = click.option("--json", "as_json", is_flag=True, help="print JSON")
_COLOURS: Final = {"ok": "green", "warning": "yellow", "failure": "red"}
_STATUS_BYTES: Final = 4 << 20
_STATUS_S: Final = 5.0


@click.group()
def command() -> None:
    """Run a site: its key store, its doors for applications (ETSI 014, 004, SKIP), its streams to other sites.

    First `check`, then `run`. While it runs: `status`, `reload` (policy and certificates), `drain`.
    """


def _say(as_json: bool, record: dict[str, Any], *lines: str) -> None:
    click.echo(json.dumps(record) if as_json else "\n".join(lines))


@command.command()
@SITE
@click.option("--json", "as_json", is_flag=True, help="a JSON record a line")
def run(site_toml: Path, as_json: bool) -> None:
    """Run the site until SIGTERM or Ctrl-C, which let requests under way finish.

    SIGHUP reloads policy and certificates, SIGUSR1 drains. No key is given twice by any of them, nor by a crash.
    The first start makes the key store.
    """
    from poliqi.node.site import run_site
    from poliqi.ops.site_toml import load_site

    def say(record: dict[str, Any]) -> None:
        # a full disk or a reader that went away must not stop the site
        with suppress(OSError):
            click.echo(json.dumps(record, default=str) if as_json else _sentence(record))

    try:
        run_site(load_site(site_toml), say, lambda: load_site(site_toml))
    except KeyboardInterrupt:
        sys.exit(130)


def _sentence(record: dict[str, Any]) -> str:
    return f"{record.get('event', '')}: {record.get('text', '')}"


@command.command()
@SITE
@JSON
def check(site_toml: Path, as_json: bool) -> None:
    """Look at everything that a start needs, and change nothing: settings, store, certificates, addresses, policy.

    Exit code 1 where something will not work; warnings alone are 0.
    """
    from datetime import UTC, datetime

    from poliqi.ops.site_check import Level, check_site
    from poliqi.ops.site_toml import load_site

    settings = load_site(site_toml)
    found = check_site(settings, datetime.now(UTC))
    bad = sum(f.level is Level.FAILURE for f in found)
    if as_json:
        rows = [{"level": f.level.value, "what": f.what, "text": f.text} for f in found]
        click.echo(json.dumps({"site": settings.site, "failures": bad, "findings": rows}))
    else:
        for f in found:
            click.secho(f"{f.level.value:>8}  {f.what}: {f.text}", fg=_COLOURS[f.level])
    sys.exit(1 if bad else 0)


@command.command()
@SITE
@JSON
def status(site_toml: Path, as_json: bool) -> None:
    """Ask the running site how it is, at its `listen.status`. Exit code 3 where it runs but is not ready."""
    from poliqi.ops.site_toml import load_site

    at = load_site(site_toml).listen.status
    answer = ask_status(at.host, at.port)
    click.echo(json.dumps(answer) if as_json else "\n".join(outline(answer)))
    sys.exit(3 if answer.get("ready") is False else 0)


def ask_status(host: str, port: int) -> dict[str, Any]:
    from http.client import HTTPConnection, HTTPException

    import msgspec

    connection = HTTPConnection(host, port, timeout=_STATUS_S)
    try:
        connection.request("GET", "/status")
        body = connection.getresponse().read(_STATUS_BYTES)
        answer = msgspec.json.decode(body, type=dict[str, Any])
    except OSError as error:
        raise LinkDown(
            f"no site answers at {host}:{port} ({error.strerror or 'it is silent'}): is it running?"
        ) from None
    except (HTTPException, msgspec.DecodeError, RecursionError):
        raise LinkDown(f"what answers at {host}:{port} is no site of POLIQI: look at listen.status") from None
    finally:
        connection.close()
    return answer


def outline(value: Any, depth: int = 0) -> list[str]:
    """Nested tables and lists as indented lines."""
    pad = "  " * depth
    rows: list[tuple[str, Any]]
    if isinstance(value, dict):
        rows = [(f"{name}: ", inner) for name, inner in cast("dict[str, Any]", value).items()]
    else:
        rows = [("- ", inner) for inner in cast("list[Any]", value)]
    lines: list[str] = []
    for name, inner in rows:
        if isinstance(inner, dict | list) and inner:
            first, *rest = outline(inner, depth + 1)
            lines += [pad + name + first.lstrip()] if name == "- " else [pad + name.rstrip(), first]
            lines += rest
        else:
            lines.append(f"{pad}{name}{inner if isinstance(inner, str) else json.dumps(inner)}")
    return lines


@command.command()
@SITE
@JSON
def reload(site_toml: Path, as_json: bool) -> None:
    """Have the running site read SITE.toml, certificates and revocations again (SIGHUP).

    The file is read here first: where it cannot be used, nothing is sent.
    """
    from poliqi.ops.site_toml import load_site

    settings = load_site(site_toml)
    _signal(settings.state, signal.SIGHUP, "reloads", as_json)


@command.command()
@SITE
@JSON
def drain(site_toml: Path, as_json: bool) -> None:
    """Have the running site take no more requests and finish those under way, without stopping (SIGUSR1)."""
    from poliqi.ops.site_toml import load_vault

    state, _ = load_vault(site_toml)
    _signal(state, signal.SIGUSR1, "drains", as_json)


@command.command()
@SITE
@JSON
def upgrade(site_toml: Path, as_json: bool) -> None:
    """Have the running site finish what is under way and execute its program anew, as installed now (SIGUSR2).

    The process and its listening sockets stay: who connects meanwhile waits, about a second. SITE.toml is read here
    first: where it cannot be used, nothing is sent.
    """
    from poliqi.ops.site_toml import load_site

    settings = load_site(site_toml)
    _signal(settings.state, signal.SIGUSR2, "is being upgraded", as_json)


def _signal(state: Path, number: signal.Signals, does: str, as_json: bool) -> None:
    from poliqi.edge.running import signal_running

    pid = signal_running(state, number)
    _say(
        as_json, {"pid": pid, "signal": number.name}, f"process {pid} {does}: see its log and `poliqi site status`"
    )


@command.command()
@SITE
@click.option("--yes", is_flag=True, help="do not ask")
@JSON
def zeroise(site_toml: Path, yes: bool, as_json: bool) -> None:
    """Destroy the keys of keys and stop the site: no key in its store, nor in any copy of it, can be read again.

    There is no way back. Works with a site that runs, hangs or is broken, and with a SITE.toml of which only
    `state` and [kek] can be read. Keys that were delivered are where they were delivered.
    """
    from poliqi.edge.kek import zeroise as destroy
    from poliqi.edge.running import signal_running
    from poliqi.node.site_settings import open_kek
    from poliqi.ops.site_toml import load_vault

    state, kek = load_vault(site_toml)
    place = open_kek(kek)
    if not yes:
        click.confirm(f"Destroy every key in {state} for ever (keys of keys in {place.place})?", abort=True)
    destroyed = destroy(state, place)
    stopped: int | None = None
    with suppress(ConfigError):  # none runs
        stopped = signal_running(state, signal.SIGKILL)
    _say(
        as_json,
        {"state": str(state), "destroyed": destroyed, "stopped": stopped},
        f"{len(destroyed)} keys of keys in {place.place} are destroyed: nothing in {state} can be read again",
        *([f"process {stopped} is stopped"] if stopped else []),
    )


@command.command()
@SITE
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, metavar="FILE", help="a new file")
@JSON
def backup(site_toml: Path, output: Path, as_json: bool) -> None:
    """Write down who the site is and whom it met. Works while it runs.

    There is no key in it: a copy of keys could be given out twice. A restored site starts with an empty stock.
    """
    from poliqi.edge.sitebackup import back_up
    from poliqi.ops.site_toml import load_site

    settings = load_site(site_toml)
    made = back_up(settings.state, output)
    _say(
        as_json,
        {"site": settings.site, "file": str(output), "audit_seq": made.audit_seq, "audit_hash": made.audit_hash},
        f"{output}: site {settings.site} with {len(made.peers)} peers, no key",
        f"audit head: {made.audit_seq}:{made.audit_hash}",
    )


@command.command()
@SITE
@click.option("--from", "source", type=click.Path(path_type=Path), required=True, metavar="FILE", help="the backup")
@JSON
def restore(site_toml: Path, source: Path, as_json: bool) -> None:
    """Make a new, empty store that remembers the peers of a backup. Never over a store that stands."""
    from poliqi.edge.sitebackup import read_backup
    from poliqi.edge.sitebackup import restore as rebuild
    from poliqi.node.site_settings import open_kek
    from poliqi.ops.site_toml import load_site

    settings = load_site(site_toml)
    rebuild(read_backup(source), settings.state, open_kek(settings.kek))
    _say(
        as_json,
        {"site": settings.site, "state": str(settings.state)},
        f"site {settings.site}: an empty store in {settings.state} that remembers its peers",
    )


@command.command()
@SITE
@click.option("--since", type=click.IntRange(0), default=0, metavar="N", help="only lines after number N")
@click.option("--verify", is_flag=True, help="walk the whole hash chain and print its head")
@click.option("--noted", metavar="N:HASH", help="with --verify: a head of another day, which must be in the chain")
@JSON
def audit(site_toml: Path, since: int, verify: bool, noted: str | None, as_json: bool) -> None:
    """Print what happened at the site, line by line, or verify that no line was changed. There is no key in it.

    Note the head that --verify prints somewhere else: only with it can it be seen that the newest lines were cut.
    """
    from poliqi.edge.audit import read_audit, verify_audit
    from poliqi.ops.site_toml import load_vault

    state, _ = load_vault(site_toml)
    if verify or noted is not None:
        head = verify_audit(state, None if noted is None else _head(noted))
        text = f"{head.seq}:{head.hash.hex()}"
        _say(as_json, {"seq": head.seq, "hash": head.hash.hex()}, f"the chain holds; its head is {text}")
        return
    for line in read_audit(state, since):
        click.echo(line.decode().rstrip("\n") if as_json else _audit_line(line))


def _head(text: str) -> AuditHead:
    from poliqi.edge.audit import AuditHead

    number, _, digits = text.partition(":")
    try:
        digest = bytes.fromhex(digits)
    except ValueError:
        digest = b""
    if not (number.isascii() and number.isdigit() and len(digest) == 32):
        raise DataRefused(f"--noted {text[:80]!r}: write a number, a colon and 64 hexadecimal digits")
    return AuditHead(int(number), digest)


def _audit_line(line: bytes) -> str:
    from datetime import UTC, datetime

    said = json.loads(line)
    when = datetime.fromtimestamp(said["time_ns"] / 1e9, UTC)
    detail = " ".join(f"{name}={value}" for name, value in said["detail"].items())
    return f"{said['seq']} {when:%Y-%m-%dT%H:%M:%S.%f}Z {said['event']} {detail}".rstrip()


@command.command()
@click.option("--json", "as_json", is_flag=True, help="print JSON (it is CycloneDX JSON either way)")
def cbom(as_json: bool) -> None:  # noqa: ARG001  # one form exists
    """Print the cryptography bill of materials (CycloneDX): every algorithm, protocol and kind of key in use."""
    from poliqi.ops.cbom import cryptography_bill

    click.echo(json.dumps(cryptography_bill(), indent=2))
