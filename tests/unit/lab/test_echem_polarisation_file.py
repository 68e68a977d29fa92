"""Polarisation curves as text: what is read, and what is refused by field, file and row."""

from __future__ import annotations

import numpy as np
import pytest
from polarisation_curves import NOMINAL, calculated

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.echem.polarisation.curve import Device
from poliqi.lab.echem.polarisation.file import conditions_with, curve_bytes, curves_from
from poliqi.lab.echem.polarisation.table import ReadAs, read_as

CELL = """# device: PEM electrolyser
# temperature: 60 degC
# anode_pressure: 1 bar
# cathode_pressure: 10 bar
# a remark without a colon
current_density / A/cm2, voltage / V
0.1, 1.50
1.0, 1.75

2.0, 1.95
"""


def read(text: str, said: ReadAs | None = None) -> list[str]:
    return [one.name for one in curves_from(text.encode(), "cell.csv", said or ReadAs({}, {}))]


def test_conditions_and_points_are_read_in_si() -> None:
    (curve,) = curves_from(CELL.encode(), "cell.csv")
    assert curve.device is Device.PEM_ELECTROLYSER
    assert curve.conditions.temperature_k == pytest.approx(333.15)
    assert (curve.conditions.anode_pressure_pa, curve.conditions.cathode_pressure_pa) == (1e5, 1e6)
    assert curve.current_density_a_m2.tolist() == [1e3, 1e4, 2e4]
    assert curve.name == "cell"
    assert [curve.row(at) for at in range(3)] == [7, 8, 10]  # as an editor counts lines


def test_current_and_stack_voltage_are_divided_by_area_and_cells() -> None:
    text = CELL.replace("current_density / A/cm2, voltage / V", "current [A]; stack_voltage [V]").replace(",", ";")
    text = "# area: 50 cm2\n# cells: 10\n" + text
    (curve,) = curves_from(text.encode(), "cell.csv")
    assert curve.current_density_a_m2.tolist() == pytest.approx([20.0, 200.0, 400.0])
    assert curve.voltage_v.tolist() == pytest.approx([0.150, 0.175, 0.195])


def test_rows_of_equal_conditions_are_one_curve() -> None:
    text = (
        "# device: alkaline electrolyser\n# pressure: 7 bar\n"
        "j,T,V,w\n40,313.15,1.66,0.3\n60,313.15,1.70,0.3\n40,353.15,1.50,0.3\n60,353.15,1.53,0.3\n"
    )
    said = read_as([], ["current_density=j [mA/cm2]", "temperature=T [K]", "voltage=V [V]", "koh_mass_fraction=w"])
    assert read(text, said) == ["temperature 40 degC", "temperature 80 degC"]


def test_what_is_said_goes_before_what_is_written() -> None:
    (curve,) = curves_from(CELL.encode(), "cell.csv", read_as(["temperature=80 degC"], []))
    assert curve.conditions.temperature_k == pytest.approx(353.15)


def test_what_says_of_itself_that_it_is_simulated_stays_so() -> None:
    for written in ("yes", "perhaps"):
        text = CELL.replace("# device", f"# simulated: {written}\n# device")
        with pytest.raises(DataRefused, match=r"cell.csv: simulated is .* cannot take that back"):
            read(text, read_as(["simulated=No"], []))
    (curve,) = curves_from(CELL.encode(), "cell.csv", read_as(["simulated=yes"], []))
    assert curve.simulated


def test_a_written_curve_is_read_exactly() -> None:
    curve = calculated(NOMINAL, "one", noise_v=1e-3)
    (again,) = curves_from(curve_bytes(curve), "x")
    assert np.array_equal(again.voltage_v, curve.voltage_v)
    assert np.array_equal(again.current_density_a_m2, curve.current_density_a_m2)
    assert repr(again.conditions) == repr(curve.conditions)
    assert (again.name, again.cell, again.simulated) == ("one", "calculated", True)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("# device: PEM electrolyser\n", "", "device is not stated"),
        ("PEM electrolyser", "toaster", "device is 'toaster'"),
        ("# temperature: 60 degC\n", "", "temperature is not stated"),
        ("60 degC", "60", "temperature has no unit"),
        ("60 degC", "60 degF", "temperature in 'degF'"),
        ("60 degC", "hot", "temperature is 'hot'"),
        ("60 degC", "600 degC", "temperature 600 degC; must be 0.01 degC to 200 degC"),
        ("10 bar", "10 barg", "state it absolute"),
        ("cathode_pressure", "cathode_presure", "line 4: 'cathode_presure' is no quantity"),
        ("# temperature", "# temperature: 1 K\n# temperature", "line 3: temperature is stated twice"),
        ("# anode_pressure", "# pressure: 1 bar\n# anode_pressure", "pressure is that of both sides"),
        ("current_density / A/cm2", "current_density", "line 6: current_density has no unit"),
        ("current_density / A/cm2", "i / A/cm2", "the table has none"),
        ("voltage / V", "voltage / kV", "line 6: voltage in 'kV'"),
        ("current_density / A/cm2", "current / A", "current needs area"),
        ("1.0, 1.75", "1.0, 1.75, 3", "line 8: 3 values under 2 headings"),
        ("1.0, 1.75", "1.0, one", "line 8: voltage / V is 'one'"),
        ("1.0, 1.75", "1_0, 1.75", "line 8: current_density / A/cm2 is '1_0'"),
        ("1.0, 1.75", "1.0, nan", "line 8: voltage / V is 'nan'"),
        ("0.1, 1.50", "-0.1, 1.50", "row 7: current density -1000 A/m2 is below 0"),
        ("2.0, 1.95", "2.0, 1.30", "rows 7 and 10"),
        ("# device", "# simulated: perhaps\n# device", "simulated is 'perhaps'"),
        ("# device", "# voltage: 2 V\n# device", "voltage is stated once for all rows"),
    ],
)
def test_refused_by_field_and_row(old: str, new: str, said: str) -> None:
    assert old in CELL
    with pytest.raises(DataRefused, match=said) as refused:
        read(CELL.replace(old, new))
    assert "cell.csv" in str(refused.value)


def test_a_fuel_cell_has_to_state_its_gases() -> None:
    with pytest.raises(DataRefused, match="anode_humidity is not stated"):
        read(CELL.replace("PEM electrolyser", "PEM fuel cell"))


def test_pressure_below_that_of_vapour_is_refused() -> None:
    curve = calculated(NOMINAL, "one")
    text = curve_bytes(curve).decode().replace("# cathode_pressure: 200000.0 Pa", "# cathode_pressure: 0.2 bar")
    with pytest.raises(DataRefused, match="no room for gas"):
        read(text)


@pytest.mark.parametrize(
    ("stated", "columns", "said"),
    [
        (["colour=red"], [], "--set 'colour=red'"),
        (["temperature"], [], "--set 'temperature'"),
        (["temperature=1 K", "temperature=2 K"], [], "is said twice"),
        ([], ["speed=v"], "--column 'speed=v'"),
    ],
)
def test_words_that_say_nothing_are_refused(stated: list[str], columns: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_as(stated, columns)


def test_a_column_that_is_said_has_to_be_there() -> None:
    with pytest.raises(DataRefused, match="no column 'j"):
        read(CELL, read_as([], ["current_density=j [A/cm2]"]))


def test_conditions_are_changed_by_words() -> None:
    at = conditions_with(NOMINAL, ["temperature=75 degC", "pressure=3 bar"])
    assert at.temperature_k == pytest.approx(348.15)
    assert (at.anode_pressure_pa, at.cathode_pressure_pa) == (3e5, 3e5)
    assert at.hydrogen_fraction == NOMINAL.hydrogen_fraction
    with pytest.raises(ConfigError, match="no condition"):
        conditions_with(NOMINAL, ["voltage=1 V"])


def test_too_large_a_file_is_refused() -> None:
    with pytest.raises(DataRefused, match="more than"):
        curves_from(b" " * ((16 << 20) + 1), "huge.csv")
    with pytest.raises(DataRefused, match="UTF-8"):
        curves_from(b"\xff\xfe", "odd.csv")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("# temperature: 60 degC", "# temperature: " + "1" * 5000, "line 2: temperature has 5000 characters"),
        (
            "# temperature: 60 degC",
            "# cell: a\x00b",
            "line 2: cell has 3 characters",
        ),
        ("voltage / V", "voltage" + " " * 5000 + "V", "line 6: a heading of more than 200 characters"),
        ("0.1, 1.50", "0.1, 1.50" + "0" * 20_000, "line 7: 20009 characters"),
    ],
)
def test_what_is_long_or_not_printable_is_refused_at_once(old: str, new: str, said: str) -> None:
    with pytest.raises(DataRefused, match=said):
        read(CELL.replace(old, new))
