"""A link as tables for the making of time tags: where in a slot each kind of click falls, and what else clicks.

The sampler says in which slot and outcome a click counted; these tables say when in the slot it came, drawn from
the law that the click's cause has given (state, outcome): light of this pulse falls normally about its bin's
middle, cut off at the gate; light leaked from a neighbouring bin falls towards that bin; dark counts, Raman photons
and afterpulses fall anywhere in the gate. Beside these stand the tags that a receiver has to drop: false counts
between the gates, light in the tails beyond them, the satellites of a time-bin interferometer, and clicks of other
detectors inside the common dead time. They cost the sampler's clicks nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import ConfigError
from poliqi.optics.channel import expectation
from poliqi.optics.counter import thresholds
from poliqi.optics.detector import Timing, timing
from poliqi.optics.parameters import BasisChoice, DetectorKind, FrontEnd, LinkParameters
from poliqi.optics.raman import detected_noise_rate_hz
from poliqi.optics.receiver import Arm, basis_errors, bob_optics
from poliqi.optics.response import responses
from poliqi.optics.sampler import outcome_probabilities
from poliqi.optics.states import state_probabilities

__all__ = ["ANYWHERE", "LEAK", "SIGNAL", "TAIL", "UNIFORM", "TagPlan", "tag_plan"]

SIGNAL: Final = 0
LEAK: Final = 1
UNIFORM: Final = 2
TAIL: Final = 3
ANYWHERE: Final = 4

_PS: Final = 1e12
_ALL_LOST_DB: Final = 100.0


@dataclass(frozen=True, slots=True, eq=False)
class TagPlan:
    """Numbers for the kernels. Times in picoseconds; a slot's time is that of the middle of its (early) bin.

    `shape` float64[9]: sigma, lower quantile and width of the signal's law inside the gate, half the gate, the
    leaked tail's quantile, distance of bins, lower quantile and width of the tails' law, the slot. `centres`
    float64[4] and `channels` uint8[4]: the middle of the bin and the input of each outcome. For each of 64 rows
    (state << 2 | outcome): `kinds` int64[64, 3], ends of the 32-bit marks of signal, leak and uniform; `doubles`
    int64[64], the mark of a second click beside it; `partners` int64[64, 4], whose it is. `others` int64[4]: ends
    of the outcomes' shares of all clicks. `extra_*`: rows of what clicks beside the sampler: ends of marks, kind,
    outcome, middle; `extra_gap` is its mean distance in slots (0: nothing). `early_gap` the same before the first
    slot, where detectors count in the dark. `gates` float64[4, 2]: middles of the gates that an outcome's detector
    has (the second equal to the first where there is one).
    """

    bins: int
    dead_slots: int
    click: float
    shape: NDArray[np.float64] = field(repr=False)
    centres: NDArray[np.float64] = field(repr=False)
    channels: NDArray[np.uint8] = field(repr=False)
    gates: NDArray[np.float64] = field(repr=False)
    kinds: NDArray[np.int64] = field(repr=False)
    doubles: NDArray[np.int64] = field(repr=False)
    partners: NDArray[np.int64] = field(repr=False)
    others: NDArray[np.int64] = field(repr=False)
    extra_ends: NDArray[np.int64] = field(repr=False)
    extra_kinds: NDArray[np.int64] = field(repr=False)
    extra_outcomes: NDArray[np.int64] = field(repr=False)
    extra_centres: NDArray[np.float64] = field(repr=False)
    extra_gap: float
    early_ends: NDArray[np.int64] = field(repr=False)
    early_gap: float


def tag_plan(link: LinkParameters) -> TagPlan:
    """The tables of `link`. Raises ConfigError for entangled pairs, and where no detector can ever click."""
    if link.pairs is not None:
        raise ConfigError(
            f"link {link.name}: tags are made of prepared light alone, and it has a source of entangled pairs; "
            "leave its [pairs] out, or use recordings of it"
        )
    table = outcome_probabilities(responses(link, bob_optics(link)))
    single, double = table[:, :4], table[:, 4:]
    seen = single + double
    weights = _state_weights(link)
    marginal = weights @ seen
    time_bin = link.receiver.front_end is FrontEnd.TIME_BIN
    late = link.bin_s * _PS if time_bin else 0.0
    centres = np.array([0.0, late, late, late])
    outcome = np.arange(4)
    extras = _extras(link, marginal)
    total = sum(rate for rate, _, _, _ in extras)
    dark = [rate if kind == ANYWHERE else 0.0 for rate, kind, _, _ in extras]
    early = sum(dark)
    partner = np.where(outcome[None, :] != outcome[:, None], seen[:, None, :], 0.0)
    return TagPlan(
        bins=2 if time_bin else 1,
        dead_slots=link.dead_slots,
        click=float(marginal.sum()),
        shape=_shape(link),
        centres=centres,
        channels=np.array([0, 0, 2, 3] if time_bin else [0, 1, 2, 3], np.uint8),
        gates=np.array([[0.0, late], [0.0, late], [late, late], [late, late]]),
        kinds=thresholds(_kinds(link, seen, marginal)).reshape(64, 3),
        doubles=np.rint(_ratio(double, seen) * 2.0**32).astype(np.int64).ravel(),
        partners=thresholds(_ratio(partner, partner.sum(axis=2, keepdims=True))).reshape(64, 4),
        others=thresholds(marginal / marginal.sum()),
        extra_ends=_ends([rate for rate, _, _, _ in extras]),
        extra_kinds=np.array([kind for _, kind, _, _ in extras], np.int64),
        extra_outcomes=np.array([at for _, _, at, _ in extras], np.int64),
        extra_centres=np.array([middle for _, _, _, middle in extras]),
        extra_gap=1.0 / total if total > 0.0 else 0.0,
        early_ends=_ends(dark),
        early_gap=1.0 / early if early > 0.0 else 0.0,
    )


def _state_weights(link: LinkParameters) -> NDArray[np.float64]:
    """Probability of each of the 16 state bytes."""
    weights = np.zeros(16)
    pairs = np.repeat(state_probabilities(link.source), 2) / 2.0
    weights[: pairs.size] = pairs
    return weights


def _shape(link: LinkParameters) -> NDArray[np.float64]:
    sigma, half, apart = timing(link).sigma_s * _PS, link.window_s * _PS / 2.0, link.bin_s * _PS
    slot = _PS / link.source.clock_hz
    if sigma == 0.0:
        return np.array([0.0, 0.5, 0.0, half, 0.0, apart, 0.5, 0.0, slot])
    inside, beyond = _below(-half / sigma), _below(-(apart - half) / sigma)
    return np.array([sigma, inside, 1.0 - 2.0 * inside, half, beyond, apart, beyond, inside - beyond, slot])


def _kinds(link: LinkParameters, seen: NDArray[np.float64], marginal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shares of signal, leak and uniform clicks, float64[16, 4, 3], given state and outcome."""
    at, errors = timing(link), basis_errors(link.receiver)
    mean = expectation(link)
    afterpulse = mean.afterpulses / mean.live * marginal / marginal.sum()
    uniform, inflow = _background(link)
    shares = np.zeros((16, 4, 3))
    for state in range(16):
        for outcome in range(4):
            total = float(seen[state, outcome])
            if total <= 0.0:
                shares[state, outcome] = 0.0, 0.0, 1.0
                continue
            basis = outcome >> 1
            dark = min(float(uniform[basis]), total)
            beside = min(float(inflow[basis]), total - dark)
            own = (total - dark - beside) * _own_leak(link, at, errors[basis], state, outcome)
            false = float(afterpulse[outcome])
            whole = total + false
            shares[state, outcome] = (
                (total - dark - beside - own) / whole,
                (beside + own) / whole,
                (dark + false) / whole,
            )
    return shares


def _background(link: LinkParameters) -> tuple[tuple[float, float], tuple[float, float]]:
    """Probabilities a gate, in the key and the test arm, of a false count and of light leaked from beside."""
    lit = bob_optics(link)
    dark = bob_optics(replace(link, fibre=replace(link.fibre, connectors_db=_ALL_LOST_DB)))
    share = (lit.key_basis, 1.0 - lit.key_basis) if lit.choice is BasisChoice.ACTIVE else (1.0, 1.0)
    arms: tuple[tuple[Arm, Arm, float], ...] = (
        (lit.key, dark.key, share[0]),
        (lit.test, dark.test, share[1]),
    )
    key, test = (((1.0 - d.quiet) * s, (1.0 - a.quiet / d.quiet) * s) for a, d, s in arms)
    return (key[0], test[0]), (key[1], test[1])


def _own_leak(link: LinkParameters, at: Timing, error: float, state: int, outcome: int) -> float:
    """Share of an outcome's own light that jitter carried there from the slot's other bin: time-bin light only."""
    if link.receiver.front_end is not FrontEnd.TIME_BIN or at.leaked_per_side == 0.0:
        return 0.0
    if state >> 1 & 1 != outcome >> 1:
        kept, leaked = at.kept, at.leaked_per_side
    else:
        part = 1.0 - error if state & 1 == outcome & 1 else error
        leaked = at.leaked_per_side * (0.5 if outcome >> 1 else 1.0 - part)
        kept = at.kept * part
    return leaked / (kept + leaked) if leaked > 0.0 else 0.0


def _extras(link: LinkParameters, marginal: NDArray[np.float64]) -> list[tuple[float, int, int, float]]:
    """(rate a slot, kind, outcome, middle) of what a tagger records beside the clicks that count."""
    time_bin = link.receiver.front_end is FrontEnd.TIME_BIN
    slot_s = 1.0 / link.source.clock_hz
    passive = link.receiver.basis_choice is BasisChoice.PASSIVE
    to_key = link.receiver_key_basis if passive else 0.5
    noise = detected_noise_rate_hz(link)
    rows: list[tuple[float, int, int, float]] = []
    late = link.bin_s * _PS if time_bin else 0.0
    detectors = (0, 2, 3) if time_bin else (0, 1, 2, 3)
    if link.detector.kind is not DetectorKind.GATED_APD:
        for outcome in detectors:
            share = (to_key if outcome < 2 else 1.0 - to_key) * (1.0 if time_bin and outcome < 2 else 0.5)
            rows.append(((link.detector.dark_rate_hz + noise * share) * slot_s, ANYWHERE, outcome, 0.0))
        at = timing(link)
        beyond = max(0.0, 1.0 - at.kept - 2.0 * at.leaked_per_side)
        for outcome in range(4):
            middle = 0.0 if outcome == 0 else late
            rows.append((float(marginal[outcome]) * beyond / max(at.kept, 1e-9), TAIL, outcome, middle))
    if time_bin:
        beside = min(1.0, 10.0 ** (link.receiver.test_loss_db / 10.0) - 1.0)
        rows += [(float(marginal[outcome]) * beside, SIGNAL, outcome, 0.0) for outcome in (2, 3)]
    return [row for row in rows if row[0] > 0.0]


def _ends(rates: list[float]) -> NDArray[np.int64]:
    if sum(rates) <= 0.0:
        return np.zeros(len(rates), np.int64)
    ends = thresholds(np.array(rates) / sum(rates))
    ends[-1] = 1 << 32
    return ends


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0.0)


def _below(z: float) -> float:
    """The normal law's distribution function."""
    return 0.5 * math.erfc(-z / math.sqrt(2.0))
