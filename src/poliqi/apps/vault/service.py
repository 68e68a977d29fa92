"""The vault behind an application's door: keeps shares for owners, gives them to those who may have them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, assert_never

from poliqi.apps.envelope.call import Question, answer_calls
from poliqi.apps.envelope.rule import PadNote
from poliqi.apps.keysource import KeySource
from poliqi.apps.settings import SaeSettings
from poliqi.apps.stream.channel import Channel
from poliqi.apps.vault.requests import (
    DONE,
    Commit,
    Drop,
    Give,
    Keep,
    Look,
    Stage,
    decode_request,
    encode_listing,
)
from poliqi.apps.vault.settings import PURPOSE, room_bytes, rule_for, vault_table
from poliqi.apps.vault.shelf import Shelf
from poliqi.base.errors import DataRefused, ProtocolError
from poliqi.base.ids import SaeId
from poliqi.base.secret import Entropy

__all__ = ["VaultService", "answer_request", "open_shelf", "vault_service"]


def open_shelf(settings: SaeSettings, entropy: Entropy, clock: Callable[[], float] = time.time) -> Shelf:
    """What this application keeps for owners. Raises StoreError, ConfigError."""
    return Shelf(settings.state / "vault" / "shelf", room_bytes(vault_table(settings)), entropy, clock)


def answer_request(shelf: Shelf, caller: SaeId, body: bytes, answer_bytes: int, note: PadNote | None) -> bytes:
    """Do what a caller asks. Raises DataRefused (no, and why), ProtocolError, StoreError."""
    request = decode_request(body)
    match request:
        case Stage():
            shelf.stage(caller, request)
        case Keep():
            shelf.keep(caller, request, note)
        case Commit():
            shelf.commit(caller, request)
        case Drop():
            shelf.drop(caller, request)
        case Look():
            return encode_listing(shelf.look(caller, request), answer_bytes)
        case Give():
            return shelf.give(caller, request)
        case _:
            assert_never(request)
    if answer_bytes != len(DONE):
        raise DataRefused(f"this is answered in {len(DONE)} byte")
    return DONE


class VaultService:
    """Keeps shares for peers. Implements apps.service.Service."""

    def __init__(self, settings: SaeSettings, shelf: Shelf, keys: KeySource) -> None:
        """Raises ConfigError where [vault] is wrong."""
        vault_table(settings)
        self._settings = settings
        self._shelf: Final = shelf
        self._keys: Final = keys

    @property
    def purpose(self) -> str:
        """As Service."""
        return PURPOSE

    def change(self, settings: SaeSettings) -> None:
        """Other peers and rules, from now on. Raises ConfigError where [vault] is wrong."""
        vault_table(settings)
        self._settings = settings

    def serve(self, channel: Channel) -> None:
        """Do what the caller asks until it finishes."""
        peer = self._settings.peers.get(channel.peer)
        if peer is None:
            raise ProtocolError(f"{channel.peer} is no contact of {channel.local}")
        answer_calls(channel, self._keys, rule_for(self._settings, peer), self._answer)

    def _answer(self, question: Question) -> bytes:
        return answer_request(self._shelf, question.sender, question.body, question.answer_bytes, question.note)

    def close(self) -> None:
        """As Service."""
        self._shelf.close()


def vault_service(settings: SaeSettings, keys: KeySource, entropy: Entropy) -> VaultService:
    """The service with its shelf. Raises ConfigError, StoreError."""
    return VaultService(settings, open_shelf(settings, entropy), keys)
