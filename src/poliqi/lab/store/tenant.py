"""What one tenant holds: datasets in, found, verified, copied out, jobs run once, where each came from.

A tenant has its own catalogue and its own files: no query, hash or free byte of one says anything of another.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar

from poliqi.base.errors import DataRefused, StoreError
from poliqi.edge.folder import check_private, make_private_folder
from poliqi.lab.store.blobs import Blobs
from poliqi.lab.store.catalogue import Catalogue
from poliqi.lab.store.copying import Tell, hash_of
from poliqi.lab.store.database import Database
from poliqi.lab.store.describing import check_keywords, check_time
from poliqi.lab.store.entrance import Entrance
from poliqi.lab.store.intake import Progress, disk_words, survey, take_in
from poliqi.lab.store.jobs import job_key, make_job, output_of
from poliqi.lab.store.licence import check_licence
from poliqi.lab.store.naming import check_hash, new_id
from poliqi.lab.store.outgoing import sweep_outgoing
from poliqi.lab.store.readout import copy_out
from poliqi.lab.store.records import (
    Action,
    ActionKind,
    Brief,
    Dataset,
    DatasetId,
    Instrument,
    InstrumentId,
    Job,
    JobId,
    Kind,
    NewAction,
    Provenance,
    Sample,
    SampleId,
    StoredFile,
    Task,
)
from poliqi.lab.store.schema import CATALOGUE
from poliqi.lab.store.search import condition
from poliqi.lab.store.settings import Limits
from poliqi.lab.store.staging import Draft, Staging
from poliqi.lab.store.tracing import trace

__all__ = ["TenantStore"]

_EMPTY: Final = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
"""BLAKE3 of nothing."""
_T = TypeVar("_T", Sample, Instrument)
_DERIVED: Final = "d.id IN (SELECT output FROM job JOIN input ON input.job = job.id WHERE input.dataset = ?)"


def _untold(*_: int) -> None:
    """For who wants no progress."""


class TenantStore:
    """Threads and processes may use it at once. What is missing: DataRefused; a failing disk: StoreError."""

    def __init__(
        self, folder: Path, name: str, limits: Limits, *, create: bool = False, vfs: str | None = None
    ) -> None:
        if create:
            for place in (folder, folder / "blobs", folder / "staging"):
                make_private_folder(place)
        check_private(folder)
        self.name: Final = name
        self.folder: Final = folder
        self.limits: Final = limits
        self._blobs: Final = Blobs(folder / "blobs")
        self._database: Final = Database(folder / "catalogue.sqlite", CATALOGUE, create=create, vfs=vfs)
        self._catalogue: Final = Catalogue(self._database)
        self._entrance: Final = Entrance(self._database, self._catalogue, self._blobs, limits)
        self._staging: Final = Staging(folder / "staging", self._entrance.take_back)
        try:
            self._staging.sweep()
            sweep_outgoing(folder)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the catalogue."""
        self._database.close()

    def __enter__(self) -> TenantStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # samples and instruments

    def add_sample(
        self,
        name: str,
        description: str = "",
        properties: Mapping[str, str] | None = None,
    ) -> Sample:
        """Raises DataRefused for a name that stands already."""
        return self._entrance.sample(name, description, properties or {})

    def add_instrument(self, name: str, description: str = "", place: str = "") -> Instrument:
        """As `add_sample`."""
        return self._entrance.instrument(name, description, place)

    def samples(self) -> list[Sample]:
        """By name."""
        return self._catalogue.samples()

    def sample(self, wanted: SampleId) -> Sample:
        """Raises DataRefused."""
        return self._catalogue.sample(wanted)

    def sample_named(self, text: str) -> Sample:
        """By its name, or the first letters of its identifier. Raises DataRefused where none or several fit."""
        return _one_of(self.samples(), text, "sample")

    def instrument_named(self, text: str) -> Instrument:
        """By its name, or the first letters of its identifier. Raises DataRefused where none or several fit."""
        return _one_of(self.instruments(), text, "instrument")

    def instruments(self) -> list[Instrument]:
        """By name."""
        return self._catalogue.instruments()

    def instrument(self, wanted: InstrumentId) -> Instrument:
        """Raises DataRefused."""
        return self._catalogue.instrument(wanted)

    # datasets

    def register(
        self,
        paths: Sequence[Path],
        *,
        title: str,
        kind: Kind = Kind.MEASURED,
        description: str = "",
        sample: SampleId | None = None,
        instrument: InstrumentId | None = None,
        licence: str = "",
        creator: str = "",
        keywords: Iterable[str] = (),
        made_unix_s: float | None = None,
        expected: Mapping[str, str] | None = None,
        action: NewAction | None = None,
        leave_out: Collection[str] = (),
        once: bool = False,
        progress: Progress = _untold,
    ) -> Dataset:
        """Take files in: a file under its name, a folder's files under their paths below it. All, or nothing.

        Paths in `leave_out` stay where they are. `expected` are the BLAKE3 by path that a sender promised; `action`
        is entered with the dataset. A file that stands in a simulated dataset of this tenant makes the new one
        simulated, whatever `kind` says (`made_simulated_by` tells which; not one from outside whose file stood here
        before as the tenant's own). With `once` the dataset of that kind that holds exactly these files is
        returned where there is one. Raises DataRefused for what is refused, StoreError where the disk does not take
        it.
        """
        if kind is Kind.DERIVED:
            raise ValueError("what is derived comes from run(), which knows from what")
        draft_of = Dataset(
            DatasetId(new_id()),
            title,
            kind,
            (),
            description,
            sample,
            instrument,
            check_licence(licence),
            creator,
            check_keywords(keywords),
            check_time(time.time() if made_unix_s is None else made_unix_s, "the time it was made"),
        )
        self._entrance.describe(draft_of)
        for digest in (expected or {}).values():
            check_hash(digest)
        with self._staging.hold() as draft:
            files = take_in(survey(paths, self.limits, leave_out), draft, self.limits, expected or {}, progress)
            dataset = replace(draft_of, files=tuple(files))
            return self._entrance.dataset(dataset, draft, action=action, once=once)

    def dataset(self, wanted: DatasetId) -> Dataset:
        """Raises DataRefused."""
        return self._catalogue.dataset(wanted)

    def resolve(self, start: str) -> DatasetId:
        """The one dataset whose identifier begins so; at least four letters. Raises DataRefused."""
        found = self._catalogue.ids_from(start) if len(start) >= 4 else []
        if len(found) != 1:
            what = "no dataset's identifier begins" if not found else "several identifiers begin"
            raise DataRefused(
                f"{what} with {start[:40]!r}; give at least 4 letters of one, `poliqi lab store list` shows them"
            )
        return found[0]

    def all_ids(self) -> list[DatasetId]:
        """Of every dataset, oldest first."""
        return self._catalogue.ids_from("")

    def find(
        self,
        words: str = "",
        kind: Kind | None = None,
        sample: SampleId | None = None,
        *,
        limit: int = 100,
        offset: int = 0,
    ) -> list[Brief]:
        """Newest first. Every word begins a word of title, description, keywords, sample or creator.

        `dataset` tells the rest of one. With a `limit` of -1 all of them.
        """
        return self._catalogue.briefs(*condition(words, kind, sample), limit, offset)

    def count(self, words: str = "", kind: Kind | None = None, sample: SampleId | None = None) -> int:
        """How many `find` would find without a limit."""
        return self._catalogue.count(*condition(words, kind, sample))

    def holding(self, path: Path) -> Dataset | None:
        """The oldest dataset with a file of exactly this content; so a tool finds what made the file it reads.

        As `holding_content`. Raises StoreError where `path` cannot be read.
        """
        try:
            with path.open("rb") as file:
                digest, _ = hash_of(file.fileno(), _untold)
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror}") from error
        return self.holding_content(digest)

    def holding_content(self, blake3: str) -> Dataset | None:
        """The oldest dataset with a file of this content: what a later job wrote the same again is no source of it.

        Of simulated ones and others the oldest simulated one, unless the file is empty, or that one came from
        outside when the file stood here already as the tenant's own.
        """
        return next(iter(self._catalogue.holding(blake3, prefer_simulated=blake3 != _EMPTY)), None)

    def made_simulated_by(self, dataset: Dataset) -> Brief | None:
        """The earlier dataset that made one simulated by holding a file of it; None where there is none."""
        digests = [file.blake3 for file in dataset.files if file.size_bytes]
        return next(iter(self._catalogue.made_simulated_by(dataset.id, digests)), None)

    def derived(self, wanted: DatasetId, *, limit: int = -1) -> list[Brief]:
        """What was made from it by jobs, directly; newest first."""
        return self._catalogue.briefs(_DERIVED, (wanted,), limit)

    def derived_count(self, wanted: DatasetId) -> int:
        """How many `derived` would give without a limit."""
        return self._catalogue.count(_DERIVED, (wanted,))

    # contents

    def file_path(self, file: StoredFile) -> Path:
        """Where its content stands: to read, never to write. Raises DataRefused where it is missing."""
        os.close(self._blobs.open(file))
        return self._blobs.path(file.blake3)

    def content(self, file: StoredFile, most_bytes: int) -> bytes:
        """All of a small file, held against its hash. Raises DataRefused where it is larger, or was changed."""
        return self._blobs.content(file, most_bytes)

    def verify(self, wanted: DatasetId, progress: Progress = _untold) -> tuple[str, ...]:
        """Read every file of it, and the receipts: what is missing or was changed, a line each."""
        files = list(self.dataset(wanted).files)
        for action in self.actions(wanted):
            files += action.files
        tell = _adding(progress, sum(file.size_bytes for file in files))
        return tuple(problem for file in files if (problem := self._blobs.problem(file, tell)) is not None)

    def catalogue_problems(self) -> list[str]:
        """What SQLite finds wrong with the catalogue itself, a line each."""
        return self._catalogue.problems()

    def copy_out(self, wanted: DatasetId, folder: Path, progress: Progress = _untold) -> None:
        """Its files into a new folder, each held against its hash; the folder is there whole or not at all.

        Raises ConfigError where `folder` stands already, DataRefused for what was changed, StoreError.
        """
        dataset = self.dataset(wanted)
        copy_out(dataset, folder, self._blobs, _adding(progress, dataset.size_bytes))

    @contextmanager
    def scratch(self) -> Generator[Path]:
        """A private empty folder on the store's disk, removed at the end, or swept where the process dies."""
        with self._staging.hold() as draft:
            yield draft.work

    # jobs

    def run(self, task: Task, work: Callable[[Path], None], progress: Progress = _untold) -> tuple[Dataset, bool]:
        """The dataset of a job, and whether it was there already.

        `work` writes its files into the folder it gets, and is called only where no job of the same key has been
        done; of two that ask at once, one works and the other waits for its result. Where `work` raises, or the
        process dies, nothing stays. Raises DataRefused, StoreError.
        """
        inputs = [self.dataset(name) for name in task.inputs]
        described = output_of(task, inputs, check_licence(task.licence))
        self._entrance.describe(described)
        key = job_key(task, inputs)
        done = self._catalogue.job(key, "key")
        if done is None:
            with self._staging.hold(f"job-{key}") as draft:
                done = self._catalogue.job(key, "key")
                if done is None:
                    return self._work(task, key, described, draft, work, progress), False
        return self.dataset(done.output), True

    def _work(
        self,
        task: Task,
        key: str,
        described: Dataset,
        draft: Draft,
        work: Callable[[Path], None],
        progress: Progress,
    ) -> Dataset:
        begun = check_time(time.time(), "now")
        with disk_words(draft.folder, self.limits, lambda: 0, only_full=True):
            work(draft.work)
        files = take_in(survey([draft.work], self.limits), draft, self.limits, {}, progress, own=True)
        job = make_job(task, key, described.id, begun, check_time(time.time(), "now"))
        dataset = replace(described, files=tuple(files), made_unix_s=job.ended_unix_s, made_by=job.id)
        return self._entrance.dataset(dataset, draft, job=job)

    def find_job(self, task: Task) -> Job | None:
        """The job that has done this task already, or None."""
        return self._catalogue.job(job_key(task, [self.dataset(name) for name in task.inputs]), "key")

    def job(self, wanted: JobId) -> Job:
        """Raises DataRefused."""
        found = self._catalogue.job(wanted)
        if found is None:
            raise DataRefused(f"there is no job {wanted[:60]!r} here")
        return found

    # provenance

    def add_action(self, wanted: DatasetId, action: NewAction) -> Action:
        """Enter what was done with a dataset. An action of the same kind and key stands once: it is returned."""
        self.dataset(wanted)
        with self._staging.hold() as draft:
            return self._entrance.action(wanted, action, draft)

    def actions(self, wanted: DatasetId) -> list[Action]:
        """In the order they were entered."""
        return self._catalogue.actions("dataset = ?", (wanted,))

    def find_action(self, kind: ActionKind, key: str) -> Action | None:
        """The one action of this kind and key, or None."""
        return self._catalogue.action(kind, key)

    def action_file(self, action: Action, name: str) -> bytes:
        """A receipt, held against its hash. Raises DataRefused."""
        for file in action.files:
            if file.path == name:
                return self.content(file, file.size_bytes)
        raise DataRefused(f"action {action.id} has no file {name[:60]!r}")

    def provenance(self, wanted: DatasetId) -> Provenance:
        """All that it comes from: datasets and jobs back to what was measured, samples, instruments, actions."""
        return trace(self._catalogue, wanted)


def _one_of(things: Sequence[_T], text: str, what: str) -> _T:
    fitting = [one for one in things if one.name == text]
    if not fitting and len(text) >= 4:
        fitting = [one for one in things if one.id.startswith(text)]
    if len(fitting) != 1:
        found = "no" if not fitting else "more than one"
        raise DataRefused(f"{found} {what} is called {text[:60]!r}; see `poliqi lab store {what} list`")
    return fitting[0]


def _adding(progress: Progress, total: int) -> Tell:
    done = 0

    def tell(count: int) -> None:
        nonlocal done
        done += count
        progress(done, total)

    return tell
