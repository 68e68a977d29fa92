"""How charts in files look: settings of matplotlib, as plain values."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from poliqi.base.errors import ConfigError

__all__ = ["CHART_FORMATS", "CHART_STYLE", "check_format"]

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


def check_format(path: Path) -> None:
    """Refuse a file name whose ending is not a format that is drawn (ConfigError)."""
    if path.suffix.lower().lstrip(".") not in CHART_FORMATS:
        raise ConfigError(f"--plot {path}: give a name that ends in .{' or .'.join(CHART_FORMATS)}")
