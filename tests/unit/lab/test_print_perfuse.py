"""`poliqi lab print perfuse`: what it prints, writes, refuses and keeps."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click import Argument, Context
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.print.domain.domain import box
from poliqi.lab.print.flow.designed import designed_fluid
from poliqi.lab.print.flow.fluid import Fluid
from poliqi.lab.print.flow.solve import solve_flow
from poliqi.lab.print.network import Kind, Network, Port, Role
from poliqi.lab.print.oxygen import perfusionfile
from poliqi.lab.print.oxygen.perfusion import NL_MIN, cautions_of, ends_of, flow_spread, shears_of
from poliqi.lab.print.oxygen.perfusionfile import perfusion_from
from poliqi.lab.print.oxygen.tissue import PRESETS, Carrier
from poliqi.lab.print.vesselfile import read_vessels, vessels_bytes
from poliqi.lab.print.view.perfused import perfused
from poliqi.ops.commands.lab_print_perfuse import command

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "reference" / "lab-print-perfuse.md").read_text(
    encoding="utf-8"
)
SIDE = 200.0


def network() -> Network:
    """An artery, two equal capillaries around a square, a vein: all flows by hand."""
    points = [(0, 0, -100), (0, 0, -50), (50, 0, 0), (-50, 0, 0), (0, 0, 50), (0, 0, 100)]
    segments = [(0, 1), (1, 2), (2, 4), (1, 3), (3, 4), (4, 5)]
    kinds = [Kind.ARTERY, *[Kind.CAPILLARY] * 4, Kind.VEIN]
    return Network(
        np.array(points, float),
        np.array(segments, np.int32),
        np.array([10.0, 5, 5, 5, 5, 10]),
        np.array(kinds, np.uint8),
        np.array([0, -1, -1, -1, -1, 1], np.int32),
        (Port(0, Role.INLET, 120.0, 0.0), Port(5, Role.OUTLET, 20.0, 0.0)),
    )


@pytest.fixture
def vessels(tmp_path: Path) -> Path:
    path = tmp_path / "t.vessels.json"
    path.write_bytes(vessels_bytes(network(), box((SIDE, SIDE, SIDE)), {}))
    return path


def run(*args: Any) -> Result:
    return CliRunner().invoke(command, [str(one) for one in args])


def by_hand() -> float:
    """Flow in um^3/s: Poiseuille in series, the two ways between in parallel."""
    mu = 0.7e-3

    def resistance(long: float, radius: float) -> float:
        return 8 * mu * long / (np.pi * radius**4)

    return 100.0 / (2 * resistance(50, 10) + resistance(2 * 50 * 2**0.5, 5) / 2)


def test_flow_shear_and_oxygen_of_a_loop(vessels: Path, tmp_path: Path) -> None:
    out, report = tmp_path / "p.npz", tmp_path / "p.html"
    ran = run(
        vessels, "--consumption", 0.05, "--km", 0.005, "--diffusivity", 2e-9, "--cells", 24,
        "-o", out, "--report", report, "--json",
    )  # fmt: skip
    assert ran.exit_code == 0, ran.output
    record = json.loads(ran.stdout)
    assert record["simulated"] is True
    assert record["ports"][0]["flow_nl_min"] == pytest.approx(by_hand() / (1e6 / 60), rel=1e-9)
    assert record["ports"][1]["flow_nl_min"] == pytest.approx(-by_hand() / (1e6 / 60), rel=1e-9)
    shear = {one["kind"]: one for one in record["wall_shear"]}
    assert shear["artery"]["median_pa"] == pytest.approx(4 * 0.7e-3 * by_hand() / (np.pi * 1000), rel=1e-9)
    assert shear["capillary"]["target_pa"] is None
    assert record["terminal_flow_cv"] == pytest.approx(0, abs=1e-9)
    assert record["pressure_drop_pa"] == pytest.approx(100)
    oxygen = record["oxygen"]
    assert abs(oxygen["balance"]["residual"]) < 1e-3
    assert oxygen["tissue"]["consumption_mol_m3_s"] == 0.05
    assert "given" in oxygen["tissue"]["source"]
    words = report.read_text(encoding="utf-8")
    assert "Oxygen in the middle plane" in words
    assert "simulated" in words
    made = perfusion_from(out.read_bytes())
    np.testing.assert_allclose(made.arrays["flow_um3_s"][[0, 1, 5]], np.array([1, 0.5, 1]) * by_hand(), rtol=1e-9)
    assert made.arrays["c_mol_m3"].shape == (24, 24, 24) == tuple(oxygen["cells"])
    assert made.head["low_um"] == [-100, -100, -100]
    tissue = made.arrays["c_mol_m3"][made.arrays["kind"] == 1]
    assert tissue.min() == pytest.approx(oxygen["minimum_mol_m3"])


def test_words_name_numbers_units_and_places(vessels: Path) -> None:
    ran = run(vessels, "--cells", 16, "--tissue", "hepatocytes-5.14e14", "--reach", 50)
    assert ran.exit_code == 0, ran.output
    assert f"inlet            +{by_hand() / NL_MIN:.4g} nL/min at 120 Pa, (0, 0, -100) um" in ran.stdout
    assert "hypoxic" in ran.stdout
    assert "Sci. Rep." in ran.stdout
    assert "caution: " in ran.stdout
    assert "further than 50 um from a vessel; worst" in ran.stdout


def test_without_oxygen_there_is_flow_alone(vessels: Path, tmp_path: Path) -> None:
    out, plot = tmp_path / "p.npz", tmp_path / "p.svg"
    ran = run(vessels, "--no-oxygen", "-o", out, "--plot", plot, "--json")
    assert ran.exit_code == 0, ran.output
    assert json.loads(ran.stdout)["oxygen"] is None
    assert "c_mol_m3" not in perfusion_from(out.read_bytes()).arrays
    assert plot.read_text(encoding="utf-8").startswith("<?xml")


def test_blood_flows_by_pries_and_carries_more(vessels: Path) -> None:
    ran = run(vessels, "--fluid", "blood", "--hematocrit", 0.3, "--cells", 16, "--json")
    assert ran.exit_code == 0, ran.output
    record = json.loads(ran.stdout)
    assert record["oxygen"]["carrier"]["capacity_mol_m3"] == pytest.approx(6.0)
    assert record["fluid"]["hematocrit"] == 0.3
    assert any("red cells are not resolved" in one for one in record["cautions"])
    assert record["ports"][0]["flow_nl_min"] < 0.6 * by_hand() / NL_MIN


def test_it_goes_into_a_store_as_simulated(vessels: Path, tmp_path: Path) -> None:
    from poliqi.ops.commands.lab_store_init import command as init

    root = tmp_path / "lab"
    made = CliRunner().invoke(init, [str(root), "--organisation", "Lab"])
    assert made.exit_code == 0, made.output
    ran = run(vessels, "--no-oxygen", "--store", root)
    assert ran.exit_code == 0, ran.output
    assert "in the store: dataset" in ran.stdout


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--hematocrit", "0.4"], "--fluid blood"),
        (["--tissue", "liver"], "hepatocytes-5.14e12"),
        (["--no-oxygen", "--km", "0.01"], "leave one"),
        (["--no-oxygen", "--cells", "64"], "leave one"),
        (["--cells", "64", "--spacing", "2"], "not both"),
        (["--spacing", "0.01"], "GiB"),
        (["--km", "-1"], "km_mol_m3"),
        (["--viscosity", "0"], "viscosity"),
        (["--report", "x.txt"], ".html"),
    ],
)
def test_what_cannot_be_is_refused(vessels: Path, args: list[str], words: str) -> None:
    ran = run(vessels, *args)
    assert ran.exit_code != 0
    assert words in f"{ran.output}{ran.exception}"


def test_every_option_and_every_tissue_is_on_its_page() -> None:
    for option in command.params:
        said = [option.make_metavar(Context(command))] if isinstance(option, Argument) else option.opts
        assert any(f"`{name}" in PAGE for name in said), option.name
    for name in PRESETS:
        assert f"`{name}`" in PAGE, name
    assert f"`{perfusionfile.FORMAT}`" in PAGE


def test_shears_are_weighted_by_length_and_judged_by_kind() -> None:
    one = network()
    flow = solve_flow(one, Fluid())
    shear = 4 * 0.7e-3 * by_hand() / (np.pi * 1000)
    found = {each.kind: each for each in shears_of(one, flow)}
    assert found[Kind.VEIN].within == float(0.1 <= shear <= 0.6)
    assert found[Kind.ARTERY].within == float(1 <= shear <= 7)
    assert found[Kind.CAPILLARY].low_pa == pytest.approx(8 * shear / 2, rel=1e-9)
    assert sorted(ends_of(one).tolist()) == [1, 3]
    assert flow_spread(one, flow) == pytest.approx(0, abs=1e-9)


def packed(**arrays: Any) -> bytes:
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


def head(**more: Any) -> Any:
    return np.frombuffer(json.dumps({"format": "poliqi-perfusion-2", **more}).encode(), np.uint8)


FLOWS = {name: np.ones(2) for name in ("pressure_pa", "flow_um3_s", "wall_shear_pa", "viscosity_pa_s")}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\x03\x04" + bytes(50),
        packed(**FLOWS),
        packed(head=head(format="other"), **FLOWS),
        packed(head=np.frombuffer(b"{", np.uint8), **FLOWS),
        packed(head=np.frombuffer(b"[1]", np.uint8), **FLOWS),
        packed(head=head(), pressure_pa=np.ones(2)),
        packed(head=head(), **{**FLOWS, "flow_um3_s": np.ones((2, 2))}),
        packed(head=head(), **{**FLOWS, "flow_um3_s": np.array(["a", "b"])}),
        packed(head=head(spacing_um=1.0, low_um=[0, 0, 0]), **FLOWS, c_mol_m3=np.ones((2, 2, 2))),
        packed(head=head(), **FLOWS, c_mol_m3=np.ones((2, 2, 2)), kind=np.ones((2, 2, 2), np.uint8)),
    ],
)
def test_files_that_are_none_are_refused(data: bytes) -> None:
    with pytest.raises(DataRefused, match="here"):
        perfusion_from(data, "here")


def test_a_file_that_unpacks_too_far_is_refused_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perfusionfile, "_MOST_UNPACKED", 10_000)
    with pytest.raises(DataRefused, match="unpacks to"):
        perfusion_from(packed(head=head(), **FLOWS | {"pressure_pa": np.zeros(5000)}))
    monkeypatch.setattr(perfusionfile, "_MOST_BYTES", 100)
    with pytest.raises(DataRefused, match="more than 100"):
        perfusion_from(packed(head=head(), **FLOWS))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_changed_bytes_are_refused_or_give_arrays(data: st.DataObject) -> None:
    whole = bytearray(packed(head=head(), **FLOWS))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    for one in (bytes(whole), bytes(whole[:cut])):
        try:
            found = perfusion_from(one)
        except DataRefused:
            continue
        assert set(FLOWS) <= set(found.arrays)


def test_archives_with_a_pickle_are_refused() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, array in {"head": head(), **FLOWS, "bad": np.array([{}], dtype=object)}.items():
            part = io.BytesIO()
            np.save(part, array, allow_pickle=True)
            archive.writestr(f"{name}.npy", part.getvalue())
    with pytest.raises(DataRefused, match="perfusion"):
        perfusion_from(out.getvalue())


def of_design(tmp_path: Path, fluid: dict[str, Any] | None, flow_um3_s: float, **pressures: float) -> Path:
    """The loop, designed for a flow and a fluid."""
    first, last = network().ports
    ports = (
        replace(first, flow_um3_s=flow_um3_s, pressure_pa=pressures.get("inlet", first.pressure_pa)),
        replace(last, flow_um3_s=flow_um3_s),
    )
    path = tmp_path / "designed.vessels.json"
    made = {} if fluid is None else {"fluid": fluid}
    path.write_bytes(vessels_bytes(replace(network(), ports=ports), box((SIDE, SIDE, SIDE)), made))
    return path


BLOOD = {"kind": "blood", "viscosity_pa_s": 0.0012, "hematocrit": 0.4}


def test_the_fluid_of_the_design_flows_where_none_is_given(tmp_path: Path) -> None:
    path = of_design(tmp_path, BLOOD, 0.0)
    told = json.loads(run(path, "--no-oxygen", "--json").stdout)
    assert told["fluid"] == {"viscosity_pa_s": 0.0012, "hematocrit": 0.4, "density_kg_m3": 1050.0}
    assert json.loads(run(path, "--no-oxygen", "--hematocrit", 0.2, "--json").stdout)["fluid"]["hematocrit"] == 0.2
    assert json.loads(run(path, "--no-oxygen", "--fluid", "medium", "--json").stdout)["fluid"] == {
        "viscosity_pa_s": 0.0007, "hematocrit": None, "density_kg_m3": 1000.0
    }  # fmt: skip
    assert perfused(read_vessels(path), None, 16).fluid == Fluid(0.0012, 0.4, 1050.0)
    assert perfused(read_vessels(path), "fibrin-1e13", 16).carrier == Carrier.blood(0.4)


def test_flow_off_the_design_is_told_with_both_numbers(tmp_path: Path) -> None:
    path = of_design(tmp_path, None, by_hand() / 1.06)
    words = f"{by_hand() / NL_MIN:.4g} nL/min flow, designed were {by_hand() / 1.06 / NL_MIN:.4g}"
    assert run(path, "--no-oxygen").stdout.count(words) == 2
    assert any(words in one for one in cautions_of(perfused(read_vessels(path), None, 16)))
    assert "designed were" not in run(of_design(tmp_path, None, by_hand() / 1.04), "--no-oxygen").stdout


def test_flow_against_a_ports_role_is_told(tmp_path: Path) -> None:
    ran = run(of_design(tmp_path, None, 0.0, inlet=-80.0), "--no-oxygen")
    assert f"port 1, inlet at (0, 0, -100) um: {by_hand() / NL_MIN:.4g} nL/min flow out of it" in ran.stdout
    assert "port 2, outlet at (0, 0, 100) um" in ran.stdout


@pytest.mark.parametrize(
    "fluid",
    [
        "blood", {}, {"kind": "oil", "viscosity_pa_s": 1e-3}, {"kind": "blood", "viscosity_pa_s": 1e-3},
        {"kind": "medium", "viscosity_pa_s": True}, {"kind": "medium", "viscosity_pa_s": 1e9},
        {"kind": "blood", "viscosity_pa_s": 1e-3, "hematocrit": 45},
    ],
)  # fmt: skip
def test_a_designs_fluid_that_is_none_is_refused(fluid: Any) -> None:
    with pytest.raises(DataRefused, match="made"):
        designed_fluid({"fluid": fluid})


@pytest.mark.parametrize("pressure", ["nan", "inf", "10"])
def test_a_terminal_pressure_of_a_closed_network_is_refused(vessels: Path, pressure: str) -> None:
    assert isinstance(run(vessels, "--no-oxygen", "--terminal-pressure", pressure).exception, ConfigError)
