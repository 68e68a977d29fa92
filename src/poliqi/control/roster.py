"""What the controller knows of one site: its stream, its start, its latest report, the table that it was sent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from poliqi.base.ids import KmeId
from poliqi.control.admission import TokenBucket
from poliqi.control.messages import Hello, PeerReport, PoolReport, Report
from poliqi.control.planning import SitePolicy

__all__ = ["SILENT_S", "Counts", "SiteWatch"]

SILENT_S: Final = 5.0
"""A stream on which a site says nothing for so long is dropped."""
_FRAMES_PER_S: Final = 50.0
_FRAMES_AT_ONCE: Final = 500.0
_FRAME_BYTES: Final = 16_384
_NEWS_PER_S: Final = 0.1
_NEWS_AT_ONCE: Final = 16.0
_RESEND_S: Final = 2.0
_MOST_RESEND_S: Final = 60.0
_AGAIN_S: Final = 60.0
_SENSE_S: Final = 10.0
_MOST_TOPICS: Final = 64


@dataclass(slots=True)
class Counts:
    """What a site served since it was asked for last."""

    delivered: int = 0
    requests: int = 0
    refused: int = 0

    def add(self, before: Report, after: Report) -> None:
        """Two reports of one start, one after the other."""
        self.delivered += after.keys_delivered - before.keys_delivered
        self.requests += after.requests - before.requests
        self.refused += after.requests_refused - before.requests_refused

    def include(self, other: Counts) -> None:
        """Take another's counts over."""
        delivered, requests, refused = other.take()
        self.delivered += delivered
        self.requests += requests
        self.refused += refused

    def take(self) -> tuple[int, int, int]:
        """The counts; they begin anew."""
        counts = self.delivered, self.requests, self.refused
        self.delivered = self.requests = self.refused = 0
        return counts


@dataclass(slots=True)
class SiteWatch:
    """A site under watch."""

    kme: KmeId
    connection: int | None = None
    hello: Hello | None = None
    report: Report | None = None
    is_up: bool = False
    """It reports; for a moment after its stream broke as well."""
    is_draining: bool = False
    """The operator drains it."""
    connected_at: float = float("-inf")
    heard_at: float = float("-inf")
    reported_at: float | None = None
    lost_at: float | None = None
    """When its stream broke; None while it has one."""
    counts: Counts = field(default_factory=Counts)
    software: str = ""
    last_instance: str = ""
    policy: SitePolicy = field(default_factory=SitePolicy)
    """As its last hello said."""
    skew_s: float = 0.0
    is_skewed: bool = False
    pools: dict[str, PoolReport] = field(default_factory=dict[str, PoolReport])
    """Plausible ones, by name."""
    peers: dict[str, bool] = field(default_factory=dict[str, bool])
    table: int = 0
    """Version of the latest table that was made for it, in this epoch."""
    applied: int = 0
    is_table_due: bool = True
    """Routes changed since that table was made."""
    refused: tuple[str, ...] = ()
    _sent_at: float | None = None
    _resend_s: float = _RESEND_S
    _frames: TokenBucket | None = None
    _nonsense_at: float | None = None
    _told: dict[str, float] = field(default_factory=dict[str, float])
    _said: dict[str, float] = field(default_factory=dict[str, float])
    _news: TokenBucket | None = None

    @property
    def drains(self) -> bool:
        """Nothing new should lead through it."""
        return self.is_draining or (self.report is not None and self.report.is_draining)

    def begin(self, connection: int, now: float) -> None:
        """A stream of the site; it takes the place of an older one."""
        self.connection, self.hello = connection, None
        self.connected_at = self.heard_at = now

    def end(self, now: float) -> None:
        """Its stream is over."""
        self.connection, self.hello = None, None
        self.lost_at = now
        self._sent_at = None

    def greet(self, hello: Hello) -> bool:
        """Its hello; True where the site was started anew since its last one."""
        before, self.hello = self.last_instance, hello
        self.last_instance, self.software = hello.instance, hello.software
        never = frozenset(KmeId(name) for name in hello.never_through)
        self.policy = SitePolicy(never, hello.max_relays + 1)
        self.lost_at = None
        self.applied, self._sent_at, self._resend_s = 0, None, _RESEND_S
        return before != hello.instance

    def forget_start(self) -> None:
        """The site was started anew: its counters begin again."""
        self.report = None
        self.pools.clear()

    def may_speak(self, now: float, size: int) -> bool:
        """Whether a frame is within what a site may send: 50 a second, 500 at once, large ones counting more."""
        if self._frames is None:
            self._frames = TokenBucket(_FRAMES_PER_S, _FRAMES_AT_ONCE, now)
        if self._frames.level(now) < 1.0:
            return False
        self._frames.take(max(1.0, size / _FRAME_BYTES), now)
        return True

    def may_tell(self, topic: str, now: float) -> bool:
        """Whether to tell of what the site says: a few things at once, then seldom."""
        if self._news is None:
            self._news = TokenBucket(_NEWS_PER_S, _NEWS_AT_ONCE, now)
        is_new = now - self._said.get(topic, float("-inf")) >= _AGAIN_S
        if not is_new or self._news.level(now) < 1.0:
            return False
        if len(self._said) >= _MOST_TOPICS:
            self._said.clear()
        self._said[topic] = now
        self._news.take(1.0, now)
        return True

    def is_stuck(self, now: float) -> bool:
        """Its stream is open and says nothing."""
        return self.connection is not None and now - self.heard_at > SILENT_S

    # ---------------------------------------------------------------- tables

    def is_table_unsent(self, now: float) -> bool:
        """Whether its table must be sent, or sent again: nothing was applied for a while, longer each time."""
        if self.hello is None or (self.applied == self.table and not self.is_table_due):
            return False
        return self.is_table_due or self._sent_at is None or now - self._sent_at >= self._resend_s

    def sent(self, now: float) -> None:
        """Its table leaves."""
        self._resend_s = _RESEND_S if self.is_table_due else min(_MOST_RESEND_S, 2.0 * self._resend_s)
        self.is_table_due = False
        self._sent_at = now

    # ---------------------------------------------------------------- nonsense

    def is_new_nonsense(self, topic: str, now: float) -> bool:
        """Whether to tell of nonsense: not of the same matter again within a minute, nor of ever new ones."""
        if topic not in self._told and len(self._told) >= _MOST_TOPICS:
            topic = "more"
        self._nonsense_at = now
        before = self._told.get(topic)
        if before is not None and now - before < _AGAIN_S:
            return False
        self._told[topic] = now
        return True

    def has_come_to_sense(self, now: float) -> bool:
        """True once, when nothing that it reported was nonsense for a while."""
        if self._nonsense_at is None or now - self._nonsense_at < _SENSE_S:
            return False
        self._nonsense_at = None
        self._told.clear()
        return True

    def take_peers(self, peers: tuple[PeerReport, ...]) -> list[str]:
        """Its peers' connections; the names of those that changed."""
        told = {peer.site: peer.is_connected for peer in peers}
        changed = [name for name, up in told.items() if self.peers.get(name) is not up]
        changed += [name for name in self.peers if name not in told]
        self.peers = told
        return changed
