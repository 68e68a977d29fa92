"""The second's end: takes up the keys that the first names, for every tunnel that is set up here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from poliqi.apps.adapters.events import Happening
from poliqi.apps.adapters.messages import PURPOSE, Offer
from poliqi.apps.adapters.rotation import CONVERSATION_S, answer, hung_up_after
from poliqi.apps.adapters.tunnel import Tunnel
from poliqi.apps.keysource import KeySource
from poliqi.apps.stream.channel import Channel
from poliqi.base.errors import DataRefused, PoliqiError
from poliqi.base.ids import SaeId

__all__ = ["RotationService"]


class RotationService:
    """Answers "rotate 1" (poliqi.apps.service.Service). The tunnels are opened already, and closed with it."""

    def __init__(self, tunnels: Iterable[Tunnel], keys: KeySource) -> None:
        self._tunnels: Final = {(tunnel.peer, tunnel.name): tunnel for tunnel in tunnels}
        self._keys: Final = keys

    @property
    def purpose(self) -> str:
        return PURPOSE

    def serve(self, channel: Channel) -> None:
        """One rotation."""
        named: list[Tunnel] = []

        def find(offer: Offer) -> Tunnel:
            named.append(self._find(channel.peer, offer))
            return named[0]

        try:
            with hung_up_after(CONVERSATION_S, channel):
                answer(channel, find, self._keys)
        except PoliqiError as error:
            if not named:
                raise
            named[0].tell(Happening.FAILED, str(error))

    def close(self) -> None:
        """Shut every tunnel."""
        for tunnel in self._tunnels.values():
            tunnel.close()

    def _find(self, peer: SaeId, offer: Offer) -> Tunnel:
        tunnel = self._tunnels.get((peer, offer.tunnel))
        if tunnel is None:
            raise DataRefused(f"no tunnel {offer.tunnel!r} with {peer} is set up here; add [adapter.NAME]")
        if tunnel.kind != offer.kind:
            raise DataRefused(f"tunnel {offer.tunnel!r} is {tunnel.kind} here, and {offer.kind!r} was offered")
        return tunnel
