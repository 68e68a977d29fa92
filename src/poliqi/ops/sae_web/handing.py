"""Handing files in and sending them: by a script in parts, or by a plain form."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import quote

import msgspec
from starlette.responses import Response

from poliqi.base.errors import PoliqiError
from poliqi.base.ids import SaeId
from poliqi.ops.sae_web.form import read_form
from poliqi.ops.sae_web.limits import PART_BYTES
from poliqi.ops.sae_web.spool import Upload
from poliqi.ops.sae_web.trouble import trouble_of
from poliqi.ops.web.people import Person
from poliqi.ops.web.route import Kind
from poliqi.ops.web.visit import Visit, json_answer, page_answer, see

if TYPE_CHECKING:
    from poliqi.ops.sae_web.application import SaePages

__all__ = ["begin_upload", "drop_upload", "estimate", "part", "send", "send_form", "upload_state"]

_FILES_MOST: Final = 64
_DIGITS: Final = 15


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Annotated[str, msgspec.Meta(max_length=255)]
    size: Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]


class _Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    uploads: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=_FILES_MOST)]
    peer: str
    one_time: bool = False


def _person(visit: Visit) -> Person:
    assert visit.person is not None
    return visit.person


def _refused(visit: Visit, error: PoliqiError, status: HTTPStatus = HTTPStatus.CONFLICT) -> Response:
    trouble = trouble_of(error)
    text = visit.say(f"trouble.{trouble}")
    return json_answer({"message": str(error), "trouble": trouble, "text": text}, status)


def _unreadable(text: str) -> Response:
    return json_answer({"message": text}, HTTPStatus.BAD_REQUEST)


# ---- before


async def estimate(pages: SaePages, visit: Visit) -> Response:
    """What sending would need, and when it is there."""
    size = _number(visit.query.get("bytes", "0"))
    if size is None:
        return _unreadable("bytes is a whole number, 0 or more")
    peer, one_time = SaeId(visit.query.get("peer", "")), visit.query.get("one_time") == "1"
    try:
        found = await asyncio.to_thread(pages.desk.estimate, peer, size, one_time)
    except PoliqiError as error:
        return _refused(visit, error, HTTPStatus.NOT_FOUND)
    told = (await pages.teller(visit.say)).told(found)
    return json_answer(
        {
            "mode": found.mode,
            "needed_bytes": found.needed_bytes,
            "available_bytes": found.available_bytes,
            "wait_s": found.wait_s,
            "problem": found.problem,
            "trouble": found.trouble,
            "level": told.level,
            "text": told.text,
            "detail": told.detail,
            "mode_text": told.mode,
            "mode_means": told.means,
        }
    )


# ---- in parts


async def begin_upload(pages: SaePages, visit: Visit) -> Response:
    try:
        file = msgspec.json.decode(await visit.request.body(), type=_File)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _unreadable('send {"name": "NAME", "size": BYTES}')
    try:
        upload = await asyncio.to_thread(pages.spool.begin, _person(visit).key, file.name, file.size)
    except PoliqiError as error:
        return _refused(visit, error)
    return json_answer({"upload": upload.id, "part_bytes": PART_BYTES}, HTTPStatus.CREATED)


async def part(pages: SaePages, visit: Visit) -> Response:
    upload, at = _upload(pages, visit), _number(visit.query.get("at", ""))
    if upload is None:
        return pages.refuse(visit, Kind.JSON, HTTPStatus.NOT_FOUND)
    if at is None:
        return _unreadable("at is where the part begins, in bytes")
    data = await visit.request.body()
    try:
        have = await asyncio.to_thread(pages.spool.add, upload, at, data)
    except PoliqiError as error:
        return _refused(visit, error)
    return json_answer({"have_bytes": have})


async def upload_state(pages: SaePages, visit: Visit) -> Response:
    upload = _upload(pages, visit)
    if upload is None:
        return pages.refuse(visit, Kind.JSON, HTTPStatus.NOT_FOUND)
    return json_answer({"have_bytes": upload.have_bytes, "size_bytes": upload.size_bytes})


async def drop_upload(pages: SaePages, visit: Visit) -> Response:
    upload = _upload(pages, visit)
    if upload is None:
        return pages.refuse(visit, Kind.JSON, HTTPStatus.NOT_FOUND)
    await asyncio.to_thread(pages.spool.discard, [upload])
    return json_answer({"dropped": upload.id})


def _upload(pages: SaePages, visit: Visit) -> Upload | None:
    return pages.spool.find(_person(visit).key, visit.names["upload"])


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else None


# ---- sending


async def send(pages: SaePages, visit: Visit) -> Response:
    try:
        asked = msgspec.json.decode(await visit.request.body(), type=_Asked)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _unreadable('send {"uploads": [...], "peer": "NAME", "one_time": false}')
    person = _person(visit)
    try:
        made = await asyncio.to_thread(_begin, pages, person, asked.uploads, SaeId(asked.peer), asked.one_time)
    except PoliqiError as error:
        return _refused(visit, error)
    await pages.sight.fresh()
    return json_answer({"transfer": made}, HTTPStatus.CREATED)


async def send_form(pages: SaePages, visit: Visit) -> Response:
    """The same by a form, whose files are in it."""
    person = _person(visit)
    try:
        form = read_form(visit.request.headers.get("content-type", ""), await visit.request.body())
        if not pages.people.is_form_token(person, form.fields.get("token", "")):
            return pages.refuse(visit, Kind.PAGE, HTTPStatus.FORBIDDEN)
        peer, one_time = SaeId(form.fields.get("peer", "")), form.fields.get("one_time") == "1"
        made = await asyncio.to_thread(_keep_and_begin, pages, person, form.files, peer, one_time)
    except PoliqiError as error:
        heading = visit.say("send.not_sent")
        text = visit.say(f"trouble.{trouble_of(error)}")
        page = pages.text("refused.html", visit, heading, heading=heading, text=text, detail=str(error), tab="/")
        return page_answer(page, HTTPStatus.CONFLICT)
    await pages.sight.fresh()
    return see(f"/transfers/{quote(made, safe='')}")


def _keep_and_begin(
    pages: SaePages, person: Person, files: Sequence[tuple[str, bytes]], peer: SaeId, one_time: bool
) -> str:
    kept: list[Upload] = []
    try:
        for name, data in files:
            upload = pages.spool.begin(person.key, name, len(data))
            kept.append(upload)
            pages.spool.add(upload, 0, data)
        return _begin(pages, person, [upload.id for upload in kept], peer, one_time)
    except PoliqiError:
        pages.spool.discard(kept)
        raise


def _begin(pages: SaePages, person: Person, keys: Sequence[str], peer: SaeId, one_time: bool) -> str:
    """Hand the files over to the desk; they are unlinked once it needs them no more."""
    uploads = pages.spool.take(person.key, keys)
    who = person.name or person.role.value
    try:
        made = pages.desk.begin(
            [upload.path for upload in uploads], peer, one_time, who, lambda: pages.spool.discard(uploads)
        )
    except PoliqiError as error:
        pages.spool.give_back(uploads)
        pages.people.note(who, "send", peer, str(error))
        raise
    pages.people.note(who, "send", peer, "")
    return made
