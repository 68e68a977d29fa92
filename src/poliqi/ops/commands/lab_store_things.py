"""`poliqi lab store sample`, `poliqi lab store instrument`."""

from __future__ import annotations

from pathlib import Path

import click

from poliqi.ops.commands.lab_store_open import JSON, open_tenant, say, store_options

__all__ = ["instrument", "sample"]


@click.group()
def sample() -> None:
    """Things that are measured.

    \b
      poliqi lab store sample add AgBh-3 --note batch=2026-11 --note thickness_mm=0.2
    """


@sample.command(name="add")
@click.argument("name")
@click.option("--description", default="", help="in words")
@click.option("--note", "notes", multiple=True, metavar="KEY=VALUE", help="a property, with its unit; repeatable")
@store_options
@JSON
def add_sample(
    name: str, description: str, notes: tuple[str, ...], store: Path | None, tenant: str, as_json: bool
) -> None:
    """Enter the sample NAME."""
    import msgspec

    from poliqi.base.errors import ConfigError

    properties = dict[str, str]()
    for note in notes:
        key, equals, value = note.partition("=")
        if not (key and equals) or key in properties:
            raise ConfigError(f"--note {note[:60]!r}: write KEY=VALUE, each key once")
        properties[key] = value
    with open_tenant(store, tenant) as part:
        made = part.add_sample(name, description, properties)
    say(msgspec.to_builtins(made), [f"sample {made.name} is {made.id}"], as_json=as_json)


@sample.command(name="list")
@store_options
@JSON
def list_samples(store: Path | None, tenant: str, as_json: bool) -> None:
    """Name all samples."""
    import msgspec

    with open_tenant(store, tenant) as part:
        found = part.samples()
    lines = [
        f"{one.id[:8]}  {one.name}  {' '.join(f'{key}={value}' for key, value in one.properties.items())}".rstrip()
        for one in found
    ]
    say(msgspec.to_builtins(found), lines or ["no sample yet"], as_json=as_json)


@click.group()
def instrument() -> None:
    """Devices that measure.

    \b
      poliqi lab store instrument add Xeuss --place "SAXS laboratory, room 12"
    """


@instrument.command(name="add")
@click.argument("name")
@click.option("--description", default="", help="in words")
@click.option("--place", default="", help="where it stands")
@store_options
@JSON
def add_instrument(name: str, description: str, place: str, store: Path | None, tenant: str, as_json: bool) -> None:
    """Enter the instrument NAME."""
    import msgspec

    with open_tenant(store, tenant) as part:
        made = part.add_instrument(name, description, place)
    say(msgspec.to_builtins(made), [f"instrument {made.name} is {made.id}"], as_json=as_json)


@instrument.command(name="list")
@store_options
@JSON
def list_instruments(store: Path | None, tenant: str, as_json: bool) -> None:
    """Name all instruments."""
    import msgspec

    with open_tenant(store, tenant) as part:
        found = part.instruments()
    lines = [f"{one.id[:8]}  {one.name}  {one.place}".rstrip() for one in found]
    say(msgspec.to_builtins(found), lines or ["no instrument yet"], as_json=as_json)
