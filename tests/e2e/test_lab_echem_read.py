"""The command on files of real cyclers, against what those files and other programs say of themselves."""

from __future__ import annotations

import csv
import json
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from cycler_files import charge_and_discharge, csv_text, real_file

from poliqi.base.errors import ConfigError, DataRefused, PoliqiError
from poliqi.lab.echem.readers import ReadOptions, Repeated, read_record
from poliqi.lab.echem.readers.recordpage import charges_ah
from poliqi.lab.store.records import Kind
from poliqi.lab.store.store import LabStore
from poliqi.ops.cli import cli


def poliqi(*words: object) -> str:
    """Run the command in this process; what it prints."""
    done = CliRunner().invoke(cli, ["lab", "echem", "read", *map(str, words)])
    if isinstance(done.exception, PoliqiError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture
def real(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Real files by name."""

    def of(name: str) -> Path:
        cache = Path(request.config.cache.mkdir("cyclers"))
        return real_file(name, cache, tmp_path_factory.mktemp("package"))

    return of


@pytest.mark.slow
def test_a_long_biologic_file_has_the_charge_that_its_instrument_counted(real: Any, tmp_path: Path) -> None:
    galvani = pytest.importorskip("galvani")
    path, table = real("gcpl.mpr"), tmp_path / "cell.bdf.parquet"
    told = json.loads(
        poliqi(path, "-o", table, "--chemistry", "lithium-nmc", "--plot", tmp_path / "c.svg", "--json")
    )
    assert (told["points"], told["format"]) == (46_102, "BioLogic .mpr")
    with path.open("rb") as file:
        raw = galvani.BioLogic.MPRfile(file).data
    moved = raw["dq/mA.h"]
    assert told["charged_ah"] * 1e3 == pytest.approx(moved[moved > 0].sum(), rel=1e-3)
    assert told["discharged_ah"] * 1e3 == pytest.approx(-moved[moved < 0].sum(), rel=1e-3)
    again = read_record(table)
    assert np.array_equal(again.voltage_v, raw["Ewe/V"].astype(float))
    assert np.array_equal(again.time_s, raw["time/s"])


@pytest.mark.slow
@pytest.mark.parametrize(("name", "points"), [("test.nda", 439), ("test.ndax", 1464)])
def test_neware_files_have_the_charge_that_their_cycler_counted(real: Any, name: str, points: int) -> None:
    from NewareNDA import NewareNDA

    path = real(name)
    record = read_record(path, ReadOptions(repeated=Repeated.APART))
    assert record.time_s.size == points
    theirs: Any = NewareNDA.read(str(path), log_level="CRITICAL") if name == "test.ndax" else None
    if theirs is not None:
        charged, discharged = charges_ah(record)
        assert charged * 1e3 == pytest.approx(theirs["Charge_Capacity(mAh)"].max(), rel=2e-3)
        assert discharged * 1e3 == pytest.approx(theirs["Discharge_Capacity(mAh)"].max(), rel=2e-3)


@pytest.mark.slow
def test_arbins_csv_has_the_charge_that_its_cycler_counted(real: Any) -> None:
    path = real("arbin.csv")
    with path.open() as file:
        rows = list(csv.DictReader(file))
    charged, discharged = charges_ah(read_record(path))
    counted = [float(row["Charge_Capacity"]) for row in rows]
    in_cycle = sum(max(now - then, 0) for then, now in pairwise(counted))
    assert charged == pytest.approx(in_cycle, rel=3e-3)
    given = [float(row["Discharge_Capacity"]) for row in rows]
    assert discharged == pytest.approx(sum(max(now - then, 0) for then, now in pairwise(given)), rel=3e-3)


@pytest.mark.slow
def test_arbins_sheet_maccors_text_and_a_public_archive(real: Any) -> None:
    sheet = read_record(real("arbin.xlsx"))
    assert (sheet.time_s.size, sheet.source_format) == (4526, "Arbin .xlsx")
    assert sheet.voltage_v[0] == 2.637298583984375
    maccor = read_record(real("maccor.txt"))
    assert (maccor.time_s[-1], maccor.voltage_v[-1], maccor.current_a[-1]) == (37 * 60, 2.367, -0.00061)
    leaf = read_record(real("leaf.csv"))
    assert leaf.current_a.min() == -30.6  # 1 C of its 30.6 Ah, discharging by the column "Mode"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("ocv.mpr", ReadOptions(), "no column of the current"),
        ("invalid.bdf", ReadOptions(), "no column of the current"),
        ("capacity.bdf", ReadOptions(), "grows by 360 times current x time"),
        ("test.nda", ReadOptions(), "record 52 repeats the time"),
        ("archive.csv", ReadOptions(), "line 951 repeats the time"),
        ("archive.csv", ReadOptions(repeated=Repeated.APART, window_v=(2.0, 4.5)), "-3.7.* is outside"),
    ],
)
def test_faults_of_real_files_are_found(real: Any, name: str, options: ReadOptions, said: str) -> None:
    if name.endswith(".mpr"):
        pytest.importorskip("galvani")
    with pytest.raises(DataRefused, match=said):
        read_record(real(name), options)


@pytest.mark.slow
def test_arbins_database(real: Any) -> None:
    path = real("arbin.res")
    if shutil.which("mdb-export") is None:
        with pytest.raises(ConfigError, match="mdb-export"):
            read_record(path)
        return
    record = read_record(path)
    assert record.time_s.size == 2150
    assert any("another order" in note for note in record.notes)


@pytest.fixture
def cell(tmp_path: Path) -> Path:
    path = tmp_path / "cell.csv"
    path.write_text(csv_text(("Test Time / s", "Voltage / V", "Current / A"), *charge_and_discharge()))
    return path


def test_people_and_programs_are_told_what_was_read(cell: Path, tmp_path: Path) -> None:
    said = poliqi(cell, "--report", tmp_path / "page.html", "--plot", tmp_path / "c.png")
    assert "points         40" in said
    assert "voltage        3.5389 to 3.8611 V" in said
    assert "Record cell.csv" in (tmp_path / "page.html").read_text()
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    told = json.loads(poliqi(cell, "--json"))
    assert (told["points"], told["simulated"], told["dataset"]) == (40, False, None)
    assert told["columns"] == ["Test Time / s", "Voltage / V", "Current / A"]


def test_the_table_goes_into_a_store_with_its_origin(cell: Path, tmp_path: Path) -> None:
    root = tmp_path / "store"
    LabStore.create(root, "materials")
    told = json.loads(poliqi(cell, "--store", root, "--json", "--window", 3, 4))
    with LabStore.open(root).tenant() as part:
        made = part.dataset(told["dataset"])
        assert {file.path for file in made.files} >= {"cell.bdf.parquet", "result.json", "figure.svg"}
        assert not made.is_simulated
        assert "Record: cell.csv" in {one.title for one in part.provenance(made.id).datasets}


def test_what_the_store_knows_to_be_simulated_stays_so_in_the_table(cell: Path, tmp_path: Path) -> None:
    with LabStore.create(tmp_path / "store", "materials").tenant() as part:
        part.register([cell], title="Calculated", kind=Kind.SIMULATED)
    told = json.loads(poliqi(cell, "--store", tmp_path / "store", "-o", tmp_path / "out.csv", "--json"))
    assert told["simulated"] is True
    assert read_record(tmp_path / "out.csv").simulated


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--window", 4, 3), "give the lower voltage first"),
        (("--window", 3, 4, "--chemistry", "graphite-nmc"), "both say"),
        (("--chemistry", "tin"), "not known"),
        (("-o", "cell.xlsx"), "a name that ends so"),
        (("--column", "current"), "write QUANTITY=NAME"),
    ],
)
def test_options_that_cannot_be_are_refused_before_the_file_is_read(
    tmp_path: Path, options: tuple[object, ...], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        poliqi(tmp_path / "none.csv", *options)
