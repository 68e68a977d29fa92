"""A dataset as entities of a crate: its root, its files, licence, creator, sample and instrument."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from poliqi.lab.store.crate.licences import licence_entities
from poliqi.lab.store.crate.paths import id_of
from poliqi.lab.store.crate.terms import SIMULATED, entity, ref, refs, term
from poliqi.lab.store.records import Dataset, Instrument, Sample, StoredFile

__all__ = ["file_entity", "iso", "property_value", "root_entities", "thing_entities"]


def iso(unix_s: float) -> str:
    """A moment in UTC, as "2026-11-23T07:00:00.123Z"."""
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def property_value(name: str, word: str, value: Any, about: str = "") -> dict[str, Any]:
    """A named value of something; `word` is one of `terms`, or free."""
    known = term(word) if word else ""
    return {**entity(name, "PropertyValue", name=about or word, propertyID=known), "value": value}


def root_entities(dataset: Dataset, publisher: str) -> list[dict[str, Any]]:
    """The root "./", first, and what it refers to; without its parts."""
    licence, found = licence_entities(dataset.licence)
    root = entity(
        "./",
        "Dataset",
        name=dataset.title,
        description=_description(dataset),
        datePublished=iso(dataset.made_unix_s),
        license=licence,
        identifier=dataset.id,
        keywords=list(dataset.keywords),
    )
    if dataset.creator:
        found.append(entity("#creator", "Person", name=dataset.creator))
        root["author"] = ref("#creator")
    if publisher:
        found.append(entity("#publisher", "Organization", name=publisher))
        root["publisher"] = ref("#publisher")
    if dataset.is_simulated:
        found.append(property_value("#simulated", SIMULATED, value=True))
        root["additionalProperty"] = ref("#simulated")
    if dataset.sample is not None:
        root["about"] = ref(f"#sample-{dataset.sample}")
    return [root, *found]


def _description(dataset: Dataset) -> str:
    text = dataset.description or f"{len(dataset.files)} files, {dataset.size_bytes:,} bytes."
    if dataset.is_simulated and "simulated" not in text.lower():
        return f"SIMULATED, not measured. {text}"
    return text


def file_entity(file: StoredFile) -> dict[str, Any]:
    """A file as a data entity."""
    return entity(
        id_of(file.path),
        "File",
        contentSize=str(file.size_bytes),
        encodingFormat=file.media_type,
        blake3=file.blake3,
    )


def thing_entities(samples: Sequence[Sample], instruments: Sequence[Instrument]) -> list[dict[str, Any]]:
    """Samples with their properties, and instruments."""
    found: list[dict[str, Any]] = []
    for sample in samples:
        name = f"#sample-{sample.id}"
        values = [
            property_value(f"{name}-{number}", "", value, key)
            for number, (key, value) in enumerate(sorted(sample.properties.items()))
        ]
        described = entity(name, "IndividualProduct", name=sample.name, description=sample.description)
        described |= {"additionalType": "sample", "identifier": sample.id}
        if values:
            described["additionalProperty"] = refs([value["@id"] for value in values])
        found += [described, *values]
    for instrument in instruments:
        name, about = f"#instrument-{instrument.id}", instrument.description
        described = entity(name, "IndividualProduct", name=instrument.name, description=about)
        found.append(
            described | entity(name, "IndividualProduct", location=instrument.place, identifier=instrument.id)
        )
    return found
