"""What a site cannot honestly report. Parts that cannot be are told, never used."""

from __future__ import annotations

import math
from typing import Final

from poliqi.base.ids import KmeId, LinkId
from poliqi.control.city import City, QuantumLink
from poliqi.control.lines import rate_text
from poliqi.control.linkstate import STALE_S
from poliqi.control.messages import LightState, LinkReport, PoolReport, Report

__all__ = ["bad_counters", "bad_link", "bad_pool", "missing_pool", "most_rate_bps"]

_FASTEST_HZ: Final = 2.5e9
"""Pulses a second of the fastest transmitters."""
_MARGIN_DB: Final = 3.0
"""A fibre may lose so much less than its plan says."""
_LEAST_LOSS_DB: Final = 0.1
_KEY_QBER: Final = 0.25
"""No protocol gives key beyond it: the error rate of an intercept-resend attack on every pulse."""


def most_rate_bps(planned_loss_db: float) -> float:
    """No more secret bits a second can come over so much loss without a repeater.

    S. Pirandola et al., Nature Communications 8 (2017) 15043: -log2(1 - transmittance) bits a pulse.
    """
    loss_db = max(_LEAST_LOSS_DB, planned_loss_db - _MARGIN_DB)
    return _FASTEST_HZ * -math.log2(1.0 - 10.0 ** (-loss_db / 10.0))


def bad_link(site: KmeId, report: LinkReport, link: QuantumLink | None, planned_loss_db: float) -> str | None:
    """Why a link's report cannot be, one line; None for one that can."""
    if link is None:
        return f"link {report.link}, which the city does not have"
    if site not in link.ends:
        return f"link {report.link}, which ends at {' and '.join(link.ends)}"
    rate, most = report.key_rate_bps or 0.0, most_rate_bps(planned_loss_db)
    if rate > most:
        return f"{rate_text(rate)} on {report.link}, whose loss allows {rate_text(most)}"
    qber = report.qber_key
    if report.state is LightState.LIT and qber is not None and qber > _KEY_QBER:
        return f"key on {report.link} at an error rate of {qber:.2%}"
    if report.loss_db is not None and report.loss_db < -1.0:
        return f"a loss of {report.loss_db:.1f} dB on {report.link}: more light than was sent"
    return None


def bad_pool(site: KmeId, report: PoolReport, before: PoolReport | None, city: City) -> str | None:
    """Why a stock's report cannot be, one line; None for one that can. `before`: the last one of the same start."""
    if before is not None and (report.taken_bits < before.taken_bits or report.filled_bits < before.filled_bits):
        return f"counters of {report.pool} fell without a new start"
    if report.peer == site:
        return f"a stock {report.pool} with itself"
    link = city.link.get(LinkId(report.pool))
    if not report.is_relayed and link is not None and set(link.ends) != {site, report.peer}:
        return f"the stock {report.pool} with {report.peer}; it ends at {' and '.join(link.ends)}"
    if report.free_bits > report.stored_bits or report.stored_bits > report.capacity_bits:
        return (
            f"{report.free_bits} free of {report.stored_bits} bits stored in {report.pool}, "
            f"which holds {report.capacity_bits}"
        )
    return None


def missing_pool(pool: PoolReport, report: Report) -> str | None:
    """Why a stock that an earlier report had cannot be gone, one line; None where it can: its link makes key."""
    is_lit = any(
        told.link == pool.pool and told.state is LightState.LIT and told.age_s <= STALE_S for told in report.links
    )
    return f"{pool.pool} makes key, and its stock with {pool.peer} is gone" if is_lit else None


def bad_counters(before: Report | None, after: Report) -> str | None:
    """Which counter ran backwards within one start of a site; None where none did."""
    if before is None:
        return None
    for name in ("number", "keys_delivered", "requests", "requests_refused"):
        was, now = getattr(before, name), getattr(after, name)
        if now < was:
            return f"{name} fell from {was} to {now} without a new start"
    return None
