"""What a session tells its owner: events to act on, and marks to write before anything is sent."""

from __future__ import annotations

from dataclasses import dataclass

from poliqi.base.ids import BlockNumber, LeakModel, LinkId, Origin, Role
from poliqi.base.secret import SecretBytes
from poliqi.distill.slots import Slots
from poliqi.proof import Counts, EpsilonLedger, KeyLength

__all__ = [
    "Aborted",
    "BlockBegun",
    "BlockConfirmed",
    "BlockReport",
    "Burn",
    "Confirm",
    "Event",
    "HoldPending",
    "Mark",
    "PadCursor",
    "Ready",
    "SecretBlock",
    "StatesWanted",
    "Usage",
]


@dataclass(frozen=True, slots=True)
class BlockReport:
    """Everything measured on one block, whether it gave a key or not.

    `leak_alice` and `leak_bob` are the bits that each end really revealed; `leak_counted` is what the
    contract's leak model counts. `efficiency` is Alice's revealed bits over n h(q), Shannon's limit.
    """

    block: BlockNumber
    origin: Origin
    pulses: int
    detections: int
    sifted_key: int
    sifted_test: int
    counts: Counts | None
    qber_key: float | None
    qber_test: float | None
    leak_alice: int
    leak_bob: int
    leak_model: LeakModel
    leak_counted: int
    leak_cap: int
    efficiency: float | None
    reconciler: str
    rounds: int
    failed_frames: int
    verified: bool
    bound: KeyLength | None
    ledger: EpsilonLedger | None
    gross_bits: int = 0
    refill_bits: int = 0
    net_bits: int = 0


@dataclass(frozen=True, slots=True)
class SecretBlock:
    """One confirmed block: the net key of both ends, and its grade.

    `epsilon` is None unless the light was real: simulated and replayed light proves nothing.
    """

    link_id: LinkId
    number: BlockNumber
    origin: Origin
    key: SecretBytes
    epsilon: float | None
    proof: str
    leak_bits: int


# ---------------------------------------------------------------- marks: durable before any byte leaves


@dataclass(frozen=True, slots=True)
class PadCursor:
    """Words of the lane that `sender` sends on are used up to `next_word` (exclusive)."""

    sender: Role
    next_word: int


@dataclass(frozen=True, slots=True)
class Usage:
    """Block numbers below `next_block` and slots below `next_slot` are used."""

    next_block: BlockNumber
    next_slot: int


@dataclass(frozen=True, slots=True)
class HoldPending:
    """Keep this block, undelivered, until the peer is known to hold it too (at most one at a time).

    `own_epsilon` is what the block itself may fail with, without the pads it was authenticated with; the sum
    over the confirmed blocks of a pairing enters the ledger of the next. It is kept for simulated light too,
    where it means nothing but keeps the ledgers of a demonstration right.
    """

    block: SecretBlock
    own_epsilon: float
    refill_alice: SecretBytes
    refill_bob: SecretBytes


@dataclass(frozen=True, slots=True)
class Confirm:
    """The pending block is held by both ends: deliver its key, append its refills to the lanes."""

    number: BlockNumber


@dataclass(frozen=True, slots=True)
class Burn:
    """The pending block is not held by the peer: destroy it."""

    number: BlockNumber


Mark = PadCursor | Usage | HoldPending | Confirm | Burn

# ---------------------------------------------------------------- events


@dataclass(frozen=True, slots=True)
class Ready:
    """The peers know each other and the contract: Bob may begin a block, of slots from `next_slot` on."""

    next_slot: int


@dataclass(frozen=True, slots=True)
class BlockBegun:
    """A block attempt has a number now."""

    number: BlockNumber


@dataclass(frozen=True, slots=True)
class StatesWanted:
    """Alice's owner answers with `provide_states(states)`, one state byte per slot."""

    slots: Slots


@dataclass(frozen=True, slots=True)
class BlockConfirmed:
    """A block gave a key: its report (the key itself is in the marks)."""

    number: BlockNumber
    report: BlockReport


@dataclass(frozen=True, slots=True)
class Aborted:
    """A block or the session ended without a key. `fatal`: the session is over, drop the connection. `is_forged`: a
    tag did not fit what was received, after one that did: whoever merely knocks can show none.
    """

    reason: str
    fatal: bool
    number: BlockNumber | None = None
    report: BlockReport | None = None
    is_forged: bool = False


Event = Ready | BlockBegun | StatesWanted | BlockConfirmed | Aborted
