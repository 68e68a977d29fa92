"""Cities in virtual time: a day of the five sites, a thousand nodes against real time, short storms a second."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.report import Metric
from poliqi.base.ids import KmeId, LinkId
from poliqi.control.city import City, Demand, QuantumLink, Site, Span, SpanId
from poliqi.ops.config import default_link
from poliqi.ops.scenario_toml import load_scenario
from poliqi.twin.result import Result
from poliqi.twin.scenario import Fault, FaultKind, Load, Pace, Scenario
from poliqi.twin.world import run as run_twin

EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "milan"
NODES = 1000
ROW = 40


def thousand(duration_s: float) -> Scenario:
    """A grid of a thousand sites; demands between sites two hops apart, and a cut."""
    names = [KmeId(f"n{i:04}") for i in range(NODES)]
    sites = tuple(Site(n, n, 45.4 + 0.001 * (i // ROW), 9.1 + 0.001 * (i % ROW)) for i, n in enumerate(names))
    pairs = [(i, i + 1) for i in range(NODES - 1) if (i + 1) % ROW] + [(i, i + ROW) for i in range(NODES - ROW)]
    spans = tuple(
        Span(SpanId(f"s{a}-{b}"), (names[a], names[b]), 3.0, 0.3, 1.5, is_invented=True) for a, b in pairs
    )
    links = tuple(QuantumLink(LinkId(s.span), s.ends, (s.span,), "d") for s in spans)
    demands = tuple(
        Demand(f"d{i}", (names[i], names[i + 2]), 1000.0) for i in range(0, NODES - 2, 10) if i % ROW < ROW - 2
    )
    link = default_link()
    bare = replace(link.fibre, length_m=0.0, connectors_db=0.0, switch_db=0.0, mux_db=0.0)
    device = replace(link, fibre=bare, block=replace(link.block, sifted_key=100_000_000))
    return Scenario(
        "a thousand nodes",
        City("a grid", sites, spans, links, demands, is_simulated=True),
        {"d": device},
        duration_s,
        (Fault(FaultKind.CUT, at_s=duration_s / 2, span=spans[5].span, for_s=duration_s / 4),),
        load=Load(every_s=20.0, share=0.05, most_keys=4),
        pace=Pace(tick_s=4.0, light_s=4.0, watch_s=60.0),
        capacity=1 << 16,
        low_water=1 << 13,
        optimise=False,
        pairs=tuple((min(d.ends), max(d.ends)) for d in demands),
    )


def _timed(scenario: Scenario, seed: int) -> tuple[float, Result]:
    began = time.perf_counter()
    result = run_twin(scenario, seed)
    took = time.perf_counter() - began
    if result.broken:
        raise RuntimeError(f"{scenario.name}, seed {seed}: {result.broken}")
    return took, result


def run(quick: bool) -> tuple[list[Metric], dict[str, Any]]:
    """All at count level, every invariant checked."""
    day = load_scenario(EXAMPLES / "day.scenario.toml", {"duration": "2 h"} if quick else {})
    day_s, result = _timed(replace(day, faults=() if quick else day.faults), 1)
    day_s *= 86400.0 / day.duration_s
    many = thousand(20.0 if quick else 60.0)
    began = time.perf_counter()
    large = run_twin(many, 1)
    large_s = time.perf_counter() - began
    virtual_s = many.duration_s + (large.recovered_s or 0.0)
    storm = load_scenario(EXAMPLES / "storm.scenario.toml", {"duration": "30 s"})
    seeds = 3 if quick else 10
    spent = sum(_timed(storm, seed)[0] for seed in range(seeds))
    details = {
        "day": {"digest": result.digest, "keys": result.keys_delivered, "blocks": result.blocks, "scaled": quick},
        "1000 nodes": {"broken": large.broken or None, "steps": large.steps, "virtual_s": virtual_s},
    }
    return [
        Metric("24 h of the five-site city s", day_s, "s", 60.0, "max"),
        Metric("1000 nodes, times real time", virtual_s / large_s, "x", 1.0, "min"),
        Metric("storms over five sites (30 s) a second", seeds / spent, "1/s", None, "min"),
    ], details
