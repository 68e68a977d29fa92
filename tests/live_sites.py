"""Real sites on this machine; the benchmarks of key management use the same ones."""

from __future__ import annotations

from bench.feeder import Feeder, block_key
from bench.sites import START_S, LiveCity, LiveSite, free_ports, live_city, poliqi

__all__ = ["START_S", "Feeder", "LiveCity", "LiveSite", "block_key", "free_ports", "live_city", "poliqi"]
