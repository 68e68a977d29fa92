"""`poliqi lab`: the store of a laboratory, access to its instruments, its tools."""

from __future__ import annotations

from typing import Final

from poliqi.ops.commands.lazygroup import lazy_group

__all__ = ["command"]

_COMMANDS: Final = {
    "access": (
        "lab_access",
        "command",
        "people and companies, bookings, tariffs, invoices, co-funding, month report",
    ),
    "echem": ("lab_echem", "command", "batteries, fuel cells, electrolysers: read, evaluate, fit, design, plan"),
    "print": (
        "lab_print",
        "command",
        "vascularised tissue for multiphoton printing: vessels, perfusion, scan lines",
    ),
    "store": (
        "lab_store",
        "command",
        "samples, datasets, jobs, provenance; search, RO-Crate, send to another site",
    ),
    "xray": ("lab_xray", "command", "frames to curves to sizes and lattices: calibrate, reduce, saxs, xrd"),
}

command = lazy_group(
    _COMMANDS,
    """Materials laboratories: measurements become figures, kept with where they came from, shared by quantum keys.

    \b
      poliqi lab store init mylab --organisation "Politecnico di Milano"
      poliqi lab xray calibrate agbh.h5 --calibrant AgBh -o setup.poni
      poliqi lab xray reduce frames.h5 --geometry setup.poni -o curve.h5
      poliqi lab xray saxs curve.h5 --plot sizes.svg
      poliqi lab store send DATASET Bovisa
    """,
)
