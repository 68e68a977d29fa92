"""An environment per peer in the user's cache folder: made once, kept; the reason where it cannot be made."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import platformdirs

HERE = Path(__file__).resolve().parent
INSTALL_TIMEOUT_S = 400
RUN_TIMEOUT_S = 600


class PeerMissing(Exception):
    """The peer cannot be installed or run here; the text says why."""


def measure(requirement: str, script: str, *arguments: str) -> dict[str, Any]:
    """Run `script` (a file beside this one) with `arguments` under `requirement`; the JSON it prints.

    Several requirements are parted by spaces.

    Raises PeerMissing.
    """
    python = _environment(requirement)
    command = [str(python), str(HERE / script), *arguments]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    printed = _run(command, RUN_TIMEOUT_S, environment, cwd=python.parent)
    return json.loads(printed.splitlines()[-1])


def _environment(requirement: str) -> Path:
    name = requirement.replace("==", "-").replace(" ", "+")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    folder = platformdirs.user_cache_path("poliqi") / "bench-peers" / f"{name}-py{version}"
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    ready = folder / "ready"
    if not ready.exists():
        uv = [sys.executable, "-m", "uv"]
        _run([*uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], INSTALL_TIMEOUT_S)
        _run([*uv, "pip", "install", "--quiet", "--python", str(python), *requirement.split()], INSTALL_TIMEOUT_S)
        ready.touch()
    return python


def _run(command: list[str], timeout_s: float, environment: dict[str, str] | None = None, **more: Any) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout_s, env=environment, check=False, **more
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerMissing(f"{command[0]}: {error}") from None
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise PeerMissing(f"{' '.join(command[:5])} ...: {last[:200]}")
    return done.stdout
