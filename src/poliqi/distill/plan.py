"""A contract that an honest link will meet, made from the link's model before any light is looked at."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import msgspec
import numpy as np

from poliqi.base.errors import ConfigError, ProtocolError
from poliqi.base.ids import LeakModel, LinkId, Origin
from poliqi.distill.contract import SMALLEST_LENGTH, Contract, check_contract
from poliqi.distill.correct import COUNT_BITS, TAG_BITS, VERDICT_BITS
from poliqi.distill.reconcile import DEFAULT_RECONCILER, RECONCILERS
from poliqi.distill.verify import verification_epsilon
from poliqi.optics.channel import expectation, stated_intensities
from poliqi.optics.counts import sample_counts
from poliqi.optics.parameters import Attack, LinkParameters
from poliqi.optics.prediction import depends_on_basis, tolerated_error
from poliqi.proof import Counts, exact_length, secret_length

__all__ = ["Choice", "block_pulses", "choose_reconciler", "measuring_contract", "plan_contract"]

_DRAWS: Final = 400
_SIGMAS: Final = 4.0
_DRAW_SEED: Final = 20_240_516
_FRAME_BITS: Final = 65536
_ROUND_S: Final = 1e-4  # of a round trip, what is not fibre
_FIBRE_S_PER_M: Final = 1.468 / 299_792_458.0  # group index of standard fibre at 1550 nm, over c
_UNBOUNDED_LEAK: Final = 1 << 40


def block_pulses(link: LinkParameters) -> int:
    """Pulses after which an honest link has `link.block.sifted_key` sifted key bits on average."""
    per_pulse = math.fsum(expectation(_honest(link)).key.detections)
    if per_pulse <= 0:
        raise ConfigError(f"link {link.name!r}: no key-basis detection is expected; check losses and basis choice")
    return math.ceil(link.block.sifted_key / per_pulse)


@dataclass(frozen=True, slots=True)
class Choice:
    """Which reconciler a link takes; `reason` says why, with the figures of the others."""

    reconciler: str
    reason: str


def choose_reconciler(link: LinkParameters, pulses: int) -> Choice:
    """The reconciler with which blocks of `pulses` give most key a second, by the contract's own count of leak.

    A block takes as long as its light, or as its reconciliation: its bits at the speed of one core, and its rounds,
    each a round trip of the fibre. Where no reconciler gives key, Cascade.
    """
    _check_promise(link, pulses)
    honest = _honest(link)
    light_s = pulses / link.source.clock_hz
    sifted = pulses * math.fsum(expectation(honest).key.detections)
    round_s = _ROUND_S + 2 * link.fibre.length_m * _FIBRE_S_PER_M
    counts = _drawn(honest, pulses)
    tolerated = tolerated_error(link, expectation(honest).test.scaled(pulses))
    rates: dict[str, float] = {}
    for name in RECONCILERS:
        if _reaches(name, honest):
            kind = RECONCILERS[name]
            busy_s = sifted / kind.bits_per_s + kind.rounds * round_s
            rates[name] = _promise(counts, link, name, tolerated)[1] / max(light_s, busy_s)
    best = max(rates, key=lambda name: (rates[name], name == DEFAULT_RECONCILER), default=DEFAULT_RECONCILER)
    left_out = [
        f"; {name} is for QBERs of {100 * kind.reach[0]:g} to {100 * kind.reach[1]:g} %"
        for name, kind in RECONCILERS.items()
        if name not in rates
    ]
    if not any(rates.values()):
        none = f"{DEFAULT_RECONCILER}: no reconciler gives key at this block size"
        return Choice(DEFAULT_RECONCILER, none + "".join(left_out))
    figures = ", ".join(f"{name} {rate / 1e6:.3g} Mbit/s" for name, rate in rates.items())
    reason = f"{best}: most key of this link, counting leak {link.block.leak_model} ({figures}{''.join(left_out)})"
    return Choice(best, reason)


def _reaches(name: str, link: LinkParameters) -> bool:
    low, high = RECONCILERS[name].reach
    return low <= _expected_qber(link) <= high


def plan_contract(
    link: LinkParameters,
    pulses: int,
    *,
    link_id: LinkId,
    origin: Origin,
    entropy: str,
    length: int | None = None,
    reconciler: str | None = None,
) -> Contract:
    """The longest contract whose numbers an honest link misses about once in ten thousand blocks of `pulses`.

    A frame that Cascade leaves wrong is disclosed and usually costs the block as well: a few in a million frames,
    some in ten thousand blocks of 1e7 bits. Parity checks fail more often, and their cap allows for it.

    400 blocks are drawn from the link's count level (from a fixed seed, so that the answer is the same each
    time). The leak cap and the length that the proof grants under it stand four standard deviations of these
    draws beyond their means. `length` sets it by hand instead, `reconciler` what `choose_reconciler` would say.
    A length of 0 (no block of this size gives a key) makes a contract that only measures. ConfigError where no
    block of this link could keep it, whoever chose the reconciler or the length.
    """
    _check_promise(link, pulses)
    honest = _honest(link)
    named = reconciler or DEFAULT_RECONCILER
    measured = _contract(honest, pulses, link_id=link_id, origin=origin, entropy=entropy, reconciler=named)
    name = reconciler or choose_reconciler(link, pulses).reconciler
    cap, promised = _promise(_drawn(honest, pulses), link, name, measured.tolerated_error)
    return msgspec.structs.replace(
        measured, reconciler=name, length=promised if length is None else length, leak_cap=cap
    )


def _drawn(honest: LinkParameters, pulses: int) -> list[Counts]:
    generator = np.random.Generator(np.random.PCG64(_DRAW_SEED))
    return [sample_counts(honest, pulses, generator) for _ in range(_DRAWS)]


def _promise(
    drawn: list[Counts], link: LinkParameters, reconciler: str, tolerated: float | None
) -> tuple[int, int]:
    """Leak cap and length."""
    estimate = _expected_qber(_honest(link))
    leaks = np.array([_leak(counts, link.block.leak_model, reconciler, estimate) for counts in drawn], np.float64)
    cap = math.ceil(float(leaks.mean() + _SIGMAS * leaks.std()))
    lengths = np.array([_length(counts, link, cap, tolerated) for counts in drawn])
    length = math.floor(float(lengths.mean() - _SIGMAS * lengths.std()))
    return cap, 0 if length < SMALLEST_LENGTH else length


def _check_promise(link: LinkParameters, pulses: int) -> None:
    """Refuse what no block of this link could keep, whatever its counts."""
    if depends := depends_on_basis(link):
        raise ConfigError(
            f"link {link.name}: {depends} makes detection depend on the basis, which the proofs exclude; balance "
            "the two bases"
        )
    n = math.ceil(pulses * math.fsum(expectation(_honest(link)).key.detections))
    reached = verification_epsilon([n])
    if reached > link.block.epsilon_cor:
        raise ConfigError(
            f"link {link.name}: block.epsilon_cor {link.block.epsilon_cor:g} is out of reach; one 128-bit "
            f"verification tag over {n} bits errs with {reached:.1e}"
        )


def measuring_contract(
    link: LinkParameters, pulses: int, *, link_id: LinkId, origin: Origin, entropy: str, max_detections: int
) -> Contract:
    """A contract that reconciles, verifies and counts, and never gives a key."""
    made = _contract(
        _honest(link), pulses, link_id=link_id, origin=origin, entropy=entropy, reconciler=DEFAULT_RECONCILER
    )
    return msgspec.structs.replace(made, max_detections=max(1, min(pulses, max_detections)))


def _contract(
    link: LinkParameters, pulses: int, *, link_id: LinkId, origin: Origin, entropy: str, reconciler: str
) -> Contract:
    """A contract that measures, under no leak cap; ConfigError where no peer could accept it."""
    seen, block = expectation(link), link.block
    clicks = seen.clicks * pulses
    intensities, probabilities = stated_intensities(link)
    made = Contract(
        link_id=link_id,
        origin=origin,
        proof=block.proof,
        clamp=block.clamp,
        intensities=intensities,
        probabilities=probabilities,
        intensity_uncertainty=block.intensity_uncertainty,
        pulses=pulses,
        max_detections=min(pulses, math.ceil(1.1 * clicks + 10 * math.sqrt(clicks) + 100)),
        length=0,
        leak_cap=_UNBOUNDED_LEAK,
        leak_model=block.leak_model,
        epsilon_sec=block.epsilon_sec,
        epsilon_cor=block.epsilon_cor,
        reconciler=reconciler,
        frame_bits=_FRAME_BITS,
        expected_qber=_expected_qber(link),
        entropy=entropy,
        tolerated_error=tolerated_error(link, seen.test.scaled(pulses)),
    )
    try:
        check_contract(made)
    except ProtocolError as error:
        raise ConfigError(f"link {link.name}: {error}") from error
    return made


def _expected_qber(link: LinkParameters) -> float:
    mean = expectation(link).key
    detections = math.fsum(mean.detections)
    return math.fsum(mean.errors) / detections if detections else 0.5


def _honest(link: LinkParameters) -> LinkParameters:
    return replace(link, attack=Attack())


def _leak(counts: Counts, model: LeakModel, reconciler: str, estimate: float) -> int:
    n, m = int(sum(counts.key.detections)), sum(counts.key.errors)
    alice, bob = RECONCILERS[reconciler].leak(n, m / n if n else 0.5, estimate, _FRAME_BITS)
    alice += TAG_BITS
    if model is LeakModel.BOTH_DIRECTIONS:
        return alice + bob + VERDICT_BITS + COUNT_BITS * counts.levels
    return alice


def _length(counts: Counts, link: LinkParameters, cap: int, tolerated: float | None) -> float:
    block = link.block
    if block.intensity_uncertainty:
        return secret_length(
            counts,
            proof=block.proof,
            leak_bits=cap,
            epsilon_sec=block.epsilon_sec,
            epsilon_cor=block.epsilon_cor,
            clamp=block.clamp,
            intensity_uncertainty=block.intensity_uncertainty,
        ).exact_length
    return exact_length(
        counts,
        proof=block.proof,
        leak_bits=cap,
        epsilon_sec=block.epsilon_sec,
        epsilon_cor=block.epsilon_cor,
        clamp=block.clamp,
        tolerated_error=tolerated,
    )
