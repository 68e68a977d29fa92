"""What descriptions may be: texts that a page and a terminal can show, of bounded length; times that are times."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from poliqi.base.errors import DataRefused

__all__ = ["check_keywords", "check_line", "check_properties", "check_text", "check_time"]

_LINE: Final = 500
_TEXT: Final = 100_000
_KEYWORDS: Final = 100
_PROPERTIES: Final = 1000
_YEAR_9999_S: Final = 253_402_300_799.0

# control characters, separators of lines, what turns the direction of writing around, lone surrogates
_BAD: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_BAD_IN_TEXT: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def check_line(text: str, what: str, *, is_needed: bool = False) -> str:
    """One line of at most 500 letters. Raises DataRefused."""
    if is_needed and not text.strip():
        raise DataRefused(f"{what} is empty: write it in a line")
    if len(text) > _LINE:
        raise DataRefused(f"{what} has {len(text):,} letters, at most {_LINE} are taken: {text[:40]!r}...")
    if _BAD.search(text):
        raise DataRefused(
            f"{what} {text[:60]!r} has a character in it that cannot be shown in a line; leave it out"
        )
    return text


def check_text(text: str, what: str) -> str:
    """Several lines of at most 100,000 letters. Raises DataRefused."""
    if len(text) > _TEXT:
        raise DataRefused(f"{what} has {len(text):,} letters, at most {_TEXT:,} are taken; put it into a file")
    if _BAD_IN_TEXT.search(text):
        raise DataRefused(f"{what} has a character in it that cannot be shown; leave it out")
    return text


def check_keywords(words: Iterable[str]) -> tuple[str, ...]:
    """At most 100, each once. Raises DataRefused."""
    found = tuple(dict.fromkeys(check_line(word, "a keyword", is_needed=True) for word in words))
    if len(found) > _KEYWORDS:
        raise DataRefused(f"{len(found)} keywords: at most {_KEYWORDS} are taken")
    return found


def check_properties(properties: Mapping[str, str]) -> dict[str, str]:
    """At most 1,000, each a line. Raises DataRefused."""
    if len(properties) > _PROPERTIES:
        raise DataRefused(f"{len(properties)} properties: at most {_PROPERTIES} are taken")
    for name, value in properties.items():
        check_line(name, "a property's name", is_needed=True)
        check_line(value, f"property {name[:60]!r}")
    return dict(properties)


def check_time(unix_s: float, what: str) -> float:
    """Seconds of Unix time up to the year 9999, rounded to milliseconds. Raises DataRefused."""
    if not 0.0 <= unix_s <= _YEAR_9999_S:
        raise DataRefused(f"{what} is {unix_s!r}: write seconds since 1970")
    return round(float(unix_s), 3)
