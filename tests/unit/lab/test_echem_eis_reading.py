"""Files of impedance: each vendor's layout as it is written, and everything that is refused, with field and row."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.echem.eis.columns import Column, Kind, NoUnit, column_of
from poliqi.lab.echem.eis.reading import read_spectrum

F = [10000.0, 1000.0, 100.0, 10.0]
Z = [0.0138 + 0.0072j, 0.0146 - 0.0014j, 0.0191 - 0.0033j, 0.0240 - 0.0051j]


def gamry() -> str:
    rows = "".join(f"\t{n}\t{n}\t{f}\t{z.real}\t{z.imag}\t1\n" for n, (f, z) in enumerate(zip(F, Z, strict=True)))
    heads = "\tPt\tTime\tFreq\tZreal\tZimag\tZsig\n\t#\ts\tHz\tohm\tohm\tV\n"
    return f"EXPLAIN\nTAG\tEISPOT\nZCURVE\tTABLE\n{heads}{rows}"


def biologic() -> str:
    rows = "".join(f"{f:E}\t{z.real:.9E}\t{-z.imag:.9E}\t1.0\n" for f, z in zip(F, Z, strict=True)).replace(
        ".", ","
    )
    head = "freq/Hz\tRe(Z)/Ohm\t-Im(Z)/Ohm\tcycle number\n"
    return f"EC-Lab ASCII FILE\nNb header lines : 5    \n\nTechnique\n{head}{rows}"


def autolab() -> str:
    rows = "".join(f"{f},0,0,0,{z.real},{z.imag},0,0,0\n" for f, z in zip(F, Z, strict=True))
    head = "\"  Freq (Hz)    Ampl     Bias   Time(Sec)   Z'(a)    Z''(b)    GD   Err   Range\"\n"
    return f'\ufeff"Z60W Data File: Version 1.1"\n""\n0,2,0\n41\n{head}{rows}'


def zplot() -> str:
    rows = "".join(f"{f:.6E}\t0\t0\t1\t{z.real}\t{z.imag}\t0\t0\t3\n" for f, z in zip(F, Z, strict=True))
    head = "  Freq(Hz)\tAmpl\tBias\tTime(Sec)\tZ'(a)\tZ''(b)\tGD\tErr\tRange\nEnd Comments\n"
    return f"ZPLOT2 ASCII\n  Date: 1\n{head}{rows}"


def versastudio() -> str:
    rows = "".join(f"0,{n},0,{f},{z.real},{z.imag}\n" for n, (f, z) in enumerate(zip(F, Z, strict=True)))
    head = "Definition=Segment #, Point #, E(V), Frequency(Hz), Z Real, Z Imag\n"
    return f"<Application>\nName=VersaStudio\n</Application>\n<Segment1>\nType=2\n{head}{rows}</Segment1>\n"


def chi() -> str:
    rows = "".join(f"{f}, {z.real}, {z.imag}, 1, 2\n" for f, z in zip(F, Z, strict=True))
    return f"Feb. 20\nA.C. Impedance\nCycles = 1\n\nFreq/Hz, Z'/ohm, Z\"/ohm, Z/ohm, Phase/deg\n\n{rows}"


def powersuite() -> str:
    return "Frequency\t Zre\t Zimg\r\r\n" + "".join(
        f"{f}\t {z.real}\t {z.imag}\r\r\n" for f, z in zip(F[::-1], Z[::-1], strict=True)
    )


def parstat() -> str:
    head = "Potential (V)\tCurrent (A)\tElapsed Time (s)\tFrequency (Hz)\tZre (ohms)\tZim (ohms)\t\n"
    rows = "".join(f"3.5\t0.02\t9\t{f}\t{z.real}\t{z.imag}\t\n" for f, z in zip(F, Z, strict=True))
    return f"{head}3.49\t-0.15\t10\t0\t0\t0\t\n3.49\t-0.15\t20\t0\t0\t0\t\n{rows}"


def eco_chemie() -> str:
    rows = "".join(f" {f}\n {z.real}\n {-z.imag}\n" + " 0.0\n" * 6 for f, z in zip(F, Z, strict=True))
    return f"VERSION8.0\n {len(F)}\n 1\n{rows} 1.0\n"


def ivium() -> str:
    rows = "".join(f"{z.real:.5E}  {z.imag:.5E}\t{f:.5E} \r\n" for f, z in zip(F, Z, strict=True))
    return f"\0\0H\r\nMethod=Impedance\r\nprimary_data    \r\n3         \r\n{len(F)}        \r\n{rows}0.0000\r\n"


def palmsens() -> str:
    def array(name: str, unit: str, quantity: str, values: list[float]) -> dict[str, object]:
        told = {"Type": "x", "S": unit, "Q": quantity}
        return {"Description": name, "Unit": told, "DataValues": [{"V": one} for one in values]}

    values = [
        array("Idc", "A", "Current", [1.0] * 4),
        array("Frequency", "Hz", "Frequency", F),
        array("ZRe", "\N{GREEK CAPITAL LETTER OMEGA}", "Z'", [z.real for z in Z]),
        array("ZIm", "\N{GREEK CAPITAL LETTER OMEGA}", "-Z''", [-z.imag for z in Z]),
    ]
    session = {
        "Type": "PalmSens.DataFiles.SessionFile",
        "Measurements": [{"Title": "a", "EISDataList": [{"Title": "b", "DataSet": {"Values": values}}]}],
    }
    return json.dumps(session, separators=(",", ":")) + "\ufeff"


def table() -> str:
    return "f [kHz];|Z| / mOhm;-phase / deg\n" + "".join(
        f"{f / 1000};{1000 * abs(z)};{-np.degrees(np.angle(z))}\n" for f, z in zip(F, Z, strict=True)
    )


@pytest.mark.parametrize(
    ("name", "made", "encoding"),
    [
        ("a.DTA", gamry, "latin-1"),
        ("a.mpt", biologic, "latin-1"),
        ("a.txt", autolab, "utf-8"),
        ("a.z", zplot, "ascii"),
        ("a.par", versastudio, "utf-8"),
        ("a.txt", chi, "ascii"),
        ("a.txt", powersuite, "ascii"),
        ("a.txt", parstat, "ascii"),
        ("a.dfr", eco_chemie, "ascii"),
        ("a.idf", ivium, "latin-1"),
        ("a.pssession", palmsens, "utf-16"),
        ("a.csv", table, "utf-8"),
    ],
)
def test_each_layout_gives_the_same_spectrum(
    name: str, made: Callable[[], str], encoding: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(made().encode(encoding))
    found = read_spectrum(path)
    np.testing.assert_allclose(found.frequency_hz, F)
    np.testing.assert_allclose(found.impedance_ohm, Z, rtol=1e-5)
    assert found.title == name


@pytest.mark.parametrize(
    ("head", "kind", "factor"),
    [
        ("freq/Hz", Kind.FREQUENCY, 1.0),
        ("Frequency (mHz)", Kind.FREQUENCY, 1e-3),
        ("f [MHz]", Kind.FREQUENCY, 1e6),
        ("Re(Z)/Ohm", Kind.REAL, 1.0),
        ("Zreal (kohm)", Kind.REAL, 1e3),
        ("Z' / mOhm", Kind.REAL, 1e-3),
        ("-Im(Z)/Ohm", Kind.IMAGINARY, -1.0),
        ("-Z'' (MOhm)", Kind.IMAGINARY, -1e6),
        ("Zimag/ohm", Kind.IMAGINARY, 1.0),
        ("|Z|/Ohm", Kind.MODULUS, 1.0),
        ("Phase(Z)/deg", Kind.PHASE, 1.0),
        ("cycle number", Kind.CYCLE, 1.0),
    ],
)
def test_heads_are_understood_with_their_unit(head: str, kind: Kind, factor: float) -> None:
    assert column_of(head) == Column(kind, factor)


@pytest.mark.parametrize(
    ("head", "unit"), [("Zreal", ""), ("Re(Z)/Ohm cm2", "Ohmcm2"), ("freq/s", "s"), ("Phase(Z)/Ohm", "Ohm")]
)
def test_heads_without_a_unit_of_theirs_are_known_as_such(head: str, unit: str) -> None:
    found = column_of(head)
    assert isinstance(found, NoUnit)
    assert found.unit == unit


@pytest.mark.parametrize("head", ["", "time/s", "-|Z|/Ohm", "Re(Y)/Ohm-1", "Z" * 100 + "/Ohm"])
def test_other_heads_are_none(head: str) -> None:
    assert column_of(head) is None


HEAD = "frequency/Hz,Re(Z)/Ohm,Im(Z)/Ohm\n"
GOOD = "1000,1,-1\n100,2,-2\n10,3,-3\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEAD + "1000,1,-1\n0,2,-2\n", "row 3: frequency 0 Hz; frequencies are positive"),
        (HEAD + "1000,1,-1\n-10,2,-2\n", "row 3: frequency -10 Hz"),
        (HEAD + GOOD + "10,3,-3.1\n", "rows 4 and 5 are both at 10 Hz"),
        (HEAD + "1000,1,-1\n1000,1,-1\n100,2,-2\n", "rows 2 and 3 are both at 1000 Hz"),
        (HEAD + "1000,1,-1\n100,x,-2\n10,3,-3\n", "row 3: Re Z is 'x', no number"),
        (HEAD + "1000,1,-1\n100,2,nan\n10,3,-3\n", "row 3: Im Z is 'nan', no number"),
        (HEAD + GOOD + "1,4", "row 5 ends before its Im Z: the file is truncated"),
        (HEAD + "1000,1\n" + GOOD, "row 2 ends before its Im Z; mend it"),
        (HEAD, "holds no point"),
        ("frequency/Hz,Re(Z)/Ohm\n1,2\n", "no column of Im Z among 'frequency/Hz', 'Re(Z)/Ohm'"),
        ("frequency/Hz,Zreal,Zimag\n1,2,3\n", "no unit of Hz or ohm is told with 'Zreal', 'Zimag'"),
        ("frequency,Zreal/Ohm,Zimag/Ohm\n1,2,3\n", "no column of frequency"),
        ("1,2,3\n4,5,6\n", "no line says what its columns are; give --columns"),
        ("", "no line says what its columns are"),
        ("EXPLAIN\nTAG\n", "a Gamry file without a ZCURVE table"),
        ("EXPLAIN\nZCURVE\tTABLE\n", "the ZCURVE table of line 2 is cut: the file is truncated"),
        ("EC-Lab ASCII FILE\nNb header lines : 400\n", "line 2 tells '400' header lines of 2"),
        ("ZPLOT2 ASCII\n", "the line of heads is missing; the file is truncated"),
        ("Name=VersaStudio\n<Segment1>\nDefinition=Frequency(Hz)\n", "Segment1 of line 2 has no end"),
        ("Name=VersaStudio\n", "no segment with data"),
        ("VERSION8.0\n 29\n 1\n 10000.0\n", "29 points are told and 0 are there: truncated"),
        ("VERSION8.0\n x\n", "line 2 tells 'x' points"),
        ("primary_data\n3\n29\n1 2 3\n", "29 points are told in line 3 and 1 are there: truncated"),
        ("primary_data\n2\n29\n1 2\n", "not three columns of impedance"),
        ('{"Type":"PalmSens.DataFiles.SessionFile","Measurements":[]}', "without a measurement of impedance"),
        ('{"Type":"PalmSens.DataFiles.SessionFile","Measur', "PalmSens session that cannot be read"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_row(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "cell.csv"
    path.write_text(text)
    with pytest.raises(DataRefused, match=re.escape(words)) as refused:
        read_spectrum(path)
    assert str(path) in str(refused.value)


def test_columns_that_are_told_replace_the_heads(tmp_path: Path) -> None:
    path = tmp_path / "cell.txt"
    path.write_text("my own head\n10 7 3 0.3\n100 8 2 0.2\n1000 9 1 0.1\n")
    found = read_spectrum(path, columns=("f/Hz", "x", "Re(Z)/mOhm", "-Im(Z)/Ohm"))
    np.testing.assert_allclose(found.frequency_hz, [1000, 100, 10])
    np.testing.assert_allclose(found.impedance_ohm, [1e-3 - 0.1j, 2e-3 - 0.2j, 3e-3 - 0.3j])
    assert found.is_rising
    assert not found.notes


@pytest.mark.parametrize("columns", [(), ("f/Hz", "Re(Z)/Ohm", "Im(Z)/Ohm")])
def test_a_table_that_may_be_cut_in_its_last_number_says_so(columns: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "cell.csv"
    path.write_text(HEAD + GOOD + "1,4,-0.00123"[:-2])
    found = read_spectrum(path, columns=columns)
    assert not found.is_rising
    assert [note.partition(":")[0] for note in found.notes] == ["the last line has no end"]


@pytest.mark.parametrize("columns", [("f", "Re(Z)/Ohm", "Im(Z)/Ohm"), ("x", "Re(Z)/Ohm", "Im(Z)/Ohm")])
def test_columns_that_say_no_unit_or_frequency_are_refused(columns: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "cell.txt"
    path.write_text("1000,1,-1\n")
    with pytest.raises(ConfigError, match="--columns: "):
        read_spectrum(path, columns=columns)


def test_more_columns_than_there_are_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "cell.txt"
    path.write_text("1000,1,-1\n")
    with pytest.raises(DataRefused, match="row 1 has 3 columns; --columns names 4"):
        read_spectrum(path, columns=("f/Hz", "x", "Re(Z)/Ohm", "Im(Z)/Ohm"))


@pytest.mark.parametrize(
    "again", ["1000,1,-1\n100,2,-2\n10,4,-4\n", "100,2,-2\n1000,1,-1\n", "10,4,-4\n100,2,-2\n1000,1,-1\n"]
)
def test_a_second_sweep_or_the_way_back_has_to_be_chosen(again: str, tmp_path: Path) -> None:
    path = tmp_path / "cell.csv"
    path.write_text(HEAD + GOOD + again)
    points = again.count("\n")
    with pytest.raises(
        DataRefused, match=rf"2 sweeps of frequency \(1: 3 points; 2: {points} points\); choose one"
    ):
        read_spectrum(path)
    assert read_spectrum(path, sweep=1).frequency_hz.tolist() == [1000, 100, 10]
    assert read_spectrum(path, sweep=2).frequency_hz.size == points
    with pytest.raises(DataRefused, match="--sweep 9 of 2"):
        read_spectrum(path, sweep=9)


def test_cycles_are_sweeps_even_at_the_same_frequencies(tmp_path: Path) -> None:
    path = tmp_path / "cell.csv"
    rows = "".join(f"{f},{cycle},{z.real},{z.imag}\n" for cycle in (1, 2) for f, z in zip(F, Z, strict=True))
    path.write_text("freq/Hz,cycle number,Re(Z)/Ohm,Im(Z)/Ohm\n" + rows)
    np.testing.assert_allclose(read_spectrum(path, sweep=2).impedance_ohm, Z)


def test_points_in_no_order_are_one_sweep(tmp_path: Path) -> None:
    path = tmp_path / "cell.csv"
    path.write_text(HEAD + "100,2,-2\n1000,1,-1\n1,4,-4\n10,3,-3\n")
    np.testing.assert_allclose(read_spectrum(path).frequency_hz, [1000, 100, 10, 1])


def test_a_range_leaves_the_rest_out_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "cell.csv"
    path.write_text(HEAD + GOOD)
    found = read_spectrum(path, limits_hz=(50, 5000))
    assert found.frequency_hz.tolist() == [1000, 100]
    assert found.notes == ("1 points outside 50 to 5000 Hz were left out",)
    with pytest.raises(DataRefused, match="no point from 1 to 2 Hz"):
        read_spectrum(path, limits_hz=(1, 2))


def test_direct_current_rows_of_a_vendor_are_left_out_and_told(tmp_path: Path) -> None:
    path = tmp_path / "cell.txt"
    path.write_text(parstat())
    assert read_spectrum(path).notes == ("2 rows at 0 Hz are none of the sweep and were left out",)


def test_a_workbook_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataRefused, match="several sheets"):
        read_spectrum(tmp_path / "cell.xlsx")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataRefused, match="cannot be read"):
        read_spectrum(tmp_path / "none.csv")


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cell.csv"
    with path.open("wb") as file:
        file.truncate((32 << 20) + 1)
    with pytest.raises(DataRefused, match="more than 32 MiB"):
        read_spectrum(path)
