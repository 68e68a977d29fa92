"""Whatever stands in a file: a pattern, a structure, an instrument, or a refusal; never another failure."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from powder_patterns import cif
from scan_files import write_brml, write_rasx, write_raw, write_xrdml

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.store.findings import Finding, Findings, findings_bytes, findings_from
from poliqi.lab.xray.diffraction.crystal import crystal_from
from poliqi.lab.xray.diffraction.instrumentprofile import profile_from
from poliqi.lab.xray.diffraction.pattern import read_pattern

X = 20 + 0.05 * np.arange(40)
WRITERS = {"xrdml": write_xrdml, "rasx": write_rasx, "brml": write_brml, "raw": write_raw}


@pytest.mark.parametrize("ending", WRITERS)
@given(data=st.data())
@settings(max_examples=12, deadline=None)
def test_a_damaged_scan_is_read_or_refused(ending: str, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = WRITERS[ending](Path(folder) / f"scan.{ending}", X, np.full(X.size, 9.0))
        whole = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(bytes(whole[: data.draw(st.integers(len(whole) // 2, len(whole)))]))
        try:
            pattern = read_pattern(path)
        except (DataRefused, ConfigError):
            return
        assert np.isfinite(pattern.intensity).all()
        assert (pattern.sigma > 0).all()


@given(st.integers(0, 600), st.text(max_size=12))
@settings(max_examples=60, deadline=None)
def test_a_damaged_structure_is_read_or_refused(at: int, words: str) -> None:
    whole = cif("LaB6")
    try:
        crystal = crystal_from((whole[:at] + words + whole[at + len(words) :]).encode(), Path("damaged.cif"))
    except DataRefused:
        return
    assert crystal.volume_angstrom3 > 0


@given(st.binary(max_size=200))
@settings(max_examples=60)
def test_bytes_are_no_instrument_and_no_findings(data: bytes) -> None:
    for read in (profile_from, findings_from):
        with pytest.raises(DataRefused):
            read(data)


@given(
    st.lists(
        st.tuples(
            st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True),
            st.floats(allow_nan=False, allow_infinity=False),
            st.one_of(st.none(), st.floats(0, 1e300)),
        ),
        unique_by=lambda row: row[0],
        max_size=8,
    )
)
@settings(max_examples=60)
def test_findings_come_back_as_they_were(rows: list[tuple[str, float, float | None]]) -> None:
    findings = Findings(tuple(Finding(name, value, "nm", sigma) for name, value, sigma in rows), "test")
    assert findings_from(findings_bytes(findings)) == findings
