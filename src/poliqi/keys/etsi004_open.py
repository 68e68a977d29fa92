"""Opening and closing key streams: OPEN_CONNECT, CLOSE, and how the two sites learn of each other's ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from poliqi.base.ids import KmeId, SaeId
from poliqi.keys.etsi004_messages import OpenConnect, OpenConnectReply, Qos, Status
from poliqi.keys.etsi004_notices import Closed, Opened
from poliqi.keys.etsi004_stream import HELD_BYTES, Bucket, End, Offer, Stream
from poliqi.keys.etsi004_table import Table
from poliqi.keys.keyid import as_version_8
from poliqi.keys.policy import KeyLimits
from poliqi.keys.requests import Refused, StockReport

__all__ = ["Openings"]

_NIL: Final = bytes(16)
_LONGEST_TTL_S: Final = 0xFFFFFFFF


@dataclass(slots=True)
class _Wait:
    """An OPEN_CONNECT that waits for the peer application."""

    call: int
    stream_id: bytes
    sae: SaeId
    deadline_s: float


def _refused(status: Status, stream_id: bytes | None = None, qos: Qos | None = None) -> OpenConnectReply:
    return OpenConnectReply(status, None if stream_id is None else UUID(bytes=stream_id), qos)


class Openings:
    """Opens and closes the ends of a site's streams."""

    __slots__ = ("_table", "_waits")

    def __init__(self, table: Table) -> None:
        self._table: Final = table
        self._waits: list[_Wait] = []

    def open(
        self,
        call: int,
        caller: SaeId,
        asked: OpenConnect,
        report: StockReport | Refused,
        limits: KeyLimits,
        now: float,
    ) -> Stream | None:
        """Answer an OPEN_CONNECT, or keep it until the peer comes. The stream, where an end of it was opened."""
        other = asked.other_than(caller)
        if other is None or isinstance(report, Refused):
            return self._no(call, Status.NO_CONNECTION)
        peer = None if report.target_kme == self._table.site else report.target_kme
        if peer is not None and not report.connected:
            return self._no(call, Status.NO_CONNECTION)
        given = None if asked.stream_id is None or asked.stream_id.bytes == _NIL else asked.stream_id.bytes
        stream = self._begun(given, caller, frozenset((caller, other)), peer)
        if isinstance(stream, Status):
            return self._no(call, stream, given)
        if stream is None and self._is_full(caller):
            return self._no(call, Status.NO_CONNECTION)
        offer = self._offer(stream, report, limits)
        qos, is_met = offer.answer(asked.qos)
        if not is_met:
            return self._no(call, Status.QOS_NOT_MET, given, qos)
        if stream is None:
            stream = self._new(given, caller, other, peer, qos, limits)
        self._table.streams[stream.stream_id] = stream
        if peer is not None:
            self._table.announced.pop((peer, stream.stream_id), None)
        self._open_end(stream, caller, qos, now)
        self._welcome(call, stream, caller, qos, waits=given is not None, now=now)
        return stream

    def _no(self, call: int, status: Status, stream_id: bytes | None = None, qos: Qos | None = None) -> None:
        self._table.answer(call, _refused(status, stream_id, qos))

    def _begun(
        self, given: bytes | None, caller: SaeId, saes: frozenset[SaeId], peer: KmeId | None
    ) -> Stream | Status | None:
        """The stream of this id as this site or the peer's began it; None where it is new; KSID_IN_USE."""
        if given is None:
            return None
        stream = self._table.streams.get(given)
        if stream is not None and stream.lost and caller in stream.ends:
            self._table.finish(stream, 0.0)
            stream = None
        if stream is not None:
            end = stream.ends.get(caller)
            is_mine = stream.saes == saes and stream.peer == peer and not (end is not None and end.is_open)
            return stream if is_mine else Status.KSID_IN_USE
        if peer is None or (peer, given) not in self._table.announced:
            return None
        notice, _ = self._table.announced[(peer, given)]
        if frozenset((notice.opener, notice.other)) != frozenset[str](saes) or notice.opener == caller:
            return Status.KSID_IN_USE
        if not notice.home:
            return None
        return self._joined(notice, caller, peer)

    def _joined(self, notice: Opened, caller: SaeId, peer: KmeId) -> Stream:
        stream = Stream(
            notice.stream,
            notice.life,
            is_home=False,
            master=SaeId(notice.opener),
            slave=caller,
            peer=peer,
            chunk_bytes=notice.chunk_bytes,
            ttl_s=notice.ttl_s,
            order_most=1,
            remote_open=True,
        )
        stream.expired = notice.next
        return stream

    def _is_full(self, caller: SaeId) -> bool:
        settings, streams = self._table.settings, self._table.streams
        mine = sum(caller in stream.ends for stream in streams.values())
        return len(streams) >= settings.streams or mine >= settings.streams_per_sae

    def _offer(self, stream: Stream | None, report: StockReport, limits: KeyLimits) -> Offer:
        settings = self._table.settings
        if stream is not None:
            size = stream.chunk_bytes
            return Offer(size, size, size, settings.max_bps, settings.max_bps, stream.ttl_s, settings.timeout_ms)
        promised = sum(
            end.qos.min_bps
            for other in self._table.streams.values()
            if other.is_home and other.peer == report.target_kme
            for end in other.ends.values()
            if end.is_open
        )
        stock_bps = report.stored_keys * report.key_size_bits / settings.horizon_s
        return Offer(
            chunk_least=-(-limits.min_size_bits // 8),
            chunk_most=min(limits.max_size_bits // 8, HELD_BYTES),
            chunk_bytes=limits.key_size_bits // 8,
            max_bps=settings.max_bps,
            spare_bps=max(0, int(stock_bps) - promised),
            ttl_s=max(1, min(int(limits.ttl_s), _LONGEST_TTL_S)),
            timeout_ms=settings.timeout_ms,
        )

    def _new(
        self, given: bytes | None, caller: SaeId, other: SaeId, peer: KmeId | None, qos: Qos, limits: KeyLimits
    ) -> Stream:
        draw = self._table.entropy.draw
        return Stream(
            as_version_8(draw(16)) if given is None else given,
            draw(16),
            is_home=True,
            master=caller,
            slave=other,
            peer=peer,
            chunk_bytes=qos.chunk_bytes,
            ttl_s=qos.ttl_s,
            order_most=max(1, limits.max_number),
        )

    def _open_end(self, stream: Stream, caller: SaeId, qos: Qos, now: float) -> None:
        end = stream.ends.get(caller)
        bucket = Bucket.full(qos.max_bps, stream.chunk_bytes, now)
        if end is None:
            start = stream.expired if not stream.is_home else 0
            stream.ends[caller] = End(caller, qos, bucket, next=start)
        else:
            end.qos, end.bucket, end.is_open = qos, bucket, True
        stream.closed_s = None

    def _welcome(self, call: int, stream: Stream, caller: SaeId, qos: Qos, *, waits: bool, now: float) -> None:
        stream.told_s = now
        self._table.tell_open(stream, ask=True)
        if waits and qos.timeout_ms and not stream.is_connected:
            deadline = now + qos.timeout_ms / 1000
            self._waits.append(_Wait(call, stream.stream_id, caller, deadline))
            return
        status = Status.OK if stream.is_connected else Status.PEER_NOT_CONNECTED_YET
        self._table.answer(call, OpenConnectReply(status, UUID(bytes=stream.stream_id), qos))
        self.connected(stream)

    def connected(self, stream: Stream) -> None:
        """Answer those who waited, if both ends of the stream are open now."""
        if not stream.is_connected:
            return
        stream.met = True
        for wait in [w for w in self._waits if w.stream_id == stream.stream_id]:
            self._waits.remove(wait)
            reply = OpenConnectReply(Status.OK, UUID(bytes=wait.stream_id), stream.ends[wait.sae].qos)
            self._table.answer(wait.call, reply)

    def close(self, caller: SaeId, stream_id: bytes, now: float) -> Status:
        """Close the caller's end."""
        stream = self._table.streams.get(stream_id)
        end = None if stream is None else stream.ends.get(caller)
        if stream is None or end is None or not end.is_open:
            return Status.NO_CONNECTION
        self._shut(stream, end, now)
        return Status.OK

    def _shut(self, stream: Stream, end: End, now: float) -> None:
        end.is_open = False
        if end.held:
            end.next = max(end.next, max(end.held) + 1)
        end.wipe()
        for wait in [w for w in self._waits if (w.stream_id, w.sae) == (stream.stream_id, end.sae)]:
            self._waits.remove(wait)
            self._table.answer(wait.call, _refused(Status.NO_CONNECTION, stream.stream_id))
        self._table.tell_closed(stream)
        if stream.lost or not (stream.has_open_end or stream.remote_open):
            self._table.finish(stream, now)
        elif not stream.has_open_end:
            stream.closed_s = now

    def cancel(self, call: int, now: float) -> None:
        """Whoever made this call is gone: close the end that it opened."""
        for wait in [w for w in self._waits if w.call == call]:
            self._give_up(wait, Status.TIMEOUT, now)

    def tick(self, now: float) -> None:
        """Give up what has waited long enough, forget what nobody came for."""
        for wait in [w for w in self._waits if w.deadline_s <= now]:
            self._give_up(wait, Status.TIMEOUT, now)
        old = now - self._table.settings.announced_s
        for name in [n for n, (_, since) in self._table.announced.items() if since <= old]:
            del self._table.announced[name]

    def _give_up(self, wait: _Wait, status: Status, now: float) -> None:
        self._waits.remove(wait)
        stream = self._table.streams[wait.stream_id]
        self._table.answer(wait.call, _refused(status, wait.stream_id, stream.ends[wait.sae].qos))
        self._shut(stream, stream.ends[wait.sae], now)

    # what the other site says

    def heard_open(self, peer: KmeId, notice: Opened, now: float) -> Stream | None:
        """The other site opened its end. The stream that changed by it."""
        stream = self._table.streams.get(notice.stream)
        if stream is None or stream.lost:
            self._announce(peer, notice, now)
            if notice.ask:
                self._table.tell(peer, Closed(notice.stream, notice.life, 0))
            return None
        is_theirs = stream.peer == peer and frozenset[str](stream.saes) == frozenset((notice.opener, notice.other))
        if not is_theirs or notice.opener in stream.ends:
            return None
        if notice.life == stream.life:
            stream.remote_open = True
            self.connected(stream)
            self._reply(stream, notice)
        elif not notice.home:
            self._reply(stream, notice)
        else:
            self._begun_twice(stream, notice, now)
        return stream

    def _reply(self, stream: Stream, notice: Opened) -> None:
        if not notice.ask:
            return
        if stream.has_open_end:
            self._table.tell_open(stream, ask=False)
        else:
            self._table.tell_closed(stream)

    def _announce(self, peer: KmeId, notice: Opened, now: float) -> None:
        announced = self._table.announced
        name = (peer, notice.stream)
        if name not in announced and len(announced) >= self._table.settings.announced:
            return
        announced[name] = (notice, now)

    def _begun_twice(self, stream: Stream, notice: Opened, now: float) -> None:
        """The other site began a stream of the same id: the one that was in use stays, else the lesser name's."""
        assert stream.peer is not None
        ours_stays = stream.is_home and not notice.met and (stream.met or self._table.site < stream.peer)
        if ours_stays:
            self._table.tell_open(stream, ask=False)
        elif stream.met or notice.chunk_bytes != stream.chunk_bytes:
            stream.lost = True
            stream.remote_open = False
            stream.wipe()
            self._announce(stream.peer, notice, now)
        else:
            self._adopt(stream, notice)

    def _adopt(self, stream: Stream, notice: Opened) -> None:
        stream.life, stream.is_home, stream.ttl_s = notice.life, False, notice.ttl_s
        stream.master, stream.slave = SaeId(notice.opener), SaeId(notice.other)
        stream.expired = notice.next
        for end in stream.ends.values():
            end.next = notice.next
        stream.remote_open = True
        self.connected(stream)
        self._table.tell_open(stream, ask=False)

    def heard_closed(self, peer: KmeId, notice: Closed, now: float) -> Stream | None:
        """The other site closed its end, or has none. The stream that changed by it, if it is still there."""
        announced = self._table.announced.get((peer, notice.stream))
        if announced is not None and announced[0].life == notice.life:
            del self._table.announced[(peer, notice.stream)]
        stream = self._table.streams.get(notice.stream)
        if stream is None or stream.peer != peer or stream.life != notice.life:
            return None
        stream.remote_open = False
        stream.remote_next = max(stream.remote_next, min(notice.next, stream.ordered))
        if stream.has_open_end:
            return stream
        self._table.finish(stream, now)
        return None
