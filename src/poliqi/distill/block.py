"""One block of a session, from Bob's announcement to a key that both ends hold: the state table.

Both ends run this class; the role is data. A block that fails in a way both ends can see from the public
transcript (leak over the cap, counts that do not support the contract) ends with `Refused` and the
session goes on. Anything else that is not as it should be raises, and the session ends.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import StrEnum
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from poliqi.base.bits import packed_fault, packed_size
from poliqi.base.errors import ProtocolError
from poliqi.base.ids import BlockNumber, LinkId, Origin, Role
from poliqi.base.secret import Entropy, SecretBytes
from poliqi.distill.acceptance import EARLIER, Verdict, judge
from poliqi.distill.amplify import amplify
from poliqi.distill.authenticate import WORD, Authenticator
from poliqi.distill.contract import Contract
from poliqi.distill.correct import Correction
from poliqi.distill.messages import Amplify, Confirm, Detect, Final_, Message, Refused, Sift, Tag
from poliqi.distill.outcome import (
    Aborted,
    BlockConfirmed,
    BlockReport,
    Event,
    HoldPending,
    Mark,
    SecretBlock,
    StatesWanted,
    Usage,
)
from poliqi.distill.outcome import Confirm as ConfirmMark
from poliqi.distill.sift import PackedDetections, Sifted, alice_sift, bob_sift, detect_message, read_slots

__all__ = ["Block", "Line", "Step"]


class Step(StrEnum):
    """What the block waits for."""

    DETECT = "detections"
    DETECT_TAG = "tag of the detections"
    STATES = "states of my own device"
    SIFT = "sifting"
    CORRECT = "error correction"
    AMPLIFY = "privacy amplification"
    CONFIRM = "confirmation"
    CONFIRM_TAG = "tag of the confirmation"
    FINAL = "final word"
    FINAL_TAG = "tag of the final word"
    DONE = "nothing"


class Line(Protocol):
    """What a block needs of its session."""

    def send(self, message: Message) -> None: ...
    def seal(self) -> None: ...
    def check(self, tag: bytes) -> None: ...
    def mark(self, mark: Mark) -> None: ...
    def emit(self, event: Event) -> None: ...
    def vet(self, report: BlockReport) -> str | None: ...
    def condemn(self, reason: str) -> None: ...


class Block:
    """One attempt at a secret block, at one end."""

    def __init__(
        self,
        role: Role,
        number: BlockNumber,
        *,
        line: Line,
        contract: Contract,
        authenticator: Authenticator,
        entropy: Entropy,
        next_slot: int,
        earlier_epsilon: float,
    ) -> None:
        self.number: Final = number
        self.next_slot = next_slot
        self.confirmed = False
        self.own_epsilon = 0.0
        self.step = Step.DETECT
        self._role: Final = role
        self._line: Final = line
        self._contract: Final = contract
        self._authenticator: Final = authenticator
        self._entropy: Final = entropy
        self._earlier: Final = earlier_epsilon
        self._seen: PackedDetections | None = None
        self._announced: Detect | None = None
        self._detected = 0
        self._sifted: Sifted | None = None
        self._correction: Correction | None = None
        self._verdict: Verdict | None = None
        self._public_seed = b""
        self._seed: memoryview | None = None
        self._made: HoldPending | None = None

    @property
    def done(self) -> bool:
        return self.step is Step.DONE

    def report(self) -> BlockReport | None:
        """What was seen so far, once the acceptance test was applied."""
        return None if self._verdict is None else self._verdict.report

    def _use_slots(self, first_slot: int, pulses: int) -> None:
        """No slot of this block is ever sifted again, whatever becomes of it."""
        self.next_slot = first_slot + pulses
        self._line.mark(Usage(BlockNumber(self.number + 1), self.next_slot))

    # ---------------------------------------------------------------- commands of the owner

    def announce(self, seen: PackedDetections) -> None:
        """Bob: say what clicked, under a tag of its own, before Alice reveals anything."""
        self._seen = seen
        self._use_slots(seen.first_slot, seen.pulses)
        announced = detect_message(self.number, seen)
        self._detected = announced.count
        self._line.send(announced)
        self._line.seal()
        self.step = Step.SIFT

    @property
    def has_work(self) -> bool:
        """Whether `work` has something to do while the peer is busy."""
        return self._may_begin or self._may_draw_seed or (self.step is Step.CONFIRM and self._made is None)

    @property
    def _may_begin(self) -> bool:
        return self.step is Step.CORRECT and self._correction is None

    @property
    def _may_draw_seed(self) -> bool:
        return self._role is Role.ALICE and self.step is Step.CORRECT and self._seed is None

    def work(self) -> None:
        """What can be done ahead of need: begin error correction, draw the Toeplitz seed (Alice), compute the key.

        The seed leaves this end only once the block is accepted, the key only once the peer's tag stands.
        """
        if self._may_begin:
            self._begin_correction()
        elif self._may_draw_seed:
            self._draw_seed()
        elif self._made is None:
            self._made = self._make_key()

    def _draw_seed(self) -> memoryview:
        assert self._sifted is not None
        if self._seed is None:
            self._seed = memoryview(_seed_bits(self._entropy, self._sifted.key.size - 1))
        return self._seed

    def provide_states(self, states: NDArray[np.uint8]) -> None:
        """Alice: her states at the announced slots."""
        if self.step is not Step.STATES or self._announced is None:
            raise ValueError("no states are wanted now")
        self._public_seed = self._entropy.draw(8)
        self._sifted, answer = alice_sift(self._announced, states, self._contract.levels, self._public_seed)
        self._announced = None
        self._line.send(answer)
        self.step = Step.CORRECT
        if self._sifted.key.size == 0:
            self._begin_correction()  # nobody speaks first then: no message of the peer would begin it

    # ---------------------------------------------------------------- the state table

    def receive(self, message: Message) -> None:
        """Take one message; ProtocolError where the table has no place for it."""
        if self.step is Step.CORRECT:
            self._on_correction(message)
            return
        handler = _TABLE.get((self._role, self.step, type(message)))
        if handler is None:
            raise ProtocolError(f"{type(message).__name__} came while {self.step} was due")
        handler(self, message)

    def _on_detect(self, message: Message) -> None:
        assert isinstance(message, Detect)
        self._expect_number(message.number)
        self._announced, self._detected = message, message.count
        self.step = Step.DETECT_TAG

    def _on_detect_tag(self, message: Message) -> None:
        assert isinstance(message, Tag)
        assert self._announced is not None
        self._line.check(message.value)
        slots = read_slots(self._announced, self._contract, self.next_slot)
        self._use_slots(self._announced.first_slot, self._announced.pulses)
        self.step = Step.STATES
        self._line.emit(StatesWanted(slots))

    def _on_sift(self, message: Message) -> None:
        assert isinstance(message, Sift)
        assert self._seen is not None
        self._sifted = bob_sift(self._seen, self.number, message, self._contract.levels)
        self._seen = None
        self._public_seed = message.seed
        self.step = Step.CORRECT
        self._begin_correction()

    def _begin_correction(self) -> None:
        assert self._sifted is not None
        self._correction = Correction(
            self._role,
            self._sifted,
            seed=int.from_bytes(self._public_seed, "little"),
            contract=self._contract,
            entropy=self._entropy,
        )
        self._go_on(self._correction.start())

    def _on_correction(self, message: Message) -> None:
        if self._correction is None:
            self._begin_correction()
        assert self._correction is not None
        self._go_on(self._correction.receive(message))

    def _go_on(self, answers: list[Message]) -> None:
        assert self._correction is not None
        for answer in answers:
            self._line.send(answer)
        if self._correction.finished or self._correction.stopped:
            self._judge()

    def _judge(self) -> None:
        assert self._sifted is not None
        assert self._correction is not None
        self._verdict = judge(
            self.number,
            self._detected,
            self._sifted,
            self._correction,
            self._contract,
            self._authenticator,
            self._earlier,
        )
        if self._role is Role.BOB:
            self.step = Step.AMPLIFY
        elif self._verdict.accepted:
            # Bob's announcement is tagged, and Bob holds nothing yet: a later no would leave him a key to burn
            if not self._is_condemned():
                self._send_amplify()
        else:
            self._line.send(Refused(number=self.number))
            self._drop()

    def _is_condemned(self) -> bool:
        """Ask the owner about a block that the contract accepts; the session ends where it must not give a key."""
        assert self._verdict is not None
        condemned = self._line.vet(self._verdict.report)
        if condemned is not None:
            self._made = None
            self._line.condemn(condemned)
        return condemned is not None

    def _send_amplify(self) -> None:
        self._line.send(Amplify(seed=self._draw_seed()))
        self._line.send(self._account())
        self._line.seal()
        self.step = Step.CONFIRM

    def _on_amplify(self, message: Message) -> None:
        assert isinstance(message, Amplify)
        assert self._sifted is not None
        fault = packed_fault(message.seed, max(self._sifted.key.size - 1, 0))
        if fault is not None:
            raise ProtocolError(f"Toeplitz seed: {fault}")
        if self._verdict is None or not self._verdict.accepted:
            raise ProtocolError("the peer accepts a block that the contract refuses here")
        self._seed = message.seed
        self.step = Step.CONFIRM

    def _on_refused(self, message: Message) -> None:
        assert isinstance(message, Refused)
        self._expect_number(message.number)
        if self._verdict is not None and self._verdict.accepted:
            raise ProtocolError("the peer refuses a block that the contract accepts here")
        self._drop()

    def _on_confirm(self, message: Message) -> None:
        assert isinstance(message, Confirm)
        mine = self._account()
        if message != mine:
            names = [f for f in mine.__struct_fields__ if getattr(mine, f) != getattr(message, f)]
            raise ProtocolError(f"the two ends account differently for block {self.number}: {', '.join(names)}")
        self.step = Step.CONFIRM_TAG

    def _on_confirm_tag(self, message: Message) -> None:
        assert isinstance(message, Tag)
        self._line.check(message.value)
        if self._role is Role.BOB and self._is_condemned():
            return
        if self._made is None:
            self._made = self._make_key()
        self._line.mark(self._made)
        if self._role is Role.BOB:
            self._line.send(self._account())
            self._line.seal()
            self.step = Step.FINAL
        else:
            self._line.send(Final_(number=self.number))
            self._line.seal()
            self._deliver()

    def _on_final(self, message: Message) -> None:
        assert isinstance(message, Final_)
        self._expect_number(message.number)
        self.step = Step.FINAL_TAG

    def _on_final_tag(self, message: Message) -> None:
        assert isinstance(message, Tag)
        self._line.check(message.value)
        self._deliver()

    # ---------------------------------------------------------------- the key

    def _account(self) -> Confirm:
        assert self._verdict is not None
        report, refills = self._verdict.report, self._verdict.refills
        return Confirm(
            number=self.number,
            length=self._contract.length,
            sifted_key=report.sifted_key,
            key_errors=self._verdict.key_errors,
            leak_alice=report.leak_alice,
            leak_bob=report.leak_bob,
            refill_alice=refills[0],
            refill_bob=refills[1],
        )

    def _make_key(self) -> HoldPending:
        assert self._correction is not None
        assert self._verdict is not None
        assert self._seed is not None
        contract, (alice, bob) = self._contract, self._verdict.refills
        secret = amplify(self._correction.corrected(), self._seed, contract.length).to_bytes()
        cut, end = WORD * alice, WORD * (alice + bob)
        report = self.report()
        assert report is not None
        assert report.ledger is not None
        self.own_epsilon = math.fsum(e.value for e in report.ledger.entries if e.name != EARLIER)
        block = SecretBlock(
            link_id=LinkId(contract.link_id),
            number=self.number,
            origin=contract.origin,
            key=SecretBytes(secret[end : end + report.net_bits // 8]),
            epsilon=report.ledger.total if contract.origin is Origin.PHOTONS else None,
            proof=contract.proof,
            leak_bits=report.leak_counted,
        )
        return HoldPending(block, self.own_epsilon, SecretBytes(secret[:cut]), SecretBytes(secret[cut:end]))

    def _deliver(self) -> None:
        report = self.report()
        assert self._made is not None
        assert report is not None
        self._authenticator.refill(bytes(self._made.refill_alice.view()), bytes(self._made.refill_bob.view()))
        self._line.mark(ConfirmMark(self.number))
        self._line.emit(BlockConfirmed(self.number, report))
        self.confirmed = True
        self.step = Step.DONE

    def _drop(self) -> None:
        reason = self._verdict.reason if self._verdict is not None else None
        self._line.emit(Aborted(reason or "the peer refused the block", False, self.number, self.report()))
        self.step = Step.DONE

    def _expect_number(self, number: int) -> None:
        if number != self.number:
            raise ProtocolError(f"the peer speaks of block {number}, block {self.number} is under way")


def _seed_bits(entropy: Entropy, count: int) -> bytes:
    """`count` fresh bits, packed, padding zero."""
    size = packed_size(max(count, 0))
    if size == 0:
        return b""
    raw = bytearray(entropy.draw(size))
    raw[-1] &= 0xFF >> (-count % 8)
    return bytes(raw)


Handler = Callable[[Block, Message], None]

_TABLE: Final[dict[tuple[Role, Step, type], Handler]] = {
    (Role.ALICE, Step.DETECT, Detect): Block._on_detect,  # pyright: ignore[reportPrivateUsage]  # the class's own table
    (Role.ALICE, Step.DETECT_TAG, Tag): Block._on_detect_tag,  # pyright: ignore[reportPrivateUsage]  # own table
    (Role.ALICE, Step.CONFIRM, Confirm): Block._on_confirm,  # pyright: ignore[reportPrivateUsage]  # own table
    (Role.ALICE, Step.CONFIRM_TAG, Tag): Block._on_confirm_tag,  # pyright: ignore[reportPrivateUsage]  # own table
    (Role.BOB, Step.SIFT, Sift): Block._on_sift,  # pyright: ignore[reportPrivateUsage]  # own table
    (Role.BOB, Step.AMPLIFY, Amplify): Block._on_amplify,  # pyright: ignore[reportPrivateUsage]  # own table
    (Role.BOB, Step.AMPLIFY, Refused): Block._on_refused,  # pyright: ignore[reportPrivateUsage]  # own table
    (Role.BOB, Step.CONFIRM, Confirm): Block._on_confirm,  # pyright: ignore[reportPrivateUsage]  # own table
    (Role.BOB, Step.CONFIRM_TAG, Tag): Block._on_confirm_tag,  # pyright: ignore[reportPrivateUsage]  # own table
    (Role.BOB, Step.FINAL, Final_): Block._on_final,  # pyright: ignore[reportPrivateUsage]  # own table
    (Role.BOB, Step.FINAL_TAG, Tag): Block._on_final_tag,  # pyright: ignore[reportPrivateUsage]  # own table
}
