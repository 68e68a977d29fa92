"""`poliqi lab echem fit polarisation`: all curves of one fuel cell or electrolyser, jointly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from poliqi.ops.lab_outputs import Result, deliver, outputs_of, outputs_options, tell
from poliqi.ops.lab_polarisation import curve_options, curves_read, held_values, reads_of

__all__ = ["command"]

_PROGRAM = "poliqi lab echem fit polarisation"


@click.command(
    help="""Fit all polarisation curves of one cell with one set of parameters.

    CURVES are CSV: lines of '# name: value unit' with the conditions (device, temperature, pressures, ...), then
    the columns 'current_density / A/cm2, voltage / V'. Laws of temperature are fitted from three temperatures on,
    laws of pressure from three pressures on, and held before. Each curve is also predicted from the others.

    \b
    Examples:
      poliqi lab echem fit polarisation 60C.csv 70C.csv 80C.csv --report cell.html
      poliqi lab echem fit polarisation ulleberg.csv --set 'device=alkaline electrolyser' \\
          --column 'current_density=j [mA/cm2]' --column 'voltage=V [V]' --column 'temperature=T [K]' \\
          --column 'pressure=P [bar]' --column 'koh_mass_fraction=w'
    """
)
@curve_options
@click.option("--leave-one-out/--no-leave-one-out", default=True, help="predict each curve from the others")
@outputs_options
def command(curves: tuple[Path, ...], leave_one_out: bool, **options: Any) -> None:
    """Read, fit, write, print."""
    from poliqi.lab.echem.polarisation import fit as polarisationfit
    from poliqi.lab.echem.polarisation import leftout
    from poliqi.lab.echem.polarisation import page as polarisationpage
    from poliqi.ops.lab_filing import Filing

    outputs = outputs_of(options)
    parameters = {**options, "leave_one_out": leave_one_out}
    filing = Filing(outputs.store, outputs.tenant, reads_of(curves))
    read, saying = curves_read(curves, options, filing)
    asked: dict[str, Any] = {"hold": held_values(options["hold"]), "free": options["free"]}
    tell(f"fitting {len(read)} curves")
    fit = polarisationfit.fit_polarisation(read, **asked)
    left = leftout.leave_one_out(read, **asked) if leave_one_out else ()
    record = polarisationpage.record_of_fit(fit, left)
    deliver(
        outputs,
        Result(
            record,
            polarisationpage.lines_of_fit(fit, left),
            polarisationpage.page_of_fit(fit, left),
            {"points.csv": polarisationpage.table_of_fit(fit)},
            record["simulated"],
            polarisationpage.findings_of_fit(fit, left, _PROGRAM),
        ),
        filing,
        program=_PROGRAM,
        title=f"Polarisation of {fit.curves[0].cell or fit.curves[0].file}",
        parameters=parameters,
        keywords=("polarisation", str(fit.device)),
        said=saying,
    )
