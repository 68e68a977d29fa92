"""The controller's log: by the month, durable, mended after a crash."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from poliqi.base.errors import ConfigError, StoreError
from poliqi.edge.controllog import ControlLog, read_month


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000_000


def written(folder: Path, *entries: tuple[str, list[bytes]]) -> None:
    log = ControlLog(folder)
    for when, lines in entries:
        log.append(lines, at(when))
    log.close()


def test_lines_come_back_in_order(tmp_path: Path) -> None:
    written(tmp_path, ("2026-11-03T10:00", [b"one", b"two"]), ("2026-11-04T10:00", [b"three"]))
    assert ControlLog(tmp_path).load() == [b"one", b"two", b"three"]


def test_each_month_has_its_file(tmp_path: Path) -> None:
    written(tmp_path, ("2026-11-30T23:59:59", [b"old"]), ("2026-12-01T00:00", [b"new"]))
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["city-2026-11.log", "city-2026-12.log"]
    assert read_month(tmp_path, "2026-11") == [b"old"]
    assert read_month(tmp_path, "2026-10") == []


def test_the_two_newest_months_are_read_at_a_start(tmp_path: Path) -> None:
    written(tmp_path, *((f"2026-{month:02}-02T00:00", [b"%d" % month]) for month in (1, 5, 11)))
    assert ControlLog(tmp_path).load() == [b"5", b"11"]


@pytest.mark.parametrize("cut", range(1, 6))
def test_a_line_cut_short_by_a_crash_is_taken_away(tmp_path: Path, cut: int) -> None:
    written(tmp_path, ("2026-11-03T10:00", [b"one", b"two2"]))
    path = tmp_path / "city-2026-11.log"
    path.write_bytes(path.read_bytes()[:-cut])
    assert ControlLog(tmp_path).load() == [b"one"]
    written(tmp_path, ("2026-11-03T11:00", [b"three"]))
    assert path.read_bytes() == b"one\nthree\n"


def test_a_clock_set_back_goes_on_in_the_newest_file(tmp_path: Path) -> None:
    written(tmp_path, ("2026-12-01T00:00", [b"one"]))
    written(tmp_path, ("2026-11-30T00:00", [b"two"]))
    assert ControlLog(tmp_path).load() == [b"one", b"two"]


def test_a_record_of_two_lines_is_none(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="two lines"):
        ControlLog(tmp_path).append([b"a\nb"], at("2026-11-03T10:00"))


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "city-2026-11.log.bak").write_bytes(b"old\n")
    written(tmp_path, ("2026-11-03T10:00", [b"one"]))
    assert ControlLog(tmp_path).load() == [b"one"]


def test_a_month_is_no_path(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="2026-11"):
        read_month(tmp_path, "../../etc/2026-11")


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "city-2026-11.log").mkdir()
    with pytest.raises(StoreError, match="see to the disk"):
        ControlLog(tmp_path).append([b"x"], at("2026-11-03T10:00"))
