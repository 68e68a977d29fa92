"""`poliqi lab print`: from a tissue's shape to vessels, their perfusion, and a job for a multiphoton printer."""

from __future__ import annotations

import os
from typing import Final

from poliqi.ops.commands.lazygroup import lazy_group

__all__ = ["command"]

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):  # read once, when numpy is loaded: not yet
    os.environ.setdefault(_name, "1")  # threads of BLAS wait for each other, spinning

_COMMANDS: Final = {
    "calibrate": ("lab_print_calibrate", "command", "an array of power x speed to print, and its measured widths"),
    "design": ("lab_print_design", "command", "vessels grown into a tissue: arteries, veins, capillaries"),
    "dose": ("lab_print_dose", "command", "what the light does: dose, shape after a threshold, pre-compensation"),
    "export": ("lab_print_export", "command", "STL, 3MF, beam lattice, glTF, GWL, .nano"),
    "optimise": ("lab_print_optimise", "command", "designs within a budget, and which of them none beats"),
    "perfuse": ("lab_print_perfuse", "command", "flow, wall shear and oxygen"),
    "report": ("lab_print_report", "command", "one page with pictures and a view in three dimensions"),
    "slice": ("lab_print_slice", "command", "scan lines of the laser, tiles, time: a job"),
}

command = lazy_group(
    _COMMANDS,
    """Vascularised tissue printed with light, each step a file that the next one reads.

    Needs: pip install "poliqi[print]".

    \b
      poliqi lab print design tissue.toml -o tissue.vessels.json
      poliqi lab print perfuse tissue.vessels.json --report perfusion.html
      poliqi lab print slice tissue.vessels.json --profile machine.toml -o tissue.job
      poliqi lab print export tissue.vessels.json --to tissue.3mf
    """,
)
