"""Names of keys: sixteen bytes, written as a UUID.

The name of a key that comes straight out of a segment is derived from its place, so it never has to be sent, and
nobody who lacks the pool's secret can guess one. Other keys have random names. RFC 9562, section 5.8 (version 8).
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterator
from typing import Final

from poliqi.base.ids import KmeId, LinkId
from poliqi.keys.segment import SegmentName

__all__ = ["as_version_8", "derived_ids", "parse_key_id", "text_of"]

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def as_version_8(data: bytes) -> bytes:
    """The first 16 bytes of `data` with the version and variant bits of a UUIDv8."""
    return b"%b%c%b%c%b" % (data[:6], 0x80 | data[6] & 0x0F, data[7:8], 0x80 | data[8] & 0x3F, data[9:16])


def derived_ids(
    secret: bytes, pool: LinkId, name: SegmentName, owner: KmeId, offset: int, size: int, count: int
) -> Iterator[bytes]:
    """Names of `count` keys of `size` bytes from `offset` on: HMAC-SHA256 of pool, segment, owner and place."""
    head = b"".join(len(part).to_bytes(2, "big") + part for part in (pool.encode(), name.block, owner.encode()))
    head += name.part.to_bytes(4, "big") + size.to_bytes(4, "big")
    digest = hmac.digest
    for place in range(offset, offset + size * count, size):
        yield as_version_8(digest(secret, head + place.to_bytes(4, "big"), "sha256"))


def text_of(key_id: bytes) -> str:
    """The UUID's usual text."""
    h = key_id.hex()
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"


def parse_key_id(text: str) -> bytes | None:
    """The 16 bytes of a UUID's usual text, in either case; None for anything else."""
    return bytes.fromhex(text.replace("-", "")) if _UUID.fullmatch(text) else None
