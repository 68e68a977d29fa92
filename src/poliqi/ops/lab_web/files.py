"""Files of a dataset: to be saved, always; pictures to be shown inside a page; receipts as they were signed."""

from __future__ import annotations

from pathlib import PurePosixPath

from starlette.responses import Response

from poliqi.base.errors import DataRefused
from poliqi.lab.store.deeds import RECEIPT
from poliqi.lab.store.records import StoredFile
from poliqi.ops.lab_web.call import Call
from poliqi.ops.lab_web.figures import FIGURE_BYTES, FIGURE_HEADERS, figure_type, may_be_figure
from poliqi.ops.sae_web.taking import FileResponse, attachment

__all__ = ["figure", "file", "receipt"]


def _file(call: Call) -> StoredFile | None:
    dataset, number = call.dataset(), call.visit.names["number"]
    if dataset is None or not (number.isascii() and number.isdigit() and len(number) < 8):
        return None
    at = int(number)
    return dataset.files[at] if at < len(dataset.files) else None


def file(call: Call) -> Response:
    """A file, to be saved and never shown."""
    found = _file(call)
    if found is None:
        return call.missing()
    opened = call.guest.store.file_path(found).open("rb")
    headers = {**attachment(PurePosixPath(found.path).name), "content-length": str(found.size_bytes)}
    return FileResponse(opened, found.size_bytes, headers)


def figure(call: Call) -> Response:
    """A picture for <img>; whoever opens its address gets it to be saved."""
    found = _file(call)
    if found is None or not may_be_figure(found):
        return call.missing()
    data = call.guest.store.content(found, FIGURE_BYTES)
    media_type = figure_type(data)
    if media_type is None:
        return call.missing()
    headers = {**attachment(PurePosixPath(found.path).name), **FIGURE_HEADERS}
    return Response(data, 200, headers, media_type)


def receipt(call: Call) -> Response:
    """The signed receipt of something that was done with a dataset."""
    dataset = call.dataset()
    if dataset is None:
        return call.missing()
    for action in call.guest.store.actions(dataset.id):
        if action.id == call.visit.names["action"]:
            try:
                data = call.guest.store.action_file(action, RECEIPT)
            except DataRefused:
                return call.missing()
            return Response(data, 200, attachment(f"receipt-{action.id}.json"), "application/json")
    return call.missing()
