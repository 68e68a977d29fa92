"""Charts for files: drawn with matplotlib, imported when one is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from poliqi.base.chartstyle import CHART_STYLE, check_format
from poliqi.base.errors import StoreError

__all__ = ["SweepPoint", "draw_model", "draw_rate"]


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """One distance: rates in bits per second and QBERs as fractions."""

    length_m: float
    rate_hz: float
    endless_rate_hz: float
    qber_key: float
    qber_test: float


def draw_rate(points: list[SweepPoint], own: SweepPoint, title: str, block: str, path: Path) -> None:
    """Draw rate (log scale) and QBER against distance, with the link's own distance marked, into `path`."""
    check_format(path)
    import matplotlib
    from matplotlib.figure import Figure

    style: Any = matplotlib  # its annotations are partial
    with style.rc_context(CHART_STYLE):
        figure: Any = Figure(figsize=(7.2, 5.6), layout="constrained")
        rates, errors = figure.subplots(2, 1, sharex=True, height_ratios=(5, 2))
        km = [p.length_m / 1e3 for p in points]
        _rates(rates, km, points, own, block)
        errors.plot(km, [100 * p.qber_key for p in points], color="#1b6ca8", label="key basis")
        errors.plot(km, [100 * p.qber_test for p in points], color="#c05a1c", ls="--", label="test basis")
        errors.set(xlabel="fibre length (km)", ylabel="QBER (%)", xlim=(0, km[-1]))
        errors.set_ylim(0, min(50.0, max(2.0, 1.6 * max(100 * max(p.qber_key, p.qber_test) for p in points))))
        errors.legend(frameon=False, loc="upper right", ncols=2)
        for axes in (rates, errors):
            axes.axvline(own.length_m / 1e3, color="0.4", lw=0.8, ls=":")
        figure.suptitle(title, x=0.02, ha="left", fontsize=12)
        _save(figure, path)


def draw_model(
    points: list[tuple[float, float]], own: tuple[float, float], title: str, label: str, path: Path
) -> None:
    """Draw rates (bit/s, log scale) of (length in m, rate) pairs, `own` marked, into `path`."""
    check_format(path)
    import matplotlib
    from matplotlib.figure import Figure

    style: Any = matplotlib  # its annotations are partial
    with style.rc_context(CHART_STYLE):
        figure: Any = Figure(figsize=(7.2, 4.2), layout="constrained")
        axes = figure.subplots()
        km = [length / 1e3 for length, _ in points]
        positive = [rate for _, rate in (*points, own) if rate > 0.0]
        top = max(positive, default=1.0)
        bottom = max(min(positive, default=1.0) / 2, top / 1e8)
        axes.set_yscale("log")
        axes.set(
            xlabel="fibre length (km)", ylabel="secret key (bit/s)", xlim=(0, km[-1]), ylim=(bottom, top * 2.5)
        )
        axes.plot(km, _cut([rate for _, rate in points], bottom), color="#1b6ca8", lw=2, label=label)
        axes.axvline(own[0] / 1e3, color="0.4", lw=0.8, ls=":")
        if own[1] > 0.0:
            axes.plot([own[0] / 1e3], [own[1]], "o", color="#1b6ca8", ms=6, zorder=5)
        axes.legend(frameon=False, loc="upper right")
        figure.suptitle(f"{title}, {own[0] / 1e3:g} km: {_bits(own[1])}", x=0.02, ha="left", fontsize=12)
        _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    try:
        figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix.lower() == ".svg" else None)
    except OSError as error:
        raise StoreError(f"--plot {path}: cannot be written ({error.strerror}); name another file") from None


def _rates(axes: Any, km: list[float], points: list[SweepPoint], own: SweepPoint, block: str) -> None:
    positive = [r for p in (*points, own) for r in (p.rate_hz, p.endless_rate_hz) if r > 0]
    top = max(positive, default=1.0)
    bottom = max(min(positive, default=1.0) / 2, top / 1e8)
    axes.set_ylim(bottom, top * 2.5)
    axes.set_yscale("log")
    axes.plot(km, _cut([p.rate_hz for p in points], bottom), color="#1b6ca8", lw=2, label=block)
    axes.plot(
        km, _cut([p.endless_rate_hz for p in points], bottom), color="0.45", ls="--", lw=1.2, label="endless block"
    )
    axes.set_ylabel("secret key (bit/s)")
    axes.legend(frameon=False, loc="upper right")
    at = own.length_m / 1e3
    if own.rate_hz > 0:
        axes.plot([at], [own.rate_hz], "o", color="#1b6ca8", ms=6, zorder=5)
    text = f"{at:g} km: {_bits(own.rate_hz)}"
    low, high = axes.get_ylim()
    left = at < 0.6 * max(km[-1], 1e-9)
    axes.annotate(
        text,
        (at, low * (high / low) ** 0.06),
        xytext=(6 if left else -6, 0),
        textcoords="offset points",
        ha="left" if left else "right",
    )


def _cut(rates: list[float], bottom: float) -> list[float]:
    """Rates with the fall to nothing drawn down to the axis, and no line beyond it."""
    drawn: list[float] = []
    for rate in rates:
        before = drawn[-1] if drawn else 0.0
        drawn.append(rate if rate > 0.0 else bottom / 10 if before > bottom / 10 else float("nan"))
    return drawn


def _bits(rate_hz: float) -> str:
    if rate_hz <= 0.0:
        return "no key"
    factor, unit = next(((f, u) for f, u in ((1e6, "Mbit/s"), (1e3, "kbit/s")) if rate_hz >= f), (1.0, "bit/s"))
    return f"{rate_hz / factor:.3g} {unit}"
