"""`poliqi lab echem fit model`: what it prints, writes, keeps in the store and refuses."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from unittest.mock import Mock

import click
import pytest
from click.testing import CliRunner
from echem_truth import NEGATIVE, POSITIVE, TRUTH, discharge

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.store.records import Kind
from poliqi.lab.store.store import LabStore
from poliqi.ops.cli import cli
from poliqi.ops.commands.lab_echem_fit_model import command

pytestmark = pytest.mark.skipif(find_spec("pybamm") is None, reason='the extra "echem" is not installed')


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A discharge as `poliqi lab echem read` writes it."""
    found = discharge("SPM", TRUTH, noise_v=0.001, seed=3)
    file = tmp_path_factory.mktemp("records") / "discharge.csv"
    rows = zip(found.time_s, found.voltage_v, found.current_a, strict=True)
    file.write_text(
        "Test Time / s,Voltage / V,Current / A\n" + "".join(f"{t:.3f},{v:.6f},{i:.4f}\n" for t, v, i in rows)
    )
    return file


def run(*words: object) -> str:
    done = CliRunner().invoke(cli, ["lab", "echem", "fit", "model", *map(str, words)])
    if done.exception is not None:
        raise done.exception
    return done.stdout


def test_fractions_are_found_and_everything_is_written(record: Path, tmp_path: Path) -> None:
    out = run(
        record, "--parameters", "Chen2020", "--model", "SPM", "--vary", "negative active", "--vary", POSITIVE,
        "--sigma-mv", "1", "--json", "-o", tmp_path / "curve.csv", "--report", tmp_path / "fit.html",
        "--bpx", tmp_path / "cell.json", "--plot", tmp_path / "fit.svg",
    )  # fmt: skip
    found = json.loads(out)
    for one in found["parameters"]:
        assert abs(one["value"] - TRUTH[one["name"]]) < 4 * one["sigma"]
    assert found["model_check"]["reference"] == "DFN"
    assert (tmp_path / "curve.csv").read_text().startswith("time_s,voltage_v,model_v")
    assert "Left over" in (tmp_path / "fit.html").read_text()
    assert (tmp_path / "fit.svg").read_text().lstrip().startswith("<?xml")
    cell = json.loads((tmp_path / "cell.json").read_text())
    electrode = cell["Parameterisation"]["Negative electrode"]
    fraction = electrode["Surface area per unit volume [m-1]"] * electrode["Particle radius [m]"] / 3
    assert fraction == pytest.approx(found["parameters"][0]["value"], rel=1e-9)


def test_people_are_told_each_value_with_its_doubt_and_what_was_assumed(record: Path) -> None:
    out = run(
        record, "--parameters", "Chen2020", "--model", "SPM", "--vary", f"{NEGATIVE}=0.7:0.5:0.9", "--no-check",
        "--from", "100", "--to", "3000", "--start", "1.0", "--temperature", "25", "--points", "100",
    )  # fmt: skip
    assert f"{NEGATIVE}  0." in out
    assert " +- " in out
    assert "assumed: isothermal at 25.0 degC" in out
    assert "caution: the model was not held against a better one" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--parameters", "Chen2020", "--vary", "flux capacitor"], "names no parameter"),
        (["--parameters", "Chen2019", "--vary", "x"], "give a BPX file"),
        (["--parameters", "Chen2020", "--vary", f"{NEGATIVE}=low"], "write NAME, NAME=START"),
        (["--parameters", "Chen2020", "--vary", f"{NEGATIVE}=0.7:0.8:0.9"], "must lie from 0.8 to 0.9"),
        (["--parameters", "Chen2020", "--vary", NEGATIVE, "--from", "1e6"], "choose a longer part"),
        (["--parameters", "Chen2020", "--vary", NEGATIVE, "--start", "9V"], "is not from 2.5 to 4.2 V"),
        (["--parameters", "Chen2020", "--vary", NEGATIVE, "--report", "fit.pdf"], "ends in .html or .png"),
    ],
)
def test_what_cannot_be_done_says_why(record: Path, words: list[str], said: str) -> None:
    with pytest.raises((ConfigError, DataRefused), match=said):
        run(record, *words)


def test_a_current_of_many_pieces_is_told_before_the_work(record: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("poliqi.ops.commands.lab_echem_fit_model._MANY_PIECES", 0)
    monkeypatch.setattr("poliqi.lab.echem.models.modelfit.fit_model", Mock(side_effect=DataRefused("begun")))
    words = ["lab", "echem", "fit", "model", str(record), "--parameters", "Chen2020", "--vary", NEGATIVE]
    assert "straight pieces: the solver begins anew at each, --model SPMe" in CliRunner().invoke(cli, words).stderr


def test_a_store_keeps_the_fit_with_its_record(record: Path, tmp_path: Path) -> None:
    with LabStore.create(tmp_path / "lab", "Politecnico di Milano").tenant() as part:
        part.register([record], title="Calculated", kind=Kind.SIMULATED)
    words = (record, "--parameters", "Chen2020", "--model", "SPM", "--vary", NEGATIVE, "--no-check", "--json")
    told = json.loads(run(*words, "--store", tmp_path / "lab", "--bpx", tmp_path / "cell.json"))
    stored = told["dataset"]
    assert told["simulated"] is True
    assert "to a simulated record" in (tmp_path / "cell.json").read_text()
    with LabStore.open(tmp_path / "lab").tenant() as part:
        dataset = part.dataset(part.resolve(stored))
        files = {file.path for file in dataset.files}
    assert {"curve.csv", "findings.json", "result.json", "figure.svg"} <= files


def test_a_cell_that_is_not_identified_is_told_and_not_written(record: Path, tmp_path: Path) -> None:
    words = [
        "lab",
        "echem",
        "fit",
        "model",
        str(record),
        "--parameters",
        "Chen2020",
        "--model",
        "SPM",
        "--no-check",
    ]
    words += ["--vary", "electrode width", "--vary", "electrode height", "--bpx", str(tmp_path / "cell.json")]
    done = CliRunner().invoke(cli, words)
    assert "not identified: cannot be told apart from" in done.stdout
    assert isinstance(done.exception, DataRefused)
    assert "hold them" in str(done.exception)
    assert not (tmp_path / "cell.json").exists()


def test_every_option_is_documented() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs/reference/lab-echem-fit.md").read_text()
    own = {"--parameters", "--vary", "--model", "--start", "--temperature", "--from", "--to"}
    own |= {"--sigma-mv", "--points", "--no-check", "--bpx", "--json", "-o"}
    options = {word for one in command.params if isinstance(one, click.Option) for word in one.opts}
    assert own <= options
    assert not [word for word in own if f"`{word}" not in page]
