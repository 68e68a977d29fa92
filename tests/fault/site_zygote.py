"""A process that has imported a site and forks a fresh one for each start.

Forking makes a thousand real processes, each killed for real, cost a tenth of a second each. Reads a JSON line per
start, {"argv", "log", "power"}; answers with the child's process number. With "power" = [operation, seed] the disk
of the child loses power at that operation: what was not synchronised is dropped, torn or reordered, and it dies.
"""

from __future__ import annotations

import faulthandler
import json
import os
import random
import signal
import sys
from functools import partial

from fault.faulty_vfs import FaultyVfs


class PowerCut(FaultyVfs):
    """A disk that loses power at one operation, and takes the process with it."""

    def __init__(self, at: int, seed: int) -> None:
        self._cut, self._choice = at, random.Random(seed)
        super().__init__("power-cut")

    def step(self, kind: str) -> None:
        if self.operations == self._cut:
            sys.setswitchinterval(60)
            self.lose_power(None if self._choice.random() < 0.3 else self._choice)
            os.kill(os.getpid(), signal.SIGKILL)
        self.kinds.append(kind)


def main() -> None:
    from poliqi.node import site
    from poliqi.ops import site_toml  # noqa: F401  (imported once, for all children)
    from poliqi.ops.cli import main as run
    from poliqi.ops.commands import site as command  # noqa: F401

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            become(order["log"])
            if order["power"]:
                disk = PowerCut(*order["power"])
                site.KeyStore = partial(site.KeyStore, vfs=disk.name)  # type: ignore[misc, assignment]
            sys.argv = ["poliqi", *order["argv"]]
            run()
            os._exit(0)
        print(child, flush=True)


def become(log: str) -> None:
    """Turn the fork into a process of its own, its words in a file."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(out, 1)
    os.dup2(out, 2)
    faulthandler.register(signal.SIGUSR2)


if __name__ == "__main__":
    main()
