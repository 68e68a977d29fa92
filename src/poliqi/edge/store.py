"""What one end of a link must never lose or use twice: pads, counters, the block in hand.

`apply` makes the marks of a session durable in one transaction, before any byte leaves; a confirmed
block then moves into the key file and out of here. A crash between any two steps is finished at the
next start (docs/spec/state.md has the table). Words that were used are deleted and overwritten, as far
as a file system does what it is told.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, assert_never

from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey

from poliqi.base.errors import ConfigError, KeyExhausted, StoreError
from poliqi.base.ids import BlockNumber, LinkId, Origin, Role
from poliqi.base.secret import SecretBytes
from poliqi.distill.authenticate import WORD, WORDS_PER_BLOCK, Lane
from poliqi.distill.outcome import Burn, Confirm, HoldPending, Mark, PadCursor, SecretBlock, Usage
from poliqi.distill.session import History
from poliqi.edge.keyfile import KeyFile
from poliqi.edge.statefile import StateFile

__all__ = ["LinkRecord", "LinkStatus", "LinkStore", "extend_lane", "read_link", "read_signing_keys", "read_status"]


@dataclass(frozen=True, slots=True)
class LinkRecord:
    """How a link was paired; fixed for the life of its state.

    `light` is PHOTONS or SIMULATED; a replay counts as simulated. `bootstrap` says how the first trust
    came. `reserve` and `capacity` are words of 16 bytes in each lane.
    """

    link_id: LinkId
    role: Role
    light: Origin
    bootstrap: str
    pair_id: str
    reserve: int
    capacity: int

    def check_origin(self, origin: Origin) -> None:
        """Refuse light of the wrong kind: simulated keys never mix with real ones (ConfigError)."""
        real = origin is Origin.PHOTONS
        if real != (self.light is Origin.PHOTONS):
            made, wanted = ("simulated light", "real photons") if real else ("real photons", "simulated light")
            raise ConfigError(
                f"link {self.link_id}: its state was made for {made} and cannot be used with {wanted}"
            )


@dataclass(frozen=True, slots=True)
class LinkStatus:
    """Figures of a state, none of them secret. `words_left` and `used_words` count per lane.

    `epsilon` holds for all keys of the link together: it is the last block's, whose ledger counts every
    earlier block as a possible source of its pads. None where the light is not real.
    """

    link: LinkRecord
    words_left: dict[Role, int]
    used_words: dict[Role, int]
    next_block: BlockNumber
    next_slot: int
    last_confirmed: BlockNumber
    pending: BlockNumber
    undelivered: int
    blocks: int
    key_bits: int
    own_epsilons: float
    epsilon: float | None

    @property
    def has_pads(self) -> bool:
        """Whether both lanes were ever filled; not so on a link paired by public keys before its first block."""
        return all(
            left + used > 0 for left, used in zip(self.words_left.values(), self.used_words.values(), strict=True)
        )

    @property
    def below_reserve(self) -> bool:
        """Whether the pad is too short to begin another block."""
        return self.has_pads and min(self.words_left.values()) < self.link.reserve + WORDS_PER_BLOCK


class LinkStore:
    """The open state of one end of one link, held by this process alone."""

    def __init__(self, folder: Path) -> None:
        self._state: Final = StateFile(folder)
        self._keys: KeyFile | None = None
        self._held: HoldPending | None = None
        try:
            self.link: Final = read_link(self._state)
            for role in Role:
                self._check_lane(role)
            self._state.fold()
        except BaseException:
            self._state.close()
            raise

    # ---------------------------------------------------------------- what a session starts from

    def status(self) -> LinkStatus:
        """The figures of the moment."""
        return read_status(self._state)

    def lanes(self) -> dict[Role, Lane]:
        """Both lanes with their unused words; those of a pending block are not among them.

        Raises KeyExhausted where a lane has none and no pending block may bring some.
        """
        return {role: self._lane(role) for role in Role}

    def signing_keys(self) -> tuple[MLDSA65PrivateKey, MLDSA65PublicKey | None]:
        """This end's ML-DSA-65 key and the one it trusts. Raises ConfigError on a link paired by hand."""
        return read_signing_keys(self._state)

    def history(self) -> History:
        """Where the counters stand, and the pending block if there is one."""
        s = self.status()
        return History(s.next_block, s.next_slot, s.last_confirmed, s.own_epsilons, self._pending())

    def _pending(self) -> HoldPending | None:
        rows = self._state.run("SELECT * FROM pending")
        if not rows:
            return None
        _, number, origin, secret, epsilon, own, proof, leak_bits, alice, bob, digest = rows[0]
        if _digest(number, secret, alice, bob) != digest:
            raise StoreError(f"state {self._state.path}: pending block {number} is damaged; pair the link again")
        block = SecretBlock(
            self.link.link_id, BlockNumber(number), Origin(origin), SecretBytes(secret), epsilon, proof, leak_bits
        )
        return HoldPending(block, own, SecretBytes(alice), SecretBytes(bob))

    def _cursor(self, sender: Role) -> tuple[int, int]:
        rows = self._state.run("SELECT next_word, end_word FROM lane WHERE sender = ?", (sender.value,))
        return (int(rows[0][0]), int(rows[0][1])) if rows else (0, 0)

    def _lane(self, sender: Role) -> Lane:
        next_word, end_word = self._cursor(sender)
        if next_word >= end_word and not self._promised(sender):
            raise KeyExhausted(f"link {self.link.link_id}: the pad of {sender} is used up; pair the link again")
        rows = self._state.run("SELECT value FROM pad WHERE sender = ? ORDER BY word", (sender.value,))
        return Lane(
            sender,
            next_word=next_word,
            first_word=min(next_word, end_word),
            words=SecretBytes(b"".join(row[0] for row in rows)),
            capacity=self.link.capacity,
        )

    def _promised(self, sender: Role) -> int:
        """Words that the pending block would bring: Alice may have them already, so they may be in use."""
        rows = self._state.run(f"SELECT length(refill_{sender.value}) FROM pending")  # noqa: S608 (a column's name)
        return int(rows[0][0]) // WORD if rows else 0

    def _check_lane(self, sender: Role) -> None:
        """The words held are exactly the unused ones: a cursor cannot have gone back."""
        next_word, end_word = self._cursor(sender)
        expected = set(range(next_word, end_word))
        rows = self._state.run("SELECT word, length(value) FROM pad WHERE sender = ?", (sender.value,))
        if {row[0] for row in rows} != expected or any(row[1] != WORD for row in rows):
            raise StoreError(
                f"state {self._state.path}: the pad of {sender} holds other words than {next_word} to {end_word}: "
                "it is damaged or was edited; pair the link again"
            )

    # ---------------------------------------------------------------- marks

    def apply(self, marks: Iterable[Mark]) -> None:
        """Make all of `marks` durable, or none of them; then deliver what was confirmed. Raises StoreError."""
        listed = list(marks)
        if not listed:
            return
        with self._state.transaction():
            for mark in listed:
                self._write(mark)
        if any(isinstance(mark, Usage | Confirm | Burn) for mark in listed):
            self._state.fold()
        for mark in listed:
            if isinstance(mark, HoldPending):
                self._held = mark
            elif isinstance(mark, Confirm | Burn):
                self._forget()
        self._deliver()

    def _write(self, mark: Mark) -> None:
        match mark:
            case PadCursor(sender, next_word):
                self._advance(sender, next_word)
            case Usage(next_block, next_slot):
                self._state.run(
                    "UPDATE link SET next_block = max(next_block, ?), next_slot = max(next_slot, ?)",
                    (next_block, next_slot),
                )
            case HoldPending():
                self._hold(mark)
            case Confirm(number):
                self._confirm(number)
            case Burn(number):
                self._expect_pending(number)
                self._state.run("DELETE FROM pending")
                self._state.run("UPDATE lane SET next_word = min(next_word, end_word)")
            case _:
                assert_never(mark)

    def _advance(self, sender: Role, next_word: int) -> None:
        current, end_word = self._cursor(sender)
        wanted = min(next_word, end_word + self._promised(sender))
        if wanted < current:
            raise StoreError(f"the pad of {sender} stands at word {current}; it cannot go back to {next_word}")
        self._state.run("INSERT OR IGNORE INTO lane VALUES (?, 0, 0)", (sender.value,))
        self._state.run("UPDATE lane SET next_word = ? WHERE sender = ?", (wanted, sender.value))
        self._state.run("DELETE FROM pad WHERE sender = ? AND word < ?", (sender.value, wanted))

    def _hold(self, mark: HoldPending) -> None:
        block = mark.block
        if block.link_id != self.link.link_id:
            raise StoreError(f"a block of link {block.link_id} came to the state of link {self.link.link_id}")
        self.link.check_origin(block.origin)
        (last,) = self._state.run("SELECT last_confirmed FROM link")[0]
        if block.number <= last or self._state.run("SELECT 1 FROM pending"):
            raise StoreError(
                f"block {block.number} cannot be held: another is pending, or block {last} came after it"
            )
        secret, alice, bob = block.key.view(), mark.refill_alice.view(), mark.refill_bob.view()
        digest = _digest(block.number, secret, alice, bob)
        row = (
            block.number,
            block.origin.value,
            secret,
            block.epsilon,
            mark.own_epsilon,
            block.proof,
            block.leak_bits,
            alice,
            bob,
            digest,
        )
        self._state.run("INSERT INTO pending VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)

    def _expect_pending(self, number: BlockNumber) -> None:
        if self._state.run("SELECT number FROM pending") != [(number,)]:
            raise StoreError(f"state {self._state.path}: block {number} is not the pending one")

    def _confirm(self, number: BlockNumber) -> None:
        self._expect_pending(number)
        pending = self._pending()
        assert pending is not None
        extend_lane(self._state, Role.ALICE, pending.refill_alice)
        extend_lane(self._state, Role.BOB, pending.refill_bob)
        secret, epsilon = pending.block.key.view(), pending.block.epsilon
        self._state.run(
            "UPDATE link SET last_confirmed = ?, blocks = blocks + 1, key_bits = key_bits + ?,"
            " own_epsilons = own_epsilons + ?,"
            " epsilon = CASE WHEN ? IS NULL THEN epsilon ELSE max(coalesce(epsilon, 0), ?) END",
            (number, 8 * len(secret), pending.own_epsilon, epsilon, epsilon),
        )
        if len(secret) > 0:
            destination = None if self._keys is None else str(self._keys.path)
            self._state.run(
                "INSERT INTO confirmed SELECT number, origin, secret, ?, ? FROM pending",
                (_digest(number, secret), destination),
            )
        self._state.run("DELETE FROM pending")

    def _forget(self) -> None:
        """Wipe the copies that a session handed over with its pending block."""
        if self._held is not None:
            for secret in (self._held.block.key, self._held.refill_alice, self._held.refill_bob):
                secret.close()
            self._held = None

    # ---------------------------------------------------------------- delivery

    def deliver_to(self, path: Path) -> None:
        """Deliver keys to this key file, after finishing what a crash left half delivered. Raises StoreError."""
        path = path.absolute()
        for (begun,) in self._state.run(
            "SELECT DISTINCT destination FROM confirmed WHERE destination NOT NULL AND destination != ?",
            (str(path),),
        ):
            with self._opened(Path(begun)):
                self._deliver()
        with self._state.transaction():
            self._state.run("UPDATE confirmed SET destination = ? WHERE destination IS NULL", (str(path),))
        self._keys = KeyFile(path, self.link.link_id, recovering=self._first_waiting(path))
        (last,) = self._state.run("SELECT last_confirmed FROM link")[0]
        if self._keys.last_number > last:
            raise StoreError(
                f"key file {path} ends with block {self._keys.last_number}, this state with block {last}: "
                "the state is an old copy; pair the link again"
            )
        self._deliver()

    @contextmanager
    def _opened(self, path: Path) -> Generator[None]:
        self._keys = KeyFile(path, self.link.link_id, recovering=self._first_waiting(path))
        try:
            yield
        finally:
            self._keys.close()
            self._keys = None

    def _first_waiting(self, path: Path) -> BlockNumber | None:
        [(number,)] = self._state.run("SELECT min(number) FROM confirmed WHERE destination = ?", (str(path),))
        return None if number is None else BlockNumber(number)

    def _deliver(self) -> None:
        if self._keys is None:
            return
        for number, origin, secret, digest in self._state.run(
            "SELECT number, origin, secret, digest FROM confirmed WHERE destination = ? ORDER BY number",
            (str(self._keys.path),),
        ):
            if _digest(number, secret) != digest:
                raise StoreError(
                    f"state {self._state.path}: confirmed block {number} is damaged; pair the link again"
                )
            self._keys.append(BlockNumber(number), Origin(origin), memoryview(secret))
            with self._state.transaction():
                self._state.run("DELETE FROM confirmed WHERE number = ?", (number,))
            self._state.fold()

    def close(self) -> None:
        """Let go of the key file and the state."""
        if self._keys is not None:
            self._keys.close()
            self._keys = None
        self._state.close()


def read_link(state: StateFile) -> LinkRecord:
    """The pairing of an open state. Raises ConfigError where the ends do not trust each other yet."""
    rows = state.run("SELECT link_id, role, light, bootstrap, pair_id, reserve, capacity FROM link")
    if not rows:
        raise ConfigError(
            f"state {state.folder} is not paired yet: run `poliqi link pair trust` with the peer's key"
        )
    name, role, light, bootstrap, pair_id, reserve, capacity = rows[0]
    try:
        return LinkRecord(LinkId(name), Role(role), Origin(light), bootstrap, pair_id, reserve, capacity)
    except ValueError as error:
        raise StoreError(f"state {state.path} is damaged: {error}; pair the link again") from error


def read_status(state: StateFile) -> LinkStatus:
    """The figures of an open state."""
    link = read_link(state)
    [row] = state.run(
        "SELECT next_block, next_slot, last_confirmed, blocks, key_bits, own_epsilons, epsilon FROM link"
    )
    next_block, next_slot, last_confirmed, blocks, key_bits, own_epsilons, epsilon = row
    lanes = dict.fromkeys(Role, (0, 0))
    lanes |= {Role(s): (n, e) for s, n, e in state.run("SELECT sender, next_word, end_word FROM lane")}
    [(pending,)] = state.run("SELECT coalesce(max(number), 0) FROM pending")
    [(undelivered,)] = state.run("SELECT count(*) FROM confirmed")
    return LinkStatus(
        link=link,
        words_left={role: max(end - begin, 0) for role, (begin, end) in lanes.items()},
        used_words={role: min(begin, end) for role, (begin, end) in lanes.items()},
        next_block=BlockNumber(next_block),
        next_slot=next_slot,
        last_confirmed=BlockNumber(last_confirmed),
        pending=BlockNumber(pending),
        undelivered=undelivered,
        blocks=blocks,
        key_bits=key_bits,
        own_epsilons=own_epsilons,
        epsilon=epsilon,
    )


def read_signing_keys(state: StateFile) -> tuple[MLDSA65PrivateKey, MLDSA65PublicKey | None]:
    """This end's ML-DSA-65 key and its peer's, where it has been trusted. Raises ConfigError."""
    rows = state.run("SELECT seed, peer FROM identity")
    if not rows:
        raise ConfigError(f"state {state.folder} has no ML-DSA-65 key: it was paired by a file")
    seed, peer = rows[0]
    try:
        private = MLDSA65PrivateKey.from_seed_bytes(seed)
        return private, None if peer is None else MLDSA65PublicKey.from_public_bytes(peer)
    except ValueError as error:
        raise StoreError(f"state {state.folder}: its ML-DSA-65 keys are damaged; pair the link again") from error


def extend_lane(state: StateFile, sender: Role, words: SecretBytes) -> None:
    """Append words to a lane, making it where there is none yet; inside the caller's transaction.

    Words that were used while they were only promised are not kept.
    """
    data = bytes(words.view())
    count = len(data) // WORD
    state.run("INSERT OR IGNORE INTO lane VALUES (?, 0, 0)", (sender.value,))
    [(next_word, end_word)] = state.run("SELECT next_word, end_word FROM lane WHERE sender = ?", (sender.value,))
    fresh = range(max(next_word - end_word, 0), count)
    rows = ((sender.value, end_word + i, data[WORD * i : WORD * (i + 1)]) for i in fresh)
    state.run_many("INSERT INTO pad VALUES (?, ?, ?)", rows)
    state.run("UPDATE lane SET end_word = end_word + ? WHERE sender = ?", (count, sender.value))


def _digest(number: int, *parts: bytes | memoryview) -> bytes:
    """Guards a row against bit rot, nothing else."""
    digest = hashlib.sha256(number.to_bytes(8, "little"))
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()
