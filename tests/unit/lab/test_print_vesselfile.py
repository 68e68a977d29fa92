"""Vessels files: round trip, the published vectors, and whatever bytes come."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poliqi.base.errors import DataRefused
from poliqi.lab.print.domain.domain import domain_from
from poliqi.lab.print.network import Network
from poliqi.lab.print.vesselfile import Vessels, read_vessels, vessels_bytes, vessels_from

VECTORS = Path(__file__).resolve().parents[2] / "vectors" / "vessels"
CASES = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(VECTORS.glob("*.json"))}
REFUSED = [name for name, case in CASES.items() if "refused" in case]
TAKEN = [name for name in CASES if name not in REFUSED]


def _bytes(record: dict[str, Any]) -> bytes:
    return json.dumps(record).encode()


def test_failures_outnumber_successes() -> None:
    assert len(REFUSED) > len(TAKEN) > 0


@pytest.mark.parametrize("name", TAKEN)
def test_facts_of_the_vectors(name: str) -> None:
    found, facts = vessels_from(_bytes(CASES[name]["file"])), CASES[name]["lumen"]
    assert len(found.network.segments) == facts["segments"]
    assert math.isclose(found.network.cylinder_volume_um3, facts["cylinder_volume_um3"], rel_tol=1e-9)
    assert math.isclose(found.domain.volume_um3, facts["domain_volume_um3"], rel_tol=1e-9)


@pytest.mark.parametrize("name", REFUSED)
def test_refused_vectors(name: str) -> None:
    with pytest.raises(DataRefused, match=CASES[name]["refused"]):
        vessels_from(_bytes(CASES[name]["file"]))


@pytest.mark.parametrize("name", TAKEN)
def test_round_trip(name: str, tmp_path: Path) -> None:
    first = vessels_from(_bytes(CASES[name]["file"]))
    data = vessels_bytes(first.network, first.domain, first.made)
    path = tmp_path / "tissue.vessels.json"
    path.write_bytes(data)
    again = read_vessels(path)
    assert _same(first.network, again.network)
    assert domain_from(again.domain.record).record == first.domain.record
    assert dict(again.made) == dict(first.made)
    assert vessels_bytes(again.network, again.domain, again.made) == data


def _same(one: Network, other: Network) -> bool:
    arrays = all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("points_um", "segments", "radius_um", "kind", "tree")
    )
    return arrays and one.ports == other.ports


def _taken(data: bytes) -> Vessels | None:
    try:
        return vessels_from(data)
    except DataRefused:
        return None


@given(st.data())
def test_damaged_files_are_refused_or_still_a_network(data: st.DataObject) -> None:
    whole = bytearray(_bytes(CASES[TAKEN[0]]["file"]))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] = data.draw(st.integers(0, 255))
    found = _taken(bytes(whole[: data.draw(st.integers(at, len(whole)))]))
    assert found is None or np.isfinite(found.network.points_um).all()


@given(st.binary(max_size=200))
def test_no_bytes_do_harm(data: bytes) -> None:
    assert _taken(data) is None


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataRefused, match=r"nothing\.json"):
        read_vessels(tmp_path / "nothing.json")
