"""Design files: what they say, what is refused, and the command that grows from them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.base.jit import load_compiler
from poliqi.lab.print.network import Role
from poliqi.lab.print.vesselfile import read_vessels
from poliqi.ops.commands.lab_print_design import command
from poliqi.ops.print_design_toml import EXAMPLE, Targets, flow_of, load_design, read_design

OPEN = """
[domain]
kind = "sphere"
radius_um = 400
[[inlet]]
point_um = [-400, 0, 0]
[growth]
terminals = 25
flow = "0.1 uL/min"
"""
PAGE = (Path(__file__).resolve().parents[3] / "docs" / "reference" / "lab-print-design.md").read_text(
    encoding="utf-8"
)


def _read(text: str):
    return read_design(text.encode(), "d.toml", Path())


def test_the_example_says_what_it_shows() -> None:
    design = _read(EXAMPLE)
    assert design.domain.volume_um3 == pytest.approx(1e9)
    assert design.growth.flow_um3_s == pytest.approx(1e9 / 60)
    assert [inlet.role for inlet in design.growth.inlets] == [Role.INLET, Role.OUTLET]
    assert design.growth.terminal_pressure_pa == pytest.approx(1000.0)
    assert design.closure is not None


@pytest.mark.parametrize(
    ("text", "um3_s"),
    [("5 uL/min", 5e9 / 60), ("5uL / min", 5e9 / 60), ("1 mL/h", 1e12 / 3600), ("2.5 nL/s", 2.5e6)],
)
def test_flows_have_units(text: str, um3_s: float) -> None:
    assert flow_of(text, "flow") == pytest.approx(um3_s)


@pytest.mark.parametrize(
    "text", ["5", "5 L/min", "-1 uL/min", "nan uL/min", "1e999 uL/min", "5 uL/day", "uL/min", "1..2 uL/s"]
)
def test_flows_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="uL/min"):
        flow_of(text, "flow")


def test_flows_of_inlets_are_their_shares() -> None:
    text = OPEN.replace("point_um = [-400, 0, 0]", 'point_um = [-400, 0, 0]\nflow = "1 uL/min"').replace(
        'flow = "0.1 uL/min"', ""
    )
    design = _read(text + '[[inlet]]\npoint_um = [400, 0, 0]\nflow = "3 uL/min"\n')
    assert [inlet.share for inlet in design.growth.inlets] == pytest.approx([0.25, 0.75])
    assert design.growth.flow_um3_s == pytest.approx(4e9 / 60)


def test_targets_and_tissue_are_read() -> None:
    design = _read(OPEN + "[targets]\nmost_hypoxic = 0.01\n[tissue]\nname = 'x'\n")
    assert design.targets == Targets(most_hypoxic=0.01)
    assert design.tissue.name == "x"


@pytest.mark.parametrize(
    ("was", "by", "words"),
    [
        ("terminals = 25", "terminal = 25", "terminal`"),
        ("terminals = 25", "terminals = -3", "terminals = -3"),
        ("terminals = 25", "terminals = 'many'", "d.toml"),
        ("[[inlet]]", "[[outlet]]", "inlet"),
        ("point_um = [-400, 0, 0]", "point_um = [-400, 0]", "inlet"),
        ("point_um = [-400, 0, 0]", "point_um = [-400, 0, nan]", "three coordinates"),
        ('kind = "sphere"', 'kind = "blob"', "d.toml"),
        ("[growth]", "[closure]\ntries = 2\n[growth]", "give an \\[\\[outlet\\]\\]"),
        ("[growth]", "[fluid]\nhematocrit = 0.4\n[growth]", 'kind = "blood"'),
        ("terminals = 25", "flow_um3_s = 5.0", "leave one out"),
        ("point_um = [-400, 0, 0]", 'point_um = [-400, 0, 0]\nflow = "1 uL/min"', "differ"),
        ("point_um = [-400, 0, 0]", "point_um = [-400, 0, 0]\nshare = 0.5", "sum to 1"),
    ],
)
def test_designs_that_cannot_be_are_refused(was: str, by: str, words: str) -> None:
    assert was in OPEN
    with pytest.raises(ConfigError, match=words):
        _read(OPEN.replace(was, by, 1))


def test_large_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "d.toml"
    path.write_text(OPEN + "#" * (1 << 20))
    with pytest.raises(ConfigError, match="more than"):
        load_design(path)


@given(st.data())
def test_a_changed_file_is_read_or_refused(data: st.DataObject) -> None:
    raw = bytearray(OPEN.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        read_design(bytes(raw), "d.toml", Path("nowhere"))
    except (ConfigError, DataRefused) as error:
        assert str(error)


def test_the_command_writes_vessels_that_can_be_read(tmp_path: Path) -> None:
    design, out = tmp_path / "d.toml", tmp_path / "d.vessels.json"
    design.write_text(OPEN)
    done = CliRunner().invoke(
        command,
        [
            str(design),
            "-o",
            str(out),
            "--json",
            "--seed",
            "5",
            "--terminals",
            "20",
            "--report",
            str(tmp_path / "d.html"),
        ],
    )
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    vessels = read_vessels(out)
    assert record["segments"] == len(vessels.network.segments) == 2 * 20 - 1 + 1  # and the stub
    assert record["contacts"] == 0
    assert record["simulated"] is True
    assert any("no outlet" in one for one in record["cautions"])
    assert vessels.made["seed"] == 5
    assert vessels.domain.volume_um3 == pytest.approx(4 / 3 * 3.14159265 * 400**3, rel=1e-6)
    assert "caution" not in (tmp_path / "d.html").read_text(encoding="utf-8")[:20]


def test_the_example_becomes_one_perfusable_network(tmp_path: Path) -> None:
    shown = CliRunner().invoke(command, ["--example"])
    assert shown.output == EXAMPLE
    design = tmp_path / "tissue.toml"
    design.write_text(shown.output)
    done = CliRunner().invoke(command, [str(design)])
    assert done.exit_code == 0, done.output
    assert "100 capillaries" in done.output
    assert "contacts nearer than 10 um: 0" in done.output


def test_without_a_file_the_command_says_how_to_get_one() -> None:
    done = CliRunner().invoke(command, [])
    assert isinstance(done.exception, ConfigError)
    assert "--example" in str(done.exception)


def test_every_option_and_key_is_on_its_page() -> None:
    for option in command.params:
        for name in option.opts:
            assert f"`{name}" in PAGE or not name.startswith("-"), name
    for line in EXAMPLE.splitlines():
        key = line.split("=")[0].strip()
        if key and not key.startswith(("#", "[")):
            assert f"`{key}`" in PAGE, key


def test_compiling_is_told_until_a_run_came_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load_compiler()  # with the folder of this machine
    monkeypatch.setattr("poliqi.base.jit.cache_folder", lambda: tmp_path)
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text(OPEN, encoding="utf-8")
    bad.write_text("[domain]\n", encoding="utf-8")

    def told(path: Path) -> bool:
        done = CliRunner().invoke(command, [str(path)], prog_name="poliqi lab print design")
        return "compiling for this processor" in done.stderr

    assert [told(one) for one in (bad, good, good, bad)] == [True, True, False, False]
