"""Sweeps that go on where they were stopped: what is kept, what is refused, and that one in two is one in one."""

from __future__ import annotations

import json
import multiprocessing
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.edge.sweep import SweepFailed
from poliqi.lab.sweep import Failed, Taken, resumed_sweep

TASK = {"model": "root"}


@dataclass(frozen=True, slots=True)
class Design:
    number: float


@dataclass(frozen=True, slots=True)
class Root:
    value: float


def root(design: Design) -> Root:
    if design.number < 0:
        raise DataRefused(f"number {design.number} is below 0")
    return Root(design.number**0.5)


def never(_design: Design) -> Root:
    raise AssertionError("calculated again")


def broken(_design: Design) -> Root:
    raise ZeroDivisionError("a fault of the program")


def endless(_design: Design) -> Root:
    return Root(float("inf"))


DESIGNS = [Design(4.0), Design(-1.0), Design(0.1)]
ROOTS = [Root(2.0), Failed("number -1.0 is below 0"), Root(0.1**0.5)]


def test_what_is_refused_is_an_outcome() -> None:
    assert resumed_sweep(root, DESIGNS, Root, task=TASK, workers=1) == ROOTS


def test_processes_give_the_same_in_the_same_order() -> None:
    assert resumed_sweep(root, DESIGNS, Root, task=TASK, workers=2) == ROOTS


def test_a_second_run_reads_all_from_the_file(tmp_path: Path) -> None:
    file = tmp_path / "sweep.jsonl"
    resumed_sweep(root, DESIGNS, Root, task=TASK, resume=file, workers=1)
    assert resumed_sweep(never, DESIGNS[::-1], Root, task=TASK, resume=file, workers=1) == ROOTS[::-1]


def test_what_was_taken_from_the_file_is_told_and_known_by_its_lines(tmp_path: Path) -> None:
    file, seen = tmp_path / "sweep.jsonl", list[Taken]()

    def run() -> None:
        resumed_sweep(root, DESIGNS * 2, Root, task=TASK, resume=file, workers=1, taken=seen.append)

    run()
    assert not seen
    run()
    file.write_text(file.read_text().replace("2.0", "2.5"))
    run()
    assert [one.count for one in seen] == [6, 6]
    assert seen[0].digest != seen[1].digest


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_a_file_that_others_can_write_is_not_believed(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "sweep.jsonl"
    resumed_sweep(root, DESIGNS, Root, task=TASK, resume=file, workers=1)
    file.chmod(mode)
    with pytest.raises(ConfigError, match="would be believed"):
        resumed_sweep(root, DESIGNS, Root, task=TASK, resume=file, workers=1)


def test_a_file_of_another_user_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    another = os.geteuid() + 1
    monkeypatch.setattr("os.geteuid", lambda: another)
    with pytest.raises(ConfigError, match="another user owns it"):
        resumed_sweep(root, DESIGNS, Root, task=TASK, resume=tmp_path / "sweep.jsonl", workers=1)


def test_a_pipe_is_no_file_of_a_sweep(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="no regular file"):
        resumed_sweep(root, DESIGNS, Root, task=TASK, resume=tmp_path / "pipe", workers=1)


def test_ctrl_c_keeps_what_was_done_and_leaves_no_process(tmp_path: Path) -> None:
    file, before = tmp_path / "sweep.jsonl", set(multiprocessing.active_children())

    def stop(done: int, _all: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    many = [Design(float(number)) for number in range(20)]
    with pytest.raises(KeyboardInterrupt):
        resumed_sweep(root, many, Root, task=TASK, resume=file, workers=2, progress=stop)
    assert set(multiprocessing.active_children()) <= before
    told: list[tuple[int, int]] = []
    found = resumed_sweep(root, many, Root, task=TASK, resume=file, workers=1, progress=lambda *at: told.append(at))
    assert told[0] == (3, 20)
    assert found == [Root(number**0.5) for number in range(20)]


def test_a_torn_last_row_is_calculated_again(tmp_path: Path) -> None:
    file = tmp_path / "sweep.jsonl"
    resumed_sweep(root, DESIGNS, Root, task=TASK, resume=file, workers=1)
    file.write_bytes(file.read_bytes()[:-7])
    assert resumed_sweep(root, DESIGNS, Root, task=TASK, resume=file, workers=1) == ROOTS
    assert resumed_sweep(never, DESIGNS, Root, task=TASK, resume=file, workers=1) == ROOTS


def test_a_head_torn_by_a_crash_begins_anew(tmp_path: Path) -> None:
    file = tmp_path / "sweep.jsonl"
    resumed_sweep(root, [], Root, task=TASK, resume=file, workers=1)
    file.write_bytes(file.read_bytes()[:20])
    assert resumed_sweep(root, DESIGNS, Root, task=TASK, resume=file, workers=1) == ROOTS


def test_equal_inputs_are_calculated_once() -> None:
    told: list[tuple[int, int]] = []
    twice = resumed_sweep(root, [Design(4.0)] * 3, Root, task=TASK, workers=1, progress=lambda *at: told.append(at))
    assert twice == [Root(2.0)] * 3
    assert told[-1] == (1, 1)


def test_a_file_of_other_settings_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "sweep.jsonl"
    resumed_sweep(root, DESIGNS, Root, task=TASK, resume=file, workers=1)
    with pytest.raises(DataRefused, match="other settings"):
        resumed_sweep(root, DESIGNS, Root, task={"model": "square"}, resume=file, workers=1)


@pytest.mark.parametrize("content", [b"precious", b"time,volt\n1,2\n", b"\n", b'{"task": 1}\n'])
def test_a_file_that_is_none_is_refused_and_stays(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "data.csv"
    file.write_bytes(content)
    with pytest.raises(DataRefused, match="name another"):
        resumed_sweep(root, DESIGNS, Root, task=TASK, resume=file, workers=1)
    assert file.read_bytes() == content


def test_a_damaged_row_is_named(tmp_path: Path) -> None:
    file = tmp_path / "sweep.jsonl"
    resumed_sweep(root, DESIGNS, Root, task=TASK, resume=file, workers=1)
    rows = file.read_bytes().split(b"\n")
    rows[2] = b"[]"
    file.write_bytes(b"\n".join(rows))
    with pytest.raises(DataRefused, match="row 3"):
        resumed_sweep(root, DESIGNS, Root, task=TASK, resume=file, workers=1)


DEEP = b"[" * 100_000


@pytest.mark.parametrize(
    "row",
    [DEEP, b'{"key":"%s","result":' + DEEP, b'{"key":"%s","result":{"value":' + DEEP + b"]" * 100_000 + b"}}",
     b'{"key":"%s","result":{"value":"two"}}', b'{"key":"%s"}', b'{"key":"%s","result":{"value":9e999}}'],
    ids=["open", "open result", "deep result", "text", "nothing", "infinite"],
)  # fmt: skip
def test_a_row_that_cannot_be_read_is_named(tmp_path: Path, row: bytes) -> None:
    file = tmp_path / "sweep.jsonl"
    resumed_sweep(root, DESIGNS, Root, task=TASK, resume=file, workers=1)
    rows = file.read_bytes().split(b"\n")
    rows[3] = row.replace(b"%s", json.loads(rows[3])["key"].encode())
    file.write_bytes(b"\n".join(rows))
    with pytest.raises(DataRefused, match=r"row 4 is no outcome.*remove that row"):
        resumed_sweep(root, DESIGNS, Root, task=TASK, resume=file, workers=1)
    file.write_bytes(b"\n".join([*rows[:3], b""]))
    assert resumed_sweep(root, DESIGNS, Root, task=TASK, resume=file, workers=1) == ROOTS


def test_a_head_that_is_nested_deep_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sweep.jsonl").write_bytes(DEEP + b"\n")
    with pytest.raises(DataRefused, match="row 1 is no head"):
        resumed_sweep(root, DESIGNS, Root, task=TASK, resume=tmp_path / "sweep.jsonl", workers=1)


def test_a_result_that_none_can_have_is_refused_by_its_row(tmp_path: Path) -> None:
    file = tmp_path / "sweep.jsonl"

    def run() -> list[Root | Failed]:
        return resumed_sweep(
            root, DESIGNS, Root, task=TASK, resume=file, workers=1,
            fault=lambda one: f"value is {one.value:g}, below 0" if one.value < 0 else "",
        )  # fmt: skip

    assert run() == run() == ROOTS
    file.write_text(file.read_text().replace("2.0", "-2.0"))
    with pytest.raises(DataRefused, match=r"row 2 is no outcome \(value is -2, below 0\)"):
        run()


def test_a_file_in_use_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "sweep.jsonl"

    def meanwhile(_done: int, _all: int) -> None:
        resumed_sweep(root, DESIGNS, Root, task=TASK, resume=file, workers=1)

    with pytest.raises(ConfigError, match="in use"):
        resumed_sweep(root, DESIGNS, Root, task=TASK, resume=file, workers=1, progress=meanwhile)


def test_a_fault_of_the_program_ends_the_sweep() -> None:
    with pytest.raises(SweepFailed, match="ZeroDivisionError"):
        resumed_sweep(broken, DESIGNS, Root, task=TASK, workers=1)


def test_a_number_that_json_has_not_is_refused() -> None:
    with pytest.raises(DataRefused, match="finite"):
        resumed_sweep(endless, DESIGNS, Root, task=TASK, workers=1)
