"""`poliqi lab store add`: files become a dataset."""

from __future__ import annotations

from pathlib import Path

import click

from poliqi.ops.commands.lab_store_open import JSON, PATH, open_tenant, record_of, say, store_options, told

__all__ = ["command"]


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="FILE|DIR...", type=PATH)
@click.option("--title", required=True, help="what it is, in a line")
@click.option("--description", default="", help="in words, as long as it takes")
@click.option("--sample", default="", metavar="NAME|ID", help="what was measured")
@click.option("--instrument", default="", metavar="NAME|ID", help="with what")
@click.option("--licence", default="", metavar="SPDX", help="such as CC-BY-4.0; without it nobody else may use it")
@click.option("--creator", default="", metavar="NAME", help="who made it")
@click.option("--keyword", "keywords", multiple=True, metavar="WORD", help="to find it by; repeatable")
@click.option("--simulated", is_flag=True, help="a calculation, no instrument: all that comes of it says so")
@click.option("--once", is_flag=True, help="where a dataset holds exactly these files already, name that one")
@store_options
@JSON
def command(
    paths: tuple[Path, ...],
    title: str,
    description: str,
    sample: str,
    instrument: str,
    licence: str,
    creator: str,
    keywords: tuple[str, ...],
    simulated: bool,
    once: bool,
    store: Path | None,
    tenant: str,
    as_json: bool,
) -> None:
    """Take files in as one immutable dataset. Prints its identifier.

    \b
      poliqi lab store add frames.h5 --title "AgBh, 3 min" --sample AgBh-3 --instrument Xeuss
      poliqi lab store add run7/ --title "Run 7" --licence CC-BY-4.0 --creator "Ada Rossi" --keyword saxs

    A folder's files keep their paths below it. Symlinks are refused. All files go in, or none: Ctrl-C, a full disk
    or a crash leaves nothing half-made, and the same line starts anew.
    """
    from poliqi.lab.store.records import Kind

    with open_tenant(store, tenant) as part:
        dataset = part.register(
            paths,
            title=title,
            kind=Kind.SIMULATED if simulated else Kind.MEASURED,
            description=description,
            sample=part.sample_named(sample).id if sample else None,
            instrument=part.instrument_named(instrument).id if instrument else None,
            licence=licence,
            creator=creator,
            keywords=keywords,
            once=once,
            progress=told("taken in"),
        )
        by = part.made_simulated_by(dataset) if dataset.is_simulated and not simulated else None
    record = record_of(dataset)
    mark = " (simulated)" if dataset.is_simulated else ""
    line = f"{dataset.id}  {len(dataset.files)} files, {dataset.size_bytes:,} bytes: {dataset.title}{mark}"
    why: list[str] = []
    if by is not None:
        record["made_simulated_by"] = {"id": by.id, "title": by.title}
        why.append(f"a file of it stands in the simulated dataset {by.id}, {by.title!r}: so this one is simulated")
    elif mark and not simulated:
        why.append("these files stand as this simulated dataset already")
    say(record, [line, *why], as_json=as_json)
