"""One dataset: what it is, its files and figures, where it comes from and where it went, and how to send it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from starlette.responses import Response

from poliqi.base.errors import PoliqiError
from poliqi.lab.store.crate.history import Telling, history
from poliqi.lab.store.deeds import Deed
from poliqi.lab.store.records import ActionKind, Dataset, Provenance, StoredFile
from poliqi.ops.lab_web.call import Call
from poliqi.ops.lab_web.curves import may_be_curve
from poliqi.ops.lab_web.drawing import Drawing, drawing_of
from poliqi.ops.lab_web.figures import may_be_figure
from poliqi.ops.lab_web.graph import drawn_graph
from poliqi.ops.lab_web.lineage import lineage_nodes
from poliqi.ops.lab_web.telling import (
    action_record,
    brief_record,
    dataset_record,
    instrument_record,
    job_record,
    sample_record,
)
from poliqi.ops.web.speaker import Speaker
from poliqi.ops.web.visit import json_answer

__all__ = ["dataset_json", "dataset_page"]

_FIGURES: Final = 12
_CURVES: Final = 3
_CANDIDATES: Final = 8
"""Files that may be a curve by their names, of which a page reads no more."""
_DRAWING_S: Final = 10.0
"""After so long no further file of HDF5 is begun for a page, and no other visitor's is waited for."""
_FILES: Final = 200
_DERIVED: Final = 50
_STEPS: Final = 60


@dataclass(frozen=True, slots=True)
class _Entry:
    """A file with the number in its address."""

    number: int
    file: StoredFile


def dataset_page(call: Call) -> Response:
    """The whole page; files of which there are many come in pages (`?files=`)."""
    dataset = call.dataset()
    if dataset is None:
        return call.missing()
    store, say = call.guest.store, call.say
    found = history(store, dataset.id)
    past = found.known
    derived = store.derived(dataset.id, limit=_DERIVED)
    entries = [_Entry(number, file) for number, file in enumerate(dataset.files)]
    figures = [entry for entry in entries if may_be_figure(entry.file)]
    page, pages = _page(call.visit.query.get("files", ""), len(entries))
    nodes = lineage_nodes(say, found, derived)
    more: dict[str, Any] = {
        "dataset": dataset,
        "sample": next((s for s in past.samples if s.id == dataset.sample), None),
        "instrument": next((i for i in past.instruments if i.id == dataset.instrument), None),
        "job": next((job for job in past.jobs if job.id == dataset.made_by), None),
        "figures": figures[:_FIGURES],
        "figures_left": max(0, len(figures) - _FIGURES),
        "drawings": _drawings(call, entries),
        "entries": entries[(page - 1) * _FILES : page * _FILES],
        "files_page": page,
        "files_pages": pages,
        "past": past,
        "steps": _steps(past),
        "derived": derived,
        "derived_left": store.derived_count(dataset.id) - len(derived),
        "graph": drawn_graph(nodes, say("lab.graph_of", title=dataset.title), say("kind.simulated")),
        "deeds": found.deeds.get(dataset.id, []),
        "told": found.told,
        "transfers": call.room.sendings.of(call.guest, dataset.id),
        "neighbours": call.room.neighbours(call.guest, call.desk.view.neighbours),
        "subtab": "/lab",
        "json": f"/api/lab/datasets/{dataset.id}",
    }
    return call.page("lab_dataset.html", dataset.title, **more)


def _page(asked: str, count: int) -> tuple[int, int]:
    pages = max(1, -(-count // _FILES))
    number = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 8 else 1
    return min(max(1, number), pages), pages


def _drawings(call: Call, entries: list[_Entry]) -> list[Drawing]:
    """The first curves among the first files that may be one; one that cannot be drawn is left to be saved."""
    found: list[Drawing] = []
    until_s = time.monotonic() + _DRAWING_S
    for entry in islice((entry for entry in entries if may_be_curve(entry.file)), _CANDIDATES):
        try:
            path = call.guest.store.file_path(entry.file)
        except PoliqiError as error:
            call.room.complain(str(error))
            continue
        drawing = drawing_of(entry.file, path, call.say, until_s)
        if drawing is not None:
            found.append(drawing)
        if len(found) == _CURVES or time.monotonic() > until_s:
            break
    return found


@dataclass(frozen=True, slots=True)
class _Step:
    """A dataset on the way back, and the program that made it, where one did."""

    dataset: Dataset
    program: str
    parameters: str
    is_received: bool


def _steps(past: Provenance) -> list[_Step]:
    jobs = {job.id: job for job in past.jobs}
    received = {action.dataset for action in past.actions if action.kind is ActionKind.RECEIVED}
    found: list[_Step] = []
    for dataset in past.datasets[:_STEPS]:
        job = jobs.get(dataset.made_by) if dataset.made_by else None
        told = (f"{job.program} {job.version}", job.parameters_json) if job else ("", "")
        found.append(_Step(dataset, *told, dataset.id in received))
    return found


def dataset_json(call: Call) -> Response:
    """Everything that the page shows."""
    dataset = call.dataset()
    if dataset is None:
        return call.missing()
    found = history(call.guest.store, dataset.id)
    past = found.known
    return json_answer(
        {
            **dataset_record(dataset),
            "provenance": {
                "datasets": [brief_record(d.brief) for d in past.datasets],
                "jobs": [job_record(j) for j in past.jobs],
                "samples": [sample_record(s) for s in past.samples],
                "instruments": [instrument_record(i) for i in past.instruments],
                "actions": [action_record(a) for a in past.actions],
                "derived": [brief_record(d) for d in call.guest.store.derived(dataset.id)],
            },
            "claimed": [_telling_record(telling) for telling in found.told],
            "events": [_deed_record(deed) for deed in found.deeds.get(dataset.id, [])],
        }
    )


def _deed_record(deed: Deed) -> dict[str, Any]:
    return {
        "kind": deed.kind,
        "time": Speaker.stamp(deed.at_unix_s),
        "place": deed.place,
        "who": deed.who,
        "mode": deed.mode,
        "epsilon": deed.epsilon,
        "key_ids": deed.key_ids,
        "keys": deed.keys,
        "manifest_sha256": deed.manifest_sha256,
        "simulated": deed.is_simulated,
        "has_receipt": deed.has_receipt,
    }


def _telling_record(telling: Telling) -> dict[str, Any]:
    """What nobody here has checked; `above` are numbers in the same list, of which the first is the dataset."""
    return {
        "dataset": telling.dataset,
        "by": telling.deed.place,
        "is_all": telling.is_all,
        "problem": telling.problem,
        "claims": [
            {
                "kind": claim.kind,
                "title": claim.title,
                "above": claim.above,
                "detail": claim.detail,
                "time": claim.at,
                "simulated": claim.is_simulated,
            }
            for claim in telling.claims
        ],
    }
