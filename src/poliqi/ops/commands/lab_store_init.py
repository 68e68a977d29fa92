"""`poliqi lab store init`, `poliqi lab store tenant`."""

from __future__ import annotations

from pathlib import Path

import click

from poliqi.ops.commands.lab_store_open import JSON, PATH, open_store, root_option, say

__all__ = ["command", "tenant"]

_STORE = root_option("its folder")


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

    _check_facility(root, name)
    store = LabStore.create(root, organisation, name)
    own = store.settings.tenant
    record = {"store": str(root), "organisation": organisation, "tenant": own}
    say(record, [f"{root}: a store of {organisation}, whose own part is {own}"], as_json=as_json)


def _check_facility(root: Path, name: str) -> None:
    """Where a facility stands there already, the store is its own institute's. Raises ConfigError, StoreError."""
    from poliqi.base.errors import ConfigError
    from poliqi.lab.facility.database import DATABASE_NAME
    from poliqi.lab.facility.facility import Facility
    from poliqi.lab.facility.records import Category

    if not (root / DATABASE_NAME).is_file():
        return
    with Facility.open(root) as facility:
        own = [one.name for one in facility.people.tenants() if one.category is Category.OWN]
    if name not in own:
        said = f"{name!a:.40} is" if name else "without --tenant it is"
        raise ConfigError(
            f"{root} is a facility of {', '.join(own)}, and {said} none of them: give --tenant {own[0]}"
        )


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
