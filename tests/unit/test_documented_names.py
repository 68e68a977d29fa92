"""What the documents name of the package is there: `poliqi.a.b.c`, and what their examples import."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "docs").glob("*/*.md")]
NAMED = re.compile(r"`(poliqi(?:\.\w+)+)(?:\([^`]*)?`")
GROUPS = {"poliqi.encryptors", "poliqi.key_devices", "poliqi.key_sources", "poliqi.random_sources"}
"""Of entry points: other packages' names for what they bring."""
IMPORTED = re.compile(r"^\s*from (poliqi[\w.]*) import \(?([\w, \n]+)", re.MULTILINE)


def names_in(text: str) -> set[str]:
    imported = {
        f"{module}.{name.split(' as ')[0].strip()}"
        for module, names in IMPORTED.findall(text)
        for name in names.partition("\n")[0].split(",")
        if name.strip()
    }
    return (set(NAMED.findall(text)) | imported) - GROUPS


def is_there(name: str) -> bool:
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


def test_a_name_that_is_not_there_is_noticed() -> None:
    assert is_there("poliqi.base.doubt.doubted")
    assert not is_there("poliqi.base.doubt.doubtful")
    assert names_in("`poliqi.a.b(x)` and\nfrom poliqi.c import d, e\n") == {
        "poliqi.a.b",
        "poliqi.c.d",
        "poliqi.c.e",
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_names_of_the_package_are_there(page: Path) -> None:
    missing = sorted(name for name in names_in(page.read_text(encoding="utf-8")) if not is_there(name))
    assert not missing
