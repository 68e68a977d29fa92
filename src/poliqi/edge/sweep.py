"""The one seam for sweeps: a function over many inputs, on all cores of this machine or on a Dask cluster.

The function and its inputs travel to other processes: the function is one of a module, by its name, and every input
can be pickled. Results come back in the order of the inputs.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import suppress
from multiprocessing.connection import wait as wait_connection
from typing import TYPE_CHECKING, Any, Final, TypeVar

from poliqi.base.errors import ConfigError, LinkDown, PoliqiError

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["SweepFailed", "cores", "sweep"]

_Input = TypeVar("_Input")
_Result = TypeVar("_Result")

Progress = Callable[[int, int], None]
"""Called with how many inputs are done, and of how many."""

Each = Callable[[int, Any], None]
"""Called with the number of an input, from 0, and its result as soon as that is there, in this process."""

_AHEAD: Final = 4
"""Inputs handed out for each worker before results are waited for."""
_CONNECT_S: Final = 10.0


class SweepFailed(PoliqiError):
    """The function raised for an input. The text names the input, the cause is what was raised."""


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def sweep(
    function: Callable[[_Input], _Result],
    inputs: Sequence[_Input],
    *,
    workers: int | None = None,
    cluster: str | None = None,
    progress: Progress = lambda _done, _all: None,
    each: Each = lambda _number, _result: None,
) -> list[_Result]:
    """`function` of every one of `inputs`, in their order.

    Without `cluster` on `workers` processes of this machine (None: one for each core; 1: in this process), else on
    the Dask scheduler at that address, such as "tcp://10.0.0.5:8786". The first input for which the function
    raises ends the sweep. Raises SweepFailed naming it, ConfigError for what cannot be begun, LinkDown where the
    cluster is lost, and KeyboardInterrupt without leaving a process behind.
    """
    if workers is not None and workers < 1:
        raise ConfigError(f"workers: {workers} is below 1; leave it out for one a core")
    if cluster is not None:
        return _on_cluster(function, inputs, cluster, progress, each)
    count = min(workers or cores(), max(1, len(inputs)))
    if count == 1:
        return list(_here(function, inputs, progress, each))
    return _on_cores(function, inputs, count, progress, each)


def _here(
    function: Callable[[_Input], _Result], inputs: Sequence[_Input], progress: Progress, each: Each
) -> Iterator[_Result]:
    for number, one in enumerate(inputs):
        try:
            result = function(one)
        except Exception as error:
            raise _failed(one, error) from error
        each(number, result)
        progress(number + 1, len(inputs))
        yield result


def _failed(one: object, error: BaseException) -> SweepFailed:
    text = repr(one)
    return SweepFailed(f"input {text[:200]}: {type(error).__name__}: {error}")


# ---------------------------------------------------------------- this machine


def _begin_worker() -> None:
    """Ctrl-C goes to every process of a terminal: the parent alone acts. A worker ends where its parent does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A parent that was killed stops nobody any more."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_connection([parent.sentinel])
        os._exit(1)


def _on_cores(
    function: Callable[[_Input], _Result], inputs: Sequence[_Input], count: int, progress: Progress, each: Each
) -> list[_Result]:
    results: dict[int, _Result] = {}
    pool = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), _begin_worker)
    try:
        waiting: dict[Future[_Result], int] = {}
        numbers = iter(range(len(inputs)))
        while True:
            while len(waiting) < _AHEAD * count and (number := next(numbers, None)) is not None:
                waiting[pool.submit(function, inputs[number])] = number
            if not waiting:
                break
            done, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                number = waiting.pop(future)
                error = future.exception()
                if error is not None:
                    raise _failed(inputs[number], error) from error
                results[number] = future.result()
                each(number, results[number])
                progress(len(results), len(inputs))
    except BaseException:
        _end(pool)
        raise
    pool.shutdown()
    return [results[number] for number in range(len(inputs))]


def _end(pool: ProcessPoolExecutor) -> None:
    """Stop at once, work under way included."""
    processes: dict[int, Any] = dict(getattr(pool, "_processes", None) or {})
    for process in processes.values():
        with suppress(OSError):
            process.terminate()
    pool.shutdown(wait=True, cancel_futures=True)


# ---------------------------------------------------------------- a cluster


def _distributed() -> ModuleType:
    try:
        import distributed
    except ImportError:
        raise ConfigError(
            "--cluster: the package `distributed` is not installed; run `pip install 'poliqi[cluster]'` here and "
            "on every worker, or leave --cluster out"
        ) from None
    return distributed


def _on_cluster(
    function: Callable[[_Input], _Result], inputs: Sequence[_Input], address: str, progress: Progress, each: Each
) -> list[_Result]:
    module: Any = _distributed()
    try:
        client = module.Client(address, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, TimeoutError, ValueError, TypeError) as error:
        raise ConfigError(
            f"--cluster {address}: no scheduler answers there ({error}); start one with `dask scheduler`"
        ) from None
    results: dict[int, _Result] = {}
    with client:
        futures: dict[Any, int] = {
            client.submit(function, one, pure=False): number for number, one in enumerate(inputs)
        }
        try:
            for future in module.as_completed(list(futures), loop=client.loop):
                number = futures[future]
                results[number] = _result(future, inputs[number], address)
                each(number, results[number])
                progress(len(results), len(inputs))
        except BaseException:
            with suppress(Exception):
                client.cancel(list(futures), force=True)
            raise
    return [results[number] for number in range(len(inputs))]


def _result(future: Any, one: object, address: str) -> Any:
    if future.status == "error":
        error = future.exception()
        raise _failed(one, error) from error
    if future.status != "finished":
        raise LinkDown(f"--cluster {address}: the work on input {str(one)[:200]} was {future.status}")
    return future.result()
