"""Real frames of the BAM MOUSE instrument, out of the source package of McSAS3 (GPL), which is never copied in."""

from __future__ import annotations

from pathlib import Path

from package_sources import packaged_file

FRAMES = "testdata/20190725_11_expanded_stacked_processed_190807_161306.nxs"
SIZE = 57_094_612


def mouse_frames(cache: Path, folder: Path) -> Path:
    """The NeXus file with raw frames and what its own pipeline made of them; skips where it cannot be had."""
    return packaged_file("mcsas3", "1.0.6", FRAMES, SIZE, cache=cache, folder=folder)
