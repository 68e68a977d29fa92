"""`poliqi link open FILE`: what recorded light looks like, and from tags to a recording that distils."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from poliqi.base.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from poliqi.link.recording import Light, LinkFigures
    from poliqi.link.survey import TagPass
    from poliqi.link.sync.recover import SyncSettings
    from poliqi.link.timetags.states import StateTable
    from poliqi.optics.parameters import LinkParameters

__all__ = ["command"]

_PATH: Final = click.Path(path_type=Path)
_WINDOW: Final = 1 << 22
_LEAST_WINDOW: Final = 1 << 10
_PAUSE_S: Final = 0.5


@click.command("open")
@click.argument("file", type=_PATH, metavar="FILE")
@click.option("--alice", type=_PATH, metavar="STATES", help="Alice's states, where FILE holds Bob's tags")
@click.option("--link", "link_toml", type=_PATH, metavar="LINK.toml", help="the link: clock, bins, gate, dead time")
@click.option("--channels", metavar="LIST", help="inputs: 0=key0,1=key1,2=test0,3=test1:120 (delay in ps)")
@click.option("--start", default="0 s", show_default=True, help="when slot 0 may begin, by the tagger")
@click.option("--uncertainty", default="10 ms", show_default=True, help="by how much that may be wrong")
@click.option("--window", type=click.IntRange(_LEAST_WINDOW), metavar="SLOTS", help="public slots [4194304]")
@click.option("--dead-time", metavar="TIME", help="common dead time to apply (default: of a detector of the link)")
@click.option("--to", "events", type=_PATH, metavar="EVENTS", help="write a recording that distils")
@click.option("--out", type=_PATH, metavar="DIR", help="write a drawing there, SVG and PNG")
@click.option("--force", is_flag=True, help="replace EVENTS if it exists")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def command(
    file: Path,
    alice: Path | None,
    link_toml: Path | None,
    channels: str | None,
    start: str,
    uncertainty: str,
    window: int | None,
    dead_time: str | None,
    events: Path | None,
    out: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Show what light in a file looks like: rates, arrival, QBER over time, bases and intensities.

    FILE is a recording of events, or Bob's time tags: raw, CSV or PicoQuant PTU. For tags, Alice's states stand in
    a file of their own, and the slots are found from the light.

    \b
    Examples:
      poliqi link open light.poliqi-events
      poliqi link open bob.poliqi-tags --alice alice.poliqi-states --link LINK.toml --out figures
      poliqi link open bob.ptu --alice alice.poliqi-states --link LINK.toml --channels 0=key0,1=key1,2=test0,3=test1
      poliqi link open bob.poliqi-tags --alice alice.poliqi-states --to light.poliqi-events
    """
    from poliqi.edge.timetags import is_tag_file
    from poliqi.ops.config import load_link

    link = None if link_toml is None else load_link(link_toml)
    if out is not None:
        _make_folder(out)
    if is_tag_file(file):
        if alice is None:
            raise ConfigError(f"{file} holds Bob's tags; name Alice's states with --alice STATES")
        settings = _settings(link, start, uncertainty, dead_time)
        figures = _open_tags(file, alice, link, channels, settings, window, events, force)
    else:
        if alice is not None or events is not None or channels is not None:
            raise ConfigError(f"{file} holds no time tags; --alice, --channels and --to are for those")
        figures = _open_events(file, link)
    if out is not None:
        from poliqi.ops.survey_plot import draw_survey

        paths = [out / f"{file.name}.{form}" for form in ("svg", "png")]
        draw_survey(figures, paths)
        figures["drawing"] = str(paths[0])
    if as_json:
        click.echo(json.dumps(figures))
        return
    from poliqi.ops.survey_text import survey_text

    click.echo(survey_text(figures))


def _open_events(file: Path, link: LinkParameters | None) -> dict[str, Any]:
    from poliqi.edge.recordings import open_recording
    from poliqi.link.survey import survey_recording
    from poliqi.ops.survey_report import table_figures

    recording = open_recording(file)
    light = recording.light
    figures = light.link or _figures(link)
    found = table_figures(survey_recording(recording), recording.pulses, light.clock_hz, figures)
    return _named(file, "events", light.origin.value, figures) | found


def _open_tags(
    file: Path,
    alice: Path,
    link: LinkParameters | None,
    channels: str | None,
    settings: SyncSettings,
    window: int | None,
    events: Path | None,
    force: bool,
) -> dict[str, Any]:
    from poliqi.base.ids import Origin
    from poliqi.edge.entropy import OperatingSystemEntropy
    from poliqi.edge.timetags import open_states, open_tags
    from poliqi.link.survey import TagPass
    from poliqi.link.sync.window import SyncWindows
    from poliqi.ops.survey_report import table_figures, tag_figures
    from poliqi.ops.tagging_text import tagging_from

    described, states = tagging_from(link, channels), open_states(alice)
    tags = open_tags(file, described)
    tagging = tags.source.tagging
    try:
        _check_clocks(tagging.clock_hz, states.header.clock_hz)
        length = window or max(_LEAST_WINDOW, min(_WINDOW, states.slots // 4))
        origin = Origin.SIMULATED if states.header.origin is Origin.SIMULATED else Origin.REPLAY
        figures = states.header.link or tags.link or _figures(link)
        with _Progress() as progress:
            windows, entropy = SyncWindows(length), OperatingSystemEntropy()
            found = TagPass(tags.source, states, settings, windows, entropy, progress.watch)
            slots = _run(found, events, _light(origin, states, figures), force=force)
    finally:
        tags.source.close()
    report = _named(file, tags.form, origin.value, figures)
    report |= tag_figures(found, tagging, settings, length)
    report |= table_figures(found.tally, slots, tagging.clock_hz, figures)
    return report | {"events": None if events is None else str(events)}


def _run(found: TagPass, events: Path | None, light: Light, *, force: bool) -> int:
    """Go through all tags, into a recording where one is wanted; returns the slots that went by."""
    if events is not None:
        from poliqi.edge.recordings import write_recording

        return write_recording(events, light, found.run(), overwrite=force).pulses
    slots = 0
    for detections, _ in found.run():
        slots = detections.first_slot + detections.pulses
    return slots


def _settings(link: LinkParameters | None, start: str, uncertainty: str, dead_time: str | None) -> SyncSettings:
    from poliqi.base.units import parse_quantity
    from poliqi.link.sync.gates import Filters
    from poliqi.link.sync.recover import SyncSettings

    dead_s = 0.0 if link is None else link.detector.dead_time_s
    if dead_time is not None:
        dead_s = parse_quantity(dead_time, "s", "--dead-time")
    return SyncSettings(
        start_ps=round(parse_quantity(start, "s", "--start") * 1e12),
        uncertainty_s=parse_quantity(uncertainty, "s", "--uncertainty"),
        filters=Filters(dead_s=dead_s),
    )


def _check_clocks(by_bob: float, by_alice: float) -> None:
    if abs(by_bob - by_alice) > 1e-9 * by_alice:
        raise ConfigError(
            f"wrong clock: the tags are described with {by_bob:,.0f} slots a second, Alice's states with "
            f"{by_alice:,.0f}; mend the one that is wrong (for tags: --link, or the header)"
        )


def _light(origin: Any, states: StateTable, figures: LinkFigures | None) -> Light:
    from poliqi.base.ids import Origin
    from poliqi.link.recording import Light

    known = figures
    if known is not None and origin is not Origin.SIMULATED:
        import msgspec

        known = msgspec.structs.replace(known, seed=None, eve=None)
    return Light(origin, states.header.levels, states.header.clock_hz, known)


def _figures(link: LinkParameters | None) -> LinkFigures | None:
    if link is None:
        return None
    from poliqi.link.recording import LinkFigures

    return LinkFigures(
        name=link.name,
        intensities=link.source.intensities,
        probabilities=link.source.probabilities,
        key_basis_alice=link.source.key_basis,
        key_basis_bob=link.receiver_key_basis,
        seed=None,
        eve=None,
    )


def _named(file: Path, form: str, origin: str, figures: LinkFigures | None) -> dict[str, Any]:
    return {"file": str(file), "form": form, "origin": origin, "link": None if figures is None else figures.name}


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"--out {out}: cannot be made ({error.strerror}); name another folder") from error


class _Progress:
    """How many tags went by, on a terminal, twice a second at most."""

    def __init__(self) -> None:
        self._tags = 0
        self._said_s = time.monotonic() - _PAUSE_S / 2.0
        self._said = False
        self._shown = sys.stderr.isatty()

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._shown and self._said:
            click.echo("\r\x1b[K", nl=False, err=True)

    def watch(self, tags: int) -> None:
        self._tags += tags
        now = time.monotonic()
        if self._shown and now - self._said_s >= _PAUSE_S:
            self._said_s, self._said = now, True
            click.echo(f"\r{self._tags / 1e6:,.1f} million tags", nl=False, err=True)
