"""`poliqi lab xray`: from frames of a detector to sizes and lattices."""

from __future__ import annotations

import os
from typing import Final

from poliqi.ops.commands.lazygroup import lazy_group

__all__ = ["command"]

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):  # read once, when numpy is loaded: not yet
    os.environ.setdefault(_name, "1")  # matrices here are small: threads of BLAS wait for each other, spinning

_COMMANDS: Final = {
    "calibrate": (
        "lab_xray_calibrate",
        "command",
        "where the detector stands, from frames of a calibrant, no clicks",
    ),
    "reduce": ("lab_xray_reduce", "command", "frames and stacks to curves with sigma; live on a folder"),
    "saxs": ("lab_xray_saxs", "command", "corrections, Guinier, Porod, form factors, size distribution"),
    "xrd": ("lab_xray_xrd", "command", "peaks, phase candidates, lattice, size and strain"),
}

command = lazy_group(
    _COMMANDS,
    """Nanostructure by X-rays, each step a file that the next one reads. Needs: pip install "poliqi[xray]".

    \b
      poliqi lab xray calibrate agbh.h5 --calibrant AgBh -o setup.poni
      poliqi lab xray reduce frames.h5 --geometry setup.poni -o curve.h5
      poliqi lab xray saxs curve.h5 --plot sizes.svg
    """,
)
