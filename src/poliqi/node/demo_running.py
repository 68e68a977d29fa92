"""Demonstrations that run on this machine: where they are, what they take, what a killed one left behind."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from poliqi.base.errors import ConfigError
from poliqi.node.demo_files import HOST, DemoFolder

__all__ = ["RunningDemo", "demo_folder", "mark_demo", "memory_of", "running_demos", "sweep_demos"]

_PREFIX: Final = "poliqi-demo-"
_MARK: Final = "demo.json"
_LARGEST: Final = 1 << 16
_SOCKET_PATH: Final = 107
_LEFT_S: Final = 3600.0


class _Mark(msgspec.Struct, frozen=True):
    pid: int
    web: int


@dataclass(frozen=True, slots=True)
class RunningDemo:
    """A demonstration that runs."""

    folder: Path
    web: int

    @property
    def plant(self) -> Path:
        return self.folder / "plant.json"

    @property
    def dashboard(self) -> str:
        return f"http://{HOST}:{self.web}/"


def demo_folder(keep: Path | None, sites: Iterable[str], held: ExitStack) -> Path:
    """A new private folder, removed when `held` closes unless `keep` names it. Raises ConfigError."""
    if keep is None:
        return Path(held.enter_context(tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True)))
    keep = keep.absolute()
    longest = max(len(os.fsencode(keep / site / "state" / "ingest.sock")) for site in sites)
    if longest > _SOCKET_PATH:
        raise ConfigError(
            f"--keep {keep}: a socket in it would have a path of {longest} bytes, {_SOCKET_PATH} are possible; "
            "name a shorter folder"
        )
    try:
        keep.mkdir(mode=0o700, parents=True)
    except OSError as error:
        raise ConfigError(f"--keep {keep}: cannot be made: {error.strerror}; name a folder that is new") from error
    return keep


def mark_demo(made: DemoFolder) -> None:
    """Say that this process runs a demonstration in this folder."""
    (made.folder / _MARK).write_bytes(msgspec.json.encode(_Mark(os.getpid(), made.web)))


def running_demos(folder: Path | None) -> list[RunningDemo]:
    """Those of this user that run, or the one in this folder."""
    folders = _own() if folder is None else [folder]
    marks = [(at, _read(at)) for at in folders]
    return [RunningDemo(at, mark.web) for at, mark in marks if mark is not None and _is_alive(mark.pid)]


def sweep_demos() -> None:
    """Remove the folders of demonstrations that were killed before they could."""
    for folder in _own():
        mark = _read(folder)
        with suppress(OSError):
            is_left = time.time() - folder.stat().st_mtime > _LEFT_S if mark is None else not _is_alive(mark.pid)
            if is_left:
                shutil.rmtree(folder, ignore_errors=True)


def _own() -> list[Path]:
    found: list[Path] = []
    for folder in Path(tempfile.gettempdir()).glob(_PREFIX + "*"):
        with suppress(OSError):
            if folder.lstat().st_uid == os.geteuid() and folder.is_dir() and not folder.is_symlink():
                found.append(folder)
    return sorted(found)


def _read(folder: Path) -> _Mark | None:
    try:
        with (folder / _MARK).open("rb") as file:
            return msgspec.json.decode(file.read(_LARGEST), type=_Mark)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _is_alive(pid: int) -> bool:
    """Whether a demonstration has this number: another program may have it since."""
    try:
        return b"demo" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


def memory_of(pids: Mapping[str, int]) -> dict[str, int | None]:
    """Bytes that these processes and this one take; `pss_bytes` shares common pages out, None where unreadable."""
    rss, pss = 0, 0
    readable = True
    for pid in (os.getpid(), *pids.values()):
        with suppress(OSError, ValueError, IndexError):
            rss += int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1]) * os.sysconf(
                "SC_PAGE_SIZE"
            )
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()
            pss += 1024 * next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        except (OSError, StopIteration, ValueError):
            readable = False
    return {"processes": len(pids) + 1, "rss_bytes": rss, "pss_bytes": pss if readable else None}
