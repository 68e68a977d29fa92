"""A process that has imported POLIQI and compiled its kernels, and forks a fresh one for each command.

Forking makes hundreds of real processes, each killed for real, cost milliseconds instead of seconds.
Reads a JSON line per command, {"argv": [...], "log": path}; answers with the child's process number.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path


def main() -> None:
    from poliqi.node import demo, party  # noqa: F401  (imported once, for all children)
    from poliqi.ops.cli import main as run
    from poliqi.ops.commands import link  # noqa: F401

    warm(Path(sys.argv[1]))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("ready", flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        child = os.fork()
        if child == 0:
            become(command["log"])
            sys.argv = ["poliqi", *command["argv"]]
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


def warm(link_toml: Path) -> None:
    """Run one block in memory, so that every kernel is compiled before anybody forks."""
    from two_parties import make_contract, wire

    from poliqi.link.simulated import SimulatedReceiver, SimulatedTransmitter
    from poliqi.ops.config import load_link

    link = load_link(link_toml)
    seen = SimulatedReceiver(link, 1).detect(100_000)
    SimulatedTransmitter(link, 1).states(seen.slots)
    done = wire(make_contract()).run()
    assert all(disk.keys for disk in done.disks.values())


main()
