"""What an application serves, in one table: add a service here and every running application has it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from poliqi.apps.keysource import KeySource
from poliqi.apps.service import Service
from poliqi.apps.settings import SaeSettings
from poliqi.apps.tunnel.service import TunnelService
from poliqi.apps.tunnel.settings import read_tunnel
from poliqi.node.sae import Around

__all__ = ["services_of", "surround"]

Say = Callable[[dict[str, Any]], None]


def services_of(settings: SaeSettings, keys: KeySource, say: Say) -> list[Service]:
    """One service for each purpose that the file asks for. Raises ConfigError."""
    del keys

    def tell(event: str, text: str, **more: Any) -> None:
        say({"event": event, "text": text, **more})

    services: list[Service] = []
    if "tunnel" in settings.extra:
        services.append(TunnelService(read_tunnel(settings), tell))
    return services


def surround(settings: SaeSettings, keys: KeySource, services: Sequence[Service], say: Say) -> Around:
    """The pages for people."""
    del settings, keys, services, say
    return Around()
