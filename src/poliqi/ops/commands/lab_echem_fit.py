"""`poliqi lab echem fit`: models to measured data, each parameter with its doubt or with why it has none."""

from __future__ import annotations

from typing import Final

from poliqi.ops.commands.lazygroup import lazy_group

__all__ = ["command"]

_COMMANDS: Final = {
    "model": (
        "lab_echem_fit_model",
        "command",
        "a cell model (SPM, SPMe, DFN) to a record; model check; BPX",
    ),
    "modes": ("lab_echem_fit_modes", "command", "degradation modes: lost lithium and lost active material"),
    "polarisation": ("lab_echem_fit_polarisation", "command", "all curves of a fuel cell or electrolyser jointly"),
    "pulses": ("lab_echem_fit_pulses", "command", "resistances and time constants against state of charge"),
    "voltammogram": ("lab_echem_fit_voltammogram", "command", "active area, hydrogen crossover, electronic short"),
}

command = lazy_group(
    _COMMANDS,
    """Fit models to data. What the data does not tell is named, never printed as a value.

    \b
      poliqi lab echem fit model discharge.bdf.csv --parameters Chen2020 --vary "Negative electrode thickness [m]"
      poliqi lab echem fit polarisation curves.csv
      poliqi lab echem fit modes --help
    """,
)
