"""A process that has imported what `poliqi device run` needs, and forks a fresh one for each command.

Reads a JSON line per command, {"argv": [...], "log": path}; answers with the child's process number.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys


def main() -> None:
    for name in ("edge.sources.folder", "node.keydevice", "ops.commands.device", "ops.device_toml"):
        importlib.import_module(f"poliqi.{name}")
    from poliqi.ops.cli import main as run

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("ready", flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            out = os.open(command["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(out, 1)
            os.dup2(out, 2)
            sys.argv = ["poliqi", *command["argv"]]
            run()
            os._exit(0)
        print(child, flush=True)


main()
