"""Applications of real sites; the benchmarks use the same ones."""

from __future__ import annotations

from bench.saes import LiveSae, live_saes

__all__ = ["LiveSae", "live_saes"]
