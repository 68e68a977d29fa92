"""The table [vault] of SAE.toml (docs/reference/vault.md)."""

from __future__ import annotations

import msgspec

from poliqi.apps.envelope.rule import PadRule, PadTable, pad_rule
from poliqi.apps.settings import Peer, SaeSettings
from poliqi.base.errors import ConfigError
from poliqi.base.units import parse_quantity

__all__ = ["PURPOSE", "VaultTable", "room_bytes", "rule_for", "vault_table"]

PURPOSE = "vault 1"


class VaultTable(PadTable, kw_only=True):
    """`sites`: where shares go unless told otherwise; `threshold`: how many give a secret back; `room`: what is
    kept here for each owner.
    """

    sites: tuple[str, ...] = ()
    threshold: int = 3
    room: str = "8 Gbit"


def vault_table(settings: SaeSettings) -> VaultTable:
    """Raises ConfigError."""
    try:
        return msgspec.convert(dict(settings.extra.get("vault", {})), VaultTable)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{settings.file}: [vault]: {error}; docs/reference/vault.md lists its keys") from None


def room_bytes(table: VaultTable) -> int:
    """Bytes kept for each owner. Raises ConfigError."""
    return int(parse_quantity(table.room, "bit", "vault.room") // 8)


def rule_for(settings: SaeSettings, peer: Peer) -> PadRule:
    """What is asked of the pads of shares that travel to or from a peer. Raises ConfigError."""
    return pad_rule(vault_table(settings), peer, "vault")
