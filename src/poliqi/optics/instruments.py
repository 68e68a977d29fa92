"""What the devices of a link measure of themselves, and how well: the meters that tell of an eavesdropper.

None of it changes a count. The mismatch of Bob's detectors does where somebody moves light in time, and only there.
"""

from __future__ import annotations

from dataclasses import dataclass

from poliqi.base.errors import ConfigError

__all__ = ["Instruments"]


@dataclass(frozen=True, slots=True)
class Instruments:
    """Meters at both ends; a reading scatters by its noise (standard deviation) once for each reading.

    Bob: a click moves `click_charge_c` through a detector's bias; bright light that holds his detectors blind draws
    `blinded_current_a` in all. `mismatch` is the ratio of efficiencies, worse to better, that two detectors of a
    basis have for light that comes `mismatch_time_s` early or late (None: a quarter of a bin; bit 0's is the better
    one for early light, bit 1's for late). `time_resolution_s` is that of one time stamp, `time_noise_s` the wander
    of the gates' middle, common to all outcomes.
    Alice: light from outside loses `isolation_db` on its way into her modulator and out again.
    """

    click_charge_c: float = 1e-12
    blinded_current_a: float = 100e-6
    current_noise_a: float = 10e-9
    mismatch: float = 0.25
    mismatch_time_s: float | None = None
    time_resolution_s: float = 20e-12
    time_noise_s: float = 2e-12
    pilot_noise_db: float = 0.02
    isolation_db: float = 120.0
    back_light_noise_w: float = 100e-12

    def __post_init__(self) -> None:
        for name, value, low, high in (
            ("click_charge", self.click_charge_c, 0.0, 1e-6),
            ("blinded_current", self.blinded_current_a, 0.0, 1.0),
            ("current_noise", self.current_noise_a, 0.0, 1.0),
            ("mismatch", self.mismatch, 0.0, 1.0),
            ("mismatch_time", self.mismatch_time_s or 0.0, 0.0, 1.0),
            ("time_resolution", self.time_resolution_s, 0.0, 1.0),
            ("time_noise", self.time_noise_s, 0.0, 1.0),
            ("pilot_noise", self.pilot_noise_db, 0.0, 100.0),
            ("isolation", self.isolation_db, 0.0, 400.0),
            ("back_light_noise", self.back_light_noise_w, 0.0, 1.0),
        ):
            if not low <= value <= high:
                raise ConfigError(f"instruments.{name}: {value:g} is outside {low:g} to {high:g}")
