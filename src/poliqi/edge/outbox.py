"""Confirmed blocks that wait in a state until a key file or a site holds them.

Functions on an open `StateFile`; those that change it run inside their caller's transaction. A block whose delivery
may have begun bears its destination, and goes nowhere else: the same key in two places could be used twice.
"""

from __future__ import annotations

from poliqi.base.errors import StoreError
from poliqi.base.ids import BlockNumber, Origin
from poliqi.base.secret import SecretBytes
from poliqi.distill.outcome import SecretBlock
from poliqi.edge.keysink import ConfirmedBlock
from poliqi.edge.statefile import StateFile
from poliqi.edge.stateschema import row_digest

__all__ = ["claim", "destinations", "first_number", "next_block", "put", "remove", "waiting_bytes"]


def put(state: StateFile, block: SecretBlock, destination: str | None) -> None:
    """Keep a confirmed block until it is delivered."""
    number, origin, proof, secret = int(block.number), block.origin.value, str(block.proof), block.key.view()
    epsilon = None if block.epsilon is None else float(block.epsilon)
    digest = row_digest(number, origin, epsilon, proof, secret)
    state.run(
        "INSERT INTO confirmed (number, origin, epsilon, proof, secret, digest, destination)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (number, origin, epsilon, proof, secret, digest, destination),
    )


def next_block(state: StateFile, destination: str | None = None) -> tuple[ConfirmedBlock, str | None] | None:
    """The oldest block, of those for `destination` where one is given, and where it goes. Raises StoreError."""
    rows = state.run(
        "SELECT number, origin, epsilon, proof, secret, digest, destination FROM confirmed"
        " WHERE ? IS NULL OR destination = ? ORDER BY number LIMIT 1",
        (destination, destination),
    )
    if not rows:
        return None
    number, origin, epsilon, proof, secret, digest, bound = rows[0]
    if row_digest(number, origin, epsilon, proof, secret) != digest:
        raise StoreError(f"state {state.path}: confirmed block {number} is damaged; pair the link again")
    return ConfirmedBlock(BlockNumber(number), Origin(origin), epsilon, proof, SecretBytes(secret)), bound


def claim(state: StateFile, destination: str) -> None:
    """What has no destination yet goes there."""
    state.run("UPDATE confirmed SET destination = ? WHERE destination IS NULL", (destination,))


def remove(state: StateFile, number: BlockNumber) -> None:
    """The block is delivered."""
    state.run("DELETE FROM confirmed WHERE number = ?", (number,))


def destinations(state: StateFile) -> list[str]:
    """Where blocks that wait are bound to go."""
    rows = state.run("SELECT destination FROM confirmed WHERE destination NOT NULL GROUP BY 1 ORDER BY min(number)")
    return [row[0] for row in rows]


def first_number(state: StateFile, destination: str) -> BlockNumber | None:
    """Number of the oldest block that goes there."""
    [(number,)] = state.run("SELECT min(number) FROM confirmed WHERE destination = ?", (destination,))
    return None if number is None else BlockNumber(number)


def waiting_bytes(state: StateFile) -> int:
    """Bytes of key that wait."""
    [(count,)] = state.run("SELECT coalesce(sum(length(secret)), 0) FROM confirmed")
    return int(count)
