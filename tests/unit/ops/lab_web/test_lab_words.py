"""The catalogue of a laboratory's pages is whole: both languages, the same places, nothing unused."""

from __future__ import annotations

import re
from pathlib import Path

import jinja2.nodes
import pytest
from jinja2 import Environment

import poliqi.ops.lab_web
from poliqi.control.events import Language
from poliqi.lab.facility.charging import LineKind
from poliqi.lab.facility.invoices import InvoiceKind
from poliqi.lab.facility.refusal import Reason
from poliqi.lab.store.crate.claims import ClaimKind
from poliqi.lab.store.records import ActionKind, Kind
from poliqi.ops.web.words import catalogue, places

OWN = "poliqi.ops.lab_web"
ROOM = Path(poliqi.ops.lab_web.__file__).parent
TEMPLATES = sorted((ROOM / "templates").glob("*.html"))
FAMILIES = {
    "kind.": list(Kind),
    "lab_claim.": list(ClaimKind),
    "lab_line.": list(LineKind),
    "lab_invoice.": list(InvoiceKind),
    "lab_refused.": list(Reason),
    "weekday.": [f"d{n}" for n in range(7)],
    **{f"lab_{kind}.": ["short", "long"] for kind in ActionKind},
}
DEEDS = {"deed.lab-send", "deed.lab-book", "deed.lab-cancel"}


def test_every_phrase_has_every_language_and_the_same_places() -> None:
    own = catalogue(OWN)
    assert {key: set(texts) for key, texts in own.items()} == {key: set(Language) for key in own}
    assert not [key for key, texts in own.items() if not all(t.strip() for t in texts.values())]
    assert not [key for key, texts in own.items() if len({places(t) for t in texts.values()}) != 1]


def test_every_phrase_is_used_and_every_used_one_is_there() -> None:
    text = "\n".join(path.read_text() for path in (*TEMPLATES, *sorted(ROOM.glob("*.py"))))
    literal = set(re.findall(r"""["']([a-z_]+\.[a-z][a-z0-9_-]*)["']""", text))
    made = {f"{start}{end}" for start, ends in FAMILIES.items() for end in ends} | {"lab.begin", "lab.end"}
    own = set(catalogue(OWN))
    known = own | set(catalogue()) | set(catalogue("poliqi.ops.sae_web"))
    tables = {key.split(".")[0] for key in known}
    endings = (".html", ".css", ".js", ".svg", ".toml", ".py", ".json")
    used = {key for key in literal if key.split(".")[0] in tables and not key.endswith(endings)} | made
    assert used - known == {"month.m", "weekday.d"}, "beginnings of what templates put together"
    assert own - used - DEEDS == set()
    assert not own & (set(catalogue()) | set(catalogue("poliqi.ops.sae_web")))


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda p: p.name)
def test_templates_hold_no_words(template: Path) -> None:
    tree = Environment(autoescape=True).parse(template.read_text(encoding="utf-8"))
    plain = "\x00".join(data.data for data in tree.find_all(jinja2.nodes.TemplateData))
    outside = re.sub(r"<[^<>]*>|<[^<>]*$|^[^<>]*>", " ", plain)
    words = set(re.findall(r"[^\W\d_]{2,}", re.sub(r"<[a-z][^>]*", " ", outside)))
    assert not words
    assert not re.findall(r'(?:title|alt|aria-label|placeholder)="([^"{\x00]+)"', plain)
