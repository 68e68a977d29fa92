"""Writes binary.json beside itself from docs/spec/events.md alone: nothing of the library is imported.

Run it with any Python 3: `python tests/vectors/events/generate.py`. A test holds that the file is fresh.
"""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

LINK = {
    "name": "bench",
    "intensities": [0.5, 0.1],
    "probabilities": [0.7, 0.3],
    "key_basis_alice": 0.9,
    "key_basis_bob": 0.8,
    "seed": 7,
    "eve": None,
}
EVENTS = [(3, 0, 0), (5, 1, 1), (6, 6, 2), (900, 7, 3), (999, 4, 1)]


def round_up(length: int) -> int:
    return (length + 63) // 64 * 64


def build(
    link: object = LINK,
    events: list[tuple[int, int, int]] = EVENTS,
    sign: bool = True,
    text: bytes | None = None,
    **change,
) -> bytes:
    """A file of `events`; `change` overrides header fields before the header's checksum is taken."""
    metadata = json.dumps(link, separators=(",", ":")).encode() if text is None else text
    n = len(events)
    slots = b"".join(struct.pack("<Q", event[0]) for event in events)
    states = bytes(event[1] for event in events)
    outcomes = bytes(event[2] for event in events)
    header_length = round_up(96 + len(metadata))
    states_offset = round_up(header_length + 8 * n)
    outcomes_offset = round_up(states_offset + n)
    fields = {
        "magic": b"\x89POLIQI\n",
        "version": 1,
        "origin": 2,
        "levels": 2,
        "header_length": header_length,
        "file_length": outcomes_offset + n,
        "pulses": 1000,
        "events": n,
        "clock_hz": 1e9,
        "slots_offset": header_length,
        "states_offset": states_offset,
        "outcomes_offset": outcomes_offset,
        "slots_crc32": zlib.crc32(slots),
        "states_crc32": zlib.crc32(states),
        "outcomes_crc32": zlib.crc32(outcomes),
        "metadata_length": len(metadata),
        "reserved": 0,
    } | change
    head = struct.pack("<8sHBBIQQQdQQQIIIII", *fields.values())
    rest = metadata + bytes(header_length - 96 - len(metadata))
    checksum = zlib.crc32(head + rest) if sign else 0
    body = slots.ljust(states_offset - header_length, b"\0") + states.ljust(outcomes_offset - states_offset, b"\0")
    return head + struct.pack("<I", checksum) + rest + body + outcomes


def patched(data: bytes, offset: int, value: bytes) -> bytes:
    return data[:offset] + value + data[offset + len(value) :]


def resigned(data: bytes, offset: int, value: bytes) -> bytes:
    """`data` with bytes of its header changed and the header's checksum made to fit."""
    data = patched(data, offset, value)
    length = struct.unpack_from("<I", data, 12)[0]
    return patched(data, 92, struct.pack("<I", zlib.crc32(data[96:length], zlib.crc32(data[:92]))))


def valid() -> list[dict[str, object]]:
    unknown = {"origin": 3, "clock_hz": 0.0}
    real = {**LINK, "seed": None, "intensities": [0.6, 0.2, 0.0], "probabilities": [0.5, 0.3, 0.2]}
    attacked = {**LINK, "seed": 2**64 - 1, "eve": "intercept=0.2"}
    cases = [
        ("five events of simulated light", build(), "simulated", LINK, EVENTS, 1000, 2, 1e9),
        ("no events", build(events=[]), "simulated", LINK, [], 1000, 2, 1e9),
        ("one pulse, detected", build(events=[(0, 0, 0)], pulses=1), "simulated", LINK, [(0, 0, 0)], 1, 2, 1e9),
        ("nothing known of the link", build(link=None, **unknown), "replay", None, EVENTS, 1000, 2, None),
        (
            "three intensities, real light",
            build(link=real, origin=1, levels=3),
            "photons",
            real,
            EVENTS,
            1000,
            3,
            1e9,
        ),
        ("largest seed, an attack", build(link=attacked), "simulated", attacked, EVENTS, 1000, 2, 1e9),
        ("largest pulses", build(pulses=1 << 62), "simulated", LINK, EVENTS, 1 << 62, 2, 1e9),
        (
            "highest slot",
            build(pulses=1 << 62, events=[((1 << 62) - 1, 0, 0)]),
            "simulated",
            LINK,
            [((1 << 62) - 1, 0, 0)],
            1 << 62,
            2,
            1e9,
        ),
        (
            "full columns of 64: no padding",
            build(events=[(k, k % 8, k % 4) for k in range(64)]),
            "simulated",
            LINK,
            [(k, k % 8, k % 4) for k in range(64)],
            1000,
            2,
            1e9,
        ),
    ]
    return [
        {
            "name": name,
            "hex": data.hex(),
            "valid": True,
            "origin": origin,
            "levels": levels,
            "pulses": str(pulses),
            "clock_hz": clock,
            "link": None if link is None else {**link, "seed": None if link["seed"] is None else str(link["seed"])},
            "slots": [str(event[0]) for event in events],
            "states": [event[1] for event in events],
            "outcomes": [event[2] for event in events],
        }
        for name, data, origin, link, events, pulses, levels, clock in cases
    ]


def refused() -> list[tuple[str, str, bytes]]:
    """(name, a word the refusal must contain, file)"""
    good = build()
    at = struct.unpack_from("<QQQ", good, 48)

    def link(**change: object) -> bytes:
        return build(link={**LINK, **change})

    def without(member: str) -> bytes:
        return build(link={key: value for key, value in LINK.items() if key != member})

    return [
        ("an empty file", "starts with", b""),
        ("half a magic", "starts with", good[:4]),
        ("another magic", "starts with", patched(good, 0, b"\x89POLIQX\n")),
        ("line feed of the magic made a carriage return", "starts with", patched(good, 7, b"\r")),
        ("magic alone", "cut short", good[:8]),
        ("half a header", "cut short", good[:50]),
        ("header without columns", "cut short", good[: at[0]]),
        ("last byte missing", "cut short", good[:-1]),
        ("one byte too many", "behind its end", good + b"\0"),
        ("version 0", "version", build(version=0)),
        ("version 2", "version", build(version=2)),
        ("version 256", "version", build(version=256)),
        ("origin 0", "origin", build(origin=0)),
        ("origin 4", "origin", build(origin=4)),
        ("levels 0", "levels", build(levels=0)),
        ("levels 5", "levels", build(levels=5)),
        ("levels 3, two intensities", "levels", build(levels=3)),
        ("levels 1, two intensities", "levels", build(levels=1)),
        ("header length one short", "header", resigned(good, 12, struct.pack("<I", at[0] - 64))),
        ("header length too long", "header", patched(good, 12, struct.pack("<I", at[0] + 64))),
        ("header length beyond the file", "header", patched(good, 12, struct.pack("<I", 0xFFFFFFC0))),
        ("metadata length beyond the limit", "metadata", patched(good, 84, struct.pack("<I", 65537))),
        ("metadata length 2^32 - 1", "metadata", patched(good, 84, struct.pack("<I", 0xFFFFFFFF))),
        ("file length 0", "behind its end", build(file_length=0)),
        ("pulses 0, no events", "pulses", build(pulses=0, events=[])),
        ("fewer pulses than events", "pulses", build(pulses=4)),
        ("pulses beyond 2^62", "pulses", build(pulses=(1 << 62) + 1)),
        ("pulses 2^64 - 1", "pulses", build(pulses=(1 << 64) - 1)),
        ("one event more than there are", "events", resigned(good, 32, struct.pack("<Q", 6))),
        ("one event fewer than there are", "events", resigned(good, 32, struct.pack("<Q", 4))),
        ("events 2^64 - 1", "events", resigned(good, 32, struct.pack("<Q", (1 << 64) - 1))),
        ("events 2^61: eight times it wraps to 0", "events", resigned(good, 32, struct.pack("<Q", 1 << 61))),
        ("events beyond 2^33", "events", resigned(good, 24, struct.pack("<QQ", 1 << 40, (1 << 33) + 1))),
        ("clock negative", "clock", build(clock_hz=-1.0)),
        ("clock infinite", "clock", build(clock_hz=float("inf"))),
        ("clock not a number", "clock", build(clock_hz=float("nan"))),
        ("slots elsewhere", "columns", build(slots_offset=at[0] + 8)),
        ("states at the slots", "columns", build(states_offset=at[0])),
        ("outcomes at the states", "columns", build(outcomes_offset=at[1])),
        ("offset 2^64 - 1", "columns", build(outcomes_offset=(1 << 64) - 1)),
        ("reserved 1", "reserved", build(reserved=1)),
        ("header not signed", "header", build(sign=False)),
        ("header checksum inverted", "header", patched(good, 92, bytes(255 ^ b for b in good[92:96]))),
        ("name changed, header not signed", "header", good.replace(b"bench", b"bunch")),
        ("metadata not JSON", "metadata", build(text=b"{" + b" " * 20)),
        ("metadata empty", "metadata", build(text=b"")),
        ("metadata not UTF-8", "metadata", build(text=json.dumps(LINK).encode().replace(b"bench", b"b\xff\xfeh"))),
        ("metadata a list", "metadata", build(link=[1, 2])),
        ("metadata with another member", "metadata", link(colour="green")),
        ("metadata without seed", "metadata", without("seed")),
        ("metadata without intensities", "metadata", without("intensities")),
        ("metadata padded with spaces into the zeros", "padding", resigned(good, at[0] - 1, b" ")),
        ("name empty", "name", link(name="")),
        ("name of 65 characters", "name", link(name="x" * 65)),
        ("name with a terminal's escape", "name", link(name="a\x1b[2Jb")),
        ("intensities rise", "intensities", link(intensities=[0.1, 0.5])),
        ("intensities equal", "intensities", link(intensities=[0.5, 0.5])),
        ("intensity negative", "intensities", link(intensities=[0.5, -0.1])),
        ("intensity 11", "intensities", link(intensities=[11, 0.1])),
        ("three intensities, two levels", "intensities", link(intensities=[0.5, 0.1, 0.0])),
        ("probabilities sum to 0.9", "probabilities", link(probabilities=[0.7, 0.2])),
        ("probability zero", "probabilities", link(probabilities=[1.0, 0.0])),
        ("probability negative", "probabilities", link(probabilities=[1.5, -0.5])),
        ("one probability", "probabilities", link(probabilities=[1.0])),
        ("key basis 1.5", "key_basis", link(key_basis_alice=1.5)),
        ("key basis -0.1", "key_basis", link(key_basis_bob=-0.1)),
        ("key basis as text", "metadata", link(key_basis_bob="0.9")),
        ("seed -1", "seed", link(seed=-1)),
        ("seed 2^64", "seed", link(seed=2**64)),
        ("seed of real light", "seed", build(origin=1)),
        ("attack on real light", "attack", build(link={**LINK, "seed": None, "eve": "pns"}, origin=1)),
        ("seed of unknown light", "seed", build(origin=3)),
        ("attack of no characters", "eve", link(eve="")),
        ("padding behind the slots", "padding", patched(good, at[1] - 1, b"\1")),
        ("padding behind the states", "padding", patched(good, at[2] - 1, b"\1")),
        ("slot flipped", "slots", patched(good, at[0] + 1, b"\1")),
        ("state flipped", "states", patched(good, at[1], b"\1")),
        ("outcome flipped", "outcomes", patched(good, at[2], b"\1")),
        ("slots checksum of another column", "slots", build(slots_crc32=0)),
        ("states checksum of another column", "states", build(states_crc32=0)),
        ("outcomes checksum of another column", "outcomes", build(outcomes_crc32=0)),
        ("slots repeat", "increase", build(events=[(5, 0, 0), (5, 0, 0)])),
        ("slots fall", "increase", build(events=[(5, 0, 0), (4, 0, 0)])),
        ("slot at pulses", "outside", build(events=[(5, 0, 0), (1000, 0, 0)])),
        ("slot 2^63: negative when read as signed", "outside", build(events=[(1 << 63, 0, 0)])),
        ("slot 2^64 - 1 before slot 0", "outside", build(events=[((1 << 64) - 1, 0, 0), (0, 0, 0)])),
        ("state of an intensity that is not there", "states", build(events=[(5, 8, 0)])),
        ("state with bit 4", "states", build(events=[(5, 16, 0)])),
        ("state with bit 7", "states", build(events=[(5, 128, 0)])),
        ("outcome with bit 2", "outcomes", build(events=[(5, 0, 4)])),
        ("outcome with bit 7", "outcomes", build(events=[(5, 0, 128)])),
    ]


def main() -> None:
    cases = valid() + [{"name": n, "hex": data.hex(), "valid": False, "says": says} for n, says, data in refused()]
    note = "64-bit integers are written as text; seed likewise; `says` is a word of POLIQI's own refusal"
    lines = ",\n".join(" " + json.dumps(case) for case in cases)
    text = f'{{"format": "poliqi-events 1", "note": "{note}", "cases": [\n{lines}\n]}}\n'
    Path(__file__).with_name("binary.json").write_text(text)


if __name__ == "__main__":
    main()
