"""Writes binary.json beside itself from docs/spec/timetags.md alone: nothing of the library is imported.

Run it with any Python 3: `python tests/vectors/timetags/generate.py`. A test holds that the file is fresh.
"""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

TAGS_MAGIC, STATES_MAGIC = b"\x89POLIQT\n", b"\x89POLIQS\n"
CHANNELS = [
    {"number": 1, "meaning": "key0", "delay_ps": 0},
    {"number": 2, "meaning": "key1", "delay_ps": 12},
    {"number": 3, "meaning": "test0", "delay_ps": -3},
    {"number": 4, "meaning": "test1", "delay_ps": 0},
    {"number": 9, "meaning": "sync", "delay_ps": 0},
]
LINK = {
    "name": "bench",
    "intensities": [0.5, 0.1],
    "probabilities": [0.7, 0.3],
    "key_basis_alice": 0.9,
    "key_basis_bob": 0.8,
    "seed": 7,
    "eve": None,
}
TIME_BIN = [
    {"number": 0, "meaning": "key", "delay_ps": 0},
    {"number": 2, "meaning": "test0", "delay_ps": 0},
    {"number": 3, "meaning": "test1", "delay_ps": 0},
]
DESCRIBED = {"clock_hz": 1e9, "bins": 1, "gate_ps": None, "channels": CHANNELS, "link": LINK}
PREPARED = {"clock_hz": 1e9, "levels": 2, "link": None}
CHUNKS = [[(5, 1), (5, 4), (1000, 9)], [(1000, 2), (4_000_000_000_000, 3)]]
STATES = [0, 1, 2, 7, 4, 5, 3]


def head(magic: bytes, metadata: object, sign: bool = True, text: bytes | None = None, **change: int) -> bytes:
    body = json.dumps(metadata, separators=(",", ":")).encode() if text is None else text
    fields = {
        "version": 1,
        "origin": 2,
        "reserved": 0,
        "header_length": (24 + len(body) + 63) // 64 * 64,
        "metadata_length": len(body),
    }
    fields.update(change)
    start = magic + struct.pack("<HBBII", *fields.values())
    rest = body.ljust((24 + len(body) + 63) // 64 * 64 - 24, b"\0")
    return start + struct.pack("<I", zlib.crc32(start + rest) if sign else 1) + rest


def record(mark: bytes, *, payload: bytes = b"", sign: bool = True, **change: int) -> bytes:
    fields = {"count": 0, "first": 0, "last": 0, "crc": zlib.crc32(payload) if payload else 0} | change
    start = mark + struct.pack("<IqqI", *(fields[name] for name in ("count", "first", "last", "crc")))
    return start + struct.pack("<I", zlib.crc32(start) if sign else 1) + payload


def pad(payload: bytes, filling: bytes = b"\0") -> bytes:
    return payload + filling * (-len(payload) % 8)


def chunk(tags: list[tuple[int, int]], filling: bytes = b"\0", **change: int) -> bytes:
    times = b"".join(struct.pack("<q", time) for time, _ in tags)
    payload = pad(times + bytes(channel for _, channel in tags), filling)
    fields = {"count": len(tags), "first": tags[0][0], "last": tags[-1][0]} | change
    return record(b"TAGS", payload=payload, **fields)


def tags(
    chunks=CHUNKS, header: bytes | None = None, end: dict | None = None, metadata: object = DESCRIBED
) -> bytes:
    last = chunks[-1][-1][0] if chunks else 0
    stop = {"first": sum(map(len, chunks)), "last": last + 17} | (end or {})
    return (header or head(TAGS_MAGIC, metadata)) + b"".join(map(chunk, chunks)) + record(b"TEND", **stop)


def packed(states: list[int]) -> bytes:
    even = [*states, 0] if len(states) % 2 else states
    return bytes(low | high << 4 for low, high in zip(even[::2], even[1::2], strict=True))


def prepared(
    states: list[int] = STATES,
    header: bytes | None = None,
    first: int = 3,
    end: dict | None = None,
    filling: bytes = b"\0",
    payload: bytes | None = None,
    **change: int,
) -> bytes:
    body = pad(packed(states) if payload is None else payload, filling)
    stop = {"first": first, "last": len(states)} | (end or {})
    own = record(b"STAT", payload=body, **({"count": len(states), "first": first} | change))
    return (header or head(STATES_MAGIC, PREPARED)) + own + record(b"SEND", **stop)


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def cases() -> list[dict]:
    found: list[dict] = []

    def valid(kind: str, name: str, data: bytes, **said: object) -> None:
        found.append({"kind": kind, "name": name, "valid": True, "hex": data.hex(), **said})

    def refused(kind: str, name: str, data: bytes, says: str) -> None:
        found.append({"kind": kind, "name": name, "valid": False, "hex": data.hex(), "says": says})

    flat = [pair for part in CHUNKS for pair in part]
    shown = {"times": [t for t, _ in flat], "channels": [c for _, c in flat], "end": 4_000_000_000_017}
    valid(
        "tags",
        "two chunks",
        tags(),
        **shown,
        bins=1,
        gate_ps=None,
        meanings=["key0", "key1", "test0", "test1", "sync"],
    )
    time_bin = {"clock_hz": 5e8, "bins": 2, "gate_ps": 300.5, "channels": TIME_BIN, "link": None}
    valid(
        "tags",
        "time-bin light, one tag",
        tags([[(2**62 - 1, 0)]], metadata=time_bin, end={"last": 2**62 - 1}),
        times=[2**62 - 1],
        channels=[0],
        end=2**62 - 1,
        bins=2,
        gate_ps=300.5,
        meanings=["key", "test0", "test1"],
    )
    valid(
        "tags",
        "no tag",
        tags([]),
        times=[],
        channels=[],
        end=17,
        bins=1,
        gate_ps=None,
        meanings=["key0", "key1", "test0", "test1", "sync"],
    )
    valid("states", "an odd number", prepared(), states=STATES, first=3)
    valid("states", "an even number", prepared(STATES[:4], first=0), states=STATES[:4], first=0)

    whole = tags()
    at = len(head(TAGS_MAGIC, DESCRIBED))
    refused("tags", "empty", b"", "it starts with nothing")
    refused("tags", "another magic", b"\x89POLIQI\n" + whole[8:], "not a file of this kind")
    refused("tags", "twelve bytes", whole[:12], "cut short")
    refused("tags", "version 2", tags(header=head(TAGS_MAGIC, DESCRIBED, version=2)), "version 2")
    refused("tags", "origin 4", tags(header=head(TAGS_MAGIC, DESCRIBED, origin=4)), "origin 4 is not known")
    refused("tags", "origin 0", tags(header=head(TAGS_MAGIC, DESCRIBED, origin=0)), "origin 0 is not known")
    refused("tags", "reserved byte", tags(header=head(TAGS_MAGIC, DESCRIBED, reserved=1)), "reserved byte")
    refused(
        "tags",
        "header length",
        tags(header=head(TAGS_MAGIC, DESCRIBED, header_length=4096)),
        "header of 4096 bytes",
    )
    refused("tags", "no metadata", tags(header=head(TAGS_MAGIC, DESCRIBED, metadata_length=0)), "0 of metadata")
    refused(
        "tags",
        "header checksum",
        tags(header=head(TAGS_MAGIC, DESCRIBED, sign=False)),
        "header has another checksum",
    )
    refused("tags", "metadata is null", tags(metadata=None), "metadata")
    refused("tags", "metadata is no JSON", tags(header=head(TAGS_MAGIC, None, text=b"{")), "metadata")
    refused("tags", "unknown member", tags(metadata={**DESCRIBED, "more": 1}), "more")
    missing = {name: value for name, value in DESCRIBED.items() if name != "gate_ps"}
    refused("tags", "missing member", tags(metadata=missing), "gate_ps")
    for name, change, says in (
        ("clock of zero", {"clock_hz": 0.0}, "clock_hz is 0.0"),
        ("three bins", {"bins": 3}, "3 bins"),
        ("gate wider than the bin", {"gate_ps": 1001.0}, "gate_ps is 1001.0"),
        ("gate of zero", {"gate_ps": 0.0}, "gate_ps is 0.0"),
        ("no channel", {"channels": []}, "name at least one"),
        ("channel 256", {"channels": [*CHANNELS, {"number": 256, "meaning": "marker", "delay_ps": 0}]}, "256"),
        (
            "channel named twice",
            {"channels": [*CHANNELS, {"number": 9, "meaning": "marker", "delay_ps": 0}]},
            "channel 9 is named more",
        ),
        (
            "meaning given twice",
            {"channels": [*CHANNELS, {"number": 8, "meaning": "test0", "delay_ps": 0}]},
            "test0 is given to more",
        ),
        ("unknown meaning", {"channels": [{"number": 9, "meaning": "laser", "delay_ps": 0}]}, "laser"),
        ("an arm without a channel", {"channels": CHANNELS[:3]}, "no channel means test1"),
        ("key by bin in one bin", {"channels": TIME_BIN}, "needs 2 bins"),
        (
            "key both ways",
            {"bins": 2, "channels": [*CHANNELS, {"number": 0, "meaning": "key", "delay_ps": 0}]},
            "both key and key0",
        ),
        ("a delay of a day", {"channels": [{**CHANNELS[0], "delay_ps": 86400 * 10**12}, *CHANNELS[1:]]}, "delay"),
        ("a seed of real light", {"link": {**LINK, "probabilities": [0.7, 0.4]}}, "probabilities"),
    ):
        refused("tags", name, tags(metadata={**DESCRIBED, **change}), says)
    refused("tags", "no end", whole[:-32], "no end: cut short")
    refused("tags", "cut inside a record", whole[:-5], "cut short")
    refused("tags", "cut inside a chunk", whole[: at + 50], "cut short")
    refused("tags", "bytes behind the end", whole + b"\0", "1 bytes behind the end")
    refused("tags", "record checksum", flipped(whole, at + 9), "record has another checksum")
    refused("tags", "payload checksum", flipped(whole, at + 40), "another checksum than its record says")
    good = head(TAGS_MAGIC, DESCRIBED)
    end = record(b"TEND", first=3, last=1000)
    refused("tags", "another mark", good + record(b"TAGZ", count=1, payload=bytes(16)) + end, "marked b'TAGZ'")
    refused("tags", "an empty chunk", good + record(b"TAGS") + end, "chunk of 0 tags")
    refused("tags", "a chunk too large", good + record(b"TAGS", count=2**20 + 1) + end, "chunk of 1048577 tags")
    refused("tags", "padding", good + chunk(CHUNKS[0], filling=b"\1") + end, "is not zero")
    refused("tags", "first time differs", good + chunk(CHUNKS[0], first=4) + end, "its record says 4 to 1000")
    refused("tags", "last time differs", good + chunk(CHUNKS[0], last=1001) + end, "its record says 5 to 1001")
    refused("tags", "times fall", tags([[(5, 1), (4, 1)]]), "tag 1 is at 4 ps after one at 5 ps")
    refused("tags", "times fall between chunks", tags([[(5, 1)], [(4, 1)]]), "tag 1 is at 4 ps after one at 5 ps")
    refused("tags", "a time below zero", tags([[(-1, 1)]], end={"last": 5}), "tag 0 is at -1 ps")
    refused("tags", "overflow", tags([[(2**62, 1)]], end={"last": 2**62}), "must be below 4611686018427387904")
    refused("tags", "unknown channel", tags([[(5, 1), (6, 5)]]), "tag 1 is of channel 5, which has no meaning")
    refused("tags", "the end counts more", tags(end={"first": 6}), "the end says 6 tags")
    refused("tags", "the end comes too early", tags(end={"last": 3}), "until 3 ps")
    refused("tags", "the end has a payload", tags(end={"crc": 5}), "checksum 5, not 0")

    whole = prepared()
    at = len(head(STATES_MAGIC, PREPARED))
    refused("states", "empty", b"", "it starts with nothing")
    refused("states", "tags instead", tags(), "not a file of this kind")
    refused(
        "states", "header checksum", prepared(header=head(STATES_MAGIC, PREPARED, sign=False)), "another checksum"
    )
    refused("states", "five levels", prepared(header=head(STATES_MAGIC, {**PREPARED, "levels": 5})), "levels is 5")
    refused("states", "no end", whole[:-32], "cut short")
    refused("states", "cut inside the end", whole[:-1], "cut short")
    refused("states", "bytes behind the end", whole + bytes(8), "more stands behind it")
    refused("states", "record checksum", flipped(whole, at + 9), "record has another checksum")
    refused("states", "payload checksum", flipped(whole, at + 33), "chunk 0 has another checksum")
    refused("states", "padding", prepared(filling=b"\1"), "padding behind chunk 0")
    refused("states", "the odd half byte", prepared(payload=packed([*STATES, 1])), "padding behind chunk 0")
    refused("states", "an intensity too many", prepared([0, 8, 0]), "beyond its 2 levels")
    refused("states", "the chunk counts more", prepared(count=8), "8 slots from 3")
    refused(
        "states",
        "the chunk starts elsewhere",
        prepared(first=3, end={"first": 4}),
        "7 slots from 3, must be 7 from 4",
    )
    refused("states", "the end counts more", prepared(end={"last": 40}), "40 slots take")
    refused("states", "no slot", prepared(end={"last": 0}), "0 slots")
    refused("states", "a slot too far", prepared(end={"first": 2**62}), "slots from slot 4611686018427387904")
    return found


def main() -> None:
    text = json.dumps({"cases": cases()}, indent=1) + "\n"
    Path(__file__).with_name("binary.json").write_text(text)


if __name__ == "__main__":
    main()
