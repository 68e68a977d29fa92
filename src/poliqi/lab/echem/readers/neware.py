"""Neware's .nda and .ndax, by NewareNDA; held against limits first, and the time of the test put together.

Neware counts time from the beginning of each step; the time of the test is the sum of the steps' lengths.
"""

from __future__ import annotations

import logging
import re
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any, Final, cast

import numpy as np

from poliqi.base.errors import ConfigError, DataRefused, words_of
from poliqi.lab.echem.readers.filebytes import file_bytes
from poliqi.lab.echem.readers.options import Positive, ReadOptions
from poliqi.lab.echem.readers.table import Floats, Table, table_of

__all__ = ["NDA_MAGIC", "read_neware"]

NDA_MAGIC: Final = b"NEWARE"
_MOST_NDA: Final = 256 << 20
_MOST_PACKED: Final = 128 << 20
_MOST_MEMBERS: Final = 500
_LEAST_NDC: Final = 4096
_RECORD: Final = 86
_BEFORE_RECORD: Final = b"\x00\x00\x00\x00\x55\x00"
_PAUSED_S: Final = 2.0
_BESIDE: Final = re.compile(r".*_\d+\.ndc")
_MOST_BESIDE: Final = 32
_BESIDE_COLUMNS: Final = ("Index", "Aux", "V", "T", "t", "H", "?")


def read_neware(path: Path, options: ReadOptions) -> Table:
    """Raises ConfigError (no NewareNDA), DataRefused."""
    try:
        from NewareNDA import NewareNDA, NewareNDAx
    except ImportError as error:
        raise ConfigError(f'NewareNDA cannot be imported ({error}); run: pip install "poliqi[echem]"') from error
    package, packed_package = cast("Any", NewareNDA), cast("Any", NewareNDAx)  # they carry no annotations
    logging.getLogger("newarenda").setLevel(logging.CRITICAL)  # it logs what it raises
    packed = path.suffix.lower() == ".ndax"
    notes = _check_ndax(path) if packed else _check_nda(path, options)
    told: list[str] = []
    reader = _bounded(packed_package, told) if packed else package.read_nda
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what pandas thinks of the package is not for who reads a file
            frame = reader(str(path), False)
    except Exception as error:
        raise DataRefused(
            f"{path} is no {'.ndax' if packed else '.nda'} that NewareNDA understands ({words_of(error)}); copy it "
            "again, or export it as csv in BTSDA"
        ) from error
    if not len(frame):
        raise DataRefused(f"{path} holds no point; was the test run?")
    time_s, paused = _test_time(frame)
    temperature = [name for name in frame.columns if name.startswith("T") and name[1:].isdigit()]
    columns: dict[str, Any] = {
        "Test Time / s": time_s,
        "Voltage / V": frame["Voltage"].to_numpy(np.float64),
        "Current / A": frame["Current(mA)"].to_numpy(np.float64) / 1e3,
        "Charge Capacity / mAh": _counted(frame, "Charge_Capacity(mAh)"),
        "Discharge Capacity / mAh": _counted(frame, "Discharge_Capacity(mAh)"),
        "Cycle Count / 1": frame["Cycle"].to_numpy(np.float64),
        "Step Count / 1": frame["Step"].to_numpy(np.float64),
        "Index": frame["Index"].to_numpy(np.float64),
    }
    if temperature:
        columns["Temperature / degC"] = frame[temperature[0]].to_numpy(np.float64)
    names, numbers = table_of(columns)
    return Table(
        path,
        "Neware .ndax" if packed else "Neware .nda",
        names,
        numbers,
        positive=Positive.CHARGE,
        notes=(*_begun(frame), *paused, *notes, *told),
        row_word="record",
    )


def _bounded(package: Any, told: list[str]) -> Callable[[str, bool], Any]:
    """NewareNDA's reader of .ndax, whose tables beside data.ndc tell every point once.

    It joins them by the number of the point: where numbers stand many times, a file of some hundred bytes would
    become a table of gigabytes. The package keeps the first of equal ones too, in most versions of the format.
    """

    def read_ndc(file: str) -> Any:
        frame, name = package.read_ndc(file), Path(file).name
        if name == "data.ndc":
            return frame
        once = frame.drop_duplicates(subset="Step" if name == "data_step.ndc" else "Index", keep="first")
        if len(once) < len(frame):
            told.append(f"{name} tells {len(frame) - len(once)} points more than once: the first was kept")
        return once.filter(items=_BESIDE_COLUMNS) if _BESIDE.fullmatch(name) else once

    reader: Any = package.read_ndax
    return FunctionType(reader.__code__, {**vars(package), "read_ndc": read_ndc}, None, reader.__defaults__)


def _counted(frame: Any, name: str) -> Floats:
    """A capacity; nan where none is told."""
    return frame[name].to_numpy(np.float64, na_value=np.nan)


def _test_time(frame: Any) -> tuple[Floats, tuple[str, ...]]:
    """Seconds from the beginning of the test, and what the clock says beside it."""
    in_step: Floats = frame["Time"].to_numpy(np.float64)
    step = frame["Step"].to_numpy(np.float64)
    begins = np.flatnonzero(np.diff(step) != 0) + 1
    length = np.zeros(in_step.size)
    length[begins] = in_step[begins - 1]
    test = np.cumsum(length) + in_step
    stamps = frame["Timestamp"]
    clock = (stamps - stamps.iloc[0]).dt.total_seconds().to_numpy(np.float64)
    behind = clock - (test - test[0])
    jumps = np.flatnonzero(np.abs(np.diff(behind)) > _PAUSED_S)
    if not jumps.size:
        return test, ()
    most = float(behind[np.argmax(np.abs(behind))])
    said = f"took up to {abs(most):.0f} s {'more' if most > 0 else 'less'} than its steps"
    first = f"first before record {jumps[0] + 2}: pauses, or a clock that was set"
    return test, (f"by its clock the test {said}, {first}",)


def _begun(frame: Any) -> tuple[str, ...]:
    return (f"begun {frame['Timestamp'].iloc[0]} by the clock of the cycler's computer",)


def _check_nda(path: Path, options: ReadOptions) -> tuple[str, ...]:
    """That there is a first record, for which NewareNDA would look for ever, and whole ones up to the end."""
    data = file_bytes(path, _MOST_NDA)
    if not data.startswith(NDA_MAGIC) or len(data) < 1024 + _RECORD:
        raise DataRefused(f"{path} does not begin as Neware's .nda does, or is too short; copy it again")
    if data[14] != 29:
        return ()
    at = data.find(_BEFORE_RECORD)
    while at >= 0:
        after = at + len(_BEFORE_RECORD) - 2 + _RECORD
        if after >= len(data) or (data[after] == 85 and data[at + 16] != 0):
            rest = (len(data) - after) % _RECORD
            if rest and not options.keep_gaps:
                raise DataRefused(
                    f"{path} ends {rest} bytes into a record of {_RECORD}: it is cut off; copy it again, or let it "
                    "pass with --keep-gaps"
                )
            return (f"the file ends {rest} bytes into a record, which was left out",) if rest else ()
        at = data.find(_BEFORE_RECORD, at + 4)
    raise DataRefused(f"{path}: no record of a measurement in it; copy it again")


def _check_ndax(path: Path) -> tuple[str, ...]:
    """What the archive holds, before any of it is unpacked."""
    file_bytes(path, _MOST_PACKED)
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise DataRefused(f"{path} is no .ndax, or cut off ({error}); copy it again") from error
    size = sum(one.file_size for one in members)
    if len(members) > _MOST_MEMBERS or size > _MOST_PACKED:
        raise DataRefused(
            f"{path} unpacks to {len(members)} files of {size >> 20} MiB; at most {_MOST_PACKED >> 20} MiB are read"
        )
    if len({one.filename for one in members}) != len(members):
        raise DataRefused(f"{path} holds two files of one name; copy it again")
    beside = sum(_BESIDE.fullmatch(one.filename) is not None for one in members)
    if beside > _MOST_BESIDE:
        raise DataRefused(
            f"{path} holds {beside} tables of auxiliary channels; at most {_MOST_BESIDE} are read: export it as csv"
        )
    for one in members:
        if one.filename.endswith(".ndc") and one.file_size < _LEAST_NDC:
            raise DataRefused(f"{path}: {one.filename!r} in it is too short for any record; copy it again")
    if any(one.filename == "data_runInfo.ndc" for one in members):
        return ("the .ndax tells the times of some points; NewareNDA fills in those between, by the sampling step",)
    return ()
