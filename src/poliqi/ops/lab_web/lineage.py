"""The provenance of a dataset as nodes of a drawing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from poliqi.lab.store.crate.claims import ClaimKind
from poliqi.lab.store.crate.history import History, Telling
from poliqi.lab.store.deeds import Deed
from poliqi.lab.store.records import ActionKind, Brief, Dataset
from poliqi.ops.lab_web.graph import Node
from poliqi.ops.web.speaker import Speaker

__all__ = ["lineage_nodes"]

_DATASETS: Final = 24
"""Of what it comes from, the nearest; a list on the page has more."""
_AFTER: Final = 6
_DEEDS: Final = 6
_CLAIMS: Final = 24
"""Of each crate that tells of its past, the nearest."""
_TELLINGS: Final = 2
_STYLES: Final = {
    ClaimKind.DATASET: "dataset",
    ClaimKind.JOB: "job",
    ClaimKind.SAMPLE: "sample",
    ClaimKind.INSTRUMENT: "instrument",
    ClaimKind.DEED: "action",
}


def lineage_nodes(say: Speaker, found: History, derived: Sequence[Brief]) -> list[Node]:
    """From sample and instrument by jobs to the dataset, and on to what was made of it and where it was sent.

    What others claim stands above what brought it here, and looks otherwise.
    """
    past = found.known
    near = past.datasets[:_DATASETS]
    here = near[0]
    deeds = found.deeds.get(here.id, [])
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
    told = [one for one in found.told if one.dataset in shown and one.claims][:_TELLINGS]
    nodes += [node for telling in told for node in _claimed(say, telling)]
    drawn = {deed.id for deed in came}
    nodes += [_deed(say, deed, _ends(t for t in told if t.deed.id == deed.id)) for deed in came]
    for dataset in reversed(near):
        extra = tuple(deed.id for deed in came) if dataset is here else ()
        extra += _ends(t for t in told if t.dataset == dataset.id and t.deed.id not in drawn)
        nodes.append(_dataset(say, dataset, (*_above(dataset), *extra), dataset is here))
    nodes += [_dataset(say, dataset, (here.id,), False) for dataset in derived[:_AFTER]]
    nodes += [_deed(say, deed, (here.id,)) for deed in went]
    return nodes


def _claim_id(telling: Telling, number: int) -> str:
    """No identifier of a store is so long."""
    return f"claim-{telling.deed.id}-{number}"


def _ends(tellings: Iterable[Telling]) -> tuple[str, ...]:
    """What the dataset itself, the first claim, is said to come from."""
    return tuple(_claim_id(telling, number) for telling in tellings for number in telling.claims[0].above)


def _claimed(say: Speaker, telling: Telling) -> Iterator[Node]:
    for number, one in enumerate(telling.claims[:_CLAIMS]):
        if number:  # the first is the dataset itself
            above = tuple(_claim_id(telling, source) for source in one.above)
            kind = say("lab.claimed", what=say(f"lab_claim.{one.kind}"))
            name, style = _claim_id(telling, number), f"{_STYLES[one.kind]} claimed"
            yield Node(name, style, kind, one.title, above, is_simulated=one.is_simulated)


def _above(dataset: Dataset) -> tuple[str, ...]:
    """What stands right above it: the job that made it, else sample and instrument."""
    if dataset.made_by is not None:
        return (dataset.made_by,)
    return tuple(found for found in (dataset.sample, dataset.instrument) if found is not None)


def _dataset(say: Speaker, dataset: Dataset | Brief, above: tuple[str, ...], is_here: bool) -> Node:
    href = "" if is_here else f"/lab/datasets/{dataset.id}"
    return Node(
        dataset.id, "dataset", say("lab.dataset"), dataset.title, above, href, is_here, dataset.is_simulated
    )


def _deed(say: Speaker, deed: Deed, above: tuple[str, ...]) -> Node:
    return Node(
        deed.id, "action", say(f"lab_{deed.kind}.short"), deed.place or "–", above, is_simulated=deed.is_simulated
    )
