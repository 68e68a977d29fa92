"""`poliqi device emulate` says what it is, and refuses what cannot be."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from poliqi.base.errors import ConfigError
from poliqi.ops.commands.device_emulate import command


def test_its_help_says_that_the_light_is_simulated() -> None:
    said = " ".join(CliRunner().invoke(command, ["--help"]).output.split())
    assert "THE LIGHT IS SIMULATED" in said and "poliqi device emulate alice" in said


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--listen", "192.0.2.7"], "declare the interface isolated"),
        (["--listen", "0.0.0.0"], "name one"),
        (["--partner", "bovisa.example:6342"], "give an IP address"),
        (["--partner", "6342"], "HOST:PORT"),
        (["--samples", "1000"], "power of two"),
        (["--ttl", "4294967296"], "ttl"),
        (["--port", "7000", "--lkms-port", "7000"], "name another"),
    ],
)
def test_what_cannot_be_is_refused_with_the_remedy(options: list[str], words: str) -> None:
    result = CliRunner().invoke(command, ["alice", *options])
    assert isinstance(result.exception, ConfigError) and words in str(result.exception)
