"""ETSI GS QKD 004 v2.1.1, the key streams of a site: a core without IO.

The site of whoever opened a stream first is its home: it orders the chunks ahead, by name, and keeps its own
reader's; the other end fetches them by name. Calls come in with a number and are answered by `Answer`; what must
be done outside (orders, fetches, notices to the other site) comes out as actions. docs/spec/streams.md has the
rules and what is lost when a site starts anew: its streams are forgotten, and their next calls say so.
"""

from __future__ import annotations

from typing import Final, assert_never

from poliqi.base.ids import KmeId, SaeId
from poliqi.base.secret import Entropy
from poliqi.keys.etsi004_messages import Close, CloseReply, GetKey, OpenConnect
from poliqi.keys.etsi004_notices import Closed, Opened, Upto, Want, read_notice
from poliqi.keys.etsi004_open import Openings
from poliqi.keys.etsi004_serve import Serving
from poliqi.keys.etsi004_table import Action, StreamSettings, Table
from poliqi.keys.policy import KeyLimits
from poliqi.keys.requests import Outcome, Refused, StockReport

__all__ = ["TICK_S", "Streams"]

TICK_S: Final = 0.05
"""Deadlines are kept to this."""


class Streams:
    """The key streams of one site. `now` is monotonic seconds; call `tick` about every `TICK_S` while `is_busy`."""

    __slots__ = ("_openings", "_serving", "_table")

    def __init__(self, site: KmeId, entropy: Entropy, settings: StreamSettings | None = None) -> None:
        self._table: Final = Table(site, entropy, settings or StreamSettings())
        self._openings: Final = Openings(self._table)
        self._serving: Final = Serving(self._table)

    @property
    def is_busy(self) -> bool:
        """True where time matters to something here."""
        return bool(self._table.streams or self._table.announced)

    @property
    def count(self) -> int:
        """How many streams there are."""
        return len(self._table.streams)

    def take_output(self) -> list[Action]:
        """What must be done outside, in order; each is handed over once."""
        output, self._table.output = self._table.output, []
        return output

    def open_connect(
        self,
        call: int,
        caller: SaeId,
        asked: OpenConnect,
        report: StockReport | Refused,
        limits: KeyLimits,
        now: float,
    ) -> None:
        """OPEN_CONNECT by `caller`; `report` is of the stock from it to the other application."""
        stream = self._openings.open(call, caller, asked, report, limits, now)
        if stream is not None:
            self._serving.serve(stream, now)

    def get_key(self, call: int, caller: SaeId, asked: GetKey, now: float) -> None:
        """GET_KEY by `caller`."""
        self._serving.get_key(call, caller, asked, now)

    def close(self, call: int, caller: SaeId, asked: Close, now: float) -> None:
        """CLOSE by `caller`."""
        stream = self._table.streams.get(asked.stream_id.bytes)
        self._table.answer(call, CloseReply(self._openings.close(caller, asked.stream_id.bytes, now)))
        if stream is not None:
            self._serving.serve(stream, now)

    def cancel(self, call: int, now: float) -> None:
        """Whoever made this call is gone. A chunk that was under way for it is kept for its end's next call."""
        self._openings.cancel(call, now)
        self._serving.cancel(call)

    def ordered(self, job: int, outcome: Outcome, now: float) -> None:
        """The outcome of `PlaceOrder`."""
        self._serving.ordered(job, outcome, now)

    def fetched(self, job: int, outcome: Outcome, now: float) -> None:
        """The outcome of `FetchChunk`."""
        self._serving.fetched(job, outcome, now)

    def heard(self, peer: KmeId, body: bytes, now: float) -> None:
        """A notice from another site. Raises ProtocolError where it was not understood."""
        notice = read_notice(body)
        match notice:
            case Opened():
                stream = self._openings.heard_open(peer, notice, now)
            case Closed():
                stream = self._openings.heard_closed(peer, notice, now)
            case Want() | Upto():
                stream = self._table.streams.get(notice.stream)
                if stream is None or stream.peer != peer or stream.life != notice.life or stream.lost:
                    return
                if isinstance(notice, Want):
                    self._serving.heard_want(stream, notice, now)
                else:
                    self._serving.heard_upto(stream, notice, now)
            case _:
                assert_never(notice)
        if stream is not None:
            self._serving.serve(stream, now)

    def tick(self, now: float) -> None:
        """Let time pass: deadlines, times to live, what is said again."""
        self._openings.tick(now)
        for stream in list(self._table.streams.values()):
            if stream.closed_s is not None and stream.closed_s + stream.ttl_s <= now:
                self._table.finish(stream, now)
            else:
                self._serving.serve(stream, now)

    def stop(self) -> None:
        """Wipe every chunk that waits here."""
        for stream in self._table.streams.values():
            stream.wipe()
        self._table.streams.clear()
