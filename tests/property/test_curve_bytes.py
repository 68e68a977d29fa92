"""Whatever stands in a file of text: a curve that holds what it must, or a refusal."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poliqi.base.errors import DataRefused
from poliqi.lab.xray.curve import Axis, Curve
from poliqi.lab.xray.curvefiles import curve_from_text
from poliqi.lab.xray.nxcansas import read_curves, write_curve

CELLS = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True).map(repr),
    st.sampled_from(["nan", "1,5", "1.5;", "-", "#", "1e999", "1D5", "q", "Å", "0x1", "1_0", "٣"]),
)
LINES = st.lists(st.lists(CELLS, max_size=6).map(" ".join), max_size=30).map("\n".join)


@given(st.one_of(LINES.map(str.encode), st.binary(max_size=400)), st.sampled_from([None, *Axis]))
@settings(max_examples=150, deadline=None)
def test_text_gives_a_curve_or_a_refusal(data: bytes, unit: Axis | None) -> None:
    try:
        curve = curve_from_text(data, Path("a.dat"), unit=unit)
    except DataRefused:
        return
    assert bool(np.all(np.isfinite(curve.x) & np.isfinite(curve.intensity) & (curve.x > 0) & (curve.sigma >= 0)))


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_damaged_nxcansas_file_gives_curves_or_a_refusal(data: st.DataObject) -> None:
    pytest.importorskip("h5py")
    x = np.linspace(1, 2, 5)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.h5"
        write_curve(path, Curve(Axis.Q_PER_NM, x, x, x))
        raw = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 8))):
            raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(raw[: data.draw(st.integers(0, len(raw)))])
        try:
            curves = read_curves(path)
        except DataRefused:
            return
        assert all(bool(np.all(one.sigma >= 0)) for one in curves)
