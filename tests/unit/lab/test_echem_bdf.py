"""Tables in the Battery Data Format: what is written is read again, to the last bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cycler_files import charge_and_discharge

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.echem.bdf import bdf_bytes, check_bdf
from poliqi.lab.echem.readers import ReadOptions, read_record
from poliqi.lab.echem.record import CyclingRecord

TIME, VOLTAGE, CURRENT = charge_and_discharge()
RECORD = CyclingRecord(
    TIME + 0.1,
    VOLTAGE,
    CURRENT / 3,
    temperature_c=np.r_[np.nan, TIME[1:] / 7],
    file_cycle=np.arange(40) // 20 + 1,
    file_step=np.arange(40) // 10,
    started_unix_s=1_772_443_800.123457,
)


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".bdf"])
def test_what_is_written_is_read_again(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"cell.bdf{ending}"
    path.write_bytes(bdf_bytes(RECORD, ending))
    read = read_record(path)
    assert read.source_format == "BDF"
    for name in ("time_s", "voltage_v", "current_a", "temperature_c", "file_cycle", "file_step"):
        assert np.array_equal(getattr(read, name), getattr(RECORD, name), equal_nan=name == "temperature_c"), name
    assert read.started_unix_s == RECORD.started_unix_s
    assert not read.simulated


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_what_is_simulated_stays_so(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"cell{ending}"
    path.write_bytes(bdf_bytes(replace(RECORD, simulated=True), ending))
    assert read_record(path).simulated


def test_the_labels_are_those_of_the_standard(tmp_path: Path) -> None:
    head = bdf_bytes(RECORD, ".csv").decode().partition("\n")[0]
    assert head == (
        "Test Time / s,Voltage / V,Current / A,Surface Temperature T1 / degC,Cycle Count / 1,Step Count / 1,"
        "Unix Time / s"
    )


def test_names_of_the_machine_are_read_too(tmp_path: Path) -> None:
    path = tmp_path / "cell.bdf"
    path.write_text("test_time_second,voltage_volt,current_ampere\n0,3.0,0.001\n1,3.1,0.001\n2,3.2,0.001\n")
    assert read_record(path).current_a.tolist() == [0.001] * 3


def test_text_in_a_column_of_numbers_is_refused(tmp_path: Path) -> None:
    import polars as pl

    path = tmp_path / "cell.parquet"
    pl.DataFrame({"Test Time / s": [0.0, 1.0], "Voltage / V": ["3", "4"], "Current / A": [1.0, 1.0]}).write_parquet(
        path
    )
    with pytest.raises(DataRefused, match=r"column 'Voltage / V' holds no numbers but (large_)?string"):
        read_record(path, ReadOptions())


def test_a_parquet_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cell.parquet"
    path.write_bytes(bdf_bytes(RECORD, ".parquet")[:-20])
    with pytest.raises(DataRefused, match="or cut off"):
        read_record(path)


def test_other_endings_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"\.parquet, \.csv, \.bdf"):
        check_bdf(Path("cell.xlsx"))


def test_words_of_a_parquet_tell_the_sign(tmp_path: Path) -> None:
    import polars as pl

    path = tmp_path / "cell.parquet"
    states = ["charge" if one > 0 else None if at == 30 else "discharge" for at, one in enumerate(CURRENT)]
    flows = np.where(np.arange(40) == 30, 0.0, abs(CURRENT))
    pl.DataFrame({"Test Time(s)": TIME, "Voltage(V)": VOLTAGE, "Current(A)": flows, "State": states}).write_parquet(
        path
    )
    assert read_record(path).current_a == pytest.approx(np.where(np.arange(40) == 30, 0.0, CURRENT))
