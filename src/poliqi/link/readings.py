"""What simulated meters read: the means of `poliqi.optics.signature` over what went by, and noise on each reading.

The noise comes of a simulation's generator, never of secret entropy: nothing in here touches a key.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from poliqi.link.health import Health

if TYPE_CHECKING:
    from poliqi.optics.instruments import Instruments
    from poliqi.optics.parameters import LinkParameters
    from poliqi.optics.signature import Signature

__all__ = ["NOTHING", "Gone", "alice_health", "bob_health", "gone_by"]

Four = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Gone:
    """What went by Bob's meters. `fired`: slots in which each outcome fired; the others are sums over slots or
    clicks: of the bias current that no click draws, of arrival times and their squares about the mean at each
    outcome, and of the pilot's loss.
    """

    pulses: int = 0
    fired: tuple[int, int, int, int] = (0, 0, 0, 0)
    doubles: int = 0
    current: float = 0.0
    arrival: Four = (0.0, 0.0, 0.0, 0.0)
    square: float = 0.0
    pilot: float = 0.0

    def __add__(self, other: Gone) -> Gone:
        return self._with(other, 1)

    def __sub__(self, other: Gone) -> Gone:
        return self._with(other, -1)

    def _with(self, other: Gone, sign: int) -> Gone:
        a, b, c, d = (x + sign * y for x, y in zip(self.fired, other.fired, strict=True))
        e, f, g, h = (x + sign * y for x, y in zip(self.arrival, other.arrival, strict=True))
        return Gone(
            self.pulses + sign * other.pulses,
            (a, b, c, d),
            self.doubles + sign * other.doubles,
            self.current + sign * other.current,
            (e, f, g, h),
            self.square + sign * other.square,
            self.pilot + sign * other.pilot,
        )


NOTHING: Final = Gone()


def gone_by(
    means: Signature, pulses: int, counted: list[int], doubles: int, generator: np.random.Generator
) -> Gone:
    """`pulses` slots with `counted` events at the four outcomes, of which `doubles` were clicks of more than one.

    The second outcome of a double click is drawn; three at once count as two.
    """
    key, test = means.extra_key / 2.0, means.extra_test / 2.0
    fired = list(counted)
    if doubles:
        extra: list[int] = generator.multinomial(doubles, (key, key, test, test)).tolist()
        fired = [n + more for n, more in zip(counted, extra, strict=True)]
    a, b, c, d = fired
    at = means.arrival_s
    return Gone(
        pulses,
        (a, b, c, d),
        doubles,
        pulses * means.current_a,
        (a * at, -b * at, c * at, -d * at),
        (a + b + c + d) * means.spread_s**2,
        pulses * means.pilot_loss_db,
    )


def bob_health(gone: Gone, link: LinkParameters, generator: np.random.Generator) -> Health:
    """One reading of Bob's meters over what went by since the one before."""
    meters, clicks = link.instruments, sum(gone.fired)
    if gone.pulses == 0:
        return Health(0, (0, 0, 0, 0), 0)
    noise: list[float] = generator.standard_normal(8).tolist()
    current = gone.current / gone.pulses + meters.click_charge_c * clicks * link.source.clock_hz / gone.pulses
    spread_s = math.sqrt(gone.square / clicks) if clicks else 0.0
    wander_s = meters.time_noise_s * noise[0]
    arrival = [
        None if n == 0 else total / n + wander_s + spread_s / math.sqrt(n) * x
        for n, total, x in zip(gone.fired, gone.arrival, noise[1:5], strict=True)
    ]
    a, b, c, d = arrival
    return Health(
        gone.pulses,
        gone.fired,
        gone.doubles,
        photocurrent_a=current + meters.current_noise_a * noise[5],
        arrival_s=(a, b, c, d),
        arrival_spread_s=None if clicks < 2 else max(0.0, spread_s * (1.0 + noise[6] / math.sqrt(2.0 * clicks))),
        pilot_loss_db=gone.pilot / gone.pulses + meters.pilot_noise_db * noise[7],
    )


def alice_health(pulses: int, power_w: float, meters: Instruments, generator: np.random.Generator) -> Health:
    """One reading of the detector that watches what light enters Alice's device."""
    if pulses == 0:
        return Health(0)
    return Health(pulses, back_light_w=power_w + meters.back_light_noise_w * float(generator.standard_normal()))
