"""Programs as children of this process: started, waited for, ended."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from poliqi.apps.testbench.ends import HOST
from poliqi.base.errors import LinkDown

__all__ = ["found", "free_port", "is_listening", "lacks", "running", "wait_until"]

_START_S: Final = 5.0
_END_S: Final = 0.3
_STEP_S: Final = 0.01
_LISTEN: Final = "0A"
_SBIN: Final = "/usr/sbin:/sbin:/usr/local/sbin"


def found(program: str) -> str | None:
    """Where it is installed; also in the folders of an administrator."""
    return shutil.which(program) or shutil.which(program, path=_SBIN)


def lacks(*programs: str) -> str | None:
    """Which of them is not installed, or None."""
    missing = [program for program in programs if found(program) is None]
    return f"not installed: {', '.join(missing)}" if missing else None


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server((HOST, 0)) as probe:
        return int(probe.getsockname()[1])


def is_listening(port: int) -> bool:
    """True where somebody listens on this TCP port (found without calling it)."""
    wanted = f":{port:04X}"
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text(encoding="utf-8").splitlines()[1:]:
            words = line.split()
            if words[1].endswith(wanted) and words[3] == _LISTEN:
                return True
    return False


def wait_until(is_so: Callable[[], bool], what: str, process: subprocess.Popen[bytes] | None = None) -> None:
    """Raises LinkDown where it is not so within 5 s, or where the process ends before."""
    until = time.monotonic() + _START_S
    while not is_so():
        if process is not None and process.poll() is not None:
            raise LinkDown(f"{what}: the program ended with exit code {process.returncode}")
        if time.monotonic() > until:
            raise LinkDown(f"{what}: not so within {_START_S:g} s")
        time.sleep(_STEP_S)


@contextmanager
def running(
    command: Sequence[str | Path],
    folder: Path,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    stdout: int | IO[bytes] = subprocess.DEVNULL,
) -> Generator[subprocess.Popen[bytes]]:
    """A program while the block runs; what it says goes to a file in `folder`. Raises LinkDown, if not there."""
    where = found(str(command[0]))
    if where is None:
        raise LinkDown(f"{command[0]} is not installed")
    with (folder / f"{Path(where).name}.{os.getpid()}.log").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603  # programs and arguments of this package
            [where, *command[1:]], stdin=stdin, stdout=stdout, stderr=log, cwd=folder, bufsize=0
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
