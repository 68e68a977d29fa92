"""Writes cases.json beside itself from docs/spec/print-job.md alone: nothing of the library is imported.

Run it with any Python 3 that has blake3: `python tests/vectors/print_job/generate.py`. A test holds that the file
is fresh.
"""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import Any

from blake3 import blake3

MAGIC = b"\x89POLIQJ\n"
HEADER: dict[str, Any] = {
    "format": "poliqi-print-job-1",
    "program": "by hand",
    "simulated": True,
    "mode": "solid",
    "bounds_nm": [[-5000, -5000, 0], [5000, 5000, 3000]],
    "field_nm": [8000, 8000],
    "blocks": 2,
    "tiles": 2,
    "layers": 3,
    "order": "tile",
    "direction": "up",
    "z0_um": 0.0,
    "layer_um": 1.0,
    "hatch_um": 0.5,
    "settings": {},
    "profile": {},
    "vessels_blake3": "",
}
RECORDS: list[dict[str, Any]] = [
    {"vectors": [[-3000, 0, 3000, 0], [3000, 500, -3000, 500]]},
    {"layer": 1, "z": 1500, "vectors": [[250, -1000, 250, 1001]], "power": 12.5},
    {"layer": 1, "z": 1500, "vectors": [[750, -1000, 750, 1000]], "power": 20.0, "speed": 0.25},
    {"tile": 1, "x": 1000, "y": 1000, "vectors": [[5000, 5000, 4999, 5000]]},
    {"block": 1, "layer": 2, "z": 2500, "vectors": [[0, 0, 0, -4000]]},
]


def header(change: dict[str, Any] | None = None, text: bytes | None = None, **damage: Any) -> bytes:
    """`change` members (None: leave out); `text` stands in for the JSON; `damage` magic, length or checksum."""
    members = {**HEADER, **(change or {})}
    members = {name: value for name, value in members.items() if value is not ...}
    body = json.dumps(members, separators=(",", ":")).encode() if text is None else text
    start = damage.get("magic", MAGIC) + struct.pack("<I", damage.get("length", len(body)))
    return start + struct.pack("<I", zlib.crc32(start + body) ^ damage.get("checksum", 0)) + body


def record(vectors: list[list[int]], **told: Any) -> bytes:
    """A record; `told` stands in for what is right."""
    payload = b"".join(struct.pack("<4i", *one) for one in vectors)
    length = sum(abs(c - a) + abs(d - b) for a, b, c, d in vectors)
    head = struct.pack(
        "<4sIIIIiiiddQI",
        told.get("mark", b"VECT"),
        told.get("count", len(vectors)),
        told.get("block", 0),
        told.get("tile", 0),
        told.get("layer", 0),
        told.get("z", 500),
        told.get("x", 0),
        told.get("y", 0),
        told.get("power", 25.0),
        told.get("speed", 100.0),
        told.get("length", length),
        zlib.crc32(payload) ^ told.get("payload_crc", 0),
    )
    return head + struct.pack("<I", zlib.crc32(head) ^ told.get("head_crc", 0)) + payload


def end(before: bytes, records: list[dict[str, Any]], /, **told: Any) -> bytes:
    """The end; `told` stands in for what is right."""
    vectors = [one for entry in records for one in entry["vectors"]]
    length = sum(abs(c - a) + abs(d - b) for a, b, c, d in vectors)
    counts = (told.get("records", len(records)), told.get("vectors", len(vectors)), told.get("length", length))
    start = struct.pack("<4sIQQQ", b"JEND", told.get("reserved", 0), *counts)
    return start + blake3(before + start).digest()


def job(chosen: list[dict[str, Any]] = RECORDS, change: dict[str, Any] | None = None, /, **told: Any) -> bytes:
    """A whole file."""
    before = header(change) + b"".join(record(**entry) for entry in chosen)
    return before + end(before, chosen, **told)


def with_header(start: bytes) -> bytes:
    """A file with that header and the usual records."""
    before = start + b"".join(record(**entry) for entry in RECORDS)
    return before + end(before, RECORDS)


def one(**told: Any) -> list[dict[str, Any]]:
    """A single record."""
    return [{"vectors": [[0, 0, 1000, 0]], **told}]


def flipped(data: bytes, at: int) -> bytes:
    """One bit turned."""
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


GOOD = job()
LAYERS_DOWN = [
    {"layer": 2, "z": 2500, "vectors": [[0, 0, 10, 0]]},
    {"layer": 2, "z": 2500, "tile": 1, "vectors": [[0, 0, 10, 0]]},
    {"layer": 1, "z": 1500, "vectors": [[0, 0, 10, 0]]},
]
VALID = {
    "five records": (GOOD, RECORDS),
    "one vector": (job(one()), one()),
    "layer by layer, downwards": (job(LAYERS_DOWN, {"order": "layer", "direction": "down"}), LAYERS_DOWN),
    "plane rounded by a nanometre": (job(one(z=501)), one(z=501)),
    "digest of vessels": (job(one(), {"vessels_blake3": "0f" * 32}), one()),
}
REFUSED = {
    "empty file": b"",
    "another magic": with_header(header(magic=b"\x89POLIQT\n")),
    "header checksum": with_header(header(checksum=1)),
    "header too long": with_header(header(length=(1 << 20) + 1)),
    "header of one byte": with_header(header(text=b"1")),
    "header not JSON": with_header(header(text=b"{'format': 1}")),
    "header not UTF-8": with_header(header(text=b'{"format":"\xff"}')),
    "header is a list": with_header(header(text=b"[]")),
    "another format": job(RECORDS, {"format": "poliqi-print-job-2"}),
    "unknown member": job(RECORDS, {"extra": 1}),
    "member left out": job(RECORDS, {"profile": ...}),
    "simulated is a number": job(RECORDS, {"simulated": 1}),
    "unknown mode": job(RECORDS, {"mode": "hollow"}),
    "unknown order": job(RECORDS, {"order": "block"}),
    "unknown direction": job(RECORDS, {"direction": "sideways"}),
    "bounds descend": job(RECORDS, {"bounds_nm": [[5000, -5000, 0], [-5000, 5000, 3000]]}),
    "bounds beyond 32 bits": job(RECORDS, {"bounds_nm": [[-(1 << 31) - 1, -5000, 0], [5000, 5000, 3000]]}),
    "bounds in two dimensions": job(RECORDS, {"bounds_nm": [[-5000, -5000], [5000, 5000]]}),
    "no field": job(RECORDS, {"field_nm": [0, 8000]}),
    "no tiles": job(RECORDS, {"tiles": 0}),
    "too many layers": job(RECORDS, {"layers": (1 << 24) + 1}),
    "layers is a fraction": job(RECORDS, {"layers": 2.5}),
    "layer of no height": job(RECORDS, {"layer_um": 0}),
    "hatch below zero": job(RECORDS, {"hatch_um": -0.5}),
    "z0 is null": job(RECORDS, {"z0_um": None}),
    "digest in capitals": job(RECORDS, {"vessels_blake3": "0F" * 32}),
    "digest too short": job(RECORDS, {"vessels_blake3": "0f" * 31}),
    "cut within the header": GOOD[:100],
    "cut within a record's head": GOOD[: len(header()) + 40],
    "cut within vectors": GOOD[: len(header()) + 70],
    "cut before the end": GOOD[:-64],
    "cut by one byte": GOOD[:-1],
    "a byte behind the end": GOOD + b"\0",
    "two jobs": GOOD + GOOD,
    "unknown mark": job([{**RECORDS[0], "mark": b"VECS"}]),
    "no vector": job([{"vectors": []}]),
    "count above the limit": job(one(count=(1 << 20) + 1)),
    "count above what is there": job(one(count=2)),
    "no record": job([]),
    "block that is not": job(one(block=2)),
    "tile that is not": job(one(tile=2)),
    "layer that is not": job(one(layer=3, z=3500)),
    "block falls": job([*one(block=1), *one()]),
    "tile falls": job([*one(tile=1), *one()]),
    "layer falls": job([*one(layer=1, z=1500), *one()]),
    "layer rises downwards": job([*one(), *one(layer=1, z=1500)], {"direction": "down"}),
    "tile before layer, by layer": job([*one(layer=1, z=1500), *one(tile=1)], {"order": "layer"}),
    "plane 2 nm off": job(one(z=502)),
    "no power": job(one(power=0.0)),
    "power is not a number": job(one(power=float("nan"))),
    "power is endless": job(one(power=float("inf"))),
    "speed below zero": job(one(speed=-1.0)),
    "oblique vector": job([{"vectors": [[0, 0, 10, 10]]}]),
    "vector of no length": job([{"vectors": [[7, 7, 7, 7]]}]),
    "vector beyond the bounds": job([{"x": 2000, "vectors": [[5001, 0, 5000, 0]]}]),
    "vector beyond the field": job([{"vectors": [[4001, 0, 4000, 0]]}]),
    "plane beyond the bounds": job(one(), {"bounds_nm": [[-5000, -5000, 600], [5000, 5000, 3000]]}),
    "length told wrong": job(one(length=999)),
    "checksum of vectors": job(one(payload_crc=1)),
    "checksum of a head": job(one(head_crc=1)),
    "end: records": job(one(), records=2),
    "end: vectors": job(one(), vectors=2),
    "end: length": job(one(), length=1001),
    "end: reserved": job(one(), reserved=1),
    "end: BLAKE3": flipped(GOOD, len(GOOD) - 5),
    "a bit of the JSON": flipped(GOOD, 60),
    "a bit of a vector": flipped(GOOD, len(header()) + 65),
}


def cases() -> dict[str, Any]:
    """Everything, as it stands in the file."""
    valid = [
        {
            "name": name,
            "valid": True,
            "hex": data.hex(),
            "records": [
                {
                    "block": entry.get("block", 0),
                    "tile": entry.get("tile", 0),
                    "layer": entry.get("layer", 0),
                    "z_nm": entry.get("z", 500),
                    "centre_nm": [entry.get("x", 0), entry.get("y", 0)],
                    "power_mw": entry.get("power", 25.0),
                    "speed_mm_s": entry.get("speed", 100.0),
                    "vectors": entry["vectors"],
                }
                for entry in records
            ],
        }
        for name, (data, records) in VALID.items()
    ]
    return {"cases": [*valid, *({"name": n, "valid": False, "hex": d.hex()} for n, d in REFUSED.items())]}


def text() -> str:
    """The content of cases.json."""
    return json.dumps(cases(), indent=1) + "\n"


if __name__ == "__main__":
    Path(__file__).with_name("cases.json").write_text(text())
