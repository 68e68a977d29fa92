"""Vessels files whose radii are those to be written, as a compensation makes them, and not those that stay open."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from poliqi.base.errors import DataRefused

__all__ = ["COMPENSATION", "check_design", "written_cautions"]

COMPENSATION: Final = "dose_compensation"
"""Key in `made` of a vessels file."""


def written_cautions(made: Mapping[str, Any], so: str) -> list[str]:
    """A caution where the radii are compensated; `so` says what that means here."""
    if made.get(COMPENSATION) is None:
        return []
    return [f"the radii in this file are compensated: those to be written, not those that stay open; {so}"]


def check_design(made: Mapping[str, Any], name: str) -> None:
    """Raises DataRefused where the radii are compensated already."""
    found = made.get(COMPENSATION)
    if found is None:
        return
    of = found.get("vessels_blake3") if isinstance(found, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    design = f" (BLAKE3 {of[:16]}...)" if isinstance(of, str) else ""
    raise DataRefused(
        f"{name}: its radii are compensated already (made.{COMPENSATION}); give --compensate the design they were "
        f"made of{design}, with more loops where its error is still too large"
    )
