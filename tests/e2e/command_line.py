"""The `poliqi` command as a user runs it: a process of its own, with its words and its exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TINY = Path(__file__).resolve().parents[1] / "fault" / "tiny.toml"


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str

    def lines(self) -> list[dict[str, Any]]:
        """Each line of output, read as JSON."""
        return [json.loads(line) for line in self.out.splitlines()]


def start(*words: object, home: bool = True) -> subprocess.Popen[str]:
    environment = {
        name: value for name, value in os.environ.items() if home or name not in ("HOME", "XDG_CACHE_HOME")
    }
    command = [sys.executable, "-m", "poliqi", *(str(word) for word in words)]
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def finish(process: subprocess.Popen[str], seconds: float = 120) -> Answer:
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"{process.args} did not end in {seconds} s: {out[-2000:]} {err[-2000:]}") from None
    return Answer(process.returncode, out, err)


def poliqi(*words: object, home: bool = True) -> Answer:
    return finish(start(*words, home=home))
