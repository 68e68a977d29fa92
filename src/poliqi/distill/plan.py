"""A contract that an honest link will meet, made from the link's model before any light is looked at."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import msgspec
import numpy as np

from poliqi.base.errors import ConfigError, ProtocolError
from poliqi.base.ids import LeakModel, LinkId, Origin
from poliqi.distill.contract import SMALLEST_LENGTH, Contract, check_contract
from poliqi.distill.reconcile import DEFAULT_RECONCILER, expected_leak_bits
from poliqi.distill.verify import verification_epsilon
from poliqi.optics.channel import expectation
from poliqi.optics.counts import sample_counts
from poliqi.optics.parameters import Attack, LinkParameters
from poliqi.optics.prediction import depends_on_basis
from poliqi.proof import Counts, exact_length, secret_length

__all__ = ["block_pulses", "measuring_contract", "plan_contract"]

_DRAWS: Final = 400
_SIGMAS: Final = 4.0
_DRAW_SEED: Final = 20_240_516
_FRAME_BITS: Final = 65536
_LEAK_MARGIN: Final = 1.0  # the draws vary the errors already
_TAG_BITS: Final = 128
_VERDICT_BITS: Final = 1
_UNBOUNDED_LEAK: Final = 1 << 40


def block_pulses(link: LinkParameters) -> int:
    """Pulses after which an honest link has `link.block.sifted_key` sifted key bits on average."""
    per_pulse = math.fsum(expectation(_honest(link)).key.detections)
    if per_pulse <= 0:
        raise ConfigError(f"link {link.name!r}: no key-basis detection is expected; check losses and basis choice")
    return math.ceil(link.block.sifted_key / per_pulse)


def plan_contract(
    link: LinkParameters, pulses: int, *, link_id: LinkId, origin: Origin, entropy: str, length: int | None = None
) -> Contract:
    """The longest contract whose numbers an honest link misses about once in ten thousand blocks of `pulses`.

    A frame that reconciliation leaves wrong is disclosed and usually costs the block as well: a few in a million
    frames, some in ten thousand blocks of 1e7 bits.

    400 blocks are drawn from the link's count level (from a fixed seed, so that the answer is the same each
    time). The leak cap and the length that the proof grants under it stand four standard deviations of these
    draws beyond their means. `length` sets it by hand instead. A length of 0 (no block of this size gives a
    key) makes a contract that only measures.
    """
    honest, block = _honest(link), link.block
    _check_promise(link, pulses)
    measured = _contract(honest, pulses, link_id=link_id, origin=origin, entropy=entropy, length=0, leak_cap=0)
    generator = np.random.Generator(np.random.PCG64(_DRAW_SEED))
    drawn = [sample_counts(honest, pulses, generator) for _ in range(_DRAWS)]
    leaks = np.array([_leak(counts, block.leak_model) for counts in drawn], np.float64)
    cap = math.ceil(float(leaks.mean() + _SIGMAS * leaks.std()))
    if length is None:
        lengths = np.array([_length(counts, link, cap) for counts in drawn])
        length = math.floor(float(lengths.mean() - _SIGMAS * lengths.std()))
        length = 0 if length < SMALLEST_LENGTH else length
    return msgspec.structs.replace(measured, length=length, leak_cap=cap)


def _check_promise(link: LinkParameters, pulses: int) -> None:
    """Refuse what no block of this link could keep, whatever its counts."""
    if depends_on_basis(link):
        raise ConfigError(
            f"link {link.name}: receiver.test_loss {link.receiver.test_loss_db:g} dB with an active basis choice "
            "makes detection depend on the basis, which the proofs exclude; balance the two bases"
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
        _honest(link), pulses, link_id=link_id, origin=origin, entropy=entropy, length=0, leak_cap=_UNBOUNDED_LEAK
    )
    return msgspec.structs.replace(made, max_detections=max(1, min(pulses, max_detections)))


def _contract(
    link: LinkParameters, pulses: int, *, link_id: LinkId, origin: Origin, entropy: str, length: int, leak_cap: int
) -> Contract:
    """The contract of these figures; ConfigError where no peer could accept it."""
    seen, block = expectation(link), link.block
    clicks = seen.clicks * pulses
    detections, errors = math.fsum(seen.key.detections), math.fsum(seen.key.errors)
    made = Contract(
        link_id=link_id,
        origin=origin,
        proof=block.proof,
        clamp=block.clamp,
        intensities=link.source.intensities,
        probabilities=link.source.probabilities,
        intensity_uncertainty=block.intensity_uncertainty,
        pulses=pulses,
        max_detections=min(pulses, math.ceil(1.1 * clicks + 10 * math.sqrt(clicks) + 100)),
        length=length,
        leak_cap=leak_cap,
        leak_model=block.leak_model,
        epsilon_sec=block.epsilon_sec,
        epsilon_cor=block.epsilon_cor,
        reconciler=DEFAULT_RECONCILER,
        frame_bits=_FRAME_BITS,
        expected_qber=errors / detections if detections else 0.5,
        entropy=entropy,
    )
    try:
        check_contract(made)
    except ProtocolError as error:
        raise ConfigError(f"link {link.name}: {error}") from error
    return made


def _honest(link: LinkParameters) -> LinkParameters:
    return replace(link, attack=Attack())


def _leak(counts: Counts, model: LeakModel) -> int:
    n, m = int(sum(counts.key.detections)), sum(counts.key.errors)
    one_way = expected_leak_bits(n, m / n if n else 0.5, _LEAK_MARGIN)
    if model is LeakModel.BOTH_DIRECTIONS:
        return 2 * one_way + _TAG_BITS + _VERDICT_BITS
    return one_way + _TAG_BITS


def _length(counts: Counts, link: LinkParameters, cap: int) -> float:
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
    )
