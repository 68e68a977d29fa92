"""Datasets for many: sealed once, its key wrapped for each recipient by a quantum key, revocable, audited."""
