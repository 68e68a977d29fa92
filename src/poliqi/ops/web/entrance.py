"""Coming in and going: logging in and out, who is there, and what everybody gets; the same for all pages."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from starlette.responses import Response

from poliqi.control.events import Language
from poliqi.ops.web.guard import local_path
from poliqi.ops.web.guarded import GuardedPages
from poliqi.ops.web.people import Way
from poliqi.ops.web.roles import Permission
from poliqi.ops.web.route import Kind, RouteRow
from poliqi.ops.web.speaker import Speaker
from poliqi.ops.web.visit import LANGUAGE_COOKIE, Visit, json_answer, page_answer, see, session_cookie

__all__ = ["ENTRANCE"]

_YEAR_S: Final = 365 * 86400


async def login_page(pages: GuardedPages, visit: Visit) -> Response:
    return _login_form(pages, visit, local_path(visit.query.get("back", "/")))


def _login_form(pages: GuardedPages, visit: Visit, back: str, refused: str = "", status: int = 200) -> Response:
    return page_answer(
        pages.text("login.html", visit, visit.say("login.title"), back=back, refused=refused), status
    )


async def login(pages: GuardedPages, visit: Visit) -> Response:
    back = local_path(visit.form.get("back", "/"))
    address = visit.request.client.host if visit.request.client else ""
    if not pages.people.may_try(address):
        return _login_form(pages, visit, back, visit.say("login.too_often"), HTTPStatus.TOO_MANY_REQUESTS)
    cookie = pages.people.log_in(visit.form.get("secret", "").strip(), address)
    if cookie is None:
        return _login_form(pages, visit, back, visit.say("login.unknown"), HTTPStatus.FORBIDDEN)
    answer = see(back)
    name, is_secure = session_cookie(visit.request)
    age_s = int(pages.settings.session_s)
    answer.set_cookie(name, cookie, age_s, secure=is_secure, httponly=True, samesite="strict")
    return answer


async def logout(pages: GuardedPages, visit: Visit) -> Response:
    assert visit.person is not None
    if visit.person.way is Way.TOKEN:
        pages.people.log_out(visit.person.key)
    answer = see("/login")
    name, is_secure = session_cookie(visit.request)
    answer.delete_cookie(name, secure=is_secure, httponly=True, samesite="strict")
    return answer


async def access(pages: GuardedPages, visit: Visit) -> Response:
    people = pages.people
    more = {"sessions": list(people.sessions.items()), "deeds": people.deeds[:200], "now_unix_s": pages.wall()}
    return page_answer(pages.text("access.html", visit, visit.say("access.title"), tab="/access", **more))


async def access_json(pages: GuardedPages, _visit: Visit) -> Response:
    return json_answer(
        [
            {
                "time": Speaker.stamp(deed.at_unix_s),
                "who": deed.who,
                "what": deed.what,
                "subject": deed.subject,
                "outcome": deed.outcome,
            }
            for deed in pages.people.deeds
        ]
    )


async def end_session(pages: GuardedPages, visit: Visit) -> Response:
    ended = pages.people.log_out(visit.form.get("session", ""))
    if ended is not None:
        assert visit.person is not None
        pages.people.note(visit.person.name or visit.person.role.value, "end-session", ended.name, "")
    return see("/access")


async def language(_pages: GuardedPages, visit: Visit) -> Response:
    answer = see(local_path(visit.query.get("back", "/")))
    if visit.names["language"] in set(Language):
        is_secure = visit.request.url.scheme == "https"
        answer.set_cookie(LANGUAGE_COOKIE, visit.names["language"], _YEAR_S, secure=is_secure, samesite="lax")
    return answer


async def static(pages: GuardedPages, visit: Visit) -> Response:
    name = visit.names["name"]
    if name not in pages.templating.kinds:
        return pages.refuse(visit, Kind.PAGE, HTTPStatus.NOT_FOUND)
    keep = {"cache-control": f"public, max-age={_YEAR_S}, immutable"}
    return Response(pages.templating.file(name), 200, keep, pages.templating.kinds[name])


async def health(_pages: GuardedPages, _visit: Visit) -> Response:
    return Response("alive\n", 200, {"cache-control": "no-store"}, "text/plain; charset=utf-8")


ENTRANCE: Final = (
    RouteRow("GET", "/access", Kind.PAGE, Permission.ACCESS, access, "who is logged in, and what was done"),
    RouteRow("GET", "/api/access", Kind.JSON, Permission.ACCESS, access_json, "what was done, newest first"),
    RouteRow("POST", "/access/end", Kind.FORM, Permission.ACCESS, end_session, "logs somebody out"),
    RouteRow("POST", "/logout", Kind.FORM, Permission.ENTER, logout, "ends one's own login"),
    RouteRow("GET", "/login", Kind.PAGE, None, login_page, "asks for a token"),
    RouteRow("POST", "/login", Kind.PAGE, None, login, "logs in with a token"),
    RouteRow("GET", "/language/{language}", Kind.PAGE, None, language, "chooses `en` or `it`, goes `?back=`"),
    RouteRow("GET", "/static/{version}/{name}", Kind.FILE, None, static, "style sheet, script and icon"),
    RouteRow("GET", "/health", Kind.FILE, None, health, "says that the process is alive"),
)
