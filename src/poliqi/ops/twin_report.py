"""What a run of a twin came to, for people, for programs and as a chart."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from poliqi.base.chartstyle import CHART_STYLE, check_format
from poliqi.base.errors import StoreError
from poliqi.control.lines import bits_text, rate_text, time_text
from poliqi.twin.result import Injected, Result

__all__ = ["answer", "draw", "table"]

_FAULTS: Final = 30
_COLOURS: Final = ("#1b6ca8", "#c05a1c", "#2e8b57", "#8a3ffc", "#b8860b", "#d6336c", "#3c7d7d", "#555555")


def answer(result: Result, wall_s: float) -> dict[str, Any]:
    """The run as plain data: what --json prints."""
    named, due = result.named
    return {
        "scenario": result.scenario,
        "seed": result.seed,
        "simulated": True,
        "duration_s": result.duration_s,
        "wall_s": round(wall_s, 3),
        "broken": result.broken or None,
        "digest": result.digest,
        "keys_delivered": result.keys_delivered,
        "keys_fetched": result.keys_fetched,
        "orders_refused": result.refused,
        "worst_heal_s": result.worst_heal_s,
        "recovered_s": result.recovered_s,
        "faults": [_fault(i) for i in result.injected],
        "faults_named": named,
        "faults_due": due,
        "alarms": [{"at_s": a.at_s, "cause": a.cause, "text": a.line} for a in result.alarms],
        "demands": {
            name: {
                "orders": s.orders,
                "refused": dict(sorted(s.refused.items())),
                "keys": s.keys,
                "bits": s.bits,
                "fetched": s.fetched,
                "lost": s.lost,
                "longest_without_s": s.worst_wait_s,
            }
            for name, s in result.served.items()
        },
        "links": {"blocks": result.blocks, "secret_bits": result.secret_bits, "surplus_bits": result.surplus_bits},
        "events": result.events,
        "scanned_bytes": result.scanned_bytes,
        "steps": result.steps,
    }


def _fault(injected: Injected) -> dict[str, Any]:
    alarm = injected.first_alarm
    return {
        "kind": injected.fault.kind,
        "where": where(injected),
        "at_s": injected.at_s,
        "until_s": injected.until_s,
        "heal_s": injected.heal_s,
        "first_alarm": None if alarm is None else alarm.line,
        "named_after_s": injected.named_s,
        "alarm_due": bool(injected.expected),
    }


def where(injected: Injected) -> str:
    """What a fault struck."""
    f = injected.fault
    return " ".join(str(n) for n in (f.span, f.group, f.link, f.site, f.demand, *f.sites) if n)


def table(result: Result, wall_s: float) -> str:
    """The run for people."""
    named, due = result.named
    heal = result.worst_heal_s
    made, surplus = bits_text(result.secret_bits), bits_text(result.surplus_bits)
    speed = result.duration_s / wall_s if wall_s > 0 else 0.0
    lines = [
        f"{result.scenario}, seed {result.seed}; light is simulated",
        f"time          {time_text(result.duration_s)} in {wall_s:.1f} s, {speed:,.0f} times real time",
        "",
        f"links         {result.blocks:,} blocks, {made} of key, of which {surplus} found the stocks full",
        f"keys          {result.keys_delivered:,} given out, {result.keys_fetched:,} fetched at the other end",
        f"orders        {sum(s.orders for s in result.served.values()):,}, of them {result.refused:,} refused",
        "worst heal    "
        + ("no route had to move" if heal is None else f"{heal:.2f} s from a fault to routes around it"),
        f"alarms        {len(result.alarms)} raised; {named} of {due} faults that call for one were named",
        f"log           sha256 {result.digest}",
        "",
    ]
    lines += _demands(result)
    lines += _faults(result)
    if result.broken:
        lines += ["", f"BROKEN: {result.broken}"]
    else:
        lines += [
            "",
            "every invariant held: no key twice, ends equal, stock never negative, no key at the controller",
        ]
    return "\n".join(lines)


def _demands(result: Result) -> list[str]:
    rows = [f"{'demand':24} {'orders':>8} {'refused':>8} {'keys':>10} {'rate':>12} {'longest without':>16}"]
    for name, s in result.served.items():
        rate = rate_text(s.bits / result.duration_s) if result.duration_s else ""
        refused = sum(s.refused.values())
        rows.append(f"{name:24} {s.orders:8,} {refused:8,} {s.keys:10,} {rate:>12} {time_text(s.worst_wait_s):>16}")
    return rows


def _faults(result: Result) -> list[str]:
    if not result.injected:
        return []
    rows = ["", f"{'fault':13} {'where':26} {'at':>9} {'healed in':>10} {'named in':>9}  first alarm after it"]
    for i in result.injected[:_FAULTS]:
        heal = "-" if i.heal_s is None else f"{i.heal_s:.2f} s"
        name = "-" if i.named_s is None else f"{i.named_s:.1f} s"
        alarm = "" if i.first_alarm is None else i.first_alarm.line[:60]
        rows.append(
            f"{i.fault.kind or '':13} {where(i)[:26]:26} {time_text(i.at_s):>9} {heal:>10} {name:>9}  {alarm}"
        )
    if len(result.injected) > _FAULTS:
        rows.append(f"... and {len(result.injected) - _FAULTS} more: --json has them all")
    return rows


def draw(result: Result, path: Path) -> None:
    """Key rate of all links and stock of every pair against time, faults shaded, into a .svg or .png."""
    check_format(path)
    import matplotlib
    from matplotlib.figure import Figure

    unit_s, unit = (
        (3600.0, "h") if result.duration_s > 7200 else (60.0, "min") if result.duration_s > 120 else (1.0, "s")
    )
    style: Any = matplotlib  # its annotations are partial
    with style.rc_context(CHART_STYLE):
        figure: Any = Figure(figsize=(9.0, 6.0), layout="constrained")
        rate, stock = figure.subplots(2, 1, sharex=True, height_ratios=(2, 3))
        times = [p.at_s / unit_s for p in result.points]
        rate.plot(times, [p.key_rate_bps / 1e6 for p in result.points], color=_COLOURS[0])
        rate.set(ylabel="key of all links (Mbit/s)")
        rate.set_ylim(bottom=0)
        pairs = sorted({pair for p in result.points for pair in p.stock_bits})
        for place, pair in enumerate(pairs):
            levels = [p.stock_bits.get(pair, 0) / 1e6 for p in result.points]
            line = "-" if place < len(_COLOURS) else "--"
            label = " - ".join(pair) if len(pairs) <= 2 * len(_COLOURS) else None
            stock.plot(times, levels, line, lw=1.2, color=_COLOURS[place % len(_COLOURS)], label=label)
        stock.set(xlabel=f"virtual time ({unit})", ylabel="free key of a pair (Mbit)")
        stock.set_ylim(bottom=0)
        for axes in (rate, stock):
            for i in result.injected[:200]:
                end = result.duration_s if i.until_s is None else i.until_s
                axes.axvspan(i.at_s / unit_s, end / unit_s, color="#c92a2a", alpha=0.12, lw=0)
        if len(pairs) <= 2 * len(_COLOURS):
            figure.legend(*stock.get_legend_handles_labels(), loc="outside right upper", frameon=False, fontsize=8)
        figure.suptitle(f"{result.scenario}, seed {result.seed} (simulated; faults shaded)", x=0.02, ha="left")
        try:
            figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix.lower() == ".svg" else None)
        except OSError as error:
            raise StoreError(f"--plot {path}: cannot be written ({error.strerror}); name another file") from None
