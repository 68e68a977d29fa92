"""`poliqi lab store export`, `poliqi lab store import`: datasets as RO-Crates."""

from __future__ import annotations

from pathlib import Path

import click

from poliqi.ops.commands.lab_store_open import JSON, PATH, open_tenant, record_of, say, store_options, told

__all__ = ["export", "import_"]


@click.command()
@click.argument("dataset")
@click.argument("target", type=PATH)
@click.option("--with-sendings", is_flag=True, help="also tell where it was sent, with the receipts")
@click.option("--publisher", default="", metavar="NAME", help="the organisation that publishes it")
@store_options
@JSON
def export(
    dataset: str,
    target: Path,
    with_sendings: bool,
    publisher: str,
    store: Path | None,
    tenant: str,
    as_json: bool,
) -> None:
    """Write DATASET as an RO-Crate 1.1: the new folder TARGET, or a ZIP file where TARGET ends in .zip.

    \b
      poliqi lab store export k4iaq4 sizes/
      poliqi lab store export k4iaq4 sizes.crate.zip

    The crate holds the files with their BLAKE3, and the whole way from sample to figure: jobs with their programs
    and parameters, what they read, and the receipts of how it came here. Every file is held against its hash.
    """
    from poliqi.lab.store.crate.archive import write_archive
    from poliqi.lab.store.crate.build import build
    from poliqi.lab.store.crate.write import write_folder

    with open_tenant(store, tenant) as part:
        built = build(part, part.resolve(dataset), with_sendings=with_sendings, publisher=publisher)
        write = write_archive if target.suffix.lower() == ".zip" else write_folder
        write(part, built, target, told("written"))
    record = {"dataset": built.dataset.id, "crate": str(target), "entities": len(built.entities)}
    said = f"{built.dataset.title!r}, {len(built.dataset.files)} files, is the crate {target}"
    say(record, [said], as_json=as_json)


@click.command(name="import")
@click.argument("crate", type=PATH)
@click.option("--licence", default="", metavar="SPDX", help="what stands for a licence that nobody knows")
@store_options
@JSON
def import_(crate: Path, licence: str, store: Path | None, tenant: str, as_json: bool) -> None:
    """Take in CRATE, a folder or a ZIP file that holds an RO-Crate (1.0 to 1.3), as a new dataset.

    \b
      poliqi lab store import sizes.crate.zip

    Files that the crate names have to be there, with the sizes and hashes (BLAKE3, SHA-256) that it promises. What
    it tells of their past is kept and shown as its claim. Nothing is fetched from anywhere.
    """
    import time

    from poliqi.lab.store.crate.take import import_crate, new_import

    with open_tenant(store, tenant) as part:
        taken = import_crate(part, crate, new_import(time.time()), licence=licence, progress=told("taken in"))
    one, remote = taken.dataset, taken.described.remote
    lines = [f"{one.title!r}, {len(one.files)} files, is dataset {one.id}"]
    lines += [f"SIMULATED: {one.title!r} was calculated, not measured"] if one.is_simulated else []
    lines += [f"{len(remote)} files are elsewhere, and were not fetched: {', '.join(remote[:3])}"] if remote else []
    say(record_of(one) | {"remote": list(remote)}, lines, as_json=as_json)
