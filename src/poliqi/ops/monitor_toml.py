"""The table [monitor] of an ENDS.toml: how attacks are watched for (docs/reference/ends-toml.md)."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from poliqi.base.units import parse_quantity
from poliqi.link.monitor import Tolerance
from poliqi.link.response import Action, WatchSettings

__all__ = ["MonitorTable", "watch_settings"]

Share = Annotated[float, Meta(ge=0.0, le=100.0)]


class MonitorTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """As it is written in the file."""

    watch: bool = True
    alpha: Share = 1e-6
    suspicion: Share = 1e-3
    commissioning: Annotated[int, Meta(ge=0, le=10_000)] = 20
    least_detections: Annotated[int, Meta(ge=1)] = 1000
    on_attack: Action = Action.QUARANTINE
    on_covered: Action = Action.ALARM
    on_suspect: Action = Action.ALARM
    on_blind: Action = Action.ABORT
    release_after: str | None = None
    loss: str = "1 dB"
    pilot: str = "0.5 dB"
    qber: Share = 0.01
    decoy: Share = 0.05
    basis: Share = 0.05
    detectors: Share = 0.05
    doubles: Share = 0.3
    photocurrent: Share = 0.1
    arrival: str = "20 ps"
    spread: Share = 0.15
    back_light: Share = 1.0


def watch_settings(t: MonitorTable) -> WatchSettings | None:
    """What an end runs with; None where nothing is watched. Raises ConfigError."""
    if not t.watch:
        return None
    after = t.release_after
    return WatchSettings(
        alpha=t.alpha,
        suspicion=t.suspicion,
        commissioning=t.commissioning,
        least_detections=t.least_detections,
        attack=t.on_attack,
        covered=t.on_covered,
        suspect=t.on_suspect,
        blind=t.on_blind,
        release_after_s=None if after is None else parse_quantity(after, "s", "monitor.release_after"),
        tolerance=Tolerance(
            loss_db=parse_quantity(t.loss, "dB", "monitor.loss"),
            pilot_db=parse_quantity(t.pilot, "dB", "monitor.pilot"),
            qber=t.qber,
            decoy=t.decoy,
            basis=t.basis,
            detectors=t.detectors,
            doubles=t.doubles,
            photocurrent=t.photocurrent,
            arrival_s=parse_quantity(t.arrival, "s", "monitor.arrival"),
            spread=t.spread,
            back_light=t.back_light,
        ),
    )
