"""The figures of `poliqi link open` as one drawing: arrival, errors, rates, the clock, intensities."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

from poliqi.base.chartstyle import CHART_STYLE
from poliqi.base.errors import StoreError

__all__ = ["draw_survey"]

_COLOURS: Final = {"key": "#1b6ca8", "key0": "#1b6ca8", "key1": "#6aa6d6", "test0": "#c05a1c", "test1": "#e8a06a"}
_TEST: Final = "#c05a1c"
_OTHER: Final = "0.55"


def draw_survey(figures: dict[str, Any], paths: list[Path]) -> None:
    """Draw them into each of `paths` (.svg, .png). Raises StoreError where one cannot be written."""
    import matplotlib
    from matplotlib.figure import Figure

    tags = "arrival" in figures
    style: Any = matplotlib  # its annotations are partial
    with style.rc_context(CHART_STYLE):
        figure: Any = Figure(figsize=(9.0, 8.6 if tags else 3.8), layout="constrained")
        grid: Any = figure.add_gridspec(3 if tags else 1, 2)
        if tags:
            _arrival(figure.add_subplot(grid[0, :]), figures["arrival"])
            _rates(figure.add_subplot(grid[1, 1]), figures)
            _clock(figure.add_subplot(grid[2, 0]), figures["sync"])
        _errors(figure.add_subplot(grid[1 if tags else 0, 0]), figures)
        _levels(figure.add_subplot(grid[2 if tags else 0, 1]), figures["levels"])
        light = "simulated light" if figures["origin"] == "simulated" else "replayed light"
        named = "" if figures["link"] is None else f"{figures['link']}, "
        figure.suptitle(f"{Path(figures['file']).name}: {named}{light}", x=0.02, ha="left", fontsize=12)
        for path in paths:
            try:
                plain = {"Date": None} if path.suffix == ".svg" else None
                figure.savefig(path, dpi=150, metadata=plain)
            except OSError as error:
                raise StoreError(f"{path}: cannot be written ({error.strerror}); name another folder") from None


def _arrival(axes: Any, a: dict[str, Any]) -> None:
    cells = len(next(iter(a["tags"].values())))
    width = a["slot_ps"] / cells
    edges = [i * width for i in range(cells + 1)]
    for meaning, counts in a["tags"].items():
        axes.stairs(counts, edges, color=_COLOURS.get(meaning, _OTHER), label=meaning, lw=1.4)
    bins, gate, bin_ps = a["bins"], a["gate_ps"], a["slot_ps"] / a["bins"]
    shaded = "the gate"
    for place in range(bins):
        middle = (place + 0.5) * bin_ps
        is_tests = bins > 1 and place == bins - 1
        if is_tests:
            axes.axvspan(middle - gate / 2, middle + gate / 2, color=_TEST, alpha=0.12, lw=0)
        elif gate < bin_ps or bins == 1:
            axes.axvspan(middle - gate / 2, middle + gate / 2, color="0.5", alpha=0.10, lw=0)
        axes.axvline(middle, color="0.5", lw=0.8, ls=":")
    if bins > 1:
        shaded = "the test arm's bin" if gate >= bin_ps else "the gates, the test arm's in orange"
    axes.set_yscale("log")
    axes.set_ylim(0.7, 30.0 * max(max(counts) for counts in a["tags"].values()) + 1.0)
    axes.set(xlabel=f"time in the slot (ps); shaded: {shaded}", ylabel="tags", xlim=(0, a["slot_ps"]))
    axes.legend(frameon=False, ncols=4, loc="upper right")


def _errors(axes: Any, f: dict[str, Any]) -> None:
    course = f["errors_over_time"]
    step = course["step_slots"] if course["step_s"] is None else course["step_s"]
    top = 0.0
    for name, colour in (("key", _COLOURS["key"]), ("test", _TEST)):
        at, rate, sigma = _rates_of(course[name]["sifted"], course[name]["errors"], step)
        if not at:
            continue
        low = [max(0.0, r - s) for r, s in zip(rate, sigma, strict=True)]
        high = [r + s for r, s in zip(rate, sigma, strict=True)]
        axes.fill_between(at, low, high, color=colour, alpha=0.25, lw=0)
        axes.plot(at, rate, color=colour, label=f"{name} basis, {100 * f['qber'][name]['qber']:.2f} %", lw=1.4)
        top = max(top, *rate)
    axes.set(xlabel="slot" if course["step_s"] is None else "Alice's time (s)", ylabel="QBER (%)")
    axes.set_ylim(0, max(1.0, 1.35 * top))
    if axes.lines:
        axes.legend(frameon=False, loc="upper right")


def _rates_of(sifted: list[int], errors: list[int], step: float) -> tuple[list[float], list[float], list[float]]:
    """Middles, QBER and its standard deviation (%), of at most 64 places that have detections."""
    fold = -(-len(sifted) // 64) or 1
    at: list[float] = []
    rate: list[float] = []
    sigma: list[float] = []
    for i in range(0, len(sifted), fold):
        n, wrong = sum(sifted[i : i + fold]), sum(errors[i : i + fold])
        if n:
            q = wrong / n
            at.append((i + fold / 2) * step)
            rate.append(100 * q)
            sigma.append(100 * math.sqrt(max(q * (1 - q), 1 / n) / n))
    return at, rate, sigma


def _rates(axes: Any, f: dict[str, Any]) -> None:
    step, rows = f["rates_over_time"]["step_s"], f["rates_over_time"]["tags"]
    for row in f["channels"]:
        counts = rows[row["channel"]]
        if not any(counts):
            continue
        whole = counts[:-1] or counts  # the last place is cut by the end
        at = [(i + 0.5) * step for i in range(len(whole))]
        colour = _COLOURS.get(row["meaning"], _OTHER)
        label = f"{row['channel']}: {row['meaning']}"
        axes.plot(at, [n / step / 1e3 for n in whole], color=colour, label=label, lw=1.4)
    axes.set_yscale("log")
    axes.set(xlabel="tagger's time (s)", ylabel="tags (kHz)")
    axes.legend(frameon=False, loc="best", ncols=2)


def _clock(axes: Any, s: dict[str, Any]) -> None:
    at = [point[0] for point in s["course"]]
    error = [1e6 * point[1] for point in s["course"]]
    axes.plot(at, error, color="#2a7f4f", lw=1.4, marker="." if len(at) < 40 else None)
    axes.set(xlabel="tagger's time (s)", ylabel="Alice's clock error (ppm)")
    axes.ticklabel_format(useOffset=False, axis="y")
    low, high = min(error), max(error)
    room = max(0.6 * (high - low), 2e-3)
    axes.set_ylim((low + high) / 2 - room, (low + high) / 2 + room)


def _levels(axes: Any, rows: list[dict[str, Any]]) -> None:
    known = all(row["gain"] is not None for row in rows)
    values = [row["gain"] if known else row["detections"] for row in rows]
    names = [f"{row['level']}" if row["intensity"] is None else f"{row['intensity']:g}" for row in rows]
    bars = axes.bar(names, values, color="#5b4a8a", width=0.5)
    labels = [f"{value:.3e}" if known else f"{value:,}" for value in values]
    axes.bar_label(bars, labels=labels, padding=2, fontsize=9)
    axes.set(ylabel="detections a pulse" if known else "detections")
    axes.set_xlabel("mean photon number" if rows and rows[0]["intensity"] is not None else "intensity level")
    axes.set_ylim(0, 1.18 * max([*values, 1e-12]))
    axes.set_axisbelow(True)
    axes.grid(visible=False, axis="x")
