"""Writing a print job from front to back, in constant memory; docs/spec/print-job.md."""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import BinaryIO, Final

import msgspec
import numpy as np
from blake3 import blake3

from poliqi.base.errors import DataRefused
from poliqi.lab.print.hatch.jobformat import (
    END,
    END_MARK,
    HEAD,
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

__all__ = ["JobWriter"]


class JobWriter:
    """Writes header, records and end into a file; what a reader would refuse is refused (DataRefused).

    >>> writer = JobWriter(file, header)
    >>> writer.add(record)
    >>> writer.finish()
    """

    def __init__(self, file: BinaryIO, header: Header) -> None:
        check_header(header)
        text = msgspec.json.encode(header)
        if len(text) > MOST_JSON:
            raise DataRefused(
                f"print job: a header of {len(text)} bytes; {MOST_JSON} are possible: shorten settings"
            )
        self._file: Final = file
        self._header: Final = header
        self._sequence: Final = Sequence(header)
        self._digest: Final = blake3()
        self._totals = Totals(0, 0, 0)
        self._bytes = 0
        start = PREFIX.pack(MAGIC, len(text), 0)[:12]
        self._write(start + zlib.crc32(text, zlib.crc32(start)).to_bytes(4, "little") + text)

    @property
    def bytes(self) -> int:
        """How many were written so far."""
        return self._bytes

    @property
    def totals(self) -> Totals:
        """What was written so far."""
        return self._totals

    def add(self, record: Record) -> None:
        """Write vectors; more than a record takes become several, none become nothing."""
        if len(record.vectors) <= MOST_VECTORS:
            if len(record.vectors):
                self._add(record)
            return
        for at in range(0, len(record.vectors), MOST_VECTORS):
            self._add(replace(record, vectors=record.vectors[at : at + MOST_VECTORS]))

    def _add(self, record: Record) -> None:
        length = check_record(self._header, record)
        self._sequence.follow(record)
        payload = np.ascontiguousarray(record.vectors, dtype="<i4").data.cast("B")
        head = HEAD.pack(
            RECORD_MARK,
            len(record.vectors),
            record.block,
            record.tile,
            record.layer,
            record.z_nm,
            *record.centre_nm,
            record.power_mw,
            record.speed_mm_s,
            length,
            zlib.crc32(payload),
        )
        self._write(head + zlib.crc32(head).to_bytes(4, "little"))
        self._write(payload)
        records, vectors, whole = self._totals
        self._totals = Totals(records + 1, vectors + len(record.vectors), whole + length)

    def finish(self) -> str:
        """Write the end; returns the BLAKE3 in it as hexadecimal digits. DataRefused where nothing was added."""
        if not self._totals.records:
            raise DataRefused("print job: nothing is lit; check mode, pitch and domain")
        self._write(END.pack(END_MARK, 0, *self._totals))
        self._file.write(self._digest.digest())
        self._bytes += self._digest.digest_size
        return self._digest.hexdigest()

    def _write(self, data: bytes | memoryview) -> None:
        self._digest.update(data)
        self._file.write(data)
        self._bytes += len(data)
