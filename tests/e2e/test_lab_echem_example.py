"""examples/echem: the commands of its README print what it shows; its lines for measured data do what they say."""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from polarisation_curves import STACKS, measured_stack

from poliqi.lab.echem.eis.reading import read_spectrum
from poliqi.lab.echem.polarisation.file import read_curves
from poliqi.ops.cli import cli

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "echem"
NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e[+-]\d+)?")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the example, which is the working folder."""
    copy = shutil.copytree(EXAMPLE, tmp_path / "echem", ignore=shutil.ignore_patterns("run", "__pycache__"))
    monkeypatch.chdir(copy)
    return copy


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (EXAMPLE / "README.md").read_text(), re.MULTILINE | re.DOTALL)


def shown_commands() -> Iterator[tuple[list[str], list[str]]]:
    """Words of each command, and the lines that are shown below it."""
    for block in blocks("console"):
        for part in block.removeprefix("$ ").split("\n$ "):
            command, *lines = part.splitlines()
            yield shlex.split(command), [line for line in lines if line.strip() != "..."]


def run(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    if words[0] == "python":
        runpy.run_path(words[1], run_name="__main__")
        return capsys.readouterr().out
    assert words[0] == "poliqi"
    words, to = (words[:-2], words[-1]) if ">" in words else (words, None)
    done = CliRunner().invoke(cli, words[1:], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    if to is not None:
        Path(to).write_text(done.stdout, encoding="utf-8")
    return done.stdout


def is_same(shown: str, told: str) -> bool:
    """The words are; numbers within 2 %, as libraries differ in last digits."""
    if " ".join(NUMBER.sub("#", shown).split()) != " ".join(NUMBER.sub("#", told).split()):
        return False
    numbers = [np.array([float(one) for one in NUMBER.findall(line)]) for line in (shown, told)]
    return np.allclose(*numbers, rtol=0.02, atol=0)


@pytest.mark.slow
def test_the_commands_of_the_readme_print_what_it_shows(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commands = list(shown_commands())
    assert {words[3] for words, _ in commands if words[0] == "poliqi"} == {
        "read", "cycles", "eis", "fit", "stack", "prototype", "campaign",
    }  # fmt: skip
    for words, lines in commands:
        told = iter(run(words, capsys).splitlines())
        for line in lines:
            assert any(is_same(line, one) for one in told), f"{shlex.join(words)}: not as shown: {line}"


def test_the_lines_for_nleis_make_a_table_that_eis_reads(folder: Path) -> None:
    """As `--columns` tells them: falling frequencies, the first line of the harmonics alone."""
    (folder / "freq_30a.txt").write_text(" ".join(f"{10**one:g}" for one in range(-2, 5)))
    (folder / "Z1s_30a.txt").write_text(
        " ".join(f"{0.01 * one} {-0.001 * one}" for one in range(9, 2, -1)) + "\n1 2 3\n"
    )
    exec(next(block for block in blocks("python") if "freq_30a" in block), {})
    (columns,) = re.findall(r'--columns "([^"]*Hz[^"]*)"', "".join(blocks("text")))
    found = read_spectrum(folder / "li-ion.csv", columns=columns.split(","))
    assert found.frequency_hz.tolist() == [1e4, 1e3, 100, 10, 1, 0.1, 0.01]
    assert found.impedance_ohm[0] == pytest.approx(0.03 - 0.003j)


def test_the_lines_for_alphapem_make_curves(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = {one.name: one for one in measured_stack("ZSW-2024")}
    shutil.copytree(STACKS / "ZSW-2024", folder / "ZSW-2024")
    paths = sorted((folder / "ZSW-2024").glob("*.yml"))
    monkeypatch.setattr(sys, "argv", ["convert.py", *map(str, paths)])
    exec(next(block for block in blocks("python") if "sys.argv" in block), {})
    for path in paths:
        (curve,) = read_curves(path.with_suffix(".csv"))
        expected = measured.pop(curve.name)
        assert curve.conditions == expected.conditions
        assert curve.current_density_a_m2 == pytest.approx(expected.current_density_a_m2)
        assert curve.voltage_v == pytest.approx(expected.voltage_v)
        assert not curve.simulated
    assert not measured
