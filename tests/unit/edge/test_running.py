"""Who runs on a folder: told by the kernel, and signals go to that process alone."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from poliqi.base.errors import ConfigError, StoreError
from poliqi.edge.running import LOCK_NAME, mark_running, running_pid, signal_running

HOLD = """
import signal, sys
from pathlib import Path
from poliqi.edge.running import mark_running
signal.signal(signal.SIGHUP, lambda *_: print("reload", flush=True))
with mark_running(Path(sys.argv[1])):
    print("ready", flush=True)
    sys.stdin.read(1)
"""


@contextmanager
def running(folder: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield process
        finally:
            process.kill()


def test_nobody_runs_on_a_fresh_folder(tmp_path: Path) -> None:
    assert running_pid(tmp_path) is None
    with pytest.raises(ConfigError, match="nothing runs on"):
        signal_running(tmp_path, signal.SIGHUP)


def test_the_process_that_runs_is_found_and_signalled(tmp_path: Path) -> None:
    with running(tmp_path) as process:
        assert running_pid(tmp_path) == process.pid
        assert signal_running(tmp_path, signal.SIGHUP) == process.pid
        assert process.stdout is not None
        assert process.stdout.readline() == "reload\n"


def test_a_killed_process_leaves_nothing_behind(tmp_path: Path) -> None:
    with running(tmp_path) as process:
        process.kill()
        process.wait()
        assert (tmp_path / LOCK_NAME).exists()
        assert running_pid(tmp_path) is None
        with mark_running(tmp_path):
            pass


def test_two_do_not_run_on_one_folder(tmp_path: Path) -> None:
    with running(tmp_path), pytest.raises(StoreError, match="already"), mark_running(tmp_path):
        pass


def test_the_mark_ends_with_its_block(tmp_path: Path) -> None:
    with mark_running(tmp_path):
        assert (tmp_path / LOCK_NAME).stat().st_mode & 0o777 == 0o600
    assert running_pid(tmp_path) is None


def test_a_link_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / LOCK_NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError), mark_running(tmp_path):
        pass
    with pytest.raises(ConfigError):
        running_pid(tmp_path)
