"""What is asked of a pad, and what is told of it: who could know it, by what it may fail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Final, Literal, Self

import msgspec

from poliqi.apps.keygrade import WORST_LAST, GradeDemand, KeyGrade, Knowledge, total_epsilon
from poliqi.apps.settings import Peer
from poliqi.apps.stream.terms import Mode, Policy, StreamRule
from poliqi.base.errors import ConfigError

__all__ = ["PadNote", "PadRule", "PadTable", "pad_rule"]

_KNOWLEDGE: Final = {"direct": Knowledge.DIRECT, "disjoint": Knowledge.DISJOINT, "relayed": Knowledge.RELAYED}


class PadTable(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The keys of [messenger] and of [vault] that say what is asked of a pad."""

    knowledge: Literal["direct", "disjoint", "relayed"] = "relayed"
    min_paths: Annotated[int, msgspec.Meta(ge=1, le=16)] = 1
    hybrid: bool = True


@dataclass(frozen=True, slots=True)
class PadRule:
    """What is asked of every pad shared with one peer; `is_hybrid`: the envelope travels inside ML-KEM as well."""

    demand: GradeDemand
    is_hybrid: bool

    def carriage(self, peer: Peer) -> StreamRule:
        """The rule of the stream that carries envelopes. Raises ConfigError where the peer's policy excludes it."""
        if peer.rule.policy is Policy.ITS:
            if self.is_hybrid:
                raise ConfigError(
                    f"{peer.place}: its policy {Policy.ITS.value!r} leaves no room for ML-KEM: set hybrid = false, "
                    "or another policy for this peer (messages and shares are under one-time pad in any case)"
                )
            return peer.rule
        return replace(peer.rule, policy=Policy.HYBRID) if self.is_hybrid else peer.rule

    def judge_carriage(self, mode: Mode) -> str | None:
        """Why a stream of this mode may not carry envelopes, or None."""
        if self.is_hybrid and mode is not Mode.HYBRID:
            return f"the stream is {mode.value!r}, and ML-KEM beside the pad (hybrid = true) is asked for here"
        return None


def pad_rule(table: PadTable, peer: Peer, where: str) -> PadRule:
    """The stricter of what the table `where` and the peer's own rule for one-time pad ask. Raises ConfigError."""
    base = peer.one_time.demand
    knowledge = min(_KNOWLEDGE[table.knowledge], base.knowledge, key=WORST_LAST.index)
    if knowledge is Knowledge.RELAYED and not table.hybrid:
        raise ConfigError(
            f'[{where}]: with knowledge = "relayed" a relay could read everything: leave hybrid = true, or ask for '
            '"disjoint" or "direct"'
        )
    demand = replace(
        base,
        information_theoretic=True,
        knowledge=knowledge,
        min_paths=max(table.min_paths, base.min_paths),
    )
    return PadRule(demand, table.hybrid)


class _Note(msgspec.Struct, frozen=True):
    knowledge: Knowledge
    paths_needed: int
    epsilon: float | None
    is_simulated: bool
    is_hybrid: bool
    key_bytes: int
    sites: tuple[str, ...] = ()


class PadNote(_Note, frozen=True):
    """What is told of the pad of one thing: kept with it and shown with it.

    `knowledge` is the worst of its keys, `paths_needed` the fewest that give one away, `epsilon` the sum of what
    keys and tags may fail by (None where a key tells none), `sites` the relays.
    """

    @classmethod
    def of(cls, grades: Sequence[KeyGrade], key_bytes: int, tags: float, *, is_hybrid: bool) -> Self:
        """From the grades of its keys. Raises ValueError where there are none."""
        if not grades:
            raise ValueError("a pad has at least one key")
        keys = total_epsilon(grades)
        return cls(
            knowledge=max((grade.knowledge for grade in grades), key=WORST_LAST.index),
            paths_needed=min(grade.paths_needed for grade in grades),
            epsilon=None if keys is None else keys + tags,
            is_simulated=any(grade.is_simulated for grade in grades),
            is_hybrid=is_hybrid,
            key_bytes=key_bytes,
            sites=tuple(sorted(frozenset[str]().union(*(grade.relays for grade in grades)))),
        )

    @classmethod
    def joined(cls, one: PadNote | None, other: PadNote | None) -> PadNote | None:
        """Of two pads that protect parts of one thing: the worst of both; None where there is neither."""
        if one is None or other is None:
            return one or other
        epsilon = None if one.epsilon is None or other.epsilon is None else one.epsilon + other.epsilon
        return PadNote(
            knowledge=max(one.knowledge, other.knowledge, key=WORST_LAST.index),
            paths_needed=min(one.paths_needed, other.paths_needed),
            epsilon=epsilon,
            is_simulated=one.is_simulated or other.is_simulated,
            is_hybrid=one.is_hybrid and other.is_hybrid,
            key_bytes=one.key_bytes + other.key_bytes,
            sites=tuple(sorted({*one.sites, *other.sites})),
        )

    @property
    def text(self) -> str:
        """For people: who could know it."""
        words = self.knowledge.value
        if self.knowledge is Knowledge.DISJOINT:
            words = f"{self.paths_needed} {words}"
        if self.sites:
            words += f" over {', '.join(self.sites)}"
        if self.is_hybrid:
            words += " + ML-KEM end to end"
        if self.epsilon is not None:
            words += f", epsilon {self.epsilon:.1e}"
        return f"SIMULATED, protects nothing: {words}" if self.is_simulated else words
