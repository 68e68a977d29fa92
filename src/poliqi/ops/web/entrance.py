"""Coming in and going: the answers of logging in and out, of who is there, and what everybody gets."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from starlette.responses import Response

from poliqi.control.events import Language
from poliqi.ops.web.guard import local_path
from poliqi.ops.web.people import Way
from poliqi.ops.web.render import STATIC, static_file
from poliqi.ops.web.route import Kind
from poliqi.ops.web.speaker import Speaker
from poliqi.ops.web.visit import LANGUAGE_COOKIE, Visit, json_answer, page_answer, see, session_cookie

if TYPE_CHECKING:
    from poliqi.ops.web.application import Dashboard

__all__ = ["access", "access_json", "end_session", "health", "language", "login", "login_page", "logout", "static"]

_YEAR_S: Final = 365 * 86400


async def login_page(dashboard: Dashboard, visit: Visit) -> Response:
    return _login_form(dashboard, visit, local_path(visit.query.get("back", "/")))


def _login_form(dashboard: Dashboard, visit: Visit, back: str, refused: str = "", status: int = 200) -> Response:
    return page_answer(
        dashboard.text("login.html", visit, visit.say("login.title"), back=back, refused=refused), status
    )


async def login(dashboard: Dashboard, visit: Visit) -> Response:
    back = local_path(visit.form.get("back", "/"))
    address = visit.request.client.host if visit.request.client else ""
    if not dashboard.people.may_try(address):
        return _login_form(dashboard, visit, back, visit.say("login.too_often"), HTTPStatus.TOO_MANY_REQUESTS)
    cookie = dashboard.people.log_in(visit.form.get("secret", "").strip(), address)
    if cookie is None:
        return _login_form(dashboard, visit, back, visit.say("login.unknown"), HTTPStatus.FORBIDDEN)
    answer = see(back)
    name, is_secure = session_cookie(visit.request)
    age_s = int(dashboard.settings.session_s)
    answer.set_cookie(name, cookie, age_s, secure=is_secure, httponly=True, samesite="strict")
    return answer


async def logout(dashboard: Dashboard, visit: Visit) -> Response:
    assert visit.person is not None
    if visit.person.way is Way.TOKEN:
        dashboard.people.log_out(visit.person.key)
    answer = see("/login")
    name, is_secure = session_cookie(visit.request)
    answer.delete_cookie(name, secure=is_secure, httponly=True, samesite="strict")
    return answer


async def access(dashboard: Dashboard, visit: Visit) -> Response:
    people = dashboard.people
    more = {"sessions": list(people.sessions.items()), "deeds": people.deeds[:200], "now_unix_s": dashboard.wall()}
    return page_answer(dashboard.text("access.html", visit, visit.say("access.title"), tab="/access", **more))


async def access_json(dashboard: Dashboard, _visit: Visit) -> Response:
    return json_answer(
        [
            {
                "time": Speaker.stamp(deed.at_unix_s),
                "who": deed.who,
                "what": deed.what,
                "subject": deed.subject,
                "outcome": deed.outcome,
            }
            for deed in dashboard.people.deeds
        ]
    )


async def end_session(dashboard: Dashboard, visit: Visit) -> Response:
    ended = dashboard.people.log_out(visit.form.get("session", ""))
    if ended is not None:
        assert visit.person is not None
        dashboard.people.note(visit.person.name or visit.person.role.value, "end-session", ended.name, "")
    return see("/access")


async def language(_dashboard: Dashboard, visit: Visit) -> Response:
    answer = see(local_path(visit.query.get("back", "/")))
    if visit.names["language"] in set(Language):
        is_secure = visit.request.url.scheme == "https"
        answer.set_cookie(LANGUAGE_COOKIE, visit.names["language"], _YEAR_S, secure=is_secure, samesite="lax")
    return answer


async def static(dashboard: Dashboard, visit: Visit) -> Response:
    name = visit.names["name"]
    if name not in STATIC:
        return dashboard.refuse(visit, Kind.PAGE, HTTPStatus.NOT_FOUND)
    keep = {"cache-control": f"public, max-age={_YEAR_S}, immutable"}
    return Response(static_file(name), 200, keep, STATIC[name])


async def health(_dashboard: Dashboard, _visit: Visit) -> Response:
    return Response("alive\n", 200, {"cache-control": "no-store"}, "text/plain; charset=utf-8")
