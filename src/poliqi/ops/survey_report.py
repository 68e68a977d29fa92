"""What `poliqi link open` found, as figures: one record for JSON, for the terminal and for a drawing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from poliqi.link.recording import LinkFigures
    from poliqi.link.survey import Sync, TagPass, Tally
    from poliqi.link.sync.ingest import Counters
    from poliqi.link.sync.recover import SyncSettings
    from poliqi.link.timetags.tags import Tagging

__all__ = ["remarks", "table_figures", "tag_figures"]

_BASES: Final = ("key", "test")
_SWAPPED: Final = 0.75
_COINS: Final = 0.35
_SHOWN_CELLS: Final = 128
_FEW: Final = 100


def table_figures(tally: Tally, slots: int, clock_hz: float | None, link: LinkFigures | None) -> dict[str, Any]:
    """Bases, intensities and errors over time, of detections in slots 0 to `slots - 1`."""
    sifted = tally.sifted
    total = sifted.sum(axis=0)
    levels = 4 if link is None else len(link.intensities)
    cells = tally.cells.sum(axis=(1, 2, 3, 4))
    return {
        "slots": slots,
        "clock_hz": clock_hz,
        "detections": int(cells.sum()),
        "bases": tally.bases.tolist(),
        "qber": {name: _errors(total[basis]) for basis, name in enumerate(_BASES)},
        "levels": [
            _level(k, sifted[k], int(cells[k]), slots, link) for k in range(levels) if cells[k] or link is not None
        ],
        "errors_over_time": _errors_over_time(tally, clock_hz),
        "remarks": remarks(total),
    }


def tag_figures(found: TagPass, tagging: Tagging, settings: SyncSettings, window: int) -> dict[str, Any]:
    """Rates, synchronisation, arrival and what was left out, of tags."""
    last, first = found.last_ps, found.first_ps
    seconds = max(last - first, 1) / 1e12
    named = sorted(tagging.channels, key=lambda c: c.number)
    counters = found.counters
    return {
        "seconds": seconds,
        "tags": int(found.seen.sum()),
        "channels": [
            {
                "channel": c.number,
                "meaning": c.meaning.value,
                "tags": int(found.seen[c.number]),
                "rate_hz": float(found.seen[c.number]) / seconds,
                "delay_ps": c.delay_ps,
            }
            for c in named
        ],
        "sync": _sync(found.sync, window),
        "arrival": _arrival(counters.arrivals, tagging),
        "left_out": _left_out(counters, tagging),
        "dead_time_s": settings.filters.common_s,
        "doubles": counters.doubles,
        "beyond_states": found.beyond,
        "rates_over_time": {
            "step_s": found.rates.width / 1e12,
            "tags": {c.number: found.rates.counts[:, c.number].tolist() for c in named},
        },
    }


def remarks(total: NDArray[np.int64]) -> list[str]:
    """What the errors of both bases, int64 [basis, (detections, errors)], say is wrong with the channels."""
    told: list[str] = []
    for basis, name in enumerate(_BASES):
        n, wrong = (int(value) for value in total[basis])
        if n < _FEW:
            told.append(f"{name} basis: {n} sifted detections are too few to tell an error rate")
        elif wrong > _SWAPPED * n:
            told.append(
                f"{name} basis: {100 * wrong / n:.1f} % wrong: its two channels are swapped; swapped back it is "
                f"{100 * (1 - wrong / n):.1f} %"
            )
        elif wrong > _COINS * n:
            told.append(
                f"{name} basis: {100 * wrong / n:.1f} % wrong, which is chance: the slots are not those of Alice's "
                f"states, or channels of the two bases are swapped"
            )
    return told


def _errors(pair: NDArray[np.int64]) -> dict[str, Any]:
    n, wrong = int(pair[0]), int(pair[1])
    return {"sifted": n, "errors": wrong, "qber": wrong / n if n else None}


def _level(
    level: int, sifted: NDArray[np.int64], cells: int, slots: int, link: LinkFigures | None
) -> dict[str, Any]:
    sent = None if link is None else slots * link.probabilities[level]
    return {
        "level": level,
        "intensity": None if link is None else link.intensities[level],
        "detections": cells,
        "gain": None if not sent else cells / sent,
        **{name: _errors(sifted[basis]) for basis, name in enumerate(_BASES)},
    }


def _errors_over_time(tally: Tally, clock_hz: float | None) -> dict[str, Any]:
    found = tally.errors_over_time
    step = tally.course.width
    return {
        "step_slots": step,
        "step_s": None if clock_hz is None else step / clock_hz,
        **{
            name: {"sifted": found[:, b, 0].tolist(), "errors": found[:, b, 1].tolist()}
            for b, name in enumerate(_BASES)
        },
    }


def _sync(sync: Sync, window: int) -> dict[str, Any]:
    return {
        "start_s": sync.clock.start_ps / 1e12,
        "clock_error": sync.clock.error,
        "drift_per_s": sync.clock.drift_per_s,
        "drift_sigma": sync.clock.drift_sigma,
        "window_slots": window,
        "score": sync.offset.score,
        "false_alarm": sync.offset.false_alarm,
        "arms": [
            {"channel": a.channel, "meaning": a.meaning.value, "late_ps": a.late_ps, "visibility": a.visibility}
            for a in sync.arms
        ],
        "course": [list(point) for point in sync.course],
    }


def _left_out(counters: Counters, tagging: Tagging) -> dict[str, int]:
    """Tags that made no detection, by why. Those of the test arm in the bin where its two ways do not meet, which
    the interferometer gives by its nature, stand apart from what comes at a wrong time.
    """
    from poliqi.link.sync.gates import gate_table

    gates = gate_table(tagging)
    beside = (gates[0] >= 0) & (gates[2] < 0)
    side = int(counters.arrivals[2:4, beside].sum(dtype=np.int64))
    outside, dead, afterpulses, repeats = (int(n) for n in counters.lost.sum(axis=0))
    return {
        "outside_gate": outside - side,
        "test_side_bin": side,
        "dead_time": dead,
        "afterpulses": afterpulses,
        "repeats": repeats,
    }


def _arrival(arrivals: NDArray[np.uint32], tagging: Tagging) -> dict[str, Any]:
    from poliqi.link.timetags.tags import code_table

    table = code_table(tagging)
    folded = arrivals.astype(np.int64).reshape(arrivals.shape[0], _SHOWN_CELLS, -1).sum(axis=2)
    return {
        "slot_ps": tagging.slot_ps,
        "bins": tagging.bins,
        "gate_ps": tagging.gate_ps or tagging.slot_ps / tagging.bins,
        "tags": {
            c.meaning.value: folded[table[c.number]].tolist()
            for c in sorted(tagging.channels, key=lambda c: c.number)
            if table[c.number] < arrivals.shape[0]
        },
    }
