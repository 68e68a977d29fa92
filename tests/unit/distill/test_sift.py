"""Sifting against a loop that follows the definition, and announcements that make no sense."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from two_parties import make_contract

from poliqi.base.errors import PoliqiError, ProtocolError
from poliqi.base.ids import BlockNumber
from poliqi.distill.sift import PackedDetections, alice_sift, bob_sift, detect_message, read_slots
from poliqi.link.device import Detections
from poliqi.proof import ProofName

PULSES = 5000
CONTRACT = make_contract(pulses=PULSES, max_detections=PULSES)
THREE = msgspec.structs.replace(
    CONTRACT, proof=ProofName.LIM, intensities=(0.5, 0.1, 0.001), probabilities=(0.6, 0.3, 0.1)
)


@st.composite
def events(draw: st.DrawFn, levels: int = 2) -> tuple[Detections, np.ndarray]:
    slots = sorted(draw(st.sets(st.integers(0, PULSES - 1), max_size=60)))
    n = len(slots)
    outcomes = draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    bits = draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    level = draw(st.lists(st.integers(0, levels - 1), min_size=n, max_size=n))
    states = np.array([b | k << 2 for b, k in zip(bits, level, strict=True)], np.uint8)
    first = draw(st.integers(0, 1 << 40))
    seen = Detections(first, PULSES, np.array(slots, np.int64) + first, np.array(outcomes, np.uint8))
    return seen, states


@settings(deadline=None)
@given(events(levels=3))
def test_both_ends_sift_what_the_definition_says(drawn: tuple[Detections, np.ndarray]) -> None:
    seen, states = drawn
    detect = detect_message(BlockNumber(1), PackedDetections.of(seen))
    assert read_slots(detect, THREE, seen.first_slot).array().tolist() == seen.slots.tolist()
    alice, answer = alice_sift(detect, states, 3, bytes(8))
    bob = bob_sift(PackedDetections.of(seen), BlockNumber(1), answer, 3)
    key_a, key_b, level, test_n, test_m = [], [], [], [0, 0, 0], [0, 0, 0]
    for state, outcome in zip(states.tolist(), seen.outcomes.tolist(), strict=True):
        if state >> 1 & 1 != outcome >> 1:
            continue
        if outcome >> 1 == 0:
            key_a.append(state & 1)
            key_b.append(outcome & 1)
            level.append(state >> 2)
        else:
            test_n[state >> 2] += 1
            test_m[state >> 2] += (state ^ outcome) & 1
    assert alice.key.to_bits().tolist() == key_a
    assert bob.key.to_bits().tolist() == key_b
    for side in (alice, bob):
        assert side.key_detections() == tuple(level.count(k) for k in range(3))
        wrong = [at for a, b, at in zip(key_a, key_b, level, strict=True) if a != b]
        assert side.key_errors(alice.key ^ bob.key) == tuple(wrong.count(k) for k in range(3))
        assert (list(side.test_detections), list(side.test_errors)) == (test_n, test_m)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pulses": 4999}, "the contract says 5000"),
        ({"first_slot": 10}, "slots below 1000 are used"),
        ({"count": 3}, "gaps"),
        ({"count": 6000, "gaps": bytes(6000)}, "the contract allows 5000"),
        ({"gaps": b"\xff\xff"}, "8 wide bytes"),
        ({"gaps": b"\xff\x01", "wide_gaps": (254).to_bytes(8, "little")}, "outside 255"),
        ({"gaps": b"\xff\x01", "wide_gaps": (1 << 63).to_bytes(8, "little")}, "outside 255"),
        ({"gaps": b"\xff\xff", "wide_gaps": 2 * (4000).to_bytes(8, "little")}, "reach beyond"),
    ],
)
def test_an_announcement_that_makes_no_sense_is_refused(change: dict[str, object], words: str) -> None:
    seen = Detections(1000, PULSES, np.array([1000, 1500], np.int64), np.array([0, 2], np.uint8))
    views = {k: memoryview(v) if isinstance(v, bytes) else v for k, v in change.items()}
    detect = msgspec.structs.replace(detect_message(BlockNumber(1), PackedDetections.of(seen)), **views)
    with pytest.raises(ProtocolError, match=words):
        read_slots(detect, CONTRACT, 1000)


@settings(deadline=None)
@given(events(), st.data())
def test_an_answer_changed_anywhere_is_refused_or_still_well_formed(
    drawn: tuple[Detections, np.ndarray], data: st.DataObject
) -> None:
    seen, states = drawn
    detect = detect_message(BlockNumber(1), PackedDetections.of(seen))
    _, answer = alice_sift(detect, states, 2, bytes(8))
    field = data.draw(st.sampled_from(["matched", "intensities", "test_bits"]))
    changed = msgspec.structs.replace(answer, **{field: memoryview(data.draw(st.binary(max_size=12)))})
    try:
        bob = bob_sift(PackedDetections.of(seen), BlockNumber(1), changed, 2)
    except PoliqiError:
        return
    assert bob.key.size == sum(bob.key_detections()) <= len(seen.slots)
    assert all(m <= n for m, n in zip(bob.test_errors, bob.test_detections, strict=True))


@pytest.mark.parametrize(("levels", "index"), [(2, 2), (2, 3), (3, 3)])
def test_a_state_of_an_intensity_that_there_is_not_is_refused(levels: int, index: int) -> None:
    seen = Detections(0, PULSES, np.array([4, 9], np.int64), np.array([0, 1], np.uint8))
    detect = detect_message(BlockNumber(1), PackedDetections.of(seen))
    with pytest.raises(ValueError, match=f"names intensity {index}; there are {levels}"):
        alice_sift(detect, np.array([0, index << 2], np.uint8), levels, bytes(8))
