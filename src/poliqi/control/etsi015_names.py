"""Names and numbers as ETSI GS QKD 015 wants them: UUIDs that every site works out alike, URIs, YANG's numbers."""

from __future__ import annotations

import uuid
from functools import lru_cache
from typing import Final

from poliqi.base.ids import KmeId, LinkId, SaeId

__all__ = [
    "app_uuid",
    "decimal64",
    "interface_number",
    "kme_uri",
    "link_uuid",
    "node_uuid",
    "sae_uri",
    "uint32",
]

_UINT32: Final = (1 << 32) - 1
_PLAIN: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_NAMES: Final = uuid.uuid5(uuid.NAMESPACE_URL, "urn:poliqi")


@lru_cache(4096)
def node_uuid(site: KmeId) -> str:
    """The node's UUID: version 5 of its name, so that every site knows that of every other."""
    return str(uuid.uuid5(_NAMES, f"kme {site}"))


@lru_cache(4096)
def link_uuid(link: LinkId) -> str:
    """The link's UUID, the same at both ends."""
    return str(uuid.uuid5(_NAMES, f"link {link}"))


def app_uuid(server: str, site: KmeId, other: KmeId) -> str:
    """UUID of an association: `server` at `site` asks for keys with whoever lives at `other`."""
    return str(uuid.uuid5(_NAMES, f"app {server} {site} {other}"))


def interface_number(link: LinkId) -> int:
    """The number of a link's interface, the same at both ends: 31 bits of the link's UUID."""
    return uuid.uuid5(_NAMES, f"link {link}").int >> 97


def sae_uri(sae: SaeId) -> str:
    """An application as its certificate says it."""
    return f"urn:poliqi:sae:{_quoted(sae)}"


def kme_uri(site: KmeId) -> str:
    """A site as its certificate says it."""
    return f"urn:poliqi:kme:{_quoted(site)}"


def _quoted(name: str) -> str:
    return "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in name.encode())


def uint32(value: float) -> int:
    """A count that fits into YANG's uint32: what is larger is told as the largest."""
    return max(0, min(_UINT32, round(value)))


def decimal64(value: float, digits: int = 3) -> str:
    """The canonical text of a decimal64 (RFC 7950, section 9.3.2): no idle zeros, one digit after the point."""
    limit = (2**63 - 1) / 10**digits / 2.0  # half of what fits: rounding of floats cannot exceed it
    text = f"{max(-limit, min(limit, value)):.{digits}f}"
    whole, _, part = text.partition(".")
    text = f"{whole}.{part.rstrip('0') or '0'}"
    return "0.0" if text == "-0.0" else text
