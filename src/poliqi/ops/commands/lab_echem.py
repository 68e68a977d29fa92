"""`poliqi lab echem`: from files of cyclers and potentiostats to designs, build sheets and test plans."""

from __future__ import annotations

import os
from typing import Final

from poliqi.ops.commands.lazygroup import lazy_group

__all__ = ["command"]

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):  # read once, when numpy is loaded: not yet
    os.environ.setdefault(_name, "1")  # matrices here are small: threads of BLAS wait for each other, spinning

_COMMANDS: Final = {
    "campaign": ("lab_echem_campaign", "command", "which cell is tested when on which channel, and until when"),
    "cycles": ("lab_echem_cycles", "command", "capacity, efficiency, dQ/dV and health, cycle by cycle"),
    "design": ("lab_echem_design", "command", "energy against power over thickness, porosity and particle size"),
    "eis": ("lab_echem_eis", "command", "impedance: validity, relaxation times, circuit, what is identifiable"),
    "fit": (
        "lab_echem_fit",
        "command",
        "models to data: cell, degradation modes, pulses, polarisation, voltammograms",
    ),
    "prototype": (
        "lab_echem_prototype",
        "command",
        "build sheet of a coin, pouch or fuel cell; materials and carbon",
    ),
    "read": ("lab_echem_read", "command", "files of cyclers and potentiostats to one table in BDF and SI"),
    "stack": ("lab_echem_stack", "command", "fuel cells and electrolysers sized to a load or a drive cycle"),
}

command = lazy_group(
    _COMMANDS,
    """Batteries, fuel cells and electrolysers, each step a file that the next one reads.

    Needs: pip install "poliqi[echem]"; for BioLogic's .mpr also "poliqi[biologic]" (GPL).

    \b
      poliqi lab echem read cell.mpr -o cell.bdf.parquet
      poliqi lab echem cycles cell.bdf.parquet --plot cycles.svg
      poliqi lab echem eis spectrum.mpt --report eis.html
      poliqi lab echem prototype coin --help
    """,
)
