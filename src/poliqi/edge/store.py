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
from pathlib import Path
from typing import Final, assert_never

from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey

from poliqi.base.errors import StoreError
from poliqi.base.ids import BlockNumber, Origin, Role
from poliqi.base.secret import SecretBytes
from poliqi.distill.authenticate import Lane
from poliqi.distill.outcome import Burn, Confirm, HoldPending, Mark, PadCursor, SecretBlock, Usage
from poliqi.distill.policy import History
from poliqi.edge.keyfile import KeyFile
from poliqi.edge.linkrecord import LinkStatus, read_link, read_signing_keys, read_status
from poliqi.edge.pads import advance, check_lane, drop_promised, extend_lane, read_lane
from poliqi.edge.statefile import StateFile

__all__ = ["LinkStore"]


class LinkStore:
    """The open state of one end of one link, held by this process alone."""

    def __init__(self, folder: Path) -> None:
        self._state: Final = StateFile(folder)
        self._keys: KeyFile | None = None
        self._held: HoldPending | None = None
        try:
            self.link: Final = read_link(self._state)
            for role in Role:
                check_lane(self._state, role)
            self._state.fold()
        except BaseException:
            self._state.close()
            raise

    # ---------------------------------------------------------------- what a session starts from

    def status(self) -> LinkStatus:
        """The figures of the moment."""
        return read_status(self._state)

    def lanes(self) -> dict[Role, Lane]:
        """Both lanes with their unused words. Raises KeyExhausted where one has none and gets none."""
        return {role: read_lane(self._state, role, self.link.capacity) for role in Role}

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
        _, number, origin, epsilon, own, proof, leak_bits, secret, alice, bob, digest = rows[0]
        if _digest(number, origin, epsilon, own, proof, leak_bits, secret, alice, bob) != digest:
            raise StoreError(f"state {self._state.path}: pending block {number} is damaged; pair the link again")
        block = SecretBlock(
            self.link.link_id, BlockNumber(number), Origin(origin), SecretBytes(secret), epsilon, proof, leak_bits
        )
        return HoldPending(block, own, SecretBytes(alice), SecretBytes(bob))

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
                advance(self._state, sender, next_word)
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
                drop_promised(self._state)
            case _:
                assert_never(mark)

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
        epsilon = None if block.epsilon is None else float(block.epsilon)
        row = (
            int(block.number),
            block.origin.value,
            epsilon,
            float(mark.own_epsilon),
            str(block.proof),
            int(block.leak_bits),
        )
        self._state.run(
            "INSERT INTO pending VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*row, secret, alice, bob, _digest(*row, secret, alice, bob)),
        )

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
                (_digest(number, pending.block.origin.value, secret), destination),
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
            if _digest(number, origin, secret) != digest:
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


def _digest(*fields: str | float | bytes | memoryview | None) -> bytes:
    """Guards a row against bit rot, nothing else."""
    digest = hashlib.sha256()
    for field in fields:
        data = field if isinstance(field, bytes | memoryview) else str(field).encode()
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.digest()
