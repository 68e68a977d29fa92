"""Faults of a city as events tell them: in any order, late, and with events missing. Written from what a fault does
to devices, connections and stocks, apart from the tables by which causes are sought.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import combinations
from random import Random

from poliqi.base.ids import KmeId, LinkId
from poliqi.control.alarms import AlarmBook
from poliqi.control.city import City, ClassicalChannel, Demand, QuantumLink, Site, Span, SpanId
from poliqi.control.events import CityEvent, CityEventKind
from poliqi.link.monitor import Level, Suspected

K = CityEventKind

NAMES = ("leonardo", "bovisa", "barbara", "intesa", "aria")
RING = (
    ("leonardo", "bovisa", 7.0),
    ("bovisa", "barbara", 9.0),
    ("barbara", "intesa", 6.0),
    ("intesa", "aria", 3.5),
    ("aria", "leonardo", 5.0),
)


QUIET = {"qber_key": 0.021, "qber_key_usual": 0.02, "loss_db": 6.1, "loss_db_usual": 6.0}
"""Figures of a link without key on which all is as usual."""


def ring() -> City:
    """Five sites in a ring, with a second link over one span, a bypass, and two spans in one duct."""
    sites = tuple(Site(KmeId(n), n.title(), 45.4 + 0.01 * i, 9.2, switch_loss_db=1.5) for i, n in enumerate(NAMES))
    spans = tuple(
        Span(
            SpanId(f"fibre-{a}-{b}"),
            (KmeId(a), KmeId(b)),
            length,
            0.3,
            2.0,
            frozenset({"duct-east"}) if "aria" in (a, b) else frozenset(),
        )
        for a, b, length in RING
    )
    links = [
        QuantumLink(LinkId(f"{a}-{b}"), (KmeId(a), KmeId(b)), (SpanId(f"fibre-{a}-{b}"),), "d") for a, b, _ in RING
    ]
    links.append(
        QuantumLink(
            LinkId("leonardo-bovisa-2"),
            (KmeId("leonardo"), KmeId("bovisa")),
            (SpanId("fibre-leonardo-bovisa"),),
            "d",
        )
    )
    links.append(
        QuantumLink(
            LinkId("barbara-aria"),
            (KmeId("barbara"), KmeId("aria")),
            (SpanId("fibre-barbara-intesa"), SpanId("fibre-intesa-aria")),
            "d",
        )
    )
    demands = tuple(Demand(f"{a}-{b}", (KmeId(a), KmeId(b)), 1000.0) for a, b in combinations(NAMES, 2))
    return City("milan", sites, spans, tuple(links), demands)


@dataclass
class Fault:
    """A fault: what should be named, and the events. `sure` ones are never lost: without them nobody could know."""

    cause: str
    place: str
    sure: list[CityEvent] = field(default_factory=list[CityEvent])
    likely: list[CityEvent] = field(default_factory=list[CityEvent])
    late: list[CityEvent] = field(default_factory=list[CityEvent])
    slow: list[tuple[float, float, CityEvent]] = field(default_factory=list[tuple[float, float, CityEvent]])
    """Between when and when: what waits for somebody's patience to end."""
    lit: SpanId | None = None


def event(
    what: CityEventKind, /, site: str = "", link: str = "", demand: str = "", **values: str | float
) -> CityEvent:
    return CityEvent(
        what,
        0.0,
        KmeId(site) if site else None,
        LinkId(link) if link else None,
        None,
        demand or None,
        values=dict(values),
    )


def over(city: City, span: SpanId) -> list[QuantumLink]:
    return [link for link in city.links if span in link.spans]


def symptoms(city: City, draw: Random, sites: set[str]) -> list[CityEvent]:
    """Stocks run low and keys take other ways, mostly at the sites concerned."""
    found: list[CityEvent] = []
    for demand in city.demands:
        chance = 0.7 if sites & set(demand.ends) else 0.15
        a, b = (str(end) for end in demand.ends)
        if draw.random() < chance:
            found.append(event(K.REROUTED, a, other=b, path=f"{a} x {b}"))
        if draw.random() < chance / 2:
            found.append(event(K.DEMAND_SHORT, demand=demand.name, granted=10.0, wanted=1000.0))
        if draw.random() < chance / 2:
            found.append(event(K.STOCK_LOW, a, other=b, left=600.0))
    return found


def dark(links: list[QuantumLink]) -> list[CityEvent]:
    """Both ends of each link say it, one after the other."""
    return [event(K.LINK_DARK, end, link.link) for link in links for end in link.ends]


def qber(link: str, pattern: str = "step") -> CityEvent:
    return event(K.LINK_QBER, link=link, qber=0.08, usual=0.02, basis="test", pattern=pattern)


def span_cut(city: City, draw: Random) -> Fault:
    span = draw.choice(city.spans)
    links = over(city, span.span)
    if draw.random() < 0.3:  # the end that sends does not see that its light gets nowhere
        told = [event(K.LINK_DARK, link.ends[1], link.link) for link in links]
        told += [event(K.LINK_SILENT, link.ends[0], link.link, what="the other end is away") for link in links]
    else:
        told = dark(links)
    fault = Fault("span-cut", span.span, told)
    for link in links:
        if draw.random() < 0.3:
            fault.likely.append(event(K.LINK_LOSS, link=link.link, loss_db=60.0, usual=5.0))
    fault.late = symptoms(city, draw, {e for link in links for e in link.ends})
    return fault


def group_cut(city: City, draw: Random) -> Fault:
    group = next(g for span in city.spans for g in span.groups)
    links = {link.link: link for span in city.spans if group in span.groups for link in over(city, span.span)}
    fault = Fault("group-cut", group, dark(list(links.values())))
    fault.late = symptoms(city, draw, {e for link in links.values() for e in link.ends})
    return fault


def device_failed(city: City, draw: Random) -> Fault:
    link = draw.choice(city.links)
    end, other = draw.sample([str(e) for e in link.ends], 2)
    fault = Fault("device-failed", link.link, [event(K.LINK_SILENT, end, link.link, what="does not run")])
    if end == link.ends[0]:
        fault.likely.append(event(K.LINK_DARK, other, link.link))
    else:
        fault.slow = [(2.0, 3.0, event(K.LINK_SILENT, other, link.link, what="the other end is away"))]
    fault.late = symptoms(city, draw, {end, other})
    return fault


def switch_failed(city: City, draw: Random) -> Fault:
    link = next(li for li in city.links if li.is_bypass)
    fault = Fault("switch-failed", "intesa", dark([link]))
    fault.late = symptoms(city, draw, set(link.ends))
    return fault


def site_down(city: City, draw: Random) -> Fault:
    """A process that is killed is missed at once; when the power goes, when patience ends."""
    site = str(draw.choice(city.sites).kme)
    fault = Fault("site-down", site)
    parted = [event(K.PEERS_PARTED, str(s.kme), other=site) for s in city.sites if s.kme != site]
    links = [link for link in city.links if site in link.ends]
    if draw.random() < 0.5:
        fault.sure, fault.likely = [event(K.SITE_LOST, site)], parted
        fault.likely += [event(K.LINK_SILENT, site, link.link, what="process away") for link in links]
        return fault
    fault.slow = [(2.5, 5.0, event(K.SITE_LOST, site)), *((2.5, 8.5, e) for e in parted)]
    for link in links:
        other = next(end for end in link.ends if end != site)
        if site == link.ends[0]:
            fault.likely.append(event(K.LINK_DARK, other, link.link))
        else:
            fault.slow.append((2.0, 3.0, event(K.LINK_SILENT, other, link.link, what="the other end is away")))
        fault.slow.append((5.0, 6.0, event(K.LINK_SILENT, site, link.link, what="no report")))
    fault.late = symptoms(city, draw, {site})
    return fault


def site_unreached(city: City, draw: Random) -> Fault:
    site = str(draw.choice(city.sites).kme)
    return Fault("site-unreached", site, [event(K.SITE_LOST, site)])


def controller_cut_off(city: City, draw: Random) -> Fault:
    return Fault("controller-cut-off", "", [event(K.SITE_LOST, site.kme) for site in city.sites])


def partition(city: City, draw: Random) -> Fault:
    """One site that still reports, or two neighbours, which the controller may have lost as well."""
    count, start = draw.choice((1, 2)), draw.randrange(5)
    part = {NAMES[(start + i) % 5] for i in range(count)}
    fault = Fault("partition", ", ".join(sorted(part)))
    for a, b in combinations(NAMES, 2):
        if len({a, b} & part) == 1:
            fault.slow.append((2.5, 8.5, event(K.PEERS_PARTED, a, other=b)))
    if count > 1 and draw.random() < 0.5:
        fault.slow.extend((2.5, 5.0, event(K.SITE_LOST, site)) for site in part)
    for link in city.links:
        if len(set(link.ends) & part) == 1:
            for end in link.ends:
                away = event(K.LINK_SILENT, end, link.link, what="the other end is away")
                fault.slow.append((2.0, 3.0, away))
    fault.late = symptoms(city, draw, part)
    return fault


def eavesdropper(city: City, draw: Random) -> Fault:
    span = draw.choice(city.spans)
    links = over(city, span.span)
    if draw.random() < 0.5:  # so much is heard that no block gives key any more
        loud = {**QUIET, "qber_key": 0.11, "what": "correction reveals 9000 bits, 5000 are allowed"}
        return Fault("eavesdropper", span.span, [event(K.LINK_KEYLESS, link=link.link, **loud) for link in links])
    fault = Fault("eavesdropper", span.span, [qber(links[0].link)], [qber(link.link) for link in links[1:]])
    for link in links:
        if draw.random() < 0.6:
            fault.likely.append(event(K.LINK_KEYLESS, link=link.link, what="QBER 0.12 is above 0.11"))
        if draw.random() < 0.5:
            fault.likely.append(event(K.LINK_RATE, link=link.link, rate=0.0, usual=1000.0))
    fault.late = symptoms(city, draw, {e for link in links for e in link.ends})
    return fault


def photon_splitting(city: City, draw: Random) -> Fault:
    span = draw.choice(city.spans)
    links = over(city, span.span)
    if draw.random() < 0.5:
        seen: dict[str, str | float] = {"what": "blocks give no key", **QUIET}
    else:
        seen = {"what": "decoy bounds leave nothing"}
    keyless = [event(K.LINK_KEYLESS, link=link.link, **seen) for link in links]
    fault = Fault("photon-splitting", span.span, keyless[:1], keyless[1:])
    fault.late = symptoms(city, draw, {e for link in links for e in link.ends})
    return fault


_CALLED = {
    Suspected.INTERCEPT_RESEND: "eavesdropper",
    Suspected.PHOTON_SPLITTING: "photon-splitting",
    Suspected.TAP: "tap-or-bend",
    Suspected.UNKNOWN: "unknown-attack",
}
WATCHED = {attack.value: _CALLED.get(attack, attack.value) for attack in Suspected} | {
    level.value: "quarantined" for level in (Level.BLIND, Level.SUSPECT)
}
"""All for which a link's own monitor stops it, and the cause to be named: of that name where no other is."""


def stopped(link: QuantumLink, attack: str, draw: Random) -> Fault:
    """A monitor at one end stops the link; in quarantine that end meets nobody, so that the other one misses it."""
    end, other = draw.sample([str(e) for e in link.ends], 2)
    what = "photocurrent 1.2e-05, honest 9e-06 to 1e-05"
    named = event(K.LINK_ATTACK, end, link.link, attack=attack, what=what, quarantined=1)
    place = " + ".join(link.spans) if attack == "tap" else str(link.link)
    fault = Fault(WATCHED[attack], place, [named])
    if attack != "tampering":
        fault.likely = [event(K.LINK_KEYLESS, end, link.link, what=f"quarantined: {attack}", **QUIET)]
    fault.slow = [(2.0, 3.0, event(K.LINK_SILENT, other, link.link, what="the other end is away"))]
    return fault


def watched(city: City, draw: Random) -> Fault:
    link = draw.choice(city.links)
    fault = stopped(link, draw.choice(sorted(WATCHED)), draw)
    fault.late = symptoms(city, draw, {str(end) for end in link.ends})
    return fault


def jammed(city: City, draw: Random) -> Fault:
    """Light that no channel of the plan explains, as the figures and the monitors of the links tell it."""
    span = draw.choice(city.spans)
    link = over(city, span.span)[0]
    fault = Fault("jamming", link.link, [event(K.LINK_ATTACK, link.ends[1], link.link, attack="jamming", what="x")])
    fault.likely = [event(K.LINK_NOISE, link=link.link, noise=1e-4, usual=1e-6), qber(link.link)]
    fault.late = symptoms(city, draw, set(link.ends))
    return fault


def misaligned(city: City, draw: Random) -> Fault:
    link = draw.choice(city.links)
    fault = Fault("misaligned", link.link, [qber(link.link, "ramp")])
    if draw.random() < 0.5:
        fault.late.append(event(K.LINK_KEYLESS, link=link.link, what="QBER 0.12 is above 0.11"))
    fault.late += symptoms(city, draw, set(link.ends))
    return fault


def stray_light(city: City, draw: Random) -> Fault:
    span = draw.choice(city.spans)
    links = over(city, span.span)
    noise = [event(K.LINK_NOISE, link=link.link, noise=1e-4, usual=1e-6) for link in links]
    fault = Fault("stray-light", span.span, [], [qber(link.link) for link in links])
    if draw.random() < 0.5:
        fault.lit = span.span
        fault.sure, fault.likely = fault.likely[:1], fault.likely[1:] + noise
    else:
        fault.sure = noise
    if draw.random() < 0.5:
        fault.likely.append(event(K.LINK_KEYLESS, link=links[0].link, what="QBER 0.12 is above 0.11"))
    fault.late = symptoms(city, draw, {e for link in links for e in link.ends})
    return fault


def tap(city: City, draw: Random) -> Fault:
    span = draw.choice(city.spans)
    links = over(city, span.span)
    fault = Fault(
        "tap-or-bend", span.span, [event(K.LINK_LOSS, link=link.link, loss_db=9.0, usual=6.0) for link in links]
    )
    fault.likely = [event(K.LINK_RATE, link=link.link, rate=300.0, usual=1000.0) for link in links]
    if draw.random() < 0.2:
        fault.likely.append(
            event(K.LINK_KEYLESS, link=links[0].link, what="0 secret bits", **(QUIET | {"loss_db": 9.0}))
        )
    fault.late = symptoms(city, draw, {e for link in links for e in link.ends})
    return fault


def lying_site(city: City, draw: Random) -> Fault:
    site = str(draw.choice(city.sites).kme)
    fault = Fault("lying-site", site)
    disagree = [event(K.LINK_DISAGREE, site, li.link, what="rates") for li in city.links if site in li.ends]
    nonsense = event(K.SITE_NONSENSE, site, what="a rate of 1e14 b/s")
    if draw.random() < 0.3:
        fault.sure = [event(K.LINK_DARK, site, li.link) for li in city.links if site in li.ends]
        fault.slow = [(4.0, 5.0, e) for e in disagree]
    elif draw.random() < 0.5:
        fault.sure, fault.likely = [nonsense], disagree[:1]
    else:
        fault.sure, fault.likely = disagree, [nonsense]
    return fault


def rival(city: City, draw: Random) -> Fault:
    site = str(draw.choice(city.sites).kme)
    return Fault("rival-controller", "", [event(K.CONTROLLER_RIVAL, site, epoch=7)])


def clock(city: City, draw: Random) -> Fault:
    site = str(draw.choice(city.sites).kme)
    return Fault("clock-skew", site, [event(K.SITE_CLOCK, site, skew_s=-12.3)])


def growth(city: City, draw: Random) -> Fault:
    demand = draw.choice(city.demands)
    short = event(K.DEMAND_SHORT, demand=demand.name, granted=10.0, wanted=1000.0)
    low = [event(K.STOCK_LOW, demand.ends[0], other=demand.ends[1], left=600.0)]
    return Fault("demand-growth", demand.name, [short], low)


def store(city: City, draw: Random) -> Fault:
    site = str(draw.choice(city.sites).kme)
    fault = Fault("store-failed", site, [event(K.STORE_FAILED, site, what="disk full")])
    if draw.random() < 0.5:
        fault.likely = [event(K.SITE_LOST, site)]
        fault.likely += [event(K.PEERS_PARTED, str(s.kme), other=site) for s in city.sites if s.kme != site]
    fault.late = symptoms(city, draw, {site})
    return fault


def stock(city: City, draw: Random) -> Fault:
    demand = draw.choice(city.demands)
    a, b = demand.ends
    return Fault("stock-low", str(b), [event(K.STOCK_LOW, a, other=b, left=600.0)])


FAULTS: tuple[Callable[[City, Random], Fault], ...] = (
    span_cut,
    group_cut,
    device_failed,
    switch_failed,
    site_down,
    site_unreached,
    controller_cut_off,
    partition,
    eavesdropper,
    photon_splitting,
    watched,
    jammed,
    misaligned,
    stray_light,
    tap,
    lying_site,
    rival,
    clock,
    growth,
    store,
    stock,
)


def lit_book(city: City) -> AlarmBook:
    """A book of a city where all is well."""
    book = AlarmBook(city)
    for link in city.links:
        book.heed(event(K.LINK_LIT, link=link.link), 0.0)
    assert book.tick(0.0) == []
    return book


def play(city: City, fault: Fault, draw: Random, lost: float = 0.1, jitter_s: float = 0.5) -> list[CityEvent]:
    """What the book says while the fault's events come in: in any order, `lost` of the unsure ones missing."""
    book = lit_book(city)
    if fault.lit is not None:
        spans = tuple(
            replace(s, classical=(ClassicalChannel(1530.0, 0.0),)) if s.span == fault.lit else s for s in city.spans
        )
        book.heed(event(K.REROUTED, "aria", other="bovisa", path="x"), 50.0)
        book.city = replace(city, spans=spans)
    script = [(100.0 + draw.uniform(0.0, jitter_s), e) for e in fault.sure]
    script += [(100.0 + draw.uniform(0.0, jitter_s), e) for e in fault.likely if draw.random() >= lost]
    script += [(100.0 + draw.uniform(0.0, 8.0), e) for e in fault.late]
    script += [(100.0 + draw.uniform(a, b), e) for a, b, e in fault.slow]
    script.sort(key=lambda pair: pair[0])
    said: list[CityEvent] = []
    now = 100.0
    while now < 125.0:
        while script and script[0][0] <= now:
            book.heed(replace(script[0][1], at=now), now)
            script.pop(0)
        said += book.tick(now)
        now += 0.1
    return said


def raised(said: list[CityEvent]) -> list[CityEvent]:
    return [e for e in said if e.kind is K.ALARM_RAISED]
