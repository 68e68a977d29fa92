"""The catalogue of words is whole: both languages, the same places, nothing unused, nothing beside it."""

from __future__ import annotations

import re
from importlib.resources import files
from itertools import chain
from pathlib import Path

import jinja2.nodes
import pytest
from jinja2 import Environment

import poliqi.ops.web
from poliqi.control.events import Language, Severity
from poliqi.control.messages import LightState
from poliqi.ops.web import ActionKind, Fault, Role
from poliqi.ops.web.scene import Level
from poliqi.ops.web.words import catalogue, phrase, places

ROOM = Path(poliqi.ops.web.__file__).parent
TEMPLATES = sorted((ROOM / "templates").glob("*.html"))
NAMES = {"POLIQI"}
LEVELS = [level for level in Level if level is not Level.OFF]

FAMILIES = {
    "action.": list(ActionKind),
    "confirm.": [*ActionKind, *(f"{kind}_does" for kind in ActionKind)],
    "deed.": [*ActionKind, "login", "end-session"],
    "demand.": LEVELS,
    "fault.": list(Fault),
    "keys.": LEVELS,
    "light.": list(LightState),
    "message.e": list(chain.from_iterable((str(n), f"{n}_why") for n in (401, 403, 404, 405))),
    "month.m": [str(n) for n in range(1, 13)],
    "role.": list(Role),
    "severity.": list(Severity),
}
"""Phrases whose keys are put together: the first part as it stands in the sources, and every last part."""


def sources() -> str:
    return "\n".join(p.read_text() for p in (*TEMPLATES, *sorted(ROOM.glob("*.py"))))


def test_every_phrase_has_every_language() -> None:
    assert {key: set(texts) for key, texts in catalogue().items()} == {key: set(Language) for key in catalogue()}
    assert not [key for key, texts in catalogue().items() if not all(t.strip() for t in texts.values())]


def test_languages_leave_the_same_places() -> None:
    differing = [key for key, texts in catalogue().items() if len({places(t) for t in texts.values()}) != 1]
    assert not differing


def test_every_phrase_is_used_and_every_used_one_is_there() -> None:
    text = sources()
    literal = set(re.findall(r"""["']([a-z]+\.[a-z][a-z0-9_-]*)["']""", text))
    made = {f"{start}{end}" for start, ends in FAMILIES.items() for end in ends}
    for start in FAMILIES:
        assert re.search(rf"""["']{re.escape(start)}(?:["'] ~|\{{)""", text), f"no source puts {start} together"
    tables = {key.split(".")[0] for key in catalogue()}
    used = {key for key in literal if key.split(".")[0] in tables and not key.endswith(".html")} | made
    assert used - set(catalogue()) == set()
    assert set(catalogue()) - used == set()


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda p: p.name)
def test_templates_hold_no_words(template: Path) -> None:
    """Text of a template, and of attributes that people read, comes from the catalogue."""
    tree = Environment(autoescape=True).parse(template.read_text(encoding="utf-8"))
    plain = "\x00".join(data.data for data in tree.find_all(jinja2.nodes.TemplateData))
    outside = re.sub(r"<[^<>]*>|<[^<>]*$|^[^<>]*>", " ", plain)
    words = set(re.findall(r"[^\W\d_]{2,}", re.sub(r"<[a-z][^>]*", " ", outside)))
    assert words <= NAMES, words
    said = re.findall(r'(?:title|alt|aria-label|placeholder|value)="([^"{\x00]+)"', plain)
    assert not said


def test_the_script_holds_no_words() -> None:
    script = files("poliqi.ops.web").joinpath("static", "dashboard.js").read_text()
    strings = re.findall(r'"([^"\n]*)"', re.sub(r"//[^\n]*", "", script))
    assert not [
        s for s in strings if re.search(r"[A-Za-z]{2,} [A-Za-z]{2,}", s) and s != "use strict" and "[" not in s
    ]


def test_a_phrase_is_filled() -> None:
    assert phrase("alarm.title", Language.ITALIAN, n=3) == "Allarme 3"


def test_an_unknown_phrase_is_a_mistake_of_ours() -> None:
    with pytest.raises(KeyError):
        phrase("alarm.nothing", Language.ENGLISH)
