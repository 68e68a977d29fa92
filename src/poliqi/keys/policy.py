"""Who may have which keys: the registry of applications, permissions, limits and grades."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["KeyLimits"]


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """What one application may ask for. Sizes in bits, multiples of 8."""

    key_size_bits: int = 256
    min_size_bits: int = 64
    max_size_bits: int = 4096
    max_number: int = 128
    max_slaves: int = 8
    ttl_s: float = 3600.0
    priority: int = 0
