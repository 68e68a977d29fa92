"""The second's end: takes up the keys that the first names, for every tunnel that is set up here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from poliqi.apps.adapters.events import Event, Happening
from poliqi.apps.adapters.messages import PURPOSE, Offer
from poliqi.apps.adapters.rotation import CONVERSATION_S, answer, hung_up_after
from poliqi.apps.adapters.tables import read_adapters
from poliqi.apps.adapters.tunnel import Tunnel
from poliqi.apps.identity import Contact
from poliqi.apps.keysource import KeySource
from poliqi.apps.settings import SaeSettings
from poliqi.apps.stream.channel import Channel
from poliqi.base.errors import DataRefused, PoliqiError
from poliqi.base.ids import SaeId
from poliqi.base.secret import Entropy

__all__ = ["RotationService", "adapter_service"]


class RotationService:
    """Answers "rotate 1" (poliqi.apps.service.Service). The tunnels are closed with it."""

    def __init__(
        self, tunnels: Iterable[Tunnel], keys: KeySource, contacts: Mapping[SaeId, Contact] | None = None
    ) -> None:
        """`contacts` are the tunnels' peers as they are known at the start."""
        self._tunnels: Final = {(tunnel.peer, tunnel.name): tunnel for tunnel in tunnels}
        self._known: Final = {sae: contact.fingerprint for sae, contact in (contacts or {}).items()}
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

    def change(self, settings: SaeSettings) -> None:
        """As Service; tunnels are those of the start, and that of who is no contact any more is shut at once."""
        for key, tunnel in list(self._tunnels.items()):
            peer = settings.peers.get(tunnel.peer)
            if peer is None or peer.contact.fingerprint != self._known.get(tunnel.peer, peer.contact.fingerprint):
                del self._tunnels[key]
                tunnel.tell(Happening.WARNING, f"{tunnel.peer} is no contact any more")
                try:
                    tunnel.close()
                except PoliqiError as error:
                    tunnel.tell(Happening.FAILED, f"cannot be let go: {error}; stop it by hand")
            else:
                tunnel.change(peer.rule.demand)

    def close(self) -> None:
        """Shut every tunnel."""
        for tunnel in list(self._tunnels.values()):
            tunnel.close()

    def _find(self, peer: SaeId, offer: Offer) -> Tunnel:
        tunnel = self._tunnels.get((peer, offer.tunnel))
        if tunnel is None:
            raise DataRefused(f"no tunnel {offer.tunnel!r} with {peer} is set up here; add [adapter.NAME]")
        if tunnel.kind != offer.kind:
            raise DataRefused(f"tunnel {offer.tunnel!r} is {tunnel.kind} here, and {offer.kind!r} was offered")
        return tunnel


def adapter_service(
    settings: SaeSettings, keys: KeySource, entropy: Entropy, say: Callable[[dict[str, Any]], None]
) -> RotationService | None:
    """The service for the tunnels of a file where this application is the second; None where there are none.

    A tunnel whose program is not there yet is told, and opened with its next key. Raises ConfigError on a table
    that cannot be meant.
    """

    def report(event: Event) -> None:
        say(event.record())

    adapters = [a for a in read_adapters(settings, entropy) if not a.is_first and a.listen is None]
    tunnels = [adapter.tunnel(report) for adapter in adapters]
    for tunnel in tunnels:
        try:
            tunnel.open()
        except PoliqiError as error:
            tunnel.tell(Happening.FAILED, f"cannot be opened: {error}; tried again with the next key")
    contacts = {adapter.peer.sae: adapter.peer.contact for adapter in adapters}
    return RotationService(tunnels, keys, contacts) if tunnels else None
