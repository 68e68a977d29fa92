"""Writes long.json with python-flint, a library of its own: products of polynomials modulo 2.

uv pip install python-flint==0.9.0; python tests/vectors/amplify/generate_long.py
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from flint import nmod_poly

SIZES = [
    (16_257, 8_128),
    (16_258, 8_129),
    (99_991, 30_011),
    (500_000, 499_000),
    (1_000_003, 300_001),
    (3_000_000, 7),
]
CONVENTION = (
    "bits: SHAKE-128('amplify bits n'), seed: SHAKE-128('amplify seed n'), n in decimal, ASCII; as many bytes as n "
    "and n - 1 packed bits take, padding cleared. result: SHA-256 of the packed result."
)


def stream(what: str, n: int, count: int) -> list[int]:
    data = int.from_bytes(hashlib.shake_128(f"amplify {what} {n}".encode()).digest(-(-count // 8)), "little")
    return [int(bit) for bit in reversed(f"{data:0{8 * -(-count // 8)}b}")][:count]


def hashed(n: int, length: int) -> str:
    bits, seed = stream("bits", n, n), stream("seed", n, n - 1)
    c = n - length
    product = nmod_poly(seed, 2) * nmod_poly(bits[length:], 2)
    result = [bits[i] ^ int(product[c - 1 + i]) for i in range(length)]
    packed = bytes(sum(b << j for j, b in enumerate(result[i : i + 8])) for i in range(0, length, 8))
    return hashlib.sha256(packed).hexdigest()


cases = [{"n": n, "length": length, "result": hashed(n, length)} for n, length in SIZES]
text = json.dumps({"convention": CONVENTION, "products": cases}, indent=1)
Path(__file__).with_name("long.json").write_text(text + "\n")
