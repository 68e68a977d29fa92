"""The event stream: Bob's clicks, one by one, at a cost that follows clicks and not pulses.

Candidate slots come at geometric gaps, at the click probability of the state that clicks most; a candidate is kept
with the probability of the state that Alice prepared there, relative to it. Her state is recomputed from (seed,
slot), so no array over pulses exists. Every probability is a threshold of 32 bits, off by at most 2^-33 of the
candidates' rate, and a gap's law by at most 2^-32 at any length.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import ConfigError
from poliqi.optics.channel import detector_cycle, mean_click
from poliqi.optics.counter import stream_keys, thresholds
from poliqi.optics.detector import release_probability
from poliqi.optics.pairs import prepared
from poliqi.optics.parameters import BasisChoice, DeadTimeModel, LinkParameters
from poliqi.optics.receiver import bob_optics
from poliqi.optics.response import Response, responses
from poliqi.optics.states import Prepared, guide_table, state_thresholds

__all__ = ["LAST_SLOT", "Clicks", "Plan", "Sampler", "outcome_probabilities", "plan_of"]

LAST_SLOT: Final = 1 << 62


@dataclass(frozen=True, slots=True, eq=False)
class Clicks:
    """Bob's clicks in `pulses` consecutive slots from `first_slot` on.

    `slots` int64[n], strictly increasing; `outcomes` uint8[n], bit 0 the bit value, bit 1 the basis (0 key,
    1 test); `doubles` tells how many of them were clicks of more than one detector, made random.
    """

    first_slot: int
    pulses: int
    slots: NDArray[np.int64] = field(repr=False)
    outcomes: NDArray[np.uint8] = field(repr=False)
    doubles: int


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A link as numbers for the kernels.

    `slots_per_deviate` turns an exponential deviate into a gap; `outcome_ends` int64[16 x 8] holds for each state
    byte the upper ends of its outcomes' ranges of 32-bit marks (4 outcomes, then the same as double clicks).
    """

    clicks_per_pulse: float
    slots_per_deviate: float
    dead_slots: int
    prolongs: bool
    trap_mark: int
    slots_per_release: float
    active_mark: int
    state_ends: NDArray[np.int64]
    outcome_ends: NDArray[np.int64]


def outcome_probabilities(table: list[tuple[Response, Response]]) -> NDArray[np.float64]:
    """Probabilities float64[16, 8] of outcomes (bit 0 value, bit 1 basis, bit 2 double) given the state byte."""
    out = np.zeros((16, 8))
    for level, pair in enumerate(table):
        for basis, seen in enumerate(pair):
            for bit in (0, 1):
                row = out[level << 2 | basis << 1 | bit]
                own, other = basis << 1, (1 - basis) << 1
                row[own | bit] = seen.single_right
                row[own | 1 - bit] = seen.single_wrong
                row[other : other + 2] = seen.single_cross / 2.0
                row[4 + (own | bit)] = seen.right - seen.single_right
                row[4 + (own | 1 - bit)] = seen.wrong - seen.single_wrong
                row[4 + other : 6 + other] = (seen.cross - seen.single_cross) / 2.0
    return np.maximum(out, 0.0)


def plan_of(link: LinkParameters, states: Prepared | None = None) -> Plan:
    """The plan of `link`, with Alice's states as often what `states` says (default: `prepared` of the link).

    Raises ConfigError where no detector can ever click.
    """
    optics = bob_optics(link)
    states = prepared(link) if states is None else states
    table = responses(link, optics, states)
    probabilities = outcome_probabilities(table)
    most = float(probabilities.sum(axis=1).max())
    if most <= 0.0:
        raise ConfigError("detector: neither light nor darkness ever clicks (efficiency and dark counts are 0)")
    detector = link.detector
    active = optics.choice is BasisChoice.ACTIVE
    return Plan(
        clicks_per_pulse=1.0 / detector_cycle(link, mean_click(link, table, states)).mean,
        slots_per_deviate=-1.0 / math.log1p(-most) if most < 1.0 else 0.0,
        dead_slots=link.dead_slots,
        prolongs=detector.dead_time_model is DeadTimeModel.PARALYSABLE,
        trap_mark=round(detector.afterpulse * 2.0**32),
        slots_per_release=-1.0 / math.log1p(-release_probability(link)) if detector.afterpulse > 0.0 else 0.0,
        active_mark=round(optics.key_basis * 2.0**32) if active else -1,
        state_ends=state_thresholds(states),
        outcome_ends=thresholds(probabilities / most),
    )


class Sampler:
    """Bob's clicks on `link` under `seed`: the same light for the same (link, seed), however it is taken.

    It starts at `first_slot` with live detectors; Alice's states are those of the absolute slots, and no
    deviate is used that a start at an earlier slot has used before reaching it.
    """

    def __init__(self, link: LinkParameters, seed: int, first_slot: int = 0) -> None:
        from poliqi.optics.kernels import NEVER, STATE_WORDS

        self._keys = np.array(stream_keys(seed), np.uint64)
        self._going = np.zeros(STATE_WORDS, np.int64)
        self._going[3] = NEVER
        # counter of candidates, position, counter of clicks: neither counter ever runs ahead of the slots
        self._going[0] = self._going[1] = self._going[5] = first_slot
        self.next_slot = first_slot
        self.replace_plan(plan_of(link))

    def replace_plan(self, plan: Plan) -> None:
        """Go on under another plan from the next slot on: a link whose loss or attacker changed."""
        self.plan = plan
        self._state_guide = guide_table(plan.state_ends)
        self._outcome_guide = np.concatenate([guide_table(row) for row in plan.outcome_ends])

    def take(self, pulses: int) -> Clicks:
        """The clicks of the next `pulses` slots. Raises ConfigError beyond slot 2^62."""
        first, end = self.next_slot, self.next_slot + pulses
        if pulses < 0 or end > LAST_SLOT:
            raise ConfigError(f"pulses: {pulses} from slot {first} on; slots end at {LAST_SLOT}: start a new seed")
        parts: list[tuple[NDArray[np.int64], NDArray[np.uint8]]] = []
        before = int(self._going[6])
        expected = pulses * self.plan.clicks_per_pulse
        done = pulses == 0
        while not done:
            done = self._fill(end, expected, parts)
            expected = expected / 8.0
        self.next_slot = end
        slots = [s for s, _ in parts]
        outcomes = [o for _, o in parts]
        return Clicks(
            first,
            pulses,
            slots[0] if len(slots) == 1 else np.concatenate([*slots, np.empty(0, np.int64)]),
            outcomes[0] if len(outcomes) == 1 else np.concatenate([*outcomes, np.empty(0, np.uint8)]),
            int(self._going[6]) - before,
        )

    def _fill(self, end: int, expected: float, parts: list[tuple[NDArray[np.int64], NDArray[np.uint8]]]) -> bool:
        from poliqi.optics.kernels import BATCH, dead_time_kernel, free_kernel

        room = int(expected + 6.0 * math.sqrt(expected)) + 2 * BATCH
        slots, outcomes = np.empty(room, np.int64), np.empty(room, np.uint8)
        plan = self.plan
        tables = (plan.outcome_ends.ravel(), self._outcome_guide, slots, outcomes)
        per_gap = plan.slots_per_deviate
        if plan.dead_slots == 0 and plan.trap_mark == 0:
            n = int(free_kernel(self._keys, self._going, end, per_gap, plan.state_ends, *tables))
        else:
            written = dead_time_kernel(
                self._keys,
                self._going,
                end,
                per_gap,
                plan.dead_slots,
                int(plan.prolongs),
                plan.trap_mark,
                plan.slots_per_release,
                plan.active_mark,
                plan.state_ends,
                self._state_guide,
                *tables,
            )
            n = int(written)
        parts.append((slots[:n], outcomes[:n]))
        return n + BATCH <= room
