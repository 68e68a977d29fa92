"""What makes two jobs the same, and what becomes of their outputs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from poliqi.base.errors import DataRefused
from poliqi.lab.store.catalogue import canonical_json
from poliqi.lab.store.describing import check_keywords
from poliqi.lab.store.intake import content_hash
from poliqi.lab.store.naming import new_id
from poliqi.lab.store.records import Dataset, DatasetId, Job, JobId, Kind, Task

__all__ = ["job_key", "make_job", "output_of"]


def job_key(task: Task, inputs: Sequence[Dataset]) -> str:
    """SHA-256 over program, version, parameters, and of each input its files and whether it is simulated.

    Also sample, instrument and licence where the task names them, so that what was made for one sample, or under
    one licence, is never given out as that of another. Title and other words stay those of whoever asked first.
    Raises DataRefused where the parameters are none of JSON.
    """
    if not task.program or not task.version:
        raise DataRefused("a job needs the name and the version of its program: they decide whether it was done")
    what = {
        "inputs": [[content_hash(one.files), one.is_simulated] for one in inputs],
        "parameters": dict(task.parameters),
        "program": task.program,
        "simulated": task.simulated,
        "version": task.version,
    }
    about = {"sample": task.sample, "instrument": task.instrument, "licence": task.licence}
    what |= {name: value for name, value in about.items() if value}
    return hashlib.sha256(canonical_json(what).encode(errors="surrogatepass")).hexdigest()


def output_of(task: Task, inputs: Sequence[Dataset], licence: str) -> Dataset:
    """The dataset that the job is to make, without its files: simulated where anything it comes from is."""
    is_simulated = task.simulated or any(one.is_simulated for one in inputs)
    samples = {one.sample for one in inputs}
    instruments = {one.instrument for one in inputs}
    return Dataset(
        DatasetId(new_id()),
        task.title or task.program,
        Kind.SIMULATED if is_simulated else Kind.DERIVED,
        (),
        task.description,
        task.sample or (samples.pop() if len(samples) == 1 else None),
        task.instrument or (instruments.pop() if len(instruments) == 1 else None),
        licence,
        task.creator,
        check_keywords(task.keywords),
    )


def make_job(task: Task, key: str, output: DatasetId, begun_unix_s: float, ended_unix_s: float) -> Job:
    """The record of a job that was done."""
    parameters = canonical_json(dict(task.parameters))
    what = JobId(new_id()), key, task.program, task.version, parameters
    return Job(*what, tuple(task.inputs), output, begun_unix_s, ended_unix_s)
