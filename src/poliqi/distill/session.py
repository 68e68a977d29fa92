"""A session of two parties, without IO: hello, contract, then block after block (docs/spec/session.md).

The owner hands in frames, time and what its device saw, and takes out, in this order: marks, which must be
durable in one transaction before anything else happens; output, the frames to send; events.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import AuthenticationError, PoliqiError, ProtocolError
from poliqi.base.ids import BlockNumber, LinkId, Role
from poliqi.base.secret import Entropy
from poliqi.distill.authenticate import Authenticator
from poliqi.distill.block import Block, Step
from poliqi.distill.contract import Contract, encode_contract
from poliqi.distill.greeting import Greeting
from poliqi.distill.messages import (
    FIRST_FRAME_LIMIT,
    Abort,
    Detect,
    Message,
    Tag,
    decode_message,
    encode_message,
    frame_limit,
)
from poliqi.distill.outcome import (
    Aborted,
    BlockBegun,
    BlockReport,
    Confirm,
    Event,
    Mark,
    PadCursor,
    Ready,
    Usage,
)
from poliqi.distill.policy import History, Policy
from poliqi.distill.sift import PackedDetections

__all__ = ["Session"]

_REASON_LIMIT: Final = 300


class _State(StrEnum):
    NEW = "start"
    GREETING = "the hello"
    IDLE = "a block"
    BLOCK = "the block under way"
    ENDED = "nothing: the session has ended"


class Session:
    """One end of a session. Alice proposes `contract`; both check it against their policy.

    The peer's faults never raise: the session ends with `Aborted(fatal=True)` and an `Abort` frame. `vet` sees the
    report of every accepted block before either end holds a key of it: Bob once Alice's tag covers all that she
    said, Alice before she sends the seed, when Bob's tag covers all but the errors of the key basis. A word of it
    why the block must not give a key ends the session, and the key is never held.
    """

    def __init__(
        self,
        role: Role,
        *,
        link_id: LinkId,
        authenticator: Authenticator,
        entropy: Entropy,
        history: History,
        contract: Contract | None = None,
        policy: Policy | None = None,
        timeout_s: float = 60.0,
        idle_timeout_s: float = 600.0,
        vet: Callable[[BlockReport], str | None] | None = None,
    ) -> None:
        if (contract is None) == (role is Role.ALICE):
            raise ValueError("Alice proposes the contract; Bob is given none")
        self._role: Final = role
        self._authenticator: Final = authenticator
        self._entropy: Final = entropy
        self._policy: Final = policy or Policy()
        self._timeout_s: Final = timeout_s
        self._idle_timeout_s: Final = idle_timeout_s
        self._vet: Final = vet
        self._greeting: Final = Greeting(
            role,
            link_id,
            line=self,
            authenticator=authenticator,
            entropy=entropy,
            history=history,
            policy=self._policy,
            contract=contract,
        )
        self._state = _State.NEW
        self._is_paired = False
        self._has_checked = False
        """Whether the step under way found a tag that fits: what it then refuses is the peer's own word."""
        self._block: Block | None = None
        self._next_block = history.next_block
        self._next_slot = history.next_slot
        self._epsilon = history.epsilon
        self._deadline: float | None = None
        self._patience_s: float | None = None
        self._marked: list[PadCursor] = []
        self._marks: list[Mark] = []
        self._output: list[bytes] = []
        self._events: list[Event] = []

    # ---------------------------------------------------------------- what the owner takes

    def take_marks(self) -> list[Mark]:
        """Marks to make durable, in one transaction, before any byte of the output leaves."""
        cursors = self._authenticator.marks()
        moved: list[Mark] = [c for c in cursors if c not in self._marked]
        self._marked = cursors
        marks, self._marks = self._marks + moved, []
        return marks

    def take_output(self) -> list[bytes]:
        """Frames for the peer, in order. ValueError while marks wait: they must be durable before."""
        if self._marks or self._authenticator.marks() != self._marked:
            raise ValueError("take the marks and make them durable before any output leaves")
        output, self._output = self._output, []
        return output

    def take_events(self) -> list[Event]:
        """What happened since the last call."""
        events, self._events = self._events, []
        return events

    @property
    def finished(self) -> bool:
        return self._state is _State.ENDED

    @property
    def contract(self) -> Contract | None:
        """The contract: proposed at Alice, agreed on once `Ready` was said."""
        return self._greeting.contract

    @property
    def frame_limit(self) -> int:
        """Bytes of the largest frame that may come now; a longer one is not worth reading."""
        large = self._state is _State.BLOCK or (self._state is _State.IDLE and self._role is Role.ALICE)
        return frame_limit(self._agreed()) if large else FIRST_FRAME_LIMIT

    def next_timeout(self) -> float | None:
        """When `tick` is due, in the owner's time; None while nothing is awaited from the peer."""
        return self._deadline

    # ---------------------------------------------------------------- commands

    def start(self, now: float) -> None:
        """Alice speaks first; Bob listens."""
        self._guard(self._start, now)

    def _start(self) -> None:
        if self._state is not _State.NEW:
            raise ValueError("a session starts once")
        self._state = _State.GREETING
        self._greeting.start()

    def begin_block(self, detections: PackedDetections, now: float) -> None:
        """Bob: distil these detections. ValueError unless the session is ready and idle; nothing once it ended."""
        if self.finished:
            return
        if self._role is not Role.BOB or self._state is not _State.IDLE:
            raise ValueError(f"Bob begins a block when the session is idle; it waits for {self._state}")
        self._guard(lambda: self._begin(detections), now)

    def provide_states(self, states: NDArray[np.uint8], now: float) -> None:
        """Alice: answer `StatesWanted`, one state byte per slot; nothing once the session ended."""
        if self.finished:
            return
        if self._block is None:
            raise ValueError("no states are wanted now")
        block = self._block
        self._guard(lambda: block.provide_states(states), now)

    @property
    def has_work(self) -> bool:
        """Whether `work` would do something: ask once the output was sent, so that both ends compute at once."""
        return self._block is not None and self._block.has_work

    def work(self, now: float) -> None:
        """Compute ahead what the block under way needs next; without this call it is done when it is needed."""
        if self._block is not None and self._block.has_work:
            self._guard(self._block.work, now)

    def receive(self, frame: bytes, now: float) -> None:
        """Take one whole frame from the peer."""
        if self._state is not _State.ENDED:
            self._guard(lambda: self._receive(frame), now, is_heard=True)

    def tick(self, now: float) -> None:
        """Let time pass."""
        if self._deadline is not None and now >= self._deadline:
            waited: str = self._state
            if self._block is not None:
                waited = self._block.step
            elif self._state is _State.GREETING:
                waited = self._greeting.step
            self._end(f"the peer has been silent for {self._patience_s:g} s; {waited} was due")

    def close(self, reason: str) -> None:
        """End the session from this side; a block under way is dropped, a pending one stays pending."""
        if self._state is not _State.ENDED:
            self._end(reason, told="closed by the other end")

    # ---------------------------------------------------------------- what comes in

    def _receive(self, frame: bytes) -> None:
        if len(frame) > self.frame_limit:
            raise ProtocolError(f"a frame of {len(frame)} bytes came, at most {self.frame_limit} are allowed now")
        message = decode_message(frame)
        if isinstance(message, Abort):
            printable = "".join(c if c.isprintable() else "?" for c in message.reason)
            self._end(f"the peer ended the session: {printable}", tell=False)
        elif self._state is _State.GREETING:
            self._greeting.receive(message, frame)
            if self._greeting.done:
                self._on_greeted()
        elif self._state is _State.IDLE and self._role is Role.ALICE and isinstance(message, Detect):
            self._begin_block()
            self._pass_on(message, frame)
        elif self._state is _State.BLOCK:
            self._pass_on(message, frame)
        else:
            raise ProtocolError(f"{type(message).__name__} came while {self._state} was due")

    def _on_greeted(self) -> None:
        self._next_block, self._next_slot = self._greeting.next_block, self._greeting.next_slot
        self._epsilon = self._greeting.epsilon
        self._state = _State.IDLE
        self._events.append(Ready(self._next_slot))

    def _agreed(self) -> Contract:
        assert self._greeting.contract is not None
        return self._greeting.contract

    # ---------------------------------------------------------------- blocks

    def _begin(self, detections: PackedDetections) -> None:
        contract, seen = self._agreed(), len(detections.slots)
        limit = contract.max_detections
        if detections.pulses != contract.pulses:
            raise ProtocolError(f"a block of {detections.pulses} pulses, the contract says {contract.pulses}")
        if detections.first_slot < self._next_slot:
            raise ProtocolError(
                f"a block from slot {detections.first_slot} on; slots below {self._next_slot} are used: "
                "is the device's clock back at its start?"
            )
        if seen > limit:
            raise ProtocolError(
                f"{seen} detections in a block, the contract allows {limit}: are detectors blinded?"
            )
        self._begin_block().announce(detections)

    def _begin_block(self) -> Block:
        self._policy.check_reserve(self._authenticator.words_left())
        number = self._next_block
        self._next_block = BlockNumber(number + 1)
        self._marks.append(Usage(self._next_block, self._next_slot))
        self._authenticator.begin(self._block_context(number), jump=False)
        self._block = Block(
            self._role,
            number,
            line=self,
            contract=self._agreed(),
            authenticator=self._authenticator,
            entropy=self._entropy,
            next_slot=self._next_slot,
            earlier_epsilon=self._epsilon,
        )
        self._state = _State.BLOCK
        self._events.append(BlockBegun(number))
        return self._block

    def _block_context(self, number: BlockNumber) -> bytes:
        nonces = self._greeting.nonces[Role.ALICE] + self._greeting.nonces[Role.BOB]
        return b"block" + nonces + number.to_bytes(8, "little") + encode_contract(self._agreed())

    def _pass_on(self, message: Message, frame: bytes) -> None:
        assert self._block is not None
        if not isinstance(message, Tag):
            self._authenticator.absorb(self._role.peer, frame)
        self._block.receive(message)

    def _after(self, now: float) -> None:
        """Housekeeping after every step: a block that ended, and the next deadline."""
        block = self._block
        if block is not None and block.done:
            self._next_slot = block.next_slot
            self._block = None
            if self._state is _State.BLOCK:
                self._state = _State.IDLE
            if block.confirmed:
                self._epsilon += block.own_epsilon
            if block.confirmed and self._authenticator.one_block_only:
                self._end("the first block has paired the link: connect again", tell=False)
        self._patience_s = self._patience()
        self._deadline = None if self._patience_s is None else now + self._patience_s

    def _patience(self) -> float | None:
        """Seconds that the peer may be silent; None while this end's own device is awaited."""
        if self._state is _State.IDLE:
            return self._idle_timeout_s if self._role is Role.ALICE else None
        if self._block is not None:
            return None if self._block.step is Step.STATES else self._timeout_s
        return None if self.finished else self._timeout_s

    # ---------------------------------------------------------------- the line that a block speaks on

    def send(self, message: Message) -> None:
        """Queue a message and add it to my transcript."""
        frame = encode_message(message)
        self._authenticator.absorb(self._role, frame)
        self._output.append(frame)

    def seal(self) -> None:
        """Queue the tag of my transcript."""
        self._output.append(encode_message(Tag(value=self._authenticator.seal())))

    def check(self, tag: bytes) -> None:
        """Verify the peer's tag."""
        self._authenticator.check(tag)
        self._is_paired = self._has_checked = True

    def mark(self, mark: Mark) -> None:
        """Queue a mark."""
        self._marks.append(mark)
        if isinstance(mark, Confirm):
            self._marked = []  # cursors may stand on the words that the block brings: say them again after it

    def emit(self, event: Event) -> None:
        """Queue an event."""
        self._events.append(event)

    def vet(self, report: BlockReport) -> str | None:
        """The owner's word on a block: why it must not give a key, None where it may."""
        return None if self._vet is None else self._vet(report)

    def condemn(self, reason: str) -> None:
        """End the session with the block under way; why is for this end's people alone."""
        self._end(reason, told="the monitor at the other end refuses the block")

    # ---------------------------------------------------------------- ends

    def _guard(self, step: Callable[[], None], now: float, *, is_heard: bool = False) -> None:
        """`is_heard`: the step takes a frame. What no paired end sends, once a tag has shown that it is there, was
        changed or repeated on the way: a tag that does not fit, a frame out of turn, bytes that are no message.
        """
        self._has_checked = False
        try:
            step()
        except AuthenticationError as error:
            self._end(str(error), is_forged=self._is_paired)
        except ProtocolError as error:
            self._end(str(error), is_forged=is_heard and self._is_paired and not self._has_checked)
        except PoliqiError as error:
            self._end(str(error))
        except Exception:
            self._end("an internal error", told="an internal error at the other end")
            raise
        self._after(now)

    def _end(self, reason: str, *, tell: bool = True, told: str | None = None, is_forged: bool = False) -> None:
        """End the session. A peer that has not shown yet that it is the paired one learns nothing of the reason."""
        if tell:
            known = self._state in (_State.IDLE, _State.BLOCK)
            text = told or (reason if known else "refused")
            self._output.append(encode_message(Abort(reason=text[:_REASON_LIMIT])))
        block, self._block = self._block, None
        report = block.report() if block is not None else None
        if report is not None:
            report = replace(report, gross_bits=0, refill_bits=0, net_bits=0)
        number = block.number if block is not None else None
        self._state, self._deadline = _State.ENDED, None
        self._events.append(Aborted(reason, True, number, report, is_forged))
