"""Who may do what: every route with every role, logins, forms of other sites, names of other machines."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from dashboard_rig import Rig, certificate_of, fill, form_token, token_for

from bench.citymodel import sample_month
from poliqi.base.errors import ConfigError
from poliqi.edge.identity import CallerKind
from poliqi.ops.web import Action, ActionKind, DashboardSettings, Role, new_token, read_tokens
from poliqi.ops.web.roles import MAY, Permission
from poliqi.ops.web.route import Kind, RouteRow
from poliqi.ops.web.routes import routes

DEMO = DashboardSettings(is_demo=True)
ROUTES = routes(is_demo=True)
SUBJECTS = {"drain": "aria", "undrain": "aria", "acknowledge": "1"}
EVERYBODY = {("GET", p) for p in ("/login", "/language/{language}", "/static/{version}/{name}", "/health")} | {
    ("POST", "/login")
}


def expected(row: RouteRow, role: Role | None) -> bool:
    """Who should pass, told without looking at the table under test."""
    if (row.method, row.path) in EVERYBODY:
        return True
    if role is None:
        return False
    if row.path == "/logout":
        return True
    if role is Role.LAB_USER:
        return False
    if "access" in row.path:
        return role is Role.SECURITY_OFFICER
    if "acknowledge" in row.path:
        return role is not Role.VIEWER
    if any(word in row.path for word in ("drain", "cut", "mend", "listen")):
        return role is Role.OPERATOR
    return True


def go(rig: Rig, row: RouteRow) -> int:
    """Ask for a route as a browser of this visit would, its form's token included."""
    action = next((word for word in row.path.split("/") if word in set(ActionKind)), "")
    subject = SUBJECTS.get(action, "leonardo-bovisa")
    path = fill(row.path, subject)
    if row.path == "/live":
        rig.dashboard.change(replace(rig.dashboard.settings, viewers=0))
    if row.method == "GET":
        return rig.ask(path).status_code
    if row.kind is Kind.JSON:
        return rig.ask(path, "POST", json={"subject": subject}).status_code
    who = rig.dashboard.people.recognise(rig.scheme, rig.caller, "", "")
    token = "" if who is None else rig.dashboard.people.form_token(who)
    return rig.ask(path, "POST", data={"token": token, "subject": subject, "session": "x"}).status_code


@pytest.mark.parametrize("role", [*Role, None])
@pytest.mark.parametrize("row", ROUTES, ids=lambda r: f"{r.method} {r.path}")
def test_every_route_lets_in_whom_it_should(row: RouteRow, role: Role | None) -> None:
    rig = Rig(replace(DEMO, open_role=role, viewers=0))
    asyncio.run(rig.city.act(Action(ActionKind.CUT, "leonardo-bovisa", "x")))
    rig.city.months[2026, 9] = sample_month(rig.city.city, 2026, 9)
    before = list(rig.city.asked)
    status = go(rig, row)
    passed = expected(row, role)
    if passed:
        assert status in (
            (503,) if row.path == "/live" else (200, 303, 403) if row.path == "/login" else (200, 303)
        )
    elif role is None and row.method == "GET" and row.kind is Kind.PAGE:
        assert status == 303
    else:
        assert status == (401 if role is None else 403)
    did_something = [a.kind for a in rig.city.asked[len(before) :]]
    is_action = row.method == "POST" and ("/act/" in row.path)
    assert bool(did_something) == (passed and is_action)


def test_no_route_is_there_twice() -> None:
    places = [(row.method, row.path) for row in ROUTES]
    assert len(set(places)) == len(places)


def test_only_the_security_officer_sees_who_was_there_and_cannot_touch_the_network() -> None:
    assert [role for role in Role if Permission.ACCESS in MAY[role]] == [Role.SECURITY_OFFICER]
    assert not MAY[Role.SECURITY_OFFICER] & {Permission.DRAIN, Permission.PLANT}


# ---- from elsewhere


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "10.0.0.1", "", "localhost:x", "[::1"])
def test_a_name_made_to_point_here_is_not_served(host: str) -> None:
    rig = Rig(replace(DEMO, open_role=Role.OPERATOR))
    assert rig.ask("/", headers={"host": host}).status_code == 421


@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1:9", "[::1]:80"])
def test_names_of_this_machine_are_served(host: str) -> None:
    assert Rig().ask("/", headers={"host": host}).status_code == 200


FOREIGN = [
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "none"},
    {"origin": "null"},
    {"origin": "http://evil.example"},
    {"origin": "https://localhost"},
    {"origin": "http://localhost:81"},
    {"origin": "http://[", "sec-fetch-site": "same-origin"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_forms_and_objects_of_other_sites_do_nothing(headers: dict[str, str]) -> None:
    rig = Rig(replace(DEMO, open_role=Role.OPERATOR))
    token = form_token(rig.ask("/confirm/cut/leonardo-bovisa").text)
    form = {"token": token, "subject": "leonardo-bovisa"}
    assert rig.ask("/act/cut", "POST", data=form, headers=headers).status_code == 403
    assert rig.ask("/api/act/cut", "POST", json={"subject": "leonardo-bovisa"}, headers=headers).status_code == 403
    assert rig.ask("/login", "POST", data={"secret": "x"}, headers=headers).status_code == 403
    assert rig.city.asked == []


@pytest.mark.parametrize("path", ["/", "/api/city", "/live?at=/"])
@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_pages_of_other_sites_load_nothing_of_ours_but_may_link_to_it(site: str, path: str) -> None:
    rig = Rig(replace(DEMO, open_role=Role.OPERATOR, viewers=0))
    headers = {"sec-fetch-site": site, "sec-fetch-mode": "no-cors"}
    assert rig.ask(path, headers=headers).status_code == 403
    headers["sec-fetch-mode"] = "navigate"
    assert rig.ask(path, headers=headers).status_code == (503 if "live" in path else 200)


@pytest.mark.parametrize("token", ["", "0" * 64, "é", "x"])
def test_a_form_without_our_token_does_nothing(token: str) -> None:
    rig = Rig(replace(DEMO, open_role=Role.OPERATOR))
    answer = rig.ask("/act/cut", "POST", data={"token": token, "subject": "leonardo-bovisa"})
    assert (answer.status_code, rig.city.asked) == (403, [])


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_an_object_that_a_form_could_send_does_nothing(kind: str) -> None:
    rig = Rig(replace(DEMO, open_role=Role.OPERATOR))
    answer = rig.ask(
        "/api/act/cut", "POST", content='{"subject": "leonardo-bovisa"}', headers={"content-type": kind}
    )
    assert (answer.status_code, rig.city.asked) == (403, [])


@pytest.mark.parametrize(
    "body", ["", "[]", "{}", '{"subject": 1}', '{"subject": "x", "more": 1}', "[" * 9999, "\xff"]
)
def test_an_object_that_says_nothing_is_refused(body: str) -> None:
    rig = Rig(replace(DEMO, open_role=Role.OPERATOR))
    headers = {"content-type": "application/json"}
    assert rig.ask("/api/act/cut", "POST", content=body, headers=headers).status_code == 400


def test_the_form_of_a_page_cuts_the_fibre_and_goes_back() -> None:
    rig = Rig(replace(DEMO, open_role=Role.OPERATOR))
    token = form_token(rig.ask("/confirm/cut/leonardo-bovisa").text)
    headers = {"origin": "http://localhost", "sec-fetch-site": "same-origin"}
    answer = rig.ask("/act/cut", "POST", data={"token": token, "subject": "leonardo-bovisa"}, headers=headers)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert rig.city.asked == [Action(ActionKind.CUT, "leonardo-bovisa", "operator")]


def test_what_the_city_refuses_is_told_and_not_lost() -> None:
    rig = Rig(replace(DEMO, open_role=Role.OPERATOR))
    rig.city.refuses = "the plant <is> gone"
    token = form_token(rig.ask("/confirm/cut/leonardo-bovisa").text)
    answer = rig.ask("/act/cut", "POST", data={"token": token, "subject": "leonardo-bovisa"})
    assert answer.status_code == 409
    assert "the plant &lt;is&gt; gone" in answer.text
    answer = rig.ask("/api/act/cut", "POST", json={"subject": "leonardo-bovisa"})
    assert (answer.status_code, answer.json()) == (409, {"message": "the plant <is> gone"})


@pytest.mark.parametrize("subject", ["", "nowhere", "x" * 5000])
def test_what_does_not_exist_is_not_asked_for(subject: str) -> None:
    rig = Rig(replace(DEMO, open_role=Role.OPERATOR))
    token = form_token(rig.ask("/confirm/cut/leonardo-bovisa").text)
    assert rig.ask("/act/cut", "POST", data={"token": token, "subject": subject}).status_code == 404
    assert rig.ask("/api/act/cut", "POST", json={"subject": subject}).status_code == 404
    assert rig.city.asked == []


# ---- logins


def https(settings: DashboardSettings) -> Rig:
    return Rig(settings, scheme="https")


def test_this_machines_role_is_not_given_to_others() -> None:
    answer = https(replace(DEMO, open_role=Role.OPERATOR)).ask("/links?q=a")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?back=%2Flinks%3Fq%3Da")


def test_who_is_not_logged_in_learns_nothing_of_the_city() -> None:
    for path in ("/login", "/nowhere", "/health", "/static/x/nothing"):
        text = https(DEMO).ask(path).text
        assert not [word for word in ("Milano", "Leonardo", "control-", "Simulated") if word in text]


def test_a_token_logs_in(tmp_path: Path) -> None:
    token = token_for("anna", Role.OPERATOR, tmp_path)
    rig = https(replace(DEMO, tokens=(token.entry,)))
    answer = rig.ask("/login", "POST", data={"secret": f" {token.text}\n", "back": "/links"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/links")
    cookie = answer.headers["set-cookie"]
    assert {"Secure", "HttpOnly", "SameSite=strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    cookies = dict(answer.cookies)
    assert "anna" in rig.ask("/", cookies=cookies).text
    form = form_token(rig.ask("/confirm/drain/aria", cookies=cookies).text)
    rig.ask("/act/drain", "POST", data={"token": form, "subject": "aria"}, cookies=cookies)
    assert rig.city.asked == [Action(ActionKind.DRAIN, "aria", "anna")]


def test_a_forms_token_of_one_visit_is_no_use_in_another(tmp_path: Path) -> None:
    anna, bruno = (token_for(name, Role.OPERATOR, tmp_path) for name in ("anna", "bruno"))
    rig = https(replace(DEMO, tokens=(anna.entry, bruno.entry)))
    annas, brunos = rig.log_in(anna.text), rig.log_in(bruno.text)
    form = form_token(rig.ask("/confirm/drain/aria", cookies=annas).text)
    answer = rig.ask("/act/drain", "POST", data={"token": form, "subject": "aria"}, cookies=brunos)
    assert (answer.status_code, rig.city.asked) == (403, [])


def test_scripts_carry_their_token_in_each_request(tmp_path: Path) -> None:
    token = token_for("script", Role.OPERATOR, tmp_path)
    rig = https(replace(DEMO, tokens=(token.entry,)))
    headers = {"authorization": f"Bearer {token.text}"}
    assert rig.ask("/api/city", headers=headers).json()["name"] == "Milano"
    assert rig.ask("/api/act/drain", "POST", json={"subject": "aria"}, headers=headers).status_code == 200
    assert rig.ask("/api/city", headers={"authorization": "Bearer poliqi_" + "A" * 43}).status_code == 401


@pytest.mark.parametrize("secret", ["", "password", "poliqi_", "poliqi_" + "A" * 43, "x" * 60_000])
def test_nobodys_token_logs_nobody_in(secret: str, tmp_path: Path) -> None:
    rig = https(replace(DEMO, tokens=(token_for("anna", Role.OPERATOR, tmp_path).entry,)))
    answer = rig.ask("/login", "POST", data={"secret": secret})
    assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)


def test_a_password_hashed_into_the_file_by_hand_logs_nobody_in(tmp_path: Path) -> None:
    import hashlib

    path = tmp_path / "tokens.toml"
    digest = hashlib.sha256(b"password").hexdigest()
    path.write_text(f'[[token]]\nname = "a"\nrole = "operator"\nsha256 = "{digest}"\n')
    rig = https(replace(DEMO, tokens=read_tokens(path)))
    assert rig.ask("/login", "POST", data={"secret": "password"}).status_code == 403


def test_guesses_are_slowed_down(tmp_path: Path) -> None:
    token = token_for("anna", Role.OPERATOR, tmp_path)
    rig = https(replace(DEMO, tokens=(token.entry,)))
    statuses = [rig.ask("/login", "POST", data={"secret": "x"}).status_code for _ in range(7)]
    assert statuses == [403] * 5 + [429] * 2
    assert rig.ask("/login", "POST", data={"secret": token.text}).status_code == 429
    rig.clock[0] += 10.0
    assert rig.log_in(token.text)


def test_a_session_ends_with_its_time_its_token_and_its_role(tmp_path: Path) -> None:
    token = token_for("anna", Role.OPERATOR, tmp_path)
    settings = replace(DEMO, tokens=(token.entry,), session_s=60.0)
    rig = https(settings)
    cookies = rig.log_in(token.text)
    rig.clock[0] += 59.0
    assert rig.ask("/", cookies=cookies).status_code == 200
    rig.clock[0] += 2.0
    assert rig.ask("/", cookies=cookies).status_code == 303
    for tokens in ((), (token_for("anna", Role.VIEWER, tmp_path).entry,)):
        rig.dashboard.change(settings)
        cookies = rig.log_in(token.text)
        rig.dashboard.change(replace(settings, tokens=tokens))
        assert rig.ask("/", cookies=cookies).status_code == 303


def test_a_token_that_was_replaced_ends_its_sessions(tmp_path: Path) -> None:
    """Also where the new one has the same name and role: whoever had the old one may have lost it."""
    old, new = (token_for("anna", Role.OPERATOR, tmp_path) for _ in range(2))
    rig = https(replace(DEMO, tokens=(old.entry,)))
    cookies = rig.log_in(old.text)
    assert rig.ask("/", cookies=cookies).status_code == 200
    rig.dashboard.change(replace(DEMO, tokens=(new.entry,)))
    assert rig.ask("/", cookies=cookies).status_code == 303
    assert rig.ask("/", cookies=rig.log_in(new.text)).status_code == 200


def test_logging_out_ends_the_session(tmp_path: Path) -> None:
    token = token_for("anna", Role.VIEWER, tmp_path)
    rig = https(replace(DEMO, tokens=(token.entry,)))
    cookies = rig.log_in(token.text)
    form = form_token(rig.ask("/", cookies=cookies).text)
    assert rig.ask("/logout", "POST", data={"token": form}, cookies=cookies).status_code == 303
    assert rig.ask("/", cookies=cookies).status_code == 303


def test_a_certificate_is_the_role_of_its_name() -> None:
    rig = https(replace(DEMO, certificates={"anna": Role.VIEWER}))
    rig.caller = certificate_of("anna")
    assert rig.ask("/").status_code == 200
    assert rig.ask("/confirm/drain/aria").status_code == 403
    rig.caller = certificate_of("bruno")
    assert rig.ask("/").status_code == 303


def test_a_sites_certificate_is_nobodys() -> None:
    rig = https(replace(DEMO, certificates={"aria": Role.OPERATOR}))
    rig.caller = certificate_of("aria", CallerKind.KME)
    assert rig.ask("/").status_code == 303


def test_the_officer_sees_deeds_and_ends_logins(tmp_path: Path) -> None:
    anna, olga = token_for("anna", Role.OPERATOR, tmp_path), token_for("olga", Role.SECURITY_OFFICER, tmp_path)
    rig = https(replace(DEMO, tokens=(anna.entry, olga.entry)))
    annas, olgas = rig.log_in(anna.text), rig.log_in(olga.text)
    rig.ask("/login", "POST", data={"secret": "wrong"})
    form = form_token(rig.ask("/confirm/drain/aria", cookies=annas).text)
    rig.ask("/act/drain", "POST", data={"token": form, "subject": "aria"}, cookies=annas)
    text = rig.ask("/access", cookies=olgas).text
    assert text.index("drained a site") < text.index("refused")
    deeds = rig.ask("/api/access", cookies=olgas).json()
    assert [(d["who"], d["what"], d["subject"]) for d in deeds if d["what"] == "drain"] == [
        ("anna", "drain", "aria")
    ]
    key = next(k for k, s in rig.dashboard.people.sessions.items() if s.person.name == "anna")
    rig.ask("/access/end", "POST", data={"token": form_token(text), "session": key}, cookies=olgas)
    assert rig.ask("/", cookies=annas).status_code == 303
    assert rig.ask("/", cookies=olgas).status_code == 200


def test_no_page_shows_a_cookie_or_a_token(tmp_path: Path) -> None:
    olga = token_for("olga", Role.SECURITY_OFFICER, tmp_path)
    rig = https(replace(DEMO, tokens=(olga.entry,)))
    cookies = rig.log_in(olga.text)
    text = rig.ask("/access", cookies=cookies).text + rig.ask("/api/access", cookies=cookies).text
    assert cookies["__Host-poliqi"] not in text
    assert olga.text not in text


# ---- the file of tokens


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("x", "tokens"),
        ("[[token]]\nname = 'a'\nrole = 'king'\nsha256 = ''", "king"),
        ("[[token]]\nname = 'a'\nrole = 'viewer'\nsha256 = 'AB'", "64 hexadecimal"),
        ("[[token]]\nname = 'a'\nrole = 'viewer'\nsha256 = '%s'\nsalt = 1" % ("a" * 64), "salt"),
        (("[[token]]\nname = 'a'\nrole = 'viewer'\nsha256 = '%s'\n" % ("a" * 64)) * 2, "twice"),
        ("#" * (2 << 20), "longer"),
    ],
)
def test_a_file_of_tokens_that_is_wrong_is_refused_with_its_reason(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=why):
        read_tokens(path)


def test_a_file_of_tokens_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_tokens(tmp_path / "none")


@pytest.mark.parametrize("name", ['An"na', "a\\b", "Niccolò", "[[token]]", "a\tb"])
def test_a_name_of_any_letters_comes_back_from_the_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text(new_token(name, Role.VIEWER)[1] + new_token("other", Role.OPERATOR)[1])
    assert [entry.name for entry in read_tokens(path)] == [name, "other"]
