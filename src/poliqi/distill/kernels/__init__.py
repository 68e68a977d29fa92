"""Kernels: each a plain numpy definition and one compiled twin, tested equal."""
