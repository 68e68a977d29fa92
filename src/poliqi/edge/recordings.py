"""Recordings as files: opened in place, written in one stream of constant memory, never half there."""

from __future__ import annotations

import mmap
import os
import shutil
import stat
import tempfile
import zlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.edge.wholefile import whole_file
from poliqi.link.binary import MAGIC, Header, columns_of, decode_recording, encode_header, metadata_of
from poliqi.link.csv import decode_csv
from poliqi.link.device import MAX_SLOT, Detections, check_bytes, check_detections
from poliqi.link.recording import MAX_EVENTS, Light, Recording, check_light, state_bytes

__all__ = ["open_recording", "write_recording"]

_SNIFFED: Final = 96  # a binary header's fixed part; text has no zero byte in it
_COPIED: Final = 1 << 20


def open_recording(path: Path) -> Recording:
    """Map a file of events into memory and check all of it; binary or CSV, told apart by what is in it.

    A binary file's arrays are the file itself: nothing is copied, and the file must not be changed in
    place while they are used (replacing it by a new one does no harm). Raises ConfigError where the file
    cannot be read, DataRefused where its content cannot be used.
    """
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise ConfigError(f"{path} is not a regular file; save the events to a file first")
            if found.st_size == 0:
                raise DataRefused(f"{path} is empty; record again")
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}; name a file of events") from error
    start = bytes(data[:_SNIFFED])
    is_binary = start.startswith(MAGIC) or b"\0" in start
    try:
        return decode_recording(data) if is_binary else decode_csv(data)
    except DataRefused as error:
        raise DataRefused(f"{path}: {error}") from error


def write_recording(
    path: Path,
    light: Light,
    chunks: Iterable[tuple[Detections, NDArray[np.uint8]]],
    *,
    overwrite: bool = False,
) -> Header:
    """Write a recording from stretches of detections, each with Alice's states of its slots.

    The stretches follow each other from slot 0 on. The file is made under another name beside `path`,
    readable by its owner alone, and gets its own name once all of it is on disk. Returns its header.
    Raises ConfigError where `path` exists and `overwrite` is not set, DataRefused where the stretches or
    `light` contradict themselves, StoreError where the disk does not take them.
    """
    check_light(light)
    with whole_file(path, overwrite=overwrite) as file:
        return _write(file, path.parent, light, chunks)


def _write(
    file: BinaryIO, folder: Path, light: Light, chunks: Iterable[tuple[Detections, NDArray[np.uint8]]]
) -> Header:
    """Slots go to their place at once, the two narrow columns to nameless files until the slots end."""
    metadata_length = len(metadata_of(light.link))
    header = Header(light, pulses=0, events=0, checksums=(0, 0, 0))
    with tempfile.TemporaryFile(dir=folder) as states, tempfile.TemporaryFile(dir=folder) as outcomes:
        file.seek(columns_of(metadata_length, 0).slots)
        for detections, prepared in chunks:
            header = _append(header, detections, prepared, (file, states, outcomes))
        if header.pulses == 0:
            raise DataRefused("recording: no pulses to write; ask for at least 1")
        at = columns_of(metadata_length, header.events)
        for column, place in ((states, at.states), (outcomes, at.outcomes)):
            column.seek(0)
            file.seek(place)
            shutil.copyfileobj(column, file, _COPIED)
        file.truncate(at.file_length)
        file.seek(0)
        file.write(encode_header(header))
    return header


def _append(
    header: Header, detections: Detections, prepared: NDArray[np.uint8], files: tuple[BinaryIO, ...]
) -> Header:
    check_detections(detections)
    if detections.first_slot != header.pulses or header.pulses + detections.pulses > MAX_SLOT:
        raise DataRefused(
            f"recording: a stretch starts at slot {detections.first_slot}, must start at {header.pulses}"
        )
    events = header.events + detections.slots.size
    if events > MAX_EVENTS:
        raise DataRefused(f"recording: {events} events, at most {MAX_EVENTS}; record fewer pulses")
    check_bytes(prepared, detections.slots.size, state_bytes(header.light), "recording, states")
    checksums: list[int] = []
    columns = (detections.slots.astype("<i8", copy=False), prepared, detections.outcomes)
    for file, column, checksum in zip(files, columns, header.checksums, strict=True):
        data = np.ascontiguousarray(column).data
        file.write(data)
        checksums.append(zlib.crc32(data, checksum))
    slots, states, outcomes = checksums
    pulses = header.pulses + detections.pulses
    return replace(header, pulses=pulses, events=events, checksums=(slots, states, outcomes))
