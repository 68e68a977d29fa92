"""Writes the Cascade vectors with the plain machine; review the difference before keeping it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from poliqi.base.bits import BitString
from poliqi.base.ids import Role
from poliqi.distill.reconcile.plan import CascadeParameters
from poliqi.distill.reconcile.protocol import ReconcilerTerms
from poliqi.distill.reconcile.reference import ReferenceCascade

HERE = Path(__file__).resolve().parent
CONVENTION = (
    "Bits are packed little-endian (bit i is bit i % 8 of byte i // 8); bytes are hex; seeds are 64-bit numbers in "
    "hex. `rounds` lists what both parties send in each round; `complete` says whether all errors are found. "
    "docs/spec/cascade.md gives the rules."
)
USUAL = CascadeParameters(random_passes=4)
FEW_ROUNDS = CascadeParameters(random_passes=4, few_rounds=True)
LONG_BLOCKS = CascadeParameters(3, (256, 1024, 8192))
FIVE_ROUNDS = CascadeParameters(4, round_limit=5)


def errors_at(n: int, places: range | list[int]) -> np.ndarray:
    errors = np.zeros(n, np.uint8)
    errors[list(places)] = 1
    return errors


def drawn(n: int, rate: float, seed: int) -> np.ndarray:
    return (np.random.default_rng([n, seed]).random(n) < rate).astype(np.uint8)


def run(
    name: str,
    errors: np.ndarray,
    qber: float,
    seed: int,
    frame_bits: int = 4096,
    parameters: CascadeParameters = USUAL,
) -> dict[str, Any]:
    n = errors.size
    alice = np.random.default_rng([n, seed, 1]).integers(0, 2, n, dtype=np.uint8)
    strings = {Role.ALICE: BitString.from_bits(alice), Role.BOB: BitString.from_bits(alice ^ errors)}
    terms = ReconcilerTerms(qber, seed, frame_bits)
    a, b = (ReferenceCascade(role, bits, terms, parameters) for role, bits in strings.items())
    rounds: list[dict[str, Any]] = []
    while (from_a := a.message()) is not None:
        from_b = b.message()
        assert from_b is not None
        rounds.append({"bits": a.asked_bits, "alice": from_a.hex(), "bob": from_b.hex()})
        a.receive(from_b)
        b.receive(from_a)
    return {
        "name": name,
        "n": n,
        "qber": qber,
        "seed": f"{seed:016x}",
        "frame_bits": frame_bits,
        "parameters": asdict(parameters),
        "alice": strings[Role.ALICE].to_bytes().hex(),
        "bob": strings[Role.BOB].to_bytes().hex(),
        "rounds": rounds,
        "errors": a.errors.to_bytes().hex(),
        "sent_bits": a.sent_bits,
        "complete": bool(np.array_equal(a.errors.to_bits(), errors)),
    }


def refused(case: dict[str, Any], rounds: list[int]) -> list[dict[str, Any]]:
    """Messages that cannot be Bob's of these rounds."""
    bad: list[dict[str, Any]] = []
    for number in rounds:
        told = case["rounds"][number]
        message, spare = bytes.fromhex(told["bob"]), -told["bits"] % 8
        changes = [
            ("a byte too many", message + b"\0"),
            ("a byte too few", message[:-1]),
            ("an empty message", b""),
        ]
        changes += [
            (f"padding bit {bit} is set", message[:-1] + bytes([message[-1] | 1 << bit]))
            for bit in range(8 - spare, 8)
        ]
        bad += [{"run": case["name"], "round": number, "why": why, "message": m.hex()} for why, m in changes]
        bad.append({"run": case["name"], "round": number, "why": "an empty message", "message": ""})
    end = len(case["rounds"])
    last = case["rounds"][-1]["bob"]
    bad.append({"run": case["name"], "round": end, "why": "a message after the last round", "message": last})
    bad.append({"run": case["name"], "round": end, "why": "an empty message after the last round", "message": ""})
    return bad


def main() -> None:
    n = 9000
    runs = [
        run("no bits", drawn(0, 0, 1), 0.02, 1),
        run("one bit, equal", errors_at(1, []), 0.02, 2),
        run("one bit, different", errors_at(1, [0]), 0.02, 3),
        run("100 bits, 4 errors", errors_at(100, [3, 40, 41, 99]), 0.04, 0x0123456789ABCDEF),
        run("129 bits, all different", errors_at(129, range(129)), 0.1, 5),
        run("500 bits, one burst", errors_at(500, range(200, 240)), 0.08, 6),
        run("1000 bits, none", drawn(1000, 0, 7), 0.02, (1 << 64) - 1),
        run("4096 bits, 1 %", drawn(4096, 0.01, 8), 0.01, 8),
        run("4097 bits, two frames, 3 %", drawn(4097, 0.03, 9), 0.03, 9),
        run(
            "4097 bits, few rounds",
            drawn(4097, 0.03, 9),
            0.03,
            9,
            4096,
            FEW_ROUNDS,
        ),
        run("900 bits, estimate too low by 10", drawn(900, 0.05, 10), 0.005, 10),
        run(
            "9000 bits on three times 4096 places",
            drawn(n, 0.006, 11),
            0.01,
            11,
            12288,
            CascadeParameters(2, (128, 1024, 8192)),
        ),
        run(
            "9000 bits, blocks of 8192",
            drawn(n, 0.004, 12),
            0.01,
            12,
            8192,
            CascadeParameters(3, (256, 1024, 8192)),
        ),
        run("300 bits, round limit", drawn(300, 0.06, 13), 0.06, 13, 4096, FIVE_ROUNDS),
    ]
    named = {case["name"]: case for case in runs}
    bad = refused(named["100 bits, 4 errors"], [0, 1, 2, 3]) + refused(named["300 bits, round limit"], [4])
    bad += [
        {"run": "no bits", "round": 0, "why": "an empty message where nothing is asked", "message": ""},
        {"run": "no bits", "round": 0, "why": "a byte where nothing is asked", "message": "00"},
    ]
    text = json.dumps({"convention": CONVENTION, "runs": runs, "refused": bad}, indent=1)
    (HERE / "cascade.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
