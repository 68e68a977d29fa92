"""Error correction of one block: reconcile, verify, disclose what failed; every bit said is counted."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from poliqi.base.bits import BitString, pack_bits, unpack_bits
from poliqi.base.errors import ProtocolError
from poliqi.base.ids import LeakModel, Role
from poliqi.base.secret import Entropy
from poliqi.distill.contract import Contract
from poliqi.distill.messages import (
    Disclose,
    FrameTags,
    FrameVerdict,
    KeyErrors,
    Message,
    Parities,
    Verdict,
    Verify,
)
from poliqi.distill.reconcile import RECONCILERS, Reconciler, ReconcilerTerms
from poliqi.distill.sift import Sifted
from poliqi.distill.verify import frame_tags

__all__ = ["COUNT_BITS", "TAG_BITS", "VERDICT_BITS", "Correction", "counted_leak"]

TAG_BITS: Final = 128
VERDICT_BITS: Final = 1
COUNT_BITS: Final = 64


class _Step(StrEnum):
    PARITIES = "parities"
    VERIFY = "verify"
    VERDICT = "verdict"
    FRAME_TAGS = "frame tags"
    FRAME_VERDICT = "frame verdict"
    PEER_FRAMES = "peer's frames"
    KEY_ERRORS = "number of errors"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class _Finished:
    """What is still asked of a reconciler that is done; its arrays are free for privacy amplification."""

    both_learn: bool
    sent_bits: int
    received_bits: int
    rounds: int
    bounds: list[tuple[int, int]]

    @staticmethod
    def of(done: Reconciler) -> _Finished:
        return _Finished(done.both_learn, done.sent_bits, done.received_bits, done.rounds, done.frame_bounds())

    def frame_bounds(self) -> list[tuple[int, int]]:
        return self.bounds


def counted_leak(model: LeakModel, leak_alice: int, leak_bob: int) -> int:
    """Bits that the leak model counts: both ends' bits, or Alice's alone."""
    return leak_alice + leak_bob if model is LeakModel.BOTH_DIRECTIONS else leak_alice


class Correction:
    """Both ends' machine; `start` and `receive` return the messages to send.

    `stopped`: reconciliation alone passed the contract's leak cap, and both ends see it after the same round.
    `key_errors`: once finished, the errors at each intensity; where reconciliation shows them to Bob alone, he
    says how many there are, and that counts as leak too. `tested`: lengths of the strings that tags were shown of.
    """

    def __init__(self, role: Role, sifted: Sifted, *, seed: int, contract: Contract, entropy: Entropy) -> None:
        self._role: Final = role
        self._sifted: Final = sifted
        self._key: Final = sifted.key
        self._contract: Final = contract
        self._entropy: Final = entropy
        terms = ReconcilerTerms(qber=contract.expected_qber, seed=seed, frame_bits=contract.frame_bits)
        try:
            self._working: Reconciler | None = RECONCILERS[contract.reconciler](role, sifted.key, terms)
        except ValueError as error:
            raise ProtocolError(f"{contract.reconciler} cannot begin under this contract: {error}") from error
        self._said = _Finished(True, 0, 0, 0, [])
        self._step = _Step.PARITIES
        self._leak = {Role.ALICE: 0, Role.BOB: 0}
        self._failed: list[tuple[int, int]] = []
        self._errors: BitString | None = None
        self.key_errors: tuple[int, ...] = ()
        self.tested: list[int] = []
        self.stopped = False

    # ---------------------------------------------------------------- what the block reads

    @property
    def finished(self) -> bool:
        return self._step is _Step.FINISHED

    @property
    def _reconciler(self) -> Reconciler | _Finished:
        """What is asked for counts: the reconciler at work, or what is left of it."""
        return self._said if self._working is None else self._working

    @property
    def rounds(self) -> int:
        return self._reconciler.rounds

    @property
    def failed_frames(self) -> int:
        return len(self._failed)

    def corrected(self) -> BitString:
        """My string as Alice has it, once finished."""
        if self._role is Role.ALICE:
            return self._key
        assert self._errors is not None
        return self._key ^ self._errors

    def leak(self, role: Role) -> int:
        """Bits that `role` has revealed so far."""
        sent = self._reconciler.sent_bits if role is self._role else self._reconciler.received_bits
        return sent + self._leak[role]

    def _over_cap(self) -> bool:
        counted = counted_leak(self._contract.leak_model, self.leak(Role.ALICE), self.leak(Role.BOB))
        return counted > self._contract.leak_cap

    # ---------------------------------------------------------------- the machine

    def start(self) -> list[Message]:
        """My first parities (or, with nothing to reconcile, what follows them)."""
        return self._next_round()

    def receive(self, message: Message) -> list[Message]:
        """Take the peer's next message; ProtocolError where it is not the one that is due."""
        match self._step, message:
            case _Step.PARITIES, Parities(turn=turn, bits=bits):
                return self._on_parities(turn, bits)
            case _Step.VERIFY, Verify(point=point, value=value):
                return self._compare(point, value)
            case _Step.VERDICT, Verdict(same=same):
                return self._on_verdict(same=same)
            case _Step.FRAME_TAGS, FrameTags(point=point, values=values):
                return self._compare_frames(point, values)
            case _Step.FRAME_VERDICT, FrameVerdict(differs=differs):
                return self._on_frame_verdict(differs)
            case _Step.PEER_FRAMES, Disclose(bits=bits):
                self._patch(bits)
                return self._conclude()
            case _Step.KEY_ERRORS, KeyErrors(counts=counts):
                self._take_counts(counts)
                return []
            case _:
                raise ProtocolError(f"{type(message).__name__} came while {self._step} was due")

    def _on_parities(self, turn: int, bits: memoryview) -> list[Message]:
        assert self._working is not None
        if turn != self._working.rounds:
            raise ProtocolError(f"the peer answers round {turn}, round {self._working.rounds} is due")
        self._working.receive(bits)
        self.stopped = self._over_cap()
        return [] if self.stopped else self._next_round()

    def _next_round(self) -> list[Message]:
        working = self._working
        assert working is not None
        answer = working.message()
        if answer is not None:
            return [Parities(turn=working.rounds, bits=memoryview(answer))]
        self._errors = working.errors
        self._said, self._working = _Finished.of(working), None
        if self._role is Role.BOB:
            self._step = _Step.VERIFY
            return []
        self._step = _Step.VERDICT
        point = self._entropy.draw(16)
        return [Verify(point=point, value=self._tags(self._key, [(0, self._key.size)], point)[0])]

    def _compare(self, point: bytes, value: bytes) -> list[Message]:
        same = self._tags(self.corrected(), [(0, self._key.size)], point)[0] == value
        self._leak[Role.BOB] += VERDICT_BITS
        if not same:
            self._step = _Step.FRAME_TAGS
            return [Verdict(same=False)]
        return [Verdict(same=True), *self._conclude()]

    def _on_verdict(self, *, same: bool) -> list[Message]:
        self._leak[Role.BOB] += VERDICT_BITS
        if same:
            return self._conclude()
        self._step = _Step.FRAME_VERDICT
        point = self._entropy.draw(16)
        return [FrameTags(point=point, values=memoryview(b"".join(self._tags(self._key, self._frames(), point))))]

    def _compare_frames(self, point: bytes, values: memoryview) -> list[Message]:
        frames = self._frames()
        if values.nbytes != 16 * len(frames):
            raise ProtocolError(f"{values.nbytes} bytes of frame tags for {len(frames)} frames")
        mine = self._tags(self.corrected(), frames, point)
        theirs = [bytes(values[at : at + 16]) for at in range(0, values.nbytes, 16)]
        differs = np.array([a != b for a, b in zip(mine, theirs, strict=True)], np.uint8)
        self._mark_failed(differs.tolist())
        self._step = _Step.PEER_FRAMES
        mine_too = [self._disclosure()] if self._reconciler.both_learn else []
        return [FrameVerdict(differs=memoryview(pack_bits(differs))), *mine_too]

    def _on_frame_verdict(self, differs: memoryview) -> list[Message]:
        self._mark_failed(unpack_bits(differs, len(self._frames())).tolist())
        self._step = _Step.PEER_FRAMES if self._reconciler.both_learn else _Step.KEY_ERRORS
        return [self._disclosure()]

    # ---------------------------------------------------------------- frames that stayed wrong

    def _mark_failed(self, differs: list[int]) -> None:
        self._leak[Role.BOB] += len(differs)
        self._failed = [frame for frame, bad in zip(self._frames(), differs, strict=True) if bad]
        if not self._failed:
            raise ProtocolError("the block's hash differs but no frame's does: one of the messages was changed")

    def _disclosure(self) -> Disclose:
        """All my bits of the failed frames; they are leak of whoever says them."""
        words = np.concatenate([self._key.words[a // 64 : -(-b // 64)] for a, b in self._failed])
        said = BitString(words, self._failed_bits())
        self._leak[self._role] += said.size
        return Disclose(bits=said.packed().data)

    def _patch(self, bits: memoryview) -> None:
        theirs = BitString.from_bytes(bits, self._failed_bits())
        self._leak[self._role.peer] += theirs.size
        assert self._errors is not None
        patched, at = self._errors.words.copy(), 0
        for a, b in self._failed:
            first, last = a // 64, -(-b // 64)
            patched[first:last] = self._key.words[first:last] ^ theirs.words[at : at + last - first]
            at += last - first
        self._errors = BitString(patched, self._errors.size)

    def _failed_bits(self) -> int:
        return sum(b - a for a, b in self._failed)

    # ---------------------------------------------------------------- the end

    def _conclude(self) -> list[Message]:
        if self._errors is None:
            self._step = _Step.KEY_ERRORS
            return []
        self._step = _Step.FINISHED
        self.key_errors = self._sifted.key_errors(self._errors)
        if self._reconciler.both_learn:
            return []
        self._leak[Role.BOB] += COUNT_BITS * len(self.key_errors)
        return [KeyErrors(counts=self.key_errors)]

    def _take_counts(self, counts: tuple[int, ...]) -> None:
        detections = self._sifted.key_detections()
        if len(counts) != len(detections) or any(m > n for m, n in zip(counts, detections, strict=True)):
            raise ProtocolError(f"{counts} errors were announced for {detections} key detections")
        self._leak[Role.BOB] += COUNT_BITS * len(counts)
        self.key_errors = counts
        self._step = _Step.FINISHED

    def _frames(self) -> list[tuple[int, int]]:
        return self._reconciler.frame_bounds()

    def _tags(self, bits: BitString, bounds: list[tuple[int, int]], point: bytes) -> list[bytes]:
        """Tags of parts of a string; each says 128 bits of Alice's, whoever computes it."""
        self.tested += [b - a for a, b in bounds]
        self._leak[Role.ALICE] += TAG_BITS * len(bounds)
        return frame_tags(bits, bounds, point)
