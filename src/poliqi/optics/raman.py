"""Light in the quantum channel that is not Alice's: Raman light of classical channels, and a jammer's.

Formulas and the range of rho: R. Kumar, H. Qin, R. Alleaume, New J. Phys. 17, 043027 (2015), arXiv:1412.1403.
"""

from __future__ import annotations

import math
from typing import Final

from poliqi.optics.fibre import transmittance
from poliqi.optics.parameters import AttackKind, ClassicalChannel, Direction, Fibre, LinkParameters

__all__ = ["LIGHT_SPEED", "PLANCK", "detected_noise_rate_hz", "raman_power_w"]

PLANCK: Final = 6.62607015e-34  # J s, exact (SI)
LIGHT_SPEED: Final = 299_792_458.0  # m/s, exact (SI)


def raman_power_w(channel: ClassicalChannel, fibre: Fibre, width_m: float) -> float:
    """Raman power within `width_m` of spectrum at Bob's end of the fibre.

    Forward P rho dl L e^{-aL}, backward P rho dl (1 - e^{-2aL})/(2a), with a in 1/km; both wavelengths see
    the same attenuation, and the launch power is that at the fibre's input.
    """
    a = fibre.attenuation_db_per_km * math.log(10.0) / 10.0
    length = fibre.length_m / 1e3
    power = 1e-3 * 10.0 ** (channel.launch_dbm / 10.0)
    if channel.direction is Direction.FORWARD:
        effective = length * math.exp(-a * length)
    else:
        effective = length if a == 0.0 else -math.expm1(-2.0 * a * length) / (2.0 * a)
    return power * channel.rho_per_km_nm * width_m * 1e9 * effective


def detected_noise_rate_hz(link: LinkParameters) -> float:
    """Foreign photons per second that all of Bob's detectors together would count, before gating.

    From the fibre's end on they meet what quantum light meets: the multiplexers, the filter, the receiver
    and the detectors' efficiency. Connectors and switches are taken to lie before them, so they spare none
    (an upper bound by at most their loss), and the interferometer's loss of the test arm does not either.
    A jammer's light is counted where the fibre ends, and passes the filter whole.
    """
    attack, jammed = link.attack, 0.0
    if attack.kind is AttackKind.JAMMING:
        jammed = attack.fraction * link.source.clock_hz
    if not (link.classical_channels or jammed):
        return 0.0
    power = sum(raman_power_w(c, link.fibre, link.receiver.filter_width_m) for c in link.classical_channels)
    loss = link.fibre.mux_db + link.receiver.filter_db + link.receiver.loss_db
    photons = power * link.source.wavelength_m / (PLANCK * LIGHT_SPEED) + jammed
    return photons * transmittance(loss) * link.detector.efficiency
