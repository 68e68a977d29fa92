"""What a running end says of a block."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from poliqi.base.ids import BlockNumber, LeakModel, Origin
from poliqi.distill.outcome import BlockReport
from poliqi.node.lines import block_record, describe, light_name, to_json
from poliqi.proof import BasisCounts, Counts, ProofName, secret_length

# oracle R1 of the one-decoy proof: Wiesemann grants 11179504 bits to these counts at f = 1.16
COUNTS = Counts(
    intensities=(0.5, 0.15),
    probabilities=(0.7, 0.3),
    key=BasisCounts((27653995, 3618277), (277096, 36421)),
    test=BasisCounts((341407, 44670), (3421, 450)),
)
BOUND = secret_length(COUNTS, proof=ProofName.WIESEMANN, leak_bits=2_931_000.0, epsilon_sec=1e-9, epsilon_cor=1e-15)
REPORT = BlockReport(
    block=BlockNumber(7),
    origin=Origin.SIMULATED,
    pulses=1_000_000_000,
    detections=40_000_000,
    sifted_key=31272272,
    sifted_test=386077,
    counts=COUNTS,
    qber_key=0.010025,
    qber_test=0.010027,
    leak_alice=2_600_000,
    leak_bob=331_000,
    leak_model=LeakModel.BOTH_DIRECTIONS,
    leak_counted=2_931_000,
    leak_cap=3_000_000,
    efficiency=1.034,
    reconciler="cascade",
    rounds=100,
    failed_frames=0,
    verified=True,
    bound=BOUND,
    ledger=BOUND.ledger,
    gross_bits=10_000_000,
    refill_bits=384,
    net_bits=9_999_616,
)


def record(report: BlockReport = REPORT, reason: str | None = None) -> dict[str, object]:
    return block_record(report, reason=reason, clock_hz=1e9, took_s=2.0)


def test_simulated_light_never_has_an_epsilon() -> None:
    said = record()
    assert said["epsilon"] is None
    assert said["epsilon_if_real"] == pytest.approx(1e-9, rel=1e-3)


def test_real_light_has_one() -> None:
    said = record(replace(REPORT, origin=Origin.PHOTONS))
    assert said["epsilon"] == pytest.approx(1e-9, rel=1e-3)
    assert said["epsilon_if_real"] is None


def test_block_without_key_has_neither() -> None:
    said = record(replace(REPORT, gross_bits=0, net_bits=0), "too many errors")
    assert (said["epsilon"], said["epsilon_if_real"]) == (None, None)


def test_rate_is_per_second_of_light() -> None:
    assert record()["rate_bit_s"] == pytest.approx(9_999_616)


def test_line_for_people_says_all_figures() -> None:
    line = describe(record() | {"event": "block", "time_s": 3.25})
    for word in ("3.2 s", "block 7", "1.00 % key", "f 1.034", "2,600,000 + 331,000", "10,000,000", "9,999,616",
                 "epsilon if it were real 1e-09", "(simulated light)"):  # fmt: skip
        assert word in line


def test_line_without_key_says_why() -> None:
    said = record(replace(REPORT, gross_bits=0), "too many errors") | {"event": "block"}
    assert "NO KEY: too many errors" in describe(said)


def test_block_stopped_at_the_leak_cap_has_no_counts() -> None:
    said = record(
        replace(REPORT, counts=None, bound=None, ledger=None, qber_key=None, efficiency=None, gross_bits=0)
    )
    assert "QBER - key" in describe(said | {"event": "block"})


def test_record_is_one_line_of_json() -> None:
    line = to_json(record())
    assert "\n" not in line
    assert json.loads(line)["counts"]["key"]["errors"] == [277096, 36421]


@pytest.mark.parametrize("origin", Origin)
def test_every_light_has_a_name(origin: Origin) -> None:
    assert light_name(origin)
