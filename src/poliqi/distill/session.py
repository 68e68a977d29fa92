"""A session of two parties, without IO: hello, contract, then block after block (docs/spec/session.md).

The owner hands in frames, time and what its device saw, and takes out, in this order: marks, which must be
durable in one transaction before anything else happens; output, the frames to send; events.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import PoliqiError, ProtocolError
from poliqi.base.ids import BlockNumber, LeakModel, LinkId, Origin, Role
from poliqi.base.secret import Entropy
from poliqi.distill.authenticate import TAGS_PER_BLOCK, Authenticator
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
    HoldPending,
    Mark,
    PadCursor,
    Ready,
    Usage,
)
from poliqi.link.device import Detections

__all__ = ["History", "Policy", "Session"]

_REASON_LIMIT: Final = 300


@dataclass(frozen=True, slots=True)
class History:
    """What the state on disk says of a link: the next block number, the last confirmed, one pending (Bob)."""

    next_block: BlockNumber
    last_confirmed: BlockNumber
    pending: HoldPending | None


@dataclass(frozen=True, slots=True)
class Policy:
    """What this end accepts in a peer's contract; nothing outside it is ever agreed to."""

    origins: frozenset[Origin] = frozenset({Origin.PHOTONS})
    leak_models: frozenset[LeakModel] = frozenset({LeakModel.BOTH_DIRECTIONS})
    largest_epsilon_sec: float = 1e-9
    largest_epsilon_cor: float = 1e-9
    most_detections: int = 1 << 28
    reserve_words: int = 8

    def refusal(self, contract: Contract) -> str | None:
        """Why this policy refuses `contract`, or None."""
        c = contract
        if c.origin not in self.origins:
            return f"the contract is for {c.origin} light; policy allows {', '.join(sorted(self.origins))}"
        if c.leak_model not in self.leak_models:
            return f"leak model {c.leak_model} is not allowed; policy allows {', '.join(sorted(self.leak_models))}"
        if c.epsilon_sec > self.largest_epsilon_sec:
            return f"epsilon_sec {c.epsilon_sec:g} exceeds policy's {self.largest_epsilon_sec:g}"
        if c.epsilon_cor > self.largest_epsilon_cor:
            return f"epsilon_cor {c.epsilon_cor:g} exceeds policy's {self.largest_epsilon_cor:g}"
        if c.max_detections > self.most_detections:
            return f"{c.max_detections} detections a block exceed policy's {self.most_detections}"
        return None


class _State(StrEnum):
    NEW = "start"
    HELLO = "the peer's hello"
    HELLO_TAG = "the tag of the peer's hello"
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
    ) -> None:
        if (contract is None) == (role is Role.ALICE):
            raise ValueError("Alice proposes the contract; Bob is given none")
        self._role: Final = role
        self._link_id: Final = link_id
        self._authenticator: Final = authenticator
        self._entropy: Final = entropy
        self._policy: Final = policy or Policy()
        self._timeout_s: Final = timeout_s
        self._contract = contract
        self._next_block = history.next_block
        self._last_confirmed = history.last_confirmed
        self._pending = history.pending
        self._state = _State.NEW
        self._nonces: dict[Role, bytes] = {}
        self._peer_hello: Hello | None = None
        self._block: Block | None = None
        self._next_slot = 0
        self._deadline: float | None = None
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
        marks, self._marks = moved + self._marks, []
        return marks

    def take_output(self) -> list[bytes]:
        """Frames for the peer, in order."""
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
        ready = self._state in (_State.IDLE, _State.BLOCK) and self._contract is not None
        return frame_limit(self._contract) if ready and self._contract is not None else FIRST_FRAME_LIMIT

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
            self._authenticator.begin(self._hello_context(), 1, jump=True)
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
            self._end(f"the peer has been silent for {self._timeout_s:g} s; {waited} was due")

    def close(self, reason: str) -> None:
        """End the session from this side; a block under way is dropped, a pending one stays pending."""
        if self._state is not _State.ENDED:
            self._end(reason)

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
            self._authenticator.begin(self._hello_context(), 1, jump=True)
        self._authenticator.absorb(self._role.peer, frame)
        self._peer_hello = hello
        self._state = _State.HELLO_TAG

    def _on_hello_tag(self, tag: Tag) -> None:
        hello = self._peer_hello
        assert hello is not None
        self._authenticator.check(tag.value)
        self._settle(hello)
        self._next_block = BlockNumber(max(self._next_block, hello.next_block))
        contract = hello.contract if self._role is Role.BOB else self._contract
        assert contract is not None
        self._agree(contract)
        if self._role is Role.BOB:
            self._send_hello()
        self._state = _State.IDLE
        self._events.append(Ready())

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
        if self._pending is not None:
            number = self._pending.block.number
            if hello.last_confirmed == number:
                alice, bob = self._pending.refill_alice, self._pending.refill_bob
                self._authenticator.refill(bytes(alice.view()), bytes(bob.view()))
                self._marks.append(Confirm(number))
                self._last_confirmed = number
            else:
                self._marks.append(Burn(number))
            self._pending = None
        if hello.last_confirmed != self._last_confirmed:
            raise ProtocolError(
                f"the peer last confirmed block {hello.last_confirmed}, this end block {self._last_confirmed}: "
                "one end was restored from an old copy; pair the link again"
            )

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
        left, reserve = self._authenticator.words_left(), self._policy.reserve_words
        if left is not None and left < TAGS_PER_BLOCK + reserve:
            raise ProtocolError(f"{left} pad words are left, the reserve is {reserve}: pair the link again")
        number = self._next_block
        self._next_block = BlockNumber(number + 1)
        self._marks.append(Usage(self._next_block))
        self._authenticator.begin(self._block_context(number), TAGS_PER_BLOCK, jump=False)
        self._block = Block(
            self._role,
            number,
            line=self,
            contract=self._contract,
            authenticator=self._authenticator,
            entropy=self._entropy,
            next_slot=self._next_slot,
        )
        self._state = _State.BLOCK
        self._events.append(BlockBegun(number))
        return self._block

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
            if block.confirmed and self._authenticator.one_block_only:
                self._end("the first block has paired the link: connect again", tell=False)
        waits_for_peer = self._state in (_State.HELLO, _State.HELLO_TAG) or (
            self._block is not None and self._block.step is not Step.STATES
        )
        self._deadline = now + self._timeout_s if waits_for_peer else None

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
        self._after(now)

    def _end(self, reason: str, *, tell: bool = True) -> None:
        if tell:
            self._output.append(encode_message(Abort(reason=reason[:_REASON_LIMIT])))
        block, self._block = self._block, None
        report = block.report() if block is not None else None
        number = block.number if block is not None else None
        self._state, self._deadline = _State.ENDED, None
        self._events.append(Aborted(reason, True, number, report))
