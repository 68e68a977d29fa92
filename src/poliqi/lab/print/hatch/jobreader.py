"""Reading a print job from front to back, in bounded memory; docs/spec/print-job.md."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

import msgspec
import numpy as np
from blake3 import blake3

from poliqi.base.errors import DataRefused, words_of
from poliqi.edge.regularfile import open_regular
from poliqi.lab.print.hatch.jobformat import (
    END,
    END_BYTES,
    END_MARK,
    HEAD,
    HEAD_BYTES,
    MAGIC,
    MOST_JSON,
    MOST_VECTORS,
    PREFIX,
    RECORD_MARK,
    Header,
    Record,
    Sequence,
    Totals,
    check_header,
    check_record,
)

__all__ = ["Job", "check_job", "open_job", "read_job"]

_REMEDY: Final = "write it anew with `poliqi lab print slice`"
_VECTOR_BYTES: Final = 16


class Job:
    """A job that is being read: its `header`, its records once, and its `totals` after the last of them."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file: Final = file
        self._name: Final = name
        self._digest: Final = blake3()
        self._found = Totals(0, 0, 0)
        self.totals: Totals | None = None
        self.blake3 = ""
        """What the end says, once it was found right."""
        try:
            self.header: Final = self._header()
        except DataRefused as refused:
            raise self._named(refused) from refused

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def records(self) -> Iterator[Record]:
        """Each record as it is read, checked. The end is checked after the last: DataRefused may come then.

        Whoever drives a machine calls `check_job` first.
        """
        sequence = Sequence(self.header)
        try:
            while True:
                mark = self._take(4)
                if mark == END_MARK:
                    self._end(mark)
                    return
                record = self._record(mark)
                sequence.follow(record)
                yield record
        except DataRefused as refused:
            raise self._named(refused) from refused

    def _header(self) -> Header:
        start = self._take(PREFIX.size)
        magic, length, checksum = PREFIX.unpack(start)
        if magic != MAGIC:
            raise DataRefused("it does not begin as a print job; name another file")
        if not 2 <= length <= MOST_JSON:
            raise DataRefused(f"a header of {length} bytes; 2 to {MOST_JSON} are possible")
        text = self._take(length)
        if zlib.crc32(text, zlib.crc32(start[:12])) != checksum:
            raise DataRefused("the header's checksum differs")
        try:
            header = msgspec.json.decode(text, type=Header)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise DataRefused(f"the header is not as it has to be ({words_of(error)})") from error
        check_header(header)
        return header

    def _record(self, mark: bytes) -> Record:
        rest = self._take(HEAD_BYTES - 4)
        head = mark + rest
        if mark != RECORD_MARK:
            raise DataRefused(f"record {self._found.records} begins with {mark!a}")
        if zlib.crc32(head[:-4]) != int.from_bytes(head[-4:], "little"):
            raise DataRefused(f"record {self._found.records}: the checksum of its head differs")
        _, count, block, tile, layer, z, x, y, power, speed, length, checksum = HEAD.unpack(head[:-4])
        if not 1 <= count <= MOST_VECTORS:
            raise DataRefused(f"record {self._found.records}: {count} vectors; 1 to {MOST_VECTORS} are possible")
        payload = self._take(count * _VECTOR_BYTES)
        if zlib.crc32(payload) != checksum:
            raise DataRefused(f"record {self._found.records}: the checksum of its vectors differs")
        vectors = np.frombuffer(payload, dtype="<i4").reshape(-1, 4)
        record = Record(block, tile, layer, z, (x, y), power, speed, vectors)
        found = check_record(self.header, record)
        if found != length:
            raise DataRefused(f"record {self._found.records}: a length of {length} nm; its vectors have {found} nm")
        records, all_vectors, whole = self._found
        self._found = Totals(records + 1, all_vectors + count, whole + length)
        return record

    def _end(self, mark: bytes) -> None:
        rest = self._take(END.size - 4)
        digest = self._digest.digest()
        told = self._take(END_BYTES - END.size)
        _, reserved, *totals = END.unpack(mark + rest)
        if reserved or Totals(*totals) != self._found:
            raise DataRefused(f"the end says {tuple(totals)}; records, vectors and nm are {tuple(self._found)}")
        if not self._found.records:
            raise DataRefused("it has no record")
        if told != digest:
            raise DataRefused("the BLAKE3 at its end differs")
        if self._file.read(1):
            raise DataRefused("something stands behind its end")
        self.totals, self.blake3 = self._found, told.hex()

    def _take(self, size: int) -> bytes:
        try:
            data = self._file.read(size)
        except OSError as error:
            raise DataRefused(f"it cannot be read ({error.strerror or error})") from error
        if len(data) != size:
            raise DataRefused("it is cut short")
        self._digest.update(data)
        return data

    def _named(self, refused: DataRefused) -> DataRefused:
        words = str(refused).removeprefix("print job: ")
        return DataRefused(f"print job {self._name}: {words}; {_REMEDY}")


def open_job(path: Path) -> Job:
    """A job to read, and to close (`with`). Raises DataRefused for a header that cannot be used."""
    try:
        file = open_regular(path)
    except OSError as error:
        raise DataRefused(f"print job {path}: cannot be read ({error.strerror or error}); name a job") from error
    try:
        return Job(file, str(path))
    except BaseException:
        file.close()
        raise


def read_job(file: BinaryIO, name: str = "job") -> Job:
    """A job from an open file of bytes. Raises DataRefused."""
    return Job(file, name)


def check_job(path: Path) -> Totals:
    """Read all of a file and keep nothing. Raises DataRefused where anything in it is wrong."""
    with open_job(path) as job:
        for _ in job.records():
            pass
        assert job.totals is not None
        return job.totals
