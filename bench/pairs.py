"""Entangled pairs to secret blocks (BBM92), both parties at once: sifted Mbit/s a core, the work of both ends
counted.

The harness is that of `bench.distill`, and so is what runs: the session itself, from Bob's detections and Alice's
states to the key in both ends' hands. Bob announces several detections for each that is sifted, because Alice saw
her half of few pairs: `announced_per_sifted` says how many. A rate a core is bits that were sifted in a second of
processor time, of both ends' threads together: packing and sifting what was detected, tags, correction,
amplification.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bench.distill import ROUND_TRIP_S, light, measure
from bench.report import Metric
from poliqi.base.ids import LinkId, Origin
from poliqi.distill.plan import block_pulses, plan_contract
from poliqi.edge.memory import keep_freed_memory
from poliqi.optics.parameters import Block, Detector, DetectorKind, Fibre, LinkParameters, Pairs, Receiver, Source
from poliqi.proof import ProofName

__all__ = ["GOAL_MBIT_S", "link", "run", "session_rows"]

GOAL_MBIT_S = 50.0
_SIZE = 20_000_000
_RECONCILER = "cascade-few-rounds"


def link(sifted_key: int = _SIZE) -> LinkParameters:
    """A source at Alice, 3 dB of her own loss, 10 km of fibre to Bob; both detect 80 % of what arrives; QBER 2
    %.
    """
    receiver = Receiver(0.0025, 0.0025, loss_db=3.0)
    return LinkParameters(
        name="bench of pairs",
        source=Source(1e9, (0.02,), (1.0,), 0.9),
        fibre=Fibre(10e3, 0.2),
        receiver=replace(receiver, loss_db=0.0),
        detector=Detector(DetectorKind.SNSPD, 0.8, dark_rate_hz=100.0),
        block=Block(sifted_key=sifted_key, proof=ProofName.BBM92),
        pairs=Pairs(visibility_key=0.99, visibility_test=0.99, receiver=receiver),
    )


def session_rows(blocks: int, repeats: int, sifted_key: int = _SIZE) -> list[dict[str, Any]]:
    """A run each with the ends side by side and 250 us apart: the one of `repeats` with the median rate a core."""
    keep_freed_memory()
    parameters = link(sifted_key)
    pulses = block_pulses(parameters)
    drawn = light(parameters, pulses)
    contract = plan_contract(
        parameters,
        pulses,
        link_id=LinkId("bench"),
        origin=Origin.SIMULATED,
        entropy="os.urandom",
        reconciler=_RECONCILER,
    )
    rows: list[dict[str, Any]] = []
    for round_trip_s in (0.0, ROUND_TRIP_S):
        runs = [_with_rates(measure(contract, drawn, blocks, round_trip_s / 2)) for _ in range(repeats)]
        runs.sort(key=lambda run: run["sifted_mbit_s_a_core"])
        row = {"reconciler": _RECONCILER, "round_trip_us": 1e6 * round_trip_s, "announced": drawn[0].slots.size}
        row |= runs[len(runs) // 2]
        row["announced_per_sifted"] = round(row["announced"] / row["block"], 2)
        row["all_sifted_mbit_s_a_core"] = [round(run["sifted_mbit_s_a_core"], 1) for run in runs]
        rows.append(row)
    return rows


def _with_rates(run: dict[str, Any]) -> dict[str, Any]:
    busy = {role: sum(spent.values()) for role, spent in run["cpu_s_a_block"].items()}
    return run | {
        "cpu_s_a_block_in_all": {role: round(seconds, 4) for role, seconds in busy.items()},
        "sifted_mbit_s_a_core": run["block"] / sum(busy.values()) / 1e6,
    }


def run(quick: bool) -> tuple[list[Metric], dict[str, Any]]:
    """BBM92 sessions of blocks of 2e7 sifted bits."""
    near, far = session_rows(3, 3 if quick else 7)
    return [
        Metric("BBM92 sifted Mbit/s a core", near["sifted_mbit_s_a_core"], "Mbit/s", GOAL_MBIT_S, "min"),
        Metric("BBM92 sifted Mbit/s, both ends", near["sifted_mbit_s"], "Mbit/s", None, "min"),
        Metric("BBM92 secret Mbit/s, both ends", near["secret_mbit_s"], "Mbit/s", None, "min"),
        Metric("250 us apart / beside", far["sifted_mbit_s"] / near["sifted_mbit_s"], "-", None, "min"),
    ], {"rows": [near, far]}
