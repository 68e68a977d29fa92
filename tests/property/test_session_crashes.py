"""Either end dies between any two steps: no pad word is used twice and no two keys differ."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from two_parties import Disk, Wire, make_contract, wire

from poliqi.base.ids import Role
from poliqi.distill import acceptance
from poliqi.distill.messages import Tag, decode_message
from poliqi.proof import secret_length


@pytest.fixture(autouse=True)
def generous_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    def bound(counts, contract):
        real = secret_length(counts, leak_bits=0, epsilon_sec=1e-3, epsilon_cor=1e-3)
        return replace(real, length=10**6, reason=None)

    monkeypatch.setattr(acceptance, "_bound", bound)


class Crash(Exception):
    pass


def run_until(disks: tuple[Disk, Disk], seed: int, steps: int) -> Wire:
    """Run a session; after `steps` frames both processes die, with what was durable by then."""
    contract = make_contract(
        pulses=40_000, length=8 * 128, leak_cap=10**5, max_detections=40_000, expected_qber=0.02
    )

    def count(_sender: Role, sent: int, frame: bytes) -> list[bytes]:
        if sent >= steps:
            raise Crash
        return [frame]

    run = wire(contract, disks, seed=seed, tamper=count, blocks=2, error=0.02)
    with contextlib.suppress(Crash):
        run.run()
    return run


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.integers(1, 140), min_size=1, max_size=6))
def test_crashes_reuse_no_pad_and_part_no_keys(deaths: list[int]) -> None:
    disks = Disk.pair()
    used: dict[tuple[Role, int], bytes] = {}
    for seed, steps in enumerate([*deaths, 10**9, 10**9], start=1):
        run = run_until(disks, seed, steps)
        for sender, frame in run.sent:
            message = decode_message(frame)
            if isinstance(message, Tag):
                word = (sender, int.from_bytes(message.value[:8], "little"))
                assert word not in used
                used[word] = message.value
    alice, bob = disks
    assert alice.keys == bob.keys
    assert len(bob.keys) >= 2
    assert alice.lanes == bob.lanes
