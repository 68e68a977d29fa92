"""PTU files to read: written whole by ptufile's own writer, or with ptufile's header and records packed here.

ptufile writes T3 image files only: a histogram of each pixel, one photon a sync period. With a pixel for each sync
period the image is a stream of tags, and `written_by_ptufile` makes one that way; a second tag in the same sync
period is left out, as its writer does. Its records of T2 and of larger files are packed here, by PicoQuant's
published layout (HydraHarp 2 and Generic: 1 special bit, 6 of channel, then 25 of time, or 15 and 10 of two times;
PicoHarp 300 T2: 4 of channel, 28 of time), behind a header that ptufile encodes.
"""

from __future__ import annotations

import io

import numpy as np
from ptufile import PtuRecordType, PtuWriter
from ptufile.ptufile import encode_tag

CELLS_AT_ONCE = 1 << 17


def written_by_ptufile(
    times_ps, channels, *, sync_ps: int, bin_ps: int, inputs: int = 4
) -> tuple[bytes, np.ndarray]:
    """A T3 file of these tags by PtuWriter, and which of them are in it (bool [n])."""
    sync = times_ps // sync_ps
    first = np.append(True, sync[1:] != sync[:-1])
    bins = sync_ps // bin_ps
    pixels = int(sync[-1]) + 1
    file = io.BytesIO()
    rows = -(-pixels // CELLS_AT_ONCE)
    image = np.zeros((1, 1, CELLS_AT_ONCE, inputs, bins), np.uint8)
    with PtuWriter(
        file,
        image.shape,
        sync_ps * 1e-12,
        bin_ps * 1e-12,
        sync_ps * 1e-12,
        record_type=PtuRecordType.GenericT3,
    ) as writer:
        for row in range(rows):
            inside = first & (sync // CELLS_AT_ONCE == row)
            cell = sync[inside] % CELLS_AT_ONCE
            image[:] = 0
            image[0, 0, cell, channels[inside], times_ps[inside] % sync_ps // bin_ps] = 1
            writer.write(image)
    return file.getvalue(), first


def header(kind: PtuRecordType, records: int, *, unit_s: float = 1e-12, bin_s: float = 1e-12, **changes) -> bytes:
    """A PTU header by ptufile's own encoding; `changes` replace or (None) leave out entries."""
    tags = {
        "File_GUID": "{00000000-0000-0000-0000-000000000000}",
        "Measurement_Mode": 3 if kind.name.endswith("T3") else 2,
        "Measurement_SubMode": 1,
        "MeasDesc_GlobalResolution": unit_s,
        "MeasDesc_Resolution": bin_s,
        "TTResult_NumberOfRecords": records,
        "TTResultFormat_TTTRRecType": int(kind),
        "TTResultFormat_BitsPerRecord": 32,
        **changes,
    }
    parts = [encode_tag(name, value) for name, value in tags.items() if value is not None]
    return b"".join([b"PQTTTR\0\x001.0.00\0\0", *parts, encode_tag("Header_End", None)])


def special(channel: int, low: int) -> int:
    return 1 << 31 | channel << 25 | low


def t2_records(counts: np.ndarray, channels: np.ndarray) -> np.ndarray:
    """HydraHarp 2 or Generic T2 records: an overflow record before each tag that needs one."""
    wraps = counts >> 25
    overflow = np.diff(wraps, prepend=0)
    light = channels.astype(np.uint32) << 25 | (counts & ((1 << 25) - 1)).astype(np.uint32)
    return _with_overflows(light, overflow)


def t3_records(syncs: np.ndarray, bins: np.ndarray, channels: np.ndarray) -> np.ndarray:
    """HydraHarp 2 or Generic T3 records."""
    overflow = np.diff(syncs >> 10, prepend=0)
    light = channels.astype(np.uint32) << 25 | bins.astype(np.uint32) << 10 | (syncs & 1023).astype(np.uint32)
    if (overflow >= 1024).any():
        raise ValueError("a gap of more than 2^20 sync periods needs several overflow records")
    return _with_overflows(light, overflow)


def picoharp_t2_records(counts: np.ndarray, channels: np.ndarray) -> np.ndarray:
    """PicoHarp 300 T2 records: an overflow record for each wrap of 210698240 counts."""
    wraps = counts // 210698240
    light = channels.astype(np.uint32) << 28 | (counts % 210698240).astype(np.uint32)
    repeat = np.diff(wraps, prepend=0)
    return np.insert(light, np.repeat(np.arange(light.size), repeat), np.uint32(15 << 28))


def _with_overflows(light: np.ndarray, overflow: np.ndarray) -> np.ndarray:
    at = np.flatnonzero(overflow)
    records = [special(63, int(count)) for count in overflow[at]]
    return np.insert(light, at, np.array(records, np.uint32))
