"""Everything that one round of rendering shows, looked up once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from poliqi.control.city import SpanId
from poliqi.control.view import AlarmView, CityView
from poliqi.ops.web.source import Fault

__all__ = ["Snapshot"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`unix_s` is the wall clock at `view.now`. `past`: alarms that are over, the latest first."""

    view: CityView
    past: tuple[AlarmView, ...]
    faults: Mapping[SpanId, Fault]
    unix_s: float
