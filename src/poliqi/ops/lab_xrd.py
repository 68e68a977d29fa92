"""What the commands of diffraction share: options, files that are written, and what goes into a store."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from poliqi.ops.commands.lab_store_open import filing_options
from poliqi.ops.lab_filing import Filing, Read

if TYPE_CHECKING:
    from poliqi.lab.store.findings import Findings
    from poliqi.lab.xray.diffraction.pattern import Pattern

__all__ = [
    "CIFS",
    "PATH",
    "Outputs",
    "deliver",
    "outputs_options",
    "parameters_of",
    "pattern_options",
    "read_asked",
    "tell",
]

F = TypeVar("F", bound=Callable[..., Any])
PATH: Final = click.Path(path_type=Path)
CIFS: Final = click.option(
    "--cif", "cifs", multiple=True, required=True, type=PATH, metavar="PHASE.cif", help="a phase; may be repeated"
)
_PATTERN: Final = (
    click.argument("file", type=PATH, metavar="PATTERN"),
    click.option(
        "--wavelength",
        metavar="CuKa|1.5406A",
        help="tube (CuKa, CuKa1, CoKa, ...), wavelength (A, nm) or energy (keV); else what the file says",
    ),
    click.option(
        "--geometry", type=click.Choice(["bragg-brentano", "debye-scherrer"]), help="flat plate, or capillary"
    ),
    click.option(
        "--monochromator",
        type=float,
        metavar="2THETA",
        help="of a crystal in the tube's beam, in degrees (27.3: Ge 111)",
    ),
    click.option(
        "--range", "limits", nargs=2, type=float, metavar="LOW HIGH", help="degrees of 2theta that are used"
    ),
    click.option("--simulated", is_flag=True, help="the pattern was calculated: say so wherever it is shown"),
)
_OUTPUTS: Final = (
    click.option("-o", "--output", type=PATH, metavar="FINDINGS.json", help="write the numbers for other tools"),
    click.option("--plot", type=PATH, metavar="FILE.svg|png", help="draw it"),
    click.option("--force", is_flag=True, help="replace files of that name"),
    click.option("--json", "as_json", is_flag=True, help="print JSON"),
    filing_options,
)


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where results go."""

    output: Path | None
    plot: Path | None
    force: bool
    as_json: bool
    store: Path | None
    tenant: str

    def check(self) -> None:
        """Refuse names that cannot be written, before any work. Raises ConfigError."""
        from poliqi.base.chartstyle import check_format
        from poliqi.edge.wholefile import check_target

        if self.plot is not None:
            check_format(self.plot)
        for path in (self.output, self.plot):
            if path is not None:
                check_target(path, overwrite=self.force)

    def filing(
        self, pattern: Path, cifs: Sequence[Path] = (), instrument: Path | None = None, *, simulated: bool
    ) -> Filing:
        """Where results are put, and what decides them. Raises ConfigError, DataRefused, StoreError."""
        reads = [Read("pattern", (pattern,), simulated), *(Read("structure", (one,)) for one in cifs)]
        if instrument is not None:
            reads.append(Read("instrument", (instrument,)))
        return Filing(self.store, self.tenant, reads)


def _with(options: Sequence[Callable[[Any], Any]], function: F) -> F:
    for option in reversed(options):
        function = option(function)
    return function


def pattern_options(function: F) -> F:
    """PATTERN, --wavelength, --geometry, --monochromator, --range, --simulated."""
    return _with(_PATTERN, function)


def outputs_options(function: F) -> F:
    """-o, --plot, --force, --json, --store, --tenant."""
    return _with(_OUTPUTS, function)


def read_asked(
    file: Path,
    wavelength: str | None,
    geometry: str | None,
    monochromator: float | None,
    limits: tuple[float, float] | None,
    simulated: bool,
) -> Pattern:
    """The pattern that the options mean. Raises ConfigError, DataRefused."""
    from poliqi.lab.xray.diffraction.pattern import read_pattern
    from poliqi.lab.xray.diffraction.radiation import Geometry, monochromated, radiation_named

    radiation = None if wavelength is None else radiation_named(wavelength)
    polarisation = None if monochromator is None else monochromated(monochromator)
    shape = None if geometry is None else Geometry(geometry)
    pattern = read_pattern(file, radiation, shape, polarisation=polarisation)
    if limits is not None:
        pattern = pattern.within(*limits)
    return replace(pattern, simulated=True) if simulated else pattern


def parameters_of(pattern: Pattern, limits: tuple[float, float] | None) -> dict[str, Any]:
    """What of a pattern is not in its file."""
    return {
        "wavelength": pattern.radiation.name,
        "wavelength_angstrom": list(pattern.radiation.wavelengths_angstrom),
        "geometry": pattern.geometry.value,
        "polarisation": pattern.polarised_share,
        "range": limits,
    }


def tell(words: str) -> None:
    """What is under way, on standard error where somebody watches."""
    import sys

    if sys.stderr.isatty():
        click.echo(f"{words} ...", err=True)


def deliver(
    outputs: Outputs,
    answer: dict[str, Any],
    lines: Sequence[str],
    *,
    what: str,
    filing: Filing,
    parameters: dict[str, Any],
    findings: Findings | None = None,
    draw: Callable[[Path], None] | None = None,
    more: dict[str, bytes] | None = None,
    leave: Collection[Path] = (),
) -> None:
    """Write, store and print. `what` is the subcommand; `more` are further files for the store by name.

    Of the files that were read, those in `leave` decide the result and are not put in.
    """
    from poliqi.edge.wholefile import whole_file
    from poliqi.lab.store.findings import findings_bytes
    from poliqi.ops.message_text import plain

    if outputs.output is not None and findings is not None:
        with whole_file(outputs.output, overwrite=outputs.force) as file:
            file.write(findings_bytes(findings))
    if outputs.plot is not None and draw is not None:
        draw(outputs.plot)
    dataset = _stored(filing, answer, what, parameters, findings, draw, more or {}, leave)
    if dataset is not None:
        answer = {**answer, "dataset": dataset}
        lines = [*lines, f"dataset: {dataset}"]
    if outputs.as_json:
        click.echo(json.dumps(answer, indent=2, allow_nan=False))
    else:
        click.echo("\n".join(plain(line) for line in lines))


def _stored(
    filing: Filing,
    answer: dict[str, Any],
    what: str,
    parameters: dict[str, Any],
    findings: Findings | None,
    draw: Callable[[Path], None] | None,
    more: dict[str, bytes],
    leave: Collection[Path],
) -> str | None:
    """The dataset of the results, the files that they come from beside it; None where no store is named."""
    from poliqi.lab.store.findings import findings_bytes

    simulated = bool(answer.get("is_simulated", False))

    def work(folder: Path) -> None:
        (folder / "result.json").write_text(json.dumps(answer, indent=1, allow_nan=False) + "\n")
        if findings is not None:
            (folder / "findings.json").write_bytes(findings_bytes(findings))
        for name, data in more.items():
            (folder / name).write_bytes(data)
        if draw is not None:
            draw(folder / "figure.svg")

    return filing.put(
        f"poliqi lab xray xrd {what}",
        parameters,
        work,
        title=f"{what.capitalize()}: {filing.named('pattern')}",
        keywords=("X-ray diffraction", what),
        simulated=simulated,
        said=("pattern",) if simulated and not filing.is_simulated else (),
        leave=leave,
    )
