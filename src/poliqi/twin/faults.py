"""Faults of a twin: how each is done to the city and undone, which are drawn, what an alarm should say of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol, TypeVar

import msgspec
import numpy as np

from poliqi.base.ids import KmeId, LinkId
from poliqi.control.causes import Cause
from poliqi.control.city import City, QuantumLink, SpanId
from poliqi.control.messages import LightState, Report, decode, encode
from poliqi.optics.parameters import Attack, AttackKind, ClassicalChannel
from poliqi.twin.light import Condition
from poliqi.twin.scenario import Fault, FaultKind
from poliqi.twin.watch import WATCHED

__all__ = ["Expected", "World", "aim", "apply_fault", "expected"]

_K = FaultKind
_T = TypeVar("_T")
_DRIFT_STEPS: Final = 40
Undo = Callable[[], None]

KINDS: Final = tuple(kind for kind in FaultKind if kind not in (_K.TAMPER, _K.REPLAY))
"""Kinds that are thrown where a scenario names none."""


class World(Protocol):
    """What faults are done to."""

    @property
    def city(self) -> City:
        """The plan."""
        ...

    def effect(self, link: LinkId, change: Callable[[Condition], Condition]) -> Undo:
        """Change a link's light until undone."""
        ...

    def device(self, link: LinkId, site: KmeId) -> Undo:
        """Stop the device of a link's end."""
        ...

    def power(self, site: KmeId) -> Undo:
        """Take a site's power."""
        ...

    def kill(self, site: KmeId) -> Undo:
        """Kill a site's process."""
        ...

    def break_store(self, site: KmeId) -> Undo:
        """Let a site's disk fail."""
        ...

    def kill_controller(self) -> Undo:
        """Kill the controller."""
        ...

    def rival(self) -> Undo:
        """Start a second controller."""
        ...

    def part(self, sites: Sequence[KmeId], *, only_controller: bool) -> Undo:
        """Keep sites apart from the others and the controller, or from the controller alone."""
        ...

    def break_streams(self, site: KmeId) -> None:
        """Break all streams of a site."""
        ...

    def grow(self, demand: str, factor: float) -> Undo:
        """Let a demand grow."""
        ...

    def lie(self, site: KmeId, lie: Callable[[bytes], bytes]) -> Undo:
        """Let a site's reports be changed."""
        ...

    def skew(self, site: KmeId, skew_s: float) -> Undo:
        """Set a site's wall clock wrong."""
        ...

    def later(self, delay_s: float, action: Callable[[], None]) -> None:
        """Do something in a while."""
        ...


# ---------------------------------------------------------------- which


def _pick(dice: np.random.Generator, among: Sequence[_T]) -> _T:
    return among[int(dice.integers(len(among)))]


def _shared(city: City) -> list[str]:
    groups = [g for s in city.spans for g in sorted(s.groups)]
    return sorted({g for g in groups if groups.count(g) > 1})


def _passed(city: City, link: QuantumLink) -> list[KmeId]:
    return sorted({end for name in link.spans for end in city.span[name].ends} - set(link.ends))


def _possible(city: City) -> list[FaultKind]:
    """Kinds that can strike a city."""
    lacks: set[FaultKind] = set()
    if not _shared(city):
        lacks.add(_K.GROUP_CUT)
    if not any(_passed(city, link) for link in city.links):
        lacks.add(_K.SWITCH)
    if not city.demands:
        lacks.add(_K.GROWTH)
    return [kind for kind in KINDS if kind not in lacks]


def aim(fault: Fault, city: City, dice: np.random.Generator) -> Fault:
    """The fault with everything that it strikes chosen."""
    kind = fault.kind or _pick(dice, _possible(city))
    lit = sorted({name for link in city.links for name in link.spans})
    chosen = replace(fault, kind=kind)
    match kind:
        case _K.CUT | _K.EAVESDROPPER | _K.RAMAN | _K.TAP:
            attack = fault.attack
            if fault.kind is None and dice.random() < 0.3:
                attack = AttackKind.PHOTON_NUMBER_SPLITTING
            span = fault.span or _pick(dice, lit)
            link = next((one.link for one in city.links if span in one.spans), None)
            is_watched = kind is _K.EAVESDROPPER and attack in WATCHED
            return replace(chosen, span=span, attack=attack, link=link if is_watched else fault.link)
        case _K.GROUP_CUT:
            return replace(chosen, group=fault.group or _pick(dice, _shared(city)))
        case _K.DEVICE:
            link = city.link[fault.link] if fault.link else _pick(dice, city.links)
            return replace(chosen, link=link.link, site=fault.site or _pick(dice, link.ends))
        case _K.SWITCH:
            sites = sorted({site for link in city.links for site in _passed(city, link)})
            return replace(chosen, site=fault.site or _pick(dice, sites))
        case _K.DRIFT | _K.TAMPER | _K.REPLAY:
            return replace(chosen, link=fault.link or _pick(dice, city.links).link)
        case _K.GROWTH:
            return replace(chosen, demand=fault.demand or _pick(dice, city.demands).name)
        case _K.PARTITION:
            names = [s.kme for s in city.sites]
            count = 1 + int(dice.integers(max(1, len(names) // 2)))
            some = tuple(sorted(KmeId(str(n)) for n in dice.choice(names, count, replace=False)))
            return replace(chosen, sites=fault.sites or some)
        case _K.CONTROLLER | _K.RIVAL:
            return chosen
        case _:
            return replace(chosen, site=fault.site or _pick(dice, city.sites).kme)


# ---------------------------------------------------------------- how


def apply_fault(fault: Fault, world: World, dice: np.random.Generator) -> Undo:
    """Do an aimed fault; what undoes it."""
    city = world.city
    match fault.kind:
        case _K.CUT:
            return _on_spans(world, [_the(fault.span)], lambda c: replace(c, is_cut=True))
        case _K.GROUP_CUT:
            spans = [s.span for s in city.spans if fault.group in s.groups]
            return _on_spans(world, spans, lambda c: replace(c, is_cut=True))
        case _K.SWITCH:
            through = [link.link for link in city.links if fault.site in _passed(city, link)]
            return _all([world.effect(link, lambda c: replace(c, is_cut=True)) for link in through])
        case _K.TAP:
            return _on_spans(world, [_the(fault.span)], lambda c: replace(c, extra_db=c.extra_db + fault.loss_db))
        case _K.RAMAN:
            channel = ClassicalChannel(fault.launch_dbm)
            return _on_spans(world, [_the(fault.span)], lambda c: replace(c, channels=(*c.channels, channel)))
        case _K.EAVESDROPPER:
            splits = fault.attack is AttackKind.PHOTON_NUMBER_SPLITTING
            attack = Attack(fault.attack, 1.0 if splits else fault.fraction)
            return _on_spans(world, [_the(fault.span)], lambda c: replace(c, attack=attack))
        case _K.DRIFT:
            return _drift(fault, world)
        case _K.TAMPER:
            return world.effect(_the(fault.link), lambda c: replace(c, forged="tampering"))
        case _K.REPLAY:
            return world.effect(_the(fault.link), lambda c: replace(c, forged="replay"))
        case _K.PARTITION:
            return world.part(fault.sites, only_controller=False)
        case _K.CONTROLLER:
            return world.kill_controller()
        case _K.RIVAL:
            return world.rival()
        case _K.GROWTH:
            return world.grow(_the(fault.demand), fault.factor)
        case _:
            return _at_site(fault, world, _the(fault.site), dice)


def _at_site(fault: Fault, world: World, site: KmeId, dice: np.random.Generator) -> Undo:
    match fault.kind:
        case _K.DEVICE:
            return world.device(_the(fault.link), site)
        case _K.NODE:
            return world.power(site)
        case _K.RESTART:
            return world.kill(site)
        case _K.STORE:
            return world.break_store(site)
        case _K.UNREACHED:
            return world.part([site], only_controller=True)
        case _K.BREAK:
            world.break_streams(site)
            return lambda: None
        case _K.LIAR:
            return world.lie(site, _lies(dice))
        case _K.CLOCK:
            return world.skew(site, fault.skew_s)
        case _:
            raise ValueError(f"fault {fault.kind} strikes no site")


def _the(name: _T | None) -> _T:
    if name is None:
        raise ValueError("a fault that was not aimed")
    return name


def _all(undos: list[Undo]) -> Undo:
    def undo() -> None:
        for one in undos:
            one()

    return undo


def _on_spans(world: World, spans: list[SpanId], change: Callable[[Condition], Condition]) -> Undo:
    hit = [link.link for link in world.city.links if set(link.spans) & set(spans)]
    return _all([world.effect(link, change) for link in hit])


def _drift(fault: Fault, world: World) -> Undo:
    """Errors grow in small steps; the last step stays until the fault is undone."""
    link, over_s = _the(fault.link), fault.for_s or 60.0
    undos: list[Undo] = []

    def step(number: int) -> None:
        if number and not undos:
            return
        for undo in undos:
            undo()
        error = fault.error * (number + 1) / _DRIFT_STEPS
        undos[:] = [world.effect(link, lambda c: replace(c, error=c.error + error))]
        if number + 1 < _DRIFT_STEPS:
            world.later(over_s / _DRIFT_STEPS, lambda: step(number + 1))

    def over() -> None:
        for undo in undos:
            undo()
        undos.clear()

    step(0)
    return over


def _lies(dice: np.random.Generator) -> Callable[[bytes], bytes]:
    """One of the ways in which a site talks nonsense."""
    way = int(dice.integers(4))

    def lie(frame: bytes) -> bytes:
        report = decode(frame)
        return encode(_untrue(report, way)) if isinstance(report, Report) else frame

    return lie


def _untrue(report: Report, way: int) -> Report:
    changed: dict[str, Any]
    change = msgspec.structs.replace
    match way:
        case 0:
            changed = {"links": tuple(change(r, key_rate_bps=1e14, qber_key=0.0) for r in report.links)}
        case 1:
            changed = {"pools": tuple(change(p, free_bits=8 * p.capacity_bits + 8) for p in report.pools)}
        case 2:
            links = tuple(
                change(r, state=LightState.DARK if r.state is LightState.LIT else LightState.LIT)
                for r in report.links
            )
            changed = {"links": links}
        case _:
            changed = {"pools": tuple(change(p, pool=f"x{p.pool}", peer="nobody") for p in report.pools)}
    return change(report, **changed)


# ---------------------------------------------------------------- what an alarm should say


@dataclass(frozen=True, slots=True)
class Expected:
    """A cause, and the name of what it is about: span, site, link, demand or group; empty for none."""

    cause: Cause
    subject: str = ""


_WATCHED_CAUSES: Final = {
    AttackKind.BLINDING: (Cause.BLINDING,),
    AttackKind.TIME_SHIFT: (Cause.TIME_SHIFT,),
    AttackKind.TROJAN_HORSE: (Cause.TROJAN_HORSE,),
    AttackKind.JAMMING: (Cause.JAMMING, Cause.STRAY_LIGHT),
}


def expected(fault: Fault) -> tuple[Expected, ...]:
    """What the first alarm after an aimed fault should name: one of these. Empty where no alarm is due."""
    match fault.kind:
        case _K.CUT:
            return (Expected(Cause.SPAN_CUT, str(fault.span)),)
        case _K.GROUP_CUT:
            return (Expected(Cause.GROUP_CUT, str(fault.group)),)
        case _K.DEVICE:
            return (Expected(Cause.DEVICE_FAILED, str(fault.link)),)
        case _K.SWITCH:
            return (Expected(Cause.SWITCH_FAILED, str(fault.site)),)
        case _K.NODE:
            return (Expected(Cause.SITE_DOWN, str(fault.site)),)
        case _K.STORE:
            return (Expected(Cause.STORE_FAILED, str(fault.site)),)
        case _K.UNREACHED:
            return (Expected(Cause.SITE_UNREACHED, str(fault.site)),)
        case _K.RIVAL:
            return (Expected(Cause.RIVAL_CONTROLLER),)
        case _K.PARTITION:
            if len(fault.sites) == 1:  # nobody can tell a site without any network from one without power
                return Expected(Cause.SITE_DOWN, fault.sites[0]), Expected(Cause.PARTITION)
            return (Expected(Cause.PARTITION),)
        case _K.DRIFT:
            return (Expected(Cause.MISALIGNED, str(fault.link)),)
        case _K.TAMPER | _K.REPLAY:
            return (Expected(Cause.TAMPERING, str(fault.link)),)
        case _K.EAVESDROPPER if fault.attack in _WATCHED_CAUSES:
            causes = _WATCHED_CAUSES[fault.attack]
            return tuple(Expected(cause, str(name)) for cause in causes for name in (fault.link, fault.span))
        case _K.EAVESDROPPER:
            is_splitting = fault.attack is AttackKind.PHOTON_NUMBER_SPLITTING
            cause = Cause.PHOTON_SPLITTING if is_splitting else Cause.EAVESDROPPER
            return (Expected(cause, str(fault.span)),)
        case _K.RAMAN:
            return (Expected(Cause.STRAY_LIGHT, str(fault.span)),)
        case _K.TAP:
            return (Expected(Cause.TAP_OR_BEND, str(fault.span)),)
        case _K.LIAR:
            return (Expected(Cause.LYING_SITE, str(fault.site)),)
        case _K.CLOCK:
            return (Expected(Cause.CLOCK_SKEW, str(fault.site)),)
        case _:
            return ()
