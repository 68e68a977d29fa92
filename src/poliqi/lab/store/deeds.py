"""What was done with a dataset as a whole: sent and received with what receipts say, brought in from a crate."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import msgspec

from poliqi.lab.store.records import Action, ActionKind

__all__ = ["RECEIPT", "Deed", "deeds_of"]

RECEIPT: Final = "receipt.json"
"""The name of an action's receipt, as it was signed."""
_KEYS_SHOWN: Final = 12
_PQC: Final = "pqc"
"""The mode without quantum keys, as receipts write it (docs/spec/transfer.md)."""


@dataclass(frozen=True, slots=True)
class Deed:
    """One of them. `place` is the other site; `epsilon` None where nothing is proven, `unproven` the word for it.

    `mode`, `keys` and what follows are what a receipt says; empty where there was none. `has_receipt`: its signed
    file is kept, too.
    """

    id: str
    kind: ActionKind
    at_unix_s: float
    place: str
    who: str
    mode: str = ""
    epsilon: float | None = None
    unproven: str = ""
    keys: int = 0
    key_ids: tuple[str, ...] = ()
    manifest_sha256: str = ""
    is_simulated: bool = False
    has_receipt: bool = False

    @property
    def is_without_quantum_key(self) -> bool:
        """True where all or part of it went under post-quantum cryptography alone."""
        return _PQC in self.mode.split(" and ")


class _Facts(msgspec.Struct, frozen=True):
    """What is shown of the facts of an action; what there is beside them is not looked at."""

    place: str = ""
    who: str = ""
    sender: str = ""
    receiver: str = ""
    mode: str = ""
    epsilon: float | str | None = None
    keys: int = 0
    key_ids: tuple[str, ...] = ()
    manifest_sha256: str = ""
    simulated: bool = False


def deeds_of(actions: Iterable[Action]) -> list[Deed]:
    """In their order."""
    return [_deed(action) for action in actions]


def _deed(action: Action) -> Deed:
    try:
        facts = msgspec.json.decode(action.facts_json, type=_Facts)
    except msgspec.DecodeError:  # other facts may have these names and mean something else
        facts = _Facts()
    other = facts.receiver if action.kind is ActionKind.SENT else facts.sender
    return Deed(
        id=action.id,
        kind=action.kind,
        at_unix_s=action.ended_unix_s,
        place=facts.place or other,
        who=facts.who,
        mode=facts.mode,
        epsilon=facts.epsilon if isinstance(facts.epsilon, float) else None,
        unproven=facts.epsilon if isinstance(facts.epsilon, str) else "",
        keys=facts.keys,
        key_ids=facts.key_ids[:_KEYS_SHOWN],
        manifest_sha256=facts.manifest_sha256,
        is_simulated=facts.simulated,
        has_receipt=any(file.path == RECEIPT for file in action.files),
    )
