"""One-way reconciliation by parity-check codes: Alice says syndromes, Bob finds the errors.

In even rounds Alice speaks, in odd rounds Bob; the other's message is empty. `ldpc` ends after Alice's first
message. With increments, `ldpc-blind`, Bob then says which frames he could not decode, and Alice says more checks
of those, until none is left or nothing remains to be said. docs/spec/ldpc.md gives every rule.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.bits import BitString, pack_bits, packed_fault, unpack_bits
from poliqi.base.errors import ProtocolError
from poliqi.base.ids import Role
from poliqi.distill.reconcile.ldpc_code import LiftedCode, lifted
from poliqi.distill.reconcile.ldpc_frame import Decoder, syndrome
from poliqi.distill.reconcile.ldpc_rate import REACH, LdpcRate
from poliqi.distill.reconcile.protocol import ReconcilerTerms

__all__ = ["Ldpc", "ldpc", "ldpc_blind"]

Words = NDArray[np.uint64]
_ITERATIONS: Final = 80


def ldpc(role: Role, bits: BitString, terms: ReconcilerTerms) -> Ldpc:
    """The maker of one party's half at a fixed rate: Bob says nothing."""
    return Ldpc(role, bits, terms, blind=False)


def ldpc_blind(role: Role, bits: BitString, terms: ReconcilerTerms) -> Ldpc:
    """The maker of one party's half with increments for frames that could not be decoded."""
    return Ldpc(role, bits, terms, blind=True)


class Ldpc:
    """One party's half; a `Reconciler`. The seed of the terms is not used: the codes are public and fixed."""

    def __init__(self, role: Role, bits: BitString, terms: ReconcilerTerms, *, blind: bool) -> None:
        """ValueError for an estimate above the codes' reach, or frames of less than 4096 bits."""
        if terms.frame_bits < 4096 or terms.frame_bits % 4096:
            raise ValueError(f"frame_bits is a multiple of 4096, not {terms.frame_bits}")
        self._role: Final = role
        self._bits: Final = bits
        self._rate: Final = LdpcRate.choose(bits.size, terms.qber, terms.frame_bits, blind=blind)
        words, frames = bits.words.size, self._rate.frames
        self._edges: Final = [k * words // frames for k in range(frames)] + [words]
        self._code: Final[LiftedCode | None] = (
            None if self._rate.code is None else lifted(self._rate.code, self._rate.lift)
        )
        self._errors: Words = np.zeros_like(bits.words)
        self._qber: Final = max(terms.qber, REACH[0])
        self._decoder: Decoder | None = None
        self._open = list(range(frames))  # frames that are not decoded, as of what Bob said last
        self._failed: list[int] = []  # those of them that Bob's last attempt failed on
        self._differences: dict[int, Words] = {}  # at Bob: what Alice said of open frames, xor his own
        self._bits_said = {Role.ALICE: 0, Role.BOB: 0}
        self._rounds = 0
        self._done = not frames
        self._cached: bytes | None = None
        self.iterations = 0
        """At Bob: iterations of all decodings, failed ones included."""
        self.attempts = 0
        """At Bob: decodings."""

    # ---------------------------------------------------------------- what a reconciler shows

    @property
    def both_learn(self) -> bool:
        """Bob alone finds the errors."""
        return False

    @property
    def done(self) -> bool:
        """True once nothing is left to say."""
        return self._done

    @property
    def errors(self) -> BitString | None:
        """Bob: the errors found; frames that could not be decoded count as without any. Alice: None."""
        return BitString(self._errors, self._bits.size) if self._role is Role.BOB else None

    @property
    def sent_bits(self) -> int:
        return self._bits_said[self._role]

    @property
    def received_bits(self) -> int:
        return self._bits_said[self._role.peer]

    @property
    def rounds(self) -> int:
        return self._rounds

    def frame_bounds(self) -> list[tuple[int, int]]:
        """(start, stop) of each frame; a frame begins at a multiple of 64."""
        n = self._bits.size
        return [(64 * a, min(64 * b, n)) for a, b in zip(self._edges, self._edges[1:], strict=False)]

    # ---------------------------------------------------------------- rounds

    @property
    def _speaker(self) -> Role:
        return Role.ALICE if self._rounds % 2 == 0 else Role.BOB

    def _due(self) -> int:
        """Bits that the speaker of this round says."""
        if self._speaker is Role.BOB:
            return len(self._open)
        if self._code is None:
            return self._bits.size
        return len(self._open) * (self._rate.increment if self._rounds else self._rate.said)

    def message(self) -> bytes | None:
        """This round's message; None once done."""
        if self._done:
            return None
        if self._cached is None:
            self._cached = self._say() if self._speaker is self._role else b""
        return self._cached

    def _say(self) -> bytes:
        if self._role is Role.BOB:
            return pack_bits(np.isin(self._open, self._failed).astype(np.uint8))
        if self._code is None:
            return self._bits.to_bytes()
        parts = [self._portion(self._code, frame) for frame in self._open]
        return np.concatenate(parts).astype("<u8", copy=False).tobytes()

    def _portion(self, code: LiftedCode, frame: int) -> Words:
        """What Alice says of a frame in this round; Bob computes the same of his."""
        checks = syndrome(code, self._bits.words[self._edges[frame] : self._edges[frame + 1]])
        start = (self._rate.said + (self._rounds // 2 - 1) * self._rate.increment) // 64 if self._rounds else 0
        return checks[start : (self._rate.said + self._rounds // 2 * self._rate.increment) // 64]

    def receive(self, data: bytes | memoryview) -> None:
        """Take the peer's message of this round; Bob decodes here.

        ProtocolError, and no change, where it is not as long as what is due, has padding that is not zero, or
        comes after the end.
        """
        if self._done:
            raise ProtocolError(f"a message of {len(data)} bytes came after the last round of parity checks")
        listening = self._speaker is not self._role
        fault = packed_fault(data, self._due() if listening else 0)
        if fault is not None:
            raise ProtocolError(f"parity checks, round {self._rounds}: {fault}")
        self._bits_said[self._speaker] += self._due()
        if self._speaker is Role.ALICE:
            if listening:
                self._hear(data)
            self._done = self._rounds // 2 >= self._rate.increments
        else:
            flags = unpack_bits(data, len(self._open)) if listening else np.isin(self._open, self._failed)
            self._open = [frame for frame, failed in zip(self._open, flags, strict=True) if failed]
            self._done = not self._open
        self._rounds += 1
        self._cached = None

    def _hear(self, data: bytes | memoryview) -> None:
        """At Bob: decode every open frame with what Alice now said of it."""
        if self._code is None:
            self._errors = BitString.from_bytes(data, self._bits.size).words ^ self._bits.words
            self._failed = []
            return
        theirs = np.frombuffer(data, "<u8").reshape(len(self._open), -1).astype(np.uint64, copy=False)
        failed: list[int] = []
        for frame, said in zip(self._open, theirs, strict=True):
            difference = said ^ self._portion(self._code, frame)
            if self._rounds:
                difference = np.concatenate([self._differences.pop(frame), difference])
            if not self._decode(self._code, frame, difference):
                failed.append(frame)
                self._differences[frame] = difference
        self._failed = failed

    def _decode(self, code: LiftedCode, frame: int, difference: Words) -> bool:
        if self._decoder is None:
            self._decoder = Decoder(code, self._qber, _ITERATIONS)
        start, stop = self._edges[frame], self._edges[frame + 1]
        size = min(64 * stop, self._bits.size) - 64 * start
        errors, iterations = self._decoder.decode(difference, size)
        self.iterations += iterations
        self.attempts += 1
        if errors is not None:
            self._errors[start:stop] = errors
        return errors is not None
