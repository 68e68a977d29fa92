import numpy as np
import pytest

from poliqi.base.errors import DataRefused
from poliqi.base.ids import Origin
from poliqi.link.device import check_detections
from poliqi.link.recording import Light, Recording, ReplayReceiver, ReplayTransmitter, check_recording

SLOTS = [2, 3, 10, 11, 40, 99]
STATES = [0, 1, 2, 3, 4, 7]
OUTCOMES = [0, 1, 2, 3, 0, 1]


@pytest.fixture
def recording():
    made = Recording(
        Light(Origin.SIMULATED, 2, None, None),
        100,
        np.array(SLOTS, np.int64),
        np.array(STATES, np.uint8),
        np.array(OUTCOMES, np.uint8),
    )
    check_recording(made)
    return made


def empty():
    return Recording(
        Light(Origin.PHOTONS, 1, None, None),
        10,
        np.zeros(0, np.int64),
        np.zeros(0, np.uint8),
        np.zeros(0, np.uint8),
    )


def ask(*slots):
    return np.array(slots, np.int64)


def test_light_from_a_file_is_a_replay_whatever_it_was(recording):
    assert ReplayReceiver(recording).origin is Origin.REPLAY
    assert ReplayTransmitter(recording).origin is Origin.REPLAY


def test_bob_replays_everything_in_order(recording):
    receiver = ReplayReceiver(recording)
    whole = receiver.detect(100)
    assert (whole.first_slot, whole.pulses) == (0, 100)
    assert whole.slots.tolist() == SLOTS
    assert whole.outcomes.tolist() == OUTCOMES


@pytest.mark.parametrize("cuts", [[1] * 100, [3, 7, 1, 89], [99, 1], [50, 50]])
def test_bobs_calls_follow_each_other_and_lose_nothing(recording, cuts):
    receiver = ReplayReceiver(recording)
    seen, start = [], 0
    for pulses in cuts:
        part = receiver.detect(pulses)
        check_detections(part)
        assert (part.first_slot, part.pulses) == (start, pulses)
        seen += zip(part.slots.tolist(), part.outcomes.tolist(), strict=True)
        start += pulses
    assert seen == list(zip(SLOTS, OUTCOMES, strict=True))


def test_the_end_is_refused_with_what_is_left_and_nothing_is_consumed(recording):
    receiver = ReplayReceiver(recording)
    receiver.detect(90)
    with pytest.raises(DataRefused, match=r"needs 11 pulses, 10 of 100 are left"):
        receiver.detect(11)
    assert receiver.pulses_left == 10
    assert receiver.detect(10).slots.tolist() == [99]
    with pytest.raises(DataRefused, match=r"needs 1 pulses, 0 of 100 are left"):
        receiver.detect(1)


@pytest.mark.parametrize("pulses", [0, -1])
def test_no_pulses_are_refused(recording, pulses):
    with pytest.raises(DataRefused, match=f"needs {pulses} pulses"):
        ReplayReceiver(recording).detect(pulses)


@pytest.mark.parametrize("wanted", [SLOTS, SLOTS[2:5], SLOTS[::2], [2, 99], [99], []], ids=str)
def test_alice_knows_her_states_of_recorded_slots(recording, wanted):
    states = ReplayTransmitter(recording).states(ask(*wanted))
    assert states.dtype == np.uint8
    assert states.tolist() == [STATES[SLOTS.index(slot)] for slot in wanted]


@pytest.mark.parametrize(
    ("wanted", "unknown"), [([4], 4), ([2, 4], 4), ([0, 2], 0), ([99, 100], 100), ([-1], -1), ([1 << 61], 1 << 61)]
)
def test_alice_refuses_a_slot_without_an_event(recording, wanted, unknown):
    with pytest.raises(DataRefused, match=f"no event at slot {unknown},"):
        ReplayTransmitter(recording).states(ask(*wanted))


def test_an_empty_recording_replays_silence():
    recording = empty()
    assert ReplayReceiver(recording).detect(10).slots.size == 0
    assert ReplayTransmitter(recording).states(ask()).size == 0
    with pytest.raises(DataRefused, match="no event at slot 0"):
        ReplayTransmitter(recording).states(ask(0))
