"""A session of two parties, without IO: hello, contract, then block after block (docs/spec/session.md).

The owner hands in frames, time and what its device saw, and takes out, in this order: marks, which must be
durable in one transaction before anything else happens; output, the frames to send; events.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import KeyExhausted, PoliqiError, ProtocolError
from poliqi.base.ids import BlockNumber, LinkId, Role
from poliqi.base.secret import Entropy
from poliqi.distill.authenticate import WORDS_PER_BLOCK, Authenticator
from poliqi.distill.block import Block, Step
from poliqi.distill.contract import Contract, check_contract, encode_contract
from poliqi.distill.messages import (
    FIRST_FRAME_LIMIT,
    VERSION,
    Abort,
    Detect,
    Hello,
    Message,
    Tag,
    Welcome,
    decode_message,
    encode_message,
    frame_limit,
)
from poliqi.distill.outcome import (
    Aborted,
    BlockBegun,
    Burn,
    Confirm,
    Event,
    Mark,
    PadCursor,
    Ready,
    Usage,
)
from poliqi.distill.policy import History, Policy
from poliqi.link.device import Detections

__all__ = ["Session"]

_REASON_LIMIT: Final = 300


class _State(StrEnum):
    NEW = "start"
    HELLO = "the peer's hello"
    HELLO_TAG = "the tag of the peer's hello"
    WELCOME = "the peer's welcome"
    WELCOME_TAG = "the tag of the peer's welcome"
    IDLE = "a block"
    BLOCK = "the block under way"
    ENDED = "nothing: the session has ended"


class Session:
    """One end of a session. Alice proposes `contract`; both check it against their policy.

    The peer's faults never raise: the session ends with `Aborted(fatal=True)` and an `Abort` frame.
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
    ) -> None:
        if (contract is None) == (role is Role.ALICE):
            raise ValueError("Alice proposes the contract; Bob is given none")
        self._role: Final = role
        self._link_id: Final = link_id
        self._authenticator: Final = authenticator
        self._entropy: Final = entropy
        self._policy: Final = policy or Policy()
        self._timeout_s: Final = timeout_s
        self._idle_timeout_s: Final = idle_timeout_s
        self._contract = contract
        self._next_block = history.next_block
        self._last_confirmed = history.last_confirmed
        self._epsilon = history.epsilon
        self._next_slot = history.next_slot
        self._pending = history.pending
        self._state = _State.NEW
        self._nonces: dict[Role, bytes] = {}
        self._peer_hello: Hello | None = None
        self._block: Block | None = None
        self._deadline: float | None = None
        self._patience_s: float | None = None
        self._marked: list[PadCursor] = []
        self._marks: list[Mark] = []
        self._output: list[bytes] = []
        self._events: list[Event] = []
        if self._pending is not None:
            # Alice may have confirmed it, refilled her lane and gone on: her hello must be readable
            alice, bob = self._pending.refill_alice, self._pending.refill_bob
            authenticator.refill(bytes(alice.view()), bytes(bob.view()))

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
        return self._contract

    @property
    def frame_limit(self) -> int:
        """Bytes of the largest frame that may come now; a longer one is not worth reading."""
        large = self._state is _State.BLOCK or (self._state is _State.IDLE and self._role is Role.ALICE)
        return frame_limit(self._contract) if large and self._contract is not None else FIRST_FRAME_LIMIT

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
        self._state = _State.HELLO
        self._nonces[self._role] = self._entropy.draw(16)
        if self._role is Role.ALICE:
            assert self._contract is not None
            self._agree(self._contract)
            self._check_reserve()
            self._authenticator.begin(self._hello_context(), jump=True)
            self._send_hello()

    def begin_block(self, detections: Detections, now: float) -> None:
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

    def receive(self, frame: bytes, now: float) -> None:
        """Take one whole frame from the peer."""
        if self._state is not _State.ENDED:
            self._guard(lambda: self._receive(frame), now)

    def tick(self, now: float) -> None:
        """Let time pass."""
        if self._deadline is not None and now >= self._deadline:
            waited = self._block.step if self._block is not None else self._state
            self._end(f"the peer has been silent for {self._patience_s:g} s; {waited} was due")

    def close(self, reason: str) -> None:
        """End the session from this side; a block under way is dropped, a pending one stays pending."""
        if self._state is not _State.ENDED:
            self._end(reason, told="closed by the other end")

    # ---------------------------------------------------------------- hello

    def _receive(self, frame: bytes) -> None:
        if len(frame) > self.frame_limit:
            raise ProtocolError(f"a frame of {len(frame)} bytes came, at most {self.frame_limit} are allowed now")
        message = decode_message(frame)
        if isinstance(message, Abort):
            printable = "".join(c if c.isprintable() else "?" for c in message.reason)
            self._end(f"the peer ended the session: {printable}", tell=False)
        elif self._state is _State.HELLO and isinstance(message, Hello):
            self._on_hello(message, frame)
        elif self._state is _State.HELLO_TAG and isinstance(message, Tag):
            self._on_hello_tag(message)
        elif self._state is _State.WELCOME and isinstance(message, Welcome):
            self._on_welcome(message, frame)
        elif self._state is _State.WELCOME_TAG and isinstance(message, Tag):
            self._authenticator.check(message.value)
            self._on_acquainted()
        elif self._state is _State.IDLE and self._role is Role.ALICE and isinstance(message, Detect):
            self._begin_block()
            self._pass_on(message, frame)
        elif self._state is _State.BLOCK:
            self._pass_on(message, frame)
        else:
            raise ProtocolError(f"{type(message).__name__} came while {self._state} was due")

    def _on_hello(self, hello: Hello, frame: bytes) -> None:
        if hello.version != VERSION:
            raise ProtocolError(f"the peer speaks version {hello.version} of the protocol, this end {VERSION}")
        if hello.role != self._role.peer:
            raise ProtocolError(
                f"the peer calls itself {hello.role!r}; this end is {self._role}, it must be the other"
            )
        if hello.link_id != self._link_id:
            raise ProtocolError(f"the peer calls the link {hello.link_id!r}, here it is {self._link_id!r}")
        expected = self._nonces[self._role] if self._role is Role.ALICE else b""
        if hello.peer_nonce != expected or (hello.contract is None) != (self._role is Role.ALICE):
            raise ProtocolError("the peer's hello does not answer this session")
        self._nonces[self._role.peer] = hello.nonce
        if self._role is Role.BOB:
            self._check_reserve()
            self._authenticator.begin(self._hello_context(), jump=True)
        self._authenticator.absorb(self._role.peer, frame)
        self._peer_hello = hello
        self._state = _State.HELLO_TAG

    def _on_hello_tag(self, tag: Tag) -> None:
        hello = self._peer_hello
        assert hello is not None
        self._authenticator.check(tag.value)
        if self._role is Role.ALICE:
            self.send(Welcome(peer_nonce=hello.nonce))
            self.seal()
            self._on_acquainted()
        else:
            assert hello.contract is not None
            self._agree(hello.contract)
            self._send_hello()
            self._state = _State.WELCOME

    def _on_welcome(self, welcome: Welcome, frame: bytes) -> None:
        if welcome.peer_nonce != self._nonces[self._role]:
            raise ProtocolError("the peer's welcome does not answer this session")
        self._authenticator.absorb(self._role.peer, frame)
        self._state = _State.WELCOME_TAG

    def _on_acquainted(self) -> None:
        """The peer is the paired one and is here now: only from here on its word changes anything."""
        hello = self._peer_hello
        assert hello is not None
        self._settle(hello)
        self._next_block = BlockNumber(max(self._next_block, hello.next_block))
        self._next_slot = max(self._next_slot, hello.next_slot)
        self._state = _State.IDLE
        self._events.append(Ready(self._next_slot))

    def _agree(self, contract: Contract) -> None:
        check_contract(contract)
        if contract.link_id != self._link_id:
            raise ProtocolError(f"the contract is for link {contract.link_id!r}, this is {self._link_id!r}")
        refusal = self._policy.refusal(contract)
        if refusal is not None:
            raise ProtocolError(f"contract refused: {refusal}")
        self._contract = contract

    def _settle(self, hello: Hello) -> None:
        """Bob: a pending block stands if and only if Alice has confirmed it."""
        pending, self._pending = self._pending, None
        expected = self._last_confirmed
        if pending is not None and hello.last_confirmed == pending.block.number:
            expected = pending.block.number
        if self._role is Role.BOB and hello.last_confirmed != expected:
            raise ProtocolError(
                f"the peer last confirmed block {hello.last_confirmed}, this end block {expected}: "
                "one end was restored from an old copy; pair the link again"
            )
        if pending is None:
            return
        if expected != pending.block.number:
            self._marks.append(Burn(pending.block.number))
            raise ProtocolError(f"the peer does not hold block {pending.block.number}: it was burnt; connect again")
        self._marks.append(Confirm(expected))
        self._marked = []  # cursors may stand on the words that the block brings: say them again after it
        self._last_confirmed = expected
        self._epsilon += pending.own_epsilon

    def _send_hello(self) -> None:
        alice = self._role is Role.ALICE
        self.send(
            Hello(
                version=VERSION,
                role=self._role,
                link_id=self._link_id,
                nonce=self._nonces[self._role],
                peer_nonce=b"" if alice else self._nonces[Role.ALICE],
                next_block=self._next_block,
                next_slot=self._next_slot,
                last_confirmed=self._last_confirmed,
                contract=self._contract if alice else None,
            )
        )
        self.seal()

    def _hello_context(self) -> bytes:
        return b"hello" + self._link_id.encode()

    # ---------------------------------------------------------------- blocks

    def _begin(self, detections: Detections) -> None:
        assert self._contract is not None
        seen, limit = len(detections.slots), self._contract.max_detections
        if detections.pulses != self._contract.pulses:
            raise ProtocolError(f"a block of {detections.pulses} pulses, the contract says {self._contract.pulses}")
        if seen > limit:
            raise ProtocolError(
                f"{seen} detections in a block, the contract allows {limit}: are detectors blinded?"
            )
        self._begin_block().announce(detections)

    def _begin_block(self) -> Block:
        assert self._contract is not None
        self._check_reserve()
        number = self._next_block
        self._next_block = BlockNumber(number + 1)
        self._marks.append(Usage(self._next_block, self._next_slot))
        self._authenticator.begin(self._block_context(number), jump=False)
        self._block = Block(
            self._role,
            number,
            line=self,
            contract=self._contract,
            authenticator=self._authenticator,
            entropy=self._entropy,
            next_slot=self._next_slot,
            earlier_epsilon=self._epsilon,
        )
        self._state = _State.BLOCK
        self._events.append(BlockBegun(number))
        return self._block

    def _check_reserve(self) -> None:
        left, reserve = self._authenticator.words_left(), self._policy.reserve_words
        if left is not None and left < WORDS_PER_BLOCK + reserve:
            raise KeyExhausted(f"{left} pad words are left, the reserve is {reserve}: pair the link again")

    def _block_context(self, number: BlockNumber) -> bytes:
        nonces = self._nonces[Role.ALICE] + self._nonces[Role.BOB]
        assert self._contract is not None
        return b"block" + nonces + number.to_bytes(8, "little") + encode_contract(self._contract)

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
                self._last_confirmed = block.number
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

    def mark(self, mark: Mark) -> None:
        """Queue a mark."""
        self._marks.append(mark)

    def emit(self, event: Event) -> None:
        """Queue an event."""
        self._events.append(event)

    # ---------------------------------------------------------------- ends

    def _guard(self, step: Callable[[], None], now: float) -> None:
        try:
            step()
        except PoliqiError as error:
            self._end(str(error))
        except Exception:
            self._end("an internal error", told="an internal error at the other end")
            raise
        self._after(now)

    def _end(self, reason: str, *, tell: bool = True, told: str | None = None) -> None:
        """End the session. A peer that has not shown yet that it is the paired one learns nothing of the reason."""
        if tell:
            known = self._state in (_State.IDLE, _State.BLOCK)
            text = told or (reason if known else "refused")
            self._output.append(encode_message(Abort(reason=text[:_REASON_LIMIT])))
        block, self._block = self._block, None
        report = block.report() if block is not None else None
        number = block.number if block is not None else None
        self._state, self._deadline = _State.ENDED, None
        self._events.append(Aborted(reason, True, number, report))
