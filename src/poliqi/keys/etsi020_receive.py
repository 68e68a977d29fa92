"""Keys that a neighbouring KMS brings, and takes back (ETSI GS QKD 020): each key once, all or nothing."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from uuid import UUID

from msgspec import UNSET

from poliqi.base.ids import KmeId, SaeId
from poliqi.keys.etsi020_messages import (
    Ack,
    AckedKey,
    AckStatus,
    ExternalKeys,
    HttpAnswer,
    Problem,
    encode,
    problem,
)
from poliqi.keys.etsi020_post import Neighbour, PostOffice, untrusted
from poliqi.keys.etsi020_send import Extensions
from poliqi.keys.requests import Accepted, Outcome, Reason, Refused, Shipment

__all__ = ["Batch", "BatchState", "Receiving"]

_REMEMBERED: Final = 500_000
_FORGET_S: Final = 86_400.0
_PROBLEMS: Final = {
    Reason.NO_ROUTE: Problem.KEY_ROUTING_ERROR,
    Reason.PEER_DOWN: Problem.KEY_ROUTING_ERROR,
    Reason.INSUFFICIENT: Problem.INSUFFICIENT_KEY,
    Reason.NOT_PERMITTED: Problem.UNAUTHORIZED,
    Reason.NOT_FOUND: Problem.KEY_ROUTING_ERROR,
}


class BatchState(StrEnum):
    """How far a request's keys are."""

    UNDER_WAY = "under way"
    RELAYED = "relayed"


@dataclass(slots=True)
class Batch:
    """The keys of one request. `calls` wait for the outcome until `deadline_s`; `callbacks` get it posted."""

    neighbour: Neighbour
    initiator: SaeId
    targets: tuple[SaeId, ...]
    key_ids: tuple[bytes, ...]
    digest: bytes
    onward: KmeId | None
    since_s: float
    state: BatchState = BatchState.UNDER_WAY
    calls: dict[int, float] = field(default_factory=dict[int, float])
    callbacks: list[str] = field(default_factory=list[str])
    is_late: bool = False
    voided: set[bytes] = field(default_factory=set[bytes])


class Receiving:
    """What neighbours brought. Its user ships what `take` gives it and tells `shipped`."""

    __slots__ = ("_answer_s", "_batches", "_of_key", "_office", "_secret", "_site", "answers", "tombs")

    def __init__(self, site: KmeId, office: PostOffice, secret: bytes, answer_s: float) -> None:
        self._site: Final = site
        self._office: Final = office
        self._secret: Final = secret
        self._answer_s: Final = answer_s
        self._of_key: Final[dict[bytes, Batch]] = {}
        self._batches: Final[list[Batch]] = []
        self.tombs: Final[dict[bytes, float]] = {}
        """Keys that were voided before they came: they may not come any more."""
        self.answers: list[tuple[int, HttpAnswer]] = []

    def bury(self, key_id: bytes, now: float) -> None:
        """Let this key, which is not here, never come."""
        self.tombs[key_id] = now

    @property
    def is_full(self) -> bool:
        """True where nothing more can be remembered."""
        return self._office.is_full or len(self._of_key) + len(self.tombs) > _REMEMBERED

    @property
    def is_busy(self) -> bool:
        """True where somebody waits."""
        return any(batch.calls for batch in self._batches)

    def take(
        self, call: int, neighbour: Neighbour, message: ExternalKeys, onward: KmeId | None, now: float
    ) -> tuple[Batch, Shipment, Extensions] | HttpAnswer | None:
        """New keys to carry on, a refusal, or None where these keys were brought before."""
        key_ids = tuple(key.key_id.bytes for key in message.keys)
        digest = hmac.digest(self._secret, encode(_without_callback(message)), "sha256")
        known = {id(b): b for b in map(self._of_key.get, key_ids) if b is not None}
        if known or any(key_id in self.tombs for key_id in key_ids):
            return self._again(call, message, list(known.values()), digest, now)
        if self.is_full:
            return problem(Problem.GENERAL_ERROR, "too much is under way; try again later")
        saes = tuple(SaeId(target) for target in message.target_sae_ids)
        initiator = SaeId(message.initiator_sae_id)
        batch = Batch(neighbour, initiator, saes, key_ids, digest, onward, now)
        self._of_key.update((key_id, batch) for key_id in key_ids)
        self._batches.append(batch)
        grade = neighbour.grade or untrusted(neighbour.kme, self._site)
        shipment = Shipment(initiator, saes, key_ids, tuple(key.value for key in message.keys), grade)
        self._await(call, batch, message, now)
        return batch, shipment, _extensions(message)

    def _again(
        self, call: int, message: ExternalKeys, known: list[Batch], digest: bytes, now: float
    ) -> HttpAnswer | None:
        """The same request once more is answered like the first; anything else may not use a name twice."""
        batch = known[0] if len(known) == 1 else None
        if batch is None or batch.voided or batch.is_late or not hmac.compare_digest(batch.digest, digest):
            return problem(Problem.GENERAL_ERROR, "a key_id was used before")
        self._await(call, batch, message, now)
        if batch.state is BatchState.RELAYED:
            self._tell(batch, AckStatus.RELAYED, None, now)
        return None

    def _await(self, call: int, batch: Batch, message: ExternalKeys, now: float) -> None:
        if isinstance(message.ack_callback_url, str):
            batch.callbacks.append(message.ack_callback_url)
            self.answers.append((call, HttpAnswer(202)))
        else:
            batch.calls[call] = now + self._answer_s

    def _tell(self, batch: Batch, status: AckStatus, refused: Refused | None, now: float) -> None:
        """Answer and post what became of a batch."""
        ack = Ack(
            [AckedKey(UUID(bytes=key_id)) for key_id in batch.key_ids],
            status,
            batch.initiator,
            list(batch.targets),
            message=UNSET if refused is None else refused.message[:1024],
        )
        body = encode([ack])
        for call in batch.calls:
            self.answers.append((call, HttpAnswer(200, body) if refused is None else _problem_of(refused)))
        for url in batch.callbacks:
            self._office.mail(batch.neighbour.kme, url, body, now)
        batch.calls.clear()
        batch.callbacks.clear()

    def shipped(self, batch: Batch, outcome: Outcome, now: float) -> bool:
        """The keys of a batch were carried, or not. False where they were, but too late: they have to go."""
        if isinstance(outcome, Accepted):
            batch.state = BatchState.RELAYED
            self._tell(batch, AckStatus.RELAYED, None, now)
            return not batch.is_late
        refused = outcome if isinstance(outcome, Refused) else Refused(Reason.UNAVAILABLE, "the keys went astray")
        self._tell(batch, AckStatus.FAILED, refused, now)
        self._batches.remove(batch)
        for key_id in batch.key_ids:
            del self._of_key[key_id]
        return True

    def batch_of(self, neighbour: KmeId, initiator: SaeId, key_id: bytes) -> Batch | None:
        """The batch in which this neighbour brought this key for this initiator."""
        batch = self._of_key.get(key_id)
        if batch is None or batch.neighbour.kme != neighbour or batch.initiator != initiator:
            return None
        return batch

    def batches_for(self, neighbour: KmeId, initiator: SaeId, targets: frozenset[SaeId]) -> list[Batch]:
        """The batches of this neighbour from this initiator to exactly these targets."""
        return [
            b
            for b in self._batches
            if b.neighbour.kme == neighbour and b.initiator == initiator and targets == frozenset(b.targets)
        ]

    def tick(self, now: float) -> None:
        """Answer those who waited too long; forget what is a day old."""
        for batch in self._batches:
            for call in [c for c, deadline in batch.calls.items() if deadline <= now]:
                del batch.calls[call]
                batch.is_late = True
                self.answers.append((call, problem(Problem.TIMEOUT, "the keys were not relayed in time")))
        while self._batches and self._is_old(self._batches[0], now):
            batch = self._batches.pop(0)
            for key_id in batch.key_ids:
                del self._of_key[key_id]
        for key_id in [k for k, since in self.tombs.items() if since + _FORGET_S <= now]:
            del self.tombs[key_id]

    def _is_old(self, batch: Batch, now: float) -> bool:
        return batch.state is BatchState.RELAYED and batch.since_s + _FORGET_S <= now


def _without_callback(message: ExternalKeys) -> ExternalKeys:
    return ExternalKeys(
        message.keys,
        message.initiator_sae_id,
        message.target_sae_ids,
        extension_optional=message.extension_optional,
    )


def _extensions(message: ExternalKeys) -> Extensions:
    optional = None if message.extension_optional is UNSET else bytes(message.extension_optional)
    return Extensions(
        optional, tuple(None if key.extension is UNSET else bytes(key.extension) for key in message.keys)
    )


def _problem_of(refused: Refused) -> HttpAnswer:
    return problem(_PROBLEMS.get(refused.reason, Problem.GENERAL_ERROR), refused.message)
