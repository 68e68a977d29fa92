"""`poliqi bench-crypto`: options, exit codes, what it prints and draws."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from poliqi.base.errors import ConfigError
from poliqi.ops.commands.bench_crypto import command, parse_sizes

ZEROS = """
class Zeros:
    name = "zeros"
    description = source = "for a test"
    def draw(self, count):
        return bytes(count)
CANDIDATES = (Zeros(),)
"""
FAST = ["--seconds", "0.02", "--rounds", "1", "--record-sizes", "200"]


def test_a_broken_file_is_named_and_the_exit_code_says_so(tmp_path: Path) -> None:
    out, file = tmp_path / "c.svg", tmp_path / "zeros.py"
    file.write_text(ZEROS)
    words = ["run", str(file), "--only", "tcp, not encrypted", *FAST, "--json", "--svg", str(out)]
    result = CliRunner().invoke(command, words)
    assert result.exit_code == 3
    told = {one["name"]: one for one in json.loads(result.stdout)["candidates"]}
    assert set(told) == {"zeros", "tcp, not encrypted"}
    assert "repetition" in told["zeros"]["failed"]
    assert told["zeros"]["draw_gbps"] is None
    assert told["tcp, not encrypted"]["stream_gbps"]["median"] > 0.0
    assert out.read_text().startswith("<svg")


def test_check_only_times_nothing() -> None:
    result = CliRunner().invoke(command, ["run", "--only", "operating system", "--check-only"])
    assert result.exit_code == 0
    assert "operating system           built in         passed 5 checks" in result.stdout
    assert "Gbit/s" not in result.stdout


def test_list_names_what_there_is() -> None:
    result = CliRunner().invoke(command, ["list", "--json"])
    told = {one["name"]: one for one in json.loads(result.stdout)}
    assert {"aes-256-gcm", "one-time-pad", "stunnel", "wireguard-go", "ssh", "age", "poliqi stream"} <= set(told)
    assert told["stunnel"]["origin"] == "installed"


@pytest.mark.parametrize(
    "arguments", [["run", "gone.py"], ["run", "--only", "rot13"], ["run", "--record-sizes", "0"]]
)
def test_mistakes_are_refused(arguments: list[str]) -> None:
    result = CliRunner().invoke(command, arguments)
    assert isinstance(result.exception, ConfigError)


def test_help_says_that_files_are_run() -> None:
    assert "is RUN" in CliRunner().invoke(command, ["--help"]).stdout


def test_sizes_are_read() -> None:
    assert parse_sizes("1400, 200") == [200, 1400]
    for wrong in ("", "0", "1,1", "200,", "-5", "1e3", "1048577", "٣", ",".join(map(str, range(1, 40)))):
        with pytest.raises(ConfigError):
            parse_sizes(wrong)


@given(st.text(max_size=40))
def test_any_text_is_sizes_or_refused(text: str) -> None:
    try:
        sizes = parse_sizes(text)
    except ConfigError:
        return
    assert sizes == sorted(set(sizes))
    assert all(1 <= size <= 1 << 20 for size in sizes)
