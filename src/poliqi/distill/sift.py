"""Sifting: from Bob's detections and Alice's states to two key strings and a table of test errors.

State byte: bit 0 the bit, bit 1 the basis (0 key, 1 test), bits 2-3 the intensity's index (0 brightest; of
entangled pairs, which have a single level, 1 says that Alice saw nothing, and the slot does not match). Here a
list of states becomes bit planes at once, and what is kept is squeezed out of them 64 detections at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from poliqi.base.bits import BitString
from poliqi.base.errors import ProtocolError
from poliqi.base.ids import BlockNumber
from poliqi.distill.contract import Contract
from poliqi.distill.messages import Detect, Sift
from poliqi.distill.slots import WIDE_GAP, Slots
from poliqi.link.device import Detections

__all__ = ["PackedDetections", "Sifted", "alice_sift", "bob_sift", "detect_message", "read_slots"]


@dataclass(frozen=True, slots=True)
class Sifted:
    """One end's sifted block: my key bits, the intensity of each, and the public test table.

    `planes`: the intensity indices of the key detections, bit by bit, lowest first. `test_detections[k]` and
    `test_errors[k]` count the test basis at intensity k.
    """

    key: BitString = field(repr=False)
    planes: tuple[BitString, ...] = field(repr=False)
    test_detections: tuple[int, ...]
    test_errors: tuple[int, ...]

    @property
    def levels(self) -> int:
        """How many intensities there are."""
        return len(self.test_detections)

    def key_detections(self) -> tuple[int, ...]:
        """Key detections at each intensity."""
        return _per_level(self.planes, _ones(self.key.size), self.levels)

    def key_errors(self, errors: BitString) -> tuple[int, ...]:
        """Ones of `errors`, a string as long as the key, at each intensity."""
        return _per_level(self.planes, errors, self.levels)


@dataclass(frozen=True, slots=True, eq=False)
class PackedDetections:
    """Bob's `Detections` as a session holds them: about a byte and a half each instead of nine."""

    first_slot: int
    pulses: int
    slots: Slots
    bits: BitString
    bases: BitString

    @staticmethod
    def of(detections: Detections) -> PackedDetections:
        """Pack; the work of a pass over the arrays, best done while the block before is distilled."""
        from poliqi.distill.kernels.sift import bit_plane

        count = detections.slots.size
        bits, bases = (BitString(bit_plane(detections.outcomes, place), count) for place in (0, 1))
        slots = Slots.of(detections.slots, detections.first_slot)
        return PackedDetections(detections.first_slot, detections.pulses, slots, bits, bases)


def detect_message(number: BlockNumber, seen: PackedDetections) -> Detect:
    """Bob's announcement: gaps between slots (a byte each, 255 escapes to 8 bytes), bases, test bits."""
    return Detect(
        number=number,
        first_slot=seen.first_slot,
        pulses=seen.pulses,
        count=len(seen.slots),
        gaps=seen.slots.gaps.data,
        wide_gaps=seen.slots.wide.astype("<u8", copy=False).view(np.uint8).data,
        bases=seen.bases.packed().data,
        test_bits=_chosen(seen.bits, seen.bases).packed().data,
    )


def read_slots(message: Detect, contract: Contract, next_slot: int) -> Slots:
    """Alice's reading of Bob's slots; ProtocolError unless they rise inside a fresh block of the contract."""
    from poliqi.distill.kernels.sift import tally_gaps

    m = message
    if m.pulses != contract.pulses:
        raise ProtocolError(f"the peer's block has {m.pulses} pulses, the contract says {contract.pulses}")
    if m.first_slot < next_slot or m.first_slot > (1 << 62):
        raise ProtocolError(f"the peer's block starts at slot {m.first_slot}; slots below {next_slot} are used")
    if m.count > contract.max_detections:
        raise ProtocolError(f"{m.count} detections, the contract allows {contract.max_detections}")
    gaps = np.frombuffer(m.gaps, np.uint8)
    escapes, narrow = tally_gaps(gaps)
    if gaps.size != m.count or m.wide_gaps.nbytes != 8 * escapes:
        raise ProtocolError(
            f"{m.count} detections announced, {gaps.size} gaps and {m.wide_gaps.nbytes} wide bytes sent"
        )
    wide = np.frombuffer(m.wide_gaps, "<u8").astype(np.uint64)
    if wide.size and not (int(wide.min()) >= WIDE_GAP and int(wide.max()) < contract.pulses):
        raise ProtocolError(f"a wide gap lies outside {WIDE_GAP} to {contract.pulses - 1} slots")
    if narrow + float(wide.sum(dtype=np.float64)) + m.count > contract.pulses:
        raise ProtocolError(f"the detections reach beyond the block's {contract.pulses} pulses")
    return Slots(m.first_slot, gaps, wide)


def alice_sift(message: Detect, states: NDArray[np.uint8], levels: int, seed: bytes) -> tuple[Sifted, Sift]:
    """Compare Alice's states, of `levels` intensities, with Bob's announcement; what she keeps and answers.

    One level: entangled pairs, of which only what she saw herself can match.
    """
    from poliqi.distill.kernels.sift import bit_plane

    count = message.count
    if len(states) != count:
        raise ValueError(f"{len(states)} states were provided for {count} detections")
    known = 2 if levels == 1 else levels
    bits, basis, *level = (BitString(bit_plane(states, place), count) for place in range(2 + _planes(known)))
    if int(states.max(initial=0)) >> 2 >= known:
        raise ValueError(f"a state names intensity {int(states.max()) >> 2}; there are {known}")
    bob_basis = BitString.from_bytes(message.bases, count)
    bob_test = BitString.from_bytes(message.test_bits, bob_basis.ones())
    matched = _inverted(basis ^ bob_basis)
    if levels == 1:
        matched, level = _both(matched, _inverted(level[0])), []
    test_bits = _chosen(bits, _both(matched, bob_basis))
    kept = [_chosen(plane, matched) for plane in level]
    answer = Sift(
        number=message.number,
        matched=matched.packed().data,
        intensities=memoryview(b"".join(plane.to_bytes() for plane in kept)),
        test_bits=test_bits.packed().data,
        seed=seed,
    )
    errors = test_bits ^ _chosen(bob_test, _chosen(matched, bob_basis))
    key = _chosen(bits, _both(matched, _inverted(bob_basis)))
    return _sifted(key, kept, _chosen(bob_basis, matched), errors, levels), answer


def bob_sift(seen: PackedDetections, number: BlockNumber, answer: Sift, levels: int) -> Sifted:
    """Keep what Alice kept; ProtocolError where her answer does not fit what Bob announced."""
    if answer.number != number:
        raise ProtocolError(f"the peer sifts block {answer.number}, block {number} is under way")
    bits, basis, planes = seen.bits, seen.bases, _planes(levels)
    matched = BitString.from_bytes(answer.matched, bits.size)
    kept_count = matched.ones()
    size = (kept_count + 7) // 8
    if answer.intensities.nbytes != planes * size:
        raise ProtocolError(f"{answer.intensities.nbytes} bytes of intensities, {planes * size} expected")
    kept = [
        BitString.from_bytes(answer.intensities[at * size : (at + 1) * size], kept_count) for at in range(planes)
    ]
    strange = sum(_per_level(kept, _ones(kept_count), 1 << planes)[levels:])
    if strange:
        raise ProtocolError(f"the peer names an intensity that is not among the {levels}, {strange} times")
    test_bits = _chosen(bits, _both(matched, basis))
    errors = test_bits ^ BitString.from_bytes(answer.test_bits, test_bits.size)
    key = _chosen(bits, _both(matched, _inverted(basis)))
    return _sifted(key, kept, _chosen(basis, matched), errors, levels)


def _planes(levels: int) -> int:
    """Bits of an intensity's index."""
    return (levels - 1).bit_length()


def _sifted(key: BitString, kept: list[BitString], is_test: BitString, errors: BitString, levels: int) -> Sifted:
    """`kept` and `is_test` say intensity and basis of each matched detection, `errors` is that of the test ones."""
    is_key = _inverted(is_test)
    tested = [_chosen(plane, is_test) for plane in kept]
    return Sifted(
        key=key,
        planes=tuple(_chosen(plane, is_key) for plane in kept),
        test_detections=_per_level(tested, _ones(errors.size), levels),
        test_errors=_per_level(tested, errors, levels),
    )


def _chosen(bits: BitString, mask: BitString) -> BitString:
    from poliqi.distill.kernels.sift import compress

    count = mask.ones()
    return BitString(compress(bits.words, mask.words, count), count)


def _both(a: BitString, b: BitString) -> BitString:
    return BitString(a.words & b.words, a.size)


def _inverted(bits: BitString) -> BitString:
    words = ~bits.words
    if bits.size % 64:
        words[-1] &= np.uint64((1 << bits.size % 64) - 1)
    return BitString(words, bits.size)


def _ones(size: int) -> BitString:
    return _inverted(BitString.zeros(size))


def _per_level(planes: Sequence[BitString], where: BitString, levels: int) -> tuple[int, ...]:
    """Ones of `where` at each intensity that the planes name."""
    counts: list[int] = []
    for level in range(levels):
        found = where
        for place, plane in enumerate(planes):
            found = _both(found, plane if level >> place & 1 else _inverted(plane))
        counts.append(found.ones())
    return tuple(counts)
