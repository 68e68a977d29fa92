"""Small cities for twins, and storms over them; everything follows from a seed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from poliqi.base.ids import KmeId, LinkId
from poliqi.control.city import City, Demand, QuantumLink, Site, Span, SpanId
from poliqi.ops.config import default_link
from poliqi.optics.parameters import LinkParameters
from poliqi.twin.clock import generator
from poliqi.twin.scenario import Fault, FaultKind, Load, Pace, Scenario
from poliqi.twin.world import run

NAMES = ("leonardo", "bovisa", "santa-barbara", "intesa", "aria")


def device() -> LinkParameters:
    """The default devices, without a fibre; blocks of a second and more."""
    link = default_link()
    bare = replace(link.fibre, length_m=0.0, connectors_db=0.0, switch_db=0.0, mux_db=0.0)
    return replace(link, fibre=bare, block=replace(link.block, sifted_key=10_000_000))


DEVICE = device()


def ring(count: int, *, bypass: bool = False, group: bool = False, rate_bps: float = 2000.0) -> City:
    """A ring of sites. `bypass`: a link that passes a site on its switch; `group`: two spans share a duct."""
    names = [KmeId(n) for n in NAMES[:count]]
    sites = tuple(
        Site(n, n.title(), 45.46 + 0.01 * i, 9.15 + 0.01 * (i % 2), switch_loss_db=1.5) for i, n in enumerate(names)
    )
    around = [*zip(names, [*names[1:], names[0]], strict=True)] if count > 2 else [(names[0], names[1])]
    shared = frozenset({"duct"}) if group else frozenset[str]()
    spans = tuple(
        Span(SpanId(f"{a}-{b}"), (a, b), 4.0 + i, 0.3, 1.5, shared if i < 2 else frozenset(), is_invented=True)
        for i, (a, b) in enumerate(around)
    )
    links = [QuantumLink(LinkId(s.span), s.ends, (s.span,), "d") for s in spans]
    if bypass:
        over = (spans[0].span, spans[1].span)
        links.append(QuantumLink(LinkId("bypass"), (names[0], names[2]), over, "d"))
    demands = tuple(
        Demand(
            f"d{i}", (names[i], names[(i + 2) % count if count > 3 else (i + 1) % count]), rate_bps, 3 if i else 7
        )
        for i in range(min(3, count - 1))
    )
    return City("a ring", sites, spans, tuple(links), demands, is_simulated=True)


def quiet(city: City, duration_s: float, *faults: Fault, **more: object) -> Scenario:
    """A scenario with little load."""
    given: dict[str, object] = {
        "load": Load(every_s=4.0, share=0.2, most_keys=4),
        "pace": Pace(tick_s=1.0, light_s=0.5, watch_s=5.0),
        "capacity": 1 << 18,
        "low_water": 1 << 14,
    }
    return Scenario("a test", city, {"d": DEVICE}, duration_s, faults, **(given | more))  # type: ignore[arg-type]


def storm(seed: int) -> Scenario:
    """A short life of a small city in which anything breaks at any moment."""
    dice = generator(seed, "storm")
    count = int(dice.choice([3, 3, 4, 4, 5]))
    city = ring(count, bypass=count > 3 and bool(dice.random() < 0.4), group=bool(dice.random() < 0.3))
    return quiet(
        city,
        24.0,
        Fault(None, at_s=4.0, every_s=float(dice.uniform(2.0, 8.0)), for_s=float(dice.uniform(0.5, 12.0))),
        jitter_s=float(dice.choice([3e-4, 2e-2])),
        load=Load(every_s=float(dice.choice([1.0, 4.0])), share=0.5, most_keys=4),
    )


ALARMING = tuple(
    kind
    for kind in FaultKind
    if kind not in {FaultKind.CONTROLLER, FaultKind.RESTART, FaultKind.BREAK, FaultKind.GROWTH}
)
"""Kinds of faults that an alarm must name."""


def lone_fault(seed: int) -> Scenario:
    """A city that has been well for 40 s, and one fault."""
    dice: np.random.Generator = generator(seed, "lone fault")
    kind = ALARMING[seed % len(ALARMING)]
    city = ring(5, bypass=kind is FaultKind.SWITCH or bool(dice.random() < 0.3), group=kind is FaultKind.GROUP_CUT)
    is_slow = kind is FaultKind.DRIFT
    return quiet(
        city,
        190.0 if is_slow else 75.0,
        Fault(kind, at_s=40.0, for_s=150.0 if is_slow else 30.0),
        pace=Pace(tick_s=0.5, light_s=0.25, watch_s=10.0),
        load=Load(every_s=4.0, share=0.05, most_keys=1),
    )


def outcome(seed: int) -> str:
    """What broke in the storm of a seed, with the line that does it again; empty where all held."""
    broken = run(storm(seed), seed).broken
    return (
        broken
        and f"seed {seed}: {broken}\n  replay with: TWIN={seed} pytest tests/sim/test_twin_storms.py -k replay"
    )


def named_first(seed: int) -> tuple[str, bool, str]:
    """Kind of the lone fault of a seed, whether the first alarm named it, and what it said."""
    result = run(lone_fault(seed), seed)
    if result.broken or not result.injected:
        return "none", False, f"seed {seed}: {result.broken}"
    injected = result.injected[0]
    said = injected.first_alarm.line if injected.first_alarm else "no alarm"
    return str(injected.fault.kind), injected.is_named_first, f"seed {seed}, {injected.fault.kind}: {said}"
