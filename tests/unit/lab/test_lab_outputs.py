"""Where commands of laboratories write: never over what they read, never two results under one name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from print_scenes import cube, y_network

from poliqi.base.errors import ConfigError
from poliqi.lab.print.vesselfile import vessels_bytes
from poliqi.ops.commands.lab_print_perfuse import command as perfuse
from poliqi.ops.commands.lab_print_report import command as report

WRITES = """
import signal
import time
import click
from poliqi.edge.wholefile import whole_file
from poliqi.ops.lab_outputs import outputs_of, outputs_options

for number in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)  # whoever runs the tests may have it ignored, as nohup does

@click.command()
@outputs_options
def command(**options):
    with whole_file(outputs_of(options).output) as file:
        file.write(b"half")
        print("begun", flush=True)
        time.sleep(60)

command()
"""


@pytest.fixture
def vessels(tmp_path: Path) -> Path:
    path = tmp_path / "t.vessels.json"
    path.write_bytes(vessels_bytes(y_network(), cube(), {"program": "test 1"}))
    return path


def test_what_is_read_is_not_written_over(vessels: Path, tmp_path: Path) -> None:
    before = vessels.read_bytes()
    (tmp_path / "link.json").symlink_to(vessels)
    (tmp_path / "x").mkdir()
    for out in (vessels, tmp_path / "link.json", tmp_path / "x" / ".." / vessels.name):
        with pytest.raises(ConfigError, match="is named twice"):
            CliRunner().invoke(perfuse, [str(vessels), "-o", str(out), "--force"], catch_exceptions=False)
    assert vessels.read_bytes() == before


def test_two_results_have_two_names(vessels: Path, tmp_path: Path) -> None:
    asked = [str(vessels), "--plot", str(tmp_path / "a.png"), "--report", str(tmp_path / "a.png")]
    with pytest.raises(ConfigError, match=r"a\.png is named twice \("):
        CliRunner().invoke(perfuse, asked, catch_exceptions=False)


def test_a_name_that_is_no_text_is_refused(vessels: Path, tmp_path: Path) -> None:
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.vessels.json")
    Path(odd).write_bytes(vessels.read_bytes())
    with pytest.raises(ConfigError, match="its name is not UTF-8; rename it"):
        CliRunner().invoke(report, [odd, "-o", str(tmp_path / "a.html")], catch_exceptions=False)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_asked_to_end_a_command_leaves_nothing_half_written(number: signal.Signals, tmp_path: Path) -> None:
    asked = [sys.executable, "-c", WRITES, "-o", str(tmp_path / "a.csv")]
    with subprocess.Popen(asked, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"begun\n"
        assert len(list(tmp_path.iterdir())) == 1
        process.send_signal(number)
        assert process.wait(20) == 128 + number
    assert list(tmp_path.iterdir()) == []
