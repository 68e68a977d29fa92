"""Constants that several rooms calculate with, each written once."""

from __future__ import annotations

from typing import Final

__all__ = ["FARADAY_C_MOL", "GAS_J_MOL_K", "HIGHER_HEATING_J_MOL", "LOWER_HEATING_J_MOL"]

FARADAY_C_MOL: Final = 96485.33212
GAS_J_MOL_K: Final = 8.314462618
"""CODATA 2018."""
HIGHER_HEATING_J_MOL: Final = 285_830.0
LOWER_HEATING_J_MOL: Final = 241_826.0
"""Formation of liquid and gaseous water at 298.15 K (CODATA key values, Cox, Wagman and Medvedev 1989)."""
