"""A process that reads one HDF5 file and tells its first curve as JSON; what the file breaks ends with it."""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import Final

__all__ = ["main"]

_MEMORY_BYTES: Final = 3 << 30
_CPU_S: Final = 10


def main(path: str) -> int:
    """0 with the points on standard output, else 1."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_S, _CPU_S))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    import msgspec

    from poliqi.base.errors import PoliqiError
    from poliqi.lab.xray.nxcansas_read import read_curves
    from poliqi.ops.lab_web.curves import points_of

    try:
        curves = read_curves(Path(path))
    except PoliqiError:
        return 1
    sys.stdout.buffer.write(msgspec.json.encode(points_of(curves[0])))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
