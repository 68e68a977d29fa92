"""The figures of `poliqi link open` on a terminal: compact tables, and courses as rows of blocks."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["survey_text"]

_BLOCKS: Final = " ▁▂▃▄▅▆▇█"
_WIDTH: Final = 64
_FORMS: Final = {"raw": "time tags", "csv": "time tags (CSV)", "ptu": "time tags (PTU)", "events": "recording"}
_LIGHTS: Final = {"simulated": "simulated light", "replay": "replayed light", "photons": "recorded photons"}


def survey_text(figures: dict[str, Any]) -> str:
    """All of it, line by line."""
    lines = [_head(figures)]
    if "channels" in figures:
        lines += ["", *_rates(figures), "", *_sync(figures["sync"]), "", *_arrival(figures["arrival"])]
        lines += ["", _left_out(figures)]
    lines += ["", *_errors(figures), "", *_bases(figures["bases"]), "", *_levels(figures["levels"])]
    lines += [f"NOTE: {text}" for text in figures["remarks"]]
    for name in ("events", "drawing"):
        if figures.get(name):
            lines.append(f"written: {figures[name]}")
    return "\n".join(lines)


def _head(f: dict[str, Any]) -> str:
    form = {"raw": "time tags", "csv": "time tags (CSV)", "ptu": "time tags (PTU)", "events": "recording"}[
        f["form"]
    ]
    link = "" if f["link"] is None else f" of {f['link']}"
    slots, clock = f["slots"], f["clock_hz"]
    length = f"{slots:,} slots" if clock is None else f"{slots:,} slots ({slots / clock:.4g} s)"
    return f"{f['file']}: {form}{link}, {_LIGHTS[f['origin']]}, {length}, {f['detections']:,} detections"


def _rates(f: dict[str, Any]) -> list[str]:
    rows = f["channels"]
    most = max(row["rate_hz"] for row in rows) or 1.0
    out = [f"{f['tags']:,} tags in {f['seconds']:.4g} s"]
    for row in rows:
        named = f"  input {row['channel']:>3}  {row['meaning']:<7}"
        bar = "█" * round(24 * row["rate_hz"] / most)
        out.append(f"{named}{row['tags']:>14,}  {_hertz(row['rate_hz']):>10}  {bar}")
    return out


def _sync(s: dict[str, Any]) -> list[str]:
    drift = ""
    if s["drift_per_s"] is not None:
        drift = f", drifting {1e9 * s['drift_per_s']:+.3g} +- {1e9 * s['drift_sigma']:.1g} ppb/s"
    found = max(s["false_alarm"], 1e-99)
    start = f"slots: slot 0 begins at {s['start_s']:.12f} s"
    sure = f"{s['score']:.1f} standard deviations; chance of a wrong count below {found:.1g}"
    arms = ", ".join(f"{arm['meaning']} {arm['late_ps']:+.1f} ps" for arm in s["arms"])
    return [
        f"{start}; Alice's clock {1e6 * s['clock_error']:+.6f} ppm off{drift}",
        f"  found in {s['window_slots']:,} public slots at {sure}",
        f"  arrival against the middle of the bin: {arms}",
    ]


def _arrival(a: dict[str, Any]) -> list[str]:
    cells = len(next(iter(a["tags"].values())))
    fold = max(1, cells // _WIDTH)
    slot, gate, bins = a["slot_ps"], a["gate_ps"], a["bins"]
    out = [f"arrival in the slot, {slot:,.0f} ps across, root scale ({_gates(slot, gate, bins)})"]
    for meaning, counts in a["tags"].items():
        row = [sum(counts[i : i + fold]) ** 0.5 for i in range(0, cells, fold)]
        out.append(f"  {meaning:<6} {_blocks(row)}")
    places = [(i + 0.5) / (cells // fold) for i in range(cells // fold)]
    taken = "".join("-" if _in_gate(place, slot, gate, bins) else " " for place in places)
    if bins == 1:
        return [*out, f"  gate   {taken}"]
    late = (bins - 1) / bins
    of_test = "".join(mark if place >= late else " " for place, mark in zip(places, taken, strict=True))
    return [*out, f"  gate k {taken}", f"  gate t {of_test}"]


def _gates(slot: float, gate: float, bins: int) -> str:
    if bins == 1:
        return f"gate {gate:,.0f} ps"
    whole = ", the whole bin" if gate >= slot / bins else ""
    return f"gate {gate:,.0f} ps{whole}; key arm: {bins} bins, test arm: the last one, where its ways interfere"


def _in_gate(place: float, slot: float, gate: float, bins: int) -> bool:
    away = abs(place * bins % 1.0 - 0.5) / bins * slot
    return bool(away <= gate / 2.0)


def _left_out(f: dict[str, Any]) -> str:
    lost = f["left_out"]
    side = ""
    if lost["test_side_bin"]:
        side = f"{lost['test_side_bin']:,} in the bin where the test arm does not interfere, "
    text = (
        f"left out: {lost['outside_gate']:,} tags outside the gate, {side}{lost['dead_time']:,} in the dead time "
        f"({f['dead_time_s'] * 1e9:g} ns), {lost['afterpulses']:,} afterpulses, {lost['repeats']:,} repeats; "
        f"{f['doubles']:,} double clicks made random"
    )
    if f["beyond_states"]:
        text += f"; {f['beyond_states']:,} detections after Alice's last known state"
    return text


def _errors(f: dict[str, Any]) -> list[str]:
    course = f["errors_over_time"]
    step = f"{course['step_slots']:,} slots" if course["step_s"] is None else f"{1e3 * course['step_s']:.3g} ms"
    out = [f"QBER over time, {step} a place"]
    for name in ("key", "test"):
        total = f["qber"][name]
        if total["qber"] is None:
            out.append(f"  {name:<5} no sifted detection")
            continue
        rates = _folded(course[name]["sifted"], course[name]["errors"])
        top = max(*rates, 1e-9)
        out.append(
            f"  {name:<5}{100 * total['qber']:6.2f} % of {total['sifted']:,}   up to {100 * top:.2f} %  "
            f"{_blocks([r / top for r in rates])}"
        )
    return out


def _folded(sifted: list[int], errors: list[int]) -> list[float]:
    fold = -(-len(sifted) // (_WIDTH // 2)) or 1
    out: list[float] = []
    for i in range(0, len(sifted), fold):
        n = sum(sifted[i : i + fold])
        out.append(sum(errors[i : i + fold]) / n if n else 0.0)
    return out


def _bases(table: list[list[int]]) -> list[str]:
    total = sum(map(sum, table)) or 1
    out = ["bases            Bob key            Bob test"]
    for name, row in zip(("key", "test"), table, strict=True):
        cells = "".join(f"{n:>12,} {100 * n / total:5.1f} %" for n in row)
        out.append(f"  Alice {name:<4}{cells}")
    return out


def _levels(rows: list[dict[str, Any]]) -> list[str]:
    out = ["intensities   mean photons  detections        gain    QBER key   QBER test"]
    for row in rows:
        mu = "-" if row["intensity"] is None else f"{row['intensity']:.4g}"
        gain = "-" if row["gain"] is None else f"{row['gain']:.3e}"
        errors = "".join(f"{_percent(row[name]['qber']):>12}" for name in ("key", "test"))
        out.append(f"  {row['level']:<12}{mu:>12}{row['detections']:>12,}{gain:>12}{errors}")
    return out


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f} %"


def _blocks(values: list[float]) -> str:
    top = max(values, default=0.0)
    if top <= 0.0:
        return " " * len(values)
    steps = len(_BLOCKS) - 1
    return "".join(_BLOCKS[0 if v <= 0.0 else max(1, round(steps * v / top))] for v in values)


def _hertz(rate: float) -> str:
    factor, unit = next(((f, u) for f, u in ((1e6, "MHz"), (1e3, "kHz")) if rate >= f), (1.0, "Hz"))
    return f"{rate / factor:.4g} {unit}"
