"""Writes sharing.json and parcel.json from docs/spec/vault.md, by arithmetic of its own (logarithms, integers).

Run from the root of the repository: python tests/vectors/vault/generate.py
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

HERE = Path(__file__).parent

# GF(2^8) by powers of 3, which generates its units (FIPS 197's polynomial)
EXP = [1]
for _ in range(254):
    doubled = EXP[-1] << 1
    EXP.append((doubled ^ (0x11B if doubled & 0x100 else 0)) ^ EXP[-1])
LOG = {value: power for power, value in enumerate(EXP)}


def times(a: int, b: int) -> int:
    return 0 if 0 in (a, b) else EXP[(LOG[a] + LOG[b]) % 255]


def value_at(coefficients: list[int], place: int) -> int:
    power, total = 1, 0
    for coefficient in coefficients:
        total ^= times(coefficient, power)
        power = times(power, place)
    return total


def stream(label: str, size: int) -> bytes:
    return hashlib.shake_256(label.encode()).digest(size)


def shared(secret: bytes, threshold: int, count: int, label: str) -> tuple[list[bytes], list[bytes]]:
    coefficients = [stream(f"{label} {power}", len(secret)) for power in range(1, threshold)]
    shares = [
        bytes(value_at([secret[i], *(c[i] for c in coefficients)], place) for i in range(len(secret)))
        for place in range(1, count + 1)
    ]
    return coefficients, shares


def sharing(label: str, secret: bytes, threshold: int, count: int) -> dict:
    coefficients, shares = shared(secret, threshold, count, label)
    return {
        "source": f"generate.py: {label}",
        "threshold": threshold,
        "secret": secret.hex(),
        "coefficients": [c.hex() for c in coefficients],
        "shares": {str(place): share.hex() for place, share in enumerate(shares, start=1)},
    }


def by_hand() -> dict:
    """Secret 0x42, polynomial 0x42 + 0x01 x: the shares are 0x42 ^ x. No multiplication beyond 1 is needed."""
    return {
        "source": "by hand: 0x42 + x",
        "threshold": 2,
        "secret": "42",
        "coefficients": ["01"],
        "shares": {"1": "43", "2": "40", "3": "41"},
    }


def wrong(made: dict) -> list[dict]:
    places = list(made["shares"])
    k = made["threshold"]
    good = {p: made["shares"][p] for p in places[:k]}
    flipped = {**good, places[0]: f"{int(good[places[0]][:2], 16) ^ 1:02x}" + good[places[0]][2:]}
    # 1, 2 and 3 all weigh 1 in GF(2^8), so that these can be exchanged: others are taken
    last = {p: made["shares"][p] for p in places[-k:]}
    swapped = {**last, places[-1]: last[places[-k]], places[-k]: last[places[-1]]}
    few = dict(list(good.items())[:-1])
    renamed = {("9" if p == places[0] else p): v for p, v in good.items()}
    cases = [
        ("a bit flipped", flipped),
        ("two exchanged", swapped),
        ("one too few", few),
        ("a false number", renamed),
    ]
    return [{"why": why, "secret": made["secret"], "shares": shares} for why, shares in cases]


def refusals() -> list[dict]:
    return [
        {"why": "none", "shares": {}},
        {"why": "two sizes", "shares": {"1": "0000", "2": "00"}},
        {"why": "number 0", "shares": {"0": "00", "1": "11"}},
        {"why": "number 256", "shares": {"256": "00", "1": "11"}},
        {"why": "number -1", "shares": {"-1": "00", "1": "11"}},
    ]


# POLYVAL (RFC 8452, section 3), with integers whose bit i is the coefficient of x^i
POLYNOMIAL = (1 << 128) | (1 << 127) | (1 << 126) | (1 << 121) | 1
X_TO_MINUS_128 = (1 << 127) | (1 << 124) | (1 << 121) | (1 << 114) | 1


def product(a: int, b: int) -> int:
    total = 0
    for bit in range(128):
        if b >> bit & 1:
            total ^= a << bit
    for bit in range(254, 127, -1):
        if total >> bit & 1:
            total ^= POLYNOMIAL << (bit - 128)
    return total


def dot(a: int, b: int) -> int:
    return product(product(a, b), X_TO_MINUS_128)


def tag(share: bytes, key: bytes) -> bytes:
    padded = share + bytes(-len(share) % 16) + (8 * len(share)).to_bytes(16, "little")
    r, state = int.from_bytes(key[:16], "little"), 0
    for at in range(0, len(padded), 16):
        state = dot(state ^ int.from_bytes(padded[at : at + 16], "little"), r)
    return (state ^ int.from_bytes(key[16:], "little")).to_bytes(16, "little")


def parcels(secret: bytes, threshold: int, count: int) -> dict:
    _, shares = shared(secret, threshold, count, "parcel")
    matrix = stream("matrix", 32 * count * count)
    order = {i: [0, *(j for j in range(1, count + 1) if j != i)] for i in range(1, count + 1)}

    def key(share: int, verifier: int) -> bytes:
        at = (share - 1) * count + order[share].index(verifier)
        return matrix[32 * at : 32 * at + 32]

    made = {
        str(i): (
            shares[i - 1]
            + b"".join(tag(shares[i - 1], key(i, v)) for v in order[i])
            + b"".join(key(other, i) for other in order[i][1:])
        ).hex()
        for i in range(1, count + 1)
    }
    return {
        "secret": secret.hex(),
        "threshold": threshold,
        "count": count,
        "coefficients": [stream(f"parcel {power}", len(secret)).hex() for power in range(1, threshold)],
        "matrix": matrix.hex(),
        "parcels": made,
    }


def main() -> None:
    sharings = [
        by_hand(),
        sharing("2 of 3, one byte", b"\x00", 2, 3),
        sharing("3 of 5, all bytes", bytes(range(256)), 3, 5),
        sharing("5 of 5", b"Piazza Leonardo da Vinci 32", 5, 5),
        sharing("16 of 16", b"\xff" * 9, 16, 16),
    ]
    others = [case for made in sharings[2:] for case in wrong(made)]
    text = {"field": "GF(2^8), x^8+x^4+x^3+x+1", "sharings": sharings, "wrong": others, "refusals": refusals()}
    (HERE / "sharing.json").write_text(json.dumps(text, indent=1) + "\n")
    (HERE / "parcel.json").write_text(json.dumps(parcels(bytes(range(40)), 3, 5), indent=1) + "\n")


if __name__ == "__main__":
    main()
