"""Which files of a dataset a page may show as pictures, and with which headers: never as a document of ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from poliqi.lab.store.records import StoredFile

__all__ = ["FIGURE_BYTES", "FIGURE_HEADERS", "figure_type", "may_be_figure"]

FIGURE_BYTES: Final = 4 << 20
_PIXELS: Final = 40_000_000
_PNG: Final = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
_PNG_TYPE: Final = "image/png"
_SVG_TYPE: Final = "image/svg+xml"
_SVG_HEAD: Final = 4096
FIGURE_HEADERS: Final[Mapping[str, str]] = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    "cache-control": "private, no-store",
}
"""Beside those of every answer. An SVG is shown in <img> alone, where no script of it runs and nothing is fetched;
its address opened by itself is saved (`content-disposition: attachment`), and if it were shown it had no rights.
"""


def may_be_figure(file: StoredFile) -> bool:
    """By its name and size; what it holds is looked at when it is asked for."""
    return file.path.lower().endswith((".png", ".svg")) and 0 < file.size_bytes <= FIGURE_BYTES


def figure_type(data: bytes) -> str | None:
    """The media type of a whole PNG of at most 40 million pixels, or of an SVG; None for anything else.

    An SVG is UTF-8 and declares no entities: those can grow without bound (`billion laughs`).
    """
    if data.startswith(_PNG):
        width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
        return _PNG_TYPE if 0 < width * height <= _PIXELS else None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    is_svg = "\0" not in text and "<svg" in text[:_SVG_HEAD] and "<!ENTITY" not in text.upper()
    return _SVG_TYPE if is_svg else None
