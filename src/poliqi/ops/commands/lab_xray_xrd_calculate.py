"""`poliqi lab xray xrd calculate`: what a powder of a CIF gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from poliqi.ops.lab_xrd import PATH

__all__ = ["command"]


@click.command(
    help="""Lines of a powder of each CIF: hkl, multiplicity, d, 2theta, |F|^2, intensity with the strongest at 100.

    Neutral atoms, form factors of International Tables C, dispersion after Cromer and Liberman, displacements of
    the CIF, an unpolarised beam for a tube without monochromator. No absorption and no texture.

    \b
      poliqi lab xray xrd calculate LaB6.cif --wavelength CuKa --range 20 120
    """
)
@click.argument("cifs", nargs=-1, required=True, type=PATH, metavar="PHASE.cif ...")
@click.option("--wavelength", default="CuKa1", show_default=True, metavar="CuKa1|1.5406A", help="of the beam")
@click.option("--geometry", type=click.Choice(["bragg-brentano", "debye-scherrer"]), help="tube, or beam line")
@click.option("--monochromator", type=float, metavar="2THETA", help="of a crystal in the tube's beam, in degrees")
@click.option("--range", "limits", nargs=2, type=float, default=(5.0, 120.0), show_default=True, metavar="LOW HIGH")
@click.option("--least", default=0.1, show_default=True, metavar="PERCENT", help="weakest line that is told")
@click.option("--plot", type=PATH, metavar="FILE.svg|png", help="draw them")
@click.option("--force", is_flag=True, help="replace a file of that name")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def command(
    cifs: tuple[Path, ...],
    wavelength: str,
    geometry: str | None,
    monochromator: float | None,
    limits: tuple[float, float],
    least: float,
    plot: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Calculate and print."""
    from poliqi.base.chartstyle import check_format
    from poliqi.lab.xray.diffraction.calculated import joined_lines, reflections
    from poliqi.lab.xray.diffraction.chart import draw_lines
    from poliqi.lab.xray.diffraction.crystal import read_crystal
    from poliqi.lab.xray.diffraction.radiation import (
        Geometry,
        monochromated,
        nearest_anode,
        radiation_named,
        usual_polarisation,
    )
    from poliqi.ops.message_text import plain

    if plot is not None:
        check_format(plot)
    beam = radiation_named(wavelength)
    is_tube = nearest_anode(beam.wavelength_angstrom) is not None
    usual = Geometry.BRAGG_BRENTANO if is_tube else Geometry.DEBYE_SCHERRER
    if monochromator is None:
        polarisation = usual_polarisation(beam, usual if geometry is None else Geometry(geometry))
    else:
        polarisation = monochromated(monochromator)
    answer: list[dict[str, Any]] = []
    drawn: list[tuple[str, Any]] = []
    for path in cifs:
        crystal = read_crystal(path)
        found = reflections(crystal, beam.wavelength_angstrom, limits, polarisation)
        rows = [
            {
                "hkl": hkl,
                "multiplicity": many,
                "d_angstrom": d,
                "two_theta_deg": at,
                "f_squared": f,
                "intensity": part,
            }
            for hkl, many, d, at, f, part in zip(
                found.hkl.tolist(),
                found.multiplicity.tolist(),
                found.d_angstrom.tolist(),
                found.two_theta_deg.tolist(),
                found.f_squared.tolist(),
                found.relative.tolist(),
                strict=True,
            )
            if part >= least
        ]
        facts = {"name": crystal.name, "formula": crystal.formula, "space_group": crystal.space_group}
        more = {"wavelength_angstrom": beam.wavelength_angstrom, "cautions": list(crystal.cautions)}
        answer.append({**facts, **more, "is_simulated": True, "reflections": rows})
        drawn.append((f"{crystal.name}, {crystal.space_group} (calculated)", joined_lines(found, least)))
    if plot is not None:
        draw_lines(None, drawn, plot, f"Calculated lines, {beam.name}", overwrite=force)
    if as_json:
        click.echo(json.dumps(answer, indent=2, allow_nan=False))
        return
    for one in answer:
        click.echo("\n".join(plain(line) for line in _lines(one)))


def _lines(one: dict[str, Any]) -> list[str]:
    lines = [
        f"{one['name']}  {one['formula']}  {one['space_group']}  {one['wavelength_angstrom']:g} A (calculated)"
    ]
    lines.append(f"{'h k l':>12} {'m':>4} {'d (A)':>10} {'2theta':>9} {'|F|^2':>11} {'rel. %':>7}")
    for row in one["reflections"]:
        hkl = " ".join(str(index) for index in row["hkl"])
        lines.append(
            f"{hkl:>12} {row['multiplicity']:4d} {row['d_angstrom']:10.5f} {row['two_theta_deg']:9.4f}"
            f" {row['f_squared']:11.2f} {row['intensity']:7.2f}"
        )
    return [*lines, *(f"note: {caution}" for caution in one["cautions"])]
