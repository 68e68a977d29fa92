"""What an application serves, in one table: add a service here and every running application has it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from poliqi.apps.adapters.service import adapter_service
from poliqi.apps.datasets.service import DatasetService
from poliqi.apps.datasets.shelf import Shelf
from poliqi.apps.keysource import KeySource
from poliqi.apps.messenger.service import message_service
from poliqi.apps.messenger.settings import messenger_table
from poliqi.apps.service import Service
from poliqi.apps.settings import SaeSettings
from poliqi.apps.share.service import InboxService
from poliqi.apps.tunnel.service import TunnelService
from poliqi.apps.tunnel.settings import read_tunnel
from poliqi.apps.vault.service import vault_service
from poliqi.apps.vault.settings import vault_table
from poliqi.edge.entropy import OperatingSystemEntropy
from poliqi.node.sae import Around

__all__ = ["checked", "services_of", "surround"]

Say = Callable[[dict[str, Any]], None]


def services_of(settings: SaeSettings, keys: KeySource, say: Say) -> list[Service]:
    """One service for each purpose that the file asks for. Raises ConfigError, StoreError."""

    def tell(event: str, text: str, **more: Any) -> None:
        say({"event": event, "text": text, **more})

    entropy = OperatingSystemEntropy()
    rotation = adapter_service(settings, keys, entropy, say) if "adapter" in settings.extra else None
    gateway = None
    if "dicom" in settings.extra:
        # the packages of the extra `health` are imported only where there is a gateway
        from poliqi.apps.dicom.gateway import dicom_service

        gateway = dicom_service(settings, keys, tell)
    found: list[Service | None] = [
        InboxService(settings),
        DatasetService(settings, keys, Shelf.of(settings.state), tell),
        message_service(settings, keys, entropy, lambda text: tell("messages", text)),
        vault_service(settings, keys, entropy),
        TunnelService(read_tunnel(settings), tell) if "tunnel" in settings.extra else None,
        rotation,
        gateway,
    ]
    return [service for service in found if service is not None]


def checked(settings: SaeSettings) -> SaeSettings:
    """The same, with the tables of its services read once: what is wrong is found before anything is changed.

    Raises ConfigError.
    """
    messenger_table(settings)
    vault_table(settings)
    read_tunnel(settings)
    return settings


def surround(settings: SaeSettings, keys: KeySource, services: Sequence[Service], say: Say) -> Around:
    """The pages for people."""
    del services
    if settings.web is None:
        return Around()
    from poliqi.ops.sae_pages import pages_around

    return pages_around(settings, keys, say)
