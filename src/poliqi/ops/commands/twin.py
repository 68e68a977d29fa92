"""`poliqi twin`: a city in virtual time: one run of a scenario, or a sweep over seeds and settings."""

from __future__ import annotations

import itertools
import shlex
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from poliqi.base.errors import ConfigError

__all__ = ["command", "read_seeds", "replay_line"]

_MOST_SEEDS: Final = 1_000_000
_SHOWN: Final = 10
PATH: Final = click.Path(path_type=Path, dir_okay=False)
SET: Final = click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Another value for a key, such as load.share=0.5."
)


@click.group()
def command() -> None:
    """A city in one process and virtual time: the code that runs in production, with seeded faults.

    Light, network, disks and applications are simulated; key management, agents, controller and alarms are the real
    ones. Invariants are checked at every step. The same seed gives the same log to the last byte.
    """


@command.command()
@click.argument("scenario", type=PATH)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="What chance follows from.")
@SET
@click.option("--log", type=PATH, metavar="FILE", help="Write what happened, a JSON object a line.")
@click.option("--plot", type=PATH, metavar="FILE", help="Draw key rate and stock over time into this .svg or .png.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def run(
    scenario: Path, seed: int, settings: tuple[str, ...], log: Path | None, plot: Path | None, as_json: bool
) -> None:
    """Run SCENARIO once. Exit code 1 where an invariant broke.

    \b
    Examples:
      poliqi twin run examples/milan/cut.scenario.toml
      poliqi twin run examples/milan/storm.scenario.toml --seed 7 --log storm.jsonl --plot storm.svg
    """
    from poliqi.base.chartstyle import check_format
    from poliqi.ops.scenario_toml import load_scenario
    from poliqi.ops.twin_report import answer, draw, table
    from poliqi.twin.world import run as run_twin

    if plot is not None:
        check_format(plot)
    read = load_scenario(scenario, dict(_setting(text) for text in settings))
    began = time.perf_counter()
    with ExitStack() as stack:
        write: Callable[[str], None] | None = None
        if log is not None:
            file = stack.enter_context(log.open("w", encoding="utf-8"))
            write = lambda line: print(line, file=file)  # noqa: E731  # one line, as it is
        result = run_twin(read, seed, write, _ticker(read.duration_s, as_json))
    wall_s = time.perf_counter() - began
    if plot is not None:
        draw(result, plot)
    if as_json:
        line = {"replay": replay_line(scenario, seed, settings)}
        click.echo(msgspec.json.encode(answer(result, wall_s) | line).decode())
    else:
        click.echo(table(result, wall_s))
        if result.broken:
            click.echo(f"replay with: {replay_line(scenario, seed, settings)}")
    if result.broken:
        sys.exit(1)


@command.command()
@click.argument("scenario", type=PATH)
@click.option(
    "--seeds", default="0..99", show_default=True, metavar="FIRST..LAST", help="Which seeds, both included."
)
@SET
@click.option("--workers", type=click.IntRange(1), help="Processes of this machine (default: one a core).")
@click.option("--cluster", metavar="ADDRESS", help="Run on the Dask scheduler there, such as tcp://10.0.0.5:8786.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, every run in it.")
def sweep(
    scenario: Path,
    seeds: str,
    settings: tuple[str, ...],
    workers: int | None,
    cluster: str | None,
    as_json: bool,
) -> None:
    """Run SCENARIO for many seeds, on all cores or on a cluster. Exit code 1 where an invariant broke.

    A --set with several values, such as --set load.share=0.1,0.5,1, runs every seed for each of them; several --set
    run every combination.

    \b
    Examples:
      poliqi twin sweep examples/milan/storm.scenario.toml --seeds 0..499
      poliqi twin sweep examples/milan/cut.scenario.toml --seeds 0..9 --set load.share=0.5,1,2 --json
    """
    from poliqi.edge.sweep import sweep as run_sweep
    from poliqi.ops.scenario_toml import load_scenario
    from poliqi.ops.twin_sweep import Job, rows, run_job, table

    chosen = read_seeds(seeds)
    ways = _combinations(settings)
    read = [load_scenario(scenario, way) for way in ways]
    jobs = [Job(way, one, seed) for way, one in zip(ways, read, strict=True) for seed in chosen]
    began = time.perf_counter()
    with _bar(len(jobs), as_json) as progress:
        results = run_sweep(run_job, jobs, workers=workers, cluster=cluster, progress=progress)
    wall_s = time.perf_counter() - began
    broken = [r for r in results if r.broken]
    lines = [replay_line(scenario, r.seed, tuple(f"{k}={v}" for k, v in r.changes.items())) for r in broken]
    if as_json:
        found: dict[str, Any] = {"runs": results, "replay": lines, "wall_s": round(wall_s, 3)}
        click.echo(msgspec.json.encode(found).decode())
    else:
        click.echo(table(rows(results), len(results), wall_s))
        for r, line in list(zip(broken, lines, strict=True))[:_SHOWN]:
            click.echo(f"seed {r.seed}: {r.broken}\n  replay with: {line}")
        if len(broken) > _SHOWN:
            click.echo(f"... and {len(broken) - _SHOWN} more broken runs: --json has them all")
    if broken:
        sys.exit(1)


def replay_line(scenario: Path, seed: int, settings: tuple[str, ...] = ()) -> str:
    """The command that does it again."""
    return shlex.join(
        ["poliqi", "twin", "run", str(scenario), "--seed", str(seed), *(w for t in settings for w in ("--set", t))]
    )


def read_seeds(text: str) -> range:
    """Read "7" or "0..499". Raises ConfigError."""
    first, dots, last = text.partition("..")
    if not (first.isascii() and first.isdigit() and (last.isascii() and last.isdigit() if dots else not last)):
        raise ConfigError(f"--seeds {text[:40]!r}: write FIRST..LAST, such as 0..499")
    found = range(int(first), int(last or first) + 1)
    if not 0 < len(found) <= _MOST_SEEDS:
        raise ConfigError(f"--seeds {text}: {len(found)} seeds; give 1 to {_MOST_SEEDS:,}, the smaller first")
    return found


def _setting(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not key or not sign or not value:
        raise ConfigError(f"--set {text[:80]!r}: write KEY=VALUE, such as load.share=0.5")
    return key.strip(), value.strip()


def _combinations(settings: tuple[str, ...]) -> list[dict[str, str]]:
    """Every combination of the values that were given."""
    pairs = [_setting(text) for text in settings]
    values = [[value.strip() for value in text.split(",")] for _, text in pairs]
    return [dict(zip((key for key, _ in pairs), way, strict=True)) for way in itertools.product(*values)]


def _ticker(duration_s: float, is_quiet: bool) -> Callable[[float], None] | None:
    """A line that says how far a run is, on a terminal."""
    if is_quiet or not sys.stderr.isatty():
        return None

    def tell(now: float) -> None:
        done = min(1.0, now / duration_s)
        end = "\r\x1b[K" if done >= 1.0 else ""
        click.echo(f"\r{100 * done:3.0f} % of virtual time{end}", nl=False, err=True)

    return tell


class _bar:  # noqa: N801  # used as a context alone
    """A progress bar on a terminal, nothing elsewhere."""

    def __init__(self, length: int, is_quiet: bool) -> None:
        self._bar: Any = click.progressbar(length=length, label="runs", file=sys.stderr, show_pos=True)
        self._is_shown = not is_quiet and sys.stderr.isatty()
        self._done = 0

    def __enter__(self) -> Callable[[int, int], None]:
        if self._is_shown:
            self._bar.__enter__()
        return self._tell

    def _tell(self, done: int, _all: int) -> None:
        if self._is_shown:
            self._bar.update(done - self._done)
            self._done = done

    def __exit__(self, *what: object) -> None:
        if self._is_shown:
            self._bar.__exit__(*what)
