"""Taking keys back on a neighbour's word (ETSI GS QKD 020, void): key by key where they do not go together."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from poliqi.base.ids import SaeId
from poliqi.keys.etsi020_messages import Ack, AckedKey, AckStatus
from poliqi.keys.etsi020_post import Neighbour
from poliqi.keys.requests import Accepted, Outcome, Reason, Refused

__all__ = ["VoidRequest"]


@dataclass(slots=True)
class VoidRequest:
    """A request to take back `key_ids`, under way. `url`: where the answer is posted; else `call` waits for it.

    `key_ids` None: everything that the initiator has for these targets.
    """

    neighbour: Neighbour
    initiator: SaeId
    targets: tuple[SaeId, ...]
    key_ids: tuple[bytes, ...] | None
    known: frozenset[bytes]
    call: int | None
    url: str | None
    waiting: int = 0
    results: dict[bytes, AckStatus] = field(default_factory=dict[bytes, AckStatus])

    def answered(self, key_ids: tuple[bytes, ...], outcome: Outcome) -> tuple[bytes, ...]:
        """Note an outcome for these keys. The keys that have to be tried one by one now."""
        if isinstance(outcome, Refused) and len(key_ids) > 1:
            return key_ids
        for key_id in key_ids:
            self.results[key_id] = self._status(key_id, outcome)
        return ()

    def _status(self, key_id: bytes, outcome: Outcome) -> AckStatus:
        if isinstance(outcome, Accepted):
            return AckStatus.VOIDED
        is_absent = isinstance(outcome, Refused) and outcome.reason is Reason.NOT_FOUND
        return AckStatus.NOT_PRESENT if is_absent and key_id not in self.known else AckStatus.FAILED_TO_VOID

    def acks(self) -> list[Ack]:
        """The acknowledgements, one for each status."""
        statuses = dict.fromkeys(self.results.values()) or {AckStatus.VOIDED: None}
        return [
            Ack(
                [AckedKey(UUID(bytes=key_id)) for key_id, found in self.results.items() if found is status],
                status,
                self.initiator,
                list(self.targets),
            )
            for status in statuses
        ]
