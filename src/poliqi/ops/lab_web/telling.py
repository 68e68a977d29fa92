"""Records of a laboratory as objects of its pages' JSON."""

from __future__ import annotations

import json
from typing import Any

from poliqi.lab.store.records import Action, Brief, Dataset, Instrument, Job, Sample, StoredFile
from poliqi.ops.web.speaker import Speaker

__all__ = [
    "action_record",
    "brief_record",
    "dataset_record",
    "file_records",
    "instrument_record",
    "job_record",
    "sample_record",
]


def brief_record(dataset: Brief) -> dict[str, Any]:
    """A dataset in a list."""
    return {
        "id": dataset.id,
        "title": dataset.title,
        "kind": dataset.kind,
        "simulated": dataset.is_simulated,
        "sample": dataset.sample,
        "instrument": dataset.instrument,
        "files": dataset.file_count,
        "size_bytes": dataset.size_bytes,
        "time": Speaker.stamp(dataset.made_unix_s),
    }


def dataset_record(dataset: Dataset) -> dict[str, Any]:
    """All of a dataset but its provenance."""
    return {
        **brief_record(dataset.brief),
        "description": dataset.description,
        "licence": dataset.licence,
        "creator": dataset.creator,
        "keywords": dataset.keywords,
        "made_by": dataset.made_by,
        "files": file_records(dataset.files),
    }


def file_records(files: tuple[StoredFile, ...]) -> list[dict[str, Any]]:
    """`number` is the one in the address of a file."""
    return [
        {
            "number": number,
            "path": file.path,
            "size_bytes": file.size_bytes,
            "blake3": file.blake3,
            "media_type": file.media_type,
        }
        for number, file in enumerate(files)
    ]


def sample_record(sample: Sample) -> dict[str, Any]:
    return {
        "id": sample.id,
        "name": sample.name,
        "description": sample.description,
        "properties": dict(sample.properties),
    }


def instrument_record(instrument: Instrument) -> dict[str, Any]:
    return {
        "id": instrument.id,
        "name": instrument.name,
        "description": instrument.description,
        "place": instrument.place,
    }


def job_record(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "program": job.program,
        "version": job.version,
        "parameters": json.loads(job.parameters_json),
        "inputs": job.inputs,
        "output": job.output,
        "begun": Speaker.stamp(job.begun_unix_s),
        "ended": Speaker.stamp(job.ended_unix_s),
    }


def action_record(action: Action) -> dict[str, Any]:
    return {
        "id": action.id,
        "kind": action.kind,
        "dataset": action.dataset,
        "facts": json.loads(action.facts_json),
        "begun": Speaker.stamp(action.begun_unix_s),
        "ended": Speaker.stamp(action.ended_unix_s),
        "files": [file.path for file in action.files],
    }
