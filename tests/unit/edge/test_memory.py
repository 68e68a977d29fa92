"""Memory of large blocks stays with the process: seen from outside, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import resource
from poliqi.edge.memory import keep_freed_memory

kept = keep_freed_memory()

def faults_of_a_buffer():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytes(bytearray(64 << 20))
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults_of_a_buffer()
print(int(kept), faults_of_a_buffer())
"""


def test_a_second_large_buffer_takes_no_new_pages() -> None:
    said = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True).stdout
    kept, faults = map(int, said.split())
    if not kept:
        pytest.skip("the C library of this machine has no mallopt")
    assert faults < 100  # 64 MiB are 16,384 pages
