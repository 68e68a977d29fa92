"""Sending a dataset from its page, and how it goes."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

import msgspec
from starlette.responses import Response

from poliqi.base.errors import DataRefused, PoliqiError
from poliqi.base.ids import SaeId
from poliqi.lab.store.records import Dataset
from poliqi.ops.lab_web.call import Call
from poliqi.ops.sae_web.desk import Neighbour, Transfer
from poliqi.ops.sae_web.trouble import trouble_of
from poliqi.ops.web.speaker import Speaker
from poliqi.ops.web.visit import json_answer, see

__all__ = ["estimate_json", "send", "send_json", "stop", "stop_page", "transfer_json", "transfer_page"]

_REFRESH_S: Final = 2
_NAME: Final = re.compile(r"(?:\w[\w .-]{0,99})?")
"""What a place or an application may be called, or nothing."""


class _Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    peer: str
    one_time: bool = False
    onward: str = ""

    @property
    def is_onward_a_name(self) -> bool:
        return _NAME.fullmatch(self.onward) is not None


def _neighbour(call: Call, peer: str) -> Neighbour | None:
    known = call.room.neighbours(call.guest, call.desk.view.neighbours)
    return next((n for n in known if n.sae == peer), None)


def send(call: Call) -> Response:
    """By the form: first what it needs is told (`look`), then it is sent."""
    dataset, form = call.dataset(), call.visit.form
    if dataset is None:
        return call.missing()
    asked = _Asked(form.get("peer", ""), form.get("one_time") == "1", form.get("onward", "").strip())
    to = _neighbour(call, asked.peer)
    if to is None:
        return call.missing()
    try:
        if form.get("go") != "1":
            return _look(call, dataset, to, asked)
        made = _begin(call, dataset, to, asked)
    except PoliqiError as error:
        return _not_sent(call, asked, error)
    return see(f"/lab/transfers/{quote(made, safe='')}")


def _not_sent(call: Call, asked: _Asked, error: PoliqiError) -> Response:
    words = f"trouble.{trouble_of(error)}" if asked.is_onward_a_name else "lab.onward_bad"
    return call.refused(error, call.say(words))


def _check(asked: _Asked) -> None:
    if not asked.is_onward_a_name:
        raise DataRefused(f"onward is {asked.onward[:40]!r}: the name of a peer of that site is needed, or nothing")


def _look(call: Call, dataset: Dataset, to: Neighbour, asked: _Asked) -> Response:
    _check(asked)
    found = call.room.sendings.estimate(call.guest.store, dataset.id, to.sae, asked.one_time, asked.onward)
    more: dict[str, Any] = {
        "dataset": dataset,
        "to": to,
        "one_time": asked.one_time,
        "onward": asked.onward,
        "told": call.desk.told(found),
    }
    return call.page("lab_send.html", call.say("lab.send_to", title=dataset.title, place=to.place), **more)


def _begin(call: Call, dataset: Dataset, to: Neighbour, asked: _Asked) -> str:
    try:
        _check(asked)
        made = call.room.sendings.begin(call.guest, dataset, to, asked.one_time, asked.onward)
    except PoliqiError as error:
        call.note("lab-send", dataset.id, str(error))
        raise
    call.note("lab-send", dataset.id)
    return made


def send_json(call: Call) -> Response:
    """The same by an object: `{"peer": "NAME", "one_time": false, "onward": ""}`."""
    dataset = call.dataset()
    if dataset is None:
        return call.missing()
    asked = call.body(_Asked)
    if asked is None:
        return json_answer({"message": 'send {"peer": "NAME", "one_time": false}'}, HTTPStatus.BAD_REQUEST)
    to = _neighbour(call, asked.peer)
    if to is None:
        return call.missing()
    try:
        made = _begin(call, dataset, to, asked)
    except PoliqiError as error:
        return _not_sent(call, asked, error)
    return json_answer({"transfer": made}, HTTPStatus.CREATED)


def estimate_json(call: Call) -> Response:
    """Key needed and when it is there."""
    dataset, query = call.dataset(), call.visit.query
    to = _neighbour(call, query.get("peer", ""))
    if dataset is None or to is None:
        return call.missing()
    try:
        found = call.room.sendings.estimate(
            call.guest.store, dataset.id, SaeId(to.sae), query.get("one_time") == "1"
        )
    except PoliqiError as error:
        return call.refused(error, call.say(f"trouble.{trouble_of(error)}"))
    told = call.desk.told(found)
    return json_answer(
        {
            "mode": found.mode,
            "needed_bytes": found.needed_bytes,
            "available_bytes": found.available_bytes,
            "wait_s": found.wait_s,
            "problem": found.problem,
            "level": told.level,
            "text": told.text,
        }
    )


# ---- how it goes


def transfer_page(call: Call) -> Response:
    """A page that is loaded anew while it goes on."""
    found = call.room.sendings.find(call.guest, call.visit.names["transfer"])
    if found is None:
        return call.missing()
    transfer, dataset = found
    known = call.room.dataset(call.guest, dataset)
    more: dict[str, Any] = {
        "transfer": transfer,
        "dataset": known,
        "again_s": 0 if transfer.state.is_over else _REFRESH_S,
        "json": f"/api/lab/transfers/{transfer.id}",
    }
    return call.page("lab_transfer.html", call.say("transfer.to", place=transfer.place), **more)


def transfer_json(call: Call) -> Response:
    found = call.room.sendings.find(call.guest, call.visit.names["transfer"])
    return call.missing() if found is None else json_answer(_record(*found))


def _record(transfer: Transfer, dataset: str) -> dict[str, Any]:
    return {
        "id": transfer.id,
        "dataset": dataset,
        "sae": transfer.sae,
        "place": transfer.place,
        "size_bytes": transfer.size_bytes,
        "sent_bytes": transfer.sent_bytes,
        "mode": transfer.mode,
        "state": transfer.state,
        "time": Speaker.stamp(transfer.begun_unix_s),
        "who": transfer.who,
        "rate_bps": transfer.rate_bps,
        "left_s": transfer.left_s,
        "wait_s": transfer.wait_s,
        "problem": transfer.problem,
        "simulated": transfer.is_simulated,
    }


def stop_page(call: Call) -> Response:
    """Asks whether to give it up."""
    found = call.room.sendings.find(call.guest, call.visit.names["transfer"])
    if found is None or found[0].state.is_over:
        return call.missing()
    transfer, dataset = found
    known = call.room.dataset(call.guest, dataset)
    question = call.say("stop.question", name=known.title if known else dataset, place=transfer.place)
    return call.page("lab_stop.html", question, transfer=transfer.id)


def stop(call: Call) -> Response:
    """Gives it up."""
    key = call.visit.names["transfer"]
    if call.room.sendings.find(call.guest, key) is None:
        return call.missing()
    if call.room.sendings.stop(call.guest, key):
        call.note("stop", key)
    return see(f"/lab/transfers/{quote(key, safe='')}")
