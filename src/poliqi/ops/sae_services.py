"""What an application serves, in one table: add a service here and every running application has it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from poliqi.apps.keysource import KeySource
from poliqi.apps.service import Service
from poliqi.apps.settings import SaeSettings
from poliqi.apps.share.service import InboxService
from poliqi.apps.tunnel.service import TunnelService
from poliqi.apps.tunnel.settings import read_tunnel
from poliqi.node.sae import Around

__all__ = ["services_of", "surround"]

Say = Callable[[dict[str, Any]], None]


def services_of(settings: SaeSettings, keys: KeySource, say: Say) -> list[Service]:
    """One service for each purpose that the file asks for. Raises ConfigError."""
    def tell(event: str, text: str, **more: Any) -> None:
        say({"event": event, "text": text, **more})

    services: list[Service] = [InboxService(settings)] if settings.listen is not None else []
    if "tunnel" in settings.extra:
        services.append(TunnelService(read_tunnel(settings), tell))
    if "dicom" in settings.extra:
        from poliqi.apps.dicom.gateway import dicom_service

        gateway = dicom_service(settings, keys, tell)
        services += [] if gateway is None else [gateway]
    return services


def surround(settings: SaeSettings, keys: KeySource, services: Sequence[Service], say: Say) -> Around:
    """The pages for people."""
    del services
    if settings.web is None:
        return Around()
    from poliqi.ops.sae_pages import pages_around

    return pages_around(settings, keys, say)
