"""A site's store in memory: it keeps what it was told to make durable, nothing else, and outlives its process."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace

from poliqi.base.errors import StoreError
from poliqi.base.ids import KmeId, LinkId
from poliqi.base.secret import SecretBytes
from poliqi.keys import marks as m
from poliqi.keys.run import Run, RunKey
from poliqi.keys.segment import SegmentRecord, SegmentState

__all__ = ["MemoryStore"]


class MemoryStore:
    """What lies on a site's disk. While `broken` says why, nothing can be written."""

    def __init__(self, instance: bytes) -> None:
        self.broken = ""
        self.commits = 0
        self._instance = instance
        self._generation = 0
        self._boots: tuple[bytes, ...] = ()
        self._next_segment = 1
        self._segments: dict[int, SegmentRecord] = {}
        self._runs: dict[RunKey, Run] = {}
        self._peers: dict[KmeId, m.PeerMemory] = {}
        self._secrets: dict[tuple[KmeId, str], bytes] = {}
        self._payloads: dict[int, bytes] = {}
        self._seen: set[tuple[LinkId, bytes]] = set()

    def load(self, boot: bytes) -> m.StoredState:
        """Open for one more start, whose random name is `boot`."""
        self._generation += 1
        self._boots = (*self._boots, boot)[-64:]
        return m.StoredState(
            self._instance,
            self._generation,
            self._boots,
            self._next_segment,
            [copy.copy(r) for r in self._segments.values()],
            [copy.copy(r) for r in self._runs.values()],
            dict(self._peers),
            {name: SecretBytes(secret) for name, secret in self._secrets.items()},
        )

    def image(self) -> MemoryStore:
        """A copy of the disk as it is now."""
        twin = copy.copy(self)
        twin._segments = {number: copy.copy(r) for number, r in self._segments.items()}
        twin._runs = {key: copy.copy(r) for key, r in self._runs.items()}
        twin._peers, twin._secrets = dict(self._peers), dict(self._secrets)
        twin._payloads, twin._seen = dict(self._payloads), set(self._seen)
        return twin

    def read(self, number: int) -> SecretBytes:
        """The bits of a segment."""
        payload = self._payloads.get(number)
        if payload is None:
            raise StoreError(f"segment {number} is gone")
        return SecretBytes(payload)

    def has_seen(self, pool: LinkId, block: bytes) -> bool:
        """True where a block of this name was ever ingested."""
        return (pool, block) in self._seen

    def apply(self, marks: Sequence[m.Mark]) -> None:
        """Make all of `marks` durable, or none."""
        if self.broken:
            raise StoreError(self.broken)
        self.commits += 1
        for mark in marks:
            self._apply(mark)

    def _apply(self, mark: m.Mark) -> None:
        match mark:
            case m.Ingested(segment, payload):
                self._next_segment = segment.number + 1
                self._segments[segment.number] = replace(segment, state=SegmentState.STORED, leased=0)
                self._payloads[segment.number] = bytes(payload.view())
                self._seen.add((segment.pool, segment.name.block))
            case m.Readied(number):
                self._segments[number].state = SegmentState.READY
            case m.Leased(number, upto):
                if number in self._segments:
                    self._segments[number].leased = max(self._segments[number].leased, upto)
            case m.Owned(number, owner):
                self._segments[number].owner = owner
            case m.Dropped(number):
                self._segments.pop(number, None)
                self._payloads.pop(number, None)
            case m.RunAdded(run):
                self._runs[run.key] = copy.copy(run)
            case m.RunUsed(key, used, user, user_used):
                run = self._runs.get(key)
                if run is not None:
                    run.used, run.user, run.user_used = used, user, user_used
            case m.RunDropped(key):
                self._runs.pop(key, None)
            case m.PeerRemembered(peer, memory):
                self._peers[peer] = memory
            case m.SecretKept(peer, name, secret):
                if secret is None:
                    self._secrets.pop((peer, name), None)
                else:
                    self._secrets[peer, name] = bytes(secret.view())
            case m.NameUsed(space, name):
                self._seen.add((space, name))
            case m.Audited():
                pass

    def erase_used(self, upto: Mapping[int, int]) -> int:
        """Overwrite used bytes of these segments below a place."""
        for number, end in upto.items():
            payload = self._payloads.get(number)
            if payload is not None:
                self._payloads[number] = bytes(end) + payload[end:]
        return len(upto)
