"""What people may ask of an application's pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from poliqi.edge.http1 import HttpLimits

__all__ = ["FILE_BYTES", "PAGE_LIMITS", "PART_BYTES", "SPOOL_BYTES", "UploadLimits"]

PART_BYTES: Final = 1 << 20
"""A script sends a file in parts of this size."""
PAGE_LIMITS: Final = HttpLimits(body_bytes=8 << 20, request_s=60.0, connections=64)
"""Of the server below the pages. A form without a script is held in memory, so it is small; parts are smaller."""


FILE_BYTES: Final = 100 << 30
SPOOL_BYTES: Final = 400 << 30


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """Of the files that wait to be sent. `idle_s`: an upload that stands still so long is forgotten.

    `at_once` counts uploads that are not finished or not sent yet; `total_bytes` what they may take of the disk.
    """

    file_bytes: int = FILE_BYTES
    total_bytes: int = SPOOL_BYTES
    files: int = 64
    at_once: int = 128
    idle_s: float = 900.0
