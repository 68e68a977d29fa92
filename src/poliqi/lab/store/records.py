"""What a laboratory remembers: samples, instruments, datasets and the jobs that made them.

Every record is immutable once it stands. Identifiers are random (128 bits, base32): they say nothing about content,
so that nobody learns from an identifier whether two organisations hold the same file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NewType

import msgspec

__all__ = [
    "Action",
    "ActionId",
    "ActionKind",
    "Brief",
    "Dataset",
    "DatasetId",
    "Instrument",
    "InstrumentId",
    "Job",
    "JobId",
    "Kind",
    "NewAction",
    "Provenance",
    "Sample",
    "SampleId",
    "StoredFile",
    "Task",
]

SampleId = NewType("SampleId", str)
InstrumentId = NewType("InstrumentId", str)
DatasetId = NewType("DatasetId", str)
JobId = NewType("JobId", str)
ActionId = NewType("ActionId", str)


class Kind(StrEnum):
    """How a dataset came to be."""

    MEASURED = "measured"
    """By an instrument, or brought in by somebody."""
    DERIVED = "derived"
    """By a job of this store."""
    SIMULATED = "simulated"
    """By a calculation in place of an instrument; so is everything that is derived from it, here and elsewhere."""
    RECEIVED = "received"
    """From another site, with its provenance; what is simulated stays SIMULATED wherever it goes."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A thing that is measured. `properties` are the owner's own words and numbers, units in the names."""

    id: SampleId
    name: str
    description: str = ""
    properties: Mapping[str, str] = field(default_factory=dict[str, str])
    made_unix_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Instrument:
    """A device that measures."""

    id: InstrumentId
    name: str
    description: str = ""
    place: str = ""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a dataset: `path` inside of it with slashes, `blake3` of its content in lower-case hexadecimals."""

    path: str
    size_bytes: int
    blake3: str
    media_type: str = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Job:
    """One run of a program: `program`, `version`, `parameters` and what the inputs hold decide its outputs.

    `key` is SHA-256 over them, with the path and BLAKE3 of every input file: a job with this key is not run
    again, also where the same files stand in the store twice. `parameters_json` is canonical JSON (sorted keys, no
    spaces).
    """

    id: JobId
    key: str
    program: str
    version: str
    parameters_json: str
    inputs: tuple[DatasetId, ...]
    output: DatasetId
    begun_unix_s: float
    ended_unix_s: float


@dataclass(frozen=True, slots=True)
class Dataset:
    """Files that belong together, described, immutable. `made_by` is set for what a job made."""

    id: DatasetId
    title: str
    kind: Kind
    files: tuple[StoredFile, ...]
    description: str = ""
    sample: SampleId | None = None
    instrument: InstrumentId | None = None
    licence: str = ""
    """SPDX identifier, or empty: nobody but the owner may use it."""
    creator: str = ""
    keywords: tuple[str, ...] = ()
    made_unix_s: float = 0.0
    made_by: JobId | None = None

    @property
    def size_bytes(self) -> int:
        """Of all files."""
        return sum(file.size_bytes for file in self.files)

    @property
    def is_simulated(self) -> bool:
        """True for a calculation in place of an instrument, and for all that is derived from one."""
        return self.kind is Kind.SIMULATED

    @property
    def brief(self) -> Brief:
        """Of it in a list."""
        about = self.id, self.title, self.kind, self.sample, self.instrument, self.made_unix_s
        return Brief(*about, len(self.files), self.size_bytes)


class Brief(msgspec.Struct, frozen=True, gc=False):
    """A dataset in a list: what is said of it however many files it has. Kept beside its record."""

    id: DatasetId
    title: str
    kind: Kind
    sample: SampleId | None
    instrument: InstrumentId | None
    made_unix_s: float
    file_count: int
    size_bytes: int

    @property
    def is_simulated(self) -> bool:
        """As of the dataset."""
        return self.kind is Kind.SIMULATED


@dataclass(frozen=True, slots=True)
class Task:
    """A job to be done: what decides its outputs (`program` to `inputs`), then how its dataset is described.

    Sample, instrument and licence that it names tell jobs apart too; a job that was done keeps its title.

    `parameters` hold what JSON can: strings, finite numbers, booleans, None, sequences and mappings of them.
    Where `simulated` is set, or an input is simulated, so is the output. Sample and instrument are those that all
    inputs share, where none is named.
    """

    program: str
    version: str
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])
    inputs: tuple[DatasetId, ...] = ()
    title: str = ""
    description: str = ""
    keywords: tuple[str, ...] = ()
    licence: str = ""
    creator: str = ""
    sample: SampleId | None = None
    instrument: InstrumentId | None = None
    simulated: bool = False


class ActionKind(StrEnum):
    """What was done with a dataset as a whole."""

    SENT = "sent"
    RECEIVED = "received"
    IMPORTED = "imported"


@dataclass(frozen=True, slots=True)
class NewAction:
    """An action to be entered: `key` tells it from others of its kind, such as the id of a transfer.

    `files` are small: receipts and metadata, by name.
    """

    kind: ActionKind
    key: str
    begun_unix_s: float
    ended_unix_s: float
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])
    files: Mapping[str, bytes] = field(default_factory=dict[str, bytes])


@dataclass(frozen=True, slots=True)
class Action:
    """What was done with a dataset: sent, received, imported. `facts_json` is canonical JSON, `files` receipts."""

    id: ActionId
    kind: ActionKind
    dataset: DatasetId
    key: str
    begun_unix_s: float
    ended_unix_s: float
    facts_json: str
    files: tuple[StoredFile, ...]


@dataclass(frozen=True, slots=True)
class Provenance:
    """All that a dataset comes from, itself first, then backwards: nearest first."""

    datasets: tuple[Dataset, ...]
    jobs: tuple[Job, ...]
    actions: tuple[Action, ...]
    samples: tuple[Sample, ...]
    instruments: tuple[Instrument, ...]
