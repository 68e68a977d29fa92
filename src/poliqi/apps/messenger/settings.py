"""The table [messenger] of SAE.toml (docs/reference/chat.md)."""

from __future__ import annotations

from typing import Annotated

import msgspec

from poliqi.apps.envelope.rule import PadRule, PadTable, pad_rule
from poliqi.apps.settings import Peer, SaeSettings
from poliqi.base.errors import ConfigError

__all__ = ["PURPOSE", "MessengerTable", "messenger_table", "rule_for"]

PURPOSE = "message 1"


class MessengerTable(PadTable, kw_only=True):
    """`pad_to`: texts are filled up to multiples of so many bytes, so that their length tells little."""

    pad_to: Annotated[int, msgspec.Meta(ge=64, le=65536)] = 256
    burn: bool = False


def messenger_table(settings: SaeSettings) -> MessengerTable:
    """Raises ConfigError."""
    try:
        return msgspec.convert(dict(settings.extra.get("messenger", {})), MessengerTable)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{settings.file}: [messenger]: {error}; docs/reference/chat.md lists its keys") from None


def rule_for(settings: SaeSettings, peer: Peer) -> PadRule:
    """What is asked of the pads of messages with a peer. Raises ConfigError."""
    return pad_rule(messenger_table(settings), peer, "messenger")
