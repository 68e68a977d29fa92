"""[policy], [limits], [[sae]] and [[allow]] of site.toml, read into a `Policy`."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Final

from poliqi.base.errors import ConfigError
from poliqi.base.ids import KmeId, SaeId
from poliqi.base.units import parse_quantity
from poliqi.keys.buckets import Quota, Rate
from poliqi.keys.etsi014 import is_sae_id
from poliqi.keys.grade import Combiner
from poliqi.keys.graderule import PHOTONS_ONLY, GradeRule
from poliqi.keys.policy import Application, Grant, KeyLimits, Policy
from poliqi.ops.site_tables import AllowTable, LimitsTable, PolicyTable, RateTable, SaeTable, SiteTable

__all__ = ["read_policy"]

_DEFAULT: Final = KeyLimits()
_LARGEST_BITS: Final = 1 << 16
_MOST_KEYS: Final = 4096
_MOST_SLAVES: Final = 64
_LONGEST_TTL_S: Final = 30 * 86400.0


def read_policy(t: SiteTable, site: KmeId, known: AbstractSet[KmeId]) -> Policy:
    """The policy of a site.toml; `known` are the sites that it can reach. Raises ConfigError."""
    limits = _limits(t.limits, _DEFAULT, "limits")
    rule = _rule(t.policy, "policy")
    applications: dict[SaeId, Application] = {}
    for sae in t.sae:
        found = _application(sae, t.limits, limits, site, known)
        if found.sae in applications:
            raise ConfigError(f"sae.id {found.sae!r}: registered twice; keep one of the two")
        applications[found.sae] = found
    grants = [_grant(allow, rule) for allow in t.allow]
    try:
        return Policy(site, applications.values(), grants, rule, limits)
    except ValueError as error:
        raise ConfigError(f"allow: {error}") from None


def _application(
    t: SaeTable, site_rates: RateTable, limits: KeyLimits, site: KmeId, known: AbstractSet[KmeId]
) -> Application:
    home = site if t.site is None else KmeId(t.site)
    if not is_sae_id(t.id):
        raise ConfigError(f"sae.id {t.id[:80]!r}: use 1 to 64 printable characters, no blank at the ends")
    if home not in known:
        raise ConfigError(
            f"sae.site {home!r} (of {t.id!r}): there is no [[peer]], [[relay]] or [[neighbour]] to that site"
        )
    name = f"sae {t.id!r}"
    own = _quota(t, name)
    rates = _quota(site_rates, "limits")
    return Application(
        SaeId(t.id), home, _limits(t, limits, name), Quota(own.keys or rates.keys, own.bits or rates.bits)
    )


def _limits(t: LimitsTable, otherwise: KeyLimits, name: str) -> KeyLimits:
    limits = KeyLimits(
        key_size_bits=_bits(t.key_size, otherwise.key_size_bits, f"{name}.key_size"),
        min_size_bits=_bits(t.min_size, otherwise.min_size_bits, f"{name}.min_size"),
        max_size_bits=_bits(t.max_size, otherwise.max_size_bits, f"{name}.max_size"),
        max_number=_within(t.max_number, otherwise.max_number, 1, _MOST_KEYS, f"{name}.max_number"),
        max_slaves=_within(t.max_slaves, otherwise.max_slaves, 1, _MOST_SLAVES, f"{name}.max_slaves"),
        ttl_s=otherwise.ttl_s if t.ttl is None else parse_quantity(t.ttl, "s", f"{name}.ttl"),
        priority=_within(t.priority, otherwise.priority, 0, 7, f"{name}.priority"),
    )
    if not limits.min_size_bits <= limits.key_size_bits <= limits.max_size_bits:
        raise ConfigError(
            f"{name}.key_size: {limits.key_size_bits} bit is outside min_size {limits.min_size_bits} bit to "
            f"max_size {limits.max_size_bits} bit"
        )
    if not 1.0 <= limits.ttl_s <= _LONGEST_TTL_S:
        raise ConfigError(f"{name}.ttl {t.ttl!r}: give 1 s to 30 d")
    return limits


def _bits(text: str | float | None, otherwise: int, name: str) -> int:
    if text is None:
        return otherwise
    value = parse_quantity(text, "bit", name)
    if not (8 <= value <= _LARGEST_BITS and value % 8 == 0):
        raise ConfigError(f"{name} {text!r}: give 8 to {_LARGEST_BITS} bit, a multiple of 8")
    return int(value)


def _within(value: int | None, otherwise: int, least: int, most: int, name: str) -> int:
    if value is None:
        return otherwise
    if not least <= value <= most:
        raise ConfigError(f"{name} {value}: give {least} to {most}")
    return value


def _quota(t: RateTable | AllowTable, name: str) -> Quota:
    keys = _rate(t.key_rate, "keys/s", t.key_burst, f"{name}.key_rate", f"{name}.key_burst")
    burst = None if t.bit_burst is None else parse_quantity(t.bit_burst, "bit", f"{name}.bit_burst")
    return Quota(keys, _rate(t.bit_rate, "bit/s", burst, f"{name}.bit_rate", f"{name}.bit_burst"))


def _rate(text: str | float | None, unit: str, burst: float | None, name: str, burst_name: str) -> Rate | None:
    if text is None:
        if burst is not None:
            raise ConfigError(f"{burst_name}: a burst without a rate limits nothing; give {name} too")
        return None
    per_s = parse_quantity(text, unit, name)
    if not 0.0 < per_s <= 1e12:
        raise ConfigError(f"{name} {text!r}: give more than 0 {unit}; to forbid keys, take the [[allow]] away")
    if burst is not None and burst < 1:
        raise ConfigError(f"{burst_name} {burst:g}: give at least 1")
    return Rate(per_s, max(1.0, per_s) if burst is None else burst)


def _rule(t: PolicyTable, name: str) -> GradeRule:
    try:
        return GradeRule(
            origins=PHOTONS_ONLY if t.origins is None else frozenset(t.origins),
            max_epsilon=t.max_epsilon,
            information_theoretic_only=t.information_theoretic_only,
            never_through=frozenset(KmeId(site) for site in t.never_through),
            max_relays=t.max_relays,
            min_paths=t.min_paths,
            combiner=t.hybrid or Combiner.NONE,
        )
    except ValueError as error:
        raise ConfigError(f"{name}.{error}") from None


def _grant(t: AllowTable, site_rule: GradeRule) -> Grant:
    if t.between is not None and t.master is None and t.slaves is None:
        masters = slaves = frozenset(SaeId(name) for name in t.between)
        if len(masters) < 2 or len(masters) < len(t.between):
            raise ConfigError(f"allow.between {list(t.between)}: name two different applications or more")
    elif t.between is None and t.master is not None and t.slaves:
        masters, slaves = frozenset({SaeId(t.master)}), frozenset(SaeId(name) for name in t.slaves)
    else:
        raise ConfigError("allow: give `between` (each with each), or `master` and `slaves` (one direction)")
    name = f"allow ({', '.join(sorted(masters | slaves))})"
    if t.hybrid is Combiner.NONE and site_rule.combiner is not Combiner.NONE:
        raise ConfigError(
            f"{name}.hybrid 'none': policy.hybrid demands {site_rule.combiner.value!r} for all; leave it out here"
        )
    try:
        site_rule.joined(_rule(t, name))
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from None
    return Grant(masters, slaves, _rule(t, name), _quota(t, name), t.initiator_readback)
