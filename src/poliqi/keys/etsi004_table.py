"""The streams of a site, and what its streams want done outside (ETSI GS QKD 004)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from poliqi.base.ids import KmeId, SaeId
from poliqi.base.secret import Entropy
from poliqi.keys.etsi004_messages import Reply
from poliqi.keys.etsi004_notices import Closed, Notice, Opened, notice_of
from poliqi.keys.etsi004_stream import Stream, chunk_id
from poliqi.keys.requests import KeyOrder

__all__ = [
    "Action",
    "Answer",
    "FetchChunk",
    "PlaceOrder",
    "SendNotice",
    "StreamSettings",
    "Table",
    "VoidChunks",
]

_VOIDED: Final = 1024


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """What a site grants. A Min_bps is granted where the stock would last `horizon_s` at that rate."""

    max_bps: int = 0xFFFFFFFF
    horizon_s: float = 10.0
    timeout_ms: int = 60_000
    patience_s: float = 2.0
    """How long work under way is waited for in a call whose Timeout is 0."""
    streams: int = 4096
    streams_per_sae: int = 64
    calls_per_stream: int = 64
    announced: int = 4096
    announced_s: float = 3600.0


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer call number `call`."""

    call: int
    reply: Reply


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    """Order chunks, then tell `ordered(job, outcome)`."""

    job: int
    order: KeyOrder


@dataclass(frozen=True, slots=True)
class FetchChunk:
    """Fetch a chunk, then tell `fetched(job, outcome)`."""

    job: int
    caller: SaeId
    master: SaeId
    key_id: bytes


@dataclass(frozen=True, slots=True)
class VoidChunks:
    """Take back what nobody will read; nobody waits for the outcome."""

    master: SaeId
    slave: SaeId
    key_ids: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class SendNotice:
    """Send a notice to another site, if it can be reached."""

    peer: KmeId
    body: bytes


Action = Answer | PlaceOrder | FetchChunk | VoidChunks | SendNotice


class Table:
    """Streams by id, streams that other sites announced, actions that wait to be taken."""

    __slots__ = ("announced", "entropy", "output", "settings", "site", "streams")

    def __init__(self, site: KmeId, entropy: Entropy, settings: StreamSettings) -> None:
        self.site: Final = site
        self.entropy: Final = entropy
        self.settings: Final = settings
        self.streams: Final[dict[bytes, Stream]] = {}
        self.announced: Final[dict[tuple[KmeId, bytes], tuple[Opened, float]]] = {}
        self.output: list[Action] = []

    def answer(self, call: int, reply: Reply) -> None:
        """Answer a call."""
        self.output.append(Answer(call, reply))

    def tell(self, peer: KmeId | None, notice: Notice) -> None:
        """Send a notice; there is nobody to tell where both ends are at this site."""
        if peer is not None:
            self.output.append(SendNotice(peer, notice_of(notice)))

    def tell_open(self, stream: Stream, *, ask: bool) -> None:
        """Say that our end is open."""
        mine = next((end for end in stream.ends.values() if end.is_open), None)
        if mine is None or stream.lost:
            return
        other = stream.slave if mine.sae == stream.master else stream.master
        notice = Opened(
            stream.stream_id,
            stream.life,
            stream.is_home,
            stream.met,
            mine.sae,
            other,
            stream.chunk_bytes,
            stream.ttl_s,
            mine.next,
            ask,
        )
        self.tell(stream.peer, notice)

    def tell_closed(self, stream: Stream) -> None:
        """Say that our end is closed."""
        mine = next(iter(stream.ends.values()))
        self.tell(stream.peer, Closed(stream.stream_id, stream.life, mine.next))

    def finish(self, stream: Stream, now: float) -> None:
        """Both ends are closed: forget the stream, take back what the slave did not read."""
        stream.wipe()
        del self.streams[stream.stream_id]
        if not stream.is_home or stream.lost:
            return
        slave = stream.ends.get(stream.slave)
        unread = max(stream.remote_next if slave is None else slave.next, stream.oldest(now))
        numbers = range(unread, stream.ordered)[-_VOIDED:]
        if numbers:
            ids = tuple(chunk_id(stream.stream_id, stream.life, number) for number in numbers)
            self.output.append(VoidChunks(stream.master, stream.slave, ids))
