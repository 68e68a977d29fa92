"""The pads of a state: each word is there until it is used, and never again.

Functions on an open `StateFile`; those that change it run inside their caller's transaction.
"""

from __future__ import annotations

from poliqi.base.errors import KeyExhausted, StoreError
from poliqi.base.ids import Role
from poliqi.base.secret import SecretBytes
from poliqi.distill.authenticate import WORD, Lane
from poliqi.edge.statefile import StateFile

__all__ = ["advance", "check_lane", "drop_promised", "extend_lane", "read_lane"]


def read_lane(state: StateFile, sender: Role, capacity: int) -> Lane:
    """The unused words of one direction; those of a pending block are not among them.

    Raises KeyExhausted where there is none and no pending block may bring some.
    """
    next_word, end_word = _cursor(state, sender)
    if next_word >= end_word and not _promised(state, sender):
        raise KeyExhausted(f"state {state.folder}: the pad of {sender} is used up; pair the link again")
    rows = state.run("SELECT value FROM pad WHERE sender = ? ORDER BY word", (sender.value,))
    return Lane(
        sender,
        next_word=next_word,
        first_word=min(next_word, end_word),
        words=SecretBytes(b"".join(row[0] for row in rows)),
        capacity=capacity,
    )


def check_lane(state: StateFile, sender: Role) -> None:
    """Refuse a lane that holds other words than exactly its unused ones: its cursor went back (StoreError)."""
    next_word, end_word = _cursor(state, sender)
    rows = state.run("SELECT word, length(value) FROM pad WHERE sender = ?", (sender.value,))
    held = sorted(row[0] for row in rows)
    unused = max(end_word - next_word, 0)
    sound = len(held) == unused and (not held or (held[0], held[-1]) == (next_word, end_word - 1))
    if not sound or any(row[1] != WORD for row in rows):
        raise StoreError(
            f"state {state.path}: the pad of {sender} holds other words than {next_word} to {end_word}: "
            "it is damaged or was edited; pair the link again"
        )


def advance(state: StateFile, sender: Role, next_word: int) -> None:
    """Words below `next_word` are used. Raises StoreError where the cursor would go back."""
    current, end_word = _cursor(state, sender)
    wanted = min(next_word, end_word + _promised(state, sender))
    if wanted < current:
        raise StoreError(f"the pad of {sender} stands at word {current}; it cannot go back to {next_word}")
    state.run("INSERT OR IGNORE INTO lane VALUES (?, 0, 0)", (sender.value,))
    state.run("UPDATE lane SET next_word = ? WHERE sender = ?", (wanted, sender.value))
    state.run("DELETE FROM pad WHERE sender = ? AND word < ?", (sender.value, wanted))


def extend_lane(state: StateFile, sender: Role, words: SecretBytes) -> None:
    """Append words to a lane, making it where there is none yet.

    Words that were used while they were only promised are not kept.
    """
    data = bytes(words.view())
    count = len(data) // WORD
    state.run("INSERT OR IGNORE INTO lane VALUES (?, 0, 0)", (sender.value,))
    next_word, end_word = _cursor(state, sender)
    fresh = range(max(next_word - end_word, 0), count)
    rows = ((sender.value, end_word + i, data[WORD * i : WORD * (i + 1)]) for i in fresh)
    state.run_many("INSERT INTO pad VALUES (?, ?, ?)", rows)
    state.run("UPDATE lane SET end_word = end_word + ? WHERE sender = ?", (count, sender.value))


def drop_promised(state: StateFile) -> None:
    """A burnt block takes the words it promised along: the same places will hold others."""
    state.run("UPDATE lane SET next_word = min(next_word, end_word)")


def _cursor(state: StateFile, sender: Role) -> tuple[int, int]:
    rows = state.run("SELECT next_word, end_word FROM lane WHERE sender = ?", (sender.value,))
    return (int(rows[0][0]), int(rows[0][1])) if rows else (0, 0)


def _promised(state: StateFile, sender: Role) -> int:
    """Words that the pending block would bring: Alice may have them already, so they may be in use."""
    rows = state.run(f"SELECT length(refill_{sender.value}) FROM pending")  # noqa: S608 (a column's name)
    return int(rows[0][0]) // WORD if rows else 0
