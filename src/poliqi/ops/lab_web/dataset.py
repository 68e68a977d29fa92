"""One dataset: what it is, its files and figures, where it comes from and where it went, and how to send it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from starlette.responses import Response

from poliqi.base.errors import PoliqiError
from poliqi.lab.store.records import ActionKind, Dataset, Provenance, StoredFile
from poliqi.ops.lab_web.call import Call
from poliqi.ops.lab_web.curves import may_be_curve
from poliqi.ops.lab_web.drawing import Drawing, drawing_of
from poliqi.ops.lab_web.figures import may_be_figure
from poliqi.ops.lab_web.graph import drawn_graph
from poliqi.ops.lab_web.history import Deed, deeds_of
from poliqi.ops.lab_web.lineage import lineage_nodes
from poliqi.ops.lab_web.telling import (
    action_record,
    brief_record,
    dataset_record,
    instrument_record,
    job_record,
    sample_record,
)
from poliqi.ops.web.visit import json_answer

__all__ = ["dataset_json", "dataset_page"]

_FIGURES: Final = 12
_CURVES: Final = 3
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
    past = store.provenance(dataset.id)
    derived = store.derived(dataset.id)
    deeds = deeds_of(store, dataset.id)
    entries = [_Entry(number, file) for number, file in enumerate(dataset.files)]
    figures = [entry for entry in entries if may_be_figure(entry.file)]
    page, pages = _page(call.visit.query.get("files", ""), len(entries))
    nodes = lineage_nodes(say, past, derived[:_DERIVED], deeds)
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
        "derived": derived[:_DERIVED],
        "derived_left": max(0, len(derived) - _DERIVED),
        "graph": drawn_graph(nodes, say("lab.graph_of", title=dataset.title), say("kind.simulated")),
        "deeds": deeds,
        "transfers": call.room.sendings.of(call.guest, dataset.id),
        "neighbours": [n for n in call.desk.view.neighbours if n.can_be_called],
        "subtab": "/lab",
        "json": f"/api/lab/datasets/{dataset.id}",
    }
    return call.page("lab_dataset.html", dataset.title, **more)


def _page(asked: str, count: int) -> tuple[int, int]:
    pages = max(1, -(-count // _FILES))
    number = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 8 else 1
    return min(max(1, number), pages), pages


def _drawings(call: Call, entries: list[_Entry]) -> list[Drawing]:
    """The first curves among the files that can be drawn; one that cannot is left to be saved."""
    found: list[Drawing] = []
    for entry in entries:
        if len(found) == _CURVES:
            break
        if may_be_curve(entry.file):
            try:
                path = call.guest.store.file_path(entry.file)
            except PoliqiError as error:
                call.room.complain(str(error))
                continue
            drawing = drawing_of(entry.file, path, call.say)
            if drawing is not None:
                found.append(drawing)
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
    past = call.guest.store.provenance(dataset.id)
    return json_answer(
        {
            **dataset_record(dataset),
            "provenance": {
                "datasets": [brief_record(d) for d in past.datasets],
                "jobs": [job_record(j) for j in past.jobs],
                "samples": [sample_record(s) for s in past.samples],
                "instruments": [instrument_record(i) for i in past.instruments],
                "actions": [action_record(a) for a in past.actions],
                "derived": [brief_record(d) for d in call.guest.store.derived(dataset.id)],
            },
            "events": [_deed_record(deed) for deed in deeds_of(call.guest.store, dataset.id)],
        }
    )


def _deed_record(deed: Deed) -> dict[str, Any]:
    return {
        "kind": deed.kind,
        "time": deed.stamp,
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
