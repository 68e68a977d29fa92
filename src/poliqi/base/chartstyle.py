"""How charts in files look: settings of matplotlib, as plain values."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["CHART_FORMATS", "CHART_STYLE"]

CHART_FORMATS: Final = ("png", "svg")
CHART_STYLE: Final[dict[str, Any]] = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "poliqi",  # the same chart gives the same file
}
