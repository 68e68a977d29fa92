"""Nothing of one tenant reaches another by a laboratory's pages: by address, search, count, error or calendar."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from fake_pages_desk import FakePagesDesk
from lab_pages_rig import NOW, LabRig, lab_rig

from poliqi.apps.stream.terms import Policy
from poliqi.base.ids import SaeId
from poliqi.lab.facility.facility import Facility
from poliqi.lab.facility.records import Role as FacilityRole
from poliqi.ops.lab_web import ROWS
from poliqi.ops.web import Role
from poliqi.ops.web.roles import MAY, Permission

FOREIGN = {
    "carla": ("of polimi", "of beta", "spheres", "resin", "luca", "dario", "Beta S.r.l."),
    "dario": ("of polimi", "of acme", "spheres", "secret alloy", "luca", "carla", "ACME"),
    "luca": ("of acme", "of beta", "secret alloy", "resin", "carla", "dario", "ACME", "Beta S.r.l."),
}
TENANT = {"carla": "acme", "dario": "beta", "luca": "polimi", "anna": "polimi"}
NOWHERE = "a" * 26


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabRig]:
    made = lab_rig(tmp_path_factory.mktemp("lab"), here="anna")
    yield made
    made.close()


def walked(rig: LabRig, who: str) -> dict[str, httpx.Response]:
    """Every page, object, file and picture that can be reached from the first page by links."""
    waiting, found = ["/lab", "/api/lab/datasets", "/api/lab/bookings", "/api/lab/instruments"], {}
    waiting += [f"/lab/instruments/saxs?week=2026-W{week}" for week in (38, 39, 40)]
    for path in waiting:
        if path in found or len(found) > 300:
            continue
        answer = found[path] = rig.ask(path, who=who)
        links = (
            re.findall(r'(?:href|src)="([^"]+)"', answer.text) if "html" in answer.headers["content-type"] else []
        )
        for link in map(unescape, links):
            parts = urlsplit(link)
            if not parts.scheme and (parts.path.startswith(("/lab", "/api/lab")) or link.startswith("?")):
                target = link.split("#")[0]
                week = re.search(r"week=2026-W(\d\d)", target)
                if week is None or 37 < int(week[1]) < 41:
                    waiting.append(path.split("?")[0] + target if target.startswith("?") else target)
    return found


@pytest.mark.parametrize("who", sorted(FOREIGN))
def test_no_page_that_can_be_reached_holds_a_word_of_another_tenant(rig: LabRig, who: str) -> None:
    others = [d.id for tenant, held in rig.datasets.items() if tenant != TENANT[who] for d in held]
    pages = walked(rig, who)
    assert len(pages) > 20
    for path, answer in pages.items():
        assert answer.status_code == 200, path
        wrong = [word for word in (*FOREIGN[who], *others) if word in answer.text]
        assert not wrong, (path, wrong)


def test_the_own_words_are_there(rig: LabRig) -> None:
    """What the test above looks for would be found."""
    text = "".join(answer.text for answer in walked(rig, "carla").values())
    for word in ("of acme", "secret alloy", "taken", rig.datasets["acme"][0].id):
        assert word in text, word


def foreign_names(rig: LabRig, who: str) -> dict[str, list[str]]:
    """What another tenant's things are called, by the name in the address."""
    other = "beta" if TENANT[who] != "beta" else "acme"
    facility = rig.room.facility
    assert isinstance(facility, Facility)
    booked = facility.bookings.between(0, NOW + 10**8, facility.user("anna"))
    bookings = [b.id for b in booked if b.tenant == other]
    quote = facility.quote(
        "saxs", NOW + 86_400 * 3, NOW + 86_400 * 3 + 3600, by=facility.user("dario" if other == "beta" else "carla")
    )
    assert bookings
    return {
        "dataset": [d.id for d in rig.datasets[other]],
        "number": ["0", "1", "2"],
        "booking": bookings,
        "quote": [quote.id],
        "transfer": list(rig.desk.told),
        "invoice": [f"PF-{other}-2026-0001"],
        "action": [NOWHERE],
    }


@pytest.mark.parametrize("who", ["carla", "luca"])
def test_what_is_anothers_answers_as_what_is_not_there(rig: LabRig, who: str) -> None:
    """Every route with a name in its address: status, headers and words are the same for a guess and a hit."""
    sent_by_other = rig.room.sendings
    other = rig.room.tenant("beta")
    guest = rig.room.guest(rig.pages.people.recognise("http", None, "", rig.tokens["dario"]))
    assert guest is not None
    assert guest.store is other
    rig.desk.now = FakePagesDesk().now
    dataset = other.dataset(rig.datasets["beta"][0].id)
    sent_by_other.begin(guest, dataset, rig.desk.now.neighbours[0], False)
    names = foreign_names(rig, who)
    checked = 0
    for method, path, kind, _, _, _ in ROWS:
        places = [place for place in re.findall(r"{(\w+)}", path) if place != "instrument"]
        if not places:
            continue
        for hit in names[places[0]]:
            for guess in (NOWHERE, "x", "%00"):
                answers = [ask_as_meant(rig, method, path, kind, who, name) for name in (hit, guess)]
                assert [answer.status_code for answer in answers] == [404, 404], (path, hit)
                bodies = [a.text.replace(hit, "").replace(guess, "") for a in answers]
                assert bodies[0].replace(quoted(hit), "") == bodies[1].replace(quoted(guess), ""), path
            checked += 1
    assert checked > 15


def quoted(name: str) -> str:
    return name.replace("%", "%25")


def ask_as_meant(rig: LabRig, method: str, path: str, kind: str, who: str, name: str) -> httpx.Response:
    place = re.sub(r"{(number)}", "0", path)
    place = re.sub(r"{(action)}", NOWHERE, place)
    place = re.sub(r"{\w+}", name, place, count=1)
    if method == "GET":
        return rig.ask(place, who=who)
    if kind == "json":
        return rig.ask(place, "POST", who=who, json={"peer": "hospital"})
    form = {"token": token_of(rig, who), "peer": "hospital", "go": "1"}
    return rig.ask(place, "POST", who=who, data=form)


TOKENS: dict[tuple[int, str], str] = {}


def token_of(rig: LabRig, who: str) -> str:
    key = id(rig), who
    if key not in TOKENS:
        TOKENS[key] = rig.form_token("/lab/instruments/saxs", who)
    return TOKENS[key]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[LabRig]:
    """A house that serves both companies, under names of their own, and one more that it sends to by itself."""
    rig = lab_rig(tmp_path, forward={"acme-files": "acme", "Beta's works": "beta"})
    plain = FakePagesDesk().now.neighbours
    more = [
        replace(plain[0], sae=SaeId(name), place=place, policy=Policy.PQC)
        for name, place in (("acme-files", "Acme"), ("b2", "Beta's Works"), ("gamma", "Gamma"))
    ]
    rig.desk.now = replace(rig.desk.now, neighbours=(*plain, *more))
    yield rig
    rig.close()


@pytest.mark.parametrize(
    ("who", "own"), [("carla", {"acme-files"}), ("dario", {"b2"}), ("anna", {"acme-files", "b2", "gamma"})]
)
def test_a_company_is_not_told_of_other_companies(served: LabRig, who: str, own: set[str]) -> None:
    """Neither in the list, nor by asking for one by its name."""
    named = {"acme-files": "Acme", "b2": "Beta&#39;s Works", "gamma": "Gamma"}
    dataset = served.datasets[TENANT[who]][0].id
    page = served.ask(f"/lab/datasets/{dataset}", who=who).text
    form = {"token": served.form_token(f"/lab/datasets/{dataset}", who)}
    assert 'value="hospital"' in page
    for peer, place in named.items():
        assert ((f'value="{peer}"' in page), (place in page)) == (peer in own, peer in own), peer
        answers = [
            served.ask(f"/lab/datasets/{dataset}/send", "POST", who=who, data={**form, "peer": peer}),
            served.ask(f"/api/lab/datasets/{dataset}/estimate?peer={peer}", who=who),
            served.ask(f"/api/lab/datasets/{dataset}/send", "POST", who=who, json={"peer": peer}),
        ]
        assert [answer.status_code == 404 for answer in answers] == [peer not in own] * 3, peer


def test_search_and_count_see_the_own_tenant_alone(rig: LabRig) -> None:
    for word in ("polimi", "beta", "secret of beta", "alloy of polimi"):
        assert rig.ask(f"/api/lab/datasets?q={word}", who="carla").json()["count"] == 0, word
    assert rig.ask("/api/lab/datasets", who="carla").json()["count"] == 2
    sample = rig.datasets["beta"][0].sample
    assert rig.ask(f"/api/lab/datasets?sample={sample}", who="carla").json()["count"] == 0


def test_others_time_is_taken_and_nothing_more(rig: LabRig) -> None:
    found = rig.ask("/api/lab/instruments/saxs?week=2026-W39", who="carla").json()["slots"]
    busy = [slot for slot in found if slot["state"] == "busy"]
    assert len(busy) == 2
    assert all(slot["booking"] is None and not slot["who"] and not slot["title"] for slot in busy)
    own = [slot for slot in found if slot["state"] == "booked"]
    assert [slot["title"] for slot in own] == ["secret alloy"]


# ---- what else stands under this roof


def test_people_of_a_company_see_nothing_of_the_application(rig: LabRig) -> None:
    """Dario's token says operator, which at the house would be allowed to send, open, and read all receipts."""
    for path in ("/", "/inbox", "/inbox/a1", "/inbox/a1/files/0", "/receipts", "/receipts/r1",
                 "/status", "/transfers/t1", "/api/transfers", "/api/receipts", "/api/receipts/r1",
                 "/api/inbox", "/api/status", "/live?at=/", "/lab/report",
                 "/lab/report.csv", "/access", "/api/access"):  # fmt: skip
        for who in ("dario", "carla"):
            answer = rig.ask(path, who=who)
            assert answer.status_code == (303 if path == "/" else 403), (who, path)
            assert "ct-thorax" not in answer.text
    assert rig.ask("/", who="carla").headers["location"] == "/lab"
    assert rig.ask("/api/uploads", "POST", who="dario", json={"name": "a", "size": 1}).status_code == 403


def test_what_a_company_sent_is_not_on_the_application_s_own_pages(rig: LabRig) -> None:
    own, theirs = rig.datasets["polimi"][0].id, rig.datasets["acme"][0].id
    assert rig.room.is_foreign(f"dataset-{theirs}")
    assert rig.room.is_foreign(f"dataset-{NOWHERE}")
    assert not rig.room.is_foreign(f"dataset-{own}")
    assert not rig.room.is_foreign("ct-thorax.dcm")


def test_the_tabs_are_those_that_may_be_opened(rig: LabRig) -> None:
    for who in ("anna", "carla", "dario"):
        text = rig.ask("/lab", who=who).text
        head = text[text.index("<nav") : text.index("</nav>")]
        tabs = re.findall(r'<a href="([^"]+)"', head)
        assert tabs == (["/", "/inbox", "/receipts", "/status", "/lab"] if who == "anna" else ["/lab"]), who


def test_who_belongs_to_nobody_sees_nothing(rig: LabRig) -> None:
    answer = rig.ask("/lab", who="nobody")
    assert answer.status_code == 403
    assert "You belong to no tenant here" in answer.text
    assert rig.ask("/api/lab/datasets", who="nobody").status_code == 403
    assert "polimi" not in answer.text


def test_who_has_left_sees_nothing_at_once(tmp_path: Path) -> None:
    rig = lab_rig(tmp_path)
    with Facility.open(rig.store.root, now_s=lambda: NOW) as facility:
        for login in ("carla", "luca"):
            assert rig.ask("/lab", who=login).status_code == 200
            facility.people.close_user(login, by=facility.user("anna"))
            assert rig.ask("/lab", who=login).status_code == 403
    rig.close()


def test_who_has_left_the_house_is_outside_of_the_application_too(tmp_path: Path) -> None:
    """Anna's token is good, and she is of the house; the facility says that she has left."""
    rig = lab_rig(tmp_path)
    with Facility.open(rig.store.root, now_s=lambda: NOW) as facility:
        facility.people.add_user("otto", "Otto", "polimi", FacilityRole.OPERATOR, by=facility.user("anna"))
        assert rig.ask("/inbox", who="anna").status_code == 200
        facility.people.close_user("anna", by=facility.user("otto"))
        assert rig.ask("/inbox", who="anna").status_code == 403
    rig.close()


def test_an_operator_at_a_door_without_books_sees_none(rig: LabRig) -> None:
    """Anna runs the facility; whoever sits at this machine as her has a role that may open no books."""
    settings = rig.pages.settings
    try:
        for role in (Role.OPERATOR, Role.LAB_USER):
            rig.pages.change(type(settings)(open_role=role, tokens=settings.tokens))
            has_books = Permission.LAB_BOOKS in MAY[role]
            assert has_books is (role is Role.OPERATOR)
            assert ('href="/lab/report"' in rig.ask("/lab").text) is has_books
    finally:
        rig.pages.change(settings)


@pytest.mark.parametrize("role", [None, *Role])
def test_every_route_lets_in_whom_it_should(rig: LabRig, role: Role | None) -> None:
    """Whoever sits at the machine, with each role; anna is who they are at the facility."""
    settings = rig.pages.settings
    rig.pages.change(type(settings)(open_role=role, tokens=settings.tokens))
    try:
        for method, path, kind, permission, _, _ in ROWS:
            place = re.sub(r"{number}", "0", path).replace("{instrument}", "saxs")
            place = re.sub(r"{\w+}", rig.datasets["polimi"][0].id, place)
            media = {"json": "application/json"}.get(kind, "text/plain")
            status = rig.ask(place, method, headers={"content-type": media}, content=b"{}").status_code
            if role is None:
                assert status == (303 if kind == "page" else 401), path
            elif permission not in MAY[role] or kind == "form":
                assert status == 403, (path, status)
            else:
                assert status in (200, 400, 404), (path, status)
    finally:
        rig.pages.change(settings)
