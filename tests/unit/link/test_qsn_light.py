"""The emulated QSN-d-1's light and correction, against closed forms and plain definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from poliqi.base.errors import ConfigError, ProtocolError
from poliqi.link.qsn.bob import photons_wanted
from poliqi.link.qsn.correction import Correction, amplify, check_value, order, parities, secret_bits
from poliqi.link.qsn.light import LARGE_BATCH, LightSettings, SimulatedLight, count_probabilities

KEY_ID = "fd7a80b4-b98e-43cb-b860-53d44b4e296b"


def sifted(settings: LightSettings, batches: int) -> tuple[int, int, int]:
    """Gates, sifted bits and errors of some batches."""
    light, bits, errors = SimulatedLight(7), 0, 0
    for number in range(batches):
        states = light.sent(KEY_ID, number, settings.batch)
        chosen, counts = light.received(KEY_ID, number, settings)
        kept = (counts == 1) & (states >> 1 == chosen >> 1)
        bits += int(kept.sum())
        errors += int((kept & (states != chosen)).sum())
    return batches * settings.batch, bits, errors


def test_a_gate_counts_as_often_as_the_formula_says() -> None:
    eta = 10 ** (-(3 + 3) / 10) * 0.2
    quiet = 1 - 1e-5
    right = 1 - quiet * math.exp(-0.1 * eta * 0.985)
    wrong = 1 - quiet * math.exp(-0.1 * eta * 0.015)
    other = 1 - quiet * math.exp(-0.1 * eta / 2)
    assert count_probabilities(LightSettings()) == pytest.approx((right, wrong, other), rel=1e-12)


@pytest.mark.parametrize("eve", [0.0, 0.4, 1.0])
def test_intercepted_light_has_the_error_rate_of_the_formula(eve: float) -> None:
    settings = LightSettings(attenuation_db=0.0, eve_fraction=eve)
    right, wrong, _ = count_probabilities(settings)
    clean = wrong / (right + wrong)
    expected = clean + eve / 4 * (1 - 2 * clean)
    gates, bits, errors = sifted(settings, 12)
    assert abs(bits - gates * (right + wrong) / 4) < 5 * math.sqrt(bits)
    assert abs(errors - bits * expected) < 5 * math.sqrt(bits * expected)


def test_states_settings_and_seeds_are_what_they_should_be() -> None:
    one, other = SimulatedLight(7), SimulatedLight(8)
    states = one.sent(KEY_ID, 0, LARGE_BATCH)
    assert states.dtype == np.uint8 and np.allclose(np.bincount(states) / LARGE_BATCH, 0.25, atol=0.01)
    assert (states == one.sent(KEY_ID, 0, LARGE_BATCH)).all()
    for else_ in (one.sent(KEY_ID, 1, LARGE_BATCH), other.sent(KEY_ID, 0, LARGE_BATCH)):
        assert abs(np.mean(states == else_) - 0.25) < 0.01
    chosen, counts = one.received(KEY_ID, 0, LightSettings())
    assert set(np.unique(chosen).tolist()) == {0, 1, 2, 3} and set(np.unique(counts).tolist()) == {0, 1}


@pytest.mark.parametrize(("batch", "eve"), [(0, 0.0), (1 << 21, 0.0), (3000, -0.1), (3000, 1.1)])
def test_light_that_cannot_be_is_refused(batch: int, eve: float) -> None:
    with pytest.raises(ConfigError):
        LightSettings(batch=batch, eve_fraction=eve)


def test_a_seed_beyond_64_bits_is_refused() -> None:
    with pytest.raises(ConfigError, match="light seed"):
        SimulatedLight(1 << 64)


def test_enough_photons_leave_a_block_after_the_test_bits() -> None:
    """Six standard deviations below the mean there is still a block."""
    for block in (256, 2048, 32768):
        counted = photons_wanted(block)
        worst = math.floor(counted / 2 - 3 * math.sqrt(counted))
        assert worst - int(worst * 0.125) >= block
        assert counted < 2 * block * 1.6


# ---------------------------------------------------------------- correction


def told(alice: np.ndarray, key_id: str, correction: Correction) -> int:
    revealed = 0
    while (wanted := correction.ask()) is not None:
        number, ranges = wanted
        revealed += len(ranges)
        correction.told(parities(alice, key_id, number, ranges))
    return revealed


@pytest.mark.parametrize("qber", [0.0, 0.005, 0.02, 0.05, 0.11])
@pytest.mark.parametrize("size", [256, 2048])
def test_errors_are_found_and_the_check_tells_of_the_rest(qber: float, size: int) -> None:
    draws = np.random.default_rng(round(1e4 * qber) + size)
    corrected = 0
    for trial in range(20):
        alice = draws.integers(0, 2, size, dtype=np.uint8)
        bob = alice ^ (draws.random(size) < qber)
        correction = Correction(f"{trial:08x}{KEY_ID[8:]}", bob.astype(np.uint8), qber)
        told(alice, f"{trial:08x}{KEY_ID[8:]}", correction)
        equal = bool((correction.bits == alice).all())
        assert equal == (check_value(correction.bits) == check_value(alice))
        corrected += equal
    assert corrected >= 17


def test_parities_are_sums_of_permuted_bits() -> None:
    draws = np.random.default_rng(1)
    bits = draws.integers(0, 2, 300, dtype=np.uint8)
    ranges = [(0, 1), (0, 300), (17, 230), (299, 300)]
    permuted = bits[order(KEY_ID, 3, 300)].tolist()
    assert parities(bits, KEY_ID, 3, ranges) == [sum(permuted[a:b]) % 2 for a, b in ranges]
    assert sorted(order(KEY_ID, 3, 300).tolist()) == list(range(300))


@pytest.mark.parametrize("ranges", [[(0, 0)], [(5, 4)], [(0, 301)], [(0, 1), (300, 301)]])
def test_ranges_that_are_none_are_refused(ranges: list[tuple[int, int]]) -> None:
    with pytest.raises(ProtocolError, match="range"):
        parities(np.zeros(300, dtype=np.uint8), KEY_ID, 0, ranges)


def test_another_number_of_parities_is_refused() -> None:
    correction = Correction(KEY_ID, np.zeros(256, dtype=np.uint8), 0.05)
    with pytest.raises(ProtocolError, match="parities came"):
        correction.told([0])


@pytest.mark.parametrize(("size", "length"), [(256, 8), (256, 200), (300, 296)])
def test_amplification_is_the_matrix_written_out(size: int, length: int) -> None:
    draws = np.random.default_rng(size + length)
    bits = draws.integers(0, 2, size, dtype=np.uint8)
    seed = draws.bytes((size + length + 6) // 8)
    unpacked = np.unpackbits(np.frombuffer(seed, dtype=np.uint8))
    matrix = np.array([unpacked[row : row + size] for row in range(length)])
    assert amplify(bits, seed, length) == np.packbits(matrix @ bits % 2).tobytes()


@pytest.mark.parametrize(("length", "seed"), [(0, 100), (264, 100), (12, 100), (256, 63)])
def test_amplification_that_cannot_be_is_refused(length: int, seed: int) -> None:
    with pytest.raises(ProtocolError):
        amplify(np.zeros(256, dtype=np.uint8), bytes(seed), length)


def test_lengths_after_amplification() -> None:
    """2048 (1 - h(.02)) - 400 - 96 = 1262.3, with h(.02) = .14144."""
    assert secret_bits(2048, 0.02, 400) == 1256
    assert secret_bits(2048, 0.0, 0) == 1952
    assert secret_bits(256, 0.11, 200) == 0
