"""Matrices of the X-ray tools are small: threads of BLAS would only wait for each other."""

from __future__ import annotations

import os
import subprocess
import sys


def test_the_commands_ask_blas_for_one_thread_before_numpy_is_loaded() -> None:
    code = (
        "import os, sys, poliqi.ops.cli, poliqi.ops.commands.lab_xray; assert 'numpy' not in sys.modules;"
        "import numpy; numpy.ones((300, 300)) @ numpy.ones((300, 300)); print(len(os.listdir('/proc/self/task')))"
    )
    bare = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    done = subprocess.run([sys.executable, "-c", code], env=bare, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"
