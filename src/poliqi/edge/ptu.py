"""PicoQuant PTU files as a source of tags: T2 and T3 modes, decoded by the package `ptufile`.

Only the header and the meaning of a record are ptufile's; the file is read here, a stretch at a time. Tags keep the
numbers that ptufile gives inputs: input 1 of the instrument is 0. Markers and, in T2 mode, events of the sync input
are passed over: the slots are found from the light.
"""

from __future__ import annotations

import io
import logging
import math
import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import ConfigError, DataRefused, words_of
from poliqi.link.timetags.tags import MAX_TIME_PS, Tagging, Tags, check_tags, code_table

__all__ = ["MAGIC", "PtuTags"]

MAGIC: Final = b"PQTTTR\0\0"

_LONGEST_HEADER: Final = 1 << 20
_STRETCH: Final = 1 << 18
_REMEDY: Final = "copy the file again from where it was made, or record again"
_END: Final = b"Header_End"
_TAG: Final = 48  # bytes of an entry of the header without a string behind it


@dataclass(frozen=True, slots=True)
class _Mode:
    """Records in picoseconds: `unit` is a count (T2) or a sync period (T3), `bin_ps` a step within the latter."""

    t3: bool
    unit: Fraction
    bin_ps: float
    has_sync: bool
    can_jump: bool


class PtuTags:
    """Tags of a PTU file: satisfies `poliqi.link.timetags.tags.TagSource`.

    Raises ConfigError where the file cannot be read or ptufile is not installed, DataRefused where the file is no
    PTU file, is cut short or corrupt.
    """

    def __init__(self, path: Path, tagging: Tagging) -> None:
        self._module: Final = _ptufile()
        self._path: Final = path
        self._tagging: Final = tagging
        self._table: Final = code_table(tagging)
        try:
            self._file: Final[BinaryIO] = path.open("rb")
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror or error}; name a PTU file") from error
        try:
            self._ptu: Final = self._open()
            self._mode: Final = self._read_mode()
            self._left = self._records()
            self._wraps: Final = self._mode.can_jump and self._decoded_short()
        except BaseException:
            self._file.close()
            raise
        self._base = np.uint64(0)
        self._last_ps = 0
        self._count = 0
        self._held = Tags(np.empty(0, np.int64), np.empty(0, np.uint8))

    @property
    def tagging(self) -> Tagging:
        return self._tagging

    def read(self) -> Tags | None:
        """The next tags; None at the end. Raises DataRefused."""
        while self._left > 0 and not self._file.closed:
            n = min(_STRETCH, self._left)
            data = self._file.read(4 * n)
            if len(data) != 4 * n:
                raise DataRefused(f"{self._path}: {n} records asked, {len(data) // 4} came: cut short; {_REMEDY}")
            self._left -= n
            tags = self._decode(np.frombuffer(data, "<u4"))
            if tags.times_ps.size:
                return tags
        held, self._held = self._held, Tags(self._held.times_ps[:0], self._held.channels[:0])
        return self._checked(held) if held.times_ps.size else None

    def close(self) -> None:
        self._file.close()

    def _open(self) -> Any:
        head = self._file.read(_LONGEST_HEADER)
        if not head.startswith(MAGIC):
            raise DataRefused(f"{self._path}: it starts with {head[:8].hex(' ')}, not as a PTU file does")
        said = _Said()
        logger = logging.getLogger("ptufile")
        logger.addHandler(said)
        try:
            ptu: Any = self._module.PtuFile(io.BytesIO(head))
        except Exception as error:  # ptufile fails in ways of its own on what is damaged
            # without a first entry it stumbles over a name of its own, which tells nobody anything
            why = (
                f"no entry after its first {len(MAGIC) + 8} bytes"
                if isinstance(error, NameError)
                else words_of(error)
            )
            raise DataRefused(f"{self._path}: its header is corrupt ({why}); {_REMEDY}") from error
        finally:
            logger.removeHandler(said)
        at = int(ptu.record_offset)
        if said.errors or head[at - _TAG : at - _TAG + len(_END)] != _END:
            why = said.errors[0] if said.errors else f"no {_END.decode()} in its first {len(head)} bytes"
            raise DataRefused(f"{self._path}: its header is corrupt ({ascii(why)[:160]}); {_REMEDY}")
        return ptu

    def _read_mode(self) -> _Mode:
        kind, mode = self._whole("TTResultFormat_TTTRRecType"), self._whole("Measurement_Mode")
        known = {int(entry): str(entry.name) for entry in self._module.PtuRecordType}
        if kind not in known:
            raise DataRefused(
                f"{self._path}: records of type {kind:#x} are not known; {', '.join(known.values())} are"
            )
        name = known[kind]
        t3 = name.endswith("T3")
        if mode != (3 if t3 else 2):
            raise DataRefused(f"{self._path}: Measurement_Mode is {mode} with {name} records; {_REMEDY}")
        if self._whole("TTResultFormat_BitsPerRecord", 32) not in (0, 32):
            bits = self._whole("TTResultFormat_BitsPerRecord", 32)
            raise DataRefused(f"{self._path}: records of {bits} bits, must be 32; {_REMEDY}")
        unit = self._seconds("MeasDesc_GlobalResolution", 1e-3)
        bin_s = self._seconds("MeasDesc_Resolution", 1e-3) if t3 else 0.0
        scale = 10**6 if unit < 1e-7 else 10**3
        pico = name.startswith("PicoHarp")
        whole = max(1, round(unit * 1e12 * scale))
        return _Mode(t3, Fraction(whole, scale), bin_s * 1e12, not t3 and not pico, not t3 and not pico)

    def _records(self) -> int:
        """How many records to read; the file stands before the first."""
        stated = self._whole("TTResult_NumberOfRecords", 0)
        at = int(self._ptu.record_offset)
        there = (os.fstat(self._file.fileno()).st_size - at) // 4
        if stated <= 0:
            raise DataRefused(
                f"{self._path}: its header counts {stated} records and {there} follow: the measurement was not "
                f"ended; end it in the instrument's program, or save it again from there"
            )
        if there < stated:
            raise DataRefused(f"{self._path}: {there} records of {stated}: cut short; {_REMEDY}")
        self._file.seek(at)
        return stated

    def _whole(self, name: str, default: int | None = None) -> int:
        value = self._ptu.tags.get(name, default)
        if not isinstance(value, int):
            raise DataRefused(
                f"{self._path}: {name} is {value!a:.40} in its header, must be a whole number; {_REMEDY}"
            )
        return int(value)

    def _seconds(self, name: str, most: float) -> float:
        value = self._ptu.tags.get(name)
        if not (isinstance(value, float) and math.isfinite(value) and 1e-13 <= value <= most):
            raise DataRefused(f"{self._path}: {name} is {value!a:.40} s, must be 1e-13 to {most:g}; {_REMEDY}")
        return value

    def _decode(self, records: NDArray[np.uint32]) -> Tags:
        """The tags of a stretch; a record of zeros behind it tells what its overflows come to."""
        mode = self._mode
        found = self._ptu.decode_records(np.append(records, np.uint32(0)))
        counts = found["time"] + self._base
        if mode.can_jump:
            counts[1:] += self._jumps(records)
        self._base = counts[-1]
        light: NDArray[np.bool_] = found["channel"] >= 0
        light[-1] = False
        if mode.has_sync:
            light[:-1] &= records >> np.uint32(25) != 64
        times = self._picoseconds(counts[light])
        if mode.t3:
            return self._in_order(times, found["dtime"][light], found["channel"][light].astype(np.uint8))
        return self._checked(Tags(times, found["channel"][light].astype(np.uint8)))

    def _jumps(self, records: NDArray[np.uint32]) -> NDArray[np.uint64] | np.uint64:
        """What ptufile leaves out of overflow records of 128 overflows or more, summed up to each record.

        Its product of their number and 2^25 has 32 bits (up to 2026.2.6, where a probe says so). Refuses overflows
        that no measurement lasts for, before a counter of 64 bits could come round.
        """
        many = np.where(records >> np.uint32(25) == 127, records & np.uint32((1 << 25) - 1), np.uint32(0))
        whole = int(many.sum(dtype=np.uint64)) << 25
        if (int(self._base) + whole) * self._mode.unit >= MAX_TIME_PS:
            raise DataRefused(f"{self._path}: its overflow records come to more than {MAX_TIME_PS} ps; {_REMEDY}")
        if not self._wraps:
            return np.uint64(0)
        return np.cumsum(many >> np.uint32(7), dtype=np.uint64) << np.uint64(32)

    def _decoded_short(self) -> bool:
        """Whether ptufile takes 128 overflows of 2^25 for none."""
        probe = np.array([127 << 25 | 128, 0], np.uint32)
        return int(self._ptu.decode_records(probe)["time"][1]) != 128 << 25

    def _picoseconds(self, counts: NDArray[np.uint64]) -> NDArray[np.int64]:
        unit = self._mode.unit
        if counts.size and int(counts.max()) * unit >= MAX_TIME_PS:
            most = int(counts.max() * float(unit))
            raise DataRefused(f"{self._path}: a record is at {most} ps, must be below {MAX_TIME_PS} ps; {_REMEDY}")
        whole, rest = np.divmod(counts.astype(np.int64), unit.denominator)
        return whole * unit.numerator + rest * unit.numerator // unit.denominator

    def _in_order(self, syncs: NDArray[np.int64], bins: NDArray[np.int16], channels: NDArray[np.uint8]) -> Tags:
        """Tags of T3 records, which come in order of their sync period and not within it."""
        if syncs.size == 0:
            return Tags(syncs, channels)
        if (syncs[1:] < syncs[:-1]).any():
            at = int((syncs[1:] < syncs[:-1]).argmax())
            raise DataRefused(
                f"{self._path}: a record at sync {syncs[at + 1]} ps follows one at {syncs[at]} ps: out of order; "
                f"{_REMEDY}"
            )
        late = np.floor(bins.astype(np.float64) * self._mode.bin_ps)
        own = syncs + late.astype(np.int64)
        times = np.concatenate([self._held.times_ps, own])
        all_channels = np.concatenate([self._held.channels, channels])
        order = np.argsort(times, kind="stable")
        times, all_channels = times[order], all_channels[order]
        whole = int(np.searchsorted(times, int(syncs[-1])))
        self._held = Tags(times[whole:], all_channels[whole:])
        return self._checked(Tags(times[:whole], all_channels[:whole]))

    def _checked(self, tags: Tags) -> Tags:
        try:
            check_tags(tags, self._table, self._last_ps, self._count)
        except DataRefused as error:
            raise DataRefused(f"{self._path}: {error}") from error
        if tags.times_ps.size:
            self._last_ps = int(tags.times_ps[-1])
            self._count += tags.times_ps.size
        return tags


class _Said(logging.Handler):
    """What ptufile logs while it reads a header: its errors are ours."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.errors: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.errors.append(record.getMessage())


def _ptufile() -> Any:
    try:
        import ptufile
    except ImportError as error:
        raise ConfigError(
            'PTU files are read by the package ptufile, which is not installed: pip install "poliqi[timetags]"'
        ) from error
    return ptufile
