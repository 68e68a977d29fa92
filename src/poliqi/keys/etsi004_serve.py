"""GET_KEY on key streams: chunks ordered ahead at the stream's home, fetched by name at its other end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from poliqi.base.ids import SaeId
from poliqi.base.secret import SecretBytes
from poliqi.keys.etsi004_messages import GetKey, GetKeyReply, Status
from poliqi.keys.etsi004_notices import Upto, Want
from poliqi.keys.etsi004_stream import Chunk, End, KeyCall, Stream, chunk_id, nearest
from poliqi.keys.etsi004_table import FetchChunk, PlaceOrder, Table
from poliqi.keys.requests import Delivered, KeyOrder, Outcome, Reason, Refused

__all__ = ["Serving"]

_INDICES: Final = 1 << 32
_RETRY_S: Final = 0.2
_REPEAT_S: Final = 0.5
_SKIPPED: Final = 16
_SHORTAGES: Final = (Reason.INSUFFICIENT, Reason.RATE_LIMITED, Reason.NOT_FOUND)


@dataclass(frozen=True, slots=True)
class _Job:
    """An order of `count` chunks from `first` on, or the fetch of one chunk for `sae`."""

    stream_id: bytes
    life: bytes
    first: int
    count: int
    sae: SaeId


def _status_of(reason: Reason) -> Status:
    return Status.INSUFFICIENT_KEY if reason in _SHORTAGES else Status.NO_CONNECTION


class Serving:
    """Serves the chunks of a site's streams, each once to each end."""

    __slots__ = ("_jobs", "_last_job", "_table")

    def __init__(self, table: Table) -> None:
        self._table: Final = table
        self._jobs: Final[dict[int, _Job]] = {}
        self._last_job = 0

    def get_key(self, call: int, caller: SaeId, asked: GetKey, now: float) -> None:
        """Answer a GET_KEY, now or when its chunk is here or its time is over."""
        stream = self._table.streams.get(asked.stream_id.bytes)
        end = None if stream is None else stream.ends.get(caller)
        if stream is None or end is None or not end.is_open:
            self._table.answer(call, GetKeyReply(Status.NO_CONNECTION, asked.index))
            return
        settings = self._table.settings
        if len(stream.calls) >= settings.calls_per_stream:
            self._table.answer(call, GetKeyReply(Status.INSUFFICIENT_KEY, asked.index))
            return
        number = None if asked.index is None else nearest(asked.index, end.next)
        wait_s = end.qos.timeout_ms / 1000
        deadline = now + (wait_s or settings.patience_s)
        stream.calls.append(KeyCall(call, caller, number, asked.metadata_bytes, deadline, wait_s > 0))
        self.serve(stream, now)

    def cancel(self, call: int) -> None:
        """Whoever made this call is gone; what is under way for it stays for the next."""
        for stream in self._table.streams.values():
            stream.calls[:] = [c for c in stream.calls if c.call != call]

    def serve(self, stream: Stream, now: float) -> None:
        """Answer what can be answered, order what is needed."""
        for end in stream.ends.values():
            end.expire(now)
        for call in list(stream.calls):
            reply = self._try(stream, call, now)
            if reply is not None:
                stream.calls.remove(call)
                self._table.answer(call.call, reply)
        if stream.is_home:
            self._order(stream, now)

    def _try(self, stream: Stream, call: KeyCall, now: float) -> GetKeyReply | None:
        end = stream.ends[call.sae]
        if not end.is_open:
            return self._no(Status.NO_CONNECTION, call)
        if stream.lost:
            return self._no(Status.PEER_NOT_CONNECTED, call)
        late = Status.TIMEOUT if call.is_patient else Status.INSUFFICIENT_KEY
        if call.deadline_s <= now:
            return self._no(late, call)
        if call.fetching is not None:
            return None
        number = self._choose(stream, end, call, now)
        if number in end.held:
            return self._hand(stream, end, call, number, now)
        if number < stream.ordered:
            if end.sae == stream.master or number < stream.oldest(now):
                return self._no(Status.INSUFFICIENT_KEY, call)
            self._fetch(stream, call, number)
            return None
        if not stream.is_connected:
            self._ask_again(stream, now)
            return self._no(Status.PEER_NOT_CONNECTED, call)
        if number >= max(end.next, stream.ordered) + stream.room:
            return self._no(Status.INSUFFICIENT_KEY, call)
        if not stream.is_home:
            self._want(stream, number + 1, now)
        return None

    def _no(self, status: Status, call: KeyCall) -> GetKeyReply:
        return GetKeyReply(status, None if call.number is None else call.number % _INDICES)

    def _choose(self, stream: Stream, end: End, call: KeyCall, now: float) -> int:
        """The chunk that a call is about; where it names none, the next one that can still be had."""
        if call.number is not None:
            return call.number
        number = end.next = max(end.next, stream.oldest(now))
        if end.sae == stream.master:
            while number < stream.ordered and number not in end.held:
                number += 1
            end.next = number
            return number
        under_way = {other.fetching for other in stream.calls if other.sae == end.sae}
        while number in under_way:
            number += 1
        return number

    def _hand(self, stream: Stream, end: End, call: KeyCall, number: int, now: float) -> GetKeyReply | None:
        chunk, index, metadata = end.held[number], number % _INDICES, ""
        if end.qos.metadata_type and call.metadata_bytes is not None:
            metadata = msgspec.json.encode(chunk.grade.as_json()).decode()
            size = len(metadata.encode())
            if size > call.metadata_bytes:
                return GetKeyReply(Status.METADATA_TOO_SMALL, index, metadata_bytes=size)
        if not end.bucket.take(8 * stream.chunk_bytes, now):
            return None if call.is_patient else self._no(Status.INSUFFICIENT_KEY, call)
        del end.held[number]
        end.next = max(end.next, number + 1)
        return GetKeyReply(Status.OK, index, chunk.value.take(), len(metadata.encode()), metadata)

    def _ask_again(self, stream: Stream, now: float) -> None:
        if now - stream.told_s >= _REPEAT_S:
            stream.told_s = now
            self._table.tell_open(stream, ask=True)

    def _want(self, stream: Stream, upto: int, now: float) -> None:
        if upto > stream.wanted or now - stream.told_s >= _REPEAT_S:
            stream.wanted, stream.told_s = max(upto, stream.wanted), now
            self._table.tell(stream.peer, Want(stream.stream_id, stream.life, stream.wanted))

    # orders, at the home

    def _order(self, stream: Stream, now: float) -> None:
        if stream.ordering or not stream.is_connected or now < stream.retry_s:
            return
        master = stream.ends[stream.master]
        need = self._needed(stream)
        most = stream.ordered + stream.room - len(master.held)
        ahead = max(master.next, stream.wanted) + stream.ahead
        count = min(max(need, 0 if stream.short else ahead), most) - stream.ordered
        count = min(count, stream.order_most)
        if need > stream.ordered:
            stream.grow(master.qos)
            if count <= 0 and stream.wanted > stream.ordered:
                stream.wanted = stream.ordered
                self._tell_upto(stream, short=True)
        elif count < (stream.ahead + 1) // 2:
            return
        if count > 0:
            self._place(stream, count)

    def _needed(self, stream: Stream) -> int:
        """The chunks before this one are waited for."""
        need = stream.wanted
        for end in stream.ends.values():
            mine = [call for call in stream.calls if call.sae == end.sae and call.fetching is None]
            nameless = sum(call.number is None for call in mine)
            if nameless:
                need = max(need, max(end.next, stream.ordered if end.sae != stream.master else 0) + nameless)
            need = max([need, *(call.number + 1 for call in mine if call.number is not None)])
        return need

    def _place(self, stream: Stream, count: int) -> None:
        first = stream.ordered
        ids = tuple(chunk_id(stream.stream_id, stream.life, first + i) for i in range(count))
        order = KeyOrder(stream.master, (stream.slave,), count, 8 * stream.chunk_bytes, key_ids=ids)
        stream.ordering = True
        job = self._job(_Job(stream.stream_id, stream.life, first, count, stream.master))
        self._table.output.append(PlaceOrder(job, order))

    def _job(self, job: _Job) -> int:
        self._last_job += 1
        self._jobs[self._last_job] = job
        return self._last_job

    def _stream_of(self, job: _Job) -> Stream | None:
        stream = self._table.streams.get(job.stream_id)
        return stream if stream is not None and stream.life == job.life else None

    def ordered(self, number: int, outcome: Outcome, now: float) -> None:
        """An order that `PlaceOrder` asked for has its outcome."""
        job = self._jobs.pop(number)
        stream = self._stream_of(job)
        if stream is None:
            return
        stream.ordering = False
        if isinstance(outcome, Delivered):
            self._arrived(stream, job, outcome, now)
        elif isinstance(outcome, Refused):
            self._refused(stream, job, outcome, now)
        self.serve(stream, now)

    def _arrived(self, stream: Stream, job: _Job, outcome: Delivered, now: float) -> None:
        stream.short, stream.retry_s = False, 0.0
        stream.extend(job.first + job.count, now)
        master = stream.ends[stream.master]
        if master.is_open and not stream.lost:
            for i, key in enumerate(outcome.keys):
                master.held[job.first + i] = Chunk(SecretBytes(key.value), key.grade, now + stream.ttl_s)
        self._tell_upto(stream, short=False)

    def _refused(self, stream: Stream, job: _Job, outcome: Refused, now: float) -> None:
        status = _status_of(outcome.reason)
        is_shortage = status is Status.INSUFFICIENT_KEY
        if is_shortage and not stream.short and job.count > 1:
            stream.short = True  # once more, only what is waited for
            return
        stream.short = is_shortage
        stream.retry_s = now + max(_RETRY_S, outcome.retry_s or 0.0)
        self._fail(stream, status, everybody=not is_shortage)
        self._tell_upto(stream, short=True)
        stream.wanted = min(stream.wanted, stream.ordered)

    def _fail(self, stream: Stream, status: Status, *, everybody: bool) -> None:
        """Answer those who wait for chunks that do not exist: those who wait no longer, or everybody."""
        for call in list(stream.calls):
            if call.fetching is None and (everybody or not call.is_patient):
                stream.calls.remove(call)
                self._table.answer(call.call, self._no(status, call))

    def _tell_upto(self, stream: Stream, *, short: bool) -> None:
        if stream.remote_open:
            self._table.tell(stream.peer, Upto(stream.stream_id, stream.life, stream.ordered, short))

    def heard_want(self, stream: Stream, notice: Want, now: float) -> None:
        """The other end waits for chunks."""
        if not stream.is_home:
            return
        stream.wanted = max(stream.wanted, min(notice.upto, stream.ordered + stream.room))
        self._tell_upto(stream, short=False)
        self.serve(stream, now)

    def heard_upto(self, stream: Stream, notice: Upto, now: float) -> None:
        """The home says which chunks exist."""
        if stream.is_home:
            return
        stream.extend(notice.upto, now)
        self.serve(stream, now)
        if notice.short:
            self._fail(stream, Status.INSUFFICIENT_KEY, everybody=False)

    # fetches, at the slave's end

    def _fetch(self, stream: Stream, call: KeyCall, number: int) -> None:
        call.fetching = number
        job = self._job(_Job(stream.stream_id, stream.life, number, 1, call.sae))
        key_id = chunk_id(stream.stream_id, stream.life, number)
        self._table.output.append(FetchChunk(job, call.sae, stream.master, key_id))

    def fetched(self, number: int, outcome: Outcome, now: float) -> None:
        """A fetch that `FetchChunk` asked for has its outcome."""
        job = self._jobs.pop(number)
        stream = self._stream_of(job)
        if stream is None:
            return
        end = stream.ends[job.sae]
        call = next((c for c in stream.calls if c.sae == job.sae and c.fetching == job.first), None)
        if call is not None:
            call.fetching = None
        if isinstance(outcome, Delivered):
            if end.is_open and not stream.lost:
                key = outcome.keys[0]
                end.held[job.first] = Chunk(SecretBytes(key.value), key.grade, now + stream.ttl_s)
        elif call is not None and isinstance(outcome, Refused):
            self._not_fetched(stream, end, call, job.first, outcome.reason)
        self.serve(stream, now)

    def _not_fetched(self, stream: Stream, end: End, call: KeyCall, number: int, reason: Reason) -> None:
        if reason is Reason.NOT_FOUND and call.number is None and call.skipped < _SKIPPED:
            call.skipped += 1
            end.next = max(end.next, number + 1)
            return
        stream.calls.remove(call)
        self._table.answer(call.call, self._no(_status_of(reason), call))
