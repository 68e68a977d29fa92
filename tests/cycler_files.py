"""Files of cyclers, made for tests by what is known of their formats, and real ones out of packages."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
from package_sources import packaged_file

MPR_COLUMNS = {"time/s": (4, "<f8"), "control/V": (5, "<f4"), "Ewe/V": (6, "<f4"), "dq/mA.h": (7, "<f8"),
               "I/mA": (8, "<f4"), "Ewe-Ece/V": (16, "<f4")}  # fmt: skip
BEGUN = datetime(2026, 3, 2, 9, 30)

NAVANI = ("navani", "0.1.22", "Example_data")
REAL = {
    "gcpl.mpr": (*NAVANI, "jdb11-1_c3_gcpl_5cycles_2V-3p8V_C-24_data_C09.mpr", 2_465_718),
    "ocv.mpr": (*NAVANI, "00_test_01_OCV_C01.mpr", 15_944),
    "test.nda": (*NAVANI, "test.nda", 123_655),
    "test.ndax": (*NAVANI, "test.ndax", 39_718),
    "maccor.txt": (*NAVANI, "maccor_example.txt", 3_449),
    "arbin.xlsx": (*NAVANI, "bs542_004_gr_li_50ua_50mv_1v_191020_Channel_11.xlsx", 558_853),
    "arbin.res": (*NAVANI, "arbin_example.res", 532_480),
    "invalid.bdf": (*NAVANI, "test_missing_required.bdf", 38),
    "capacity.bdf": (*NAVANI, "test_with_capacity.bdf", 334),
    "arbin.csv": ("battery-data-toolkit", "0.4.6", "tests/files", "arbin_example.csv", 284_095),
    "archive.csv": ("battery-data-toolkit", "0.4.6", "tests/files/batterydata", "p492-13-raw.csv", 521_224),
    "leaf.csv": ("celljar", "0.2.1", "data/raw/ornl_leaf", "cell-discharge-bitrode-1c.csv", 148_346),
}


def real_file(name: str, cache: Path, folder: Path) -> Path:
    """One of REAL; skips where its package cannot be had."""
    package, version, parent, member, size = REAL[name]
    return packaged_file(package, version, f"{parent}/{member}", size, cache=cache, folder=folder)


def mpr_bytes(columns: Mapping[str, Sequence[float]]) -> bytes:
    """A .mpr of EC-Lab: settings, data in version 3, log."""
    ids = [MPR_COLUMNS[name][0] for name in columns]
    kinds = np.dtype([(name, MPR_COLUMNS[name][1]) for name in columns])
    table = np.zeros(len(next(iter(columns.values()))), kinds)
    for name, values in columns.items():
        table[name] = values
    head = struct.pack("<IB", len(table), len(ids)) + np.array(ids, "<u2").tobytes()
    data = head.ljust(405, b"\0") + b"\1" + table.tobytes()
    ole_days = (BEGUN - datetime(1899, 12, 30)).total_seconds() / 86400
    log = bytes(465) + struct.pack("<d", ole_days) + bytes(200)
    parts = ((b"VMP Set", 0, bytes(64)), (b"VMP data", 3, data), (b"VMP LOG", 0, log))
    modules = (
        b"MODULE"
        + struct.pack("<10s25sII8s", name.ljust(10), b"test".ljust(25), len(body), version, b"03/02/26")
        + body
        for name, version, body in parts
    )
    return b"BIO-LOGIC MODULAR FILE\x1a".ljust(48) + bytes(4) + b"".join(modules)


def _neware_date(second: int) -> bytes:
    at = BEGUN.replace(minute=30 + second // 60, second=second % 60)
    return struct.pack("<HBBBBB", at.year, at.month, at.day, at.hour, at.minute, at.second)


def nda_bytes(points: Sequence[tuple[int, int, float, float, float]]) -> bytes:
    """A .nda, version 29: (step, status, seconds in the step, V, mA) each; charge and energy are 0."""
    head = bytearray(1200)
    head[:6], head[14] = b"NEWARE", 29
    records = b"".join(
        b"\x55\0" + struct.pack("<IIHB", number + 1, 0, step, status) + b"\0"
        + struct.pack("<Qii", round(at_s * 1000), round(v * 1e4), round(ma * 1e4)) + bytes(40)
        + _neware_date(number) + b"\0" + struct.pack("<i", -10) + bytes(4)
        for number, (step, status, at_s, v, ma) in enumerate(points)
    )  # fmt: skip
    return bytes(head) + bytes(4) + records


def write_ndax(path: Path, points: Sequence[tuple[int, int, float, float, float]], **more: bytes) -> None:
    """A .ndax with a data.ndc of version 5, and further members."""
    rows = [
        bytes(7) + b"\x55" + struct.pack("<IIBB", number + 1, 0, step, status) + bytes(5)
        + struct.pack("<Qii", round(at_s * 1000), round(v * 1e4), round(ma * 1e4)) + bytes(4) + bytes(32)
        + _neware_date(number) + struct.pack("<i", -10) + b"\0"
        for number, (step, status, at_s, v, ma) in enumerate(points)
    ]  # fmt: skip
    head = bytearray(4096)
    head[0], head[2] = 1, 5
    a_block = (4096 - 125 - 56) // 87
    blocks = [
        (bytes(125) + b"".join(rows[at : at + a_block])).ljust(4096, b"\0") for at in range(0, len(rows), a_block)
    ]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.ndc", bytes(head) + b"".join(blocks))
        for name, data in more.items():
            archive.writestr(name, data)


def write_xlsx(path: Path, sheets: Mapping[str, Sequence[Sequence[object]]]) -> None:
    """Sheets by name, each rows of cells."""
    import openpyxl

    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(list(row))
    book.save(path)


def charge_and_discharge(points: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Time in s, V and A of a cell with 50 mOhm, charged for half of the time at 1 A, then discharged."""
    time_s = np.arange(points) * 10.0
    current = np.where(np.arange(points) < points // 2, 1.0, -1.0)
    charge = np.concatenate(([0.0], np.cumsum(current[1:] * 10.0))) / 3600
    return time_s, 3.6 + 4.0 * charge + 0.05 * current, current


def csv_text(names: Sequence[str], *columns: Sequence[object], separator: str = ",") -> str:
    """A table of text with its names."""
    rows = [names, *zip(*columns, strict=True)]
    return "".join(separator.join(str(cell) for cell in row) + "\n" for row in rows)
