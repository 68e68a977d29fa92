"""What one end of a link must never lose or use twice: pads, counters, the block in hand.

`apply` makes the marks of a session durable in one transaction, before any byte leaves; a confirmed block then
moves into the key file at once, or waits until `deliver_one` has brought it to a site. A crash between any two
steps is finished at the next start (docs/spec/state.md has the table). Words that were used are deleted and
overwritten, as far as a file system does what it is told.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final, assert_never

from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey

from poliqi.base.errors import ConfigError, StoreError
from poliqi.base.ids import BlockNumber, Origin, Role
from poliqi.base.secret import SecretBytes
from poliqi.distill.authenticate import Lane
from poliqi.distill.outcome import Burn, Confirm, HoldPending, Mark, PadCursor, SecretBlock, Usage
from poliqi.distill.policy import History
from poliqi.edge import outbox
from poliqi.edge.ingest_sink import SITE_PREFIX
from poliqi.edge.keyfile import KeyFile
from poliqi.edge.keysink import KeySink, Postponed
from poliqi.edge.linkrecord import LinkStatus, read_link, read_signing_keys, read_status
from poliqi.edge.pads import advance, check_lane, drop_promised, extend_lane, read_lane
from poliqi.edge.statefile import StateFile
from poliqi.edge.stateschema import row_digest

__all__ = ["LinkStore"]


class LinkStore:
    """The open state of one end of one link, held by this process alone."""

    def __init__(self, folder: Path) -> None:
        self._state: Final = StateFile(folder)
        self._keys: KeyFile | None = None
        self._destination: str | None = None
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
        if row_digest(number, origin, epsilon, own, proof, leak_bits, secret, alice, bob) != digest:
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
            (*row, secret, alice, bob, row_digest(*row, secret, alice, bob)),
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
            outbox.put(self._state, pending.block, self._destination)
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
        self._finish_files(but=str(path))
        with self._state.transaction():
            outbox.claim(self._state, str(path))
        self._open_keys(path)
        assert self._keys is not None
        (last,) = self._state.run("SELECT last_confirmed FROM link")[0]
        if self._keys.last_number > last:
            raise StoreError(
                f"key file {path} ends with block {self._keys.last_number}, this state with block {last}: "
                "the state is an old copy; pair the link again"
            )
        self._deliver()

    def deliver_later(self) -> None:
        """Keep confirmed keys for `deliver_one`, after finishing what a crash left half delivered to a key file."""
        self._finish_files(but=None)

    def _finish_files(self, but: str | None) -> None:
        begun = outbox.destinations(self._state)
        sites = [name.removeprefix(SITE_PREFIX) for name in begun if name.startswith(SITE_PREFIX)]
        if sites and but is not None:
            raise ConfigError(
                f"state {self._state.folder}: blocks are on their way to site {', '.join(sites)}, which may hold "
                "them already: run with --site until they are delivered, then with --key"
            )
        for name in begun:
            if name != but and not name.startswith(SITE_PREFIX):
                try:
                    self._open_keys(Path(name))
                    self._deliver()
                finally:
                    self._close_keys()

    def _open_keys(self, path: Path) -> None:
        recovering = outbox.first_number(self._state, str(path))
        self._keys = KeyFile(path, self.link.link_id, recovering=recovering)
        self._destination = str(path)

    def _close_keys(self) -> None:
        keys, self._keys, self._destination = self._keys, None, None
        if keys is not None:
            keys.close()

    def _deliver(self) -> None:
        if self._keys is None:
            return
        while found := outbox.next_block(self._state, self._destination):
            block, _ = found
            self._keys.append(block)
            self._delivered(block.number)

    def _delivered(self, number: BlockNumber) -> None:
        with self._state.transaction():
            outbox.remove(self._state, number)
        self._state.fold()

    def deliver_one(self, sink: KeySink) -> BlockNumber | Postponed | None:
        """Bring the oldest block that waits to `sink`: its number, why not now, or None where none waits.

        May wait for the sink; other threads may use the store meanwhile.
        """
        found = outbox.next_block(self._state)
        if found is None:
            return None
        block, bound = found
        try:
            place = sink.reach()
            if isinstance(place, Postponed):
                return place
            if bound is None:
                with self._state.transaction():
                    outbox.claim(self._state, place)
            elif bound != place:
                return Postponed(
                    f"block {block.number} is on its way to {bound}, but this is {place}", lasting=True
                )
            self._destination = place
            postponed = sink.append(block)
        finally:
            block.key.close()
        if postponed is not None:
            return postponed
        self._delivered(block.number)
        return block.number

    @property
    def waiting_bytes(self) -> int:
        """Bytes of confirmed key that are not delivered yet."""
        return outbox.waiting_bytes(self._state)

    def close(self) -> None:
        """Let go of the key file and the state."""
        self._close_keys()
        self._state.close()
