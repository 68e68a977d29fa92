"""What Bob's live detectors answer to one pulse: probabilities of outcomes given what Alice prepared.

Four outcomes, two in each basis, click independently given the light. One click is an outcome; several are
one outcome too: clicks in both bases become a random basis, two clicks in a basis a random bit. With q_r,
q_w, q_0, q_1 the probabilities that the right, the wrong and the two cross-basis outcomes stay silent,

    P(right) = (1 - q_r)(1 + q_w)/2 (1 + q_0 q_1)/2
    P(wrong) = (1 - q_w)(1 + q_r)/2 (1 + q_0 q_1)/2
    P(cross) = (1 - q_0 q_1)(1 + q_r q_w)/2

Each q stands in first power in each product, so an average over pulses of different light is an average
of such terms. The two bit values are alike in everything, so all is written for one of them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from poliqi.optics.attack import Delivered, deliveries
from poliqi.optics.parameters import BasisChoice, LinkParameters
from poliqi.optics.receiver import Arm, Optics

__all__ = ["Response", "responses"]


class Response(NamedTuple):
    """Outcome probabilities of a live slot for one intensity and one basis of Alice's.

    `right`, `wrong`: Bob's outcome in her basis; `cross`: in the other, both bits together. The `single_`
    ones are the part where one outcome alone clicked.
    """

    right: float
    wrong: float
    cross: float
    single_right: float
    single_wrong: float
    single_cross: float

    @property
    def click(self) -> float:
        """Probability of any click."""
        return self.right + self.wrong + self.cross


def responses(link: LinkParameters, optics: Optics) -> list[tuple[Response, Response]]:
    """The responses to (key, test) states for each intensity, brightest first."""
    light = deliveries(link, optics)
    return [(_average(optics, row, in_key=True), _average(optics, row, in_key=False)) for row in light]


def _average(optics: Optics, row: list[Delivered], *, in_key: bool) -> Response:
    own, other = (optics.key, optics.test) if in_key else (optics.test, optics.key)
    own_share = optics.key_basis if in_key else 1.0 - optics.key_basis
    total = [0.0] * 6
    for delivered in row:
        keeps_basis = delivered.basis_kept(in_key=in_key)
        for weight, kept in ((keeps_basis, True), (1.0 - keeps_basis, False)):
            if weight > 0.0:
                _add(total, optics, own, other, own_share, delivered, weight * delivered.weight, kept=kept)
    return Response(*total)


def _add(
    total: list[float],
    optics: Optics,
    own: Arm,
    other: Arm,
    own_share: float,
    delivered: Delivered,
    weight: float,
    *,
    kept: bool,
) -> None:
    """Add the answer to one kind of light: `kept` where it still carries the basis that Alice prepared."""
    shares = (
        (own.right, own.wrong, other.even, other.even) if kept else (own.even, own.even, other.right, other.wrong)
    )
    quiet = (own.quiet, own.quiet, other.quiet, other.quiet)
    if optics.choice is BasisChoice.PASSIVE:
        parts = ((1.0, shares, quiet),)
    else:
        parts = (
            (own_share, (*shares[:2], 0.0, 0.0), (*quiet[:2], 1.0, 1.0)),
            (1.0 - own_share, (0.0, 0.0, *shares[2:]), (1.0, 1.0, *quiet[2:])),
        )
    for share, seen, dark in parts:
        silent = [q * math.exp(-delivered.mu * s) for q, s in zip(dark, seen, strict=True)]
        _count(total, weight * share * (1.0 - delivered.photon), silent)
        if delivered.photon > 0.0:
            # one photon for certain: it goes to one outcome, as the light's shares say, and clicks there
            everywhere = sum(seen)
            for at, s in enumerate(seen):
                hit = list(dark)
                hit[at] = 0.0
                _count(total, weight * share * delivered.photon * s / everywhere, hit)


def _count(total: list[float], weight: float, silent: list[float] | tuple[float, ...]) -> None:
    q_r, q_w, q_0, q_1 = silent
    q_x, q_s = q_0 * q_1, q_r * q_w
    total[0] += weight * (1.0 - q_r) * (1.0 + q_w) * (1.0 + q_x) / 4.0
    total[1] += weight * (1.0 - q_w) * (1.0 + q_r) * (1.0 + q_x) / 4.0
    total[2] += weight * (1.0 - q_x) * (1.0 + q_s) / 2.0
    total[3] += weight * (1.0 - q_r) * q_w * q_x
    total[4] += weight * (1.0 - q_w) * q_r * q_x
    total[5] += weight * q_s * ((1.0 - q_0) * q_1 + q_0 * (1.0 - q_1))
