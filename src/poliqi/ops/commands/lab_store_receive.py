"""`poliqi lab store receive`: datasets out of the inbox, into the store."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from poliqi.ops.commands.lab_store_open import JSON, PATH, open_store, say, store_options

__all__ = ["command"]


@click.command()
@click.option("--sae", "sae_toml", type=PATH, metavar="SAE.toml", help="this application's file")
@store_options
@JSON
def command(sae_toml: Path | None, store: Path | None, tenant: str, as_json: bool) -> None:
    """Take in every dataset that stands in the application's inbox, with its receipt as provenance.

    \b
      poliqi lab store receive --sae sae.toml

    What is no dataset stays in the inbox, and so does what is refused: then the exit code is 1. With take_in = true
    in the table [lab] of SAE.toml the service (`poliqi sae run`) does this by itself, as things arrive.
    """
    from poliqi.apps.keysource import NoSite
    from poliqi.lab.store.arriving import Arriving, TakingIn
    from poliqi.ops.sae_toml import find_sae_file, load_sae

    records: list[dict[str, Any]] = []

    def tell(event: str, text: str, **more: Any) -> None:
        records.append({"event": event, "text": text, **more})

    settings, root = load_sae(find_sae_file(sae_toml)), open_store(store).root
    Arriving(settings, NoSite(), TakingIn(root, tenant, {}), tell).sweep()
    lines = [record["text"] for record in records]
    say(records, lines or [f"no dataset is in {settings.inbox}"], as_json=as_json)
    if any(record["event"] == "lab-refused" for record in records):
        sys.exit(1)
