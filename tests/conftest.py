"""How many examples each property is tried with, and in which order the files are run.

50 examples in `make test`; POLIQI_EXAMPLES=1000 says how many else. No example has a deadline: on a machine that
does other work too, time says nothing about what is right.

Files with slow tests come first, the others fill up the workers that are done with them. `make test` keeps a file's
tests in one worker (`--dist loadfile`), so that what a file starts once is started once.

A shell starts what runs in its background with SIGINT and SIGQUIT ignored, and programs hand that on: tests that
send them to a program want it as a terminal would start it.

What tests leave in circles of references holds its descriptors until the collector comes, which is seldom where
much stands in memory; select() takes none beyond 1023. So it is called where many are open.
"""

from __future__ import annotations

import gc
import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "poliqi",
    max_examples=int(os.environ.get("POLIQI_EXAMPLES", "50")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("poliqi")
_DESCRIPTORS = Path("/proc/self/fd")
_MANY = 400

for _number, _usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGQUIT, signal.SIG_DFL)):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _usual)


@pytest.hookimpl(trylast=True)  # after the order was shuffled
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    slow = {item.path for item in items if item.get_closest_marker("slow") is not None}
    items.sort(key=lambda item: item.path not in slow)


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    is_last = nextitem is None or nextitem.path != item.path
    if is_last and _DESCRIPTORS.is_dir() and len(list(_DESCRIPTORS.iterdir())) > _MANY:
        gc.collect()
