"""`poliqi lab xray xrd`: peaks, phases, lattices, crystallite sizes from powder patterns."""

from __future__ import annotations

from typing import Final

from poliqi.ops.commands.lazygroup import lazy_group

__all__ = ["command"]

_COMMANDS: Final = {
    "calculate": ("lab_xray_xrd_calculate", "command", "what a powder of a CIF gives: lines, intensities, |F|^2"),
    "identify": (
        "lab_xray_xrd_identify",
        "command",
        "which structures of many fit, and which cannot be told apart",
    ),
    "peaks": ("lab_xray_xrd_peaks", "command", "places, d, widths and areas of peaks, each with its sigma"),
    "refine": ("lab_xray_xrd_refine", "command", "lattices and shares of phases: Rietveld, Le Bail, Pawley"),
    "size": ("lab_xray_xrd_size", "command", "crystallite size and strain of the whole pattern"),
    "standard": ("lab_xray_xrd_standard", "command", "the instrument's own widths, from a standard"),
}

command = lazy_group(
    _COMMANDS,
    """Powder diffraction. PATTERN is .xrdml, .brml, .raw, .rasx, NXcanSAS, or columns of 2theta, counts and sigma.

    \b
      poliqi lab xray xrd peaks sample.xrdml --plot peaks.svg
      poliqi lab xray xrd identify sample.xrdml --cif structures/
      poliqi lab xray xrd refine sample.xrdml --cif Si.cif -o lattice.json --plot fit.svg
      poliqi lab xray xrd standard lab6.xrdml --cif LaB6.cif -o instrument.json
      poliqi lab xray xrd size sample.xrdml --cif Ni.cif --instrument instrument.json
    """,
)
