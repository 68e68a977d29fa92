"""The command: what it writes, what it says, what it refuses before any work."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from poliqi.lab.print.domain.domain import box
from poliqi.lab.print.hatch.jobformat import FORMAT, Header, Record
from poliqi.lab.print.hatch.jobwriter import JobWriter
from poliqi.lab.print.network import Network, Port, Role
from poliqi.lab.print.vesselfile import vessels_bytes
from poliqi.ops.cli import cli
from poliqi.ops.commands.lab_print_export import command

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "lab-print-export.md"
needs_print = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("manifold3d", "lib3mf", "trimesh")),
    reason="needs the extra print",
)


@pytest.fixture
def vessels(tmp_path: Path) -> Path:
    """A channel through a cube of .2 mm, with a blind branch."""
    network = Network(
        np.array([[0.0, 100, 100], [100, 100, 100], [200, 100, 100], [100, 160, 120]]),
        np.array([[0, 1], [1, 2], [1, 3]], dtype=np.int32),
        np.array([12.0, 12.0, 6.0]),
        np.zeros(3, dtype=np.uint8),
        np.zeros(3, dtype=np.int32),
        (Port(0, Role.INLET, 100.0, 1e6), Port(2, Role.OUTLET, 0.0, 1e6)),
    )
    path = tmp_path / "tissue.vessels.json"
    path.write_bytes(vessels_bytes(network, box((200.0, 200.0, 200.0), (100.0, 100.0, 100.0)), {"seed": 1}))
    return path


def run(*words: object) -> Result:
    return CliRunner().invoke(cli, ["lab", "print", "export", *map(str, words)])


def said(result: Result) -> str:
    """What it printed, or the error that the program's entry would print."""
    return f"{result.output}{result.exception or ''}"


@needs_print
def test_all_formats_are_written_and_told(vessels: Path, tmp_path: Path) -> None:
    names = ("a.stl", "a.3mf", "a.glb", "a.swc", "a.csv")
    options = [word for name in names for word in ("--to", tmp_path / name)]
    result = run(vessels, *options, "--json", "--profile", "illustrative", "--report", tmp_path / "r.html")
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert record["simulated"] is True and record["dataset"] is None
    assert [one["name"] for one in record["files"]] == list(names)
    for one in record["files"]:
        assert (tmp_path / one["name"]).stat().st_size == one["bytes"]
    mesh = record["mesh"]
    assert mesh["lumen_um3"] + mesh["tissue_um3"] == pytest.approx(8e6)
    assert abs(mesh["lumen_um3"] - mesh["exact_lumen_um3"]) < mesh["bound_um3"] < 0.03 * mesh["exact_lumen_um3"]
    (problem,) = record["problems"]
    assert (problem["what"], problem["severity"]) == ("dead-end channel", "refuse")
    assert problem["place_um"] == [100.0, 160.0, 120.0]
    assert "STL has no unit" in " ".join(record["cautions"])
    assert "simulated" in (tmp_path / "r.html").read_text(encoding="utf-8")


@needs_print
def test_lines_tell_the_difference_and_files_are_not_replaced_unasked(vessels: Path, tmp_path: Path) -> None:
    first = run(vessels, "--to", tmp_path / "a.stl", "--what", "lumen")
    assert first.exit_code == 0 and "exact lines give" in first.output and "a.stl" in first.output
    again = run(vessels, "--to", tmp_path / "a.stl")
    assert again.exit_code != 0 and "exists already" in said(again)
    data = (tmp_path / "a.stl").read_bytes()
    forced = run(vessels, "--to", tmp_path / "a.stl", "--what", "lumen", "--force")
    assert forced.exit_code == 0 and (tmp_path / "a.stl").read_bytes() == data


@needs_print
def test_files_go_into_the_stores_dataset(vessels: Path, tmp_path: Path) -> None:
    made = CliRunner().invoke(cli, ["lab", "store", "init", str(tmp_path / "lab"), "--organisation", "Lab"])
    assert made.exit_code == 0, made.output
    words = (vessels, "--to", tmp_path / "beams.3mf", "--what", "beams", "--store", tmp_path / "lab", "--json")
    first = run(*words)
    assert first.exit_code == 0, first.output
    again = run(*words, "--force")
    assert json.loads(first.stdout)["dataset"] == json.loads(again.stdout)["dataset"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--to", "a.obj"), "ending is none of"),
        ((), "--to: 0 files"),
        (("--to", "a.nano"), "--profile"),
        (("--to", "a.stl", "--tolerance-um", "0"), "above 0"),
        (("--to", "a.stl", "--tolerance-um", "1e-5"), "finer than"),
        (("--to", "a.stl", "--most-gb", "0.001", "--tolerance-um", "0.05"), "0.001 GB are allowed"),
        (("--to", "a.stl", "--most-gb", "nan"), "--most-gb nan"),
        (
            (
                "--to",
                "nowhere/a.stl",
            ),
            "nowhere",
        ),
    ],
)
def test_refusals_come_before_any_work(
    vessels: Path, tmp_path: Path, options: tuple[str, ...], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    result = run(vessels, *options)
    assert result.exit_code != 0 and words in said(result)
    assert sorted(tmp_path.iterdir()) == before


def test_a_file_that_is_neither_vessels_nor_job_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("[]")
    result = run(tmp_path / "x.json", "--to", tmp_path / "a.csv")
    assert result.exit_code != 0 and "not a file of vessels" in said(result)
    (tmp_path / "x.job").write_bytes(b"\x89POLIQJ\n" + bytes(100))
    result = run(tmp_path / "x.job", "--to", tmp_path / "a.gwl")
    assert result.exit_code != 0 and "print job" in said(result) and not (tmp_path / "a.gwl").exists()
    result = run(tmp_path / "none", "--to", tmp_path / "a.gwl")
    assert result.exit_code != 0 and "cannot be read" in said(result)


def test_a_job_becomes_gwl_which_is_called_unverified(tmp_path: Path) -> None:
    header = Header(
        FORMAT, "test", True, "solid", ((0, 0, 0), (9000, 9000, 1000)), (9000, 9000), 1, 1, 1, "tile", "up", 0.0,
        1.0, 0.5, {}, {"laser": {"max_power_mw": 50}}, "",
    )  # fmt: skip
    with (tmp_path / "a.job").open("wb") as file:
        writer = JobWriter(file, header)
        vectors = np.array([[0, 500, 9000, 500]], dtype=np.int32)
        writer.add(Record(0, 0, 0, 500, (4500, 4500), 10.0, 100.0, vectors))
        writer.finish()
    result = run(tmp_path / "a.job", "--to", tmp_path / "a.gwl")
    assert result.exit_code == 0, said(result)
    assert "caution: a.gwl is unverified" in result.output and "1 vectors" in result.output
    lines = (tmp_path / "a.gwl").read_text(encoding="ascii").splitlines()
    assert lines[-5:-3] == ["LaserPower 20.0000", "ScanSpeed 100000"] and lines[-1] == "Write"
    assert lines[-3:-1] == ["-4.500\t-4.000\t0.000", "4.500\t-4.000\t0.000"]
    small = run(tmp_path / "a.job", "--to", tmp_path / "b.gwl", "--most-gb", "0.001")
    assert small.exit_code == 0
    two = run(tmp_path / "a.job", "--to", tmp_path / "c.gwl", "--to", tmp_path / "d.gwl")
    assert two.exit_code != 0 and "would be the same" in said(two)


def test_every_option_and_format_is_on_its_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for option in command.params:
        assert any(f"`{name}" in page for name in option.opts if name.startswith("-")) or option.name == "source"
    for ending in (".stl", ".3mf", ".glb", ".nano", ".swc", ".csv", ".gwl"):
        assert f"`{ending}`" in page
