"""Error correction of one block: reconcile, verify, disclose what failed; every bit said is counted."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.bits import pack_bits, unpack_bits
from poliqi.base.errors import ProtocolError
from poliqi.base.ids import LeakModel, Role
from poliqi.base.secret import Entropy
from poliqi.distill.contract import Contract
from poliqi.distill.messages import Disclose, FrameTags, FrameVerdict, Message, Parities, Verdict, Verify
from poliqi.distill.reconcile import RECONCILERS
from poliqi.distill.verify import frame_tags

__all__ = ["Correction", "counted_leak"]

Bits = NDArray[np.uint8]
_TAG_BITS: Final = 128


class _Step(StrEnum):
    PARITIES = "parities"
    VERIFY = "verify"
    VERDICT = "verdict"
    FRAME_TAGS = "frame tags"
    FRAME_VERDICT = "frame verdict"
    PEER_FRAMES = "peer's frames"
    FINISHED = "finished"


def counted_leak(model: LeakModel, leak_alice: int, leak_bob: int) -> int:
    """Bits that the leak model counts: both ends' bits, or Alice's alone."""
    return leak_alice + leak_bob if model is LeakModel.BOTH_DIRECTIONS else leak_alice


class Correction:
    """Both ends' machine; `start` and `receive` return the messages to send.

    `errors` is the error string (uint8[n], Alice xor Bob), public to both ends. Bob's corrected string
    is his own xor `errors`. `stopped`: reconciliation alone passed the contract's leak cap, and both ends
    see it after the same round.
    """

    def __init__(self, role: Role, key: Bits, *, seed: int, contract: Contract, entropy: Entropy) -> None:
        self._role: Final = role
        self._key: Final = key
        self._contract: Final = contract
        self._entropy: Final = entropy
        make = RECONCILERS[contract.reconciler]
        self._reconciler: Final = make(key, contract.expected_qber, seed, contract.frame_bits)
        self._step = _Step.PARITIES
        self._leak = {Role.ALICE: 0, Role.BOB: 0}
        self._failed: list[tuple[int, int]] = []
        self._patch: Bits | None = None
        self.tested: list[int] = []
        self.stopped = False

    # ---------------------------------------------------------------- what the block reads

    @property
    def finished(self) -> bool:
        return self._step is _Step.FINISHED

    @property
    def rounds(self) -> int:
        return self._reconciler.rounds

    @property
    def failed_frames(self) -> int:
        return len(self._failed)

    @property
    def errors(self) -> Bits:
        found = self._reconciler.errors
        if self._patch is None:
            return found
        return self._patch

    def corrected(self) -> Bits:
        """My string as Alice has it."""
        return self._key if self._role is Role.ALICE else self._key ^ self.errors

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
                if turn != self._reconciler.rounds:
                    raise ProtocolError(f"the peer answers round {turn}, round {self._reconciler.rounds} is due")
                self._reconciler.receive(bits)
                self.stopped = self._over_cap()
                return [] if self.stopped else self._next_round()
            case _Step.VERIFY, Verify(point=point, value=value):
                return self._compare(point, value)
            case _Step.VERDICT, Verdict(same=same):
                return self._on_verdict(same=same)
            case _Step.FRAME_TAGS, FrameTags(point=point, values=values):
                return self._compare_frames(point, values)
            case _Step.FRAME_VERDICT, FrameVerdict(differs=differs):
                self._mark_failed(unpack_bits(differs, len(self._frames())))
                self._leak[Role.BOB] += len(self._frames())
                self._step = _Step.PEER_FRAMES
                return [self._disclosure()]
            case _Step.PEER_FRAMES, Disclose(bits=bits):
                self._patch_failed(bits)
                return []
            case _:
                raise ProtocolError(f"{type(message).__name__} came while {self._step} was due")

    def _next_round(self) -> list[Message]:
        answer = self._reconciler.message()
        if answer is not None:
            return [Parities(turn=self._reconciler.rounds, bits=answer)]
        if self._role is Role.BOB:
            self._step = _Step.VERIFY
            return []
        self._step = _Step.VERDICT
        return [Verify(point=(point := self._entropy.draw(16)), value=self._whole_tag(self._key, point))]

    def _compare(self, point: bytes, value: bytes) -> list[Message]:
        same = self._whole_tag(self.corrected(), point) == value
        self._leak[Role.BOB] += 1
        self._step = _Step.FINISHED if same else _Step.FRAME_TAGS
        return [Verdict(same=same)]

    def _on_verdict(self, *, same: bool) -> list[Message]:
        self._leak[Role.BOB] += 1
        if same:
            self._step = _Step.FINISHED
            return []
        self._step = _Step.FRAME_VERDICT
        point = self._entropy.draw(16)
        return [FrameTags(point=point, values=b"".join(self._tags(self._key, self._frames(), point)))]

    def _compare_frames(self, point: bytes, values: bytes) -> list[Message]:
        frames = self._frames()
        if len(values) != 16 * len(frames):
            raise ProtocolError(f"{len(values)} bytes of frame tags for {len(frames)} frames")
        mine = self._tags(self.corrected(), frames, point)
        theirs = [values[at : at + 16] for at in range(0, len(values), 16)]
        differs = np.array([a != b for a, b in zip(mine, theirs, strict=True)], np.uint8)
        self._mark_failed(differs)
        self._leak[Role.BOB] += len(frames)
        self._step = _Step.PEER_FRAMES
        return [FrameVerdict(differs=pack_bits(differs)), self._disclosure()]

    def _mark_failed(self, differs: Bits) -> None:
        self._failed = [frame for frame, bad in zip(self._frames(), differs, strict=True) if bad]
        if not self._failed:
            raise ProtocolError("the block's hash differs but no frame's does: one of the messages was changed")

    def _disclosure(self) -> Disclose:
        bits = np.concatenate([self._key[a:b] for a, b in self._failed])
        for role in Role:
            self._leak[role] += len(bits)
        return Disclose(bits=pack_bits(bits))

    def _patch_failed(self, bits: bytes) -> None:
        theirs = unpack_bits(bits, sum(b - a for a, b in self._failed))
        patched = self._reconciler.errors.copy()
        at = 0
        for a, b in self._failed:
            patched[a:b] = self._key[a:b] ^ theirs[at : at + b - a]
            at += b - a
        self._patch = patched
        self._step = _Step.FINISHED

    def _frames(self) -> list[tuple[int, int]]:
        return [(int(a), int(b)) for a, b in self._reconciler.frame_bounds()]

    def _whole_tag(self, bits: Bits, point: bytes) -> bytes:
        return self._tags(bits, [(0, len(bits))], point)[0]

    def _tags(self, bits: Bits, bounds: list[tuple[int, int]], point: bytes) -> list[bytes]:
        """Tags of parts of a string; each says 128 bits of Alice's, whoever computes it."""
        self.tested += [b - a for a, b in bounds]
        self._leak[Role.ALICE] += _TAG_BITS * len(bounds)
        return frame_tags(bits, bounds, point)
