"""Loss and dispersion between the two sites."""

from __future__ import annotations

from poliqi.optics.parameters import Fibre, LinkParameters

__all__ = ["dispersion_s", "fibre_loss_db", "link_loss_db", "loss_budget_db", "transmittance", "way_loss_db"]


def transmittance(loss_db: float) -> float:
    """The share of light left after `loss_db` decibels."""
    return float(10.0 ** (-loss_db / 10.0))


def fibre_loss_db(fibre: Fibre) -> float:
    """Loss of the fibre alone, without its connectors."""
    return fibre.attenuation_db_per_km * fibre.length_m / 1e3


def way_loss_db(fibre: Fibre) -> float:
    """Loss from Alice's output to Bob's input: the fibre with its connectors, multiplexers and switches."""
    return fibre_loss_db(fibre) + fibre.connectors_db + fibre.mux_db + fibre.switch_db


def loss_budget_db(link: LinkParameters) -> dict[str, float]:
    """Each loss of the way from Alice's output to Bob's detectors, in dB, in the order light meets them.

    The loss of the test arm alone (`receiver.test_loss`) is not in it, nor is the detectors' efficiency.
    """
    return {
        "fibre": fibre_loss_db(link.fibre),
        "connectors": link.fibre.connectors_db,
        "multiplexers": link.fibre.mux_db,
        "switches": link.fibre.switch_db,
        "filter": link.receiver.filter_db,
        "receiver": link.receiver.loss_db,
    }


def link_loss_db(link: LinkParameters) -> float:
    """The sum of the loss budget in dB."""
    return sum(loss_budget_db(link).values())


def dispersion_s(fibre: Fibre, linewidth_m: float) -> float:
    """Broadening |D| L dlambda of a pulse of spectral width `linewidth_m` (first order in the width)."""
    ps = abs(fibre.dispersion_ps_nm_km) * fibre.length_m / 1e3 * linewidth_m * 1e9
    return ps * 1e-12
