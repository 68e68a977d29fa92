"""Sifting: from Bob's detections and Alice's states to two key strings and a table of test errors.

State byte: bit 0 the bit, bit 1 the basis (0 key, 1 test), bits 2-3 the intensity's index (0 brightest).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.bits import pack_bits, unpack_bits
from poliqi.base.errors import ProtocolError
from poliqi.base.ids import BlockNumber
from poliqi.distill.contract import Contract
from poliqi.distill.messages import Detect, Sift
from poliqi.link.device import Detections

__all__ = ["Sifted", "alice_sift", "bob_sift", "detect_message", "read_slots"]

Bits = NDArray[np.uint8]
_WIDE: Final = 255
_ONE: Final = np.uint8(1)


@dataclass(frozen=True, slots=True)
class Sifted:
    """One end's sifted block: my key bits, the intensity index of each, and the public test table.

    `test_detections[k]` and `test_errors[k]` count the test basis at intensity k.
    """

    key: Bits = field(repr=False)
    key_intensity: Bits = field(repr=False)
    test_detections: tuple[int, ...]
    test_errors: tuple[int, ...]


def detect_message(number: BlockNumber, detections: Detections) -> Detect:
    """Bob's announcement: gaps between slots (a byte each, 255 escapes to 8 bytes), bases, test bits."""
    steps = np.diff(detections.slots, prepend=detections.first_slot - 1) - 1
    wide = steps >= _WIDE
    bases = _place(detections.outcomes, 1)
    return Detect(
        number=number,
        first_slot=detections.first_slot,
        pulses=detections.pulses,
        count=len(steps),
        gaps=np.where(wide, _WIDE, steps).astype(np.uint8).tobytes(),
        wide_gaps=steps[wide].astype("<u8").tobytes(),
        bases=pack_bits(bases),
        test_bits=pack_bits(detections.outcomes[bases == 1] & _ONE),
    )


def read_slots(message: Detect, contract: Contract, next_slot: int) -> NDArray[np.int64]:
    """Alice's reading of Bob's slots; ProtocolError unless they rise inside a fresh block of the contract."""
    m = message
    if m.pulses != contract.pulses:
        raise ProtocolError(f"the peer's block has {m.pulses} pulses, the contract says {contract.pulses}")
    if m.first_slot < next_slot or m.first_slot > (1 << 62):
        raise ProtocolError(f"the peer's block starts at slot {m.first_slot}; slots below {next_slot} are used")
    if m.count > contract.max_detections:
        raise ProtocolError(f"{m.count} detections, the contract allows {contract.max_detections}")
    steps = np.frombuffer(m.gaps, np.uint8).astype(np.int64)
    wide = steps == _WIDE
    if len(steps) != m.count or len(m.wide_gaps) != 8 * int(np.count_nonzero(wide)):
        raise ProtocolError(
            f"{m.count} detections announced, {len(steps)} gaps and {len(m.wide_gaps)} wide bytes sent"
        )
    escaped = np.frombuffer(m.wide_gaps, "<u8")
    if len(escaped) and not (int(escaped.min()) >= _WIDE and int(escaped.max()) < contract.pulses):
        raise ProtocolError(f"a wide gap lies outside {_WIDE} to {contract.pulses - 1} slots")
    steps[wide] = escaped.astype(np.int64)
    if float(np.sum(steps, dtype=np.float64)) + m.count > contract.pulses:
        raise ProtocolError(f"the detections reach beyond the block's {contract.pulses} pulses")
    return m.first_slot + np.cumsum(steps + 1) - 1


def alice_sift(message: Detect, states: Bits, contract: Contract, seed: bytes) -> tuple[Sifted, Sift]:
    """Compare Alice's states with Bob's announcement; what she keeps and what she answers."""
    if len(states) != message.count:
        raise ValueError(f"{len(states)} states were provided for {message.count} detections")
    bob_basis = unpack_bits(message.bases, message.count)
    matched = _place(states, 1) == bob_basis
    kept, basis = states[matched], bob_basis[matched]
    intensity = kept >> np.uint8(2)
    if len(intensity) and int(intensity.max()) >= len(contract.intensities):
        raise ValueError(f"a state names intensity {int(intensity.max())}; there are {len(contract.intensities)}")
    alice_test = (kept & _ONE)[basis == 1]
    bob_test = _matched_test(message, bob_basis, matched)
    answer = Sift(
        number=message.number,
        matched=pack_bits(matched.astype(np.uint8)),
        intensities=b"".join(pack_bits(_place(intensity, plane)) for plane in range(_planes(contract))),
        test_bits=pack_bits(alice_test),
        seed=seed,
    )
    key = np.ascontiguousarray((kept & _ONE)[basis == 0])
    return _sifted(key, intensity, basis, alice_test ^ bob_test, contract), answer


def bob_sift(detections: Detections, mine: Detect, answer: Sift, contract: Contract) -> Sifted:
    """Keep what Alice kept; ProtocolError where her answer does not fit what Bob announced."""
    if answer.number != mine.number:
        raise ProtocolError(f"the peer sifts block {answer.number}, block {mine.number} is under way")
    matched = unpack_bits(answer.matched, mine.count).astype(bool)
    outcomes = detections.outcomes[matched]
    basis = _place(outcomes, 1)
    kept = len(outcomes)
    planes, size = _planes(contract), (kept + 7) // 8
    if len(answer.intensities) != planes * size:
        raise ProtocolError(f"{len(answer.intensities)} bytes of intensities, {planes * size} expected")
    intensity = np.zeros(kept, np.uint8)
    for plane in range(planes):
        intensity |= unpack_bits(answer.intensities[plane * size : (plane + 1) * size], kept) << np.uint8(plane)
    if kept and int(intensity.max()) >= len(contract.intensities):
        raise ProtocolError(
            f"the peer names intensity {int(intensity.max())}; there are {len(contract.intensities)}"
        )
    alice_test = unpack_bits(answer.test_bits, int(np.count_nonzero(basis)))
    bob_test = (outcomes & _ONE)[basis == 1]
    key = np.ascontiguousarray((outcomes & _ONE)[basis == 0])
    return _sifted(key, intensity, basis, alice_test ^ bob_test, contract)


def _place(states: Bits, place: int) -> Bits:
    return (states >> np.uint8(place)) & _ONE


def _planes(contract: Contract) -> int:
    return 1 if len(contract.intensities) == 2 else 2


def _matched_test(message: Detect, bob_basis: Bits, matched: NDArray[np.bool_]) -> Bits:
    is_test = bob_basis == 1
    return unpack_bits(message.test_bits, int(np.count_nonzero(is_test)))[matched[is_test]]


def _sifted(key: Bits, intensity: Bits, basis: Bits, test_errors: Bits, contract: Contract) -> Sifted:
    levels = len(contract.intensities)
    in_test = intensity[basis == 1]
    return Sifted(
        key=key,
        key_intensity=np.ascontiguousarray(intensity[basis == 0]),
        test_detections=_per_level(in_test, levels),
        test_errors=_per_level(in_test[test_errors == 1], levels),
    )


def _per_level(intensity: Bits, levels: int) -> tuple[int, ...]:
    return tuple(int(np.count_nonzero(intensity == level)) for level in range(levels))
