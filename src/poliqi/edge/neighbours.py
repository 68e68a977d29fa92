"""A desk that also reaches applications behind other vendors' key managements in the same site (ETSI 020).

Keys for such an application are drawn here and handed to its neighbour; they go to the master only after the
neighbour has said "relayed". What it does with them is its own word: their grade is what it is trusted for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from poliqi.base.ids import KmeId, SaeId
from poliqi.base.secret import Entropy
from poliqi.edge.desk import KeyDesk, NoticeHandler
from poliqi.keys.grade import Grade
from poliqi.keys.keyid import as_version_8
from poliqi.keys.policy import KeyLimits, Policy
from poliqi.keys.requests import (
    Accepted,
    Block,
    Delivered,
    Key,
    KeyOrder,
    Outcome,
    Reason,
    Refused,
    Shipment,
    StockReport,
)

__all__ = ["KeySender", "NeighbourDesk"]


class KeySender(Protocol):
    """Whoever hands keys to a neighbour: `edge.interop.InteropService`."""

    async def send(self, neighbour: KmeId, shipment: Shipment) -> Outcome:
        """Accepted: all were relayed. Refused: none may ever be released."""
        ...


class JudgingDesk(KeyDesk, Protocol):
    """A desk that also judges and writes down what neighbours fill: `edge.kme.KmeDriver`."""

    def judge(self, order: KeyOrder) -> Refused | None: ...

    def handed_over(self, order: KeyOrder, key_ids: Sequence[bytes], neighbour: KmeId) -> Awaitable[Outcome]: ...


class NeighbourDesk:
    """`desk`, and beyond it the neighbours whose keys have these `grades`."""

    def __init__(
        self,
        desk: JudgingDesk,
        policy: Callable[[], Policy],
        sender: KeySender,
        grades: dict[KmeId, Grade],
        entropy: Entropy,
    ) -> None:
        self._desk: Final = desk
        self._policy: Final = policy
        self._sender: Final = sender
        self._grades: Final = grades
        self._entropy: Final = entropy

    @property
    def kme_id(self) -> KmeId:
        return self._desk.kme_id

    def limits(self, master: SaeId) -> KeyLimits:
        return self._desk.limits(master)

    def report(self, caller: SaeId, other: SaeId) -> StockReport | Refused:
        home = self._policy().home(other)
        if home is None or home not in self._grades:
            return self._desk.report(caller, other)
        refused = self._policy().judge_pair(caller, (other,))
        if refused is not None:
            return refused
        limits, grade = self._desk.limits(caller), self._grades[home]
        return StockReport(
            source_kme=self.kme_id,
            target_kme=home,
            master=caller,
            slave=other,
            key_size_bits=limits.key_size_bits,
            stored_keys=limits.max_number,
            capacity_keys=limits.max_number,
            max_keys_per_request=limits.max_number,
            max_size_bits=limits.max_size_bits,
            min_size_bits=limits.min_size_bits,
            max_slaves=0,
            connected=True,
            grades=(grade,),
        )

    def order(self, order: KeyOrder) -> Awaitable[Outcome]:
        homes = {self._policy().home(slave) for slave in order.slaves}
        return self._desk.order(order) if homes.isdisjoint(self._grades) else self._hand_over(order, homes)

    async def _hand_over(self, order: KeyOrder, homes: set[KmeId | None]) -> Outcome:
        policy, refused = self._policy(), self._desk.judge(order)
        if refused is not None:
            return refused
        home = homes.pop()
        if homes or home is None:
            return Refused(Reason.BAD_REQUEST, "keys for a neighbour's applications cannot be shared with others")
        grade = self._grades[home]
        for slave in order.slaves:
            why = policy.judge_grade(order.master, slave, grade)
            if why is not None:
                return Refused(Reason.NOT_PERMITTED, why)
        values = tuple(self._entropy.draw(order.size_bits // 8) for _ in range(order.number))
        ids = order.key_ids or tuple(as_version_8(self._entropy.draw(16)) for _ in values)
        outcome = await self._sender.send(home, Shipment(order.master, order.slaves, ids, values, grade))
        if isinstance(outcome, Accepted):
            written = await self._desk.handed_over(order, ids, home)
            if not isinstance(written, Accepted):
                return written
            return Delivered([Key(key_id, value, grade) for key_id, value in zip(ids, values, strict=True)])
        return outcome

    def fetch(self, caller: SaeId, master: SaeId, key_ids: Sequence[bytes]) -> Awaitable[Outcome]:
        return self._desk.fetch(caller, master, key_ids)

    def ship(self, shipment: Shipment) -> Awaitable[Outcome]:
        return self._desk.ship(shipment)

    def void(self, master: SaeId, slaves: Sequence[SaeId], key_ids: Sequence[bytes] | None) -> Awaitable[Outcome]:
        return self._desk.void(master, slaves, key_ids)

    def ingest(self, block: Block) -> Awaitable[Outcome]:
        return self._desk.ingest(block)

    def notify(self, peer: KmeId, kind: str, body: bytes) -> bool:
        return self._desk.notify(peer, kind, body)

    def on_notice(self, kind: str, handler: NoticeHandler) -> None:
        self._desk.on_notice(kind, handler)
