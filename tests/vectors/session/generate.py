"""Writes the session vectors; review the difference before keeping it."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

import msgspec  # noqa: E402
from two_parties import CountingEntropy, Disk, Wire, make_contract, wire  # noqa: E402

from poliqi.base.ids import Role  # noqa: E402
from poliqi.distill.contract import Contract  # noqa: E402
from poliqi.link.device import Detections  # noqa: E402
from poliqi.proof import ProofName  # noqa: E402


class Recorded(CountingEntropy):
    """Remembers what it gave."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.draws: list[str] = []

    def draw(self, count: int) -> bytes:
        given = super().draw(count)
        self.draws.append(base64.b64encode(given).decode())
        return given


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def record(name: str, contract: Contract, seed: int) -> dict[str, Any]:
    alice, bob = Disk.pair(seed=seed, words=64)
    lanes = {role: b64(bytes(alice.lanes[role])) for role in Role}
    run = wire(contract, (alice, bob), seed=seed)
    entropy = {role: Recorded(seed + i) for i, role in enumerate(Role)}
    seen: list[Detections] = []
    run.light.detect = lambda pulses, detect=run.light.detect: seen.append(detect(pulses)) or seen[-1]  # type: ignore
    for role, disk in zip(Role, (alice, bob), strict=True):
        given = contract if role is Role.ALICE else None
        run.sessions[role] = disk.session(contract=given, entropy=entropy[role])
    run.run()
    return {
        "name": name,
        "contract": msgspec.to_builtins(contract),
        "lanes": lanes,
        "first_slot": seen[0].first_slot,
        "slots": b64(seen[0].slots.astype("<u4").tobytes()),
        "outcomes": b64(seen[0].outcomes.tobytes()),
        "states": b64(run.light.prepared(seen[0].slots).tobytes()),
        "entropy": {role: entropy[role].draws for role in Role},
        "frames": [[sender, b64(frame)] for sender, frame in run.sent],
        "result": result(run),
    }


def result(run: Wire) -> dict[str, Any]:
    aborts = run.aborts(Role.ALICE)
    key = run.disks[Role.ALICE].keys.get(1)
    return {
        "key": None if key is None else key.hex(),
        "refused": aborts[0].reason if aborts else None,
        "lanes_after": {role: len(run.disks[Role.ALICE].lanes[role]) for role in Role},
    }


def main() -> None:
    small = {"pulses": 2_000, "max_detections": 2_000, "leak_cap": 4_000, "expected_qber": 0.02}
    pairs = {"proof": ProofName.BBM92, "intensities": (), "probabilities": (), "tolerated_error": 0.05}
    accepted = make_contract(pulses=400_000, length=1_200, leak_cap=6_500)
    vectors = {
        "accepted": record("a block that is accepted", accepted, 5),
        "measuring": record("a contract that only measures", make_contract(**small, length=0), 6),
        "pairs": record("entangled pairs, measured", make_contract(**small, **pairs, length=0), 9),
        "too-long": record("counts that do not support the length", make_contract(**small, length=1024), 7),
        "over-cap": record(
            "reconciliation over the leak cap", make_contract(**(small | {"leak_cap": 20, "length": 1024})), 8
        ),
    }
    for stem, vector in vectors.items():
        (HERE / f"{stem}.json").write_text(json.dumps(vector, indent=1) + "\n")


if __name__ == "__main__":
    main()
