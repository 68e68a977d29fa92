"""The table [web] of a SAE.toml: who may do what on the pages, and how much they take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import msgspec

from poliqi.base.errors import ConfigError
from poliqi.ops.sae_web.limits import FILE_BYTES, SPOOL_BYTES, UploadLimits
from poliqi.ops.web.roles import Role
from poliqi.ops.web.settings import DashboardSettings, read_tokens

__all__ = ["WebTable", "read_web"]

_PAGE: Final = "docs/reference/application-pages.md lists every key"
_Count = Annotated[int, msgspec.Meta(ge=1, le=1 << 50)]


class WebTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`place` is what people call the place of this application; its name where nothing is said."""

    place: str | None = None
    local_role: Role | None = Role.VIEWER
    tokens: str | None = None
    largest_file_bytes: _Count = FILE_BYTES
    spool_bytes: _Count = SPOOL_BYTES
    transfers_at_once: Annotated[int, msgspec.Meta(ge=1, le=64)] = 4


@dataclass(frozen=True, slots=True)
class WebRules:
    """The same, as the pages take it."""

    place: str
    doors: DashboardSettings
    limits: UploadLimits
    transfers_at_once: int


def read_web(extra: Mapping[str, Mapping[str, object]], base: Path, name: str) -> WebRules:
    """`base` is the folder of the file, `name` that of the application. Raises ConfigError."""
    try:
        table = msgspec.convert(dict(extra.get("web", {})), WebTable)
    except msgspec.ValidationError as error:
        raise ConfigError(f"[web]: {error}; {_PAGE}") from None
    tokens = () if table.tokens is None else read_tokens(base / table.tokens)
    limits = UploadLimits(table.largest_file_bytes, max(table.spool_bytes, table.largest_file_bytes))
    doors = DashboardSettings(open_role=table.local_role, tokens=tokens)
    return WebRules(table.place or name, doors, limits, table.transfers_at_once)
