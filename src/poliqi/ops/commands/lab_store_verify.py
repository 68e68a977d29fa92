"""`poliqi lab store verify`: is everything still what was put in?"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from poliqi.ops.commands.lab_store_open import JSON, open_tenant, say, store_options, told

__all__ = ["command"]


@click.command()
@click.argument("datasets", nargs=-1, metavar="[DATASET...]")
@store_options
@JSON
def command(datasets: tuple[str, ...], store: Path | None, tenant: str, as_json: bool) -> None:
    """Read every file of DATASET and its receipts, and hold them against their hashes.

    Without DATASET: all of them, and the catalogue itself. Ends with 1 where anything is missing or was changed.
    """
    with open_tenant(store, tenant) as part:
        problems = dict[str, list[str]]()
        if datasets:
            names = [part.resolve(name) for name in datasets]
        else:
            names = part.all_ids()
            catalogue = part.catalogue_problems()
            if catalogue:
                problems["catalogue"] = catalogue
        for name in names:
            found = part.verify(name, told(f"read of {name[:8]}"))
            if found:
                problems[name] = list(found)
    lines = [f"{name[:8]}  {line}" for name, found in problems.items() for line in found]
    whole = f"{len(names)} datasets are as they were put in"
    say({"verified": len(names), "problems": problems}, lines or [whole], as_json=as_json)
    if problems:
        sys.exit(1)
