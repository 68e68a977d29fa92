"""What a running end says: one record per happening, as JSON or as a line to read."""

from __future__ import annotations

import json
import math
from typing import Any, assert_never

from poliqi.base.ids import Origin
from poliqi.distill.outcome import BlockReport

__all__ = ["block_record", "describe", "light_name", "to_json"]

Record = dict[str, Any]


def light_name(origin: Origin) -> str:
    """Where the light came from, as it stands on every line."""
    match origin:
        case Origin.PHOTONS:
            return "photons"
        case Origin.SIMULATED:
            return "simulated light"
        case Origin.REPLAY:
            return "replayed light"
        case _:
            assert_never(origin)


def block_record(report: BlockReport, *, reason: str | None, clock_hz: float | None, took_s: float) -> Record:
    """All figures of one block. `epsilon` is None unless the light was real; then `epsilon_if_real` says what
    the same block of real light would have had.
    """
    real = report.origin is Origin.PHOTONS
    total = None if report.ledger is None else report.ledger.total
    light_s = None if clock_hz is None else report.pulses / clock_hz
    return {
        "block": report.block,
        "light": light_name(report.origin),
        "pulses": report.pulses,
        "light_s": light_s,
        "took_s": round(took_s, 3),
        "detections": report.detections,
        "sifted_key": report.sifted_key,
        "sifted_test": report.sifted_test,
        "qber_key": report.qber_key,
        "qber_test": report.qber_test,
        "f": report.efficiency,
        "reconciler": report.reconciler,
        "rounds": report.rounds,
        "failed_frames": report.failed_frames,
        "leak_alice": report.leak_alice,
        "leak_bob": report.leak_bob,
        "leak_counted": report.leak_counted,
        "leak_cap": report.leak_cap,
        "leak_model": report.leak_model.value,
        "counts": _counts(report),
        "bound": _bound(report),
        "gross_bits": report.gross_bits,
        "refill_bits": report.refill_bits,
        "net_bits": report.net_bits,
        "rate_bit_s": None if not light_s else report.net_bits / light_s,
        "epsilon": total if real and report.gross_bits else None,
        "epsilon_if_real": None if real or not report.gross_bits else total,
        "reason": reason,
    }


def _counts(report: BlockReport) -> Record | None:
    """Detections per intensity, brightest first; errors are public once they are corrected."""
    if report.counts is None:
        return None
    c = report.counts
    return {
        "intensities": list(c.intensities),
        "probabilities": list(c.probabilities),
        "key": {"detections": list(c.key.detections), "errors": list(c.key.errors)},
        "test": {"detections": list(c.test.detections), "errors": list(c.test.errors)},
    }


def _bound(report: BlockReport) -> Record | None:
    """What the proof says of the counts under the contract's leak cap."""
    bound = report.bound
    if bound is None:
        return None
    return {
        "length": bound.length,
        "phase_error": bound.phase_error if math.isfinite(bound.phase_error) else None,
        "single_photon_key": bound.single_photon_key,
        "single_photon_test": bound.single_photon_test,
        "proof": bound.proof.value,
        "assumptions": list(bound.assumptions),
        "reason": bound.reason,
    }


def to_json(record: Record) -> str:
    """One line of JSON."""
    return json.dumps(record, separators=(",", ":"))


def describe(record: Record) -> str:
    """The record as a line for people."""
    at = f"{record['time_s']:7.1f} s  " if "time_s" in record else ""
    if record["event"] == "block":
        return at + _describe_block(record)
    return at + str(record.get("text", record["event"]))


def _describe_block(r: Record) -> str:
    parts = [
        f"block {r['block']}",
        f"QBER {_percent(r['qber_key'])} key {_percent(r['qber_test'])} test",
        f"{r['reconciler']} f " + ("-" if r["f"] is None else f"{r['f']:.3f}"),
        f"leak {r['leak_alice']:,} + {r['leak_bob']:,} bits",
    ]
    if r["gross_bits"]:
        epsilon = r["epsilon"] if r["epsilon"] is not None else r["epsilon_if_real"]
        named = "epsilon" if r["epsilon"] is not None else "epsilon if it were real"
        parts.append(f"secret {r['gross_bits']:,} bits, net {r['net_bits']:,}")
        parts.append(f"{named} {epsilon:.2g}")
    else:
        parts.append(f"NO KEY: {r['reason']}")
    return "  ".join([*parts, f"({r['light']})"])


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f} %"
