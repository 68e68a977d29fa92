"""Every route of an application's pages in one table: what it is for, what it asks of a person, who answers."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from starlette.responses import Response

from poliqi.ops.sae_web import handing, taking
from poliqi.ops.sae_web.pages import PAGES, Page
from poliqi.ops.web.entrance import ENTRANCE
from poliqi.ops.web.roles import Permission
from poliqi.ops.web.route import Answer, Kind, RouteRow
from poliqi.ops.web.visit import Visit, page_answer

if TYPE_CHECKING:
    from poliqi.ops.sae_web.application import SaePages

__all__ = ["ROUTES"]


def _page(page: Page) -> Answer[SaePages]:
    async def answer(pages: SaePages, visit: Visit) -> Response:
        desk = await pages.teller(visit.say)
        built = page.build(desk, visit.names, visit.query)
        if built is None:
            return pages.refuse(visit, Kind.PAGE, HTTPStatus.NOT_FOUND)
        json = page.json.format_map({name: quote(value, safe="") for name, value in visit.names.items()})
        return page_answer(pages.page_text(page, built, visit, desk, json))

    return answer


async def _live(pages: SaePages, visit: Visit) -> Response:
    return await pages.stream(visit)


_READ, _SEND, _OPEN = Permission.READ, Permission.SEND, Permission.OPEN
_UPLOAD: Final = "/api/uploads/{upload}"
_FILE: Final = "/inbox/{arrival}/files/{number}"
ROUTES: Final[tuple[RouteRow[Any], ...]] = (
    *(RouteRow("GET", page.path, Kind.PAGE, _READ, _page(page), page.meaning) for page in PAGES),
    RouteRow("POST", "/send", Kind.UPLOAD, _SEND, handing.send_form, "sends the files of a form"),
    RouteRow("GET", "/transfers/{transfer}/stop", Kind.PAGE, _SEND, taking.stop_page, "asks whether to give it up"),
    RouteRow("POST", "/transfers/{transfer}/stop", Kind.FORM, _SEND, taking.stop, "gives a transfer up"),
    RouteRow("GET", _FILE, Kind.PAGE, _OPEN, taking.file, "a file that came, to be saved"),
    RouteRow("GET", "/live", Kind.STREAM, _READ, _live, "patches of the page `?at=`, as server-sent events"),
    RouteRow(
        "GET",
        "/api/estimate",
        Kind.JSON,
        _READ,
        handing.estimate,
        "key needed and when it is there; `?peer=`, `?bytes=`, `?one_time=1`",
    ),
    RouteRow("POST", "/api/uploads", Kind.JSON, _SEND, handing.begin_upload, "begins a file"),
    RouteRow("GET", _UPLOAD, Kind.JSON, _SEND, handing.upload_state, "how much of a file is here"),
    RouteRow("PUT", _UPLOAD, Kind.PART, _SEND, handing.part, "a part of a file, from byte `?at=` on"),
    RouteRow("DELETE", _UPLOAD, Kind.JSON, _SEND, handing.drop_upload, "forgets a file"),
    RouteRow("POST", "/api/send", Kind.JSON, _SEND, handing.send, "sends files that are here"),
    RouteRow("GET", "/api/transfers", Kind.JSON, _READ, taking.transfers_json, "what is and was on its way"),
    RouteRow("GET", "/api/inbox", Kind.JSON, _READ, taking.arrivals_json, "what came"),
    RouteRow("GET", "/api/receipts", Kind.JSON, _READ, taking.receipts_json, "all receipts"),
    RouteRow("GET", "/api/receipts/{receipt}", Kind.JSON, _READ, taking.receipt_json, "one receipt, as it is kept"),
    RouteRow("GET", "/api/status", Kind.JSON, _READ, taking.status_json, "key in stock for each site"),
    *ENTRANCE,
)
