"""The loss of a channel from clicks: against the formula of textbooks, and against clicks drawn one by one."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from poliqi.link.simulated import SimulatedReceiver
from poliqi.ops.config import default_link
from poliqi.optics.lossestimate import MOST_LOSS_DB, estimated_loss_db
from poliqi.optics.parameters import Detector, DetectorKind, Fibre, LinkParameters, Receiver, Source
from poliqi.optics.receiver import background_per_slot

MU, EFFICIENCY = 0.4, 0.6


def ideal(loss_db: float, dark_rate_hz: float = 0.0) -> LinkParameters:
    return LinkParameters(
        "ideal",
        Source(1e9, (MU,), (1.0,), 0.5),
        Fibre(0.0, connectors_db=loss_db),
        Receiver(0.0, 0.0),
        Detector(DetectorKind.SNSPD, EFFICIENCY, dark_rate_hz=dark_rate_hz),
    )


@pytest.mark.parametrize("loss_db", [0.5, 4.6, 12.0, 25.0])
def test_an_ideal_receiver_clicks_as_a_weak_pulse_says(loss_db: float) -> None:
    # any of Bob's outcomes: 1 - exp(-mu eta), whatever the bases
    clicks = -math.expm1(-MU * EFFICIENCY * 10 ** (-loss_db / 10))
    assert estimated_loss_db(ideal(7.0), clicks) == pytest.approx(loss_db, abs=1e-4)


def test_loss_of_drawn_clicks_is_found_within_their_noise() -> None:
    link = default_link()
    true_db = 2.1 + 1.5 + 1.0 + 3.0  # fibre, connectors, switch, and 3 dB that nobody planned
    worse = replace(link, fibre=replace(link.fibre, connectors_db=link.fibre.connectors_db + 3.0))
    pulses = 3_000_000
    seen = SimulatedReceiver(worse, 7).detect(pulses).slots.size
    sigma_db = 10 / math.log(10) / math.sqrt(seen)
    found = estimated_loss_db(link, seen / pulses)
    assert found == pytest.approx(true_db, abs=5 * sigma_db)


def test_no_light_is_no_loss_and_more_light_than_there_can_be_is_none() -> None:
    assert estimated_loss_db(ideal(3.0), 0.0) is None
    assert estimated_loss_db(ideal(3.0), 1.0) == 0.0
    assert MOST_LOSS_DB == 80.0


def test_background_is_what_clicks_in_the_dark() -> None:
    # four windows of a nanosecond, each with dark_rate of its own
    expected = -math.expm1(-4 * 1000.0 * 1e-9)
    assert background_per_slot(ideal(3.0, 1000.0)) == pytest.approx(expected, rel=1e-9)
    assert background_per_slot(ideal(3.0)) == 0.0
