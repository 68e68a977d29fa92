"""The counter at which every server of a site asks for keys, whatever standard its callers speak."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from poliqi.base.ids import KmeId, SaeId
from poliqi.keys.policy import KeyLimits
from poliqi.keys.requests import Block, KeyOrder, Outcome, Refused, Shipment, StockReport

__all__ = ["KeyDesk", "NoticeHandler"]

NoticeHandler = Callable[[KmeId, bytes], None]
"""Called with the sending site and the body of a notice."""


class KeyDesk(Protocol):
    """A site's key management as its servers see it.

    Outcomes are durable when they come. Whoever calls says who the caller is, from a verified certificate and
    nothing else.
    """

    @property
    def kme_id(self) -> KmeId: ...

    def limits(self, master: SaeId) -> KeyLimits:
        """Sizes and numbers that this application may ask for."""
        ...

    def report(self, caller: SaeId, other: SaeId) -> StockReport | Refused:
        """What is in stock from `caller` as master to `other` as slave."""
        ...

    def order(self, order: KeyOrder) -> Awaitable[Outcome]:
        """Fresh keys for a master: Delivered or Refused."""
        ...

    def fetch(self, caller: SaeId, master: SaeId, key_ids: Sequence[bytes]) -> Awaitable[Outcome]:
        """Keys that `master` named to `caller`, each once: Delivered or Refused."""
        ...

    def ship(self, shipment: Shipment) -> Awaitable[Outcome]:
        """Carry keys made elsewhere to the sites of their slaves: Accepted or Refused."""
        ...

    def void(self, master: SaeId, slaves: Sequence[SaeId], key_ids: Sequence[bytes] | None) -> Awaitable[Outcome]:
        """Take back undelivered keys of `master` for `slaves` (None: all of them): Accepted or Refused."""
        ...

    def ingest(self, block: Block) -> Awaitable[Outcome]:
        """Take a block into stock: Accepted once it is durable (also when it was there before), or Refused."""
        ...

    def notify(self, peer: KmeId, kind: str, body: bytes) -> bool:
        """Send a notice to another site's servers; False where that site is not connected."""
        ...

    def on_notice(self, kind: str, handler: NoticeHandler) -> None:
        """Have notices of this kind handed over as they come."""
        ...
