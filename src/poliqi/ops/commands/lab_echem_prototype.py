"""`poliqi lab echem prototype`: a build sheet of a coin, pouch or fuel cell."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from poliqi.ops.lab_outputs import PATH, Result, deliver, outputs_of, outputs_options

if TYPE_CHECKING:
    from poliqi.lab.echem.prototype.sheet import BuildSheet
    from poliqi.ops.lab_filing import Read
    from poliqi.ops.prototype_tables import PrototypeTable

__all__ = ["command"]

F = TypeVar("F", bound=Callable[..., Any])
_OPTIONS: Final = (
    click.argument("spec", type=PATH, metavar="[PROTOTYPE.toml]", required=False),
    click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="KEY=VALUE",
        help="over the file: positive.loading=12.0(2)mg/cm2; without VALUE: take KEY out",
    ),
    click.option(
        "--dataset",
        "datasets",
        multiple=True,
        metavar="SIDE=ID",
        help="what X-rays found of that side's material, in the store",
    ),
    click.option(
        "--findings", multiple=True, metavar="SIDE=FILE", help="the same of a file that xrd or saxs wrote"
    ),
    click.option("--carbon", type=PATH, metavar="CARBON.toml", help="your factors of carbon, each with its source"),
    click.option(
        "--carbon-template", type=PATH, metavar="FILE", help="write a table of factors to be filled, and end"
    ),
    click.option("--example", is_flag=True, help="print a file to start from, and end"),
    click.option("--draws", type=click.IntRange(100, 1_000_000), default=20_000, show_default=True),
    click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="of the draws"),
)


@click.group()
def command() -> None:
    """A build sheet: areas, loadings, amounts, expected capacity or current with doubts, materials, carbon.

    What it is made of stands in a file; --example prints one. Every amount has a unit and may have a doubt:
    "12.0(2) mg/cm2". What is not stated and cannot be calculated is refused, never assumed.

    \b
      poliqi lab echem prototype coin --example > coin.toml
      poliqi lab echem prototype coin coin.toml --report sheet.html
      poliqi lab echem prototype coin coin.toml --set positive.loading="15.0(2) mg/cm2" --json
      poliqi lab echem prototype coin coin.toml --store lab --dataset positive=k3xq
      poliqi lab echem prototype coin coin.toml --carbon-template carbon.toml
    """


def _options(function: F) -> F:
    for option in reversed(_OPTIONS):
        function = option(function)
    return outputs_options(function)


@command.command()
@_options
def coin(**options: Any) -> None:
    """Two discs, a separator, a case."""
    _run("coin", options)


@command.command()
@_options
def pouch(**options: Any) -> None:
    """Sheets coated on both sides, a stack in a pouch."""
    _run("pouch", options)


@command.command(name="fuel-cell")
@_options
def fuel_cell(**options: Any) -> None:
    """A single PEM fuel cell: catalyst layers, membrane, diffusion layers."""
    _run("fuel-cell", options)


def _run(kind: str, options: dict[str, Any]) -> None:
    from msgspec import structs

    from poliqi.base.errors import ConfigError
    from poliqi.ops.lab_filing import Filing
    from poliqi.ops.prototype_examples import EXAMPLES
    from poliqi.ops.prototype_feed import feeds_of, with_feeds
    from poliqi.ops.prototype_toml import load_table

    if options["example"]:
        click.echo(EXAMPLES[kind], nl=False)
        return
    outputs = outputs_of(options)
    if outputs.output is not None and outputs.output.suffix not in (".toml", ".json"):
        raise ConfigError(f"-o {outputs.output}: give a name that ends in .toml (to build from again) or .json")
    spec: Path | None = options["spec"]
    if spec is None and not options["settings"]:
        raise ConfigError("what is it made of? name a PROTOTYPE.toml (--example prints one), or give --set")
    if options["carbon_template"] is not None:
        table, _ = load_table(spec, options["settings"], kind=kind)
        _write_template(table, options["carbon_template"], force=outputs.force)
        return
    filing = Filing(outputs.store, outputs.tenant, _reads(options))
    table, is_said = load_table(spec, options["settings"], kind=kind)
    feeds = feeds_of(options["datasets"], options["findings"], outputs.store, outputs.tenant)
    said = ["prototype"] if is_said else []
    said += [_role(at) for at, feed in enumerate(feed for feed in feeds if feed.path) if feed.simulated]
    table, cautions = with_feeds(table, feeds)
    table = structs.replace(table, simulated=table.simulated or filing.is_simulated)
    sheet = _sheet(table, cautions, options)
    result = _result(sheet, table, is_toml_first=_is_toml(outputs.output))
    deliver(
        outputs,
        result,
        filing,
        program=f"poliqi lab echem prototype {kind}",
        title=f"Build sheet: {sheet.made.name}",
        parameters={
            "settings": list(options["settings"]),
            "feeds": [feed.told for feed in feeds],
            "draws": options["draws"],
            "seed": options["seed"],
        },
        keywords=("prototype", kind),
        said=said,
        inputs=[feed.dataset for feed in feeds if feed.dataset],
    )


def _reads(options: dict[str, Any]) -> list[Read]:
    """Every file by its role, told before any of them is read."""
    from poliqi.ops.lab_filing import Read
    from poliqi.ops.prototype_feed import file_of

    reads = [Read("prototype", (options["spec"],))] if options["spec"] is not None else []
    reads += [Read(_role(at), (file_of(text)[1],)) for at, text in enumerate(options["findings"])]
    return reads + ([Read("carbon", (options["carbon"],))] if options["carbon"] is not None else [])


def _role(at: int) -> str:
    return "findings" if not at else f"findings {at + 1}"


def _sheet(table: PrototypeTable, cautions: tuple[str, ...], options: dict[str, Any]) -> BuildSheet:
    from poliqi.base.errors import DataRefused
    from poliqi.lab.echem.prototype.sheet import build_sheet
    from poliqi.ops.carbon_toml import load_carbon
    from poliqi.ops.prototype_make import prototype_of

    where = str(options["spec"] or "the settings")
    made = prototype_of(table, where)
    try:
        return build_sheet(
            made,
            carbon=None if options["carbon"] is None else load_carbon(options["carbon"]),
            assumed=table.assumed,
            cautions=cautions,
            simulated=table.simulated,
            draws=options["draws"],
            seed=options["seed"],
        )
    except DataRefused as error:
        raise DataRefused(f"{where}: {error}") from None


def _is_toml(output: Path | None) -> bool:
    return output is not None and output.suffix == ".toml"


def _result(sheet: BuildSheet, table: PrototypeTable, *, is_toml_first: bool) -> Result:
    import json

    from msgspec import to_builtins

    from poliqi.lab.echem.prototype.page import page_of
    from poliqi.lab.echem.prototype.told import findings_of, lines_of, record_of
    from poliqi.ops.prototype_toml import table_text

    record = record_of(sheet) | {"prototype": to_builtins(table)}
    files = {
        "result.json": (json.dumps(record, indent=1, allow_nan=False) + "\n").encode(),
        "prototype.toml": table_text(table).encode(),
    }
    if is_toml_first:
        files = dict(reversed(files.items()))
    return Result(record, lines_of(sheet), page_of(sheet), files, sheet.simulated, findings_of(sheet))


def _write_template(table: PrototypeTable, path: Path, *, force: bool) -> None:
    from poliqi.edge.wholefile import whole_file
    from poliqi.lab.echem.prototype.sheet import build_sheet
    from poliqi.ops.carbon_toml import blank_carbon
    from poliqi.ops.prototype_make import prototype_of

    made = prototype_of(table, "for the template")
    names = dict.fromkeys(item.material for item in build_sheet(made, draws=1).items)
    with whole_file(path, overwrite=force) as file:
        file.write(blank_carbon(made, list(names)).encode())
    click.echo(f"{path}: {len(names) + len(made.processes)} factors to fill, each with its source")
