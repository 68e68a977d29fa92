"""Entangled pairs: what Alice and Bob see together, in closed form, exact for threshold detectors.

A slot's light is K independent copies of the two-mode squeezed light of a down-converter, each with two modes of
polarisation of mean pair number lambda = mu/(2 K). With K = 1 the number of pairs is thermal in each polarisation
(Ma, Fung and Lo, Phys. Rev. A 76, 012307 (2007), equation (5)); with K without end it is Poissonian and the pairs
are independent of each other. A detector that takes the share M (a 2x2 matrix: how much of which polarisation)
stays silent with :exp(-a+ M a):, so that a set of detectors at Alice, with A = 1 - sum M, and one at Bob, with B,
are silent together with probability

    V(A, B) = det(1 + lambda (1 - A B))^(-K),   exp(-mu (1 - tr(A B)/2)) for K without end,

times the probabilities that no background clicks there. All outcomes are sums of such terms. A and B are real
combinations of 1, sigma_z (key basis) and sigma_x (test basis); the pairs' visibility and an intercepting Eve
shrink the last two of B. Bits are named so that both ends find the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import ConfigError
from poliqi.optics.arms import alice_arm, bob_arm
from poliqi.optics.detector import release_probability
from poliqi.optics.parameters import (
    Attack,
    AttackKind,
    BasisChoice,
    DeadTimeModel,
    LinkParameters,
    PairStatistics,
)
from poliqi.optics.receiver import Arm, Optics, bob_optics
from poliqi.optics.renewal import Cycle, cycle, paralysable_cycle
from poliqi.optics.source import mean_intensity
from poliqi.optics.states import Prepared

__all__ = ["Joint", "Seen", "joint_probabilities", "pair_probabilities", "prepared"]

Floats = NDArray[np.float64]

_SETS: Final = 16
"""Sets of silent outcomes; bits 0 to 3 stand for key 0, key 1, test 0, test 1."""
_REFUSED: Final = (AttackKind.PHOTON_NUMBER_SPLITTING, AttackKind.TIME_SHIFT)


@dataclass(frozen=True, slots=True, eq=False)
class Joint:
    """Probabilities per slot: `both` float64[5, 5] of what Alice and Bob see while both are live, `single` the part
    of it in which one outcome alone clicked at Bob. Rows are Alice's, columns Bob's: key 0, key 1, test 0, test 1
    (a click of several outcomes counts as a random one of them), and nothing.
    """

    both: Floats
    single: Floats


class Seen(NamedTuple):
    """Probabilities per slot in which Bob is live, Alice's dead time and afterpulses taken into account.

    `total` and `single` float64[5, 4]: rows Alice's key 0, key 1, test 0, test 1 and nothing, columns Bob's
    outcomes; `single`: where one of them alone clicked. `alice` is how often Alice clicks in a slot, `alice_key`
    the share of the key basis in that.
    """

    total: Floats
    single: Floats
    alice: float
    alice_key: float


class _End(NamedTuple):
    """One end as one choice of basis leaves it: weight, components (1, z, x) of each set's matrix, and quiet."""

    weight: float
    parts: Floats
    quiet: Floats


def _coefficients(*, single: bool) -> Floats:
    """float64[5, 16]: each outcome as a sum of silences, P = sum_S c_S P(the outcomes in S are silent).

    One click: (1 - q_r)(1 + q_w)(1 + q_0 q_1)/4 as in `poliqi.optics.response`; alone: (1 - q_r) q_w q_0 q_1.
    """
    table = np.zeros((5, _SETS))
    for at in range(4):
        own, wrong = 1 << at, 1 << (at ^ 1)
        other = 0b1100 if at < 2 else 0b0011
        if single:
            table[at, wrong | other] = 1.0
            table[at, own | wrong | other] = -1.0
            continue
        for r, w, x in product((0, own), (0, wrong), (0, other)):
            table[at, r | w | x] = -0.25 if r else 0.25
    table[4, 15] = 1.0
    return table


_ANY: Final = _coefficients(single=False)
_ALONE: Final = _coefficients(single=True)


def joint_probabilities(link: LinkParameters) -> Joint:
    """What both ends of a link of pairs see in a slot in which all detectors are live."""
    assert link.pairs is not None
    if link.attack.kind in _REFUSED:
        raise ConfigError(f"attack.kind: {link.attack.kind} acts on weak pulses; it is not modelled for pairs")
    both, single = np.zeros((5, 5)), np.zeros((5, 5))
    alices, bobs = _ends(bob_optics(alice_arm(link))), _ends(bob_optics(bob_arm(link)))
    for a, b in product(alices, bobs):
        for share, kept_z, kept_x in _kept(link):
            silent = _silences(link, a, b, kept_z, kept_x)
            both += share * a.weight * b.weight * (_ANY @ silent @ _ANY.T)
            single += share * a.weight * b.weight * (_ANY @ silent @ _ALONE.T)
    both[4, 4] += 1.0  # silences stand as V - 1, which cancels everywhere but where both see nothing
    return Joint(both, single)


def _kept(link: LinkParameters) -> tuple[tuple[float, float, float], ...]:
    """(share of slots, correlation kept in the key basis, in the test basis): of the pairs, and after Eve.

    Intercept-resend: she measures each photon of a slot that flies to Bob in one basis, and sends on what she
    found.
    """
    pairs, attack = link.pairs, link.attack
    assert pairs is not None
    z, x = pairs.visibility_key, pairs.visibility_test
    if attack.kind is not AttackKind.INTERCEPT_RESEND:
        return ((1.0, z, x),)
    f, in_key = attack.fraction, attack.key_basis
    parts = ((1.0 - f, z, x), (f * in_key, z, 0.0), (f * (1.0 - in_key), 0.0, x))
    return tuple(part for part in parts if part[0] > 0.0)


def _ends(optics: Optics) -> list[_End]:
    if optics.choice is BasisChoice.PASSIVE:
        return [_end(1.0, optics.key, optics.test)]
    return [
        end
        for end in (_end(optics.key_basis, optics.key, None), _end(1.0 - optics.key_basis, None, optics.test))
        if end.weight > 0.0
    ]


def _end(weight: float, key: Arm | None, test: Arm | None) -> _End:
    parts, quiet = np.zeros((_SETS, 3)), np.ones(_SETS)
    parts[:, 0] = 1.0
    for arm, axis, first in ((key, 1, 0), (test, 2, 2)):
        if arm is None:
            continue
        even, odd = (arm.right + arm.wrong) / 2.0, (arm.right - arm.wrong) / 2.0
        for at, sign in ((first, 1.0), (first + 1, -1.0)):
            inside = np.flatnonzero(np.arange(_SETS) >> at & 1)
            parts[inside, 0] -= even
            parts[inside, axis] -= sign * odd
            quiet[inside] *= arm.quiet
    return _End(weight, parts, quiet)


def _silences(link: LinkParameters, alice: _End, bob: _End, kept_z: float, kept_x: float) -> Floats:
    """float64[16, 16]: probability that a set at Alice and a set at Bob are silent together, less 1.

    For real symmetric 2x2 matrices tr(A B) and det A det B are all that det(1 + lambda (1 - A B)) needs.
    """
    mu = mean_intensity(link.source)
    a, b = alice.parts, bob.parts * np.array([1.0, kept_z, kept_x])
    trace = 2.0 * (a @ b.T)
    if link.pairs is not None and link.pairs.statistics is PairStatistics.THERMAL:
        det_a, det_b = (p[:, 0] ** 2 - p[:, 1] ** 2 - p[:, 2] ** 2 for p in (a, b))
        mode = mu / 2.0
        bright = -np.log1p(mode * (2.0 - trace) + mode * mode * (1.0 - trace + np.outer(det_a, det_b)))
    else:
        bright = -mu * (1.0 - trace / 2.0)
    silent: Floats = np.expm1(bright + np.log(np.outer(alice.quiet, bob.quiet)))
    return silent


@lru_cache(maxsize=64)
def pair_probabilities(link: LinkParameters) -> Seen:
    """What Bob sees in a slot in which he is live, and what Alice sees there.

    Alice's dead time and afterpulses are taken as chances of each slot on its own: in a share of the slots she is
    live, in a share a trapped carrier clicks, a random bit in the basis of a random click. Her mean rate is that of
    the renewal process (`poliqi.optics.renewal`); that her dead slots and Bob's tend to coincide, because pairs
    begin both, is left out, and with it at most the share of time in which both are dead.
    """
    joint = joint_probabilities(link)
    arm = alice_arm(link)
    own = joint.both[:4].sum(axis=1)
    click = float(own.sum())
    if click <= 0.0 or float(joint.both[:, :4].sum()) <= 0.0:
        raise ConfigError("pairs: one end never clicks (no light, no efficiency, no dark counts)")
    about = _cycle(arm, click)
    live, trapped = about.plain / about.mean, about.released / about.mean
    false = trapped * own / click
    false[0::2] = false[1::2] = (false[0::2] + false[1::2]) / 2.0
    bob, bob_single = joint.both[:, :4].sum(axis=0), joint.single[:, :4].sum(axis=0)
    total, single = np.empty((5, 4)), np.empty((5, 4))
    total[:4] = live * joint.both[:4, :4] + np.outer(false, bob)
    single[:4] = live * joint.single[:4, :4] + np.outer(false, bob_single)
    total[4], single[4] = bob - total[:4].sum(axis=0), bob_single - single[:4].sum(axis=0)
    return Seen(
        np.maximum(total, 0.0), np.maximum(single, 0.0), live * click + trapped, float(own[:2].sum()) / click
    )


def _cycle(arm: LinkParameters, click: float) -> Cycle:
    if arm.detector.dead_time_model is DeadTimeModel.PARALYSABLE:
        return paralysable_cycle(click, arm.dead_slots)
    return cycle(click, arm.dead_slots, arm.detector.afterpulse, release_probability(arm))


def prepared(link: LinkParameters) -> Prepared:
    """How often which state is Alice's, as the simulated devices of `link` make them.

    Weak pulses: as the source says. Pairs: what Alice sees where Bob clicks, since nobody asks for her state of
    another slot, so that no candidate click is ever thrown away; where Bob has afterpulses, which come in slots of
    their own choice, what she sees in any slot. It is that of the honest link: somebody on Bob's fibre changes what
    he sees, never what she is taken to have.
    """
    if link.pairs is None:
        return Prepared(link.source.probabilities, link.source.key_basis)
    honest = link if link.attack.kind is AttackKind.NONE else replace(link, attack=Attack())
    seen = pair_probabilities(honest)
    if link.detector.afterpulse > 0.0:
        return Prepared((seen.alice, 1.0 - seen.alice), seen.alice_key)
    states = seen.total.sum(axis=1)
    clicked = float(states[:4].sum())
    share = clicked / float(states.sum())
    return Prepared((share, 1.0 - share), float(states[:2].sum()) / clicked)
