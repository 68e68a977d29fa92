"""The agent of a site: says what the site sees, and takes routes from the controller where its rule allows them.

Sans-IO. Its owner calls the controller, hands over frames and what the site's key management says, keeps
`take_remembered` on disk before it sends `take_frames`, and gives `take_routes` to the key management. Without the
controller everything goes on by the routes that were given last.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from poliqi.base.errors import ProtocolError, StoreError
from poliqi.base.ids import KmeId, LinkId
from poliqi.control.filling import Filling
from poliqi.control.messages import (
    VERSION,
    Applied,
    Heard,
    Hello,
    LinkReport,
    Notice,
    Report,
    Route,
    Table,
    Welcome,
    decode,
    encode,
)
from poliqi.control.reporting import Observation, Reporter, one_line
from poliqi.control.tablecheck import AgentRule, check_table
from poliqi.keys.desk_state import EventKind
from poliqi.keys.relaying import RelayRoute

__all__ = ["ALONE_S", "Agent", "AgentRule", "Observation"]

ALONE_S: Final = 2.0
_AHEAD_S: Final = 172_800
"""More than a controller allows itself beyond its clock."""
"""So long after the controller's last word a site helps itself with spares."""
_TURN_S: Final = 1.0
_LEAST_TURN_S: Final = 0.02
_MOST_FRAMES: Final = 256
_GIVEN_UP: Final = re.compile(r"a relay to (\S+) was given up: (?!its way is no longer in use)")
_DONE: Final = re.compile(r"([0-9]{1,9}) bytes for (\S+) over ")
_UNTOLD: Final = frozenset(
    {str(kind) for kind in (EventKind.RELAY_DONE, EventKind.PEER_UP, EventKind.PEER_DOWN, EventKind.KEM_AGREED)}
)


class _Remembered(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a site keeps of its controller."""

    epoch: int
    obeyed: str
    table: int
    routes: tuple[Route, ...]
    format: Literal[1] = 1


_remembered: Final = msgspec.json.Decoder(_Remembered)


class Agent:
    """One start of one site's agent."""

    def __init__(
        self, site: KmeId, instance: str, software: str, rule: AgentRule, remembered: bytes | None
    ) -> None:
        """`remembered` is what `take_remembered` gave last. Raises StoreError where it cannot be read."""
        self.site: Final = site
        self._instance: Final = instance
        self._software: Final = software
        self.rule = rule
        self._epoch, self._obeyed, self._table = 0, "", 0
        self._given: tuple[Route, ...] = ()
        self._wall_s = 0
        self._ahead: Welcome | None = None
        """Of an epoch that lies too far ahead of this site's clock."""
        self._fillings: dict[LinkId, Filling] = {}
        self._routes: tuple[RelayRoute, ...] = ()
        self._taken: tuple[RelayRoute, ...] = ()
        self._keep: bytes | None = None
        self._out: list[bytes] = []
        self._is_connected = False
        self._is_obeying: bool | None = None
        """Whether the controller of this stream is the one to obey; None until it has said who it is."""
        self._heard_at: float | None = None
        self._began_at: float | None = None
        self._reporter: Final = Reporter()
        if remembered is not None:
            self._remember(remembered)

    def _remember(self, data: bytes) -> None:
        try:
            kept = _remembered.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise StoreError(
                f"what {self.site} remembers of its controller cannot be read: {error}; remove the file, then the "
                "site follows the first controller that it meets"
            ) from None
        self._epoch, self._obeyed, self._table = kept.epoch, kept.obeyed, kept.table
        self._given = kept.routes

    # ---------------------------------------------------------------- the stream

    def connected(self, now: float) -> None:
        """A stream to a controller is open."""
        self._is_connected, self._is_obeying = True, None
        self._out = [
            encode(
                Hello(
                    version=VERSION,
                    software=one_line(self._software),
                    instance=self._instance,
                    epoch=self._epoch,
                    table=self._table,
                    obeyed=self._obeyed,
                    never_through=tuple(sorted(self.rule.never_through))[:1024],
                    max_relays=self.rule.max_relays,
                )
            )
        ]
        self._reporter.begin(now)

    def disconnected(self, now: float) -> None:
        """The stream is over."""
        self._is_connected, self._is_obeying = False, None
        self._out = []
        self._choose(now)

    def received(self, frame: bytes, now: float) -> None:
        """A frame of the controller. Raises ProtocolError: drop the stream, nothing changed."""
        message = decode(frame)
        match message:
            case None:
                pass
            case Welcome():
                self._welcomed(message, now)
            case Table():
                self._told(message, now)
            case Heard():
                if message.epoch == self._epoch and self._is_obeying:
                    self._heard_at = now
            case _:
                raise ProtocolError(f"a controller sent {type(message).__name__.lower()!r}, which only sites send")

    def _welcomed(self, welcome: Welcome, now: float) -> None:
        """Obey the controller of the highest epoch that was ever met, and of two of one epoch the first.

        An epoch of the future would shut out every controller to come: it waits, unobeyed, until the clock is near.
        """
        if self._wall_s and welcome.epoch > max(self._epoch, self._wall_s) + _AHEAD_S:
            self._is_obeying, self._ahead = False, welcome
            return
        is_same = welcome.epoch == self._epoch and self._obeyed in ("", welcome.instance)
        if welcome.epoch > self._epoch or is_same:
            if welcome.epoch > self._epoch:
                self._table = 0
            self._epoch, self._obeyed = welcome.epoch, welcome.instance
            self._is_obeying = True
            self._heard_at = now
            self._keep_all()
            return
        self._is_obeying = False
        self._applied(f"epoch {welcome.epoch} of {welcome.controller} is over: {self.site} obeys {self._epoch}")

    def _told(self, table: Table, now: float) -> None:
        if self._is_obeying is None:
            return  # of a stream before this one
        if not self._is_obeying or table.epoch != self._epoch:
            self._applied(f"a table of epoch {table.epoch}: {self.site} obeys epoch {self._epoch}")
            return
        self._heard_at = now
        if table.table > self._table:
            self._table, self._given = table.table, table.routes
            self._keep_all()
            self._use(now)
        self._applied(*check_table(self.site, self.rule, Table(epoch=0, table=0, routes=self._given))[1])

    def _applied(self, *refused: str) -> None:
        self._send(Applied(epoch=self._epoch, table=self._table, refused=tuple(r[:512] for r in refused)[:4096]))

    def _send(self, message: Applied | Report | Notice) -> None:
        if self._is_connected and len(self._out) < _MOST_FRAMES:
            self._out.append(encode(message))

    def _keep_all(self) -> None:
        self._keep = msgspec.json.encode(_Remembered(self._epoch, self._obeyed, self._table, self._given))

    # ---------------------------------------------------------------- what the site sees

    def observe(self, figures: Observation, now: float) -> None:
        """Everything, each second."""
        self._reporter.observe(figures, now)

    def light(self, report: LinkReport, now: float) -> None:
        """A device's news, at once."""
        self._reporter.light(report, now)

    def notice(self, kind: str, text: str, peer: KmeId | None, now: float) -> None:
        """An event of the site's key management. What became of relays moves the turns of the ways."""
        if kind == EventKind.RELAY_DONE and (done := _DONE.match(text)):
            filling = self._fillings.get(LinkId(done[2]))
            if filling is not None:
                filling.done(int(done[1]), now)
        elif kind == EventKind.RELAY_REFUSED and (given_up := _GIVEN_UP.match(text)):
            for filling in self._fillings.values():
                if filling.route.to == given_up[1]:
                    filling.refused(now)
        if kind in (EventKind.PEER_UP, EventKind.PEER_DOWN):
            self._reporter.hurry()
        if kind not in _UNTOLD and (notice := self._reporter.notice(kind, text, peer, now)) is not None:
            self._send(notice)

    # ---------------------------------------------------------------- time

    def tick(self, now: float, wall_ns: int) -> None:
        """Let time pass: report where it is due, choose ways."""
        self._wall_s = wall_ns // 1_000_000_000
        ahead, self._ahead = self._ahead, None
        if ahead is not None and self._is_connected:
            self._welcomed(ahead, now)
        if self._began_at is None:
            self._began_at = now
            self._use(now)
        seen, due_at = self._reporter.seen, self._reporter.due_at()
        if self._is_connected and seen is not None and due_at is not None and now >= due_at:
            self._send(self._reporter.report(seen, now, wall_ns))
        self._choose(now)

    def next_timeout(self, now: float) -> float:
        """When to call `tick` next."""
        due = [now + _TURN_S]
        if self._is_connected and (at := self._reporter.due_at()) is not None:
            due.append(at)
        if self._heard_at is not None and now - self._heard_at < ALONE_S:
            due.append(self._heard_at + ALONE_S)
        turns = [at for f in self._fillings.values() if (at := f.next_timeout(now)) is not None]
        due.append(max(now + _LEAST_TURN_S, min(turns, default=now + _TURN_S)))
        return max(now, min(due))

    def is_alone(self, now: float) -> bool:
        """Whether the controller that is obeyed has said nothing for a while."""
        since = self._heard_at if self._heard_at is not None else self._began_at
        return since is not None and now - since >= ALONE_S

    # ---------------------------------------------------------------- routes

    def obey(self, rule: AgentRule, now: float) -> None:
        """Another rule of the site from now on; the controller hears of it with the next stream."""
        self.rule = rule
        self._use(now)

    def _use(self, now: float) -> None:
        """Take the table that was given into use."""
        routes, _ = check_table(self.site, self.rule, Table(epoch=0, table=0, routes=self._given))
        fillings: dict[LinkId, Filling] = {}
        for pool, route in sorted(routes.items(), key=lambda item: (-item[1].priority, item[0])):
            filling = self._fillings.get(pool)
            if filling is None:
                filling = Filling(route, self.rule.block_bytes, now)
            elif filling.route != route:
                filling.change(route, now)
            fillings[pool] = filling
        self._fillings = fillings
        self._choose(now)

    def _choose(self, now: float) -> None:
        dead, is_alone = self._reporter.dead_neighbours(), self.is_alone(now)
        found = (f.relay_route(pool, now, is_alone, dead) for pool, f in self._fillings.items())
        self._routes = tuple(route for route in found if route is not None)

    @property
    def spares(self) -> Mapping[LinkId, bool]:
        """Stocks with a route, and whether a spare is in use, for the site's status."""
        return {pool: filling.is_on_spare for pool, filling in self._fillings.items()}

    # ---------------------------------------------------------------- what goes out

    def take_frames(self) -> list[bytes]:
        """Frames for the controller; what `take_remembered` gave must be durable before they leave."""
        frames, self._out = self._out, []
        return frames

    def take_routes(self) -> tuple[RelayRoute, ...] | None:
        """The routes to fill stocks over, where they changed since the last call. The most urgent stand first."""
        if self._routes == self._taken:
            return None
        self._taken = self._routes
        return self._routes

    def take_remembered(self) -> bytes | None:
        """What a restart of the site needs, where it changed since the last call."""
        keep, self._keep = self._keep, None
        return keep
