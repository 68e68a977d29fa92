"""Voltammograms of known truth: charges, areas, crossover and short in closed form."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import pytest
from click.testing import CliRunner
from swept_electrodes import (
    CO,
    LAYER_F,
    RATE,
    WHOLE_HYDROGEN_C,
    crossover_sweep,
    hydrogen_voltammogram,
    stripping_voltammogram,
    write_swept,
)

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.echem.voltammetry.activearea import area_by_co, area_by_hydrogen
from poliqi.lab.echem.voltammetry.crossover import crossover
from poliqi.lab.echem.voltammetry.voltammogram import Voltammogram, read_voltammogram, sweeps
from poliqi.lab.echem.voltammetry.voltammogrampage import voltammogram_page
from poliqi.lab.store.findings import findings_in
from poliqi.lab.store.store import LabStore
from poliqi.ops.commands.lab_echem_fit_voltammogram import command

LIMITS, LAYER = (0.0, 0.42), (0.45, 0.6)
NOISE_A = 2e-6


def _of(curve: tuple[np.ndarray, np.ndarray], area_cm2: float | None = None) -> Voltammogram:
    e, i = curve
    return Voltammogram(e, i, RATE, "stated", area_cm2, 0.0, np.arange(1, e.size + 1), "cv")


def test_hydrogen_covers_the_area_of_its_charge() -> None:
    found = area_by_hydrogen(_of(hydrogen_voltammogram(), 0.2), limits_v=LIMITS, double_layer_v=LAYER)
    assert found.values["charge"].value == pytest.approx(WHOLE_HYDROGEN_C, rel=1e-3)
    assert found.values["area"].value == pytest.approx(WHOLE_HYDROGEN_C / 210e-6, rel=1e-3)
    assert found.values["roughness"].value == pytest.approx(WHOLE_HYDROGEN_C / 210e-6 / 0.2, rel=1e-3)
    assert found.values["capacitance"].value == pytest.approx(LAYER_F, rel=1e-3)


def test_adsorption_gives_the_same_area_as_desorption() -> None:
    found = area_by_hydrogen(
        _of(hydrogen_voltammogram()), limits_v=LIMITS, double_layer_v=LAYER, is_adsorption=True
    )
    assert found.values["charge"].value == pytest.approx(WHOLE_HYDROGEN_C, rel=2e-3)


def test_area_a_gram_needs_area_and_loading() -> None:
    told = {"limits_v": LIMITS, "double_layer_v": LAYER, "loading_mg_cm2": (0.1, 0.01)}
    found = area_by_hydrogen(_of(hydrogen_voltammogram(), 0.2), **told).values["specific_area"]
    per_gram = WHOLE_HYDROGEN_C / 210e-6 * 1e-4 / (0.1e-3 * 0.2)  # m2 over g
    assert found.value == pytest.approx(per_gram, rel=1e-3)
    assert found.relative_sigma == pytest.approx(0.1, rel=0.02)
    with pytest.raises(DataRefused, match="--area-cm2"):
        area_by_hydrogen(_of(hydrogen_voltammogram()), **told)


def test_errors_of_the_charge_cover_the_truth() -> None:
    pulls: list[float] = []
    for seed in range(60):
        curve = hydrogen_voltammogram(NOISE_A, seed)
        found = area_by_hydrogen(_of(curve), limits_v=LIMITS, double_layer_v=LAYER).values["charge"]
        pulls.append((found.value - WHOLE_HYDROGEN_C) / found.sigma)
    assert 0.5 < np.mean(np.abs(pulls) < 1) < 0.9
    assert np.max(np.abs(pulls)) < 4


def test_a_stated_density_and_its_doubt_are_used() -> None:
    found = area_by_hydrogen(
        _of(hydrogen_voltammogram()), limits_v=LIMITS, double_layer_v=LAYER, density_uc_cm2=(200.0, 20.0)
    )
    assert found.values["area"].value == pytest.approx(WHOLE_HYDROGEN_C / 200e-6, rel=1e-3)
    assert found.values["area"].relative_sigma == pytest.approx(0.1, rel=0.01)
    assert "200 uC per cm2" in found.assumed[0]


def test_stripped_co_is_what_the_second_sweep_lacks() -> None:
    found = area_by_co(_of(stripping_voltammogram()), limits_v=(0.5, 1.0))
    assert found.values["charge"].value == pytest.approx(CO.charge_c(0.5, 1.0), rel=1e-3)
    assert found.values["area"].value == pytest.approx(CO.charge_c(0.5, 1.0) / 420e-6, rel=1e-3)
    assert found.values["peak"].value == pytest.approx(0.75, abs=2e-3)
    assert not found.cautions


def test_limits_within_the_peak_are_told() -> None:
    found = area_by_co(_of(stripping_voltammogram()), limits_v=(0.5, 0.78))
    assert any("move that limit" in one for one in found.cautions)


def test_one_sweep_alone_is_no_stripping() -> None:
    e, i = stripping_voltammogram()
    half = e.size // 2
    with pytest.raises(DataRefused, match="--clean"):
        area_by_co(_of((e[:half], i[:half])), limits_v=(0.5, 1.0))
    found = area_by_co(_of((e[:half], i[:half])), limits_v=(0.5, 1.0), clean=_of((e[half:], i[half:])))
    assert found.values["charge"].value == pytest.approx(CO.charge_c(0.5, 1.0), rel=1e-3)


@pytest.mark.parametrize(
    ("limits", "layer", "why"),
    [
        ((0.4, 0.0), LAYER, "lower one"),
        ((0.0, 0.5), (0.4, 0.6), "keep them apart"),
        ((0.0, 0.4), (1.1, 1.4), "no sweep up spans"),
        ((0.9, 1.0), (0.5, 0.6), "no charge above its error"),
    ],
)
def test_windows_that_tell_nothing_are_refused(
    limits: tuple[float, float], layer: tuple[float, float], why: str
) -> None:
    with pytest.raises(DataRefused, match=why):
        area_by_hydrogen(_of(hydrogen_voltammogram(NOISE_A)), limits_v=limits, double_layer_v=layer)


def test_a_reversed_current_is_refused() -> None:
    e, i = hydrogen_voltammogram(NOISE_A)
    with pytest.raises(DataRefused, match="anodic positive"):
        area_by_hydrogen(_of((e, -i)), limits_v=LIMITS, double_layer_v=LAYER)


def test_crossover_and_short_are_intercept_and_slope() -> None:
    found = crossover(_of(crossover_sweep(0.05, 100.0, 1e-5), 25.0), limits_v=(0.3, 0.5))
    current, short = found.values["crossover_current"], found.values["short_resistance"]
    assert current.value == pytest.approx(0.05, abs=4 * current.sigma)
    assert short.value == pytest.approx(100.0, abs=4 * short.sigma)
    assert found.values["crossover_density"].value == pytest.approx(2.0, rel=1e-3)
    assert found.values["hydrogen_flux"].value == pytest.approx(
        20.0 / (2 * 96485.33212), rel=1e-3
    )  # 2 mA/cm2 in A/m2
    assert found.values["short_area_resistance"].value == pytest.approx(2500.0, rel=0.01)


def test_a_short_that_is_not_there_has_a_bound_and_no_value() -> None:
    found = crossover(_of(crossover_sweep(0.05, 1e9, 1e-5)), limits_v=(0.3, 0.5))
    assert "short_resistance" not in found.values
    assert "above" in found.why["short_resistance"]


def test_one_way_alone_keeps_the_double_layer_and_says_so() -> None:
    found = crossover(_of(crossover_sweep(0.05, 100.0, both_ways=False)), limits_v=(0.3, 0.5))
    assert found.values["crossover_current"].value == pytest.approx(0.05 + LAYER_F * RATE, rel=1e-4)
    assert any("only one way" in one for one in found.cautions)


def test_a_curve_in_place_of_a_line_is_told() -> None:
    found = crossover(_of(crossover_sweep(0.05, 100.0, 1e-5)), limits_v=(0.06, 0.5))
    assert any("curved" in one for one in found.cautions)
    assert any("not oxidised as it arrives" in one for one in found.cautions)


def test_a_reduction_has_no_crossover() -> None:
    e, i = crossover_sweep(0.05, 100.0, 1e-5)
    found = crossover(_of((e, -i)), limits_v=(0.3, 0.5))
    assert not found.values
    assert "sign" in found.why["crossover_current"]


def test_sweeps_take_turns() -> None:
    found = sweeps(_of(hydrogen_voltammogram()))
    assert [one.is_up for one in found] == [True, False, True, False]
    assert all(np.all(np.diff(one.potential_v) > 0) for one in found)


@pytest.mark.parametrize(
    ("head", "factor"),
    [
        ("time / s,E / V,I / mA", 1e3),
        ("Time (s);Potential applied (V);WE(1).Current (A)", 1.0),
        ("time/s\tEwe/V vs. SHE\t<I>/mA", 1e3),
        ("t [s],u [V],j [mA/cm2]", 1e3 / 5.0),
    ],
)
def test_headers_of_potentiostats_are_read(tmp_path: Path, head: str, factor: float) -> None:
    e, i = hydrogen_voltammogram()
    path = write_swept(tmp_path / "cv.txt", e, i, "a,b,c", factor)
    mark = ";" if ";" in head else "\t" if "\t" in head else ","
    path.write_text("BL-Lab ASCII\nsome remark\n" + path.read_text().replace("a,b,c", head).replace(",", mark))
    found = read_voltammogram(path, offset_v=0.1, area_cm2=5.0)
    assert found.scan_rate_v_s == pytest.approx(RATE, rel=1e-3)
    assert found.current_a == pytest.approx(i, abs=1e-9)
    assert found.potential_v[0] == pytest.approx(e[0] + 0.1)


def test_what_the_file_does_not_say_has_to_be_stated(tmp_path: Path) -> None:
    e, i = hydrogen_voltammogram()
    path = write_swept(tmp_path / "cv.csv", e, i)
    with pytest.raises(DataRefused, match="which is right"):
        read_voltammogram(path, offset_v=0.0, scan_rate_v_s=0.05)
    timeless = tmp_path / "timeless.csv"
    timeless.write_text("\n".join(line.partition(",")[2] for line in path.read_text().splitlines()))
    with pytest.raises(DataRefused, match="--scan-rate"):
        read_voltammogram(timeless, offset_v=0.0)
    density = write_swept(tmp_path / "density.csv", e, i, "time / s,E / V,j / mA/cm2")
    with pytest.raises(DataRefused, match="--area-cm2"):
        read_voltammogram(density, offset_v=0.0)


def test_time_that_goes_back_is_refused_with_its_row(tmp_path: Path) -> None:
    e, i = hydrogen_voltammogram()
    lines = write_swept(tmp_path / "cv.csv", e, i).read_text().splitlines()
    lines[100] = lines[90]
    (tmp_path / "back.csv").write_text("\n".join(lines))
    with pytest.raises(DataRefused, match="row 101 goes back in time"):
        read_voltammogram(tmp_path / "back.csv", offset_v=0.0)


def test_the_command_prints_every_assumption(tmp_path: Path) -> None:
    path = write_swept(tmp_path / "cv.csv", *hydrogen_voltammogram())
    page = tmp_path / "cv.html"
    told = ["--find", "hydrogen", "--to-rhe", "0", "--limits", "0.0", "0.42", "--double-layer", "0.45", "0.6"]
    done = CliRunner().invoke(command, [str(path), *told, "--simulated", "--report", str(page)])
    assert done.exit_code == 0, done.output
    for words in ("simulated", "210 uC per cm2", "20 mV/s", "+0 V", "double layer of 40 uA", "active area: 8.95"):
        assert words in done.stdout
    assert "simulated" in page.read_text()


@pytest.mark.parametrize("word", ["measured", "simulated"])
def test_a_chart_says_what_its_points_are(word: str) -> None:
    one = replace(_of(crossover_sweep(0.05, 100.0, 1e-5)), simulated=word == "simulated")
    axes = MagicMock()
    voltammogram_page(one, crossover(one, limits_v=(0.3, 0.5)), "title").panels[1].draw(axes)
    assert axes.plot.call_args_list[0].kwargs["label"] == word


def test_the_command_finds_crossover_and_co(tmp_path: Path) -> None:
    lsv = write_swept(tmp_path / "lsv.csv", *crossover_sweep(0.05, 100.0, 1e-5))
    strip = write_swept(tmp_path / "co.csv", *stripping_voltammogram())
    out = tmp_path / "lsv-found.csv"
    asked = ["--find", "crossover", "--to-rhe", "0", "--area-cm2", "25", "--json", "-o", str(out)]
    done = CliRunner().invoke(command, [str(lsv), *asked, "--plot", str(tmp_path / "lsv.svg")])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["found"]["crossover_density"]["value"] == pytest.approx(2.0, rel=1e-2)
    assert "short_resistance" in out.read_text()
    done = CliRunner().invoke(command, [str(strip), "--find", "co", "--to-rhe", "0", "--json"])
    assert json.loads(done.stdout)["found"]["area"]["value"] == pytest.approx(
        CO.charge_c(0.5, 1) / 420e-6, rel=1e-3
    )


@pytest.mark.parametrize("of", ["strip", "clean"])
def test_a_file_that_says_it_is_simulated_is_believed(tmp_path: Path, of: str) -> None:
    e, i = stripping_voltammogram()
    half = e.size // 2
    files = [
        write_swept(tmp_path / "strip.csv", e[:half], i[:half]),
        write_swept(tmp_path / "clean.csv", e[half:], i[half:]),
    ]
    said = tmp_path / f"{of}.csv"
    head, *rows = said.read_text().splitlines()
    said.write_text("\n".join([f"{head},Simulated / 1", *(f"{row},1" for row in rows)]) + "\n")
    LabStore.create(tmp_path / "lab", "Politecnico di Milano")
    words = ["--find", "co", "--to-rhe", "0", "--clean", str(files[1]), "--store", str(tmp_path / "lab"), "--json"]
    done = CliRunner().invoke(command, [str(files[0]), *words])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["simulated"] is True
    with LabStore.open(tmp_path / "lab").tenant() as part:
        held = {one.title: one.is_simulated for one in part.find()}
        assert part.dataset(told["dataset"]).is_simulated
    assert {name for name, is_simulated in held.items() if is_simulated} == {
        f"Voltammogram{' without co' if of == 'clean' else ''}: {of}.csv",
        "Active area by CO: strip.csv",
    }


def test_an_option_of_another_evaluation_is_refused(tmp_path: Path) -> None:
    path = write_swept(tmp_path / "lsv.csv", *crossover_sweep(0.05, 100.0))
    done = CliRunner().invoke(
        command, [str(path), "--find", "crossover", "--to-rhe", "0", "--charge-density", "200"]
    )
    assert isinstance(done.exception, ConfigError)
    assert "--charge-density" in str(done.exception)


def test_a_store_keeps_the_area_with_its_voltammogram(tmp_path: Path) -> None:
    root = tmp_path / "lab"
    LabStore.create(root, "Politecnico di Milano")
    path = write_swept(tmp_path / "cv.csv", *hydrogen_voltammogram())
    told = ["--find", "hydrogen", "--to-rhe", "0", "--limits", "0", "0.42", "--double-layer", "0.45", "0.6"]
    done = CliRunner().invoke(command, [str(path), *told, "--simulated", "--store", str(root), "--json"])
    assert done.exit_code == 0, done.output
    with LabStore.open(root).tenant() as part:
        made, found = findings_in(part, json.loads(done.stdout)["dataset"])
        sources = part.provenance(made.id).datasets
    assert found.named("active_area").value == pytest.approx(WHOLE_HYDROGEN_C / 210e-6, rel=1e-3)
    assert made.is_simulated
    assert len(sources) == 2
