"""`poliqi lab xray xrd identify`: which structures a pattern may hold."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from poliqi.ops.lab_xrd import CIFS, Outputs, deliver, outputs_options, parameters_of, pattern_options, read_asked

__all__ = ["command"]

_SHOWN = 8


@click.command(
    help="""Rank structures by how well their lines explain the peaks of PATTERN. --cif takes files and folders.

    The figure of merit is seen x sqrt(explained): the share of a structure's calculated intensity that has its
    peaks, and the share of the area of all peaks that it accounts for. It ranks; it is no probability. Structures
    that this pattern cannot tell apart (gold and silver nanoparticles) are one set, and none of them is chosen.

    \b
      poliqi lab xray xrd identify sample.xrdml --cif structures/ --plot candidates.svg
      poliqi lab xray xrd identify alloy.xye --wavelength CuKa --cif structures/ --lattice-tolerance 1
    """
)
@pattern_options
@CIFS
@click.option(
    "--lattice-tolerance",
    default=0.05,
    show_default=True,
    metavar="PERCENT",
    help="by how much a lattice may differ from its CIF, one standard deviation; alloys need 0.5 to 1",
)
@click.option("--all", "show_all", is_flag=True, help=f"print every set, not the first {_SHOWN}")
@outputs_options
def command(
    file: Path,
    wavelength: str | None,
    geometry: str | None,
    monochromator: float | None,
    limits: tuple[float, float] | None,
    simulated: bool,
    cifs: tuple[Path, ...],
    lattice_tolerance: float,
    show_all: bool,
    **where: Any,
) -> None:
    """Rank and print."""
    from poliqi.lab.xray.diffraction.calculated import joined_lines, reflections
    from poliqi.lab.xray.diffraction.candidates import cif_files, identify
    from poliqi.lab.xray.diffraction.chart import draw_lines
    from poliqi.lab.xray.diffraction.crystal import read_crystal
    from poliqi.lab.xray.diffraction.told import answer_of_identification

    outputs = Outputs(**where)
    outputs.check()
    files = cif_files(cifs)
    filing = outputs.filing(file, files, simulated=simulated)
    pattern = read_asked(file, wavelength, geometry, monochromator, limits, simulated or filing.is_simulated)
    found = identify(pattern, files, lattice_tolerance / 100, progress=_progress())
    answer = {
        "program": "poliqi lab xray xrd identify",
        "title": pattern.title,
        "is_simulated": pattern.simulated,
        "figure_of_merit": "seen * sqrt(explained)",
        "lattice_tolerance": lattice_tolerance / 100,
        "cautions": list(pattern.cautions),
        **answer_of_identification(found),
    }

    def draw(path: Path) -> None:
        shown: list[tuple[str, Any]] = []
        for one in found.sets[:4]:
            head = one[0]
            if head.path is not None:
                crystal = read_crystal(head.path)
                beam = pattern.wavelength_angstrom
                lines = reflections(crystal, beam, pattern.range_deg, pattern.polarised_share)
                others = f" or {', '.join(each.name for each in one[1:4])}" if len(one) > 1 else ""
                shown.append((f"{head.name}{others}  (merit {head.merit:.2f})", joined_lines(lines)))
        title = pattern.title + (" (simulated data)" if pattern.simulated else "")
        draw_lines(pattern, shown, path, title, overwrite=outputs.force)

    deliver(
        outputs,
        answer,
        _lines(answer, None if show_all else _SHOWN),
        what="identify",
        filing=filing,
        parameters={**parameters_of(pattern, limits), "lattice_tolerance": lattice_tolerance / 100},
        leave=set(files) - {each.path for one in found.sets for each in one if each.path is not None},
        draw=draw if found.sets else None,
    )


def _lines(answer: dict[str, Any], most: int | None) -> list[str]:
    lines = [f"{answer['title']}{' (simulated)' if answer['is_simulated'] else ''}: {answer['peaks']} peaks"]
    if not answer["sets"]:
        lines.append("nothing explains them; give more structures, or a larger --lattice-tolerance")
    else:
        lines.append(f"{'set':>4} {'merit':>7} {'seen':>6} {'expl.':>6} {'strain %':>9}  structure")
    for number, one in enumerate(answer["sets"][:most], 1):
        lines += [
            f"{number:4d} {each['merit']:7.3f} {each['seen']:6.2f} {each['explained']:6.2f}"
            f" {100 * each['strain']:9.3f}"
            f"  {each['name']}  {each['formula']}  {each['space_group']}  ({each['file']})"
            for each in one
        ]
        if len(one) > 1:
            lines.append(f"{number:4d} is one set: this pattern cannot tell its {len(one)} structures apart")
    left = len(answer["sets"]) - (most or len(answer["sets"]))
    if left > 0:
        lines.append(f"and {left} sets more: --all")
    if answer["unexplained_two_theta_deg"] and answer["sets"]:
        places = ", ".join(f"{at:.2f}" for at in answer["unexplained_two_theta_deg"][:12])
        lines.append(f"not explained by the first: peaks at {places} degrees")
    if answer["passed_over"]:
        lines.append(f"{len(answer['passed_over'])} files passed over (--json says why)")
    return [*lines, *(f"note: {caution}" for caution in answer["cautions"])]


def _progress() -> Callable[[int, int], None]:
    last = time.monotonic()

    def told(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last > 0.5 and sys.stderr.isatty():
            last = time.monotonic()
            click.echo(f"\r{done} of {total} structures", err=True, nl=False)

    return told
