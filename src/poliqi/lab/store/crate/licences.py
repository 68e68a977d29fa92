"""Licences as crates name them: by a URL, by an SPDX identifier, or in words."""

from __future__ import annotations

import re
from typing import Any, Final

from poliqi.base.errors import DataRefused
from poliqi.lab.store.crate.graph import Graph, identifier_of, plain_text, values_of
from poliqi.lab.store.crate.terms import NO_LICENCE, entity, ref
from poliqi.lab.store.licence import check_licence

__all__ = ["licence_entities", "licence_from"]

_SPDX: Final = re.compile(r"https?://(?:www\.)?spdx\.org/licenses/([A-Za-z0-9.+-]+?)(?:\.html|\.json|/)?")
_COMMONS: Final = re.compile(
    r"https?://(?:www\.)?creativecommons\.org/(licenses|publicdomain)/([a-z-]+)/([0-9.]+)(?:/.*)?"
)
_NAMED: Final = re.compile(r"[A-Za-z0-9.+-]+")


def licence_entities(licence: str) -> tuple[Any, list[dict[str, Any]]]:
    """The value of `license`, and the entity it refers to, where there is one."""
    if not licence:
        return NO_LICENCE, []
    if not _NAMED.fullmatch(licence) or licence.startswith("LicenseRef-"):
        return licence, []
    name = f"https://spdx.org/licenses/{licence}"
    described = entity(name, "CreativeWork", name=licence, description=f"The licence that SPDX calls {licence}.")
    return ref(name), [described]


def licence_from(graph: Graph, instead: str = "") -> str:
    """The SPDX expression of a crate; `instead`, where it is given, is taken in its place. Empty: none is given.

    Raises DataRefused for one that nobody knows.
    """
    if instead:
        return check_licence(instead)
    for value in values_of(graph.root, "license"):
        text = identifier_of(value) or str(value)
        if text.strip() in ("", NO_LICENCE):
            return ""
        try:
            return check_licence(_identifier(text.strip()))
        except DataRefused:
            raise DataRefused(
                f"the crate's licence {plain_text(text, 120)!r} is unknown: name what it stands for as SPDX does "
                "with --licence, such as CC-BY-4.0, or LicenseRef-NAME for terms of its own"
            ) from None
    return ""


def _identifier(text: str) -> str:
    if (found := _SPDX.fullmatch(text)) is not None:
        return found[1]
    if (found := _COMMONS.fullmatch(text)) is None:
        return text
    realm, words, version = found.groups()
    if realm == "publicdomain":
        return {"zero": "CC0", "mark": "LicenseRef-public-domain"}.get(words, "unknown") + f"-{version}"
    return f"CC-{words.upper()}-{version}"
