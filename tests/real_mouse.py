"""Real frames of the BAM MOUSE instrument, out of the source package of McSAS3 (GPL), which is never copied in.

pip, as it is configured here, downloads the package; it would run the package's own build to read its metadata, so
a stand-in of the build backend is put in its way. The file is kept in pytest's cache.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

PACKAGE, VERSION = "mcsas3", "1.0.6"
FRAMES = f"{PACKAGE}-{VERSION}/testdata/20190725_11_expanded_stacked_processed_190807_161306.nxs"
SIZE = 57_094_612
BACKEND = f"""
def _made(folder):
    import pathlib
    name = "{PACKAGE}-{VERSION}.dist-info"
    (pathlib.Path(folder) / name).mkdir()
    (pathlib.Path(folder) / name / "METADATA").write_text(
        "Metadata-Version: 2.1\\nName: {PACKAGE}\\nVersion: {VERSION}\\n"
    )
    return name
def prepare_metadata_for_build_wheel(folder, config_settings=None):
    return _made(folder)
def build_wheel(*_, **__):
    raise SystemExit("not built")
"""


def mouse_frames(cache: Path, folder: Path) -> Path:
    """The NeXus file with raw frames and what its own pipeline made of them; skips where it cannot be had."""
    kept = cache / Path(FRAMES).name
    if kept.is_file() and kept.stat().st_size == SIZE:
        return kept
    for name in (
        "setuptools/build_meta.py",
        "setuptools/__init__.py",
        "hatchling/build.py",
        "hatchling/__init__.py",
    ):
        (folder / "stand-in" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "stand-in" / name).write_text(BACKEND)
    command = [
        sys.executable, "-m", "pip", "download", "--no-deps", "--no-build-isolation", "--no-binary", PACKAGE,
        "--retries", "0", "--timeout", "15", "--quiet", "-d", str(folder), f"{PACKAGE}=={VERSION}",
    ]  # fmt: skip
    try:
        done = subprocess.run(
            command,
            env=os.environ | {"PYTHONPATH": str(folder / "stand-in")},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    except subprocess.TimeoutExpired:
        pytest.skip("the package index did not send mcsas3 1.0.6 within two minutes")
    archive = folder / f"{PACKAGE}-{VERSION}.tar.gz"
    if done.returncode or not archive.is_file():
        pytest.skip(f"mcsas3 1.0.6 cannot be had from the package index: {done.stderr.strip()[-200:]}")
    with tarfile.open(archive) as held:
        found = held.extractfile(FRAMES)
        assert found is not None
        with kept.open("wb") as out:
            shutil.copyfileobj(found, out)
    archive.unlink()
    return kept
