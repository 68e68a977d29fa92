"""The command on real files: read, judged and fitted as others do, without a guess; page, store, JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
from click.testing import CliRunner
from impedance_files import arcs, grid, noisy, real_cell, real_file
from package_sources import packaged_file

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.eis.analysis import Wanted, analyse
from poliqi.lab.echem.eis.kramerskronig import Validity, kramers_kronig
from poliqi.lab.echem.eis.reading import read_spectrum
from poliqi.lab.store.findings import read_findings
from poliqi.lab.store.store import LabStore
from poliqi.ops.cli import cli

READ_BY_OTHERS = {
    "exampleDataGamry.DTA": (72, 973178.0407, 375919.58 - 89675.971j),
    "exampleDataBioLogic.mpt": (43, 4344.965678, 3335.7359 - 285.88543j),
    "exampleDataAutolab.txt": (41, 39982.81128, 0.93411719 - 0.094189386j),
    "exampleDataZPlot.z": (21, 1447048.485, 6141.48 - 2778.253j),
    "exampleDataVersaStudio.par": (61, 442994.6808, 23565.732 - 8720.9662j),
    "exampleDataPowersuite.txt": (30, 4546151.45, 6364423.5 - 1150869.4j),
    "exampleDataCHInstruments.txt": (73, 572423.4317, 61529.38 - 120906.04j),
    "exampleDataParstat.txt": (31, 48582.53927, 0.6485587 + 0.013323491j),
}
"""Points, sum of frequencies and of impedances, by the readers of impedance.py that autoeis 0.0.44 carries."""


def eis(*words: object) -> Any:
    """The command in this process."""
    return CliRunner().invoke(cli, ["lab", "echem", "eis", *(str(word) for word in words)])


@pytest.fixture
def cache(pytestconfig: pytest.Config) -> Path:
    return Path(pytestconfig.cache.mkdir("packages"))  # type: ignore[union-attr]


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A file of a cell with two arcs."""
    f = grid()
    z = noisy(arcs(f, (0.01, 1e-3, 0.9), (0.02, 0.5, 1.0)), 0.002, 1)
    path = tmp_path / "cell.csv"
    rows = "".join(f"{a!r},{b.real!r},{-b.imag!r}\n" for a, b in zip(f.tolist(), z.tolist(), strict=True))
    path.write_text("frequency/Hz,Re(Z)/Ohm,-Im(Z)/Ohm\n" + rows)
    return path


@pytest.mark.parametrize("name", READ_BY_OTHERS)
def test_real_files_are_read_as_others_read_them(name: str, cache: Path, tmp_path: Path) -> None:
    found = read_spectrum(real_file(name, cache, tmp_path))
    points, frequencies, impedances = READ_BY_OTHERS[name]
    assert found.frequency_hz.size == points
    assert float(found.frequency_hz.sum()) == pytest.approx(frequencies, rel=1e-9)
    assert complex(found.impedance_ohm.sum()) == pytest.approx(impedances, rel=1e-7)


def test_three_formats_of_one_measurement_agree(cache: Path, tmp_path: Path) -> None:
    """Eco Chemie and Ivium files of the same 29 points; the older Ivium one holds it twice."""
    dfr = read_spectrum(real_file("data.dfr", cache, tmp_path))
    idf = read_spectrum(real_file("data.idf", cache, tmp_path))
    ids = read_spectrum(real_file("data.ids", cache, tmp_path), sweep=2)
    for other in (idf, ids):
        np.testing.assert_allclose(other.frequency_hz, dfr.frequency_hz, rtol=1e-5)
        np.testing.assert_allclose(other.impedance_ohm, dfr.impedance_ohm, rtol=1e-5)


def test_a_palmsens_session_is_read(cache: Path, tmp_path: Path) -> None:
    found = read_spectrum(real_file("data.pssession", cache, tmp_path))
    assert found.frequency_hz.size == 51
    assert found.impedance_ohm[0] == pytest.approx(10331.902945892089 - 120.57488753752744j)


def test_a_cyclers_file_without_impedance_is_refused(cache: Path, tmp_path: Path) -> None:
    pytest.importorskip("galvani")
    path = packaged_file(
        "navani", "0.1.22", "Example_data/00_test_01_OCV_C01.mpr", 15_944, cache=cache, folder=tmp_path
    )
    with pytest.raises(DataRefused, match=r"its columns are .*name a file of impedance"):
        read_spectrum(path)


def test_a_real_cell_is_valid_and_its_circuit_is_the_optimum_of_others(cache: Path, tmp_path: Path) -> None:
    """impedance.py 1.7.1 from good guesses ends at rms 1.20984 % of |Z|; here no guess was given."""
    text = "L-R-(R|CPE)-(R-Wo|CPE)"
    analysis = analyse(real_cell(cache, tmp_path), Wanted(circuits=(text,)))
    assert analysis.kramers_kronig.rms < 0.0025
    assert analysis.kramers_kronig.validity is Validity.VALID
    assert analysis.fit is not None
    assert analysis.fit.rms == pytest.approx(0.0120984, rel=1e-5)
    assert "Wo1_tau" in analysis.fit.fitted.unidentified  # its end lies below the lowest frequency
    assert analyse(real_cell(cache, _new(tmp_path))).fit.rms < analysis.fit.rms  # type: ignore[union-attr]


def test_a_drifted_real_spectrum_fails(cache: Path, tmp_path: Path) -> None:
    test = kramers_kronig(read_spectrum(real_file("exampleDataGamry.DTA", cache, tmp_path)))
    assert test.validity is Validity.INVALID
    assert test.drift > 0.3


def test_the_command_prints_and_stores(made: Path, tmp_path: Path) -> None:
    store, out = tmp_path / "store", tmp_path / "found.json"
    LabStore.create(store, "Politecnico di Milano")
    done = eis(made, "--area", "2", "--simulated", "-o", out, "--store", store, "--json")
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    assert record["circuit"]["text"] == "R-(R|CPE)-(R|C)"
    assert record["kramers_kronig"]["validity"] == "valid"
    assert record["simulated"]
    by_name = {one.name: one for one in read_findings(out).findings}
    assert by_name["circuit@R2"].value == pytest.approx(0.01, rel=0.02)
    assert by_name["time_constant@R3"].value == pytest.approx(0.5, rel=0.02)
    with LabStore.open(store).tenant() as part:
        dataset = part.dataset(record["dataset"])
    assert dataset.is_simulated
    files = {file.path: file for file in dataset.files}
    assert set(files) >= {"findings.json", "spectrum.csv", "result.json", "figure.svg"}


def test_a_spectrum_that_says_it_is_simulated_is_believed(made: Path, tmp_path: Path) -> None:
    head, *rows = made.read_text(encoding="utf-8").splitlines()
    made.write_text("\n".join([f"{head},Simulated / 1", *(f"{row},1" for row in rows)]) + "\n", encoding="utf-8")
    LabStore.create(tmp_path / "store", "Politecnico di Milano")
    done = eis(made, "--only-kk", "--store", tmp_path / "store", "--json")
    assert json.loads(done.stdout)["simulated"]
    with LabStore.open(tmp_path / "store").tenant() as part:
        assert [one.is_simulated for one in part.find()] == [True, True]


def test_the_table_of_a_result_is_a_spectrum_again(made: Path, tmp_path: Path) -> None:
    from poliqi.lab.echem.eis.drawing import page_of, table_bytes

    spectrum = replace(read_spectrum(made), is_rising=True)
    analysis = analyse(spectrum)
    (tmp_path / "again.csv").write_bytes(table_bytes(analysis))
    again = read_spectrum(tmp_path / "again.csv")
    np.testing.assert_array_equal(again.impedance_ohm, spectrum.impedance_ohm)
    assert again.is_rising
    assert not again.simulated
    calculated = replace(analysis, spectrum=replace(spectrum, simulated=True))
    (tmp_path / "again.csv").write_bytes(table_bytes(calculated))
    for columns in ((), ("frequency/Hz", "Re(Z)/Ohm", "Im(Z)/Ohm")):
        assert read_spectrum(tmp_path / "again.csv", columns=columns).simulated
    for one, word in ((analysis, "measured"), (calculated, "simulated")):
        axes = MagicMock()
        page_of(one).panels[0].draw(axes)
        assert axes.plot.call_args_list[0].kwargs["label"] == word


def test_what_is_not_identified_has_no_value_anywhere(made: Path) -> None:
    done = eis(made, "--circuit", "R-R-(R|CPE)-(R|C)", "--json")
    parameters = {one["name"]: one for one in json.loads(done.stdout)["circuit"]["parameters"]}
    assert parameters["R1"]["value"] is None
    assert "R2" in parameters["R1"]["why_not"]
    words = eis(made, "--circuit", "R-R-(R|CPE)-(R|C)").stdout
    assert "not identified: cannot be told apart from R2" in words


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--circuit", "R-("], "the end at letter 4"),
        (["--hold", "R1=1"], "name the one --circuit"),
        (["--circuit", "R-(R|C)", "--hold", "R1"], "--hold 'R1': write NAME=VALUE"),
        (["--kk-limit", "0"], "--kk-limit 0"),
        (["--drt-lambda", "-1"], "--drt-lambda -1"),
        (["--area", "0"], "--area 0 cm2"),
        (["--range", "1", "2"], "give 6 or more"),
        (["--kk-limit", "0.01"], "fails Kramers-Kronig"),
        (["--columns", "frequency/Hz,Re(Z)/Ohm,Im(Z)/Ohm"], "Im Z turned"),
        (["--plot", "x.pdf"], ".png or .svg"),
    ],
)
def test_a_wrong_option_or_spectrum_ends_with_one_line(made: Path, words: list[str], said: str) -> None:
    done = eis(made, *words)
    assert done.exit_code != 0
    assert said in f"{done.exception} {done.output}"


def test_only_the_test_can_be_asked(made: Path) -> None:
    done = eis(made, "--only-kk", "--json")
    record = json.loads(done.stdout)
    assert "circuit" not in record
    assert record["kramers_kronig"]["rms"] < 0.005


def _new(folder: Path) -> Path:
    (folder / "new").mkdir()
    return folder / "new"
