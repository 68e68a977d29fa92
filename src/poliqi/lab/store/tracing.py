"""Where a dataset comes from, back to what was measured."""

from __future__ import annotations

from poliqi.lab.store.catalogue import Catalogue
from poliqi.lab.store.records import Action, Dataset, DatasetId, Job, Provenance

__all__ = ["trace"]


def trace(catalogue: Catalogue, wanted: DatasetId) -> Provenance:
    """Every dataset and job on the way back, nearest first, and what was done with them. Raises DataRefused."""
    datasets: dict[DatasetId, Dataset] = {}
    jobs: dict[str, Job] = {}
    actions: list[Action] = []
    waiting = [wanted]
    for name in waiting:
        if name in datasets:
            continue
        dataset = datasets[name] = catalogue.dataset(name)
        actions += catalogue.actions("dataset = ?", (name,))
        job = catalogue.job(dataset.made_by) if dataset.made_by else None
        if job is not None and job.id not in jobs:
            jobs[job.id] = job
            waiting += job.inputs
    samples = {one.sample: None for one in datasets.values() if one.sample is not None}
    instruments = {one.instrument: None for one in datasets.values() if one.instrument is not None}
    return Provenance(
        tuple(datasets.values()),
        tuple(jobs.values()),
        tuple(actions),
        tuple(catalogue.sample(name) for name in samples),
        tuple(catalogue.instrument(name) for name in instruments),
    )
