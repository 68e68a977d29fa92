"""`poliqi bench-crypto`: try new hardware and software for encryption beside what there is."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from poliqi.base.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from poliqi.apps.testbench.catalogue import Place

__all__ = ["command", "parse_sizes"]

_MOST_SIZES: Final = 16
_LARGEST_BYTES: Final = 1 << 20
FILE: Final = click.Path(path_type=Path, dir_okay=False)


@click.group()
def command() -> None:
    """Try new encryption: is it right, and how fast is it beside what there is?

    A candidate is one Python file with a tuple CANDIDATES: a cipher, a program that encrypts, a source of
    randomness or of keys (how-to: add-an-encryptor). Its code is RUN, with your rights, in a process of its own
    that is ended when it hangs; run no file that you would not run otherwise.

    \b
      poliqi bench-crypto list
      poliqi bench-crypto run my_encryptor.py --svg compared.svg
    """


@command.command(name="list")
@click.argument("files", nargs=-1, type=FILE)
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def list_(files: tuple[Path, ...], as_json: bool) -> None:
    """Show what can be tried: built in, installed, added by packages, and by FILES (whose code is run)."""
    import msgspec

    from poliqi.apps.testbench.catalogue import missing

    found = [(place, missing(place)) for place in _places(files)]
    if as_json:
        records = [
            {"name": p.name, "kind": p.kind, "origin": str(p.origin), "description": p.description, "missing": why}
            for p, why in found
        ]
        click.echo(msgspec.json.encode(records).decode())
        return
    for place, why in found:
        note = "" if why is None else f" [skipped: {why}]"
        click.echo(f"{place.name:26} {place.kind:17} {place.origin!s:16} {place.description}{note}")
    click.echo("\nreconcilers: python -m bench reconcile --with FILE.py:CLASS; amplifiers: python -m bench amplify")


@command.command()
@click.argument("files", nargs=-1, type=FILE)
@click.option("--only", multiple=True, metavar="NAME", help="of what is there besides FILES, only this; repeatable")
@click.option("--check-only", is_flag=True, help="conformance, no speed")
@click.option(
    "--seconds",
    type=click.FloatRange(0.02, 60.0),
    default=0.5,
    show_default=True,
    help="for each figure of a round",
)
@click.option("--rounds", type=click.IntRange(1, 100), default=3, show_default=True, help="all take turns in each")
@click.option(
    "--record-sizes",
    default="200,1400,16384,262144,1048576",
    show_default=True,
    metavar="BYTES",
    help="of plaintext",
)
@click.option(
    "--limit",
    "limit_s",
    type=click.FloatRange(1.0, 3600.0),
    default=90.0,
    show_default=True,
    help="seconds for all checks of a candidate; one that takes longer has failed",
)
@click.option("--svg", type=FILE, metavar="OUT", help="draw the figures into this file")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def run(
    files: tuple[Path, ...],
    only: tuple[str, ...],
    check_only: bool,
    seconds: float,
    rounds: int,
    record_sizes: str,
    limit_s: float,
    svg: Path | None,
    as_json: bool,
) -> None:
    """Check every candidate, then time those that passed, in turn and on the same load.

    FILES are run as code. A candidate that fails a check is named with it and is not timed. Installed programs
    (stunnel, wireguard-go, ssh, age, openssl) are compared where they are there; wireguard-go needs root.
    Exit code 3: a candidate of FILES or of a package failed.

    \b
      poliqi bench-crypto run my_encryptor.py
      poliqi bench-crypto run my_encryptor.py --only aes-256-gcm --only stunnel --svg compared.svg
      poliqi bench-crypto run --only operating\\ system --check-only
    """
    from poliqi.apps.testbench.answers import answer, rows, table
    from poliqi.apps.testbench.trials import Plan, run_trials

    sizes = parse_sizes(record_sizes)
    places = _chosen(_places(files), only)
    plan = Plan(sizes=sizes, seconds=seconds, rounds=rounds, limit_s=limit_s, is_timed=not check_only)
    trials = run_trials(places, plan, _progress())
    about = _about(seconds, rounds)
    if svg is not None:
        from poliqi.apps.testbench.picture import picture

        _write(svg, picture(rows(trials), _subtitle(about)))
    if as_json:
        click.echo(json.dumps(answer(trials, about)))
    else:
        click.echo(f"{table(trials)}\n\n{_subtitle(about)}")
        if svg is not None:
            click.echo(f"drawn into {svg}")
    if any(trial.failed and _is_of_others(place) for trial, place in zip(trials, places, strict=True)):
        sys.exit(3)


def parse_sizes(text: str) -> list[int]:
    """Sizes of records in bytes, ascending. Raises ConfigError."""
    words = [word.strip() for word in text.split(",")] if len(text) <= 1000 else []
    sizes = sorted({int(word) for word in words if word.isascii() and word.isdigit() and len(word) <= 12})
    if (
        len(sizes) != len(words)
        or not 1 <= len(sizes) <= _MOST_SIZES
        or not 1 <= sizes[0] <= sizes[-1] <= _LARGEST_BYTES
    ):
        raise ConfigError(
            f"--record-sizes {text[:60]!r}: write 1 to {_MOST_SIZES} different sizes of 1 to {_LARGEST_BYTES}"
            " bytes, such as 200,16384"
        )
    return sizes


def _places(files: Sequence[Path]) -> list[Place]:
    """Everything, what is new first."""
    from poliqi.apps.testbench.catalogue import Origin, entries, places
    from poliqi.apps.testbench.trials import look_into

    named: list[Place] = []
    for path in files:
        if path.suffix != ".py" or not path.is_file():
            raise ConfigError(f"{path}: there is no such Python file")
        named += look_into(Origin(file=str(path.resolve())))
    for origin in entries():
        named += look_into(origin)
    return named + places()


def _is_of_others(place: Place) -> bool:
    return place.origin.built_in is None


def _chosen(places: Sequence[Place], only: Sequence[str]) -> list[Place]:
    """FILES always; of the rest those that are named, where any is."""
    unknown = sorted(set(only) - {place.name for place in places})
    if unknown:
        names = ", ".join(place.name for place in places)
        raise ConfigError(f"--only {unknown[0]!r}: there is no such candidate; there are {names}")
    return [p for p in places if not only or p.name in only or p.origin.file is not None]


def _progress() -> Callable[[str], None]:
    """Lines on standard error: each step on a terminal, one in ten seconds elsewhere."""
    is_terminal = sys.stderr.isatty()
    said = time.monotonic()

    def say(text: str) -> None:
        nonlocal said
        if is_terminal or time.monotonic() - said > 10.0:
            said = time.monotonic()
            click.echo(f"bench-crypto: {text}", err=True)

    return say


def _about(seconds: float, rounds: int) -> dict[str, Any]:
    """What the figures depend on besides the candidates."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    cpu = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine()
    )
    return {
        "cpu": cpu,
        "processors": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "seconds": seconds,
        "rounds": rounds,
    }


def _subtitle(about: dict[str, Any]) -> str:
    return (
        f"{about['rounds']} rounds of {about['seconds']:g} s, all in turn; {about['cpu']}, {about['processors']}"
        f" processors, load {about['load']:g}"
    )


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"--svg {path}: {error.strerror}; name another file") from error
