"""Warming up reaches the kernels of a block: seen in a process where nothing was compiled or loaded before."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import sys
from poliqi.base.ids import Role
from poliqi.distill.warm import warm_up

warm_up(Role(sys.argv[1]), sys.argv[2])
from poliqi.distill.kernels import cascade, ldpc, sift

named = {"sift": sift._plane, "cascade": cascade.advance, "ldpc": ldpc.decode}
print(*sorted(name for name, kernel in named.items() if kernel.signatures))
"""


@pytest.mark.parametrize("role", ["alice", "bob"])
@pytest.mark.parametrize(("reconciler", "reached"), [("cascade", "cascade sift"), ("ldpc-blind", "ldpc sift")])
def test_warming_up_reaches_the_kernels_of_the_reconciler(role: str, reconciler: str, reached: str) -> None:
    command = [sys.executable, "-c", PROGRAM, role, reconciler]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == reached
