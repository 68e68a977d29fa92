"""What `poliqi lab print design` tells of the vessels that it grew, and hands on to perfusion."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from poliqi.lab.print.flow.designed import designed_fluid
from poliqi.lab.print.flow.fluid import Fluid
from poliqi.lab.print.network import Kind, Network, Port, Role
from poliqi.lab.print.vesselfile import read_vessels
from poliqi.ops.commands.lab_print_design import command as design_command
from poliqi.ops.commands.lab_print_perfuse import command as perfuse_command
from poliqi.ops.print_design_text import cautions_of, left_out, made_record
from poliqi.ops.print_design_toml import read_design

OPEN = """
[domain]
kind = "sphere"
radius_um = 400
[[inlet]]
point_um = [-400, 0, 0]
[growth]
terminals = 12
flow = "0.1 uL/min"
pressure_drop_pa = 400
[fluid]
kind = "blood"
hematocrit = 0.4
"""
CLOSED = OPEN + "[[outlet]]\npoint_um = [400, 0, 0]\n"


def tube(radius: float, flow_um3_s: float) -> Network:
    return Network(
        np.array([[-400.0, 0, 0], [-300.0, 0, 0]]), np.array([[0, 1]], np.int32), np.array([radius]),
        np.zeros(1, np.uint8), np.zeros(1, np.int32), (Port(0, Role.INLET, 1000.0, flow_um3_s),),
    )  # fmt: skip


def test_blood_designed_is_blood_perfused_at_the_designed_flow_and_drop(tmp_path: Path) -> None:
    design, out = tmp_path / "d.toml", tmp_path / "d.vessels.json"
    design.write_text(OPEN)
    done = CliRunner().invoke(design_command, [str(design), "-o", str(out)])
    assert done.exit_code == 0, done.output
    made = read_vessels(out).made
    assert designed_fluid(made) == Fluid.blood(0.4)
    assert made["closure"] is None
    assert "least_radius_um" in made["growth"]
    ran = CliRunner().invoke(perfuse_command, [str(out), "--no-oxygen", "--json"])
    told = json.loads(ran.stdout)
    assert told["fluid"]["hematocrit"] == 0.4
    assert told["ports"][0]["flow_nl_min"] == pytest.approx(100.0, rel=1e-9)
    assert told["pressure_drop_pa"] == pytest.approx(400.0, rel=1e-7)
    assert told["terminal_flow_cv"] < 1e-9


def test_what_was_asked_of_the_closure_is_told() -> None:
    made = made_record(read_design(CLOSED.encode(), "d.toml", Path()))
    assert made["closure"]["capillary_radius_um"] == 4.0
    assert json.loads(json.dumps(made)) == made


def test_capillaries_left_out_are_told() -> None:
    design = read_design(CLOSED.encode(), "d.toml", Path())
    points = np.array([[-400.0, 0, 0], [-300, 0, 0], [-200, 50, 0], [-100, 0, 0], [0, 0, 0]])
    flow = design.growth.flow_um3_s / 12.0
    network = Network(
        points, np.array([[0, 1], [1, 2], [2, 3], [3, 4]], np.int32), np.array([20.0, 5, 5, 20]),
        np.array([Kind.ARTERY, Kind.CAPILLARY, Kind.CAPILLARY, Kind.VEIN], np.uint8),
        np.array([0, -1, -1, 1], np.int32),
        (Port(0, Role.INLET, 900.0, flow), Port(4, Role.OUTLET, 100.0, flow)),
    )  # fmt: skip
    assert left_out(design, network) == 11
    told = cautions_of(design, network)
    assert any("11 of 12 capillaries left out; the ports carry 91.7 % less" in one for one in told)


def test_shear_is_told_with_bloods_viscosity() -> None:
    """4 mu Q/(pi r^3): 4 Pa with plasma alone, above 7 Pa with blood, which is more than twice as viscous."""
    design = read_design(OPEN.encode(), "d.toml", Path())
    radius = 15.0
    flow = 4.0 * np.pi * radius**3 / (4.0 * 1.2e-3)
    relative = float(design.fluid.viscosity_in(np.array([radius]))[0]) / 1.2e-3
    assert 4.0 * relative > 7.0
    told = " ".join(cautions_of(design, tube(radius, flow)))
    assert f"inlet 1: wall shear of {4.0 * relative:.3g} Pa" in told
    assert f"wall shear of {4.0 * relative:.3g} Pa in the arteries (median by length)" in told
    assert "wall shear" not in " ".join(cautions_of(replace(design, fluid=Fluid()), tube(radius, flow)))
