"""`poliqi receive`: what has arrived, what is under way, and the receipts."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from poliqi.base.errors import ConfigError, DataRefused

if TYPE_CHECKING:
    from poliqi.apps.identity import Contact
    from poliqi.apps.settings import SaeSettings
    from poliqi.apps.share.receipt import Receipt

__all__ = ["command"]

PATH: Final = click.Path(path_type=Path)
_LOOK_S: Final = 1.0


@click.command()
@click.option("--sae", "sae_toml", type=PATH, metavar="SAE.toml", help="this application's file")
@click.option("--follow", is_flag=True, help="go on, and print what arrives")
@click.option("--receipts", "show_receipts", is_flag=True, help="receipts given and had, instead of the inbox")
@click.option("--verify", "verified", type=PATH, metavar="RECEIPT", help="check a receipt, its manifest, its files")
@click.option("--files", type=PATH, metavar="FILE|DIR", help="with --verify: hold these against the manifest")
@click.option("--italian", is_flag=True, help="receipts in Italian")
@click.option("--json", "as_json", is_flag=True, help="print JSON, a line for each")
def command(
    sae_toml: Path | None,
    follow: bool,
    show_receipts: bool,
    verified: Path | None,
    files: Path | None,
    italian: bool,
    as_json: bool,
) -> None:
    """List what has arrived in the inbox, whole and verified. The service (`poliqi sae run`) receives it.

    \b
      poliqi receive --follow
      poliqi receive --receipts
      poliqi receive --verify state/receipts/3f….json --files results/
    """
    from poliqi.ops.sae_toml import find_sae_file, load_sae

    settings = load_sae(find_sae_file(sae_toml))
    if files is not None and verified is None:
        raise ConfigError("--files goes with --verify RECEIPT")
    if verified is not None:
        _verify(settings, verified, files, italian, as_json)
    elif show_receipts:
        _receipts(settings, italian, as_json)
    else:
        _list(settings, follow, as_json)


def _list(settings: SaeSettings, follow: bool, as_json: bool) -> None:
    seen: set[tuple[str, str, int]] = set()
    while True:
        for record in _arrived(settings):
            key = record["from"], record["name"], record["received_ns"]
            if key in seen:
                continue
            seen.add(key)
            click.echo(json.dumps(record) if as_json else _line(record))
        if not follow:
            break
        try:
            time.sleep(_LOOK_S)
        except KeyboardInterrupt:
            return
    if not seen and not as_json:
        click.echo(f"nothing has arrived in {settings.inbox}", err=True)


def _arrived(settings: SaeSettings) -> Iterator[dict[str, Any]]:
    """The oldest first, so that what arrives comes last."""
    from poliqi.apps.share.inbox import Inbox, InboxRules

    inbox = Inbox(settings.inbox, InboxRules.of(settings.extra))
    for each in reversed(inbox.arrived()):
        yield {
            "from": each.peer_folder,
            "name": each.name,
            "kind": "folder" if each.is_folder else "file",
            "size_bytes": None if each.is_folder else each.size_bytes,
            "received_ns": each.received_ns,
            "path": str(settings.inbox / each.peer_folder / each.name),
        }


def _line(record: dict[str, Any]) -> str:
    when = datetime.fromtimestamp(record["received_ns"] // 10**9, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    size = "folder" if record["size_bytes"] is None else f"{record['size_bytes']:,} bytes"
    return f"{when}  {record['from']}  {size}  {record['path']}"


def _receipts(settings: SaeSettings, italian: bool, as_json: bool) -> None:
    from poliqi.apps.share.inbox import Inbox, InboxRules
    from poliqi.apps.share.outbox import sent_receipts
    from poliqi.apps.share.receipt import read_receipt

    given = Inbox(settings.inbox, InboxRules.of(settings.extra)).receipts()
    for direction, paths in (("received", given), ("sent", list(sent_receipts(settings.state)))):
        for path in reversed(paths):
            _show(read_receipt(path.read_bytes()), {"direction": direction, "file": str(path)}, italian, as_json)


def _show(receipt: Receipt, more: dict[str, Any], italian: bool, as_json: bool) -> None:
    import msgspec

    from poliqi.apps.share.receipttext import receipt_lines
    from poliqi.control.lines import Language

    if as_json:
        click.echo(json.dumps({**msgspec.to_builtins(receipt), **more}))
        return
    lines = receipt_lines(receipt, Language.ITALIAN if italian else Language.ENGLISH)
    click.echo("\n".join([*lines, more["file"], ""]))


def _verify(settings: SaeSettings, path: Path, files: Path | None, italian: bool, as_json: bool) -> None:
    from poliqi.apps.share.receipt import RECEIPT_BYTES, read_receipt, verify_receipt
    from poliqi.apps.share.verify import check_manifest, differing_files

    with path.open("rb") as file:
        data = file.read(RECEIPT_BYTES + 1)
    receipt = verify_receipt(data, _signer(settings, read_receipt(data).receiver))
    manifest = path.with_suffix(".manifest")
    has_manifest = manifest.exists()
    if has_manifest:
        check_manifest(manifest, receipt)
    if files is not None:
        if not has_manifest:
            raise DataRefused(f"{manifest} is not there, and files cannot be held against a receipt without it")
        differing = differing_files(manifest, files.absolute())
        if differing:
            shown = ", ".join(differing[:10])
            raise DataRefused(f"{len(differing)} files under {files} are not those of the receipt: {shown}")
    more = {"file": str(path), "signature": True, "manifest": has_manifest, "files_checked": files is not None}
    _show(receipt, more, italian, as_json)
    if not as_json:
        checked = (
            ["the signature"] + ["the manifest"] * has_manifest + [f"all files of {files}"] * (files is not None)
        )
        click.echo(f"verified: {', '.join(checked)}")


def _signer(settings: SaeSettings, name: str) -> Contact:
    if name == settings.sae:
        return settings.identity.contact
    peer = settings.peer(name)
    if peer is None:
        raise ConfigError(f"the receipt is of {name[:64]!r}, whose contact is not in {settings.file.name}")
    return peer.contact
