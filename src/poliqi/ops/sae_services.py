"""What an application serves, in one table: add a service here and every running application has it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from poliqi.apps.adapters.service import adapter_service
from poliqi.apps.adapters.tables import read_adapters
from poliqi.apps.datasets.service import DatasetService
from poliqi.apps.datasets.shelf import Shelf
from poliqi.apps.keysource import KeySource, SiteKeys
from poliqi.apps.messenger.service import message_service
from poliqi.apps.messenger.settings import messenger_table
from poliqi.apps.service import Service
from poliqi.apps.settings import SaeSettings
from poliqi.apps.share.inbox import InboxRules
from poliqi.apps.share.receipt import Receipt
from poliqi.apps.share.service import InboxService
from poliqi.apps.tunnel.service import TunnelService
from poliqi.apps.tunnel.settings import read_tunnel
from poliqi.apps.vault.service import vault_service
from poliqi.apps.vault.settings import vault_table
from poliqi.edge.entropy import OperatingSystemEntropy
from poliqi.node.sae import Around
from poliqi.node.sae_figures import SaeFigures
from poliqi.ops.lab_inbox import lab_arriving, with_lab
from poliqi.ops.lab_toml import read_lab

__all__ = ["checked", "services_of", "surround"]

Say = Callable[[dict[str, Any]], None]


def services_of(settings: SaeSettings, keys: KeySource, say: Say) -> list[Service]:
    """One service for each purpose that the file asks for. Raises ConfigError, StoreError."""

    def tell(event: str, text: str, **more: Any) -> None:
        say({"event": event, "text": text, **more})

    arriving = lab_arriving(settings, keys, tell)

    def arrived(path: Path, receipt: Receipt) -> None:
        light = "; key of SIMULATED LIGHT protected it, which is nothing" if receipt.simulated else ""
        text = (
            f"{receipt.stored_as!r} of {receipt.sender}: {receipt.files} files, {receipt.size_bytes} bytes{light}"
        )
        more = {"files": receipt.files, "size_bytes": receipt.size_bytes, "simulated": receipt.simulated}
        tell("received", text, peer=receipt.sender, path=str(path), transfer=receipt.transfer, **more)
        if arriving is not None:
            arriving.arrived(path, receipt)

    entropy = OperatingSystemEntropy()
    rotation = adapter_service(settings, keys, entropy, say) if "adapter" in settings.extra else None
    gateway = None
    if "dicom" in settings.extra:
        # the packages of the extra `health` are imported only where there is a gateway
        from poliqi.apps.dicom.gateway import dicom_service

        gateway = dicom_service(settings, keys, tell)
    found: list[Service | None] = [
        with_lab(InboxService(settings, arrived), arriving),
        DatasetService(settings, keys, Shelf.of(settings.state), tell),
        message_service(settings, keys, entropy, lambda text: tell("messages", text)),
        vault_service(settings, keys, entropy),
        TunnelService(read_tunnel(settings), tell),
        rotation,
        gateway,
    ]
    return [service for service in found if service is not None]


def checked(settings: SaeSettings) -> SaeSettings:
    """The same, with every table read once: what is wrong is found before anything is changed.

    Raises ConfigError.
    """
    from poliqi.ops.sae_web.rules import read_web

    InboxRules.of(settings.extra)
    messenger_table(settings)
    vault_table(settings)
    read_tunnel(settings)
    read_adapters(settings, OperatingSystemEntropy())
    if "dicom" in settings.extra:
        from poliqi.apps.dicom.settings import read_dicom

        read_dicom(settings)
    read_web(settings.extra, settings.file.parent, settings.sae)
    read_lab(settings)
    return settings


def surround(settings: SaeSettings, keys: KeySource, say: Say, figures: SaeFigures) -> Around:
    """The pages for people, and keys by the newest certificate. Raises ConfigError, StoreError, OSError."""
    if settings.web is None:
        pages = Around()
    else:
        from poliqi.ops.sae_pages import pages_around

        pages = pages_around(settings, keys, say)

    def prepare(fresh: SaeSettings) -> Callable[[], None]:
        changes = [pages.prepare(fresh)]
        if isinstance(keys, SiteKeys) and fresh.site is not None:
            changes.append(keys.renewal(fresh.site.certificate, fresh.site.key, fresh.site.authority))

        def change() -> None:
            for each in changes:
                each()

        return change

    return replace(pages, prepare=prepare, figures=figures)
