"""The built wheel in an empty environment: `poliqi demo` is a whole city there, within its limits."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from demo_rig import LiveDemo

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
CORES_SECONDS = 2 * 30.0
"""What two cores can do in the thirty seconds in which the city has to be ready."""
MEMORY = 2 << 30


def uv(*words: object) -> bool:
    """Run uv, from what it has kept where that is enough; whether it did the work."""
    command = [sys.executable, "-m", "uv", *map(str, words)]
    return any(
        subprocess.run([*command, *how], cwd=ROOT, capture_output=True, check=False).returncode == 0
        for how in (["--offline"], [])
    )


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The interpreter of an environment that holds the wheel, what it needs, and nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    made = folder / "venv" / "bin" / "python"
    if not uv("build", "--wheel", "-q", "-o", folder / "dist", "."):
        pytest.skip("the wheel cannot be built here: uv is missing")
    [wheel] = (folder / "dist").glob("*.whl")
    done = uv("venv", "-q", "--python", sys.executable, folder / "venv") and uv(
        "pip", "install", "-q", "--python", made, wheel, "-c", ROOT / "requirements.lock"
    )
    if not done:
        pytest.skip("what the wheel needs cannot be had here: no cache of packages and no registry")
    yield made


@pytest.mark.parametrize("kernels", ["", pytest.param("portable", marks=pytest.mark.soak)])
def test_the_city_runs_from_the_wheel_alone(python: Path, tmp_path: Path, kernels: str) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8"}
    if kernels:
        environment["POLIQI_KERNELS"] = kernels
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    demo = LiveDemo("--seconds", "3", python=str(python), environment=environment)
    try:
        ready = demo.ready()
        with urllib.request.urlopen(ready["dashboard"], timeout=20) as answer:
            assert "imulated" in answer.read().decode()
        fetched = subprocess.run(["bash", "-c", ready["curl"]], capture_output=True, text=True, timeout=30)
        assert '"key_ID"' in fetched.stdout
        demo.wait(lambda: demo.of("summary"), "the end")
        assert demo.process.wait(30) == 0
    finally:
        demo.end()
        demo.remove()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    [summary] = demo.of("summary")
    print(
        f"ready after {summary['ready_s']:.1f} s, {busy_s:.1f} s of processor, "
        f"{(summary['pss_bytes'] or 0) / 1e6:.0f} MB, {summary['rss_bytes'] / 1e6:.0f} with what is shared"
    )
    assert busy_s <= CORES_SECONDS
    # what the processes share is there once; where that may not be read, each is counted with all of it
    assert (summary["pss_bytes"] or summary["rss_bytes"]) <= MEMORY
    assert (tmp_path / ".cache" / "poliqi").is_dir(), "kernels are compiled here, and kept"
    assert str(ROOT) not in str(demo.records)
