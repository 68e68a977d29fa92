"""The closed form: what a link gives on average, exact for the event stream of `poliqi.optics.sampler`."""

from __future__ import annotations

from dataclasses import dataclass

from poliqi.base.errors import ConfigError
from poliqi.optics.detector import release_probability
from poliqi.optics.pairs import prepared
from poliqi.optics.parameters import BasisChoice, DeadTimeModel, LinkParameters
from poliqi.optics.receiver import Optics, bob_optics
from poliqi.optics.renewal import Cycle, cycle, paralysable_cycle
from poliqi.optics.response import Response, responses
from poliqi.optics.states import Prepared
from poliqi.proof import BasisCounts, Counts

__all__ = [
    "Expectation",
    "detector_cycle",
    "expectation",
    "expected_counts",
    "mean_click",
    "stated_intensities",
]


@dataclass(frozen=True, slots=True)
class Expectation:
    """Averages of a link; tuples stand brightest intensity first, and have one entry for pairs.

    Per live slot: `gains`, the probability D_mu of a click given the intensity (of pairs: of a click at Bob), and
    `click`, that of any click;
    afterpulses are not in these. Per emitted pulse, dead time and afterpulses included: `key` and `test`, sifted
    detections (n) and errors (m) with Alice's choice of intensity and basis in them; `clicks`; `doubles`, clicks in
    which more than one outcome fired; `afterpulses`. `live` is the share of live slots.
    """

    gains: tuple[float, ...]
    click: float
    live: float
    clicks: float
    doubles: float
    afterpulses: float
    key: BasisCounts
    test: BasisCounts
    cycle_mean: float
    cycle_variance: float

    @property
    def qber_key(self) -> float:
        """Error rate of all sifted key-basis detections."""
        return _ratio(self.key)

    @property
    def qber_test(self) -> float:
        """Error rate of all sifted test-basis detections."""
        return _ratio(self.test)


def expectation(link: LinkParameters) -> Expectation:
    """Averages of `link`. Raises ConfigError where no detector can ever click."""
    optics = bob_optics(link)
    table = responses(link, optics)
    states = prepared(link)
    click = mean_click(link, table, states)
    if click <= 0.0:
        raise ConfigError("detector: neither light nor darkness ever clicks (efficiency and dark counts are 0)")
    about = detector_cycle(link, click)
    trap_key = _trap_in_key(states, optics, table, about)
    per_pulse = 1.0 / about.mean
    key_n: list[float] = []
    key_m: list[float] = []
    test_n: list[float] = []
    test_m: list[float] = []
    doubles = about.released * click
    for p, (in_key, in_test) in zip(states.probabilities, table, strict=True):
        for share, seen, trap, n, m in (
            (states.key_basis, in_key, trap_key, key_n, key_m),
            (1.0 - states.key_basis, in_test, 1.0 - trap_key, test_n, test_m),
        ):
            right, wrong = _with_afterpulse(seen, trap, passive=optics.choice is BasisChoice.PASSIVE)
            right = about.plain * seen.right + about.released * right
            wrong = about.plain * seen.wrong + about.released * wrong
            n.append(per_pulse * p * share * (right + wrong))
            m.append(per_pulse * p * share * wrong)
            single = seen.single_right + seen.single_wrong + seen.single_cross
            doubles += about.plain * p * share * (seen.click - single)
    levels = len(link.source.intensities)  # of pairs one: where Alice saw nothing, nothing is sifted
    gains = (states.key_basis * k.click + (1.0 - states.key_basis) * t.click for k, t in table)
    return Expectation(
        gains=tuple(gains) if link.pairs is None else (click,),
        click=click,
        live=(about.plain + about.released) * per_pulse,
        clicks=per_pulse,
        doubles=doubles * per_pulse,
        afterpulses=about.released * per_pulse,
        key=BasisCounts(tuple(key_n[:levels]), tuple(key_m[:levels])),
        test=BasisCounts(tuple(test_n[:levels]), tuple(test_m[:levels])),
        cycle_mean=about.mean,
        cycle_variance=about.variance,
    )


def expected_counts(link: LinkParameters, pulses: float) -> Counts:
    """Mean counts of a block of `pulses`, as a proof takes them."""
    mean = expectation(link)
    return Counts(*stated_intensities(link), mean.key.scaled(pulses), mean.test.scaled(pulses))


def stated_intensities(link: LinkParameters) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The intensities and probabilities that a proof rests on: none for pairs, whose source is not trusted."""
    return ((), ()) if link.pairs is not None else (link.source.intensities, link.source.probabilities)


def mean_click(
    link: LinkParameters, table: list[tuple[Response, Response]], states: Prepared | None = None
) -> float:
    """D, the probability that a live slot clicks, over Alice's states (those that `table` was made for)."""
    states = prepared(link) if states is None else states
    share = states.key_basis
    return sum(
        p * (share * k.click + (1.0 - share) * t.click)
        for p, (k, t) in zip(states.probabilities, table, strict=True)
    )


def detector_cycle(link: LinkParameters, click: float) -> Cycle:
    """From one click of Bob's to the next."""
    if link.detector.dead_time_model is DeadTimeModel.PARALYSABLE:
        return paralysable_cycle(click, link.dead_slots)
    return cycle(click, link.dead_slots, link.detector.afterpulse, release_probability(link))


def _trap_in_key(states: Prepared, optics: Optics, table: list[tuple[Response, Response]], about: Cycle) -> float:
    """Probability that an afterpulse alone counts in the key basis.

    Active choice: that of the slot. Passive: that the click before it was in the key basis; pi_K solves
    pi_K = (E[J] - F) O_K + F [pi_K (1 - O_T/2) + (1 - pi_K) O_K/2], O_B being the outcomes in basis B per slot.
    """
    if optics.choice is BasisChoice.ACTIVE or about.released == 0.0:
        return optics.key_basis
    share = states.key_basis
    in_key = in_test = 0.0
    for p, (k, t) in zip(states.probabilities, table, strict=True):
        in_key += p * (share * (k.right + k.wrong) + (1.0 - share) * t.cross)
        in_test += p * (share * k.cross + (1.0 - share) * (t.right + t.wrong))
    released = about.released
    even = released * in_key / 2.0
    return (about.plain * in_key + even) / (1.0 - released * (1.0 - in_test / 2.0) + even)


def _with_afterpulse(seen: Response, trap: float, *, passive: bool) -> tuple[float, float]:
    """(right, wrong) of a slot in which a carrier is released; its bit owes nothing to Alice's.

    `trap` is the probability that the false click counts in the basis Alice used. Where light clicks too, the two
    are one event: a random basis if they differ in it, then a random bit if they differ in that.
    """
    alone = (1.0 - seen.click) * trap / 2.0
    if not passive:
        return alone + 0.75 * seen.right + 0.25 * seen.wrong, alone + 0.75 * seen.wrong + 0.25 * seen.right
    keep, swap = 0.75 * trap + 0.5 * (1.0 - trap), 0.25 * trap
    false = alone + seen.cross * trap / 4.0
    return false + keep * seen.right + swap * seen.wrong, false + keep * seen.wrong + swap * seen.right


def _ratio(basis: BasisCounts) -> float:
    total = basis.total_detections
    return basis.total_errors / total if total > 0.0 else 0.0
