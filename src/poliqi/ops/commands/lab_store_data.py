"""`poliqi lab store list`, `show`, `get`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from poliqi.ops.commands.lab_store_open import (
    JSON,
    PATH,
    day_of,
    open_tenant,
    record_of,
    say,
    store_options,
    told,
)

if TYPE_CHECKING:
    from poliqi.lab.store.records import Dataset
    from poliqi.lab.store.tenant import TenantStore

__all__ = ["get", "list_", "show"]


@click.command(name="list")
@click.argument("words", nargs=-1)
@click.option("--kind", type=click.Choice(["measured", "derived", "simulated", "received"]), help="only these")
@click.option("--sample", default="", metavar="NAME|ID", help="only of this sample")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="at most so many")
@click.option("--offset", type=click.IntRange(0), default=0, help="leave out the first ones")
@store_options
@JSON
def list_(
    words: tuple[str, ...],
    kind: str | None,
    sample: str,
    limit: int,
    offset: int,
    store: Path | None,
    tenant: str,
    as_json: bool,
) -> None:
    """Datasets, newest first; with WORDS, those in which each begins a word.

    Title, description, keywords, sample and creator are searched; capitals and accents do not matter.

    \b
      poliqi lab store list silver behenate --kind measured
    """
    from poliqi.lab.store.records import Kind

    with open_tenant(store, tenant) as part:
        wanted = part.sample_named(sample).id if sample else None
        terms = " ".join(words), Kind(kind) if kind else None, wanted
        found = part.find(*terms, limit=limit, offset=offset)
        count = part.count(*terms)
    lines = [
        f"{one.id[:8]}  {day_of(one.made_unix_s)}  {one.kind:<9} {one.size_bytes:>15,}  {one.title}"
        for one in found
    ]
    if count > offset + len(found):
        lines.append(f"{count - offset - len(found)} more: --offset {offset + len(found)}")
    say([record_of(one) for one in found], lines or ["nothing found"], as_json=as_json)


@click.command()
@click.argument("dataset")
@store_options
@JSON
def show(dataset: str, store: Path | None, tenant: str, as_json: bool) -> None:
    """All about DATASET: its description, its files, what was made from it."""
    with open_tenant(store, tenant) as part:
        one = part.dataset(part.resolve(dataset))
        derived = [made.id for made in part.derived(one.id)]
        lines = _lines(part, one, derived)
    say(record_of(one) | {"derived": derived}, lines, as_json=as_json)


def _lines(part: TenantStore, one: Dataset, derived: Sequence[str]) -> list[str]:
    facts = {
        "dataset": one.id,
        "title": one.title,
        "kind": one.kind.value,
        "made": day_of(one.made_unix_s) + " UTC",
        "description": one.description,
        "sample": part.sample(one.sample).name if one.sample else "",
        "instrument": part.instrument(one.instrument).name if one.instrument else "",
        "licence": one.licence or "none: only the owner may use it",
        "creator": one.creator,
        "keywords": ", ".join(one.keywords),
        "made by job": one.made_by or "",
        "used by": ", ".join(derived),
    }
    lines = [f"{name:<12} {value}" for name, value in facts.items() if value]
    return lines + [f"{file.blake3[:16]}  {file.size_bytes:>15,}  {file.path}" for file in one.files]


@click.command()
@click.argument("dataset")
@click.argument("folder", type=PATH)
@store_options
@JSON
def get(dataset: str, folder: Path, store: Path | None, tenant: str, as_json: bool) -> None:
    """Copy the files of DATASET into the new FOLDER, each held against its hash; whole, or not at all.

    \b
      poliqi lab store get k4iaq4 copy/
    """
    with open_tenant(store, tenant) as part:
        one = part.dataset(part.resolve(dataset))
        part.copy_out(one.id, folder, told("copied"))
    record = {"dataset": one.id, "folder": str(folder), "files": [file.path for file in one.files]}
    say(record, [f"{len(one.files)} files of {one.title!r} are in {folder}"], as_json=as_json)
