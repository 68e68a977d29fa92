"""`poliqi send`: send files and folders to another site."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from poliqi.apps.settings import Peer, SaeSettings
    from poliqi.apps.share.progress import Progress, Snapshot
    from poliqi.apps.share.receipt import Receipt

__all__ = ["command", "watched"]

PATH: Final = click.Path(path_type=Path)
_BEAT_S: Final = 0.25
_LINE_S: Final = 10.0


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="FILE|DIR...", type=PATH)
@click.argument("site")
@click.option("--sae", "sae_toml", type=PATH, metavar="SAE.toml", help="this application's file")
@click.option("--one-time", is_flag=True, help="under one-time pad: as much key as there are bytes")
@click.option("--when-ready", is_flag=True, help="wait for key, as long as it takes")
@click.option("--estimate", "only_estimate", is_flag=True, help="say what key it takes, send nothing")
@click.option(
    "--patience",
    "patience_s",
    type=click.FloatRange(0),
    default=600.0,
    show_default=True,
    help="seconds to try again while nothing gets through",
)
@click.option("--italian", is_flag=True, help="the receipt in Italian")
@click.option("--json", "as_json", is_flag=True, help="print the receipt as JSON")
def command(
    paths: tuple[Path, ...],
    site: str,
    sae_toml: Path | None,
    one_time: bool,
    when_ready: bool,
    only_estimate: bool,
    patience_s: float,
    italian: bool,
    as_json: bool,
) -> None:
    """Send files and folders to SITE: another application, by its name or its place. Prints its signed receipt.

    \b
      poliqi send results/ Bovisa
      poliqi send contract.pdf annex.pdf Bovisa --one-time --when-ready

    A lost connection is taken up again. Ctrl-C stops; the same command goes on from there. What arrives is in the
    inbox at the other site (`poliqi receive`), whole and verified, or not at all.
    """
    from poliqi.apps.dial import find_peer
    from poliqi.apps.keysource import keys_of
    from poliqi.ops.sae_toml import find_sae_file, load_sae

    settings = load_sae(find_sae_file(sae_toml))
    peer = find_peer(settings, site)
    keys = keys_of(settings)
    try:
        if only_estimate:
            _estimate(settings, keys, peer, paths, one_time, as_json)
            return
        _send(settings, keys, peer, paths, (one_time, when_ready, patience_s), italian, as_json)
    finally:
        keys.close()


def _send(
    settings: SaeSettings,
    keys: Any,
    peer: Peer,
    paths: tuple[Path, ...],
    how: tuple[bool, bool, float],
    italian: bool,
    as_json: bool,
) -> None:
    from poliqi.apps.share.client import send

    progress, stop = watched(as_json)
    one_time, when_ready, patience_s = how
    try:
        receipt = send(
            settings,
            keys,
            peer,
            paths,
            progress,
            one_time=one_time,
            when_ready=when_ready,
            patience_s=patience_s,
        )
    except KeyboardInterrupt:
        click.echo("\npoliqi: stopped; run the same command again and it goes on from here", err=True)
        sys.exit(130)
    finally:
        stop()
    _print(receipt, settings, italian, as_json)
    if receipt.left_out:
        click.echo(f"poliqi: {receipt.left_out} files were left out; they are named above", err=True)
        sys.exit(1)


def _print(receipt: Receipt, settings: SaeSettings, italian: bool, as_json: bool) -> None:
    import msgspec

    from poliqi.apps.share.receipttext import receipt_lines
    from poliqi.control.lines import Language

    file = settings.state / "receipts" / f"{receipt.transfer}.json"
    if as_json:
        click.echo(json.dumps({**msgspec.to_builtins(receipt), "file": str(file)}))
        return
    lines = receipt_lines(receipt, Language.ITALIAN if italian else Language.ENGLISH)
    click.echo("\n".join([*lines, str(file)]))


def _estimate(
    settings: SaeSettings, keys: Any, peer: Peer, paths: tuple[Path, ...], one_time: bool, as_json: bool
) -> None:
    from poliqi.apps.share.estimate import Load, estimate
    from poliqi.apps.share.source import Source

    del settings
    sizes: list[int] = []
    totals = Source(paths).write_list(lambda lines: sizes.append(len(lines)))
    supply = keys.supply(peer.sae)
    time.sleep(1.0)  # the rate of supply shows between two looks
    supply = keys.supply(peer.sae)
    rule = peer.one_time if one_time else peer.rule
    found = estimate(Load(totals.files, totals.size_bytes, sum(sizes)), supply, rule, one_time)
    record = {
        "files": totals.files,
        "size_bytes": totals.size_bytes,
        "mode": found.mode.value,
        "needed_bytes": found.needed_bytes,
        "available_bytes": found.available_bytes,
        "ready_s": found.ready_s,
        "simulated": found.is_simulated,
    }
    text = f"{totals.files:,} files, {totals.size_bytes:,} bytes to {peer.place}: {found.text()}"
    click.echo(json.dumps(record) if as_json else text)


def watched(as_json: bool) -> tuple[Progress, Any]:
    """A progress that shows itself on stderr: one line that changes on a terminal, else a line now and then."""
    import threading

    from poliqi.apps.share.progress import Progress

    is_terminal, ended, said = sys.stderr.isatty(), threading.Event(), list[str]()

    def tell(seen: Snapshot) -> None:
        for note in seen.notes[len(said) :] if len(seen.notes) < 100 else [seen.note]:
            if not said or said[-1] != note:
                said.append(note)
                click.echo(f"{chr(13) if is_terminal else ''}poliqi: {note}", err=True)

    progress = Progress(tell)

    def watch() -> None:
        while not ended.wait(_BEAT_S if is_terminal else _LINE_S):
            line = _line(progress.snapshot())
            click.echo(f"\r{line:<78}" if is_terminal else f"poliqi: {line}", err=True, nl=not is_terminal)

    def stop() -> None:
        ended.set()
        if is_terminal:
            click.echo(f"\r{'':<78}\r", err=True, nl=False)

    if is_terminal or not as_json:
        threading.Thread(target=watch, name="progress", daemon=True).start()
    return progress, stop


def _line(seen: Snapshot) -> str:
    from poliqi.control.lines import rate_text, time_text

    share = f"{100 * seen.done_bytes // seen.total_bytes} %" if seen.total_bytes else "-"
    words = [seen.phase.value, share, f"{seen.done_files}/{seen.total_files} files"]
    if seen.rate_bps:
        words.append(rate_text(seen.rate_bps))
    if seen.eta_s is not None:
        words.append(f"{time_text(seen.eta_s)} left")
    return ", ".join(words)
