"""Alice's states: the kernel against its definition, and the frequencies against the source's."""

from __future__ import annotations

import numpy as np
import pytest
from optical_links import PLAIN

from poliqi.optics.counter import one_word, stream_keys
from poliqi.optics.parameters import Source
from poliqi.optics.states import (
    AMBIGUOUS,
    alice_states,
    alice_states_definition,
    guide_table,
    state_probabilities,
    state_thresholds,
)

SOURCES = {
    "one decoy": PLAIN.source,
    "two decoys": Source(1e9, (0.5, 0.1, 0.0005), (0.7, 0.2, 0.1), 0.95),
    "four": Source(1e9, (0.6, 0.4, 0.2, 0.0), (0.4, 0.3, 0.2, 0.1), 0.5),
    "rare": Source(1e9, (0.5, 0.1), (1 - 1e-6, 1e-6), 1.0),
}


@pytest.mark.parametrize("name", SOURCES)
def test_kernel_is_its_definition(name: str) -> None:
    slots = np.concatenate([np.arange(50_000), 2**62 - 1 - np.arange(1000), [0, 2**33]])
    source = SOURCES[name]
    for seed in (0, 7, 2**64 - 1):
        expected = alice_states_definition(source, seed, slots)
        assert np.array_equal(alice_states(source, seed, slots), expected)


def test_state_of_a_slot_in_plain_integers() -> None:
    source, seed, slot = PLAIN.source, 5, 123_456_789
    word = one_word(stream_keys(seed)[0], slot)
    u = (word >> 32) / 2**32
    edges = [0.7 * 0.9, 0.7, 0.7 + 0.3 * 0.9]  # key and test at the brightest, then at the decoy
    pair = sum(u >= edge for edge in edges)
    assert alice_states(source, seed, np.array([slot]))[0] == pair << 1 | word & 1


def test_order_of_slots_does_not_matter() -> None:
    slots = np.random.default_rng(1).permutation(10_000)
    states = alice_states(PLAIN.source, 3, np.arange(10_000))
    assert np.array_equal(alice_states(PLAIN.source, 3, slots), states[slots])


@pytest.mark.parametrize("name", ["one decoy", "two decoys", "four"])
def test_frequencies_are_the_source_s(name: str) -> None:
    source, n = SOURCES[name], 2_000_000
    seen = np.bincount(alice_states(source, 11, np.arange(n)), minlength=16)[: 4 * len(source.intensities)]
    expected = np.repeat(state_probabilities(source), 2) / 2 * n
    chi2 = float(((seen - expected) ** 2 / expected).sum())
    degrees = len(expected) - 1
    assert chi2 < degrees + 5 * np.sqrt(2 * degrees)


def test_neighbouring_slots_and_seeds_are_unrelated() -> None:
    n = 1_000_000
    states = alice_states(PLAIN.source, 1, np.arange(n + 1)) & 1
    other = alice_states(PLAIN.source, 2, np.arange(n)) & 1
    for pair in ((states[:-1], states[1:]), (states[:-1], other)):
        agree = float((pair[0] == pair[1]).sum())
        assert abs(agree - n / 2) < 5 * np.sqrt(n) / 2


def test_guide_table_says_where_to_search() -> None:
    ends = state_thresholds(PLAIN.source)
    guide = guide_table(ends)
    for top in range(256):
        low, high = top << 24, (top << 24) + (1 << 24) - 1
        counts = {int(np.searchsorted(ends, v, side="right")) for v in (low, high)}
        assert guide[top] == (counts.pop() if len(counts) == 1 else AMBIGUOUS)
