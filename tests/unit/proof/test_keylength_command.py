"""`poliqi keylength` as a user meets it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from poliqi.base.errors import PoliqiError
from poliqi.ops.commands.keylength import EXAMPLE, command

ONE = json.loads(EXAMPLE)
DOCS = Path(__file__).resolve().parents[3] / "docs"
THREE = {
    "intensities": [0.5, 0.1, 0.0005],
    "probabilities": [0.7, 0.2, 0.1],
    "key": {"detections": [27653995, 1612248, 4212], "errors": [277096, 16281, 121]},
    "test": {"detections": [341407, 19904, 52], "errors": [3421, 201, 1]},
    "f": 1.16,
    "epsilon_sec": 1e-10,
    "epsilon_cor": 1e-15,
}


def run(counts: object, *options: str) -> tuple[int, str, BaseException | None]:
    result = CliRunner().invoke(command, ["-", *options], input=json.dumps(counts))
    return result.exit_code, result.output, result.exception


def answer(counts: object, *options: str) -> dict[str, Any]:
    code, output, error = run(counts, *options, "--json")
    assert (code, error) == (0, None)
    return json.loads(output)


def test_the_answer_has_every_field() -> None:
    assert set(answer(ONE)) == {
        "length",
        "phase_error",
        "single_photon_key",
        "single_photon_test",
        "single_photon_test_errors",
        "vacuum",
        "proof",
        "ledger",
        "reason",
        "exact_length",
        "leak_bits",
        "epsilon",
        "clamped",
        "intensities",
        "tolerated_error",
        "block_factor",
        "paper",
        "assumptions",
    }


def test_wiesemann_is_the_default() -> None:
    got = answer(ONE)
    assert (got["proof"], got["length"]) == ("wiesemann", 11179504)


def test_lim_is_clamped_unless_told_otherwise() -> None:
    assert answer(THREE, "--proof", "lim")["length"] == 9717637
    assert answer(THREE, "--proof", "lim", "--no-clamp")["length"] == 6992239


def test_three_intensities_without_a_proof_say_which_fits() -> None:
    _, _, error = run(THREE)
    assert isinstance(error, PoliqiError)
    assert "--proof lim" in str(error)


def test_no_key_is_exit_code_0_with_a_reason() -> None:
    small = {
        **ONE,
        "key": {"detections": [277, 36], "errors": [3, 0]},
        "test": {"detections": [34, 4], "errors": [0, 0]},
    }
    got = answer(small)
    assert got["length"] == 0
    assert got["reason"].startswith("s1_K <= 0")
    assert got["phase_error"] is None


def test_the_table_says_what_the_number_is() -> None:
    code, output, _ = run(ONE)
    assert code == 0
    assert "11179504 bits, the largest length a contract could have had" in output
    assert "arXiv:2405.16578v3" in output
    assert "privacy amplification" in output
    assert max(len(line) for line in output.splitlines()) <= 100


def test_the_table_names_the_block_that_would_be_needed() -> None:
    small = {
        **ONE,
        "key": {"detections": [27654, 3618], "errors": [277, 36]},
        "test": {"detections": [3414, 447], "errors": [34, 5]},
    }
    _, output, _ = run(small)
    assert "no key" in output
    assert "times this one" in output


def test_help_shows_a_table_of_counts_that_works() -> None:
    result = CliRunner().invoke(command, ["--help"])
    assert result.exit_code == 0
    assert '"intensities": [0.5, 0.15]' in result.output


def test_every_field_and_option_is_documented() -> None:
    page = (DOCS / "reference" / "keylength.md").read_text()
    options = [name for parameter in command.params for name in parameter.opts if name.startswith("--")]
    for word in [*answer(ONE), *THREE, "leak_bits", "intensity_uncertainty", *options]:
        assert f"`{word}" in page or f"{word}`" in page or f".{word}" in page or f'"{word}"' in page, word


def test_the_documented_examples_give_the_documented_answers() -> None:
    page = (DOCS / "reference" / "keylength.md").read_text()
    one, small, three, pairs = (json.loads(text) for text in re.findall(r"```json\n(.*?)```", page, re.DOTALL))
    for counts, options in ((one, ()), (small, ()), (three, ("--proof", "lim")), (pairs, ())):
        output = run(counts, *options)[1]
        first = output.splitlines()[0]
        assert first in page
    assert all(line in page for line in run(small)[1].splitlines() if line.startswith(("no key", "block needed")))


def test_planned_leak_is_told_apart_from_a_counted_one() -> None:
    counted = {k: v for k, v in ONE.items() if k != "f"} | {"leak_bits": 3000000}
    assert any("planned" in text for text in answer(ONE)["assumptions"])
    assert not any("planned" in text for text in answer(counted)["assumptions"])


@pytest.mark.parametrize("name", ["absent.json", "."])
def test_a_file_that_cannot_be_read(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(command, [name])
    assert isinstance(result.exception, PoliqiError)
    assert "cannot be read" in str(result.exception)


def poliqi(*words: str, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "poliqi", "keylength", *words],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )


def test_bad_input_is_exit_code_1_and_one_line(tmp_path: Path) -> None:
    file = tmp_path / "counts.json"
    file.write_text('{"intensities": [0.5')
    done = poliqi(str(file))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("poliqi: counts:")
    assert done.stderr.count("\n") == 1


def test_standard_input_and_json() -> None:
    done = poliqi("-", "--proof", "rusca", "--json", text=EXAMPLE)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["length"] == 11848888
