"""What a site's agent tells: reports each second and at once on news, notices within bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from poliqi.base.ids import KmeId
from poliqi.control.admission import TokenBucket
from poliqi.control.messages import LightState, LinkReport, Notice, PeerReport, PoolReport, Report

__all__ = ["Observation", "Reporter", "one_line"]

_REPORT_S: Final = 1.0
_LEAST_S: Final = 0.05
"""No two reports nearer to each other."""
_NOTICES_PER_S: Final = 5.0
_NOTICES_AT_ONCE: Final = 50.0
_TEXT: Final = 512


@dataclass(frozen=True, slots=True)
class Observation:
    """What the site's owner sees, taken each second: the parts of a report."""

    links: tuple[LinkReport, ...] = ()
    pools: tuple[PoolReport, ...] = ()
    peers: tuple[PeerReport, ...] = ()
    keys_delivered: int = 0
    requests: int = 0
    requests_refused: int = 0
    is_draining: bool = False


class Reporter:
    """Keeps what is seen, says when it is due."""

    def __init__(self) -> None:
        self.seen: Observation | None = None
        self._light: Final[dict[str, tuple[LinkReport, float]]] = {}
        self._number = 0
        self._reported_at = float("-inf")
        self._is_urgent = False
        self._notices: TokenBucket | None = None

    def observe(self, figures: Observation, now: float) -> None:
        """Everything, each second."""
        before, self.seen = self.seen, figures
        if before is None or (before.peers, before.is_draining) != (figures.peers, figures.is_draining):
            self.hurry()
        for report in figures.links:
            self.light(report, now)
        names = {report.link for report in figures.links}
        for gone in [link for link in self._light if link not in names]:
            del self._light[gone]

    def light(self, report: LinkReport, now: float) -> None:
        """A link's news; a change of its state is urgent."""
        before = self._light.get(report.link)
        self._light[report.link] = report, now
        if before is None or before[0].state is not report.state:
            self.hurry()

    def hurry(self) -> None:
        """There is news: do not wait for the second to be over."""
        self._is_urgent = True

    def begin(self, now: float) -> None:
        """A stream is open: everything is due."""
        self._reported_at = now - _REPORT_S

    def due_at(self) -> float | None:
        """When the next report is due; None while nothing was seen."""
        if self.seen is None:
            return None
        return self._reported_at + (_LEAST_S if self._is_urgent else _REPORT_S)

    def report(self, seen: Observation, now: float, wall_ns: int) -> Report:
        """The report that is due."""
        self._number += 1
        self._reported_at, self._is_urgent = now, False
        return Report(
            number=self._number,
            wall_ns=wall_ns,
            links=tuple(_aged(report, now - at) for report, at in self._light.values()),
            pools=seen.pools,
            peers=seen.peers,
            keys_delivered=seen.keys_delivered,
            requests=seen.requests,
            requests_refused=seen.requests_refused,
            is_draining=seen.is_draining,
        )

    def notice(self, kind: str, text: str, peer: KmeId | None, now: float) -> Notice | None:
        """A notice, where there is room for one: five a second, fifty at once."""
        if self._notices is None:
            self._notices = TokenBucket(_NOTICES_PER_S, _NOTICES_AT_ONCE, now)
        if self._notices.level(now) < 1.0:
            return None
        self._notices.take(1.0, now)
        return Notice(kind=kind[:128], text=one_line(text), peer=peer)

    def dead_neighbours(self) -> set[str]:
        """Sites to which every link is dark, or that are not connected."""
        if self.seen is None:
            return set()
        links: dict[str, list[str]] = {}
        for pool in self.seen.pools:
            if not pool.is_relayed:
                links.setdefault(pool.peer, []).append(pool.pool)
        dead = {peer for peer, names in links.items() if all(self._is_dark(name) for name in names)}
        return dead | {peer.site for peer in self.seen.peers if not peer.is_connected}

    def _is_dark(self, link: str) -> bool:
        told = self._light.get(link)
        return told is not None and told[0].state is LightState.DARK


def one_line(text: str) -> str:
    """Text as a message may have it."""
    return "".join(c if c.isprintable() else " " for c in text[:_TEXT])


def _aged(report: LinkReport, by_s: float) -> LinkReport:
    """A report that has waited."""
    texts = {name: getattr(report, name) for name in ("reason", "verdict", "attack", "evidence")}
    if by_s <= 0.0 and all(text.isprintable() for text in texts.values()):
        return report
    printable = {name: one_line(text) for name, text in texts.items()}
    return msgspec.structs.replace(report, age_s=report.age_s + max(0.0, by_s), **printable)
