"""The catalogue of an application's pages is whole: both languages, the same places, nothing unused."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import jinja2.nodes
import pytest
from jinja2 import Environment

import poliqi.ops.sae_web
import poliqi.ops.web
from poliqi.apps.keygrade import Knowledge
from poliqi.apps.stream.terms import Mode
from poliqi.control.events import Language
from poliqi.ops.sae_web import Direction, TransferState
from poliqi.ops.sae_web.trouble import Trouble
from poliqi.ops.web.words import catalogue, places

OWN = "poliqi.ops.sae_web"
ROOM = Path(poliqi.ops.sae_web.__file__).parent
TEMPLATES = sorted((ROOM / "templates").glob("*.html"))
SHARED = [
    path
    for name in ("layout", "pieces", "login", "message", "access", "search")
    for path in [Path(poliqi.ops.web.__file__).parent / "templates" / f"{name}.html"]
]
FAMILIES = {
    "knowledge.": [known.name.lower() for known in Knowledge],
    "mode.": [*Mode, *(f"{mode}_why" for mode in Mode)],
    "receipt.": [f"{way}{end}" for way in Direction for end in ("", "_by", "_site")],
    "state.": list(TransferState),
    "trouble.": list(Trouble),
}
DEEDS = {"deed.send", "deed.stop", "deed.open"}
REPLACED = {"layout.lost", "message.home", "message.e404_why", "login.unknown"}
"""Phrases of the dashboard that are other ones here."""


def text_of_sources() -> str:
    return "\n".join(path.read_text() for path in (*TEMPLATES, *SHARED, *sorted(ROOM.glob("*.py"))))


def test_every_phrase_has_every_language_and_the_same_places() -> None:
    own = catalogue(OWN)
    assert {key: set(texts) for key, texts in own.items()} == {key: set(Language) for key in own}
    assert not [key for key, texts in own.items() if not all(t.strip() for t in texts.values())]
    assert not [key for key, texts in own.items() if len({places(t) for t in texts.values()}) != 1]


def test_every_phrase_is_used_and_every_used_one_is_there() -> None:
    literal = set(re.findall(r"""["']([a-z]+\.[a-z][a-z0-9_-]*)["']""", text_of_sources()))
    made = {f"{start}{end}" for start, ends in FAMILIES.items() for end in ends}
    own, all_words = set(catalogue(OWN)), set(catalogue()) | set(catalogue(OWN))
    tables = {key.split(".")[0] for key in all_words}
    endings = (".html", ".css", ".js", ".svg", ".toml", ".py")
    used = {key for key in literal if key.split(".")[0] in tables and not key.endswith(endings)} | made
    assert used - all_words == set()
    assert own - used - DEEDS - REPLACED == set()
    assert set(catalogue()) & own == REPLACED


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda p: p.name)
def test_templates_hold_no_words(template: Path) -> None:
    tree = Environment(autoescape=True).parse(template.read_text(encoding="utf-8"))
    plain = "\x00".join(data.data for data in tree.find_all(jinja2.nodes.TemplateData))
    outside = re.sub(r"<[^<>]*>|<[^<>]*$|^[^<>]*>", " ", plain)
    words = set(re.findall(r"[^\W\d_]{2,}", re.sub(r"<[a-z][^>]*", " ", outside)))
    assert not words
    assert not re.findall(r'(?:title|alt|aria-label|placeholder)="([^"{\x00]+)"', plain)


def test_the_script_holds_no_words() -> None:
    script = files(OWN).joinpath("static", "desk.js").read_text()
    strings = re.findall(r'"([^"\n]*)"', re.sub(r"//[^\n]*", "", script))
    assert not [s for s in strings if re.search(r"[A-Za-z]{2,} [A-Za-z]{2,}", s) and s != "use strict"]
