"""What `poliqi lab xray reduce --live` does: wait for the first file, then reduce whatever appears."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.xray.frames import open_frames
from poliqi.lab.xray.live import AVERAGE, GIVE_UP_S, Done, Live, candidates, check_folders
from poliqi.lab.xray.prepare import check_asked, prepare
from poliqi.lab.xray.reduction import plan_of
from poliqi.ops.lab_reduce import asked_of

__all__ = ["Waiting", "run_live"]

_EVERY_S: Final = 0.5


def run_live(**options: Any) -> None:
    """Reduce until Ctrl-C, or until nothing has come for --idle seconds; a line a file. Raises PoliqiError."""
    folder, output = options["live"], options["output"]
    for name in ("per_frame", "cluster", "plot", "store"):
        if options[name] is not None:
            raise ConfigError(f"--live: leave out --{name.replace('_', '-')}; reduce what came afterwards with it")
    if output is None:
        raise ConfigError("--live: where to? give a folder with -o")
    asked, teller = asked_of(options), _Teller(as_json=bool(options["as_json"]))
    check_folders(folder, output)
    check_asked(asked)
    waiting = Waiting(folder, options["pattern"], options["dataset"], teller.tell)
    idle = options["idle"]
    fitting = f" whose names fit {options['pattern']!r}" if options["pattern"] else ""
    click.echo(f"waiting for frames in {folder}{fitting}", err=True)
    try:
        first = waiting.first(idle)
        if first is not None:
            recipe, told = prepare(asked, [first])
            live = Live(
                plan_of(recipe),
                folder,
                output,
                pattern=options["pattern"],
                dataset=options["dataset"],
                per_second=options["per_second"],
                simulated=bool(options["simulated"] or told.simulated),
                told=teller.tell,
            )
            if live.sums.frames:
                click.echo(f"going on after {live.sums.frames:,} frames of {len(live.done):,} files", err=True)
            live.run(every_s=_EVERY_S, idle_s=idle)
        click.echo(f"nothing came for {idle:g} s: {_so_far(output)}", err=True)
    except KeyboardInterrupt:
        click.echo(f"stopped; {_so_far(output)}", err=True)


def _so_far(output: Path) -> str:
    average = output / AVERAGE
    return f"the average so far is {average}" if average.is_file() else "nothing was reduced"


@dataclass(slots=True)
class Waiting:
    """For the first file that can be opened. `told` is called once with each that could not for a minute."""

    folder: Path
    pattern: str
    dataset: str | None
    told: Callable[[Done], None]
    _since_s: dict[tuple[str, int, int], float] = field(default_factory=dict[tuple[str, int, int], float])
    """Files as they were, and since when they are refused; inf after it was told."""

    def first(self, idle_s: float | None) -> Path | None:
        """It tells the shape of all. None when nothing has come for `idle_s`."""
        began = time.monotonic()
        while True:
            found = self.look(time.monotonic())
            if found is not None or (idle_s is not None and time.monotonic() - began >= idle_s):
                return found
            time.sleep(_EVERY_S)

    def look(self, now_s: float) -> Path | None:
        """One look at the folder."""
        for path in candidates(self.folder, self.pattern):
            try:
                state = path.stat()
            except OSError:  # it went away again
                continue
            try:
                with open_frames(path, self.dataset):
                    return path
            except DataRefused as error:  # not complete yet
                self._refused(Done(path.name, state.st_size, state.st_mtime_ns, 0, str(error)), now_s)
            except ConfigError:
                if path.is_file():
                    raise
        return None

    def _refused(self, done: Done, now_s: float) -> None:
        key = done.name, done.size_bytes, done.time_ns
        since_s = self._since_s.setdefault(key, now_s)
        if now_s - since_s >= GIVE_UP_S:
            self._since_s[key] = float("inf")
            self.told(done)


@dataclass(slots=True)
class _Teller:
    """A line a file; of one that was refused while waiting and again afterwards, one line."""

    as_json: bool
    _refused: set[tuple[str, int, int]] = field(default_factory=set[tuple[str, int, int]])

    def tell(self, done: Done) -> None:
        key = done.name, done.size_bytes, done.time_ns
        if done.refused and key in self._refused:
            return
        if done.refused:
            self._refused.add(key)
        if self.as_json:
            click.echo(msgspec.json.encode(done).decode())
        elif done.refused:
            click.echo(f"{done.name}: refused: {done.refused}", err=True)
        else:
            click.echo(f"{done.name}: {done.frames} frames")
