"""Sending keys to a neighbouring KMS: nothing counts as carried before it says "relayed" (ETSI GS QKD 020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from msgspec import UNSET, Raw

from poliqi.base.errors import ProtocolError
from poliqi.base.ids import KmeId, SaeId
from poliqi.keys.etsi020_messages import (
    ACK_PATH,
    KEYS_PATH,
    VOID_PATH,
    Ack,
    AckStatus,
    ExternalKey,
    ExternalKeys,
    Void,
    encode,
    read_acks,
)
from poliqi.keys.etsi020_post import Neighbour, PostOffice
from poliqi.keys.requests import Accepted, Outcome, Reason, Refused, Shipment

__all__ = ["Extensions", "Sending", "Sent"]

_REMEMBERED: Final = 200_000
_FORGET_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Extensions:
    """What a sender added for whom it concerns: of the request, and of each key (None: nothing)."""

    optional: bytes | None = None
    of_keys: tuple[bytes | None, ...] = ()


@dataclass(slots=True)
class Sent:
    """Keys that a neighbour has to acknowledge; `missing` holds what it has not said "relayed" of."""

    token: int
    neighbour: Neighbour
    initiator: SaeId
    targets: tuple[SaeId, ...]
    key_ids: tuple[bytes, ...]
    missing: set[tuple[bytes, SaeId]]
    deadline_s: float
    job: int | None = None
    is_settled: bool = False
    is_void: bool = False


class Sending:
    """Keys on their way to neighbours. `settled` collects (token, outcome) of what is decided."""

    __slots__ = ("_by_id", "_callback_url", "_limit_s", "_office", "_open", "settled")

    def __init__(self, office: PostOffice, callback_url: str, limit_s: float) -> None:
        self._office: Final = office
        self._callback_url: Final = callback_url.rstrip("/") + ACK_PATH
        self._limit_s: Final = limit_s
        self._open: Final[list[Sent]] = []
        self._by_id: Final[dict[tuple[KmeId, bytes], Sent]] = {}
        self.settled: list[tuple[int, Outcome]] = []

    @property
    def is_busy(self) -> bool:
        """True where something waits for an acknowledgement."""
        return bool(self._open)

    def send(
        self, token: int, neighbour: Neighbour, shipment: Shipment, extensions: Extensions, now: float
    ) -> None:
        """Send keys; the outcome comes in `settled`: Accepted once all were relayed to every target."""
        known = any((neighbour.kme, key_id) in self._by_id for key_id in shipment.key_ids)
        if known or self._office.is_full or len(self._by_id) + len(shipment.key_ids) > _REMEMBERED:
            text = "a key of this name was sent before" if known else "too much waits for neighbours"
            reason = Reason.BAD_REQUEST if known else Reason.UNAVAILABLE
            self.settled.append((token, Refused(reason, text)))
            return
        missing = {(key_id, slave) for key_id in shipment.key_ids for slave in shipment.slaves}
        sent = Sent(
            token,
            neighbour,
            shipment.master,
            shipment.slaves,
            shipment.key_ids,
            missing,
            now + self._limit_s,
        )
        body = encode(self._message(neighbour, shipment, extensions))
        sent.job = self._office.once(neighbour.kme, neighbour.url.rstrip("/") + KEYS_PATH, body)
        self._open.append(sent)
        self._by_id.update(((neighbour.kme, key_id), sent) for key_id in shipment.key_ids)

    def _message(self, neighbour: Neighbour, shipment: Shipment, extensions: Extensions) -> ExternalKeys:
        added = extensions.of_keys or (None,) * len(shipment.key_ids)
        return ExternalKeys(
            [
                ExternalKey(UUID(bytes=key_id), value, UNSET if extra is None else Raw(extra))
                for key_id, value, extra in zip(shipment.key_ids, shipment.values, added, strict=True)
            ],
            shipment.master,
            list(shipment.slaves),
            ack_callback_url=UNSET if neighbour.waits else self._callback_url,
            extension_optional=UNSET if extensions.optional is None else Raw(extensions.optional),
        )

    def posted(self, job: int, status: int | None, body: bytes, now: float) -> None:
        """A post of keys has its answer; `status` None: none came, and nobody knows what became of them."""
        sent = next((each for each in self._open if each.job == job), None)
        if sent is None:
            return
        sent.job = None
        if status == 202:
            return
        if status == 200:
            try:
                acks = read_acks(body)
            except ProtocolError:
                acks = []
            for ack in acks:
                self.heard(sent.neighbour, ack, now)
            self._fail(sent, "the neighbour did not acknowledge every key", now)
        elif status in (400, 401):
            self._settle(sent, Refused(Reason.UNAVAILABLE, f"the neighbour refused the keys: HTTP {status}"))
        else:
            text = "the neighbour did not answer" if status is None else f"the neighbour failed: HTTP {status}"
            self._fail(sent, text, now)

    def heard(self, neighbour: Neighbour, ack: Ack, now: float) -> bool:
        """An acknowledgement by a neighbour. True where it speaks of a key that was sent to it."""
        is_known = False
        for acked in ack.key_id_container:
            sent = self._by_id.get((neighbour.kme, acked.key_id.bytes))
            if sent is None or sent.initiator != ack.initiator_sae_id:
                continue
            is_known = True
            if ack.ack_status is AckStatus.RELAYED:
                sent.missing.difference_update((acked.key_id.bytes, SaeId(t)) for t in ack.target_sae_ids)
                if not sent.missing:
                    self._settle(sent, Accepted("relayed by the neighbour"))
            elif not sent.is_settled:
                self._fail(sent, f"the neighbour says: {ack.ack_status.value}", now)
        return is_known

    def _settle(self, sent: Sent, outcome: Outcome) -> None:
        if sent.is_settled:
            return
        sent.is_settled = True
        self._open.remove(sent)
        self.settled.append((sent.token, outcome))

    def _fail(self, sent: Sent, text: str, now: float) -> None:
        """The keys will not be released: say so, and have the neighbour throw away what it has."""
        if not sent.is_settled:
            self._settle(sent, Refused(Reason.UNAVAILABLE, text))
            self.void(sent, now)

    def void(self, sent: Sent, now: float) -> None:
        """Take the keys back at the neighbour."""
        if sent.is_void:
            return
        sent.is_void = True
        message = Void(
            [UUID(bytes=key_id) for key_id in sent.key_ids],
            sent.initiator,
            list(sent.targets),
            ack_callback_url=self._callback_url,
        )
        url = sent.neighbour.url.rstrip("/") + VOID_PATH
        self._office.mail(sent.neighbour.kme, url, encode(message), now)

    def abandon(self, token: int, now: float) -> None:
        """Give up what was sent under this token, if it is undecided."""
        for sent in [each for each in self._open if each.token == token]:
            self._fail(sent, "given up", now)

    def sent_with(self, key_ids: tuple[bytes, ...], neighbour: KmeId) -> list[Sent]:
        """What was sent to this neighbour with any of these keys in it."""
        found = {id(s): s for s in (self._by_id.get((neighbour, key_id)) for key_id in key_ids) if s is not None}
        return list(found.values())

    def tick(self, now: float) -> None:
        """Give up what was not acknowledged in time; forget what was decided long ago."""
        for sent in [each for each in self._open if each.deadline_s <= now]:
            self._fail(sent, "the neighbour did not acknowledge the keys in time", now)
        while self._by_id:
            name, oldest = next(iter(self._by_id.items()))
            if not oldest.is_settled or oldest.deadline_s + _FORGET_S > now:
                return
            del self._by_id[name]
