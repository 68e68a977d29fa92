"""`poliqi keys`: ask a site for keys as an application, over ETSI GS QKD 014."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from poliqi.base.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from poliqi.edge.keyclient import Key, KeyClient, KeyStatus

__all__ = ["command"]

FILE: Final = click.Path(path_type=Path)
F = TypeVar("F", bound=Callable[..., Any])
JSON: Final = click.option("--json", "as_json", is_flag=True, help="print JSON")


def _connection(function: F) -> F:
    """Options that say which site is asked, and as whom."""
    for option in (
        click.option(
            "--timeout", "timeout_s", default=10.0, show_default=True, help="seconds to wait for an answer"
        ),
        click.option("--ca", type=FILE, required=True, metavar="PEM", help="authority of the site"),
        click.option("--key", type=FILE, required=True, metavar="PEM", help="private key of this application"),
        click.option("--cert", type=FILE, required=True, metavar="PEM", help="certificate of this application"),
        click.option("--kme", required=True, metavar="URL", help="the site: https://HOST:PORT"),
    ):
        function = option(function)
    return function


@click.group()
def command() -> None:
    """Ask a site for keys, as an application that has a certificate.

    One application gets a key and tells the other its key_ID; the other gets the same key by that name, once:

    \b
      poliqi keys get SLAVE --out key.json ...                   at the one
      poliqi keys get MASTER --key-id ID --out key.json ...      at the other

    Keys go into a file that its owner alone can read, or onto the screen with --show. Never into arguments.
    """


@command.command()
@click.argument("sae")
@_connection
@JSON
def status(sae: str, kme: str, cert: Path, key: Path, ca: Path, timeout_s: float, as_json: bool) -> None:
    """Show how many keys wait between this application and SAE, and what may be asked for."""
    with _client(kme, cert, key, ca, timeout_s) as client:
        found = client.status(sae)
    record = _status_record(found)
    click.echo(json.dumps(record) if as_json else "\n".join(_status_lines(found)))


@command.command()
@click.argument("sae")
@_connection
@click.option("--number", type=click.IntRange(1), help="so many fresh keys (1)")
@click.option("--size", "size_bits", type=click.IntRange(8), metavar="BITS", help="of this size (the site's usual)")
@click.option(
    "--also", "more", multiple=True, metavar="SAE", help="a further application to share with; repeatable"
)
@click.option("--link", metavar="NAME", help="from this link's stock only")
@click.option("--key-id", "key_ids", multiple=True, metavar="ID", help="the key that SAE named; repeatable")
@click.option("-o", "--out", type=FILE, metavar="FILE", help="put the keys into this new file (mode 600)")
@click.option("--show", is_flag=True, help="print the keys, where everybody at this screen sees them")
@JSON
def get(
    sae: str,
    kme: str,
    cert: Path,
    key: Path,
    ca: Path,
    timeout_s: float,
    number: int | None,
    size_bits: int | None,
    more: tuple[str, ...],
    link: str | None,
    key_ids: tuple[str, ...],
    out: Path | None,
    show: bool,
    as_json: bool,
) -> None:
    """Get fresh keys to share with SAE, or with --key-id the keys that SAE has named.

    Needs --out or --show: a key that is asked for is used up. Without --show, what is printed is the key_ID, the
    size and the grade.
    """
    if out is None and not show:
        raise ConfigError("give --out FILE or --show: a key that is asked for and thrown away is used up")
    if key_ids and (number is not None or size_bits is not None or more or link is not None):
        raise ConfigError("--key-id names keys that exist: leave out --number, --size, --also and --link")
    if size_bits is not None and size_bits % 8:
        raise ConfigError(f"--size {size_bits}: keys have whole bytes; give a multiple of 8")
    # the file is made first, so that no key is lost to a full disk or a wrong name
    handle = None if out is None else _new_file(out)
    try:
        with _client(kme, cert, key, ca, timeout_s) as client:
            if key_ids:
                keys = client.get_named_keys(sae, key_ids)
            else:
                mandatory = [] if link is None else [{"link_id": link}]
                keys = client.get_keys(sae, number or 1, size_bits, more_slaves=more, mandatory=mandatory)
        container = _container(keys)
    except BaseException:
        if handle is not None and out is not None:
            os.close(handle)
            out.unlink(missing_ok=True)
        raise
    if handle is not None and out is not None:
        _fill(handle, out, container)
    shown = container if show else _container(keys, with_values=False)
    click.echo(json.dumps(shown) if as_json else "\n".join(_key_lines(shown["keys"])))


def _client(kme: str, cert: Path, key: Path, ca: Path, timeout_s: float) -> KeyClient:
    from poliqi.edge.keyclient import KeyClient

    return KeyClient(kme, cert=cert, key=key, ca=ca, timeout_s=timeout_s)


def _new_file(path: Path) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except FileExistsError as error:
        raise ConfigError(f"--out {path} exists already and is never overwritten; name another file") from error
    except OSError as error:
        raise StoreError(f"--out {path}: cannot be made: {error.strerror}; name another file") from error


def _fill(handle: int, path: Path, container: dict[str, Any]) -> None:
    try:
        with os.fdopen(handle, "w") as file:
            file.write(json.dumps(container, indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise StoreError(f"--out {path}: {error.strerror}; these keys are used up, ask for others") from error


def _container(keys: Sequence[Key], *, with_values: bool = True) -> dict[str, Any]:
    """A key container of the standard; without values, the sizes instead."""
    entries: list[dict[str, Any]] = []
    for each in keys:
        entry: dict[str, Any] = {"key_ID": each.key_id}
        if with_values:
            entry["key"] = base64.b64encode(each.value.view()).decode()
        else:
            entry["size"] = each.size_bits
        if each.grade:
            entry["key_extension"] = dict(each.grade)
        entries.append(entry)
    return {"keys": entries}


def _key_lines(entries: list[dict[str, Any]]) -> list[str]:
    lines: list[str] = []
    for entry in entries:
        grade = entry.get("key_extension", {})
        words = [entry["key_ID"], entry.get("key") or f"{entry['size']} bit"]
        words += [f"{name}={json.dumps(grade[name])}" for name in ("grade", "epsilon", "paths") if name in grade]
        lines.append("  ".join(str(word) for word in words))
    return lines


def _status_record(s: KeyStatus) -> dict[str, Any]:
    return {
        "source_kme": s.source_kme,
        "target_kme": s.target_kme,
        "master": s.master,
        "slave": s.slave,
        "key_size_bits": s.key_size_bits,
        "stored_keys": s.stored_keys,
        "capacity_keys": s.capacity_keys,
        "max_keys_per_request": s.max_keys_per_request,
        "min_size_bits": s.min_size_bits,
        "max_size_bits": s.max_size_bits,
        "max_slaves": s.max_slaves,
        "extension": dict(s.extension),
    }


def _status_lines(s: KeyStatus) -> list[str]:
    return [
        f"{s.master} at {s.source_kme}, {s.slave} at {s.target_kme}",
        f"{s.stored_keys:,} keys of {s.key_size_bits} bits wait (room for {s.capacity_keys:,})",
        f"a request: at most {s.max_keys_per_request} keys, of {s.min_size_bits} to {s.max_size_bits} bits",
        f"further applications that may share a key: {s.max_slaves}",
        *(f"{name}: {json.dumps(value)}" for name, value in s.extension.items()),
    ]
