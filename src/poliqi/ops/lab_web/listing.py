"""The list of datasets: search and paging, as a page and as an object."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlencode

from starlette.responses import Response

from poliqi.base.errors import DataRefused
from poliqi.lab.store.records import Brief, Kind, SampleId
from poliqi.ops.lab_web.call import Call
from poliqi.ops.lab_web.telling import brief_record
from poliqi.ops.web.visit import json_answer

__all__ = ["list_json", "list_page"]

ROWS: Final = 50
_LAST_PAGE: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the address asks for; `page` counts from 1."""

    words: str
    kind: Kind | None
    sample: SampleId | None
    page: int

    def address(self, page: int) -> str:
        query = {"q": self.words, "kind": self.kind or "", "sample": self.sample or "", "page": str(page)}
        kept = {name: value for name, value in query.items() if value and (name, value) != ("page", "1")}
        return f"/lab?{urlencode(kept)}" if kept else "/lab"


@dataclass(frozen=True, slots=True)
class _Found:
    datasets: list[Brief]
    count: int


def _asked(call: Call) -> _Asked:
    query = call.visit.query
    kind = query.get("kind", "")
    page = query.get("page", "1")
    number = int(page) if page.isascii() and page.isdigit() and len(page) < 8 else 1
    return _Asked(
        query.get("q", ""),
        Kind(kind) if kind in set(Kind) else None,
        SampleId(query["sample"]) if query.get("sample") else None,
        min(max(1, number), _LAST_PAGE),
    )


def _find(call: Call, asked: _Asked) -> _Found:
    """Raises DataRefused where too many words are sought."""
    where = asked.words, asked.kind, asked.sample
    store = call.guest.store
    return _Found(store.find(*where, limit=ROWS, offset=(asked.page - 1) * ROWS), store.count(*where))


def list_page(call: Call) -> Response:
    """Datasets, the newest first."""
    asked = _asked(call)
    try:
        found = _find(call, asked)
    except DataRefused as error:
        return call.refused(error, call.say("lab.too_many_words"), HTTPStatus.BAD_REQUEST)
    last = max(1, -(-found.count // ROWS))
    first = (asked.page - 1) * ROWS + 1
    ids = dict.fromkeys(d.sample for d in found.datasets if d.sample is not None)
    samples = {sample: call.guest.store.sample(sample).name for sample in ids}
    more: dict[str, Any] = {
        "asked": asked,
        "found": found,
        "samples": samples,
        "kinds": list(Kind),
        "first": first if found.datasets else 0,
        "last_row": first + len(found.datasets) - 1 if found.datasets else 0,
        "before": asked.address(min(asked.page - 1, last)) if asked.page > 1 else "",
        "after": asked.address(asked.page + 1) if asked.page < last else "",
        "subtab": "/lab",
    }
    return call.page("lab_list.html", call.say("lab.datasets"), **more)


def list_json(call: Call) -> Response:
    """The same as an object; `page` and `pages` tell how to go on."""
    asked = _asked(call)
    try:
        found = _find(call, asked)
    except DataRefused as error:
        return call.refused(error, call.say("lab.too_many_words"), HTTPStatus.BAD_REQUEST)
    pages = -(-found.count // ROWS)
    rows = [brief_record(dataset) for dataset in found.datasets]
    return json_answer({"count": found.count, "page": asked.page, "pages": pages, "datasets": rows})
