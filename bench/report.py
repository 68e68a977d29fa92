"""The form of every benchmark's answer."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Metric:
    """One measured figure beside its goal, or beside a peer where it has no goal.

    `ratio` is value/goal for "min" and goal/value for "max", with the peer's value in place of a missing goal.
    """

    metric: str
    value: float
    unit: str
    goal: float | None
    sense: Literal["min", "max"]
    peer: str | None = None
    peer_value: float | None = None

    def as_json(self) -> dict[str, Any]:
        ratio, beside = None, self.goal or self.peer_value
        if beside and self.value:
            ratio = self.value / beside if self.sense == "min" else beside / self.value
        return asdict(self) | {"ratio": ratio}


def best(call: Callable[[], object], *, runs: int = 5, floor_s: float = 0.0) -> float:
    """Seconds of the fastest of `runs` calls (at least one, more until `floor_s` have passed)."""
    fastest, spent, done = float("inf"), 0.0, 0
    while done < runs or spent < floor_s:
        start = time.perf_counter()
        call()
        took = time.perf_counter() - start
        fastest, spent, done = min(fastest, took), spent + took, done + 1
    return fastest


def machine() -> dict[str, Any]:
    """This machine and its noise floor: memcpy rate and load beside the figures."""
    import numpy as np

    source = np.ones(1 << 25, np.uint8)
    target = np.empty_like(source)
    seconds = best(lambda: np.copyto(target, source))
    cpu = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            ln.split(":", 1)[1].strip()
            for ln in info.read_text(encoding="utf-8").splitlines()
            if ln.startswith("model name")
        ]
        cpu = names[0] if names else cpu
    load = Path("/proc/loadavg")
    return {
        "cpu": cpu,
        "python": platform.python_version(),
        "memcpy_gb_s": round(source.nbytes / seconds / 1e9, 2),
        "load_1min": float(load.read_text(encoding="utf-8").split()[0]) if load.exists() else None,
    }
