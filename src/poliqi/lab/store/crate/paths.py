"""Identifiers of a crate's files and the paths they mean: nothing leads out of the crate's folder."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from poliqi.base.errors import DataRefused
from poliqi.lab.store.naming import check_path

__all__ = ["METADATA", "id_of", "is_remote", "local_path"]

METADATA: Final = "ro-crate-metadata.json"

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_DEVICE: Final = re.compile(r"(?i:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?")


def id_of(path: str) -> str:
    """The identifier of a file of a dataset: a URI path relative to the crate."""
    return quote(path)


def is_remote(name: str) -> bool:
    """True for an absolute URI: the file is elsewhere, and is never fetched."""
    found = _SCHEME.match(name)
    # one letter is a drive of Windows, and file: would be a file of this machine
    return found is not None and len(found[0]) > 2 and found[0].lower() != "file:"


def local_path(name: str) -> str:
    """The path that the identifier of a file or folder means; a folder's without its last slash, "" for the crate.

    Raises DataRefused for what is no plain path below the crate, however it is written.
    """
    text = name.removeprefix("./").removesuffix("/")
    if not text or text == ".":
        return ""
    if _SCHEME.match(text) or "\\" in text:
        raise _escapes(name, "is no path inside the crate")
    names: list[str] = []
    for part in text.split("/"):
        try:
            decoded = unquote_to_bytes(part).decode()
        except UnicodeDecodeError:
            raise _escapes(name, "is not UTF-8 once its % is read") from None
        if "\\" in decoded or "/" in decoded or _DEVICE.fullmatch(decoded):
            raise _escapes(name, "is no path that every system takes")
        names.append(decoded)
    path = "/".join(names)
    try:
        check_path(path)
    except DataRefused as error:
        raise _escapes(name, str(error)) from None
    return path


def _escapes(name: str, why: str) -> DataRefused:
    return DataRefused(f"the crate names the file {name[:200]!r}: {why}; nothing was taken in")
