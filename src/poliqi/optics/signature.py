"""What a link's meters read on average, whoever stands on its fibre: closed forms, as `channel` has for counts."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

from poliqi.optics.attack import deliveries, shifted
from poliqi.optics.channel import expectation
from poliqi.optics.detector import timing
from poliqi.optics.fibre import transmittance, way_loss_db
from poliqi.optics.pairs import prepared
from poliqi.optics.parameters import Attack, AttackKind, LinkParameters
from poliqi.optics.raman import LIGHT_SPEED, PLANCK
from poliqi.optics.receiver import Optics, background_per_slot, bob_optics, share_left
from poliqi.optics.response import Response, responses, silences

__all__ = ["Signature", "back_light_w", "signature"]

_PILOT_RANGE_DB: Final = 60.0
"""A pilot weaker than this against what arrives over a sound fibre reads as this."""


@dataclass(frozen=True, slots=True)
class Signature:
    """Means of one link under its attack.

    `key_share`: part of the unsifted clicks that Bob has in the key basis. `doubles`: part of the clicks in
    which more than one outcome fired; each adds `extra_key` and `extra_test` firings in the two bases to the
    one that counts (of pairs taken as half and half). `current_a`: bias current that no click draws.
    `arrival_s`: mean arrival of a click at an outcome of bit 0 against its gate's middle, the opposite for bit
    1; `spread_s`: standard deviation of one click's arrival about its outcome's mean. `pilot_loss_db`: between
    the devices. `back_light_w`: enters Alice's device.
    """

    key_share: float
    doubles: float
    extra_key: float
    extra_test: float
    current_a: float
    arrival_s: float
    spread_s: float
    pilot_loss_db: float
    back_light_w: float


def signature(link: LinkParameters) -> Signature:
    """The means of `link`. Raises ConfigError where no detector can ever click."""
    optics = bob_optics(link)
    table = responses(link, optics)
    mean = expectation(link)
    in_key, in_test = _doubles(link, optics) if link.pairs is None else (1.0, 1.0)
    everywhere = in_key + in_test
    arrival_s, spread_s = _arrival(link, mean.click)
    attack, kind = link.attack.fraction, link.attack.kind
    return Signature(
        key_share=_unsifted_in_key(link, table),
        doubles=min(1.0, mean.doubles / mean.clicks),
        extra_key=in_key / everywhere if everywhere > 0.0 else 0.5,
        extra_test=in_test / everywhere if everywhere > 0.0 else 0.5,
        current_a=attack * link.instruments.blinded_current_a if kind is AttackKind.BLINDING else 0.0,
        arrival_s=arrival_s,
        spread_s=spread_s,
        pilot_loss_db=_pilot_loss_db(link),
        back_light_w=back_light_w(link),
    )


def _unsifted_in_key(link: LinkParameters, table: list[tuple[Response, Response]]) -> float:
    """Part of the clicks in the other basis than Alice's that are in Bob's key basis."""
    probabilities, z = prepared(link)
    key = sum(p * (1.0 - z) * t.cross for p, (_, t) in zip(probabilities, table, strict=True))
    test = sum(p * z * k.cross for p, (k, _) in zip(probabilities, table, strict=True))
    return key / (key + test) if key + test > 0.0 else 0.5


def _doubles(link: LinkParameters, optics: Optics) -> tuple[float, float]:
    """Firings a slot beyond the one that counts, in both of Bob's bases. What Eve controls never fires twice."""
    if link.attack.kind is AttackKind.BLINDING:
        link = replace(link, attack=Attack())
    z, key, test = link.source.key_basis, 0.0, 0.0
    table = responses(link, optics)
    for p, row, (k, t) in zip(link.source.probabilities, deliveries(link, optics), table, strict=True):
        for share, in_key, seen in ((z, True, k), (1.0 - z, False, t)):
            own, other = -(seen.right + seen.wrong), -seen.cross
            for weight, (q_r, q_w, q_0, q_1) in silences(optics, row, in_key=in_key):
                own += weight * (2.0 - q_r - q_w)
                other += weight * (2.0 - q_0 - q_1)
            key += p * share * (own if in_key else other)
            test += p * share * (other if in_key else own)
    return max(0.0, key), max(0.0, test)


def _arrival(link: LinkParameters, click: float) -> tuple[float, float]:
    """(mean at bit 0's outcomes, spread about each outcome's mean) of the arrival time of a click.

    Light comes within its jitter, background anywhere in the window. A pulse that Eve moved by T, early or late at
    random, is seen by the two detectors as a to b, so that of those at bit 0 a/(a + b) are early ones.
    """
    attack = link.attack
    noise = min(1.0, background_per_slot(link) / click)
    if attack.kind is AttackKind.BLINDING:
        noise *= 1.0 - attack.fraction
    light = 1.0 - noise
    square = light * timing(link).sigma_s ** 2 + noise * link.window_s**2 / 12.0
    square += link.instruments.time_resolution_s**2
    mean = 0.0
    if attack.kind is AttackKind.TIME_SHIFT:
        good, bad = shifted(link)
        moved = attack.fraction * (good + bad) / 2.0
        moved = light * moved / (moved + 1.0 - attack.fraction)
        mean = -moved * link.mismatch_time_s * (good - bad) / (good + bad)
        square += moved * link.mismatch_time_s**2
    return mean, math.sqrt(max(0.0, square - mean * mean))


def _pilot_loss_db(link: LinkParameters) -> float:
    left = share_left(link)
    lost = _PILOT_RANGE_DB if left <= transmittance(_PILOT_RANGE_DB) else -10.0 * math.log10(left)
    return way_loss_db(link.fibre) + lost


def back_light_w(link: LinkParameters) -> float:
    """Power that Eve sends into Alice's device for so many photons a pulse to come back through its isolation."""
    if link.attack.kind is not AttackKind.TROJAN_HORSE:
        return 0.0
    photon_j = PLANCK * LIGHT_SPEED / link.source.wavelength_m
    back_w = link.attack.fraction * link.source.clock_hz * photon_j
    return back_w / transmittance(link.instruments.isolation_db)
