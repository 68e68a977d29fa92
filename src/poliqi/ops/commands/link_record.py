"""`poliqi link record LINK.toml`: simulated light into a file that replays bit for bit."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from poliqi.base.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from poliqi.link.device import Detections
    from poliqi.optics.parameters import LinkParameters

__all__ = ["command", "parse_count"]

_MOST_PULSES: Final = 1 << 62
_SEED_BITS: Final = 53  # of a seed drawn here: every JSON reader keeps them
_SEEDS: Final = (1 << 64) - 1


def parse_count(text: str, name: str) -> int:
    """Read a whole number from 1 to 2^62, written as `1000000`, `1_000_000` or `1e6`. Raises ConfigError."""
    try:
        number = Decimal(text.replace("_", ""))
        if 1 <= number <= _MOST_PULSES and number == number.to_integral_value():
            return int(number)
    except InvalidOperation:
        pass
    raise ConfigError(f"{name}: {text[:40]!r} is not a whole number from 1 to 2^62; write it as 1000000 or 1e6")


@click.command("record")
@click.argument("link_toml", type=click.Path(path_type=Path), metavar="LINK.toml")
@click.option("--pulses", metavar="N", help="how many slots: 1000000000 or 1e9")
@click.option("--blocks", metavar="K", help="instead of --pulses: slots for K blocks of the size the link names")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, metavar="FILE", help="where to")
@click.option("--seed", type=click.IntRange(0, _SEEDS), help="same link, same seed: same file (default: drawn)")
@click.option(
    "--eve",
    metavar="ATTACK",
    help="attack the light: intercept=0.2, pns, blinding=0.5, time-shift, trojan=1e-6, tap=3dB, cut, jam=0.01",
)
@click.option("--force", is_flag=True, help="replace FILE if it exists")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def command(
    link_toml: Path,
    pulses: str | None,
    blocks: str | None,
    output: Path,
    seed: int | None,
    eve: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Record what both ends of a link see of simulated light.

    The link is the one that LINK.toml describes. The recording replays bit for bit, and names its seed.

    \b
    Examples:
      poliqi link record LINK.toml --pulses 1e9 -o light.poliqi-events
      poliqi link record LINK.toml --blocks 1 --seed 7 --eve intercept=0.2 -o eve.poliqi-events
      poliqi distill light.poliqi-events
    """
    from poliqi.edge.recordings import write_recording
    from poliqi.link.simulated import record, simulated_light

    link = _read_link(link_toml, eve)
    count = _pulses(link, pulses, blocks)
    chosen = secrets.randbits(_SEED_BITS) if seed is None else seed
    light = simulated_light(link, chosen)
    stretches = _shown(record(link, chosen, count), count)
    header = write_recording(output, light, stretches, overwrite=force)
    figures: dict[str, Any] = {
        "file": str(output),
        "bytes": output.stat().st_size,
        "origin": light.origin.value,
        "link": link.name,
        "seed": chosen,
        "eve": None if light.link is None else light.link.eve,
        "pulses": header.pulses,
        "events": header.events,
        "clock_hz": light.clock_hz,
        "seconds": header.pulses / link.source.clock_hz,
    }
    click.echo(json.dumps(figures) if as_json else _told(figures))


def _read_link(path: Path, eve: str | None) -> LinkParameters:
    from poliqi.ops.config import load_link
    from poliqi.optics.attack import parse_attack

    link = load_link(path)
    return link if eve is None else replace(link, attack=parse_attack(eve))


def _pulses(link: LinkParameters, pulses: str | None, blocks: str | None) -> int:
    if pulses is not None and blocks is None:
        return parse_count(pulses, "--pulses")
    if blocks is None or pulses is not None:
        raise ConfigError("how long: give one of --pulses N and --blocks K")
    from poliqi.distill.plan import block_pulses

    each, count = block_pulses(link), parse_count(blocks, "--blocks")
    if count * each > _MOST_PULSES:
        raise ConfigError(f"--blocks: {count} blocks of {each} pulses are more than 2^62 pulses; give fewer")
    return count * each


def _shown(
    stretches: Iterable[tuple[Detections, NDArray[np.uint8]]], pulses: int
) -> Iterator[tuple[Detections, NDArray[np.uint8]]]:
    """The same stretches, with a bar on a terminal."""
    on_terminal = sys.stderr.isatty()
    with (
        click.progressbar(length=pulses, label="recording", file=sys.stderr)
        if on_terminal
        else nullcontext() as bar
    ):
        for detections, states in stretches:
            yield detections, states
            if bar is not None:
                bar.update(detections.pulses)


def _told(figures: dict[str, Any]) -> str:
    attack = "" if figures["eve"] is None else f", attacked: {figures['eve']}"
    return (
        f"{figures['file']}: {figures['events']:,} events of {figures['pulses']:,} pulses "
        f"({figures['seconds']:.3g} s of {figures['link']}), {figures['bytes'] / 1e6:.1f} MB\n"
        f"simulated light, seed {figures['seed']}{attack}: a recording to test with, never a secret"
    )
