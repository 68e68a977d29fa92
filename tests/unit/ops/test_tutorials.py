"""The first tutorial is the same in both languages: its steps, its commands, where it leads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TUTORIALS = Path(__file__).resolve().parents[3] / "docs" / "tutorial"


def pages() -> tuple[str, str]:
    return (TUTORIALS / "first-city.md").read_text(), (TUTORIALS / "first-city.it.md").read_text()


@pytest.mark.parametrize("pattern", [r"^## (\d)\.", r"^\$ (.*)$", r"`(poliqi [^`]*)`", r"\{doc\}`([^`]*)`"])
def test_both_languages_say_the_same(pattern: str) -> None:
    english, italian = (re.findall(pattern, text, re.MULTILINE) for text in pages())
    assert english == italian
    assert english


def test_what_the_screen_shows_is_the_same_in_both() -> None:
    english, italian = (re.findall(r"^```text\n(.*?)^```", text, re.MULTILINE | re.DOTALL) for text in pages())
    assert english == italian
