"""The hash of shares without compiled code: the standard's vectors, the definition, the compiled kernel."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poliqi.apps.vault.polyhash import hash_share, plain_polyval
from poliqi.distill.kernels.definitions import polyval
from poliqi.distill.kernels.polyval import PolyHash

VECTORS = json.loads((Path(__file__).parents[3] / "vectors/polyval/polyval.json").read_text())


@pytest.mark.parametrize("vector", VECTORS["polyval"], ids=lambda v: v["source"])
def test_published_values(vector: dict):
    assert plain_polyval(bytes.fromhex(vector["data"]), bytes.fromhex(vector["key"])).hex() == vector["result"]


@pytest.mark.parametrize("tag", [t for t in VECTORS["tags"] if t["bits"] % 8 == 0], ids=lambda t: str(t["bits"]))
def test_a_share_is_filled_and_ended_as_everywhere(tag: dict):
    assert hash_share(bytes.fromhex(tag["packed"]), bytes.fromhex(tag["point"])).hex() == tag["tag"]


@settings(deadline=None)
@given(st.binary(max_size=20).map(lambda b: b * 16), st.binary(min_size=16, max_size=16))
def test_it_is_the_definition(data: bytes, key: bytes):
    assert plain_polyval(data, key) == polyval(key, data)


@pytest.mark.parametrize("size", [0, 16_383, 16_384, 16_385])
def test_short_and_long_shares_are_hashed_alike(size: int):
    share, key = os.urandom(size), os.urandom(16)
    compiled = PolyHash(key)
    compiled.update(share + bytes(-size % 16))
    assert hash_share(share, key) == compiled.digest_with_length(8 * size)
