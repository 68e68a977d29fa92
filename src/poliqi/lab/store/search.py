"""From words and filters to a condition on datasets."""

from __future__ import annotations

from typing import Any, Final

from poliqi.base.errors import DataRefused
from poliqi.lab.store.records import Kind

__all__ = ["condition"]

_WORDS_MOST: Final = 20
_LENGTH_MOST: Final = 500


def condition(words: str, kind: Kind | None, sample: str | None) -> tuple[str, list[Any]]:
    """SQL and its values. Every word must begin a word of the dataset; letters' case and accents do not matter.

    Raises DataRefused where there are more than 20 words, or 500 letters.
    """
    parts, values = ["1"], list[Any]()
    if kind is not None:
        parts.append("d.kind = ?")
        values.append(kind.value)
    if sample is not None:
        parts.append("d.sample = ?")
        values.append(sample)
    sought = [word for word in words.replace("\x00", " ").split() if any(letter.isalnum() for letter in word)]
    if len(sought) > _WORDS_MOST or len(words) > _LENGTH_MOST:
        raise DataRefused(f"{len(sought)} words to search for: name at most {_WORDS_MOST}, {_LENGTH_MOST} letters")
    if sought:
        parts.append("d.seq IN (SELECT rowid FROM words WHERE words MATCH ?)")
        values.append(" ".join(f'"{word.replace(chr(34), chr(34) * 2)}"*' for word in sought))
    return " AND ".join(parts), values
