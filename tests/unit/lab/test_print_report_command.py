"""The report: what it says is what was calculated, and what does not fit together is refused."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from print_scenes import CUBE_UM, cube, thread, y_network

from poliqi.base.errors import ConfigError, DataRefused, StoreError
from poliqi.lab.print.hatch.settings import Order, settings_for
from poliqi.lab.print.hatch.slicing import prepare, slice_job
from poliqi.lab.print.network import Network
from poliqi.lab.print.vesselfile import read_vessels, vessels_bytes
from poliqi.lab.print.view.perfused import perfused, perfused_from
from poliqi.lab.print.view.printing import printing_of, printing_of_job
from poliqi.ops.commands.lab_print_perfuse import command as perfuse
from poliqi.ops.commands.lab_print_report import command
from poliqi.ops.print_profile_toml import read_profile

pytestmark = pytest.mark.skipif(find_spec("manifold3d") is None, reason="needs the extra 'print'")


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures that cost nothing, where a test looks at words."""
    for place in ("htmlpage", "report"):
        monkeypatch.setattr(f"poliqi.lab.print.view.{place}.drawn", lambda _panel: b"png")


def write(folder: Path, network: Network, name: str = "t.vessels.json") -> Path:
    path = folder / name
    path.write_bytes(vessels_bytes(network, cube(), {"program": "test 1", "growth": {"seed": 42}}))
    return path


def run(*arguments: object) -> Any:
    done = CliRunner().invoke(command, [str(one) for one in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done


@pytest.mark.usefixtures("undrawn")
def test_it_tells_what_can_be_worked_out_by_hand(tmp_path: Path) -> None:
    path = write(tmp_path, thread())
    done = run(path, "--no-oxygen", "-o", tmp_path / "r.html", "--json")
    record = json.loads(done.stdout)
    assert record["segments"] == 1
    assert record["domain_um3"] == pytest.approx(CUBE_UM**3)
    assert record["porosity"] == pytest.approx(math.pi * 20**2 * (CUBE_UM + 2) / CUBE_UM**3)
    assert record["contacts"] == 0
    assert record["hypoxic"] is None
    assert record["machine"] is None
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "0.785 % " not in text
    assert "<dd>0.789 %</dd>" in text
    assert "42" in text
    assert "give --profile" in text
    assert record["vessels_blake3"][:32] in text


def test_oxygen_flaws_and_time_stand_in_the_page(tmp_path: Path) -> None:
    path = write(tmp_path, y_network())
    done = run(path, "--profile", "illustrative", "--cells", 16, "-o", tmp_path / "r.html", "--json")
    record = json.loads(done.stdout)
    assert record["machine"] == "illustrative"
    assert record["hypoxic"] is not None
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    scene = json.loads(text.split('id="scene">')[1].split("</script>")[0])
    assert [one["key"] for one in scene["quantities"]] == ["radius", "pressure", "flow", "shear", "oxygen"]
    assert scene["field"]["shape"] == [16, 16, 16]
    assert len(scene["places"]) >= len(record["problems"])
    assert "least oxygen in the tissue" in text
    if record["print_s"] is not None:
        estimate = printing_of(cube(), y_network(), read_profile("illustrative"))
        assert record["print_s"] == pytest.approx(estimate.duration.total_s)


@pytest.mark.usefixtures("undrawn")
def test_vessels_that_touch_are_told_with_their_place(tmp_path: Path) -> None:
    one = thread()
    points = np.concatenate([one.points_um, one.points_um + np.array([0, 30.0, 0])])
    two = replace(
        one,
        points_um=points,
        segments=np.array([[0, 1], [2, 3]], np.int32),
        radius_um=np.array([20.0, 20.0]),
        kind=np.zeros(2, np.uint8),
        tree=np.zeros(2, np.int32),
        ports=(*one.ports, replace(one.ports[0], node=2), replace(one.ports[1], node=3)),
    )
    done = run(write(tmp_path, two), "--no-oxygen", "-o", tmp_path / "r.html", "--json")
    record = json.loads(done.stdout)
    assert record["contacts"] == 1
    assert "pairs of vessels touch" in record["cautions"][0]
    assert "two vessels touch" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_a_picture_is_made_too(tmp_path: Path) -> None:
    done = run(write(tmp_path, y_network()), "--no-oxygen", "-o", tmp_path / "r.png")
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")
    assert "caution: " in done.output


@pytest.mark.usefixtures("undrawn")
def test_a_perfusion_that_was_written_is_taken(tmp_path: Path) -> None:
    path = write(tmp_path, y_network())
    asked = [str(path), "--cells", "12", "--tissue", "hepatocytes-5.14e13", "-o", str(tmp_path / "p.npz")]
    done = CliRunner().invoke(perfuse, [*asked, "--json"], catch_exceptions=False)
    before = json.loads(done.stdout)
    record = json.loads(run(path, "--perfusion", tmp_path / "p.npz", "-o", tmp_path / "r.html", "--json").stdout)
    assert record["hypoxic"] == before["oxygen"]["hypoxic"]
    told = perfused_from(tmp_path / "p.npz", read_vessels(path)).oxygen
    assert told is not None and told.vessels is not None
    assert float(told.vessels.segment_mol_m3.min()) == before["oxygen"]["lowest_vessel_mol_m3"]
    assert "hepatocytes" in (tmp_path / "r.html").read_text(encoding="utf-8")
    other = write(tmp_path, thread(), "other.vessels.json")
    with pytest.raises(DataRefused, match="of other vessels"):
        run(other, "--perfusion", tmp_path / "p.npz", "-o", tmp_path / "o.html")
    (tmp_path / "bad.npz").write_bytes(b"PK no")
    with pytest.raises(DataRefused, match="cannot be read"):
        run(path, "--perfusion", tmp_path / "bad.npz", "-o", tmp_path / "o.html")


@pytest.mark.usefixtures("undrawn")
def test_a_job_tells_its_lines_and_has_to_be_of_these_vessels(tmp_path: Path) -> None:
    path = write(tmp_path, y_network())
    vessels, profile = read_vessels(path), read_profile("illustrative")
    profile = replace(profile, material=replace(profile.material, threshold=0.01))  # for lines so far apart
    settings = settings_for(profile, hatch_um=4.0, layer_um=5.0, cut_vessels=True, most_ripple=100.0)
    prepared = prepare(vessels.domain, vessels.network, profile, settings)
    with (tmp_path / "t.job").open("wb") as file:
        sliced = slice_job(prepared, file, vessels_blake3=vessels.digest)
    printing, read = printing_of_job(tmp_path / "t.job", vessels.network, vessels.digest)
    assert printing.vectors == sliced.vectors
    assert sliced.duration.dark_s > 0 and sliced.duration.turn_s > 0
    assert printing.duration.record == pytest.approx(sliced.duration.record, rel=1e-9)
    assert read.name == profile.name
    assert printing.layer is not None
    assert printing.layer.z_um == pytest.approx(CUBE_UM / 2, abs=5)
    assert abs(printing.layer.near_um[1] - CUBE_UM / 2) < 90
    record = json.loads(
        run(path, "--no-oxygen", "--job", tmp_path / "t.job", "-o", tmp_path / "r.html", "--json").stdout
    )
    assert record["vectors"] == sliced.vectors
    assert record["print_s"] == pytest.approx(sliced.duration.total_s, rel=1e-9)
    assert any("assumes its scanner, which the time rests on" in one for one in record["cautions"])
    with pytest.raises(DataRefused, match="of other vessels"):
        printing_of_job(tmp_path / "t.job", vessels.network, "0" * 64)


def test_a_job_that_does_not_tell_its_vessels_is_not_taken_for_theirs(tmp_path: Path) -> None:
    vessels, profile = read_vessels(write(tmp_path, y_network())), read_profile("illustrative")
    profile = replace(profile, material=replace(profile.material, threshold=0.01))  # for lines so far apart
    settings = settings_for(profile, hatch_um=4.0, layer_um=5.0, cut_vessels=True, most_ripple=100.0)
    with (tmp_path / "t.job").open("wb") as file:
        slice_job(prepare(vessels.domain, vessels.network, profile, settings), file)
    with pytest.raises(DataRefused, match="does not tell of which vessels"):
        printing_of_job(tmp_path / "t.job", vessels.network, vessels.digest)


@pytest.mark.parametrize("order", ["tile", "layer"])
def test_the_time_of_a_job_in_tiles_is_the_one_it_was_sliced_with(order: str, tmp_path: Path) -> None:
    vessels, profile = read_vessels(write(tmp_path, y_network())), read_profile("illustrative")
    scanner = replace(profile.scanner, acceleration_mm_s2=1e6, max_speed_mm_s=10 * profile.scanner.speed_mm_s)
    profile = replace(profile, scanner=scanner, material=replace(profile.material, threshold=0.01))
    settings = settings_for(
        profile, hatch_um=4.0, layer_um=5.0, tile_um=160.0, cut_vessels=True, most_ripple=100.0, order=Order(order)
    )
    with (tmp_path / "t.job").open("wb") as file:
        sliced = slice_job(
            prepare(vessels.domain, vessels.network, profile, settings), file, vessels_blake3=vessels.digest
        )
    assert sliced.duration.jump_s > 0 and sliced.duration.tile_s > scanner.tile_overhead_s
    printing, _ = printing_of_job(tmp_path / "t.job", vessels.network, vessels.digest)
    assert printing.duration.record == pytest.approx(sliced.duration.record, rel=1e-9)


@pytest.mark.parametrize(
    ("more", "error", "told"),
    [
        (["-o", "r.pdf"], ConfigError, ".html"),
        (["-o", "r.html", "--no-oxygen", "--cells", "16"], ConfigError, "--no-oxygen was given too"),
        (["-o", "r.html", "--perfusion", "p.npz", "--tissue", "x"], ConfigError, "--perfusion was given too"),
        (["-o", "r.html", "--no-oxygen", "--perfusion", "p.npz"], ConfigError, "--perfusion was given too"),
        (["-o", "r.html", "--job", "t.job", "--profile", "illustrative"], ConfigError, "its own profile"),
        (["-o", "r.html", "--mode", "wall"], ConfigError, "--profile"),
        (["-o", "r.html", "--profile", "nobody"], ConfigError, "nobody"),
        (["-o", "r.html", "--tissue", "stone"], ConfigError, "fibrin-1e13"),
        (["-o", "there.html"], (ConfigError, StoreError), "there.html"),
    ],
)
def test_what_contradicts_itself_is_refused(more: list[str], error: Any, told: str, tmp_path: Path) -> None:
    path = write(tmp_path, thread())
    (tmp_path / "there.html").write_text("mine")
    at = [str(tmp_path / one) if one.endswith((".html", ".pdf", ".npz", ".job")) else one for one in more]
    with pytest.raises(error, match=told):
        run(path, *at)
    assert (tmp_path / "there.html").read_text(encoding="utf-8") == "mine"


def test_flow_is_that_of_poiseuille() -> None:
    vessels: Any = type("V", (), {"network": thread(), "domain": cube(), "made": {}})
    found = perfused(vessels, None, 16)
    wanted = math.pi * 20**4 * 100 / (8 * 0.7e-3 * (CUBE_UM + 2))
    assert found.flow.flow_um3_s[0] == pytest.approx(wanted, rel=1e-9)
