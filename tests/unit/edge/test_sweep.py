"""A function over many inputs: in this process, on cores, on a Dask cluster; failures and refusals."""

from __future__ import annotations

import builtins
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from poliqi.base.errors import ConfigError
from poliqi.edge.sweep import SweepFailed, sweep


def square(number: int) -> int:
    return number * number


def slow_first(number: int) -> int:
    time.sleep(0.05 if number == 0 else 0.0)
    return number


def fails_at_three(number: int) -> int:
    if number == 3:
        raise ValueError("three is too many")
    return number


def interrupts(_number: int) -> int:
    raise KeyboardInterrupt


def test_one_worker_works_here_and_in_order() -> None:
    assert sweep(square, [3, 1, 2], workers=1) == [9, 1, 4]


def test_nothing_to_do_gives_nothing() -> None:
    assert sweep(square, []) == []


def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    sweep(square, [1, 2], workers=1, progress=lambda done, of: told.append((done, of)))
    assert told == [(1, 2), (2, 2)]


def test_an_error_names_its_input() -> None:
    with pytest.raises(SweepFailed, match=r"input 3: ValueError: three is too many"):
        sweep(fails_at_three, [1, 2, 3, 4], workers=1)


def test_less_than_one_worker_is_refused() -> None:
    with pytest.raises(ConfigError, match="workers: 0"):
        sweep(square, [1], workers=0)


def test_processes_answer_in_the_order_of_the_inputs() -> None:
    told: list[int] = []
    found = sweep(slow_first, list(range(12)), workers=2, progress=lambda done, _all: told.append(done))
    assert found == list(range(12))
    assert told == list(range(1, 13))


def test_an_error_in_a_process_names_its_input_and_leaves_no_process() -> None:
    before = set(multiprocessing.active_children())
    with pytest.raises(SweepFailed, match="input 3: ValueError"):
        sweep(fails_at_three, list(range(50)), workers=2)
    assert set(multiprocessing.active_children()) <= before


def test_ctrl_c_leaves_no_process() -> None:
    before = set(multiprocessing.active_children())

    def stop(_done: int, _all: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(square, list(range(50)), workers=2, progress=stop)
    assert set(multiprocessing.active_children()) <= before


def test_without_the_extra_the_cluster_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def no_distributed(name: str, *args: Any, **more: Any) -> Any:
        if name == "distributed":
            raise ImportError(name)
        return real(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", no_distributed)
    with pytest.raises(ConfigError, match=r"pip install 'poliqi\[cluster\]'"):
        sweep(square, [1], cluster="tcp://127.0.0.1:1")


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """A scheduler and a worker in threads of this process."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1,
        threads_per_worker=2,
        processes=False,
        protocol="tcp",
        host="127.0.0.1",
        dashboard_address=None,
    ) as cluster:
        yield cluster.scheduler_address


@pytest.mark.filterwarnings("ignore")
def test_a_cluster_answers_in_the_order_of_the_inputs(scheduler: str) -> None:
    told: list[int] = []
    found = sweep(slow_first, list(range(6)), cluster=scheduler, progress=lambda done, _all: told.append(done))
    assert found == list(range(6))
    assert told == list(range(1, 7))


@pytest.mark.filterwarnings("ignore")
def test_an_error_on_a_cluster_names_its_input(scheduler: str) -> None:
    with pytest.raises(SweepFailed, match="input 3: ValueError: three is too many"):
        sweep(fails_at_three, [1, 2, 3], cluster=scheduler)


@pytest.mark.filterwarnings("ignore")
def test_no_scheduler_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr("poliqi.edge.sweep._CONNECT_S", 0.5)
    with pytest.raises(ConfigError, match="no scheduler answers"):
        sweep(square, [1], cluster="tcp://127.0.0.1:1")


def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / "dozing.py").write_text(
        "import os, pathlib, time\n"
        "def doze(number):\n"
        "    pathlib.Path(f'worker.{os.getpid()}').touch()\n"
        "    time.sleep(60)\n"
    )
    (tmp_path / "parent.py").write_text(
        "import dozing\nfrom poliqi.edge.sweep import sweep\n"
        "if __name__ == '__main__':\n    sweep(dozing.doze, [1, 2, 3], workers=2)\n"
    )
    parent = subprocess.Popen([sys.executable, "parent.py"], cwd=tmp_path, start_new_session=True)
    try:
        wait_until(lambda: len(list(tmp_path.glob("worker.*"))) == 2)
    finally:
        parent.kill()
        parent.wait()
    workers = [int(path.suffix[1:]) for path in tmp_path.glob("worker.*")]
    wait_until(lambda: not any(map(runs, workers)))


def runs(process: int) -> bool:
    """Whether it is there, and not just unburied."""
    stat = Path(f"/proc/{process}/stat")
    try:
        return stat.read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.02)
