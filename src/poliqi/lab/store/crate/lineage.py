"""Where a dataset comes from, as entities of a crate: jobs, what they read, how it came here and went elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from poliqi.lab.store.crate.describe import iso, property_value
from poliqi.lab.store.crate.terms import SIMULATED, SOFTWARE, entity, ref, refs
from poliqi.lab.store.records import Action, ActionKind, Dataset, DatasetId, Job, Provenance

__all__ = ["action_entities", "ancestor_entities", "job_entities", "measuring_entities", "place_of"]

_TYPES: Final[dict[ActionKind, str | list[str]]] = {
    ActionKind.SENT: ["CreateAction", "SendAction"],
    ActionKind.RECEIVED: ["CreateAction", "ReceiveAction"],
    ActionKind.IMPORTED: "CreateAction",
}
_FACTS: Final = {
    "transfer": "transfer",
    "mode": "mode of the stream",
    "policy": "policy of the stream",
    "epsilon": "what it may fail by (epsilon)",
    "simulated": "keys of simulated light, which protect nothing",
    "key_ids": "key IDs",
    "keys": "keys used",
    "manifest_sha256": "SHA-256 of the manifest",
    "sender_fingerprint": "fingerprint of the sender",
    "receiver_fingerprint": "fingerprint of the receiver",
    "size_bytes": "bytes sent",
}
"""Facts of a receipt that become properties, and what people read."""

Place = Callable[[DatasetId], str]


def place_of(found: Provenance) -> Place:
    """What each dataset of a provenance is called in the crate of its first."""
    first = found.datasets[0].id
    return lambda name: "./" if name == first else f"#dataset-{name}"


def ancestor_entities(datasets: tuple[Dataset, ...], place: Place) -> list[dict[str, Any]]:
    """Datasets that the crate's own came from, which are not in it: described, with the hash of what they held."""
    from poliqi.lab.store.intake import content_hash

    found: list[dict[str, Any]] = []
    for dataset in datasets:
        name = place(dataset.id)
        value = property_value(f"{name}-content", "content_sha256", content_hash(dataset.files))
        described = entity(
            name,
            "CreativeWork",
            name=dataset.title,
            description=dataset.description,
            identifier=dataset.id,
            dateCreated=iso(dataset.made_unix_s),
            creativeWorkStatus=dataset.kind.value,
            additionalProperty=ref(value["@id"]),
        )
        if dataset.sample is not None:
            described["about"] = ref(f"#sample-{dataset.sample}")
        found += [described, value]
    return found


def measuring_entities(dataset: Dataset, place: Place) -> list[dict[str, Any]]:
    """How a dataset that no job made came to be, where its sample or instrument is known."""
    if dataset.made_by is not None or (dataset.sample is None and dataset.instrument is None):
        return []
    what = "Simulated" if dataset.is_simulated else "Measured"
    made = entity(
        f"#made-{dataset.id}",
        "CreateAction",
        name=f"{what}: {dataset.title}",
        endTime=iso(dataset.made_unix_s),
        result=ref(place(dataset.id)),
    )
    if dataset.sample is not None:
        made["object"] = ref(f"#sample-{dataset.sample}")
    if dataset.instrument is not None:
        made["instrument"] = ref(f"#instrument-{dataset.instrument}")
    return [made]


def job_entities(job: Job, place: Place) -> list[dict[str, Any]]:
    """A job: its program, what it read and with which parameters, what it made."""
    name = f"#job-{job.id}"
    software = entity(
        f"#software-{job.key[:16]}",
        "SoftwareApplication",
        name=job.program,
        softwareVersion=job.version,
        version=job.version,
    )
    parameters: Mapping[str, Any] = msgspec.json.decode(job.parameters_json, type=dict[str, Any])
    values = [
        property_value(f"{name}-parameter-{number}", "", _scalar(value), key)
        for number, (key, value) in enumerate(sorted(parameters.items()))
    ]
    objects = [place(dataset) for dataset in job.inputs] + [value["@id"] for value in values]
    made = entity(
        name,
        "CreateAction",
        name=job.program,
        startTime=iso(job.begun_unix_s),
        endTime=iso(job.ended_unix_s),
        instrument=ref(software["@id"]),
        result=ref(place(job.output)),
    )
    if objects:
        made["object"] = refs(objects)
    return [made, software, *values]


def _scalar(value: Any) -> Any:
    """What is no text, number or truth value is written as JSON."""
    return value if isinstance(value, str | int | float | bool) else json.dumps(value, sort_keys=True)


def action_entities(action: Action, place: Place, receipts: list[str]) -> list[dict[str, Any]]:
    """Sending or receiving: both ends, and what the receipt says of keys. `receipts`: files that hold it."""
    facts: Mapping[str, Any] = msgspec.json.decode(action.facts_json, type=dict[str, Any])
    name = f"#{action.kind.value}-{action.id}"
    values = [
        property_value(f"{name}-{key}", key, facts[key], words)
        for key, words in _FACTS.items()
        if facts.get(key) not in (None, "")
    ]
    made = entity(
        name,
        _TYPES[action.kind],
        name=_title(action, facts),
        startTime=iso(action.begun_unix_s),
        endTime=iso(action.ended_unix_s),
        instrument=ref(SOFTWARE),
        object=ref(place(action.dataset)),
        result=ref(place(action.dataset)),
    )
    ends: list[dict[str, Any]] = []
    for role, end in (("agent", "sender"), ("recipient", "receiver")):
        if facts.get(end):
            ends.append(entity(f"#application-{facts[end]}", "Organization", name=str(facts[end])))
            made[role] = ref(ends[-1]["@id"])
    if values:
        made["additionalProperty"] = refs([value["@id"] for value in values])
    if receipts:
        made["subjectOf"] = refs(receipts)
    return [made, *ends, *values]


def _title(action: Action, facts: Mapping[str, Any]) -> str:
    mark = ", keys of SIMULATED light" if facts.get(SIMULATED) is True else ""
    ends = f"from {facts.get('sender', '?')} to {facts.get('receiver', '?')}"
    match action.kind:
        case ActionKind.SENT:
            return f"Sent {ends}{mark}"
        case ActionKind.RECEIVED:
            return f"Received {ends}{mark}"
        case ActionKind.IMPORTED:
            return "Taken in from a crate"
