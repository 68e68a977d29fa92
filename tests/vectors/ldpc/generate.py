"""Writes ldpc.json beside itself from docs/spec/ldpc.md and the file of codes; nothing of the library is imported.

Run it with any Python 3.11: `python tests/vectors/ldpc/generate.py`. A test holds that the file is fresh. Bob's
answers need no decoder here: errors are either so few that any decoder finds them, or so many that none does.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import struct
from itertools import pairwise
from pathlib import Path

CODES = Path(__file__).parents[3] / "src/poliqi/distill/reconcile/ldpc_codes.json"
NEED = (
    (0.005, 1.22),
    (0.0087, 1.155),
    (0.0125, 1.10),
    (0.0205, 1.078),
    (0.03, 1.072),
    (0.05, 1.079),
    (0.08, 1.087),
)


def between(points: tuple[tuple[float, float], ...], x: float) -> float:
    if x <= points[0][0]:
        return points[0][1]
    for (x0, y0), (x1, y1) in pairwise(points):
        if x <= x1:
            return (y1 - y0) / (x1 - x0) * (x - x0) + y0
    return points[-1][1]


def rate(n: int, qber: float, frame_bits: int, blind: bool) -> tuple[int, dict | None, int, int, int]:
    """Frames, code, lift, increment, increments."""
    p = max(qber, 0.005)
    entropy = -p * math.log2(p) - (1 - p) * math.log2(1 - p)
    words, fewest = -(-n // 64), -(-n // frame_bits)
    best, least = (fewest, None, 0, 0, 0), n
    for frames in range(fewest, fewest + fewest // 32 + 1):
        size = 64 * -(-words // frames)
        lift = 64 * -(-size // 16384)
        sigma = 1.3 * math.log2((1 - p) / p) * math.sqrt(size * max(size, 65536) / 65536 * p * (1 - p))
        over = between(NEED, p) + (0.3 if size <= 16384 else 0.0)
        need = over * size * entropy + (0.5 if blind else 3.3) * sigma
        code = next((c for c in json.loads(CODES.read_text())["codes"] if c["core"] * lift >= need), None)
        if code is not None and frames * code["core"] * lift < least:
            least = frames * code["core"] * lift
            step = 64 * max(1, round(0.7 * sigma / 64))
            best = frames, code, lift, step, code["extra"] * lift // step if blind else 0
    return best


def checks(code: dict, lift: int, frame: list[int]) -> list[int]:
    """All checks of a frame, by the definition of H."""
    frame = frame + [0] * (256 * lift - len(frame))
    found = [0] * ((code["core"] + code["extra"]) * lift)
    column = -1
    for (word,) in struct.iter_unpack("<H", base64.b64decode(code["edges"])):
        column += word >> 15
        row, shift = word >> 8 & 127, (word & 255) * lift // 256
        for i in range(lift):
            found[row * lift + i] ^= frame[column * lift + (i + shift) % lift]
    return found


def packed(bits: list[int]) -> str:
    return sum(bit << i for i, bit in enumerate(bits)).to_bytes((len(bits) + 7) // 8, "little").hex()


def drawn(name: str, n: int) -> list[int]:
    data = hashlib.shake_256(name.encode()).digest((n + 7) // 8)
    return [data[i // 8] >> i % 8 & 1 for i in range(n)]


def transcript(name: str, n: int, qber: float, reconciler: str, wrong: list[int], frame_bits: int = 4096) -> dict:
    """`wrong` are the places of errors; a frame with more than a twentieth of its bits wrong cannot be decoded."""
    blind = reconciler == "ldpc-blind"
    alice = drawn(name, n)
    errors = [0] * n
    for place in wrong:
        errors[place] = 1
    frames, code, lift, step, steps = rate(n, qber, frame_bits, blind) if n else (0, None, 0, 0, 0)
    words = -(-n // 64)
    bounds = [(64 * (k * words // frames), min(n, 64 * ((k + 1) * words // frames))) for k in range(frames)]
    rounds, alice_bits, bob_bits = [], 0, 0
    bad = [k for k, (a, b) in enumerate(bounds) if code is not None and sum(errors[a:b]) > (b - a) / 20]
    if n and code is None:
        rounds, alice_bits = [[packed(alice), ""]], n
    elif n:
        every = [checks(code, lift, alice[a:b]) for a, b in bounds]
        start, stop, asked = 0, code["core"] * lift, list(range(frames))
        for j in range(steps + 1):
            said = [bit for k in asked for bit in every[k][start:stop]]
            rounds.append([packed(said), ""])
            alice_bits += len(said)
            if j == steps:
                break
            rounds.append(["", packed([int(k in bad) for k in asked])])
            bob_bits += len(asked)
            asked = bad
            if not asked:
                break
            start, stop = stop, stop + step
    found = list(errors)
    for k in bad:
        a, b = bounds[k]
        found[a:b] = [0] * (b - a)
    bob = [x ^ y for x, y in zip(alice, errors, strict=True)]
    return {
        "name": name,
        "reconciler": reconciler,
        "qber": qber,
        "frame_bits": frame_bits,
        "bits": n,
        "alice": packed(alice),
        "bob": packed(bob),
        "errors": packed(found),
        "rounds": rounds,
        "alice_bits": alice_bits,
        "bob_bits": bob_bits,
    }


def refused() -> list[dict]:
    base = {"reconciler": "ldpc-blind", "qber": 0.02, "frame_bits": 4096, "bits": 4096, "heard": []}
    frames, code, lift, step, _ = rate(4096, 0.02, 4096, True)
    assert frames == 1
    assert code is not None
    size = code["core"] * lift // 8
    after = {"heard": ["00" * size]}
    return [
        base | {"name": "Alice is spoken to in round 0", "role": "alice", "message": "00"},
        base | {"name": "Bob gets nothing in round 0", "role": "bob", "message": ""},
        base | {"name": "Bob gets a byte too few", "role": "bob", "message": "00" * (size - 1)},
        base | {"name": "Bob gets a byte too many", "role": "bob", "message": "00" * (size + 1)},
        base | after | {"name": "Bob is spoken to in round 1", "role": "bob", "message": "00"},
        base | {"name": "padding after Bob's one bit", "role": "alice", "heard": [""], "message": "02"},
        base | {"name": "Bob's answer is missing", "role": "alice", "heard": [""], "message": ""},
        base | {"name": "after the end", "role": "alice", "heard": ["", "00"], "message": ""},
        base
        | {
            "name": "after the end of a fixed rate",
            "reconciler": "ldpc",
            "role": "alice",
            "heard": [""],
            "message": "",
        },
        base
        | {
            "name": "an increment too short",
            "role": "bob",
            "heard": ["ff" * size, ""],
            "message": "00" * (step // 8 - 1),
        },
    ]


def build() -> dict:
    return {
        "transcripts": [
            transcript("no bits", 0, 0.02, "ldpc-blind", []),
            transcript("one bit", 1, 0.02, "ldpc-blind", [0]),
            transcript("seventy bits", 70, 0.08, "ldpc", [3, 69]),
            transcript("one frame, decoded", 4096, 0.02, "ldpc-blind", list(range(5, 4096, 257))),
            transcript("one frame, fixed rate", 4096, 0.02, "ldpc", list(range(5, 4096, 257))),
            transcript("a frame that is not full", 3001, 0.01, "ldpc-blind", [0, 17, 1500, 3000]),
            transcript(
                "three frames, the second hopeless", 12288, 0.02, "ldpc-blind", [7, *range(4500, 7500, 3), 9000]
            ),
            transcript("hopeless at a fixed rate", 4096, 0.02, "ldpc", list(range(0, 4096, 3))),
        ],
        "refused": refused(),
    }


if __name__ == "__main__":
    Path(__file__).with_name("ldpc.json").write_text(json.dumps(build(), indent=1) + "\n")
