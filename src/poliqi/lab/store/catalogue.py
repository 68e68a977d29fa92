"""Records of a tenant as rows of its catalogue, and back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec

from poliqi.base.errors import DataRefused, StoreError
from poliqi.lab.store.database import Database
from poliqi.lab.store.records import (
    Action,
    ActionId,
    ActionKind,
    Brief,
    Dataset,
    DatasetId,
    Instrument,
    InstrumentId,
    Job,
    JobId,
    Sample,
    SampleId,
    StoredFile,
)

__all__ = ["Catalogue", "canonical_json"]

_T = TypeVar("_T", Dataset, Brief)
_DATASETS: Final = msgspec.json.Decoder(list[Dataset])
_BRIEFS: Final = msgspec.json.Decoder(list[Brief])
_TAINTS: Final = (
    "d.kind = 'simulated' AND NOT ("
    "EXISTS (SELECT 1 FROM action a WHERE a.dataset = d.id AND a.kind IN ('received', 'imported')) "
    "AND EXISTS (SELECT 1 FROM file o CROSS JOIN dataset e ON e.seq = o.dataset "
    "WHERE o.blob = f.blob AND o.dataset < d.seq AND e.kind IN ('measured', 'derived')))"
)
"""Whether dataset d makes all that holds the content of its file f simulated: not where it came from outside and
the content stood here before as the tenant's own. Else any sender could make a tenant's measurements simulated."""


def canonical_json(value: Any) -> str:
    """Sorted keys, no spaces, no NaN. Raises DataRefused for what JSON cannot hold."""
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise DataRefused(f"parameters and facts hold what JSON can: {error}") from None


class Catalogue:
    """Reads as of the last commit; what enters does so inside `database.transaction()`."""

    def __init__(self, database: Database) -> None:
        self.database: Final = database

    def known_blobs(self, digests: Iterable[str]) -> set[str]:
        """Those of `digests` that the catalogue knows, inside a transaction."""
        rows = self.database.run(
            "SELECT hash FROM blob WHERE hash IN (SELECT value FROM json_each(?))", (json.dumps(list(digests)),)
        )
        return {digest for (digest,) in rows}

    def enter_blobs(self, files: Iterable[StoredFile]) -> None:
        rows = [(file.blake3, file.size_bytes) for file in files]
        self.database.run_many("INSERT OR IGNORE INTO blob VALUES (?, ?)", rows)

    def enter_sample(self, sample: Sample) -> None:
        row = (sample.id, sample.name, sample.description, canonical_json(dict(sample.properties)))
        self.database.run("INSERT INTO sample VALUES (?, ?, ?, ?, ?)", (*row, sample.made_unix_s))

    def enter_instrument(self, instrument: Instrument) -> None:
        row = (instrument.id, instrument.name, instrument.description, instrument.place)
        self.database.run("INSERT INTO instrument VALUES (?, ?, ?, ?)", row)

    def enter_dataset(self, dataset: Dataset, content: str, sample_name: str) -> None:
        """With its files and its words. `content` is the hash over its files."""
        self.enter_blobs(dataset.files)
        about = dataset.id, dataset.kind.value, dataset.sample, dataset.instrument, dataset.made_by, content
        texts = (msgspec.json.encode(one).decode() for one in (dataset.brief, dataset))
        [(seq,)] = self.database.run(
            "INSERT INTO dataset (id, kind, sample, instrument, made_by, content, brief, record) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING seq",
            (*about, *texts),
        )
        rows = [(seq, file.path, file.blake3) for file in dataset.files]
        self.database.run_many("INSERT INTO file VALUES (?, ?, ?)", rows)
        self.database.run(
            "INSERT INTO words (rowid, title, description, keywords, sample, creator) VALUES (?, ?, ?, ?, ?, ?)",
            (seq, dataset.title, dataset.description, "\n".join(dataset.keywords), sample_name, dataset.creator),
        )

    def enter_job(self, job: Job) -> None:
        row = (job.id, job.key, job.program, job.version, job.parameters_json, job.output)
        self.database.run(
            "INSERT INTO job VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*row, job.begun_unix_s, job.ended_unix_s)
        )
        rows = [(job.id, number, dataset) for number, dataset in enumerate(job.inputs)]
        self.database.run_many("INSERT INTO input VALUES (?, ?, ?)", rows)

    def enter_action(self, action: Action) -> None:
        self.enter_blobs(action.files)
        [(seq,)] = self.database.run(
            "INSERT INTO action (id, kind, dataset, key, begun_unix_s, ended_unix_s, facts) "
            "VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING seq",
            (
                action.id,
                action.kind.value,
                action.dataset,
                action.key,
                action.begun_unix_s,
                action.ended_unix_s,
                action.facts_json,
            ),
        )
        rows = [(seq, file.path, file.blake3, file.size_bytes, file.media_type) for file in action.files]
        self.database.run_many("INSERT INTO enclosure VALUES (?, ?, ?, ?, ?)", rows)

    def samples(self) -> list[Sample]:
        return [_sample(row) for row in self.database.read("SELECT * FROM sample ORDER BY name, id")]

    def sample(self, wanted: str) -> Sample:
        """Raises DataRefused where there is none."""
        return _sample(self._one("SELECT * FROM sample WHERE id = ?", wanted, "sample"))

    def instruments(self) -> list[Instrument]:
        return [_instrument(row) for row in self.database.read("SELECT * FROM instrument ORDER BY name, id")]

    def instrument(self, wanted: str) -> Instrument:
        """Raises DataRefused where there is none."""
        return _instrument(self._one("SELECT * FROM instrument WHERE id = ?", wanted, "instrument"))

    def dataset(self, wanted: str) -> Dataset:
        """Raises DataRefused where there is none."""
        return self._datasets([self._one("SELECT record FROM dataset WHERE id = ?", wanted, "dataset")])[0]

    def datasets(self, where: str, values: Sequence[Any], limit: int = -1) -> list[Dataset]:
        """Newest first; `where` is SQL of this package, what came from outside stands in `values`."""
        return self._datasets(self._column("record", where, values, limit, 0))

    def briefs(self, where: str, values: Sequence[Any], limit: int = -1, offset: int = 0) -> list[Brief]:
        """As `datasets`; no file of theirs is read, so that it costs by their number alone."""
        return self._decoded(_BRIEFS, self._column("brief", where, values, limit, offset))

    def _column(
        self, column: str, where: str, values: Sequence[Any], limit: int, offset: int
    ) -> list[tuple[Any, ...]]:
        return self.database.read(
            f"SELECT {column} FROM dataset d WHERE {where} ORDER BY d.seq DESC LIMIT ? OFFSET ?",  # noqa: S608  # SQL of this package
            (*values, limit, offset),
        )

    def _datasets(self, rows: Iterable[tuple[Any, ...]]) -> list[Dataset]:
        return self._decoded(_DATASETS, rows)

    def _decoded(self, decoder: msgspec.json.Decoder[list[_T]], rows: Iterable[tuple[Any, ...]]) -> list[_T]:
        try:
            return decoder.decode("[" + ",".join(text for (text,) in rows) + "]")
        except msgspec.DecodeError as error:
            raise StoreError(f"{self.database.path} is damaged: a dataset in it is none ({error})") from error

    def holding(self, digest: str, *, prefer_simulated: bool) -> list[Dataset]:
        """The oldest dataset with a file of this content, or the oldest that makes it simulated; else empty."""
        first = (
            "d.seq = (SELECT d.seq FROM file f CROSS JOIN dataset d ON d.seq = f.dataset WHERE f.blob = ? "  # noqa: S608  # of this package
            f"ORDER BY ? AND NOT ({_TAINTS}), d.seq LIMIT 1)"
        )
        return self.datasets(first, (digest, prefer_simulated), 1)

    def is_any_simulated(self, digests: Iterable[str]) -> bool:
        """Whether a dataset makes one of these contents simulated, inside a transaction."""
        return bool(
            self.database.run(
                "SELECT 1 FROM json_each(?) j CROSS JOIN file f ON f.blob = j.value "  # noqa: S608  # SQL of this package
                f"CROSS JOIN dataset d ON d.seq = f.dataset WHERE {_TAINTS} LIMIT 1",
                (json.dumps(list(digests)),),
            )
        )

    def made_simulated_by(self, wanted: DatasetId, digests: Iterable[str]) -> list[Brief]:
        """The oldest dataset that stood before `wanted` and makes one of these contents simulated; else empty."""
        first = (
            "d.seq = (SELECT min(d.seq) FROM json_each(?) j CROSS JOIN file f ON f.blob = j.value "  # noqa: S608  # SQL of this package
            "CROSS JOIN dataset d ON d.seq = f.dataset "
            f"WHERE d.seq < (SELECT seq FROM dataset WHERE id = ?) AND {_TAINTS})"
        )
        return self.briefs(first, (json.dumps(list(digests)), wanted), 1)

    def ids_from(self, start: str) -> list[DatasetId]:
        """Of datasets whose identifier begins so, oldest first."""
        rows = self.database.read(
            "SELECT id FROM dataset WHERE id >= ? AND id < ? ORDER BY seq", (start, start + "\U0010ffff")
        )
        return [DatasetId(name) for (name,) in rows]

    def problems(self) -> list[str]:
        """What SQLite finds wrong with the file, a line each."""
        rows = self.database.read("PRAGMA integrity_check")
        found = [text for (text,) in rows if text != "ok"]
        return found + [f"foreign key of {table}" for table, *_ in self.database.read("PRAGMA foreign_key_check")]

    def count(self, where: str, values: Sequence[Any]) -> int:
        [(count,)] = self.database.read(f"SELECT count(*) FROM dataset d WHERE {where}", values)  # noqa: S608  # SQL of this package
        return count

    def job(self, wanted: str, by: str = "id") -> Job | None:
        """By its "id", "key" or "output"; None where there is none."""
        statement = f"SELECT * FROM job WHERE {by} = ?"  # noqa: S608  # one of three columns
        for row in self.database.read(statement, (wanted,)):
            inputs = self.database.read("SELECT dataset FROM input WHERE job = ? ORDER BY number", (row[0],))
            name, key, program, version, parameters, output, begun, ended = row
            used = tuple(DatasetId(dataset) for (dataset,) in inputs)
            return Job(JobId(name), key, program, version, parameters, used, DatasetId(output), begun, ended)
        return None

    def actions(self, where: str, values: Sequence[Any]) -> list[Action]:
        """In the order they were entered; `where` is SQL of this package."""
        found: list[Action] = []
        for seq, name, kind, dataset, key, begun, ended, facts in self.database.read(
            f"SELECT * FROM action WHERE {where} ORDER BY seq",  # noqa: S608  # SQL of this package
            values,
        ):
            files = self.database.read(
                "SELECT name, size_bytes, blob, media_type FROM enclosure WHERE action = ? ORDER BY name", (seq,)
            )
            enclosed = tuple(StoredFile(*file) for file in files)
            found.append(
                Action(ActionId(name), ActionKind(kind), DatasetId(dataset), key, begun, ended, facts, enclosed)
            )
        return found

    def action(self, kind: ActionKind, key: str) -> Action | None:
        """The one of this kind and key, or None."""
        found = self.actions("kind = ? AND key = ?", (kind.value, key))
        return found[0] if found else None

    def _one(self, statement: str, wanted: str, what: str) -> tuple[Any, ...]:
        rows = self.database.read(statement, (wanted,))
        if not rows:
            raise DataRefused(f"there is no {what} {wanted[:60]!r} here: look at `poliqi lab store list`")
        return rows[0]


def _sample(row: Sequence[Any]) -> Sample:
    properties: Mapping[str, str] = msgspec.json.decode(row[3], type=dict[str, str])
    return Sample(SampleId(row[0]), row[1], row[2], properties, row[4])


def _instrument(row: Sequence[Any]) -> Instrument:
    return Instrument(InstrumentId(row[0]), *row[1:])
