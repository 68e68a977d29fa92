"""Benchmarks: a figure, its goal beside it, and the peer measured in the same run."""
