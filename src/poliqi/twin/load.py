"""Applications of a twin: keys are ordered at one site and fetched at the other, at random moments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import numpy as np

from poliqi.base.ids import KmeId, SaeId
from poliqi.control.city import Demand
from poliqi.keys.requests import Delivered, KeyOrder, Outcome, Reason, Refused
from poliqi.twin.clock import Clock
from poliqi.twin.invariants import Watch
from poliqi.twin.scenario import Load
from poliqi.twin.site import TwinSite

__all__ = ["Applications", "Served", "sae_of"]

_URGENT: Final = 7


def sae_of(site: KmeId, priority: int) -> SaeId:
    """The application of a site for a demand of this priority."""
    return SaeId(f"emergency-{site}" if priority >= _URGENT else f"app-{site}")


@dataclass(slots=True)
class Served:
    """What became of a demand's orders."""

    orders: int = 0
    refused: Counter[str] = field(default_factory=Counter[str])
    keys: int = 0
    bits: int = 0
    fetched: int = 0
    lost: int = 0
    """Keys that could not be fetched: their site or the other one failed in between."""
    worst_wait_s: float = 0.0
    """Longest time from the first refused order to the next one that was served."""
    refused_since: float | None = None


class Applications:
    """Everybody who asks for keys."""

    def __init__(
        self,
        demands: tuple[Demand, ...],
        load: Load,
        sites: Mapping[KmeId, TwinSite],
        clock: Clock,
        dice: np.random.Generator,
        watch: Watch,
    ) -> None:
        self.served: Final = {d.name: Served() for d in demands}
        self.factor: Final = {d.name: 1.0 for d in demands}
        """By how much each demand has grown."""
        self._load: Final = load
        self._sites: Final = sites
        self._clock: Final = clock
        self._dice: Final = dice
        self._watch: Final = watch
        self._is_over = False
        for demand in demands:
            self._wait(demand)

    def stop(self) -> None:
        """Ask for nothing any more."""
        self._is_over = True

    def _wait(self, demand: Demand) -> None:
        gap_s = float(self._dice.exponential(self._load.every_s))
        self._clock.after(gap_s, partial(self._arrive, demand))

    def _arrive(self, demand: Demand) -> None:
        if self._is_over:
            return
        self._wait(demand)
        load = self._load
        wanted = demand.rate_bps * load.share * self.factor[demand.name] * load.every_s / load.key_bits
        number = max(1, min(load.most_keys, int(wanted + float(self._dice.random()))))
        master, slave = demand.ends if self._dice.random() < 0.5 else demand.ends[::-1]
        self.exchange(demand.name, master, slave, number, demand.priority)

    def exchange(
        self,
        name: str,
        master: KmeId,
        slave: KmeId,
        number: int,
        priority: int = 3,
        done: Callable[[], None] | None = None,
    ) -> None:
        """Order keys at one site, and fetch them at the other a little later."""
        site, served = self._sites[master], self.served.setdefault(name, Served())
        served.orders += 1
        if not site.is_alive:
            self._refused(served, site, "site-down")
            return
        saes = sae_of(master, priority), sae_of(slave, priority)
        ticket = site.order(KeyOrder(saes[0], (saes[1],), number, self._load.key_bits))

        def settled(outcome: Outcome) -> None:
            if isinstance(outcome, Delivered):
                self._delivered(served, master, slave, saes, outcome, done)
            elif isinstance(outcome, Refused):
                self._refused(served, site, outcome.reason.value)

        if ticket.outcome is not None:
            settled(ticket.outcome)
        else:
            ticket.listener = settled

    def _refused(self, served: Served, site: TwinSite, reason: str) -> None:
        served.refused[reason] += 1
        site.refused += 1
        if served.refused_since is None:
            served.refused_since = self._clock.now

    def _delivered(
        self,
        served: Served,
        master: KmeId,
        slave: KmeId,
        saes: tuple[SaeId, SaeId],
        outcome: Delivered,
        done: Callable[[], None] | None,
    ) -> None:
        if served.refused_since is not None:
            served.worst_wait_s = max(served.worst_wait_s, self._clock.now - served.refused_since)
            served.refused_since = None
        self._watch.to_master(master, outcome.keys)
        served.keys += len(outcome.keys)
        served.bits += 8 * sum(len(key.value) for key in outcome.keys)
        names = [key.key_id for key in outcome.keys]
        gap_s = float(self._dice.exponential(self._load.fetch_s))
        self._clock.after(gap_s, partial(self._fetch, served, slave, saes, names, 0, done))

    def _fetch(
        self,
        served: Served,
        slave: KmeId,
        saes: tuple[SaeId, SaeId],
        names: list[bytes],
        tries: int,
        done: Callable[[], None] | None,
    ) -> None:
        site = self._sites[slave]
        again = partial(self._fetch, served, slave, saes, names, tries + 1, done)
        if not site.is_alive:
            self._again(served, names, tries, again)
            return
        ticket = site.fetch(saes[1], saes[0], names)

        def settled(outcome: Outcome) -> None:
            if isinstance(outcome, Delivered):
                if [key.key_id for key in outcome.keys] != names:
                    raise AssertionError("a fetch gave other keys than were asked for")
                self._watch.to_slave(slave, outcome.keys)
                served.fetched += len(names)
                if done is not None:
                    done()
            elif isinstance(outcome, Refused) and outcome.reason in (Reason.NOT_FOUND, Reason.NOT_PERMITTED):
                served.lost += len(names)
            else:
                self._again(served, names, tries, again)

        if ticket.outcome is not None:
            settled(ticket.outcome)
        else:
            ticket.listener = settled

    def _again(self, served: Served, names: list[bytes], tries: int, again: Callable[[], None]) -> None:
        """A site that is away is asked again, now and then."""
        if tries < 20 and not self._is_over:
            self._clock.after(min(30.0, 0.5 * 2.0**tries), again)
        else:
            served.lost += len(names)
