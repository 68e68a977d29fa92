"""What the commands of diffraction share: options, files that are written, and what goes into a store."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from poliqi.base.errors import ConfigError

if TYPE_CHECKING:
    from poliqi.lab.xray.diffraction.pattern import Pattern
    from poliqi.lab.xray.findings import Findings

__all__ = ["CIFS", "PATH", "Outputs", "deliver", "outputs_options", "pattern_options", "read_asked", "tell"]

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
        "--range", "limits", nargs=2, type=float, metavar="LOW HIGH", help="degrees of 2theta that are used"
    ),
    click.option("--simulated", is_flag=True, help="the pattern was calculated: say so wherever it is shown"),
)
_OUTPUTS: Final = (
    click.option("-o", "--output", type=PATH, metavar="FINDINGS.json", help="write the numbers for other tools"),
    click.option("--plot", type=PATH, metavar="FILE.svg|png", help="draw it"),
    click.option("--force", is_flag=True, help="replace files of that name"),
    click.option("--json", "as_json", is_flag=True, help="print JSON"),
    click.option("--store", type=PATH, envvar="POLIQI_LAB", metavar="ROOT", help="put pattern and results there"),
    click.option("--tenant", default="", metavar="NAME", help="whose part of the store (the owner's)"),
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
        from poliqi.edge.wholefile import check_target
        from poliqi.lab.xray.diffraction.chart import check_plot

        if self.plot is not None:
            check_plot(self.plot)
        for path in (self.output, self.plot):
            if path is not None:
                check_target(path, overwrite=self.force)
        if self.tenant and self.store is None:
            raise ConfigError("--tenant says whose part of a store; give --store with it")


def _with(options: Sequence[Callable[[Any], Any]], function: F) -> F:
    for option in reversed(options):
        function = option(function)
    return function


def pattern_options(function: F) -> F:
    """PATTERN, --wavelength, --geometry, --range, --simulated."""
    return _with(_PATTERN, function)


def outputs_options(function: F) -> F:
    """-o, --plot, --force, --json, --store, --tenant."""
    return _with(_OUTPUTS, function)


def read_asked(
    file: Path, wavelength: str | None, geometry: str | None, limits: tuple[float, float] | None, simulated: bool
) -> Pattern:
    """The pattern that the options mean. Raises ConfigError, DataRefused."""
    from poliqi.lab.xray.diffraction.pattern import read_pattern
    from poliqi.lab.xray.diffraction.radiation import Geometry, radiation_named

    radiation = None if wavelength is None else radiation_named(wavelength)
    pattern = read_pattern(file, radiation, None if geometry is None else Geometry(geometry))
    if limits is not None:
        pattern = pattern.within(*limits)
    return replace(pattern, simulated=True) if simulated else pattern


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
    inputs: Sequence[Path],
    parameters: dict[str, Any],
    findings: Findings | None = None,
    draw: Callable[[Path], None] | None = None,
    more: dict[str, bytes] | None = None,
) -> None:
    """Write, store and print. `what` is the subcommand; `more` are further files for the store by name."""
    from poliqi.edge.wholefile import whole_file
    from poliqi.lab.xray.findings import findings_bytes
    from poliqi.ops.message_text import plain

    if outputs.output is not None and findings is not None:
        with whole_file(outputs.output, overwrite=outputs.force) as file:
            file.write(findings_bytes(findings))
    if outputs.plot is not None and draw is not None:
        draw(outputs.plot)
    if outputs.store is not None:
        dataset = _stored(outputs, answer, what, inputs, parameters, findings, draw, more or {})
        answer = {**answer, "dataset": dataset}
        lines = [*lines, f"dataset: {dataset}"]
    if outputs.as_json:
        click.echo(json.dumps(answer, indent=2, allow_nan=False))
    else:
        click.echo("\n".join(plain(line) for line in lines))


def _stored(
    outputs: Outputs,
    answer: dict[str, Any],
    what: str,
    inputs: Sequence[Path],
    parameters: dict[str, Any],
    findings: Findings | None,
    draw: Callable[[Path], None] | None,
    more: dict[str, bytes],
) -> str:
    """The dataset of the results; pattern and structures stand beside it as another."""
    from importlib.metadata import version

    from poliqi.lab.store.records import Kind, Task
    from poliqi.lab.xray.findings import findings_bytes
    from poliqi.ops.commands.lab_store_open import open_tenant

    simulated = bool(answer.get("is_simulated", False))

    def work(folder: Path) -> None:
        (folder / "result.json").write_text(json.dumps(answer, indent=1, allow_nan=False) + "\n")
        if findings is not None:
            (folder / "findings.json").write_bytes(findings_bytes(findings))
        for name, data in more.items():
            (folder / name).write_bytes(data)
        if draw is not None:
            draw(folder / "figure.svg")

    with open_tenant(outputs.store, outputs.tenant) as part:
        kind = Kind.SIMULATED if simulated else Kind.MEASURED
        source = part.register(list(inputs), title=f"Diffraction pattern {inputs[0].name}", kind=kind, once=True)
        task = Task(
            f"poliqi lab xray xrd {what}",
            version("poliqi"),
            parameters,
            (source.id,),
            title=f"{what.capitalize()}: {inputs[0].name}",
            keywords=("X-ray diffraction", what),
            simulated=simulated,
        )
        dataset, _ = part.run(task, work)
    return str(dataset.id)
