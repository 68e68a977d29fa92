"""What pages say: in both languages, of every state, without anything from outside, whatever things are called."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from dashboard_rig import Rig, fill, parsed
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.citymodel import LiveCity, milan
from poliqi.control.events import CityEvent, CityEventKind, Language
from poliqi.control.view import CityView
from poliqi.ops.web import Action, ActionKind, DashboardSettings, Role
from poliqi.ops.web.pages import PAGES


def showing(rig: Rig, **changes: Any) -> None:
    """Have the city look otherwise."""
    base = rig.city.view()
    rig.city.view = lambda: replace(base, **changes)  # type: ignore[method-assign]


def act(rig: Rig, kind: ActionKind, subject: str) -> None:
    asyncio.run(rig.city.act(Action(kind, subject, "anna")))


@pytest.fixture
def rig() -> Rig:
    rig = Rig(DashboardSettings(open_role=Role.OPERATOR, is_demo=True))
    act(rig, ActionKind.CUT, "leonardo-bovisa")
    return rig


@pytest.mark.parametrize("language", list(Language))
@pytest.mark.parametrize("path", [p.path for p in PAGES])
def test_every_page_is_there_in_every_language(rig: Rig, path: str, language: Language) -> None:
    answer = rig.ask(fill(path), headers={"accept-language": language})
    assert answer.status_code == 200
    page = parsed(answer.text)
    assert page.all("html") == [{"lang": language}]
    assert len(page.all("h1")) == 1
    assert ("Simulated light." if language is Language.ENGLISH else "Luce simulata.") in page.text


@pytest.mark.parametrize("path", [p.path for p in PAGES])
def test_pages_take_everything_from_here_and_nothing_inline(rig: Rig, path: str) -> None:
    answer = rig.ask(fill(path))
    page = parsed(answer.text)
    links = [a.get(name) for _, a in page.tags for name in ("href", "src", "action") if name in a]
    assert links
    assert all(link.startswith(("/", "#")) and not link.startswith("//") for link in links)
    assert not [a for _, a in page.tags if any(name == "style" or name.startswith("on") for name in a)]
    assert not page.all("style")
    assert all("src" in a for a in page.all("script"))
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy


def test_the_overview_says_three_numbers(rig: Rig) -> None:
    showing(
        rig,
        sites=tuple(replace(s, is_up=s.kme != "aria") for s in rig.city.view().sites),
        links=tuple(replace(k, key_rate_bps=41_234.0) for k in rig.city.view().links),
    )
    text = parsed(rig.ask("/").text).text
    assert "Sites up 4 /5" in text
    assert "Key rate 165 kbit/s" in text  # four of five make 41,234 bit/s, one is cut
    assert "Key left 3.4 h" in text


def test_numbers_are_written_as_the_language_does(rig: Rig) -> None:
    text = parsed(rig.ask("/", headers={"accept-language": "it-IT,it;q=0.9,en;q=0.5"}).text).text
    assert "Scorta di chiave 3,4 h" in text


def test_an_open_alarm_stands_on_the_overview_with_cause_and_next_step(rig: Rig) -> None:
    english, italian = (parsed(rig.ask("/", headers={"accept-language": x}).text).text for x in ("en", "it"))
    assert "Fibre leonardo-bovisa is cut" in english
    assert "OTDR" in english
    assert "La fibra leonardo-bovisa è interrotta" in italian


def test_without_alarms_all_is_well() -> None:
    assert "All is well" in Rig().ask("/").text


def test_a_site_that_is_away_is_not_well() -> None:
    rig = Rig()
    showing(rig, sites=tuple(replace(s, is_up=s.kme != "aria") for s in rig.city.view().sites))
    text = rig.ask("/").text
    assert "All is well" not in text
    assert "not everything is as it should be" in text


def test_a_controller_that_is_not_in_charge_says_so() -> None:
    rig = Rig()
    showing(rig, is_in_charge=False)
    assert "not in charge" in rig.ask("/").text


def test_real_light_has_no_banner() -> None:
    rig = Rig()
    showing(rig, city=replace(milan(), is_simulated=False))
    assert "Simulated" not in rig.ask("/links").text


def test_a_taken_alarm_names_who_has_it_and_offers_no_button(rig: Rig) -> None:
    assert "/confirm/acknowledge/1" in rig.ask("/alarms").text
    act(rig, ActionKind.ACKNOWLEDGE, "1")
    text = rig.ask("/alarms").text
    assert "taken by anna" in text
    assert "/confirm/acknowledge/1" not in text


def test_an_alarm_that_is_over_keeps_its_page(rig: Rig) -> None:
    act(rig, ActionKind.MEND, "leonardo-bovisa")
    page = parsed(rig.ask("/alarms/1").text)
    assert "over at" in page.text
    assert "leonardo-bovisa: no light arrives" in page.text


def test_events_carry_the_alarm_that_explains_them(rig: Rig) -> None:
    page = parsed(rig.ask("/events?severity=error").text)
    assert [a["href"] for a in page.all("a") if a["href"].startswith("/alarms/")] == ["/alarms/1"]


@pytest.mark.parametrize(
    ("query", "shown"), [("severity=error", 1), ("severity=critical", 0), ("q=aria+reports", 1), ("q=nothing", 0)]
)
def test_events_are_filtered(rig: Rig, query: str, shown: int) -> None:
    assert len(parsed(rig.ask(f"/events?{query}").text).all("time")) == shown


@pytest.mark.parametrize(
    ("path", "query", "rows"),
    [
        ("/links", "polimi", 3),
        ("/links", "no light", 1),
        ("/sites", "aria", 1),
        ("/keys", "aria", 4),
        ("/demands", "bovisa aria", 1),
    ],
)
def test_tables_are_searched(rig: Rig, path: str, query: str, rows: int) -> None:
    page = parsed(rig.ask(path, params={"q": query}).text)
    assert len(page.all("th", lambda a: a.get("scope") == "row")) == rows


@pytest.mark.parametrize(
    "path", ["/links/x", "/sites/x", "/alarms/7", "/alarms/x", "/nowhere", "/api/links/x", "/static/a/b"]
)
def test_what_is_not_there_is_said_so(rig: Rig, path: str) -> None:
    assert rig.ask(path).status_code == 404


def test_a_demand_says_its_way(rig: Rig) -> None:
    text = parsed(rig.ask("/demands?q=leonardo-bovisa").text).text
    assert "Polimi Leonardo → ARIA → Intesa Sanpaolo → Caserma Santa Barbara → Polimi Bovisa" in text


def test_only_a_demo_has_buttons_that_touch_fibres(rig: Rig) -> None:
    real = Rig(DashboardSettings(open_role=Role.OPERATOR))
    for path in ("/", "/links/leonardo-bovisa"):
        assert "/confirm/mend/" in rig.ask(path).text
        assert "/confirm/cut" not in real.ask(path).text
        assert "/confirm/mend" not in real.ask(path).text
    assert real.ask("/confirm/cut/leonardo-bovisa").status_code == 404
    assert real.ask("/api/act/cut", "POST", json={"subject": "leonardo-bovisa"}).status_code == 404
    assert real.city.asked == []


@pytest.mark.parametrize("language", list(Language))
@pytest.mark.parametrize("kind", list(ActionKind))
def test_a_question_stands_before_every_action(rig: Rig, kind: ActionKind, language: Language) -> None:
    subject = {ActionKind.ACKNOWLEDGE: "1", ActionKind.DRAIN: "aria", ActionKind.UNDRAIN: "aria"}.get(
        kind, "aria-leonardo"
    )
    before = list(rig.city.asked)
    page = parsed(rig.ask(f"/confirm/{kind}/{subject}", headers={"accept-language": language}).text)
    assert page.all("form", lambda a: a.get("action") == f"/act/{kind}")
    assert page.all("input", lambda a: a.get("name") == "subject" and a.get("value") == subject)
    assert rig.city.asked == before


def test_the_language_is_kept_by_a_cookie(rig: Rig) -> None:
    chosen = rig.ask("/language/it?back=/links%3Fq%3Da")
    assert (chosen.status_code, chosen.headers["location"]) == (303, "/links?q=a")
    text = rig.ask("/links", cookies=dict(chosen.cookies), headers={"accept-language": "en"}).text
    assert "Collegamenti" in text


@pytest.mark.parametrize(
    "back", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:x", "x" * 9999]
)
def test_nobody_is_sent_elsewhere(rig: Rig, back: str) -> None:
    assert rig.ask("/language/it", params={"back": back}).headers["location"] == "/"


HOSTILE = st.text(
    st.sampled_from("<>\"'&;/=`{}%\\ \u2028\u202e\x00\x1fabcscriptimgonerror"), min_size=1, max_size=40
)


@settings(max_examples=12, deadline=None)
@given(title=HOSTILE, note=HOSTILE, reason=HOSTILE, software=HOSTILE, what=HOSTILE, cause=HOSTILE)
def test_no_name_becomes_markup(title: str, note: str, reason: str, software: str, what: str, cause: str) -> None:
    rig = Rig(DashboardSettings(open_role=Role.OPERATOR, is_demo=True))
    act(rig, ActionKind.CUT, "leonardo-bovisa")
    plain = {
        path: shape(rig, path) for path in ("/", "/sites/aria", "/links/leonardo-bovisa", "/events", "/alarms")
    }
    view = rig.city.view()
    city = view.city
    named = replace(
        city, name=title, sites=tuple(replace(s, title=title, note=s.note and note) for s in city.sites)
    )
    event = CityEvent(CityEventKind.SITE_NOTICE, 1.0, site=city.sites[0].kme, values={"what": what})
    showing(
        rig,
        city=named,
        links=tuple(replace(k, reason=k.reason and reason) for k in view.links),
        sites=tuple(replace(s, software=software) for s in view.sites),
        events=tuple(
            replace(event, at=e.at) if e.kind is CityEventKind.CONTROLLER_STARTED else e for e in view.events
        ),
        alarms=tuple(replace(a, cause=cause) for a in view.alarms),
        controller=title,
    )
    for path, before in plain.items():
        assert shape(rig, path) == before, path


def shape(rig: Rig, path: str) -> list[tuple[str, list[str]]]:
    """A page's elements and the names of their attributes: what no text may change. A map's own parts aside."""
    page = parsed(rig.ask(path).text)
    return [
        (tag, sorted(attrs))
        for tag, attrs in page.tags
        if tag not in ("circle", "path", "text", "rect", "g", "title")
    ]


def test_pages_hold_nothing_that_looks_like_a_key(rig: Rig) -> None:
    """Whatever a key might look like (long hexadecimal, long base64), a page has only its form's token of that."""
    import re

    for page in PAGES:
        text = rig.ask(fill(page.path)).text
        assert not re.findall(r"[0-9a-fA-F]{32,}|[A-Za-z0-9+/]{43}=", text), page.path


def test_a_history_of_gaps_is_drawn() -> None:
    rig = Rig()
    view: CityView = rig.city.view()
    empty = tuple(
        replace(s, key_rate_bps=None, qber_key=None, qber_test=None, loss_db=None) for s in view.links[0].history
    )
    showing(rig, links=(replace(view.links[0], history=empty), replace(view.links[1], history=()), *view.links[2:]))
    for link in view.links[:2]:
        text = rig.ask(f"/links/{link.link}").text
        assert "Nothing measured yet." in text


def test_the_model_city_is_the_ring() -> None:
    city = LiveCity().city
    assert [s.ends for s in city.spans] == [k.ends for k in city.links]


def test_the_overview_names_the_demands_that_get_less_than_they_want() -> None:
    rig = Rig()
    view = rig.city.view()
    assert parsed(rig.ask("/").text).text.count("get less than they want") == 0
    none, half, *rest = view.demands
    short = (replace(half, granted_bps=0.5 * half.wanted_bps), replace(none, granted_bps=0.0), *rest)
    rig.city.view = lambda: replace(view, demands=short)  # type: ignore[method-assign]
    page = rig.ask("/").text
    text = parsed(page[page.index('id="live-short"') : page.index('id="live-numbers"')]).text.replace("\u00a0", " ")
    assert text.index(f"{none.name} not met 0 bit/s of ") < text.index(f"{half.name} in part ")
    assert text.count(" of ") == 2
    italian = parsed(rig.ask("/", headers={"accept-language": "it"}).text).text
    assert "Richieste che ottengono meno di quanto chiedono" in italian


def test_desks_of_places_are_linked_where_they_are_set() -> None:
    assert 'href="/send"' not in Rig().ask("/").text
    desks = {"Leonardo": "https://desk.leonardo.example/", '"><b>': "http://127.0.0.1:8471/"}
    rig = Rig(DashboardSettings(open_role=Role.VIEWER, desks=desks))
    assert 'href="/send"' in rig.ask("/").text
    page = parsed(rig.ask("/send").text)
    assert [a["href"] for a in page.all("a") if a["href"] in desks.values()] == list(desks.values())
    assert not page.all("b")
    assert not page.all("form", lambda a: "enctype" in a)


def test_laboratories_of_places_are_linked_beside_them() -> None:
    labs = {"Leonardo": "https://desk.leonardo.example/lab"}
    rig = Rig(DashboardSettings(open_role=Role.VIEWER, laboratories=labs))
    assert 'href="/send"' in rig.ask("/").text
    text = rig.ask("/send").text
    assert 'href="https://desk.leonardo.example/lab"' in text
    assert "Laboratories" in text
