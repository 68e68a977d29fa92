"""`poliqi lab store init`, `poliqi lab store tenant`."""

from __future__ import annotations

from pathlib import Path

import click

from poliqi.ops.commands.lab_store_open import JSON, PATH, open_store, say

__all__ = ["command", "tenant"]

_STORE = click.option("--store", type=PATH, envvar="POLIQI_LAB", metavar="ROOT", help="its folder (or POLIQI_LAB)")


@click.command()
@click.argument("root", type=PATH)
@click.option("--organisation", required=True, metavar="NAME", help='whose it is, such as "Politecnico di Milano"')
@click.option(
    "--tenant", "name", default="", metavar="NAME", help="short name of its own part (from --organisation)"
)
@JSON
def command(root: Path, organisation: str, name: str, as_json: bool) -> None:
    """Make a new store in the folder ROOT, private to this user.

    \b
      poliqi lab store init mylab --organisation "Politecnico di Milano"

    Limits of size are in ROOT/lab.toml.
    """
    from poliqi.lab.store.store import LabStore

    store = LabStore.create(root, organisation, name)
    own = store.settings.tenant
    record = {"store": str(root), "organisation": organisation, "tenant": own}
    say(record, [f"{root}: a store of {organisation}, whose own part is {own}"], as_json=as_json)


@click.group()
def tenant() -> None:
    """Organisations that keep data here, each with a catalogue and files of its own.

    \b
      poliqi lab store tenant add acme-coatings
      poliqi lab store add data/ --title "Coating 7" --tenant acme-coatings
    """


@tenant.command(name="add")
@click.argument("name")
@_STORE
@JSON
def add(name: str, store: Path | None, as_json: bool) -> None:
    """Make room for the organisation NAME: letters a to z, digits, -."""
    open_store(store).add_tenant(name)
    say({"tenant": name}, [f"tenant {name} has its own catalogue and files now"], as_json=as_json)


@tenant.command(name="list")
@_STORE
@JSON
def list_(store: Path | None, as_json: bool) -> None:
    """Name all tenants."""
    names = open_store(store).tenants()
    say(names, names, as_json=as_json)
