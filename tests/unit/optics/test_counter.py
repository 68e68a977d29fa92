"""Counter-based words: SplitMix64's published outputs, and the deviates made of them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from poliqi.optics.counter import exponential, one_word, stream_keys, thresholds, words

# first outputs of SplitMix64 started at 1234567 (rosettacode.org/wiki/Pseudo-random_numbers/Splitmix64) and at 0
PUBLISHED = (
    6457827717110365317,
    3203168211198807973,
    9817491932198370423,
    4593380528125082431,
    16408922859458223821,
)


def test_words_are_splitmix64() -> None:
    assert tuple(one_word(1234567, i) for i in range(5)) == PUBLISHED
    assert one_word(0, 0) == 0xE220A8397B1DCDAF


def test_array_words_are_the_same() -> None:
    assert tuple(words(1234567, np.arange(5)).tolist()) == PUBLISHED
    slots = np.array([0, 1, 2**40, 2**62 - 1])
    assert words(99, slots).tolist() == [one_word(99, int(s)) for s in slots]


def test_streams_of_a_seed_differ() -> None:
    keys = {key for seed in range(100) for key in stream_keys(seed)}
    assert len(keys) == 300


@pytest.mark.parametrize("bits", [0, 1, 2**31, 2**31 - 1, 2**32 - 1, 12345, 0xDEADBEEF])
def test_deviate_is_minus_log(bits: int) -> None:
    exact = -math.log((bits + 0.5) / 2**32)
    assert exponential(np.array([bits], np.uint32))[0] == pytest.approx(exact, abs=2e-14, rel=1e-13)


def test_deviate_is_never_negative_and_falls() -> None:
    bits = np.unique(np.concatenate([2 ** np.arange(32), 2 ** np.arange(32) - 1, [2**32 - 2, 2**32 - 1]]))
    deviates = exponential(bits.astype(np.uint32))
    assert (deviates > 0).all()
    assert (np.diff(deviates) < 0).all()


def test_thresholds_are_cumulative_in_32_bits() -> None:
    assert thresholds(np.array([0.25, 0.5, 0.25])).tolist() == [2**30, 3 * 2**30, 2**32]
