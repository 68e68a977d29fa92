"""What an attack looks like to the devices of a link: from counts and readings to a verdict with its evidence."""

from __future__ import annotations

from poliqi.link.monitor.baseline import Baseline
from poliqi.link.monitor.learning import LEAST_BLOCKS, Learned, Usual
from poliqi.link.monitor.monitor import Monitor
from poliqi.link.monitor.observation import Observation
from poliqi.link.monitor.signatures import SIGNATURES
from poliqi.link.monitor.tolerance import Tolerance
from poliqi.link.monitor.verdict import Candidate, Evidence, Level, Suspected, Verdict

__all__ = [
    "LEAST_BLOCKS",
    "SIGNATURES",
    "Baseline",
    "Candidate",
    "Evidence",
    "Learned",
    "Level",
    "Monitor",
    "Observation",
    "Suspected",
    "Tolerance",
    "Usual",
    "Verdict",
]
