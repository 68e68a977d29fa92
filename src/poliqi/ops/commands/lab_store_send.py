"""`poliqi lab store send`: a dataset to another site, with all that it comes from."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from poliqi.ops.commands.lab_store_open import JSON, PATH, open_tenant, store_options

__all__ = ["command"]


@click.command()
@click.argument("dataset")
@click.argument("site")
@click.option("--sae", "sae_toml", type=PATH, metavar="SAE.toml", help="this application's file")
@click.option(
    "--for", "onward", default="", metavar="PEER", help="SITE is asked to send it on to this peer of its own"
)
@click.option("--one-time", is_flag=True, help="under one-time pad: as much key as there are bytes")
@click.option("--when-ready", is_flag=True, help="wait for key, as long as it takes")
@click.option(
    "--patience",
    "patience_s",
    type=click.FloatRange(0),
    default=600.0,
    show_default=True,
    help="seconds to try again while nothing gets through",
)
@store_options
@JSON
def command(
    dataset: str,
    site: str,
    sae_toml: Path | None,
    onward: str,
    one_time: bool,
    when_ready: bool,
    patience_s: float,
    store: Path | None,
    tenant: str,
    as_json: bool,
) -> None:
    """Send DATASET to SITE, another application, as an RO-Crate with its provenance. Prints the signed receipt.

    \b
      poliqi lab store send k4iaq4 Bovisa
      poliqi lab store send k4iaq4 Bovisa --for acme     Bovisa sends it on to a company that has no node

    The receipt, with key IDs, mode and epsilon, becomes part of the dataset's provenance at both ends. A lost
    connection is taken up again; after Ctrl-C the same command goes on from there.
    """
    import msgspec

    from poliqi.apps.dial import find_peer
    from poliqi.apps.keysource import keys_of
    from poliqi.apps.share.receipttext import receipt_lines
    from poliqi.lab.store.sending import send_dataset
    from poliqi.ops.commands.send import watched
    from poliqi.ops.sae_toml import find_sae_file, load_sae

    settings = load_sae(find_sae_file(sae_toml))
    peer, keys = find_peer(settings, site), keys_of(settings)
    progress, stop = watched(as_json)
    try:
        with open_tenant(store, tenant) as part:
            name = part.resolve(dataset)
            receipt = send_dataset(
                settings,
                keys,
                peer,
                part,
                name,
                progress,
                onward=onward,
                one_time=one_time,
                when_ready=when_ready,
                patience_s=patience_s,
            )
    except KeyboardInterrupt:
        click.echo("\npoliqi: stopped; run the same command again and it goes on from here", err=True)
        sys.exit(130)
    finally:
        stop()
        keys.close()
    if as_json:
        click.echo(json.dumps({**msgspec.to_builtins(receipt), "dataset": name}))
        return
    click.echo("\n".join([*receipt_lines(receipt), f"entered in the provenance of dataset {name}"]))
