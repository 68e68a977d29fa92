"""Names of links, as files and sockets give them."""

from __future__ import annotations

import re
from typing import Final

from poliqi.base.errors import ConfigError
from poliqi.base.ids import LinkId

__all__ = ["check_link_id"]

_LINK_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def check_link_id(text: str) -> LinkId:
    """A link's name: 1 to 64 of letters, digits, '.', '_', '-', a letter or digit first (ConfigError)."""
    if _LINK_ID.fullmatch(text) is None:
        raise ConfigError(
            f"link name {text[:80]!r}: use 1 to 64 of letters, digits, '.', '_' and '-', a letter or digit first"
        )
    return LinkId(text)
