"""The hello of a session: who the two ends are, what each holds, which contract they agree on.

Alice's Hello, Bob's Hello, Alice's Welcome, each with its tag. A recorded Hello can be replayed to Bob, so he
acts on it only once Welcome has named his own nonce (docs/spec/session.md).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Protocol

from poliqi.base.errors import ProtocolError
from poliqi.base.ids import BlockNumber, LinkId, Role
from poliqi.base.secret import Entropy
from poliqi.distill.authenticate import Authenticator
from poliqi.distill.contract import Contract, check_contract
from poliqi.distill.messages import VERSION, Hello, Message, Tag, Welcome
from poliqi.distill.outcome import Burn, Confirm, Mark
from poliqi.distill.policy import History, Policy

__all__ = ["Greeting", "GreetingStep"]


class GreetingStep(StrEnum):
    """What the hello waits for."""

    HELLO = "the peer's hello"
    HELLO_TAG = "the tag of the peer's hello"
    WELCOME = "the peer's welcome"
    WELCOME_TAG = "the tag of the peer's welcome"
    DONE = "nothing"


class Line(Protocol):
    """What a hello needs of its session."""

    def send(self, message: Message) -> None: ...
    def seal(self) -> None: ...
    def check(self, tag: bytes) -> None: ...
    def mark(self, mark: Mark) -> None: ...


class Greeting:
    """One end's hello. Once `done`, the figures below are those that both ends go on from."""

    def __init__(
        self,
        role: Role,
        link_id: LinkId,
        *,
        line: Line,
        authenticator: Authenticator,
        entropy: Entropy,
        history: History,
        policy: Policy,
        contract: Contract | None,
    ) -> None:
        self.step = GreetingStep.HELLO
        self.contract = contract
        self.next_block = history.next_block
        self.next_slot = history.next_slot
        self.last_confirmed = history.last_confirmed
        self.epsilon = history.epsilon
        self.nonces: Final[dict[Role, bytes]] = {role: entropy.draw(16)}
        self._role: Final = role
        self._link_id: Final = link_id
        self._line: Final = line
        self._authenticator: Final = authenticator
        self._policy: Final = policy
        self._pending = history.pending
        self._peer_hello: Hello | None = None
        if self._pending is not None:
            # Alice may have confirmed it, refilled her lane and gone on: her hello must be readable
            alice, bob = self._pending.refill_alice, self._pending.refill_bob
            authenticator.refill(bytes(alice.view()), bytes(bob.view()))

    @property
    def done(self) -> bool:
        return self.step is GreetingStep.DONE

    def start(self) -> None:
        """Alice speaks first; Bob listens."""
        if self._role is Role.ALICE:
            assert self.contract is not None
            self._agree(self.contract)
            self._begin()
            self._send_hello()

    def receive(self, message: Message, frame: bytes) -> None:
        """Take one message; ProtocolError where it is not the one that is due."""
        match self.step, message:
            case GreetingStep.HELLO, Hello():
                self._on_hello(message, frame)
            case GreetingStep.HELLO_TAG, Tag(value=tag):
                self._line.check(tag)
                self._on_hello_verified()
            case GreetingStep.WELCOME, Welcome():
                self._on_welcome(message, frame)
            case GreetingStep.WELCOME_TAG, Tag(value=tag):
                self._line.check(tag)
                self._on_acquainted()
            case _:
                raise ProtocolError(f"{type(message).__name__} came while {self.step} was due")

    def _begin(self) -> None:
        self._policy.check_reserve(self._authenticator.words_left())
        self._authenticator.begin(b"hello" + self._link_id.encode(), jump=True)

    def _on_hello(self, hello: Hello, frame: bytes) -> None:
        if hello.version != VERSION:
            raise ProtocolError(f"the peer speaks version {hello.version} of the protocol, this end {VERSION}")
        if hello.role != self._role.peer:
            raise ProtocolError(
                f"the peer calls itself {hello.role!r}; this end is {self._role}, it must be the other"
            )
        if hello.link_id != self._link_id:
            raise ProtocolError(f"the peer calls the link {hello.link_id!r}, here it is {self._link_id!r}")
        expected = self.nonces[self._role] if self._role is Role.ALICE else b""
        if hello.peer_nonce != expected or (hello.contract is None) != (self._role is Role.ALICE):
            raise ProtocolError("the peer's hello does not answer this session")
        self.nonces[self._role.peer] = hello.nonce
        if self._role is Role.BOB:
            self._begin()
        self._authenticator.absorb(self._role.peer, frame)
        self._peer_hello = hello
        self.step = GreetingStep.HELLO_TAG

    def _on_hello_verified(self) -> None:
        hello = self._peer_hello
        assert hello is not None
        if self._role is Role.ALICE:
            self._line.send(Welcome(peer_nonce=hello.nonce))
            self._line.seal()
            self._on_acquainted()
        else:
            assert hello.contract is not None
            self._agree(hello.contract)
            self._send_hello()
            self.step = GreetingStep.WELCOME

    def _on_welcome(self, welcome: Welcome, frame: bytes) -> None:
        if welcome.peer_nonce != self.nonces[self._role]:
            raise ProtocolError("the peer's welcome does not answer this session")
        self._authenticator.absorb(self._role.peer, frame)
        self.step = GreetingStep.WELCOME_TAG

    def _on_acquainted(self) -> None:
        """The peer is the paired one and is here now: only from here on its word changes anything."""
        hello = self._peer_hello
        assert hello is not None
        self._settle(hello)
        self.next_block = BlockNumber(max(self.next_block, hello.next_block))
        self.next_slot = max(self.next_slot, hello.next_slot)
        self.step = GreetingStep.DONE

    def _agree(self, contract: Contract) -> None:
        check_contract(contract)
        if contract.link_id != self._link_id:
            raise ProtocolError(f"the contract is for link {contract.link_id!r}, this is {self._link_id!r}")
        refusal = self._policy.refusal(contract)
        if refusal is not None:
            raise ProtocolError(f"contract refused: {refusal}")
        self.contract = contract

    def _settle(self, hello: Hello) -> None:
        """Bob: a pending block stands if and only if Alice has confirmed it."""
        pending, self._pending = self._pending, None
        expected = self.last_confirmed
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
            self._line.mark(Burn(pending.block.number))
            raise ProtocolError(f"the peer does not hold block {pending.block.number}: it was burnt; connect again")
        self._line.mark(Confirm(expected))
        self.last_confirmed = expected
        self.epsilon += pending.own_epsilon

    def _send_hello(self) -> None:
        alice = self._role is Role.ALICE
        self._line.send(
            Hello(
                version=VERSION,
                role=self._role,
                link_id=self._link_id,
                nonce=self.nonces[self._role],
                peer_nonce=b"" if alice else self.nonces[Role.ALICE],
                next_block=self.next_block,
                next_slot=self.next_slot,
                last_confirmed=self.last_confirmed,
                contract=self.contract if alice else None,
            )
        )
        self._line.seal()
