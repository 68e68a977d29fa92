"""Cascade against the published vectors: every byte of every round, and every message that must be refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from poliqi.base.bits import BitString
from poliqi.base.errors import ProtocolError
from poliqi.base.ids import Role
from poliqi.distill.reconcile import Cascade, CascadeParameters, ReconcilerTerms
from poliqi.distill.reconcile.reference import ReferenceCascade

VECTORS = json.loads((Path(__file__).resolve().parents[2] / "vectors" / "cascade" / "cascade.json").read_text())
RUNS = {run["name"]: run for run in VECTORS["runs"]}
BOTH = pytest.mark.parametrize("machine", [Cascade, ReferenceCascade])


def party(machine: Any, run: dict[str, Any], role: str) -> Any:
    sizes = run["parameters"]["block_sizes"]
    parameters = CascadeParameters(**run["parameters"] | {"block_sizes": sizes and tuple(sizes)})
    terms = ReconcilerTerms(run["qber"], int(run["seed"], 16), run["frame_bits"])
    return machine(Role(role), BitString.from_bytes(bytes.fromhex(run[role]), run["n"]), terms, parameters)


@BOTH
@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
@pytest.mark.parametrize(("role", "peer"), [("alice", "bob"), ("bob", "alice")])
def test_every_message_of_a_run(machine: Any, run: dict[str, Any], role: str, peer: str) -> None:
    me = party(machine, run, role)
    for number, told in enumerate(run["rounds"]):
        assert me.rounds == number
        assert me.message() == bytes.fromhex(told[role])
        me.receive(bytes.fromhex(told[peer]))
    assert me.done
    assert me.message() is None
    assert me.errors.to_bytes().hex() == run["errors"]
    assert me.sent_bits == me.received_bits == run["sent_bits"] == sum(r["bits"] for r in run["rounds"])
    own = BitString.from_bytes(bytes.fromhex(run[role]), run["n"])
    assert ((own ^ me.errors).to_bytes().hex() == run[peer]) == run["complete"]


@BOTH
@pytest.mark.parametrize(
    "case", VECTORS["refused"], ids=lambda case: f"{case['run']}, round {case['round']}: {case['why']}"
)
def test_a_message_that_cannot_be_is_refused(machine: Any, case: dict[str, Any]) -> None:
    run = RUNS[case["run"]]
    alice = party(machine, run, "alice")
    for told in run["rounds"][: case["round"]]:
        alice.receive(bytes.fromhex(told["bob"]))
    before = alice.message()
    with pytest.raises(ProtocolError):
        alice.receive(bytes.fromhex(case["message"]))
    assert (alice.message(), alice.rounds) == (before, case["round"])


def test_failures_outnumber_successes_in_the_vectors() -> None:
    assert len(VECTORS["refused"]) > len(VECTORS["runs"])
