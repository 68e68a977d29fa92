"""What `poliqi lab xray reduce --live` does: wait for the first file, then reduce whatever appears."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.xray.frames import open_frames
from poliqi.lab.xray.live import AVERAGE, Done, Live, candidates
from poliqi.lab.xray.prepare import prepare
from poliqi.lab.xray.reduction import plan_of
from poliqi.ops.lab_reduce import asked_of

__all__ = ["run_live"]

_EVERY_S: Final = 0.5


def run_live(**options: Any) -> None:
    """Reduce until Ctrl-C, or until nothing has come for --idle seconds; a line a file. Raises PoliqiError."""
    folder, output = options["live"], options["output"]
    for name in ("per_frame", "cluster", "plot", "store"):
        if options[name] is not None:
            raise ConfigError(f"--live: leave out --{name.replace('_', '-')}; reduce what came afterwards with it")
    if output is None:
        raise ConfigError("--live: where to? give a folder with -o")
    asked = asked_of(options)
    as_json = bool(options["as_json"])
    try:
        first = _first(folder, options["pattern"], options["dataset"], options["idle"])
        if first is None:
            return
        recipe, told = prepare(asked, [first])
        live = Live(
            plan_of(recipe),
            folder,
            output,
            pattern=options["pattern"],
            dataset=options["dataset"],
            per_second=options["per_second"],
            simulated=bool(options["simulated"] or told.simulated),
            told=lambda done: _tell(done, as_json=as_json),
        )
        if live.sums.frames:
            click.echo(f"going on after {live.sums.frames:,} frames of {len(live.done):,} files", err=True)
        live.run(every_s=_EVERY_S, idle_s=options["idle"])
    except KeyboardInterrupt:
        click.echo(f"stopped; the average so far is {Path(output) / AVERAGE}", err=True)


def _first(folder: Path, pattern: str, dataset: str | None, idle_s: float | None) -> Path | None:
    """The first file that can be opened: it tells the shape of all. None when nothing has come for `idle_s`."""
    if not folder.is_dir():
        raise ConfigError(f"--live {folder}: no such folder; name the one that frames appear in")
    began = time.monotonic()
    while True:
        for path in candidates(folder, pattern):
            try:
                with open_frames(path, dataset):
                    return path
            except DataRefused:  # not complete yet
                continue
        if idle_s is not None and time.monotonic() - began >= idle_s:
            return None
        time.sleep(_EVERY_S)


def _tell(done: Done, *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(done).decode())
    elif done.refused:
        click.echo(f"{done.name}: refused: {done.refused}", err=True)
    else:
        click.echo(f"{done.name}: {done.frames} frames")
