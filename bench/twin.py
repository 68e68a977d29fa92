"""Cities in virtual time: a day of the five sites, a thousand nodes against real time, short storms a second."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
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
        pairs=tuple((min(d.ends), max(d.ends)) for d in demands),
    )


@dataclass(frozen=True, slots=True)
class Timed:
    """A run and its cost: time of the processor, which other programs do not lengthen, and time on the wall."""

    result: Result
    cpu_s: float
    wall_s: float

    @property
    def virtual_s(self) -> float:
        """Virtual time that passed, the recovery after the scenario's end included."""
        return self.result.duration_s + (self.result.recovered_s or 0.0)


def timed(scenario: Scenario, seed: int) -> Timed:
    """A run from its set-up to its end. Raises RuntimeError where an invariant broke."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = run_twin(scenario, seed)
    cpu_s, wall_s = time.process_time() - cpu, time.perf_counter() - wall
    if result.broken:
        raise RuntimeError(f"{scenario.name}, seed {seed}: {result.broken}")
    return Timed(result, cpu_s, wall_s)


def run(quick: bool) -> tuple[list[Metric], dict[str, Any]]:
    """All at count level, every invariant checked. Metrics are process time; the details say the wall's as well."""
    scenario = load_scenario(EXAMPLES / "day.scenario.toml", {"duration": "2 h"} if quick else {})
    day = timed(replace(scenario, faults=() if quick else scenario.faults), 1)
    large = timed(thousand(20.0 if quick else 60.0), 1)
    storm = load_scenario(EXAMPLES / "storm.scenario.toml", {"duration": "30 s"})
    storms = [timed(storm, seed) for seed in range(3 if quick else 10)]
    times = 86400.0 / scenario.duration_s
    details = {
        "clock": "process time, set-up included",
        "day": {
            "digest": day.result.digest,
            "keys": day.result.keys_delivered,
            "blocks": day.result.blocks,
            "hours_run": scenario.duration_s / 3600.0,
            "wall_s": day.wall_s * times,
        },
        "1000 nodes": {
            "steps": large.result.steps,
            "keys": large.result.keys_delivered,
            "virtual_s": large.virtual_s,
            "cpu_s": large.cpu_s,
            "wall_s": large.wall_s,
        },
        "storms": {"cpu_s": sum(one.cpu_s for one in storms), "wall_s": sum(one.wall_s for one in storms)},
    }
    return [
        Metric("24 h of the five-site city s", day.cpu_s * times, "s", 60.0, "max"),
        Metric("1000 nodes, times real time", large.virtual_s / large.cpu_s, "x", 1.0, "min"),
        Metric(
            "storms over five sites (30 s) a second", len(storms) / sum(o.cpu_s for o in storms), "1/s", None, "min"
        ),
    ], details
