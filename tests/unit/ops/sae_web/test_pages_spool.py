"""Files that people hand in: private, in order, within limits, gone afterwards."""

from __future__ import annotations

import stat
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poliqi.base.errors import DataRefused, StoreError
from poliqi.ops.sae_web.limits import UploadLimits
from poliqi.ops.sae_web.spool import Spool, is_file_name

ME, YOU = "me", "you"


@pytest.fixture
def clock() -> list[float]:
    return [100.0]


@pytest.fixture
def spool(tmp_path: Path, clock: list[float]) -> Spool:
    limits = UploadLimits(file_bytes=1000, total_bytes=2500, files=2, at_once=4, idle_s=60.0)
    return Spool(tmp_path / "spool", limits, lambda: clock[0])


def test_parts_become_a_private_file(spool: Spool) -> None:
    upload = spool.begin(ME, "scan.dcm", 7)
    assert spool.add(upload, 0, b"abc") == 3
    assert spool.add(upload, 3, b"defg") == 7
    [taken] = spool.take(ME, [upload.id])
    assert taken.path.name == "scan.dcm"
    assert taken.path.read_bytes() == b"abcdefg"
    assert stat.S_IMODE(taken.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(taken.folder.stat().st_mode) == 0o700
    spool.discard([taken])
    assert not taken.folder.exists()


def test_a_part_that_comes_twice_is_taken_once(spool: Spool) -> None:
    upload = spool.begin(ME, "a", 4)
    spool.add(upload, 0, b"ab")
    assert spool.add(upload, 0, b"ab") == 2
    assert spool.add(upload, 2, b"cd") == 4
    assert upload.path.read_bytes() == b"abcd"


@pytest.mark.parametrize(("at", "part"), [(1, b"xyz"), (5, b"x"), (2, b"xyz"), (0, b"abcde")])
def test_a_part_that_does_not_fit_is_refused(spool: Spool, at: int, part: bytes) -> None:
    upload = spool.begin(ME, "a", 4)
    spool.add(upload, 0, b"ab")
    with pytest.raises(DataRefused, match="go on from there"):
        spool.add(upload, at, part)
    assert upload.have_bytes == 2


def test_nobody_else_finds_an_upload(spool: Spool) -> None:
    upload = spool.begin(ME, "a", 0)
    assert spool.find(ME, upload.id) is upload
    assert spool.find(YOU, upload.id) is None
    with pytest.raises(DataRefused, match="no longer here"):
        spool.take(YOU, [upload.id])


def test_what_is_not_whole_or_named_twice_is_not_taken(spool: Spool) -> None:
    whole, half, again = spool.begin(ME, "a", 0), spool.begin(ME, "b", 4), spool.begin(ME, "a", 0)
    with pytest.raises(DataRefused, match="only 0 of 4 bytes"):
        spool.take(ME, [whole.id, half.id])
    with pytest.raises(DataRefused, match="two files are called a"):
        spool.take(ME, [whole.id, again.id])
    with pytest.raises(DataRefused, match="no longer here"):
        spool.take(ME, [whole.id, whole.id])
    with pytest.raises(DataRefused, match="from 1 to 2"):
        spool.take(ME, [whole.id, half.id, again.id])
    assert spool.take(ME, [whole.id]) == [whole]
    with pytest.raises(DataRefused, match="no longer here"):
        spool.take(ME, [whole.id])
    spool.give_back([whole])
    assert spool.take(ME, [whole.id]) == [whole]


def test_limits_hold(spool: Spool) -> None:
    with pytest.raises(DataRefused, match="at most 1000"):
        spool.begin(ME, "a", 1001)
    spool.begin(ME, "a", 1000)
    spool.begin(ME, "b", 1000)
    with pytest.raises(DataRefused, match="2000 bytes wait"):
        spool.begin(ME, "c", 501)
    spool.begin(ME, "c", 500)
    spool.begin(ME, "d", 0)
    with pytest.raises(DataRefused, match="4 files are on their way"):
        spool.begin(ME, "e", 0)


def test_what_stands_still_is_forgotten(spool: Spool, clock: list[float]) -> None:
    idle, taken = spool.begin(ME, "a", 10), spool.begin(ME, "b", 0)
    spool.take(ME, [taken.id])
    clock[0] += 61.0
    spool.begin(ME, "c", 0)
    assert not idle.folder.exists()
    assert taken.folder.exists()


def test_what_a_crash_left_is_removed_and_two_processes_do_not_share(spool: Spool, tmp_path: Path) -> None:
    left = spool.begin(ME, "a", 10)
    with pytest.raises(StoreError, match="one process"):
        Spool(tmp_path / "spool", UploadLimits())
    assert left.folder.exists()
    spool.close()
    left.folder.mkdir()
    left.path.write_bytes(b"x")
    Spool(tmp_path / "spool", UploadLimits()).close()
    assert not left.folder.exists()


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "a\\b", " a", "a\n", "a\x00b", "gp\u202efdp.exe", "x" * 256]
)
def test_names_that_lie_or_lead_elsewhere_are_refused(spool: Spool, name: str) -> None:
    with pytest.raises(DataRefused, match="rename the file"):
        spool.begin(ME, name, 0)


@given(st.text(max_size=300))
def test_a_name_that_is_taken_stays_in_its_folder(name: str) -> None:
    if is_file_name(name):
        folder = Path("/spool/x")
        assert (folder / name).parent == folder
        assert (folder / name).name == name
        assert not [c for c in name if unicodedata.category(c).startswith("C")]
