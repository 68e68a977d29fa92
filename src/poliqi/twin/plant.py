"""Every link of a twin: what is done to its light, what its devices say, its blocks on their way into stock."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from poliqi.base.ids import KmeId, LinkId
from poliqi.base.secret import SecretBytes
from poliqi.control.city import QuantumLink
from poliqi.control.messages import LightState, LinkReport
from poliqi.control.prediction import link_parameters
from poliqi.keys.grade import Grade, KeyOrigin
from poliqi.keys.requests import Accepted, Block, Refused, Ticket
from poliqi.keys.segment import block_of_number
from poliqi.optics.parameters import LinkParameters
from poliqi.twin.clock import Clock, generator
from poliqi.twin.light import Condition, Light, Reading
from poliqi.twin.marked import stretch
from poliqi.twin.network import Network
from poliqi.twin.scenario import Scenario
from poliqi.twin.site import TwinSite

__all__ = ["Lit", "Plant"]

_LEAST_BYTES: Final = 8192
_WAITING: Final = 4
Effect = Callable[[Condition], Condition]
_Waiting = tuple[bytes, bytes, list[tuple[int, Ticket]]]
"""Name and bits of a block, and the start of the site to which it was brought with its answer."""


@dataclass(eq=False)
class Lit:
    """One link: its light, what is done to it, and blocks that its two ends have not handed over yet."""

    link: QuantumLink
    light: Light
    grade: Grade
    pairing: str
    effects: dict[int, Effect] = field(default_factory=dict[int, Effect])
    stopped: dict[KmeId, int] = field(default_factory=dict[KmeId, int])
    """Ends whose device stands still, and how many causes that has."""
    number: int = 0
    surplus_bits: int = 0
    """Key for which the stocks had no room."""
    waiting: dict[KmeId, deque[_Waiting]] = field(default_factory=dict[KmeId, "deque[_Waiting]"])
    told: dict[KmeId, LightState] = field(default_factory=dict[KmeId, LightState])


class Plant:
    """All links of a city."""

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        clock: Clock,
        network: Network,
        sites: Mapping[KmeId, TwinSite],
    ) -> None:
        self._clock: Final = clock
        self._network: Final = network
        self._sites: Final = sites
        self._seed: Final = seed
        self._capacity: Final = scenario.capacity
        self._count = 0
        self.links: Final[dict[LinkId, Lit]] = {}
        self._at: Final[dict[KmeId, list[Lit]]] = {site: [] for site in sites}
        for link in scenario.city.links:
            here = _parameters(scenario, link)
            light = Light(here, generator(seed, "light", link.link), clock.now)
            grade = Grade(KeyOrigin.SIMULATED, here.block.proof.value, None, ())
            lit = Lit(link, light, grade, stretch(f"{seed}/{link.link}", 8).hex())
            self.links[link.link] = lit
            for end in link.ends:
                self._at[end].append(lit)
                lit.waiting[end] = deque()

    # ---------------------------------------------------------------- what is done to the light

    def effect(self, name: LinkId, change: Effect) -> Callable[[], None]:
        """Change a link's light until undone."""
        lit = self.links[name]
        self._count += 1
        number = self._count
        lit.effects[number] = change
        self.renew(lit)

        def undo() -> None:
            if lit.effects.pop(number, None) is not None:
                self.renew(lit)

        return undo

    def stop_device(self, name: LinkId, site: KmeId) -> Callable[[], None]:
        """Let the device of an end stand still."""
        lit = self.links[name]
        lit.stopped[site] = lit.stopped.get(site, 0) + 1
        self.renew(lit)

        def undo() -> None:
            left = lit.stopped.pop(site, 0) - 1
            if left > 0:
                lit.stopped[site] = left
            self.renew(lit)

        return undo

    def stop_devices(self, site: KmeId) -> Callable[[], None]:
        """Let every device of a site stand still."""
        undos = [self.stop_device(lit.link.link, site) for lit in self._at[site]]

        def undo() -> None:
            for one in undos:
                one()

        return undo

    def renew_all(self) -> None:
        """Who can talk to whom has changed."""
        for lit in self.links.values():
            self.renew(lit)

    def renew(self, lit: Lit) -> None:
        """Put together what is done to a link."""
        alice, bob = lit.link.ends
        condition = Condition(
            is_off=alice in lit.stopped, is_away=bob in lit.stopped or self._network.is_apart(alice, bob)
        )
        for change in lit.effects.values():
            condition = change(condition)
        self._gather(lit)
        lit.light.change(condition, self._clock.now)

    # ---------------------------------------------------------------- what comes of it

    def tick(self) -> None:
        """Let light be gathered, blocks be handed over, news be told."""
        for lit in self.links.values():
            self._gather(lit)
            for end in lit.link.ends:
                site = self._sites[end]
                if lit.waiting[end] and site.is_alive:
                    self._hand_over(lit, end, site)
                reading = lit.light.reading
                if lit.told.get(end) is not reading.state or lit.stopped:
                    report = self.report(lit, end)
                    if lit.told.get(end) is not report.state:
                        lit.told[end] = report.state
                        site.light(report)

    def _gather(self, lit: Lit) -> None:
        for bits in lit.light.gather(self._clock.now):
            self._made(lit, bits // 8)

    def _made(self, lit: Lit, size: int) -> None:
        """A block: kept while an end has room in its share and neither has too much that it does not use."""
        free = [self._room(lit, end) for end in lit.link.ends]
        kept = min(size, max(room for room, _ in free), min(left for _, left in free)) & ~15
        if kept < min(size & ~15, _LEAST_BYTES) or any(len(w) >= _WAITING for w in lit.waiting.values()):
            kept = 0
        lit.surplus_bits += 8 * (size - kept)
        if not kept:
            return
        lit.number += 1
        name = block_of_number(lit.number, lit.pairing)
        key = stretch(f"{self._seed}/{lit.link.link}/{lit.number}", kept)
        for end in lit.link.ends:
            lit.waiting[end].append((name, key, []))

    def _room(self, lit: Lit, end: KmeId) -> tuple[int, int]:
        """Bytes that an end's own share may still grow by, as a whole block, and that its stock still takes."""
        waiting = sum(len(key) for _, key, tickets in lit.waiting[end] if not tickets)
        site = self._sites[end]
        if not site.is_alive:
            return self._capacity - waiting, self._capacity - waiting
        pool = site.kme.state.stock.pools[lit.link.link]
        return self._capacity - 2 * pool.own_bytes - waiting, pool.capacity - pool.stored_bytes - waiting

    def _hand_over(self, lit: Lit, end: KmeId, site: TwinSite) -> None:
        """Bring what waits. A block is the site's once it says so; a site that was killed is asked again."""
        waiting = lit.waiting[end]
        while waiting and any(isinstance(t.outcome, Accepted) for _, t in waiting[0][2]):
            waiting.popleft()
        for name, key, tickets in waiting:
            if not tickets or tickets[-1][0] < site.starts or isinstance(tickets[-1][1].outcome, Refused):
                block = Block(lit.link.link, name, SecretBytes(key), lit.grade)
                tickets[:] = [(site.starts, site.ingest(block))]

    # ---------------------------------------------------------------- what the devices say

    def reports(self, site: KmeId) -> tuple[LinkReport, ...]:
        """What the devices at a site say."""
        return tuple(self.report(lit, site) for lit in self._at[site])

    def report(self, lit: Lit, end: KmeId) -> LinkReport:
        """What one end says of its light."""
        r = lit.light.reading
        if end in lit.stopped:
            return LinkReport(link=lit.link.link, state=LightState.SILENT, reason="the link end does not run")
        if lit.stopped and r.state is LightState.DARK and end == lit.link.ends[0]:
            r = Reading(LightState.SILENT, blocks=r.blocks, at=r.at, reason="the other end is away")
        return LinkReport(
            link=lit.link.link,
            state=r.state,
            key_rate_bps=r.key_rate_bps,
            qber_key=r.qber_key,
            qber_test=r.qber_test,
            loss_db=r.loss_db,
            noise=r.noise,
            blocks=r.blocks,
            age_s=max(0.0, self._clock.now - r.at),
            reason=r.reason,
            verdict=r.verdict,
            attack=r.attack,
            evidence=r.evidence,
            is_quarantined=r.is_quarantined,
        )


def _parameters(scenario: Scenario, link: QuantumLink) -> LinkParameters:
    """Under the device's name, not the link's: links that are alike share what is worked out of them."""
    device = scenario.devices[link.device]
    here = replace(link_parameters(scenario.city, link, device), name=device.name)
    if scenario.sifted_key is None:
        return here
    return replace(here, block=replace(here.block, sifted_key=scenario.sifted_key))
