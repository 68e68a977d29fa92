"""The table [lab] of a SAE.toml: which store of datasets stands at this application, and whose it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from poliqi.apps.settings import SaeSettings
from poliqi.base.errors import ConfigError
from poliqi.lab.store.naming import check_tenant

__all__ = ["LabRules", "LabTable", "read_lab"]

_PAGE: Final = "docs/reference/lab-pages.md lists every key"


class LabTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`store` is the folder that `poliqi lab store init` made."""

    store: str
    tenant: str | None = None
    """Of the house: what whoever has a role on the application's own pages sees; left out, the store's own."""
    here: str | None = None
    """The facility's login for whoever opens the pages on this machine without one; left out, they do not book."""
    take_in: bool = False
    """Datasets that come from other sites are put into the store of the house as they arrive."""
    forward: dict[str, str] = {}
    """Peers that are sent what passes through for them, each with the tenant that keeps it; with `take_in`."""


@dataclass(frozen=True, slots=True)
class LabRules:
    """The same with the folder found."""

    store: Path
    tenant: str | None
    here: str | None
    take_in: bool
    forward: Mapping[str, str]


def read_lab(settings: SaeSettings) -> LabRules | None:
    """None where the file has no such table. Raises ConfigError."""
    table = settings.extra.get("lab")
    if not table:
        return None
    try:
        found = msgspec.convert(dict(table), LabTable)
    except msgspec.ValidationError as error:
        raise ConfigError(f"[lab]: {error}; {_PAGE}") from None
    tenant = None if found.tenant is None else check_tenant(found.tenant)
    return LabRules(
        settings.file.parent / found.store, tenant, found.here, found.take_in, _forward(found, settings)
    )


def _forward(table: LabTable, settings: SaeSettings) -> Mapping[str, str]:
    for peer, tenant in table.forward.items():
        check_tenant(tenant)
        if settings.peer(peer) is None:
            raise ConfigError(
                f"lab.forward {peer[:60]!r}: no [[peer]] is called so; bring it with `poliqi sae meet`"
            )
    if table.forward and not table.take_in:
        raise ConfigError("lab.forward: what is to be sent on is taken in first; add take_in = true")
    return table.forward
