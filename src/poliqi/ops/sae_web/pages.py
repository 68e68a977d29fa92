"""The pages that show something: for each its address, its template and what it is filled with."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from poliqi.ops.sae_web.desk import Arrival, ReceiptView
from poliqi.ops.sae_web.limits import PAGE_LIMITS
from poliqi.ops.sae_web.telling import Teller

__all__ = ["PAGES", "TABS", "Page", "page_at"]

Names = Mapping[str, str]
_LATELY: Final = 8
_ROWS: Final = 200


@dataclass(frozen=True, slots=True)
class Page:
    """`build` takes the teller, the names in the address and the query; None: there is no such thing.

    `tab` is the address of the page of the navigation to which this one belongs, `meaning` a line for the docs.
    """

    path: str
    template: str
    tab: str
    title: str
    build: Callable[[Teller, Names, Names], dict[str, Any] | None]
    json: str
    meaning: str


def _send(desk: Teller, _names: Names, query: Names) -> dict[str, Any]:
    neighbours = [n for n in desk.view.neighbours if n.can_be_called]
    chosen = query.get("to", "")
    known = next((n.sae for n in neighbours if chosen.casefold() in (n.sae.casefold(), n.place.casefold())), None)
    return {
        "neighbours": neighbours,
        "chosen": known,
        "lately": desk.view.transfers[:_LATELY],
        "form_bytes": PAGE_LIMITS.body_bytes,
        "refresh_s": 0,  # a page that is loaded anew forgets what was chosen
    }


def _transfer(desk: Teller, names: Names, _query: Names) -> dict[str, Any] | None:
    found = desk.found(names["transfer"])
    if found is None:
        return None
    receipt = desk.receipt(found.receipt) if found.receipt else None
    return {
        "transfer": found,
        "receipt": receipt,
        "page_title": desk.title(found.names),
        "refresh_s": 2,
    }


def _inbox(desk: Teller, _names: Names, query: Names) -> dict[str, Any]:
    wanted = query.get("q", "")

    def takes(arrival: Arrival) -> bool:
        return _has(wanted, arrival.name, arrival.sae, arrival.place, *(file.name for file in arrival.files))

    found = [arrival for arrival in desk.view.arrivals if takes(arrival)]
    return {"arrivals": found[:_ROWS], "query": wanted}


def _arrival(desk: Teller, names: Names, _query: Names) -> dict[str, Any] | None:
    found = next((a for a in desk.view.arrivals if a.id == names["arrival"]), None)
    if found is None:
        return None
    receipt = desk.receipt(found.receipt) if found.receipt else None
    return {"arrival": found, "receipt": receipt, "page_title": desk.say("inbox.from", place=found.place)}


def _receipts(desk: Teller, _names: Names, query: Names) -> dict[str, Any]:
    wanted = query.get("q", "")

    def takes(r: ReceiptView) -> bool:
        words = desk.say(f"receipt.{r.direction}"), desk.say(f"mode.{r.mode}")
        return _has(wanted, r.name, r.sae, r.place, r.who, r.hash, r.id, *r.key_ids, *words)

    return {"receipts": [r for r in desk.view.receipts if takes(r)][:_ROWS], "query": wanted}


def _receipt(desk: Teller, names: Names, _query: Names) -> dict[str, Any] | None:
    found = desk.receipt(names["receipt"])
    return None if found is None else {"receipt": found, "page_title": desk.say("receipt.title")}


def _status(_desk: Teller, _names: Names, _query: Names) -> dict[str, Any]:
    return {}


def _has(wanted: str, *texts: str) -> bool:
    """Every word of what is searched stands in one of the texts."""
    return all(any(word in text.casefold() for text in texts) for word in wanted.casefold().split())


PAGES: Final = (
    Page("/", "send.html", "/", "send.tab", _send, "/api/transfers", "choose files and a site, and send; `?to=`"),
    Page(
        "/transfers/{transfer}",
        "transfer.html",
        "/",
        "transfer.title",
        _transfer,
        "/api/transfers",
        "how a transfer goes, then its receipt",
    ),
    Page("/inbox", "inbox.html", "/inbox", "inbox.tab", _inbox, "/api/inbox", "what came; `?q=` searches"),
    Page(
        "/inbox/{arrival}",
        "arrival.html",
        "/inbox",
        "inbox.tab",
        _arrival,
        "/api/inbox",
        "the files of one arrival",
    ),
    Page(
        "/receipts",
        "receipts.html",
        "/receipts",
        "receipts.tab",
        _receipts,
        "/api/receipts",
        "all receipts; `?q=` searches",
    ),
    Page(
        "/receipts/{receipt}",
        "receipt.html",
        "/receipts",
        "receipt.title",
        _receipt,
        "/api/receipts/{receipt}",
        "one receipt",
    ),
    Page("/status", "status.html", "/status", "status.tab", _status, "/api/status", "key in stock for each site"),
)
TABS: Final = tuple((page.path, page.title) for page in PAGES if page.path == page.tab)


@cache
def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path))


def page_at(path: str) -> tuple[Page, dict[str, str]] | None:
    """The page of a decoded address, and the names in it."""
    for page in PAGES:
        if found := _pattern(page.path).fullmatch(path):
            return page, found.groupdict()
    return None
