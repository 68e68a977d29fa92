"""Where records enter a tenant's store: each with its files, in one transaction, or not at all."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from poliqi.base.errors import DataRefused
from poliqi.lab.store.blobs import Blobs
from poliqi.lab.store.catalogue import Catalogue, canonical_json
from poliqi.lab.store.database import Database
from poliqi.lab.store.describing import check_line, check_properties, check_text, check_time
from poliqi.lab.store.intake import content_hash, disk_words, take_bytes
from poliqi.lab.store.naming import check_id, new_id
from poliqi.lab.store.records import (
    Action,
    ActionId,
    Dataset,
    DatasetId,
    Instrument,
    InstrumentId,
    Job,
    Kind,
    NewAction,
    Sample,
    SampleId,
    StoredFile,
)
from poliqi.lab.store.settings import Limits
from poliqi.lab.store.staging import Draft

__all__ = ["Entrance"]


class Entrance:
    """The one writer of a catalogue and its blobs. Raises DataRefused, StoreError."""

    def __init__(self, database: Database, catalogue: Catalogue, blobs: Blobs, limits: Limits) -> None:
        self._database: Final = database
        self._catalogue: Final = catalogue
        self._blobs: Final = blobs
        self._limits: Final = limits

    def sample(self, name: str, description: str, properties: Mapping[str, str]) -> Sample:
        """A new sample."""
        check_line(name, "the sample's name", is_needed=True)
        check_text(description, "the sample's description")
        notes, now = check_properties(properties), check_time(time.time(), "now")
        with self._database.transaction():
            self._check_name(name, "sample", self._catalogue.samples())
            made = Sample(SampleId(new_id()), name, description, notes, now)
            self._catalogue.enter_sample(made)
        return made

    def instrument(self, name: str, description: str, place: str) -> Instrument:
        """A new instrument."""
        check_line(name, "the instrument's name", is_needed=True)
        check_text(description, "the instrument's description")
        check_line(place, "the instrument's place")
        with self._database.transaction():
            self._check_name(name, "instrument", self._catalogue.instruments())
            made = Instrument(InstrumentId(new_id()), name, description, place)
            self._catalogue.enter_instrument(made)
        return made

    def _check_name(self, name: str, what: str, standing: Iterable[Sample | Instrument]) -> None:
        if any(one.name == name for one in standing):
            raise DataRefused(f"{what} {name[:60]!r} stands already: use it, or name the new one otherwise")

    def describe(self, dataset: Dataset) -> None:
        """Refuse what cannot be shown, and a sample or an instrument that is not there."""
        check_line(dataset.title, "the title", is_needed=True)
        check_text(dataset.description, "the description")
        check_line(dataset.creator, "the creator")
        if dataset.sample is not None:
            self._catalogue.sample(dataset.sample)
        if dataset.instrument is not None:
            self._catalogue.instrument(dataset.instrument)

    def check_new(self, table: str, wanted: str) -> None:
        """Refuse an identifier that is none, or that stands."""
        check_id(wanted, table)
        if self._database.run(f"SELECT 1 FROM {table} WHERE id = ?", (wanted,)):  # noqa: S608  # a table's name
            raise DataRefused(f"{table} {wanted} stands already: nothing is ever replaced")

    def dataset(
        self,
        dataset: Dataset,
        draft: Draft,
        *,
        job: Job | None = None,
        action: NewAction | None = None,
        once: bool = False,
    ) -> Dataset:
        """Enter what the draft holds, with the job that made it or the action that brought it.

        What no job made is simulated where one of its files, unless empty, stands in a simulated dataset already;
        not where that came from outside, later than the tenant's own dataset that holds the file. With `once`, the
        dataset of the kind that it then has which holds exactly these files, where there is one.
        """
        content = content_hash(dataset.files)
        made = self._make(dataset.id, action, draft) if action is not None else None
        with self._database.transaction():
            if job is None and self._catalogue.is_any_simulated(f.blake3 for f in dataset.files if f.size_bytes):
                dataset = replace(dataset, kind=Kind.SIMULATED)
            if once:
                found = self._catalogue.datasets("d.content = ? AND d.kind = ?", (content, dataset.kind.value), 1)
                if found:
                    return found[0]
            self.check_new("dataset", dataset.id)
            if made is not None and (standing := self._catalogue.action(made.kind, made.key)) is not None:
                raise DataRefused(f"{made.kind} {made.key[:60]!r} stands already, as dataset {standing.dataset}")
            name = self._catalogue.sample(dataset.sample).name if dataset.sample else ""
            self._place((*dataset.files, *(made.files if made else ())), draft)
            self._catalogue.enter_dataset(dataset, content, name)
            if job is not None:
                self._catalogue.enter_job(job)
            if made is not None:
                self._catalogue.enter_action(made)
        draft.is_entered = True
        return dataset

    def action(self, dataset: DatasetId, action: NewAction, draft: Draft) -> Action:
        """Enter what was done with a dataset; the action of this kind and key, where there is one."""
        made = self._make(dataset, action, draft)
        with self._database.transaction():
            standing = self._catalogue.action(made.kind, made.key)
            if standing is not None:
                return standing
            self._place(made.files, draft)
            self._catalogue.enter_action(made)
        draft.is_entered = True
        return made

    def _make(self, dataset: DatasetId, action: NewAction, draft: Draft) -> Action:
        check_line(action.key, "the action's key", is_needed=True)
        begun, ended = (check_time(at, "the action's time") for at in (action.begun_unix_s, action.ended_unix_s))
        facts = canonical_json(dict(action.facts))
        with disk_words(draft.folder, self._limits, lambda: 0):
            files = tuple(take_bytes(name, data, draft) for name, data in sorted(action.files.items()))
        return Action(ActionId(new_id()), action.kind, dataset, action.key, begun, ended, facts, files)

    def _place(self, files: Sequence[StoredFile], draft: Draft) -> None:
        digests = sorted({file.blake3 for file in files})
        with disk_words(self._blobs.folder, self._limits, lambda: 0):
            self._blobs.place(draft.content, digests, self._catalogue.known_blobs(digests))

    def take_back(self, digests: Iterable[str]) -> None:
        """Remove the blobs that a draft may have placed without its commit."""
        wanted = set(digests)
        with self._database.transaction():
            for digest in wanted - self._catalogue.known_blobs(wanted):
                self._blobs.remove(digest)
