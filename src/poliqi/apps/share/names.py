"""Names of files as they come from another machine: which are taken, and what clashes are called."""

from __future__ import annotations

import hashlib
import re
from typing import Final
from urllib.parse import quote

from poliqi.base.ids import SaeId

__all__ = ["DEPTH_MOST", "NAME_BYTES", "PATH_BYTES", "name_problem", "numbered", "peer_folder"]

NAME_BYTES: Final = 255
"""The most bytes in one name, as Linux file systems have it."""
DEPTH_MOST: Final = 64
"""The most names in one path."""
PATH_BYTES: Final = 4095
"""The most bytes in one path."""

# control characters, lone surrogates, separators of lines, and what turns the direction of writing around
_BAD: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_SAFE: Final = " !#$&'()+,;=@[]^`{}"


def name_problem(name: str) -> str | None:
    """Why `name` is no name of a file or folder here, or None."""
    if name in ("", ".", ".."):
        return "is no name"
    if "/" in name:
        return "has a slash in it"
    if _BAD.search(name):
        return "has a character in it that cannot be shown, or that is not UTF-8"
    if len(name) > NAME_BYTES or (not name.isascii() and len(name.encode()) > NAME_BYTES):
        return f"is longer than {NAME_BYTES} bytes"
    return None


def peer_folder(peer: SaeId) -> str:
    """The folder of what `peer` sent: its name, what is not plain written as %XX; never hidden, never two alike."""
    text = quote(peer, safe=_SAFE)
    if text.startswith("."):
        text = "%2E" + text[1:]
    if len(text) <= NAME_BYTES:
        return text
    return f"{text[:180]}%{hashlib.sha256(peer.encode()).hexdigest()}"


def numbered(name: str, number: int, is_folder: bool) -> str:
    """`name` for the first; then "report (2).pdf", "folder (2)", within NAME_BYTES."""
    if number == 1:
        return name
    stem, dot, ending = name.rpartition(".")
    if is_folder or not stem or len(ending.encode()) > 20:
        stem, dot, ending = name, "", ""
    tail = f" ({number}){dot}{ending}"
    head = stem.encode()[: NAME_BYTES - len(tail.encode())].decode(errors="ignore")
    return head + tail
