"""The provenance of a dataset as nodes of a drawing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from poliqi.lab.store.records import ActionKind, Dataset, Provenance
from poliqi.ops.lab_web.graph import Node
from poliqi.ops.lab_web.history import Deed
from poliqi.ops.web.speaker import Speaker

__all__ = ["lineage_nodes"]

_DATASETS: Final = 24
"""Of what it comes from, the nearest; a list on the page has more."""
_AFTER: Final = 6
_DEEDS: Final = 6


def lineage_nodes(say: Speaker, past: Provenance, derived: Sequence[Dataset], deeds: Sequence[Deed]) -> list[Node]:
    """From sample and instrument by jobs to the dataset, and on to what was made of it and where it was sent."""
    near = past.datasets[:_DATASETS]
    here = near[0]
    shown = {dataset.id for dataset in near}
    samples = {d.sample for d in near} & {s.id for s in past.samples}
    instruments = {d.instrument for d in near} & {i.id for i in past.instruments}
    nodes = [Node(s.id, "sample", say("lab.sample"), s.name) for s in past.samples if s.id in samples]
    nodes += [
        Node(i.id, "instrument", say("lab.instrument"), i.name) for i in past.instruments if i.id in instruments
    ]
    for job in past.jobs:
        if job.output in shown:
            nodes.append(Node(job.id, "job", say("lab.job"), f"{job.program} {job.version}", tuple(job.inputs)))
    came = [deed for deed in deeds if deed.kind is not ActionKind.SENT][:_DEEDS]
    went = [deed for deed in deeds if deed.kind is ActionKind.SENT][-_DEEDS:]
    nodes += [_deed(say, deed, ()) for deed in came]
    for dataset in reversed(near):
        extra = tuple(deed.id for deed in came) if dataset is here else ()
        nodes.append(_dataset(say, dataset, (*_above(dataset), *extra), dataset is here))
    nodes += [_dataset(say, dataset, (here.id,), False) for dataset in derived[:_AFTER]]
    nodes += [_deed(say, deed, (here.id,)) for deed in went]
    return nodes


def _above(dataset: Dataset) -> tuple[str, ...]:
    """What stands right above it: the job that made it, else sample and instrument."""
    if dataset.made_by is not None:
        return (dataset.made_by,)
    return tuple(found for found in (dataset.sample, dataset.instrument) if found is not None)


def _dataset(say: Speaker, dataset: Dataset, above: tuple[str, ...], is_here: bool) -> Node:
    href = "" if is_here else f"/lab/datasets/{dataset.id}"
    return Node(
        dataset.id, "dataset", say("lab.dataset"), dataset.title, above, href, is_here, dataset.is_simulated
    )


def _deed(say: Speaker, deed: Deed, above: tuple[str, ...]) -> Node:
    return Node(
        deed.id, "action", say(f"lab_{deed.kind}.short"), deed.place or "–", above, is_simulated=deed.is_simulated
    )
