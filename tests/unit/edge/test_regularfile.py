"""Files that are read: a pipe is refused at once, a folder and a missing file as `open` does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.edge.regularfile import open_regular
from poliqi.ops.toml_file import toml_of


def test_a_file_is_read_and_a_link_followed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "b").symlink_to("a")
    for name in ("a", "b"):
        with open_regular(tmp_path / name) as file:
            assert file.read(2) == b"ab"


def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(DataRefused, match=f"{path}: a pipe or device"):
            open_regular(path)
    with pytest.raises(ConfigError, match="pipe or device"):
        toml_of(tmp_path / "pipe", 100, "settings")


def test_folders_and_missing_files_are_errors_of_the_system(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(IsADirectoryError):
        open_regular(tmp_path)
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "none")
    assert len(list(Path("/proc/self/fd").iterdir())) == before
