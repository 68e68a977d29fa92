"""The map: well-formed, to scale, labels apart, elements named, in two languages, drawn by classes alone."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poliqi.base.ids import KmeId, LinkId
from poliqi.control.city import City, QuantumLink, Site, Span, SpanId, distance_km
from poliqi.control.events import Language
from poliqi.control.messages import LightState
from poliqi.control.view import CityView, LinkView, SiteView
from poliqi.ops.city_toml import load_city
from poliqi.ops.citymap import MAP_CSS, LinkMark, city_map, rate_text, stroke_of_load
from poliqi.ops.mapplace import Box, enclosing_circle, nice_length, text_width
from poliqi.ops.mapstyle import WORDS

MILAN = load_city(Path(__file__).resolve().parents[3] / "examples" / "milan" / "city.toml").city
SVG = "{http://www.w3.org/2000/svg}"


def drawn(what: City | CityView, **options: object) -> ElementTree.Element:
    return ElementTree.fromstring(city_map(what, **options))  # type: ignore[arg-type]


def classes(root: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [e for e in root.iter() if name in (e.get("class") or "").split()]


def dots(root: ElementTree.Element) -> dict[str, tuple[float, float]]:
    return {
        group.get("data-site") or "": (float(dot.get("cx") or 0), float(dot.get("cy") or 0))
        for group in classes(root, "site")
        for dot in classes(group, "dot")
    }


def label_boxes(root: ElementTree.Element) -> list[Box]:
    sizes = {"name": 15.0, "figure": 12.0}
    return [
        Box(float(e.get("x") or 0), float(e.get("y") or 0), text_width(e.text or "", size), size)
        for kind, size in sizes.items()
        for e in classes(root, kind)
    ]


def test_everything_of_the_city_is_there_by_name() -> None:
    root = drawn(MILAN)
    assert {e.get("data-site") for e in classes(root, "site")} == {s.kme for s in MILAN.sites}
    assert {e.get("data-link") for e in classes(root, "link")} == {link.link for link in MILAN.links}
    assert {e.get("data-span") for e in classes(root, "span")} == {s.span for s in MILAN.spans}
    assert {e.text for e in classes(root, "name")} == {s.title for s in MILAN.sites}
    assert {e.get("class").split()[-1] for e in classes(root, "note")} == {  # type: ignore[union-attr]
        "note-simulated",
        "note-invented",
        "note-approximate",
    }


def test_map_is_to_scale_and_north_is_up() -> None:
    root = drawn(MILAN)
    at = dots(root)
    bar = classes(root, "scale")[0]
    path, text = bar.find(f"{SVG}path"), bar.find(f"{SVG}text")
    assert path is not None and text is not None
    pixels = float(re.findall(r"h([\d.]+)", path.get("d") or "")[0])
    per_km = pixels / float((text.text or "").split()[0])
    for a, b in combinations(MILAN.sites, 2):
        assert math.dist(at[a.kme], at[b.kme]) / per_km == pytest.approx(distance_km(a, b), rel=5e-3)
    assert at["bovisa"][1] < at["santa-barbara"][1] and at["bovisa"][0] < at["leonardo"][0]


def test_circle_holds_25_km() -> None:
    """In the corner, in the same proportion to the sites' dots as in the land; at full size where they fill it."""
    root = drawn(MILAN)
    (rim,) = classes(root, "rim")
    grains = [(float(e.get("cx") or 0), float(e.get("cy") or 0)) for e in classes(root, "grain")]
    farthest = max(math.dist(p, q) for p, q in combinations(grains, 2))
    across = max(distance_km(a, b) for a, b in combinations(MILAN.sites, 2))
    assert 2 * float(rim.get("r") or 0) / farthest == pytest.approx(25.0 / across, rel=0.01)
    wide = replace(MILAN, sites=(*MILAN.sites[:4], replace(MILAN.sites[4], latitude=45.66)))
    root = drawn(wide)
    (rim,) = classes(root, "rim")
    at = dots(root)
    centre = float(rim.get("cx") or 0), float(rim.get("cy") or 0)
    assert max(math.dist(centre, p) for p in at.values()) < float(rim.get("r") or 0)
    assert not classes(root, "grain")


@pytest.mark.parametrize("width", [380, 600, 900])
def test_labels_keep_apart(width: int) -> None:
    marks = {link.link: LinkMark("lit", 0.5, "2.46 Mbit/s") for link in MILAN.links}
    boxes = label_boxes(drawn(MILAN, width=width, marks=marks))
    assert len(boxes) >= 5
    assert not [(a, b) for a, b in combinations(boxes, 2) if a.overlap(b) > 0.0]
    assert all(b.x - b.width / 2 >= 0 and b.x + b.width / 2 <= width for b in boxes)


@settings(max_examples=30)
@given(
    st.lists(
        st.tuples(st.floats(45.40, 45.55), st.floats(9.10, 9.28), st.text(min_size=1, max_size=24)),
        min_size=1,
        max_size=12,
    )
)
def test_any_city_draws_well_formed_with_labels_apart(places: list[tuple[float, float, str]]) -> None:
    kept = [(p, q, "".join(c for c in t if c.isprintable()) or "x") for p, q, t in places]
    sites = tuple(Site(KmeId(f"s{i}"), title, p, q) for i, (p, q, title) in enumerate(kept))
    spans = tuple(Span(SpanId(f"f{i}"), (a.kme, b.kme), 30.0, 0.2) for i, (a, b) in enumerate(pairwise(sites)))
    links = tuple(QuantumLink(LinkId(s.span), s.ends, (s.span,), "d") for s in spans)
    boxes = label_boxes(drawn(City("c", sites, spans, links)))
    assert not [(a, b) for a, b in combinations(boxes, 2) if a.overlap(b) > 0.0]


def test_hostile_titles_stay_text() -> None:
    hostile = '<script>alert("1")</script>&'
    site = replace(MILAN.sites[0], title=hostile, note=hostile)
    text = city_map(replace(MILAN, name=hostile, sites=(site, *MILAN.sites[1:])), site_href="/sites/{}")
    assert "<script" not in text
    assert hostile in {e.text for e in classes(ElementTree.fromstring(text), "name")}


def test_page_needs_no_inline_style_or_script() -> None:
    text = city_map(MILAN, site_href="/sites/{}", link_href="/links/{}")
    assert not re.search(r"style=|<style|<script|\bon\w+=|url\(", text)
    assert MAP_CSS in city_map(MILAN, is_standalone=True)
    assert 'href="/sites/leonardo"' in text and 'href="/links/aria-leonardo"' in text


def test_every_class_that_is_drawn_has_its_look() -> None:
    root = drawn(MILAN, marks={MILAN.links[0].link: LinkMark("dark", 0.9, "0")}, candidates=MILAN.spans[:0])
    looks = {
        "city-map",
        "fibres",
        "links",
        "sites",
        "site",
        "link",
        "span",
        "notes",
        "legend",
        "scale",
        "north",
        "circle",
    }
    used = {name for e in root.iter() for name in (e.get("class") or "").split()}
    plain = {n for n in used if not n.startswith(("note-", "site-up", "state-plan"))}
    assert {n for n in plain - looks if f".{n}" not in MAP_CSS} == set()


def view(state: LightState, *, is_fresh: bool = True, is_up: bool = True, used: float = 5e5) -> CityView:
    links = tuple(
        LinkView(link.link, state, is_fresh, 0.1, 1e6, 0.01, 0.01, 4.0, 4.0, 1e-10, 7, "", 1000, used)
        for link in MILAN.links
    )
    sites = tuple(SiteView(s.kme, is_up, False, 0.1, "1", 1, 0, 0, 0, 4, 4) for s in MILAN.sites)
    return CityView(MILAN, "c", 1, 0.0, True, sites, links, (), (), (), ())


def test_view_is_drawn_by_its_state_and_load() -> None:
    link = classes(drawn(view(LightState.LIT)), "link")[0]
    assert {"state-lit", "load-2"} <= set((link.get("class") or "").split())
    assert classes(link, "figure")[0].text == "1 Mbit/s"
    link = classes(drawn(view(LightState.DARK)), "link")[0]
    assert "state-dark" in (link.get("class") or "") and not classes(link, "figure")[0].text
    link = classes(drawn(view(LightState.LIT, is_fresh=False)), "link")[0]
    assert "state-silent" in (link.get("class") or "")
    assert len(classes(drawn(view(LightState.LIT, is_up=False)), "site-down")) == 5


def test_load_is_told_by_four_strokes() -> None:
    assert [stroke_of_load(x) for x in (None, 0.0, 0.3, 0.6, 0.99, 7.0)] == [
        "load-1", "load-0", "load-1", "load-2", "load-3", "load-3",
    ]  # fmt: skip


def test_fibres_side_by_side_and_around_other_sites() -> None:
    """Leonardo to Bovisa would run through ARIA; a second fibre beside it would hide the first."""
    twin = replace(MILAN.spans[0], span=SpanId("twin"))
    root = drawn(replace(MILAN, spans=(*MILAN.spans, twin)))
    at = dots(root)["aria"]
    ways = {}
    for group in classes(root, "span"):
        path = group.find(f"{SVG}path")
        assert path is not None
        points = [tuple(map(float, p.split())) for p in (path.get("d") or "").lstrip("M").split("L")]
        ways[group.get("data-span")] = points
    for name in ("leonardo-bovisa", "twin"):
        assert min(math.dist(at, p) for p in ways[name]) > 15.0
    assert ways["twin"] != ways["leonardo-bovisa"]


def test_a_bypass_keeps_beside_the_site_that_it_passes() -> None:
    through = QuantumLink(LinkId("x"), (KmeId("leonardo"), KmeId("intesa")), (SpanId("aria-leonardo"), SpanId("intesa-aria")), "d")  # fmt: skip  # noqa: E501  # one line is clearer
    root = drawn(replace(MILAN, links=(through,)))
    (group,) = classes(root, "link")
    assert "bypass" in (group.get("class") or "").split()
    title = group.find(f"{SVG}title")
    assert title is not None and "passes aria as light" in (title.text or "")


def test_both_languages_say_everything() -> None:
    english, italian = WORDS[Language.ENGLISH], WORDS[Language.ITALIAN]
    assert english.keys() == italian.keys()
    for name, text in english.items():
        assert re.findall(r"{\w+}", text) == re.findall(r"{\w+}", italian[name])
    assert "nodo fidato" in city_map(MILAN, language=Language.ITALIAN)


def test_rates_are_short() -> None:
    assert [rate_text(r) for r in (None, 0.0, 12.0, 999.9, 1500.0, 2.5e6, 999_960.0, 3e9)] == [
        "", "0", "12 bit/s", "1 kbit/s", "1.5 kbit/s", "2.5 Mbit/s", "1 Mbit/s", "3 Gbit/s",
    ]  # fmt: skip


def test_geometry() -> None:
    (x, y), radius = enclosing_circle([(0.0, 0.0), (4.0, 0.0), (2.0, 1.0), (0.0, 3.0)])
    assert (x, y, radius) == (
        pytest.approx(2.0, abs=0.01),
        pytest.approx(1.5, abs=0.01),
        pytest.approx(2.5, abs=0.01),
    )
    assert [nice_length(v) for v in (0.7, 1.0, 4.9, 5.1, 99.0)] == [0.5, 1.0, 2.0, 5.0, 50.0]
    assert Box(0, 0, 4, 2).crossed((-5, 0), (5, 0)) == pytest.approx(4.0)
    assert Box(0, 0, 4, 2).crossed((-5, 3), (5, 3)) == 0.0


def test_a_large_city_is_drawn_without_names() -> None:
    sites = tuple(
        Site(KmeId(f"s{i}"), f"S{i}", 45.40 + 0.01 * (i % 15), 9.1 + 0.01 * (i // 15)) for i in range(200)
    )
    spans = tuple(Span(SpanId(f"f{i}"), (a.kme, b.kme), 9.0, 0.2) for i, (a, b) in enumerate(pairwise(sites)))  # fmt: skip  # noqa: E501  # one line is clearer
    root = drawn(
        City("large", sites, spans, tuple(QuantumLink(LinkId(s.span), s.ends, (s.span,), "d") for s in spans))
    )
    assert len(classes(root, "site")) == 200
    assert not classes(root, "name")
