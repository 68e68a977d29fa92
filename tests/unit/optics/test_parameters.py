"""The parameter object refuses what makes no sense, and says what to mend."""

from __future__ import annotations

from typing import Any

import pytest
from optical_links import PLAIN, make_link

from poliqi.base.errors import ConfigError
from poliqi.optics.parameters import DeadTimeModel, Detector, DetectorKind, FrontEnd, LinkParameters, Source

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"source__clock_hz": 0.0}, "source.clock"),
    ({"source__intensities": (0.1, 0.5)}, "do not fall"),
    ({"source__intensities": (0.5, 0.5)}, "do not fall"),
    ({"source__intensities": ()}, "0 of them"),
    ({"source__intensities": (0.0,), "source__probabilities": (1.0,)}, "no light"),
    ({"source__intensities": (0.5, -0.1)}, "source.intensities"),
    ({"source__intensities": (float("nan"), 0.1)}, "source.intensities"),
    ({"source__probabilities": (0.7, 0.2)}, "sum to 0.9"),
    ({"source__probabilities": (0.5, 0.3, 0.2)}, "3 of them for 2"),
    ({"source__probabilities": (1.0, 0.0)}, "source.probabilities"),
    ({"source__key_basis": 1.5}, "source.key_basis"),
    ({"fibre__length_m": -1.0}, "fibre.length"),
    ({"receiver__error_key": 0.6}, "receiver.error_key"),
    ({"receiver__drift_rad_per_sqrt_s": 1.0}, "receiver.tracking_time"),
    ({"detector__efficiency": 1.1}, "detector.efficiency"),
    ({"detector__dark_per_gate": 1e-6}, "detector.dark_rate instead"),
    ({"detector__afterpulse": 0.1}, "detector.afterpulse_time"),
    ({"detector__dead_time_s": 5.0, "source__clock_hz": 1e12}, "detector.dead_time"),
    ({"detector__window_s": 2e-9}, "wider than its bin"),
    ({"block__sifted_key": 0}, "block.sifted_key"),
    ({"block__epsilon_sec": 0.0}, "block.epsilon_sec"),
    ({"block__efficiency": 0.9}, "block.efficiency"),
    ({"attack__fraction": 2.0}, "attack.fraction"),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED, ids=[m for _, m in REFUSED])
def test_nonsense_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace(".", r"\.")):
        make_link(**changes)


def test_gated_detectors_count_darkness_per_gate() -> None:
    with pytest.raises(ConfigError, match="dark_per_gate instead"):
        Detector(DetectorKind.GATED_APD, 0.2, dark_rate_hz=100.0)


def test_afterpulses_with_a_paralysable_dead_time_are_refused() -> None:
    with pytest.raises(ConfigError, match="paralysable"):
        make_link(
            detector__afterpulse=0.1,
            detector__afterpulse_time_s=1e-9,
            detector__dead_time_model=DeadTimeModel.PARALYSABLE,
        )


def test_four_intensities_fit_a_state_byte_and_five_do_not() -> None:
    Source(1e9, (0.4, 0.3, 0.2, 0.1), (0.25,) * 4, 0.5)
    with pytest.raises(ConfigError, match="5 of them"):
        Source(1e9, (0.5, 0.4, 0.3, 0.2, 0.1), (0.2,) * 5, 0.5)


def test_time_bins_are_half_a_slot() -> None:
    assert make_link(receiver__front_end=FrontEnd.TIME_BIN).bin_s == 0.5e-9
    assert PLAIN.bin_s == PLAIN.window_s == 1e-9


def test_a_link_can_be_a_dictionary_key() -> None:
    assert len({PLAIN, make_link(), make_link(fibre__length_m=1.0)}) == 2


def test_a_name_is_needed() -> None:
    with pytest.raises(ConfigError, match="name"):
        LinkParameters("", PLAIN.source, PLAIN.fibre, PLAIN.receiver, PLAIN.detector)
