"""`poliqi link tags LINK.toml`: simulated light as time tags at Bob and states at Alice."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from poliqi.ops.commands.link_record import parse_count

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from poliqi.link.timetags.tags import Tags, TagSource
    from poliqi.optics.parameters import LinkParameters

__all__ = ["command"]

_PATH: Final = click.Path(path_type=Path)
_SEED_BITS: Final = 53
_STATES_AT_ONCE: Final = 1 << 21


@click.command("tags")
@click.argument("link_toml", type=_PATH, metavar="LINK.toml")
@click.option("--pulses", required=True, metavar="N", help="how many slots: 100000000 or 1e8")
@click.option("-o", "--output", type=_PATH, required=True, metavar="TAGS", help="Bob's tags; .csv makes it text")
@click.option("--alice", type=_PATH, required=True, metavar="STATES", help="Alice's states")
@click.option("--seed", type=click.IntRange(0, (1 << 64) - 1), help="same link, same seed: same light")
@click.option("--start", default="7 ms", show_default=True, help="when slot 0 stands, by the tagger")
@click.option("--off", "off_ppm", default=1.0, show_default=True, help="how much too long Alice's slots are, ppm")
@click.option("--drift", "drift_ppb", default=1.0, show_default=True, help="change of that, ppb a second")
@click.option("--eve", metavar="ATTACK", help="attack the light, as for `record`")
@click.option("--force", is_flag=True, help="replace files that exist")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def command(
    link_toml: Path,
    pulses: str,
    output: Path,
    alice: Path,
    seed: int | None,
    start: str,
    off_ppm: float,
    drift_ppb: float,
    eve: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Simulate a link's light as a time tagger at Bob's receiver would record it, and what Alice prepared.

    The tagger's clock is not Alice's: it starts at another time, runs at another rate, and drifts.

    \b
    Example:
      poliqi link tags LINK.toml --pulses 1e8 -o bob.poliqi-tags --alice alice.poliqi-states
      poliqi link open bob.poliqi-tags --alice alice.poliqi-states --link LINK.toml --to light.poliqi-events
      poliqi distill light.poliqi-events
    """
    from poliqi.base.units import parse_quantity
    from poliqi.edge.timetags import write_states, write_tags, write_tags_text
    from poliqi.link.simulated import simulated_light
    from poliqi.link.timetags.raw import TagHeader
    from poliqi.link.timetags.simulated import SimulatedTags
    from poliqi.link.timetags.states import StateHeader
    from poliqi.ops.commands.link import read_link
    from poliqi.optics.tags import TagClock

    link = read_link(link_toml, eve)
    count, chosen = parse_count(pulses, "--pulses"), secrets.randbits(_SEED_BITS) if seed is None else seed
    light = simulated_light(link, chosen)
    clock = TagClock(parse_quantity(start, "s", "--start"), off_ppm * 1e-6, drift_ppb * 1e-9)
    source = SimulatedTags(link, chosen, count, clock)
    if output.suffix.lower() == ".csv":
        write_tags_text(output, _all(source, count), overwrite=force)
    else:
        header = TagHeader(light.origin, source.tagging, light.link)
        write_tags(output, header, _all(source, count), overwrite=force)
    head = StateHeader(light.origin, link.source.clock_hz, light.levels, light.link)
    write_states(alice, head, _states(link, chosen, count), overwrite=force)
    figures: dict[str, Any] = {
        "tags": str(output),
        "states": str(alice),
        "origin": light.origin.value,
        "link": link.name,
        "seed": chosen,
        "pulses": count,
        "seconds": count / link.source.clock_hz,
        "bytes": [output.stat().st_size, alice.stat().st_size],
    }
    click.echo(json.dumps(figures) if as_json else _told(figures))


def _all(source: TagSource, pulses: int) -> Iterator[Tags]:
    """All of them, with a bar on a terminal, by the tagger's time."""
    begun_ps: int | None = None
    done, slot_ps = 0, source.tagging.slot_ps
    with _bar("Bob's tags", pulses) as bar:
        while (tags := source.read()) is not None:
            yield tags
            begun_ps = int(tags.times_ps[0]) if begun_ps is None else begun_ps
            passed = min(pulses, int((int(tags.times_ps[-1]) - begun_ps) / slot_ps))
            if bar is not None:
                bar.update(passed - done)
            done = passed


def _states(link: LinkParameters, seed: int, slots: int) -> Iterator[NDArray[np.uint8]]:
    import numpy as np

    from poliqi.optics.states import alice_states

    with _bar("Alice's states", slots) as bar:
        for first in range(0, slots, _STATES_AT_ONCE):
            part = np.arange(first, min(first + _STATES_AT_ONCE, slots), dtype=np.int64)
            yield alice_states(link.source, seed, part)
            if bar is not None:
                bar.update(part.size)


def _bar(label: str, length: int) -> Any:
    """A progress bar on a terminal, None elsewhere."""
    if sys.stderr.isatty():
        return click.progressbar(length=length, label=label, file=sys.stderr)
    return nullcontext()


def _told(f: dict[str, Any]) -> str:
    return (
        f"{f['tags']}: {f['bytes'][0] / 1e6:.1f} MB of tags; {f['states']}: {f['bytes'][1] / 1e6:.1f} MB of "
        f"states; {f['pulses']:,} pulses ({f['seconds']:.3g} s of {f['link']})\n"
        f"simulated light, seed {f['seed']}: files to test with, never a secret"
    )
