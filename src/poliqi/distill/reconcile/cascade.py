"""Symmetric Cascade: both parties say the parities of the same ranges, and both find the same errors.

The ranges asked in a round follow from public data alone (parameters and transcript), so the code has no
roles: the xor of the two answers is the parity of the errors in a range, and both ends run one public state
machine on it. All frames' answers of a round travel in one message. docs/spec/cascade.md gives every rule.
"""

from __future__ import annotations

from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.bits import packed_fault, packed_size
from poliqi.base.errors import ProtocolError
from poliqi.distill.reconcile.plan import BLOCK_PASSES, CascadeParameters, FramePlan, block_sizes

__all__ = ["Cascade"]


class _Frames:
    """Frames of one size and their part of the public state machine."""

    __slots__ = (
        "_count",
        "_counts",
        "_found",
        "_known",
        "_odd",
        "_own",
        "_plan",
        "_relevant",
        "_shape",
        "_starts",
        "_status",
    )

    def __init__(self, bits: NDArray[np.uint8], plan: FramePlan) -> None:
        from poliqi.distill.kernels.cascade import STATUS_FIELDS, begin
        from poliqi.distill.kernels.interleave import interleave

        count, words, lanes = bits.size // plan.bits, plan.words, plan.relevant.shape[0]
        own = np.zeros((count, BLOCK_PASSES, words), np.uint64)
        packed = np.zeros(8 * words, np.uint8)
        scratch = np.empty(words, np.uint64)
        for f in range(count):
            data = np.packbits(bits[f * plan.bits : (f + 1) * plan.bits], bitorder="little")
            packed[: data.size] = data
            own[f, 0] = packed.view("<u8")
            for p in range(1, BLOCK_PASSES):
                interleave(own[f, 0], plan.tables[p - 1], scratch, own[f, p])
        self._plan, self._count = plan, count
        self._own = own.reshape(-1)
        self._relevant = plan.relevant.reshape(-1)
        self._found = np.zeros(own.size, np.uint64)
        self._known = np.zeros(count * lanes * (words + words // 64), np.uint64)
        self._odd = np.zeros_like(self._known)
        self._counts = np.zeros(count * lanes, np.int32)
        self._status = np.zeros(count * STATUS_FIELDS, np.int64)
        self._starts = np.concatenate(plan.blocks)
        ends = np.cumsum([blocks.size for blocks in plan.blocks])
        self._shape = np.array([words, lanes, *plan.sizes, 0, *ends], np.int64)
        begin(self._status, self._shape)

    def answer(self, message: NDArray[np.uint8], offset: int) -> int:
        """Write the own parities from bit `offset` of `message` on; returns the next offset."""
        from poliqi.distill.kernels.cascade import answer

        state = self._own, self._known, self._odd, self._status
        return int(answer(*state, self._relevant, self._starts, self._shape, message, offset))

    def advance(self, difference: NDArray[np.uint8], offset: int) -> int:
        """Take the parity differences from bit `offset` on; returns the next offset."""
        from poliqi.distill.kernels.cascade import advance

        state = self._found, self._known, self._odd, self._counts, self._status
        public = self._relevant, self._plan.tables, self._starts, self._shape
        return int(advance(difference, offset, *state, *public))

    def asked(self) -> int:
        """Ranges asked in this round."""
        from poliqi.distill.kernels.cascade import ASKED, STATUS_FIELDS

        return int(self._status[ASKED::STATUS_FIELDS].sum())

    def errors(self) -> NDArray[np.uint8]:
        """Errors found so far, uint8[frames * bits of a frame]."""
        natural = self._found.reshape(self._count, BLOCK_PASSES, -1)[:, 0].astype("<u8")
        unpacked = np.unpackbits(natural.view(np.uint8), axis=1, bitorder="little", count=self._plan.bits)
        return unpacked.reshape(-1)


class Cascade:
    """One party's half of a Cascade run over n bits; a `Reconciler`.

    `qber` is the public estimate both ends share and `seed` the public 64-bit seed of interleavers and masks.
    """

    name: ClassVar[str] = "cascade"

    def __init__(
        self,
        bits: NDArray[np.uint8],
        *,
        qber: float,
        seed: int,
        parameters: CascadeParameters | None = None,
    ) -> None:
        """`bits` is uint8[n] of 0 and 1, the sifted string. Raises ValueError for what cannot be reconciled."""
        if bits.ndim != 1 or bits.dtype != np.uint8 or (bits.size and int(bits.max()) > 1):
            raise ValueError(f"bits to reconcile must be uint8[n] of 0 and 1, not {bits.dtype}{list(bits.shape)}")
        if not 0.0 <= qber <= 1.0:
            raise ValueError(f"an estimated QBER lies in 0 to 1, not {qber}")
        if not 0 <= seed < 1 << 64:
            raise ValueError(f"the seed has 64 bits, not {seed.bit_length()}")
        self._parameters: Final = CascadeParameters() if parameters is None else parameters
        self._bits: Final = bits
        sizes = self._parameters.block_sizes or block_sizes(qber)
        frame_bits, masks = self._parameters.frame_bits, self._parameters.random_passes
        whole = bits.size - bits.size % frame_bits
        self._groups: list[_Frames] = []
        for part in (bits[:whole], bits[whole:]):
            if part.size:
                plan = FramePlan.make(min(part.size, frame_bits), sizes, masks, seed)
                self._groups.append(_Frames(part, plan))
        self._rounds = 0
        self._sent = 0
        self._asked = 0
        self._message = b""
        self._prepare()

    def _prepare(self) -> None:
        self._asked = sum(group.asked() for group in self._groups)
        if self._rounds >= self._parameters.round_limit:
            self._asked = 0
        if not self.done:
            message = np.zeros(packed_size(self._asked), np.uint8)
            offset = 0
            for group in self._groups:
                offset = group.answer(message, offset)
            self._message = message.tobytes()

    @property
    def done(self) -> bool:
        """True once nothing is left to ask, or the round limit was reached."""
        return self._asked == 0

    @property
    def rounds(self) -> int:
        """Rounds completed."""
        return self._rounds

    @property
    def sent_bits(self) -> int:
        """Parities said in the rounds completed so far; `received_bits` is the same number."""
        return self._sent

    @property
    def received_bits(self) -> int:
        """Parities heard."""
        return self._sent

    @property
    def asked_bits(self) -> int:
        """Parities asked in this round; 0 once done."""
        return self._asked

    @property
    def errors(self) -> NDArray[np.uint8]:
        """Errors found so far: uint8[n], 1 where the two strings differ."""
        if not self._groups:
            return np.zeros(0, np.uint8)
        return np.concatenate([group.errors() for group in self._groups])

    def message(self) -> bytes | None:
        """The own parities of this round, packed; None once done."""
        return None if self.done else self._message

    def message_size(self) -> int:
        """Bytes of the peer's message of this round."""
        return packed_size(self._asked)

    def receive(self, data: bytes) -> None:
        """Take the peer's parities of this round and go on to the next.

        Raises ProtocolError for a message of the wrong size, with padding that is not zero, or after the end;
        the state is then unchanged.
        """
        if self.done:
            raise ProtocolError(
                f"a Cascade message of {len(data)} bytes came after the last round: nothing is asked"
            )
        fault = packed_fault(data, self._asked)
        if fault is not None:
            raise ProtocolError(f"Cascade round {self._rounds}: {fault}")
        difference = np.frombuffer(self._message, np.uint8) ^ np.frombuffer(data, np.uint8)
        offset = 0
        for group in self._groups:
            offset = group.advance(difference, offset)
        self._sent += self._asked
        self._rounds += 1
        self._prepare()

    def corrected(self) -> NDArray[np.uint8]:
        """The own string with the errors found so far flipped."""
        return self._bits ^ self.errors

    def frame_bounds(self) -> list[tuple[int, int]]:
        """(start, stop) of each frame."""
        step, n = self._parameters.frame_bits, self._bits.size
        return [(start, min(start + step, n)) for start in range(0, n, step)]
