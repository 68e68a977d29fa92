"""Taking out what came, receipts, and giving a transfer up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, BinaryIO, Final
from urllib.parse import quote

import msgspec
from starlette.responses import Response

from poliqi.ops.sae_web.desk import Arrival, Neighbour, ReceiptView, Transfer
from poliqi.ops.web.route import Kind
from poliqi.ops.web.speaker import Speaker
from poliqi.ops.web.visit import Visit, json_answer, page_answer, see

if TYPE_CHECKING:
    from poliqi.ops.sae_web.application import SaePages

__all__ = [
    "FileResponse",
    "arrivals_json",
    "attachment",
    "file",
    "receipt_json",
    "receipts_json",
    "status_json",
    "stop",
    "stop_page",
    "transfers_json",
]

_CHUNK_BYTES: Final = 256 << 10
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


# ---- files


async def file(pages: SaePages, visit: Visit) -> Response:
    """A file of the inbox: always to be saved, never shown here, whatever is in it."""
    number = visit.names["number"]
    arrival = next((a for a in (await pages.sight.fresh()).arrivals if a.id == visit.names["arrival"]), None)
    found = arrival and next((f for f in arrival.files if str(f.number) == number), None)
    opened = arrival and found and await asyncio.to_thread(pages.desk.open, arrival.id, found.number)
    if not arrival or not found or not opened:
        return pages.refuse(visit, Kind.PAGE, HTTPStatus.NOT_FOUND)
    who = visit.person.name or visit.person.role.value if visit.person else ""
    pages.people.note(who, "open", f"{arrival.place}: {found.name}", "")
    headers = {**attachment(found.name.rpartition("/")[2]), "content-length": str(found.size_bytes)}
    return FileResponse(opened, found.size_bytes, headers)


class FileResponse(Response):
    """So many bytes of an open file and no more, in constant memory. One that got shorter breaks the connection."""

    def __init__(self, opened: BinaryIO, size_bytes: int, headers: Mapping[str, str]) -> None:
        super().__init__(None, 200, headers, "application/octet-stream")
        self._opened: Final = opened
        self._size_bytes: Final = size_bytes

    async def __call__(self, scope: MutableMapping[str, Any], receive: _Receive, send: _Send) -> None:  # noqa: ARG002
        left = self._size_bytes
        with self._opened:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            while left:
                chunk = await asyncio.to_thread(self._opened.read, min(_CHUNK_BYTES, left))
                if not chunk:
                    raise OSError("the file is shorter than it was")
                left -= len(chunk)
                await send({"type": "http.response.body", "body": chunk, "more_body": left > 0})
            if not self._size_bytes:
                await send({"type": "http.response.body", "body": b""})


def attachment(name: str) -> dict[str, str]:
    """Headers of what is to be saved under this name (RFC 6266)."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "-_. ") else "_" for c in name)[:120] or "file"
    value = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
    return {"content-disposition": value, "cache-control": "no-store"}


async def receipt_json(pages: SaePages, visit: Visit) -> Response:
    """A receipt as it is kept, to be saved."""
    key = visit.names["receipt"]
    found = await asyncio.to_thread(pages.desk.receipt, key)
    if found is None:
        return pages.refuse(visit, Kind.JSON, HTTPStatus.NOT_FOUND)
    return Response(found, 200, attachment(f"receipt-{key}.json"), "application/json")


# ---- giving up


async def stop_page(pages: SaePages, visit: Visit) -> Response:
    desk = await pages.teller(visit.say)
    found = desk.found(visit.names["transfer"])
    if found is None or found.state.is_over:
        return pages.refuse(visit, Kind.PAGE, HTTPStatus.NOT_FOUND)
    name = desk.title(found.names)
    question = visit.say("stop.question", name=name, place=found.place)
    return page_answer(pages.text("stop.html", visit, question, question=question, transfer=found.id, tab="/"))


async def stop(pages: SaePages, visit: Visit) -> Response:
    key = visit.names["transfer"]
    if await asyncio.to_thread(pages.desk.stop, key) and visit.person is not None:
        pages.people.note(visit.person.name or visit.person.role.value, "stop", key, "")
    await pages.sight.fresh()
    return see(f"/transfers/{quote(key, safe='')}")


# ---- objects


async def transfers_json(pages: SaePages, _visit: Visit) -> Response:
    return json_answer([_timed(t, "begun_unix_s") for t in (await pages.sight.fresh()).transfers])


async def arrivals_json(pages: SaePages, _visit: Visit) -> Response:
    return json_answer([_timed(a, "at_unix_s") for a in (await pages.sight.fresh()).arrivals])


async def receipts_json(pages: SaePages, _visit: Visit) -> Response:
    return json_answer([_timed(r, "at_unix_s") for r in (await pages.sight.fresh()).receipts])


async def status_json(pages: SaePages, _visit: Visit) -> Response:
    view = await pages.sight.fresh()
    sites = [_neighbour(n) for n in view.neighbours]
    return json_answer({"sae": view.sae, "place": view.place, "simulated": view.is_simulated, "sites": sites})


def _timed(thing: Transfer | Arrival | ReceiptView, name: str) -> dict[str, Any]:
    """Its fields; the time as a stamp, truths without the prefix that Python gives them."""
    record: dict[str, Any] = msgspec.to_builtins(thing)
    record["time"] = Speaker.stamp(record.pop(name))
    record["simulated"] = record.pop("is_simulated")
    return record


def _neighbour(n: Neighbour) -> dict[str, Any]:
    supply = n.supply
    return {
        "sae": n.sae,
        "place": n.place,
        "policy": n.policy,
        "can_be_called": n.can_be_called,
        "connected": None if supply is None else supply.is_connected,
        "available_bytes": None if supply is None else supply.available_bytes,
        "rate_bps": None if supply is None else supply.rate_bps,
        "problem": n.problem,
        "trouble": n.trouble,
    }
