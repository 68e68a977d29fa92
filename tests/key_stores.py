"""Key stores for tests: keys of keys in memory, marks, and a plain model of what a store must hold."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import poliqi.keys.marks as m
from poliqi.base.errors import StoreError
from poliqi.base.ids import KmeId, LinkId, SaeId
from poliqi.base.secret import SecretBytes
from poliqi.edge.kek import kek_name
from poliqi.keys.grade import Grade, KeyOrigin
from poliqi.keys.run import Run, RunKey
from poliqi.keys.segment import SegmentName, SegmentRecord, SegmentState

POOL = LinkId("leonardo-bovisa")
HERE, THERE = KmeId("kme-leonardo"), KmeId("kme-bovisa")
GRADE = Grade(KeyOrigin.SIMULATED, "one-decoy", 1e-10, ((HERE, THERE),))
WEAKER = replace(GRADE, origin=KeyOrigin.UNPROVEN, epsilon=None)


class MemoryKek:
    """KEKs that live as long as the test."""

    place = "memory"

    def __init__(self) -> None:
        self.keys: dict[tuple[bytes, int], bytes] = {}
        self._drawn = 0

    def epochs(self, instance: bytes) -> set[int]:
        return {epoch for owner, epoch in self.keys if owner == instance}

    def create(self, instance: bytes, epoch: int) -> None:
        assert (instance, epoch) not in self.keys
        self._drawn += 1
        self.keys[instance, epoch] = hashlib.sha256(self._drawn.to_bytes(8, "big")).digest()

    def wrap(self, instance: bytes, epoch: int, key: SecretBytes, bound_to: bytes) -> bytes:
        return AESGCM(self.keys[instance, epoch]).encrypt(bytes(12), key.view(), bound_to)

    def unwrap(self, instance: bytes, epoch: int, wrapped: bytes, bound_to: bytes) -> SecretBytes:
        try:
            return SecretBytes(AESGCM(self.keys[instance, epoch]).decrypt(bytes(12), wrapped, bound_to))
        except InvalidTag as error:
            raise StoreError("this KEK does not fit") from error

    def destroy(self, instance: bytes, epoch: int) -> None:
        self.keys.pop((instance, epoch), None)

    def destroy_all(self) -> list[str]:
        names = [kek_name(*key) for key in self.keys]
        self.keys.clear()
        return names


def block_name(number: int) -> bytes:
    return hashlib.sha256(b"block %d" % number).digest()[:16]


def payload(number: int, size: int) -> bytes:
    """Bytes of segment `number`, none of them zero, so that erased ones are told apart."""
    stream = hashlib.shake_128(b"segment %d" % number).digest(size)
    return bytes(b | 1 for b in stream)


def ingested(
    number: int, size: int = 2000, pool: LinkId = POOL, block: int | None = None, part: int = 0
) -> m.Ingested:
    name = SegmentName(block_name(number if block is None else block), part)
    tag = hashlib.sha256(b"tag %d" % number).digest()[:16]
    record = SegmentRecord(number, pool, name, HERE if number % 2 else THERE, size, GRADE, tag)
    return m.Ingested(record, SecretBytes(payload(number, size)))


def run(
    number: int, segment: int, offset: int, count: int = 4, size: int = 16, slaves: int = 1, **more: object
) -> Run:
    names = tuple(SaeId(f"sae-{i}") for i in range(slaves))
    return Run(RunKey(HERE, number), THERE, segment, offset, size, count, SaeId("sae-m"), names, **more)


@dataclass
class Model:
    """What a store must hold after these marks, said in dictionaries."""

    segments: dict[int, SegmentRecord] = field(default_factory=dict)
    seen: set[tuple[LinkId, bytes]] = field(default_factory=set)
    runs: dict[RunKey, Run] = field(default_factory=dict)
    peers: dict[KmeId, m.PeerMemory] = field(default_factory=dict)
    secrets: dict[tuple[KmeId, str], bytes] = field(default_factory=dict)
    audit: list[str] = field(default_factory=list)

    def after(self, marks: Iterable[m.Mark]) -> Model:
        model = copy.deepcopy(self)
        for mark in marks:
            model._apply(mark)
        return model

    def _apply(self, mark: m.Mark) -> None:
        match mark:
            case m.Ingested(segment):
                self.segments[segment.number] = copy.copy(segment)
                self.seen.add((segment.pool, segment.name.block))
            case m.Readied(number) if number in self.segments:
                self.segments[number].state = SegmentState.READY
            case m.Leased(number, upto) if number in self.segments:
                self.segments[number].leased = max(upto, self.segments[number].leased)
            case m.Owned(number, owner) if number in self.segments:
                self.segments[number].owner = owner
            case m.Dropped(number):
                self.segments.pop(number, None)
            case m.RunAdded(added):
                self.runs[added.key] = copy.deepcopy(added)
            case m.RunUsed(key, used, user, user_used) if key in self.runs:
                self.runs[key] = replace(self.runs[key], used=used, user=user, user_used=user_used)
            case m.RunDropped(key):
                self.runs.pop(key, None)
            case m.PeerRemembered(peer, memory):
                self.peers[peer] = memory
            case m.SecretKept(peer, name, None):
                self.secrets.pop((peer, name), None)
            case m.SecretKept(peer, name, secret):
                assert secret is not None
                self.secrets[peer, name] = bytes(secret.view())
            case m.Audited(event):
                self.audit.append(event)
            case _:
                pass

    def holds(self, state: m.StoredState) -> bool:
        """True where a store that was loaded says the same."""
        return (
            {s.number: s for s in state.segments} == self.segments
            and {r.key: r for r in state.runs} == self.runs
            and state.peers == self.peers
            and {k: bytes(v.view()) for k, v in state.secrets.items()} == self.secrets
        )

    def bytes_kept(self, number: int) -> bytes:
        """A segment's bits after a start: zero below its lease, but where a run waits for them."""
        segment = self.segments[number]
        whole = payload(number, segment.size)
        clean = bytearray(segment.leased) + bytearray(whole[segment.leased :])
        for waiting in self.runs.values():
            if waiting.segment != number:
                continue
            slaves = len(waiting.slaves)
            for i in range(waiting.count):
                if any(not waiting.used >> (i * slaves + j) & 1 for j in range(slaves)):
                    at = waiting.offset + i * waiting.size
                    clean[at : at + waiting.size] = whole[at : at + waiting.size]
        return bytes(clean)
