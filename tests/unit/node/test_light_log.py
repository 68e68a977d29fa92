"""What an end says of its light: lit, keyless, dark, silent, and the figures that stand beside it."""

from __future__ import annotations

import pytest

from poliqi.base.ids import BlockNumber, LeakModel, LinkId, Origin
from poliqi.control.messages import LightState
from poliqi.distill.outcome import BlockReport
from poliqi.link.device import Condition
from poliqi.node.lightlog import LightLog
from poliqi.ops.config import default_link

LINK = default_link()  # 1 GHz
BRIGHT = Condition(noise=1e-6)
PULSES = 10_000_000  # 10 ms of light


def block(net_bits: int = 0, qber: float = 0.01, detections: int = 107_900) -> BlockReport:
    return BlockReport(
        block=BlockNumber(1),
        origin=Origin.SIMULATED,
        pulses=PULSES,
        detections=detections,
        sifted_key=0,
        sifted_test=0,
        counts=None,
        qber_key=qber,
        qber_test=qber,
        leak_alice=0,
        leak_bob=0,
        leak_model=LeakModel.BOTH_DIRECTIONS,
        leak_counted=0,
        leak_cap=0,
        efficiency=None,
        reconciler="cascade",
        rounds=0,
        failed_frames=0,
        verified=True,
        bound=None,
        ledger=None,
        gross_bits=net_bits,
        net_bits=net_bits,
    )


@pytest.fixture
def log() -> LightLog:
    return LightLog(LinkId("a-b"), LINK, Origin.PHOTONS, now=100.0)


def test_before_the_other_end_is_met_it_is_silent(log: LightLog) -> None:
    report = log.report(BRIGHT, 100.0)
    assert (report.link, report.state, report.blocks) == ("a-b", LightState.SILENT, 0)
    assert "not there" in report.reason


def test_rate_is_net_bits_over_the_time_of_light(log: LightLog) -> None:
    log.met()
    assert log.report(BRIGHT, 101.0).key_rate_bps is None
    for bits in (1000, 3000):
        log.block(block(bits), None, 102.0)
    report = log.report(BRIGHT, 102.5)
    assert report.state is LightState.LIT
    assert report.key_rate_bps == pytest.approx(4000 / 0.02)
    assert (report.blocks, report.age_s, report.qber_key, report.noise) == (2, 0.5, 0.01, 1e-6)
    assert report.epsilon is None, "simulated light proves nothing"
    assert report.loss_db == pytest.approx(2.1 + 1.5 + 1.0, abs=0.05), "fibre, connectors and switch of the file"


def test_blocks_without_key_are_keyless_and_say_why(log: LightLog) -> None:
    log.met()
    log.block(block(1000), None, 101.0)
    log.block(block(qber=0.12), "leak cap", 102.0)
    report = log.report(BRIGHT, 102.0)
    assert (report.state, report.key_rate_bps, report.reason) == (LightState.KEYLESS, 0.0, "leak cap")
    assert report.qber_test == 0.12
    log.parted("waiting before the next", 102.0)
    assert log.report(BRIGHT, 130.0).state is LightState.KEYLESS, "both ends only wait"
    log.met()
    log.block(block(2000), None, 140.0)
    assert log.report(BRIGHT, 140.0).state is LightState.LIT


def test_a_block_without_key_is_chance_until_there_are_three_in_a_row(log: LightLog) -> None:
    log.met()
    log.block(block(1000), None, 101.0)
    before = log.report(BRIGHT, 101.0).key_rate_bps
    assert before is not None
    for number, at in enumerate((102.0, 103.0), 2):
        log.block(block(), "too short", at)
        report = log.report(BRIGHT, at)
        assert report.state is LightState.LIT
        assert report.key_rate_bps == pytest.approx(before / number)
    log.block(block(), "too short", 104.0)
    assert log.report(BRIGHT, 104.0).state is LightState.KEYLESS


def test_dark_comes_before_all_else(log: LightLog) -> None:
    log.met()
    log.block(block(1000), None, 101.0)
    report = log.report(Condition(dark="the fibre is cut"), 101.0)
    assert (report.state, report.key_rate_bps, report.reason) == (LightState.DARK, 0.0, "the fibre is cut")
    assert log.report(BRIGHT, 101.1).state is LightState.LIT


def test_an_other_end_that_stays_away_is_silent_after_a_moment(log: LightLog) -> None:
    log.met()
    log.block(block(1000), None, 101.0)
    log.parted("the connection broke", 101.0)
    assert log.report(BRIGHT, 101.5).state is LightState.LIT
    assert log.report(BRIGHT, 104.0).state is LightState.SILENT
    log.parted("nobody listens there", 104.0)
    assert log.report(BRIGHT, 105.0).reason == "nobody listens there"


def test_a_long_reason_is_cut() -> None:
    log = LightLog(LinkId("a-b"), LINK, Origin.PHOTONS, 0.0)
    log.met()
    log.block(block(), "x" * 5000, 0.5)
    log.block(block(), "x" * 5000, 1.0)
    assert len(log.report(BRIGHT, 1.0).reason) == 512
