"""The pages around a running application, from the tables [web] and [lab] of its file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from poliqi.apps.keysource import KeySource
from poliqi.apps.settings import SaeSettings
from poliqi.edge.folder import make_private_folder
from poliqi.node.sae import Around
from poliqi.ops.lab_toml import read_lab
from poliqi.ops.sae_web.appdesk import ApplicationDesk
from poliqi.ops.sae_web.application import sae_pages
from poliqi.ops.sae_web.limits import PAGE_LIMITS
from poliqi.ops.sae_web.rules import read_web

__all__ = ["pages_around"]

Say = Callable[[dict[str, Any]], None]


def pages_around(settings: SaeSettings, keys: KeySource, say: Say) -> Around:
    """Pages over a desk of this application. Raises ConfigError, StoreError, OSError."""

    def complain(text: str) -> None:
        say({"event": "pages", "text": text, "level": "warning"})

    def prepare(fresh: SaeSettings) -> Callable[[], None]:
        doors = read_web(fresh.extra, fresh.file.parent, fresh.sae).doors

        def change() -> None:
            desk.change(fresh)
            pages.change(doors)

        return change

    def close() -> None:
        desk.close()
        pages.spool.close()
        if room is not None:
            room.close()

    make_private_folder(settings.state)
    rules = read_web(settings.extra, settings.file.parent, settings.sae)
    lab = read_lab(settings)
    desk = ApplicationDesk(settings, keys, rules.place, rules.transfers_at_once, complain)
    room = annex = None
    if lab is not None:
        # what a laboratory needs is imported only where there is one
        from poliqi.lab.store.store import LabStore
        from poliqi.ops.lab_web import LabRoom, lab_annex

        room = LabRoom(
            LabStore.open(lab.store),
            desk,
            house=lab.tenant,
            here=lab.here,
            complain=complain,
            settings=lambda: desk.settings,
            forward=lambda: _forward(desk.settings),
        )
        desk.hide(room.is_foreign)
        annex = lab_annex(room)
    pages = sae_pages(desk, settings.state / "spool", rules.doors, complain, rules.limits, annex)
    return Around(pages, prepare, close=close, limits=PAGE_LIMITS)


def _forward(settings: SaeSettings) -> Mapping[str, str]:
    """Whom the laboratory serves, each with the tenant that keeps it."""
    rules = read_lab(settings)
    return {} if rules is None else rules.forward
