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
from collections.abc import Iterator
from typing import NamedTuple

from poliqi.optics.attack import Delivered, deliveries
from poliqi.optics.pairs import Seen, pair_probabilities, prepared
from poliqi.optics.parameters import AttackKind, BasisChoice, LinkParameters
from poliqi.optics.receiver import Arm, Optics
from poliqi.optics.states import Prepared

__all__ = ["Response", "Silence", "answer", "controlled", "responses", "silences"]

Silence = tuple[float, float, float, float]
"""Probabilities that the right, the wrong and the two outcomes of the other basis stay silent."""


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


def responses(
    link: LinkParameters, optics: Optics, states: Prepared | None = None
) -> list[tuple[Response, Response]]:
    """The responses to (key, test) states for each intensity, brightest first.

    Of pairs: to what Alice found, and to nothing; `states` says how often (default: as `prepared` of the link).
    """
    if link.pairs is not None:
        table = _paired(pair_probabilities(link), prepared(link) if states is None else states)
    else:
        light = deliveries(link, optics)
        table = [(answer(optics, row, in_key=True), answer(optics, row, in_key=False)) for row in light]
    blind = link.attack.fraction if link.attack.kind is AttackKind.BLINDING else 0.0
    if blind == 0.0:
        return table
    forced = controlled(table, optics)
    return [(_mixed(a, b, blind), _mixed(c, d, blind)) for (a, c), (b, d) in zip(table, forced, strict=True)]


def _paired(seen: Seen, states: Prepared) -> list[tuple[Response, Response]]:
    """Joint probabilities of what both ends see, over how often Alice's state is what it is."""
    clicked, nothing = states.probabilities
    key, test = clicked * states.key_basis, clicked * (1.0 - states.key_basis)
    rows = [
        [
            (
                table[first, first] + table[first + 1, first + 1],
                table[first, first + 1] + table[first + 1, first],
                table[first : first + 2, 2 - first : 4 - first].sum(),
            )
            for table in (seen.total, seen.single)
        ]
        for first in (0, 2)
    ]
    none = [
        [
            (table[4, first : first + 2].sum() / 2.0,) * 2 + (table[4, 2 - first : 4 - first].sum(),)
            for table in seen[:2]
        ]
        for first in (0, 2)
    ]
    return [
        (_over(key, rows[0]), _over(test, rows[1])),
        (_over(nothing, none[0]), _over(nothing, none[1])),
    ]


def _over(often: float, joint: list[tuple[float, float, float]]) -> Response:
    scale = 1.0 / often if often > 0.0 else 0.0
    return Response(*(float(p) * scale for p in (*joint[0], *joint[1])))


def controlled(table: list[tuple[Response, Response]], optics: Optics) -> list[tuple[Response, Response]]:
    """What a receiver answers whose detectors Eve holds blind, where `table` is what it answers to Alice.

    Eve measured each pulse with a copy of it and makes the outcome that she found click, alone: bright light in
    Bob's basis reaches one detector above its threshold, in the other basis two below theirs. Behind a splitter an
    arm always stands in Eve's basis. That is an upper bound on her: where it is more biased than 2 : 1, a simple
    bright pulse that fires a detector of the weaker arm fires both of the stronger one. A receiver that chose the
    other basis stays silent, so Eve sends more often by what she loses in all, and the shares of the two bases move
    (L. Lydersen et al., Nat. Photonics 4, 686 (2010)).
    """
    key, test = 1.0, 1.0
    if optics.choice is BasisChoice.ACTIVE:
        z = optics.key_basis
        lost = z * z + (1.0 - z) * (1.0 - z)
        key, test = z / lost, (1.0 - z) / lost
        most = max(
            max(k.right * key + k.wrong * key + k.cross * test, t.right * test + t.wrong * test + t.cross * key)
            for k, t in table
        )
        if most > 1.0:
            key, test = key / most, test / most
    return [(_forced(k, key, test), _forced(t, test, key)) for k, t in table]


def _forced(seen: Response, own: float, other: float) -> Response:
    right, wrong, cross = seen.right * own, seen.wrong * own, seen.cross * other
    return Response(right, wrong, cross, right, wrong, cross)


def _mixed(a: Response, b: Response, share: float) -> Response:
    return Response(*(x * (1.0 - share) + y * share for x, y in zip(a, b, strict=True)))


def silences(optics: Optics, row: list[Delivered], *, in_key: bool) -> Iterator[tuple[float, Silence]]:
    """(weight, who stays silent with what probability) of each kind of light in `row`, given Alice's basis."""
    own, other = (optics.key, optics.test) if in_key else (optics.test, optics.key)
    own_share = optics.key_basis if in_key else 1.0 - optics.key_basis
    for delivered in row:
        keeps_basis = delivered.basis_kept(in_key=in_key)
        for weight, kept in ((keeps_basis, True), (1.0 - keeps_basis, False)):
            if weight > 0.0:
                yield from _of(optics, own, other, own_share, delivered, weight * delivered.weight, kept=kept)


def answer(optics: Optics, row: list[Delivered], *, in_key: bool) -> Response:
    """The response of detectors that nobody controls to a mixture of light, given Alice's basis."""
    total = [0.0] * 6
    for weight, silent in silences(optics, row, in_key=in_key):
        _count(total, weight, silent)
    return Response(*total)


def _of(
    optics: Optics, own: Arm, other: Arm, own_share: float, delivered: Delivered, weight: float, *, kept: bool
) -> Iterator[tuple[float, Silence]]:
    """The answer to one kind of light: `kept` where it still carries the basis that Alice prepared."""
    shares = (
        (own.right, own.wrong, other.even, other.even) if kept else (own.even, own.even, other.right, other.wrong)
    )
    a, b = delivered.same, delivered.opposite
    if a != b or a != 1.0:
        shares = (shares[0] * a, shares[1] * b, shares[2] * a, shares[3] * b)
    quiet = (own.quiet, own.quiet, other.quiet, other.quiet)
    if optics.choice is BasisChoice.PASSIVE:
        parts = ((1.0, shares, quiet),)
    else:
        parts = (
            (own_share, (*shares[:2], 0.0, 0.0), (*quiet[:2], 1.0, 1.0)),
            (1.0 - own_share, (0.0, 0.0, *shares[2:]), (1.0, 1.0, *quiet[2:])),
        )
    for share, seen, dark in parts:
        r, w, x, y = [q * math.exp(-delivered.mu * s) for q, s in zip(dark, seen, strict=True)]
        yield weight * share * (1.0 - delivered.photon), (r, w, x, y)
        if delivered.photon > 0.0:
            # one photon for certain: it goes to one outcome, as the light's shares say, and clicks there
            everywhere = sum(seen)
            for at, s in enumerate(seen):
                yield weight * share * delivered.photon * s / everywhere, _hit(dark, at)


def _hit(dark: Silence, at: int) -> Silence:
    r, w, x, y = (0.0 if i == at else q for i, q in enumerate(dark))
    return r, w, x, y


def _count(total: list[float], weight: float, silent: Silence) -> None:
    q_r, q_w, q_0, q_1 = silent
    q_x, q_s = q_0 * q_1, q_r * q_w
    total[0] += weight * (1.0 - q_r) * (1.0 + q_w) * (1.0 + q_x) / 4.0
    total[1] += weight * (1.0 - q_w) * (1.0 + q_r) * (1.0 + q_x) / 4.0
    total[2] += weight * (1.0 - q_x) * (1.0 + q_s) / 2.0
    total[3] += weight * (1.0 - q_r) * q_w * q_x
    total[4] += weight * (1.0 - q_w) * q_r * q_x
    total[5] += weight * q_s * ((1.0 - q_0) * q_1 + q_0 * (1.0 - q_1))
