"""The loss of a channel, from how often Bob's detectors click."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from poliqi.base.errors import ConfigError
from poliqi.optics.channel import expectation
from poliqi.optics.fibre import fibre_loss_db
from poliqi.optics.parameters import Attack, Fibre, LinkParameters

__all__ = ["MOST_LOSS_DB", "estimated_loss_db", "fibre_of_loss"]

MOST_LOSS_DB: Final = 80.0
_STEPS: Final = 24  # halves 80 dB down to 5e-6 dB, far below the statistical error of any block


def estimated_loss_db(link: LinkParameters, clicks_per_pulse: float) -> float | None:
    """The loss L in dB between the two devices for which C(L) = D/N, or None where no light is seen at all.

    D detections came of N pulses; C is the closed form of clicks per pulse (`Expectation.clicks`: dead time,
    afterpulses, dark counts and Raman light included) of this link's devices over a fibre, connectors and switches
    of L dB together. C falls with L, so bisection finds L. Its standard error is 10 / (ln 10 sqrt(D)) dB where
    dark counts are few: .004 dB at 10^6 detections. Noise that the parameters do not name looks like less loss.
    """
    honest = replace(link, attack=Attack())
    low, high = 0.0, MOST_LOSS_DB
    if clicks_per_pulse <= _clicks(honest, high):
        return None
    if clicks_per_pulse >= _clicks(honest, low):
        return 0.0
    for _ in range(_STEPS):
        middle = (low + high) / 2.0
        if _clicks(honest, middle) > clicks_per_pulse:
            low = middle
        else:
            high = middle
    return (low + high) / 2.0


def _clicks(link: LinkParameters, loss_db: float) -> float:
    return expectation(replace(link, fibre=fibre_of_loss(link.fibre, loss_db))).clicks


def fibre_of_loss(fibre: Fibre, loss_db: float) -> Fibre:
    """The fibre with so much loss in all: in its connectors, or less of all where that is less than its own."""
    if loss_db < 0.0:
        raise ConfigError(f"loss {loss_db:g} dB: a channel does not amplify")
    own = fibre_loss_db(fibre) + fibre.mux_db
    if loss_db >= own:
        return replace(fibre, connectors_db=loss_db - own, switch_db=0.0)
    share = loss_db / own
    return replace(
        fibre,
        attenuation_db_per_km=share * fibre.attenuation_db_per_km,
        mux_db=share * fibre.mux_db,
        connectors_db=0.0,
        switch_db=0.0,
    )
