"""The owner's end of "dataset 1": lists, wraps the key for whoever may have it, sends the sealed container."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from poliqi.apps.datasets.shelf import Dataset, Shelf
from poliqi.apps.datasets.wire import Ask, Done, Entry, Listing, Offer, Refusal, expect, say
from poliqi.apps.identity import Contact
from poliqi.apps.keygrade import KeyGrade
from poliqi.apps.keysource import KeySource
from poliqi.apps.settings import SaeSettings
from poliqi.apps.stream.channel import RECORD_BYTES, Channel
from poliqi.base.errors import AuthenticationError, ConfigError, KeyExhausted, PoliqiError
from poliqi.base.ids import SaeId
from poliqi.keys.combine import lengthed
from poliqi.keys.onetime import MAC_KEY_BYTES, seal

__all__ = ["PURPOSE", "RECEIPT_USE", "WRAP_BYTES", "DatasetService", "receipt_bytes", "wrap_context"]

PURPOSE: Final = "dataset 1"
RECEIPT_USE: Final = b"poliqi dataset receipt 1"
WRAP_BYTES: Final = 32 + MAC_KEY_BYTES
"""A quantum key for each fetch: 32 bytes for the one-time tag, then 32 of pad for the dataset's key."""
_LISTED: Final = 100
_NOT_FOR_YOU: Final = "no such dataset is open to you"


def wrap_context(dataset_id: str, owner: SaeId, recipient: SaeId, key_id: str) -> bytes:
    """What the one-time tag of a wrapped key is bound to."""
    return lengthed(
        [b"poliqi dataset wrap 1", dataset_id.encode(), owner.encode(), recipient.encode(), key_id.encode()]
    )


def receipt_bytes(dataset_id: str, digest: str, owner: SaeId, recipient: SaeId, key_id: str) -> bytes:
    """What a recipient signs."""
    return lengthed([dataset_id.encode(), digest.encode(), owner.encode(), recipient.encode(), key_id.encode()])


class DatasetService:
    """Serves the datasets of one application (apps.service.Service)."""

    def __init__(
        self,
        settings: SaeSettings,
        keys: KeySource,
        shelf: Shelf,
        say: Callable[..., None] = lambda *_, **__: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._keys: Final = keys
        self._shelf: Final = shelf
        self._say: Final = say
        self._clock: Final = clock

    @property
    def purpose(self) -> str:
        """As Service."""
        return PURPOSE

    def serve(self, channel: Channel) -> None:
        """Answer one recipient."""
        asked = expect(channel, Ask)
        if isinstance(asked, Refusal):
            return
        if not asked.id:
            self._list(channel)
            return
        dataset = self._find(asked.id, channel.peer)
        if dataset is None:
            self._shelf.note("refused", {"id": asked.id, "to": channel.peer})
            say(channel, Refusal(_NOT_FOR_YOU))
            channel.finish()
            return
        self._give(channel, dataset, asked.start)

    def change(self, settings: SaeSettings) -> None:
        """As Service."""
        self._settings = settings

    def close(self) -> None:
        """Nothing is held open."""

    def _find(self, dataset_id: str, peer: SaeId) -> Dataset | None:
        try:
            dataset = self._shelf.get(dataset_id)
        except ConfigError:
            return None
        return dataset if dataset.is_open_to(peer) else None

    def _list(self, channel: Channel) -> None:
        mine = [d for d in self._shelf.all() if d.is_open_to(channel.peer)][:_LISTED]
        say(channel, Listing(tuple(Entry(d.id, d.name, d.files, d.plain_bytes, d.made_s) for d in mine)))
        channel.finish()

    def _give(self, channel: Channel, dataset: Dataset, start: int) -> None:
        if start > dataset.sealed_bytes:
            say(channel, Refusal(f"it has {dataset.sealed_bytes} bytes, and byte {start} was asked for"))
            channel.finish()
            return
        try:
            offer, facts = self._wrap(dataset, channel.peer)
        except PoliqiError as error:
            retry_s = getattr(error, "retry_s", None)
            again = "" if retry_s is None else f"; ask again in {retry_s:.0f} s"
            why = "there is no quantum key now" if isinstance(error, KeyExhausted) else "its key cannot be wrapped"
            self._shelf.note("not-wrapped", {"id": dataset.id, "to": channel.peer, "why": why})
            say(channel, Refusal(f"{why}{again}"))
            channel.finish()
            return
        self._shelf.note("wrapped", {"id": dataset.id, "to": channel.peer, "start": start, **facts})
        say(channel, offer)
        buffer = bytearray(RECORD_BYTES)
        with self._shelf.content(dataset) as content:
            content.seek(start)
            while count := content.readinto(buffer):  # type: ignore[attr-defined]  # a plain file
                channel.send(memoryview(buffer)[:count])
        done = expect(channel, Done)
        if isinstance(done, Done):
            self._check(done, dataset, channel.peer, offer.key_id)
            self._shelf.fetched(dataset.id, channel.peer)
            self._shelf.note("fetched", {"id": dataset.id, "to": channel.peer, "receipt": done.signature.hex()})
            self._say("dataset", f"{channel.peer} has fetched {dataset.name!r}", peer=channel.peer)
        channel.finish()

    def _wrap(self, dataset: Dataset, peer: SaeId) -> tuple[Offer, dict[str, Any]]:
        """A fresh quantum key for this fetch alone; its grade is held to the peer's rule."""
        [key] = self._keys.fresh(peer, 1, WRAP_BYTES)
        grade = KeyGrade.read(key.grade)
        refused = self._settings.peers[peer].rule.demand.judge(grade)
        if refused is not None:
            key.value.close()
            raise ConfigError(refused)
        bits = memoryview(key.value.take())
        secret = self._shelf.key(dataset)
        context = wrap_context(dataset.id, self._settings.sae, peer, key.key_id)
        cipher, tag = seal(secret.view(), bits[MAC_KEY_BYTES:], bits[:MAC_KEY_BYTES], context)
        secret.close()
        facts = {"key_id": key.key_id, "grade": grade.name, "simulated": grade.is_simulated}
        return Offer(dataset.id, dataset.name, dataset.sealed_bytes, dataset.digest, key.key_id, cipher, tag), facts

    def _check(self, done: Done, dataset: Dataset, peer: SaeId, key_id: str) -> None:
        contact: Contact = self._settings.peers[peer].contact
        signed = receipt_bytes(dataset.id, dataset.digest, self._settings.sae, peer, key_id)
        try:
            contact.verify(done.signature, signed, RECEIPT_USE)
        except AuthenticationError:
            self._shelf.note("bad-receipt", {"id": dataset.id, "to": peer})
            raise
