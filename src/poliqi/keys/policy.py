"""Who may have which keys: the registry of applications, permissions, limits and grades.

A policy is made from the site's configuration and never changes; a reload makes another. What is not allowed in
so many words is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from poliqi.base.ids import KmeId, SaeId
from poliqi.keys.buckets import UNLIMITED, Quota, RateLimiter
from poliqi.keys.grade import Combiner, Grade, KeyOrigin
from poliqi.keys.graderule import GradeRule
from poliqi.keys.requests import Reason, Refused

__all__ = ["Application", "Grant", "KeyLimits", "Policy", "RateLimiter"]

_REMEMBERED: Final = 1 << 14
"""Decisions kept in memory; more are worked out again."""


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """What one application may ask for. Sizes in bits, multiples of 8."""

    key_size_bits: int = 256
    min_size_bits: int = 64
    max_size_bits: int = 4096
    max_number: int = 128
    max_slaves: int = 8
    ttl_s: float = 3600.0
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Application:
    """An application: its name as its certificate says it, the site it lives at, what it may ask for there."""

    sae: SaeId
    home: KmeId
    limits: KeyLimits | None = None
    quota: Quota = UNLIMITED


@dataclass(frozen=True, slots=True)
class Grant:
    """Each of `masters` may ask for keys with each of `slaves`, but for itself. `quota` is that of each pair."""

    masters: frozenset[SaeId]
    slaves: frozenset[SaeId]
    rule: GradeRule = field(default_factory=GradeRule)
    quota: Quota = UNLIMITED
    initiator_readback: bool = False


class _Terms:
    """What holds for the pairs of a grant: the site's rule and its own together."""

    __slots__ = ("grant", "judged", "rule")

    def __init__(self, grant: Grant, rule: GradeRule) -> None:
        self.grant = grant
        self.rule = rule
        self.judged: dict[Grade, str | None] = {}


class Policy:
    """The policy of one site. Raises ValueError where its parts contradict each other.

    `rule` holds for every key of the site, `limits` for applications without their own. The rule's origins are
    an upper bound: a grant takes an origin only where its own rule names it too.
    """

    def __init__(
        self,
        site: KmeId,
        applications: Iterable[Application] = (),
        grants: Iterable[Grant] = (),
        rule: GradeRule | None = None,
        limits: KeyLimits | None = None,
    ) -> None:
        self.site: Final = site
        self.rule: Final = rule or GradeRule()
        self._limits: Final = limits or KeyLimits()
        self.applications: Final = {a.sae: a for a in applications}
        self.grants: Final = tuple(grants)
        self._granted: Final[dict[SaeId, list[_Terms]]] = {}
        self._pairs: Final[dict[tuple[SaeId, SaeId], _Terms | None]] = {}
        self._own: Final = frozenset(a.sae for a in self.applications.values() if a.home == site)
        self._top: Final = max((self.limits(s).priority for s in self._own), default=self._limits.priority)
        for grant in self.grants:
            self._add(_Terms(grant, self.rule.joined(grant.rule)))

    def _add(self, terms: _Terms) -> None:
        grant = terms.grant
        strangers = (grant.masters | grant.slaves) - self.applications.keys()
        if strangers:
            raise ValueError(f"{', '.join(sorted(strangers))}: allowed to have keys but not registered")
        for master in grant.masters:
            before = self._granted.setdefault(master, [])
            for other in before:
                twice = (other.grant.slaves & grant.slaves) - {master}
                if twice:
                    raise ValueError(f"{master} with {min(twice)} is allowed twice: keep one of the two")
            before.append(terms)

    def home(self, sae: SaeId) -> KmeId | None:
        """The site where an application lives, None for a stranger."""
        found = self.applications.get(sae)
        return None if found is None else found.home

    def is_local(self, sae: SaeId) -> bool:
        """True for an application of this site."""
        return sae in self._own

    def limits(self, master: SaeId) -> KeyLimits:
        """What an application may ask for; the site's own limits for a stranger."""
        found = self.applications.get(master)
        return self._limits if found is None or found.limits is None else found.limits

    def top(self) -> int:
        """The highest priority that an application of this site has."""
        return self._top

    def quota(self, master: SaeId, slave: SaeId | None) -> Quota:
        """How much may leave to a master in all (slave None), or to a master for one slave."""
        if slave is None:
            found = self.applications.get(master)
            return UNLIMITED if found is None else found.quota
        terms = self._terms(master, slave)
        return UNLIMITED if terms is None else terms.grant.quota

    def judge_pair(self, master: SaeId, slaves: Iterable[SaeId]) -> Refused | None:
        """At the master's site: may it ask for keys with every one of `slaves`? None for yes."""
        if master not in self._own:
            return _not_permitted(f"SAE {master!r} is not registered at {self.site}")
        for slave in slaves:
            if self._terms(master, slave) is None:
                return _not_permitted(f"SAE {master!r} may not ask for keys with {slave!r}")
        return None

    def judge_fetch(self, caller: SaeId, master: SaeId) -> Refused | None:
        """At the slave's site: may it ask for keys that `master` named to it? None for yes.

        Where `initiator_readback` is on, a master may ask for its own: `master` is then its slave, or itself.
        """
        if caller not in self._own:
            return _not_permitted(f"SAE {caller!r} is not registered at {self.site}")
        if self._terms(master, caller) is not None or self.initiator_readback(caller, master):
            return None
        if caller == master and any(t.grant.initiator_readback for t in self._granted.get(caller, ())):
            return None
        return _not_permitted(f"SAE {caller!r} may not have keys of {master!r}")

    def judge_promise(self, master: SaeId, slave: SaeId, peer: KmeId) -> str | None:
        """At the slave's site: may site `peer` promise keys of `master` to `slave`? None, or why not."""
        if slave not in self._own:
            return f"SAE {slave!r} is not registered at {self.site}"
        if self.home(master) != peer:
            return f"SAE {master!r} does not live at {peer}, as {self.site} has it"
        if self._terms(master, slave) is None:
            return f"{self.site} does not allow keys of {master!r} for {slave!r}"
        return None

    def judge_grade(self, master: SaeId, slave: SaeId, grade: Grade) -> str | None:
        """Why a key of this grade must not go to this pair, or None; both sites ask, each its own policy.

        `grade` is that of the key as it will be delivered: with its combiner (`Grade.with_combiner`), which must
        be the required one.
        """
        terms = self._terms(master, slave)
        if terms is None:
            return f"{self.site} does not allow keys of {master!r} for {slave!r}"
        judged = terms.judged
        try:
            return judged[grade]
        except KeyError:
            if len(judged) >= _REMEMBERED:
                judged.clear()
            answer = judged[grade] = terms.rule.judge(grade)
            return answer

    def judge_origin(self, origin: KeyOrigin) -> str | None:
        """Why a block of this origin must not enter this site's stock at all, or None."""
        return self.rule.judge_origin(origin)

    def combiner(self, master: SaeId, slave: SaeId) -> Combiner:
        """The post-quantum secret that must be mixed into keys of this pair."""
        terms = self._terms(master, slave)
        return self.rule.combiner if terms is None else terms.rule.combiner

    def initiator_readback(self, master: SaeId, slave: SaeId) -> bool:
        """True where a master may read its own keys back: for tests of one's own alone."""
        terms = self._terms(master, slave)
        return terms is not None and terms.grant.initiator_readback

    def _terms(self, master: SaeId, slave: SaeId) -> _Terms | None:
        pair = (master, slave)
        try:
            return self._pairs[pair]
        except KeyError:
            if len(self._pairs) >= _REMEMBERED:
                self._pairs.clear()
            found = self._pairs[pair] = self._search(master, slave)
            return found

    def _search(self, master: SaeId, slave: SaeId) -> _Terms | None:
        if master == slave:
            return None
        return next((t for t in self._granted.get(master, ()) if slave in t.grant.slaves), None)


def _not_permitted(message: str) -> Refused:
    return Refused(Reason.NOT_PERMITTED, message)
