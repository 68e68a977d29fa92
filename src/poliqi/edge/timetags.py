"""Files of time tags and of Alice's states: opened as sources, read in chunks, written whole or not at all."""

from __future__ import annotations

import mmap
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.base.ids import Origin
from poliqi.edge import ptu
from poliqi.edge.wholefile import whole_file
from poliqi.link.recording import LinkFigures
from poliqi.link.timetags import container, raw, states
from poliqi.link.timetags.raw import TagHeader, TagWriting
from poliqi.link.timetags.states import StateHeader, StateTable, StateWriting
from poliqi.link.timetags.tags import Tagging, Tags, TagSource, check_tags, code_table
from poliqi.link.timetags.text import MAX_BYTES, TagText, encode_lines

__all__ = ["TagFile", "is_tag_file", "open_states", "open_tags", "write_states", "write_tags", "write_tags_text"]

_PIECE: Final = 1 << 18
_SNIFFED: Final = 16


@dataclass(frozen=True, slots=True)
class TagFile:
    """An opened file: `form` is raw, csv or ptu; `end_ps` how long the tagger listened, None where nobody says.

    `origin` is what keys of it would be of: SIMULATED where the file says so, else REPLAY.
    """

    source: TagSource
    form: str
    origin: Origin
    link: LinkFigures | None = None
    end_ps: int | None = None


def is_tag_file(path: Path) -> bool:
    """Whether a file's first bytes are those of tags: raw, PTU or text. Raises ConfigError."""
    start = _start(path)
    return start.startswith((raw.MAGIC, ptu.MAGIC)) or start.removeprefix(b"\xef\xbb\xbf").startswith(b"time_ps")


def open_tags(path: Path, tagging: Tagging | None = None) -> TagFile:
    """Open a file of tags, told apart by what is in it.

    A raw file says itself what its channels mean; `tagging` takes its place where it is given, and must be given
    for text and PTU files. Raises ConfigError where the file cannot be read, DataRefused where its content cannot
    be used.
    """
    start = _start(path)
    if start.startswith(raw.MAGIC):
        return _open_raw(path, tagging)
    if start.startswith(states.MAGIC):
        raise DataRefused(f"{path} holds Alice's states, not tags; name it with --alice, and Bob's tags as FILE")
    if tagging is None:
        raise ConfigError(f"{path} does not say what its channels mean; give --link LINK.toml, and --channels")
    if start.startswith(ptu.MAGIC):
        return TagFile(ptu.PtuTags(path, tagging), "ptu", Origin.REPLAY)
    if b"\0" in start or not start:
        raise DataRefused(f"{path}: it starts with {start[:8].hex(' ') or 'nothing'}: not a file of time tags")
    return TagFile(_TextTags(path, tagging), "csv", Origin.REPLAY)


def open_states(path: Path) -> StateTable:
    """Map a file of Alice's states. Raises ConfigError, DataRefused."""
    with _opened(path, "Alice's states") as file:
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    try:
        return StateTable(data)
    except DataRefused as error:
        raise DataRefused(f"{path}: {error}") from error


def write_tags(
    path: Path, header: TagHeader, chunks: Iterable[Tags], *, end_ps: int | None = None, overwrite: bool = False
) -> int:
    """Write a raw file of these tags; returns how many. Raises as `whole_file`, and DataRefused."""
    head, writing = raw.encode_head(header), TagWriting(header.tagging)
    with whole_file(path, overwrite=overwrite) as file:
        file.write(head)
        for tags in chunks:
            file.writelines(writing.chunk(tags))
        file.write(writing.end(end_ps))
    return writing.tags


def write_tags_text(path: Path, chunks: Iterable[Tags], *, overwrite: bool = False) -> None:
    """Write tags as comma-separated text. Raises as `whole_file`."""
    with whole_file(path, overwrite=overwrite) as file:
        file.writelines(encode_lines(chunks))


def write_states(
    path: Path,
    header: StateHeader,
    chunks: Iterable[NDArray[np.uint8]],
    *,
    first_slot: int = 0,
    overwrite: bool = False,
) -> None:
    """Write Alice's states of the slots from `first_slot` on. Raises as `whole_file`, and DataRefused."""
    head, writing = states.encode_head(header), StateWriting(header.levels, first_slot)
    with whole_file(path, overwrite=overwrite) as file:
        file.write(head)
        for chunk in chunks:
            file.writelines(writing.add(chunk))
        file.writelines(writing.end())


class _RawTags:
    """A raw file: one chunk a read."""

    def __init__(self, path: Path, file: BinaryIO, header: TagHeader) -> None:
        self._path: Final = path
        self._file: Final = file
        self._header: Final = header
        self._table: Final = code_table(header.tagging)
        self._last_ps = 0
        self._count = 0

    @property
    def tagging(self) -> Tagging:
        return self._header.tagging

    def read(self) -> Tags | None:
        if self._file.closed:
            return None
        try:
            record = raw.decode_record(self._file.read(container.RECORD))
            if record.mark == raw.END:
                raw.check_end(record, self._count, self._last_ps)
                if self._file.read(1):
                    raise DataRefused(f"tags: bytes stand behind the end; {container.REMEDY}")
                self._file.close()
                return None
            tags = raw.decode_chunk(record, memoryview(self._file.read(raw.payload_length(record))))
            check_tags(tags, self._table, self._last_ps, self._count)
        except DataRefused as error:
            raise DataRefused(f"{self._path}: {error}") from error
        self._last_ps = record.last
        self._count += record.count
        return tags

    def close(self) -> None:
        self._file.close()


class _TextTags:
    """A text: a quarter of a MiB a read."""

    def __init__(self, path: Path, tagging: Tagging) -> None:
        self._path: Final = path
        self._tagging: Final = tagging
        self._table: Final = code_table(tagging)
        self._file: Final = _opened(path)
        size = os.fstat(self._file.fileno()).st_size
        if size > MAX_BYTES:
            self._file.close()
            raise DataRefused(f"{path}: {size} bytes of text, at most {MAX_BYTES}; split it, or use the raw format")
        self._text: Final = TagText()
        self._count = 0

    @property
    def tagging(self) -> Tagging:
        return self._tagging

    def read(self) -> Tags | None:
        try:
            while not self._file.closed:
                piece = self._file.read(_PIECE)
                tags = self._text.feed(piece, last=len(piece) < _PIECE)
                if len(piece) < _PIECE:
                    self._file.close()
                if tags.times_ps.size:
                    check_tags(tags, self._table, 0, self._count)
                    self._count += tags.times_ps.size
                    return tags
        except DataRefused as error:
            raise DataRefused(f"{self._path}: {error}") from error
        return None

    def close(self) -> None:
        self._file.close()


def _open_raw(path: Path, tagging: Tagging | None) -> TagFile:
    file = _opened(path)
    try:
        start = file.read(container.HEADER_START)
        length = container.header_length_of(start, raw.MAGIC, "tags")
        header = raw.decode_head(start + file.read(length - len(start)))
        file.seek(-min(container.RECORD, os.fstat(file.fileno()).st_size), os.SEEK_END)
        last = file.read(container.RECORD)
        if not last.startswith(raw.END):
            raise DataRefused(
                f"tags: no end record at the end: cut short, or more stands behind it; {container.REMEDY}"
            )
        end = raw.decode_record(last)
        file.seek(length)
    except DataRefused as error:
        file.close()
        raise DataRefused(f"{path}: {error}") from error
    if tagging is not None:
        header = replace(header, tagging=tagging)
    origin = Origin.SIMULATED if header.origin is Origin.SIMULATED else Origin.REPLAY
    return TagFile(_RawTags(path, file, header), "raw", origin, header.link, end.last)


def _start(path: Path) -> bytes:
    with _opened(path) as file:
        return file.read(_SNIFFED)


def _opened(path: Path, what: str = "time tags") -> BinaryIO:
    try:
        file = path.open("rb")
        found = os.fstat(file.fileno())
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}; name a file of {what}") from error
    if not stat.S_ISREG(found.st_mode):
        file.close()
        raise ConfigError(f"{path} is not a regular file; save the {what} to a file first")
    if found.st_size == 0:
        file.close()
        raise DataRefused(f"{path} is empty; record again")
    return file
