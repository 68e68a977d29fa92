"""A schedule as charts: who is on which channel when, and how many channels are busy."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from typing import Any, Final

from poliqi.lab.echem.campaign.schedule import Schedule
from poliqi.lab.onepage import GREY, ORANGE, Panel

__all__ = ["gantt_panels"]

_MOST_NAMED: Final = 40
_MOST_IN_LEGEND: Final = 12
_LABELLED: Final = 60
_LETTER: Final = 0.007


def gantt_panels(made: Schedule, zone: tzinfo = UTC) -> list[Panel]:
    """Times are those of `zone`."""
    return [
        Panel("Channels", _drawing_channels(made, zone), is_wide=True),
        Panel("Channels in use", _drawing_use(made, zone), is_wide=True),
    ]


def _day(unix_s: int, zone: tzinfo) -> datetime:
    return datetime.fromtimestamp(unix_s, zone)


def _drawing_channels(made: Schedule, zone: tzinfo) -> Callable[[Any], None]:
    import matplotlib.dates
    from matplotlib import colormaps

    dates: Any = matplotlib.dates  # its annotations are partial

    def number(unix_s: int) -> float:
        return float(dates.date2num(_day(unix_s, zone)))

    def draw(axes: Any) -> None:
        campaign = made.campaign
        names = sorted({one.job.protocol for one in made.placed})
        colours = {
            name: colormaps["tab10" if len(names) <= 10 else "tab20"](at % 20) for at, name in enumerate(names)
        }
        end = max(made.end_s, campaign.start_s + 3600)
        for at, channel in enumerate(campaign.channels):
            shut = [
                (number(max(span.begin_s, campaign.start_s)), number(min(span.end_s, end)))
                for span in channel.blocked
                if span.begin_s < end and span.end_s > campaign.start_s
            ]
            axes.broken_barh([(a, b - a) for a, b in shut], (at - 0.45, 0.9), color="#c3cbd2")
        bars: dict[tuple[str, int], list[tuple[float, float]]] = {}
        for one in made.placed:
            begin = number(one.mount_s)
            bars.setdefault((one.job.protocol, one.channel), []).append((begin, number(one.end_s) - begin))
        for (name, at), spans in bars.items():
            axes.broken_barh(spans, (at - 0.4, 0.8), facecolor=colours[name], edgecolor="white", linewidth=0.4)
        if len(made.placed) <= _LABELLED:
            whole = number(end) - number(campaign.start_s)
            for one in made.placed:
                begin, wide = number(one.mount_s), number(one.end_s) - number(one.mount_s)
                label = campaign.cells[one.job.cell].name[:16].replace("$", r"\$")
                if wide > _LETTER * len(label) * whole:
                    words: Any = {"ha": "center", "va": "center", "fontsize": 7, "color": "white", "clip_on": True}
                    axes.text(begin + wide / 2, one.channel, label, **words)
        _dress(axes, made, zone)
        shown = names[:_MOST_IN_LEGEND]
        handles = [axes.barh(0, 0, color=colours[name], label=name.replace("$", r"\$")) for name in shown]
        axes.legend(handles=handles, fontsize=8, loc="lower right", bbox_to_anchor=(1, 1), ncols=6, frameon=False)

    return draw


def _dress(axes: Any, made: Schedule, zone: tzinfo) -> None:
    channels = made.campaign.channels
    _dates(axes, made, zone)
    axes.set_ylim(len(channels) - 0.5, -0.5)
    if len(channels) <= _MOST_NAMED:
        axes.set_yticks(range(len(channels)), [one.name[:20].replace("$", r"\$") for one in channels], fontsize=7)
    else:
        axes.set_ylabel(f"{len(channels)} channels")
    axes.grid(visible=False, axis="y")


def _dates(axes: Any, made: Schedule, zone: tzinfo) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(tz=zone)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=zone))
    begin = made.campaign.start_s
    axes.set_xlim(_day(begin, zone), _day(max(made.end_s, begin + 3600), zone))


def _drawing_use(made: Schedule, zone: tzinfo) -> Callable[[Any], None]:
    def draw(axes: Any) -> None:
        changes = sorted([(one.mount_s, 1) for one in made.placed] + [(one.end_s, -1) for one in made.placed])
        times, counts, count = [_day(made.campaign.start_s, zone)], [0], 0
        for instant, change in changes:
            count += change
            if times[-1] == _day(instant, zone):
                counts[-1] = count
            else:
                times.append(_day(instant, zone))
                counts.append(count)
        axes.step(times, counts, where="post", color=ORANGE, lw=1)
        axes.axhline(len(made.campaign.channels), color=GREY, lw=0.8, ls="--")
        axes.axvline(_day(made.bound_s, zone), color=GREY, lw=0.8, ls=":", label="no schedule ends before")
        axes.set_ylim(bottom=0)
        axes.set_ylabel("channels")
        axes.legend(fontsize=8, loc="lower left")
        _dates(axes, made, zone)

    return draw
