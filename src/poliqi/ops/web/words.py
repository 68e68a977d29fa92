"""Every word of the pages, in English and Italian: the catalogue `words.toml`."""

from __future__ import annotations

import string
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Final

from poliqi.control.events import Language

__all__ = ["CATALOGUE_FILE", "Catalogue", "catalogue", "phrase", "places"]

CATALOGUE_FILE: Final = "words.toml"
Catalogue = Mapping[str, Mapping[Language, str]]


@cache
def catalogue(package: str = "poliqi.ops.web") -> Catalogue:
    """A package's phrases by key such as "links.title". Raises ValueError where one is missing in a language."""
    tables = tomllib.loads(files(package).joinpath(CATALOGUE_FILE).read_text("utf-8"))
    found: dict[str, dict[Language, str]] = {}
    for table, entries in tables.items():
        for name, texts in entries.items():
            key = f"{table}.{name}"
            if set(texts) != set(Language):
                raise ValueError(
                    f"{CATALOGUE_FILE}: {key} needs exactly {', '.join(Language)}; has {', '.join(texts)}"
                )
            found[key] = {Language(language): text for language, text in texts.items()}
    return found


def places(text: str) -> frozenset[str]:
    """Names that a phrase leaves open."""
    return frozenset(name for _, name, _, _ in string.Formatter().parse(text) if name)


def phrase(key: str, language: Language, **values: object) -> str:
    """A phrase with its places filled. Raises KeyError for one that the catalogue does not hold."""
    return catalogue()[key][language].format_map(values)
