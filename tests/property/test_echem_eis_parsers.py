"""Whatever stands in a file or an option: a spectrum, a circuit, or a refusal."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.echem.eis.analysis import Wanted, analyse, findings_of
from poliqi.lab.echem.eis.circuit import parse_circuit
from poliqi.lab.echem.eis.columns import column_of
from poliqi.lab.echem.eis.layouts import LAYOUTS
from poliqi.lab.echem.eis.palmsens import palmsens_blocks
from poliqi.lab.echem.eis.reading import read_spectrum
from poliqi.lab.echem.spectrum import Spectrum
from poliqi.lab.store.findings import findings_bytes
from poliqi.ops.lab_eis import eis_lines, eis_record

STARTS = (
    "EXPLAIN\nZCURVE\tTABLE\n\tPt\tFreq\tZreal\tZimag\n\t#\tHz\tohm\tohm\n",
    "EC-Lab ASCII FILE\nNb header lines : 3\nfreq/Hz\tRe(Z)/Ohm\t-Im(Z)/Ohm\n",
    "ZPLOT2 ASCII\nFreq(Hz)\tAmpl\tBias\tTime\tZ'(a)\tZ''(b)\nEnd Comments\n",
    "Name=VersaStudio\n<Segment1>\nDefinition=Frequency(Hz), Z Real, Z Imag\n",
    "A.C. Impedance\nFreq/Hz, Z'/ohm, Z\"/ohm\n",
    "VERSION8.0\n 2\n 1\n",
    "primary_data\n3\n2\n",
    "Z60W Data File\n  Freq (Hz)    Ampl     Bias   Time(Sec)   Z'(a)    Z''(b)\n",
    "Frequency\t Zre\t Zimg\n",
    "Potential (V)\tCurrent (A)\tElapsed Time (s)\tFrequency (Hz)\tZre (ohms)\tZim (ohms)\n",
    "frequency/Hz;Re(Z)/Ohm;Im(Z)/Ohm\n",
    '{"Type":"PalmSens.DataFiles.SessionFile","Measurements":[',
    "",
)
CELLS = st.one_of(
    st.floats(allow_nan=True).map(repr),
    st.integers(-(10**12), 10**12).map(str),
    st.sampled_from(["", "1e400", "1,5", "-", "#", "End Comments", "</Segment1>", "ZCURVE", "1e-300"]),
    st.text(max_size=6),
)
ROWS = st.lists(st.tuples(st.sampled_from("\t;, "), st.lists(CELLS, max_size=9)), max_size=8)


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=st.sampled_from(STARTS), rows=ROWS, tail=st.binary(max_size=40))
def test_a_file_is_a_spectrum_or_is_refused(
    start: str, rows: list[tuple[str, list[str]]], tail: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "cell.txt"
    text = start + "\n".join(separator.join(cells) for separator, cells in rows)
    path.write_bytes(text.encode("utf-8", "replace") + tail)
    try:
        found = read_spectrum(path)
    except DataRefused as refused:
        assert str(refused)
        return
    assert np.all(found.frequency_hz > 0)
    assert np.all(np.diff(found.frequency_hz) < 0)
    assert np.all(np.isfinite(found.impedance_ohm))


@settings(max_examples=100)
@given(lines=st.lists(st.text(max_size=30), max_size=20))
def test_no_layout_stumbles_over_lines(lines: list[str]) -> None:
    for layout in LAYOUTS:
        layout.fits(lines)
        try:
            layout.blocks(lines or [""], "x")
        except DataRefused:
            continue


@settings(max_examples=50)
@given(text=st.text(max_size=60))
def test_palmsens_gives_blocks_or_refuses(text: str) -> None:
    with pytest.raises(DataRefused):
        palmsens_blocks('{"Type":"PalmSens.DataFiles.SessionFile",' + text, "x")


@given(text=st.text(alphabet="RLCPEWosG0123456789-|() ", max_size=210) | st.text(max_size=30))
def test_a_circuit_is_read_or_refused(text: str) -> None:
    try:
        circuit = parse_circuit(text)
    except ConfigError as refused:
        assert str(refused)
        return
    assert len(circuit.parameters) >= len(circuit.names)
    assert parse_circuit(circuit.text) == circuit


@given(head=st.text(max_size=90))
def test_any_head_is_understood_or_not(head: str) -> None:
    column_of(head)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    points=st.lists(
        st.tuples(st.floats(1e-6, 1e9), st.floats(-1e9, 1e9), st.floats(-1e9, 1e9)),
        min_size=1,
        max_size=30,
        unique_by=lambda point: round(math.log(point[0]) / 1e-4),
    )
)
def test_what_is_written_is_read_exactly(points: list[tuple[float, float, float]], tmp_path: Path) -> None:
    path = tmp_path / "cell.csv"
    path.write_text("frequency/Hz,Re(Z)/Ohm,Im(Z)/Ohm\n" + "".join(f"{a!r},{b!r},{c!r}\n" for a, b, c in points))
    found = read_spectrum(path)
    told = sorted(points, reverse=True)
    assert found.frequency_hz.tolist() == [f for f, _, _ in told]
    assert found.impedance_ohm.tolist() == [complex(re, im) for _, re, im in told]


@settings(max_examples=8, deadline=None)
@given(
    decades=st.lists(st.floats(0.02, 0.4), min_size=6, max_size=30),
    scale=st.floats(-12, 12),
    first=st.floats(-9, 12),
    seed=st.integers(0, 2**32),
    noise=st.sampled_from([0.0, 1e-3, 1.0]),
)
def test_any_spectrum_is_evaluated_to_numbers_or_refused(
    decades: list[float], scale: float, first: float, seed: int, noise: float
) -> None:
    f = 10 ** (first - np.cumsum(decades))
    drawn = np.random.default_rng(seed).normal(size=(2, f.size))
    z = 10**scale * (1 + 1 / (1 + 1j * f / f[f.size // 2]) + noise * (drawn[0] + 1j * drawn[1]))
    try:
        analysis = analyse(Spectrum(f, z, title="x"), Wanted(despite=True))
    except DataRefused as refused:
        assert str(refused)
        return
    assert analysis.fit is not None
    assert eis_lines(analysis)
    assert json.dumps(eis_record(analysis), allow_nan=False)
    assert findings_bytes(findings_of(analysis))
    for name in analysis.fit.fitted.unidentified:
        assert analysis.fit.quantity(name) is None
