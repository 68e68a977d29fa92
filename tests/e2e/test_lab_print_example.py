"""examples/print: the commands of its README print what it shows, in less than a minute."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from poliqi.ops.cli import cli

README = Path(__file__).resolve().parents[2] / "examples" / "print" / "README.md"
NUMBER = re.compile(r"\d+(?:[\d,]*\d)?(?:\.\d+)?(?:e[+-]?\d+)?")
EXTRA = all(find_spec(name) for name in ("manifold3d", "trimesh", "lib3mf"))


def shown_commands() -> Iterator[tuple[list[str], list[str]]]:
    """Words of each command, and the lines that are shown below it."""
    for block in re.findall(
        r"^```console\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    ):
        for part in block.removeprefix("$ ").split("\n$ "):
            command, *lines = part.splitlines()
            yield shlex.split(command), [line for line in lines if line.strip() != "..."]


def run(words: list[str]) -> str:
    words, to = (words[:-2], words[-1]) if ">" in words else (words, None)
    done = CliRunner().invoke(cli, words[1:], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    if to is not None:
        Path(to).write_text(done.stdout, encoding="utf-8")
    return done.stdout


def is_same(shown: str, told: str) -> bool:
    """The words are; numbers within 2 %, as last digits differ between processors, and what is nought."""
    if " ".join(NUMBER.sub("#", shown).split()) != " ".join(NUMBER.sub("#", told).split()):
        return False
    numbers = [np.array([float(one.replace(",", "")) for one in NUMBER.findall(line)]) for line in (shown, told)]
    return np.allclose(*numbers, rtol=0.02, atol=1e-6)


@pytest.mark.slow
@pytest.mark.skipif(not EXTRA, reason="needs the extra print")
def test_a_cubic_millimetre_from_shape_to_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    commands = list(shown_commands())
    assert [words[3] for words, _ in commands] == ["design", "design", "perfuse", "slice", "report", "export"]
    begun = time.process_time()
    for words, lines in commands:
        told = iter(run(words).splitlines())
        for line in lines:
            assert any(is_same(line, one) for one in told), f"{shlex.join(words)}: not as shown: {line}"
    print(f"CPU of the whole: {time.process_time() - begun:.1f} s")  # wall time is the business of the benchmark
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "simulated" in page and "Content-Security-Policy" in page
    assert (tmp_path / "tissue.job").stat().st_size > 100e6
