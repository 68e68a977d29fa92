import numpy as np
import pytest

from poliqi.base.errors import DataRefused
from poliqi.link.device import MAX_SLOT, Detections, check_bytes, check_detections, check_slots


def detections(slots, outcomes=None, first_slot=0, pulses=100):
    slots = np.array(slots, np.int64)
    outcomes = np.zeros(slots.size, np.uint8) if outcomes is None else np.array(outcomes, np.uint8)
    return Detections(first_slot, pulses, slots, outcomes)


@pytest.mark.parametrize(
    "good",
    [
        detections([]),
        detections([0]),
        detections([0, 1, 99], [0, 3, 2]),
        detections([7], first_slot=7, pulses=1),
        detections([MAX_SLOT - 1], first_slot=MAX_SLOT - 1, pulses=1),
    ],
    ids=["none", "first slot", "whole range", "one pulse", "last slot there is"],
)
def test_sound_detections_pass(good):
    check_detections(good)


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (detections([3, 3]), "event 1 has slot 3 after slot 3"),
        (detections([3, 2]), "event 1 has slot 2 after slot 3"),
        (detections([-1]), "slot -1 is outside 0 to 99"),
        (detections([100]), "slot 100 is outside 0 to 99"),
        (detections([9], first_slot=10), "slot 9 is outside 10 to 109"),
        (detections([1], [4]), "event 0 has byte 4; the largest is 3"),
        (detections([1], [0, 0]), "need 1 bytes"),
        (detections([1], []), "need 1 bytes"),
        (detections([], pulses=0), "0 pulses"),
        (detections([], first_slot=-1), "from slot -1"),
        (detections([], first_slot=MAX_SLOT, pulses=1), "1 pulses from slot"),
        (Detections(0, 100, np.zeros(1, np.int32), np.zeros(1, np.uint8)), "int32"),
        (Detections(0, 100, np.zeros((1, 1), np.int64), np.zeros(1, np.uint8)), "2 dimensions"),
        (Detections(0, 100, np.zeros(1, np.int64), np.zeros(1, np.int8)), "int8"),
    ],
    ids=str,
)
def test_broken_detections_are_refused(bad, says):
    with pytest.raises(DataRefused, match=says):
        check_detections(bad)


STRETCH = 1 << 20


@pytest.mark.parametrize("at", [1, STRETCH - 1, STRETCH, STRETCH + 1, 2 * STRETCH, 2 * STRETCH + 4])
def test_a_slot_out_of_order_is_found_wherever_it_stands(at):
    slots = np.arange(2 * STRETCH + 5)
    slots[at] = slots[at - 1]
    with pytest.raises(DataRefused, match=f"event {at} "):
        check_slots(slots, 0, slots.size)


@pytest.mark.parametrize("at", [0, STRETCH - 1, STRETCH, 2 * STRETCH + 4])
def test_a_byte_out_of_range_is_found_wherever_it_stands(at):
    column = np.zeros(2 * STRETCH + 5, np.uint8)
    column[at] = 200
    with pytest.raises(DataRefused, match=f"event {at} has byte 200"):
        check_bytes(column, column.size, 4, "outcomes")
