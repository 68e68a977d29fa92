"""`poliqi lab access init`, `tenant`, `user`, `training`."""

from __future__ import annotations

from pathlib import Path

import click

from poliqi.ops.commands.lab_access_open import JSON, PATH, access_options, open_facility, say

__all__ = ["init", "tenant", "training", "user"]


@click.command()
@click.argument("root", type=PATH)
@click.option("--tenant", "name_of_tenant", required=True, metavar="NAME", help="short name of the institute")
@click.option("--legal-name", required=True, help="its name on invoices")
@click.option("--address", default="", help="its address on invoices")
@click.option("--operator", required=True, metavar="LOGIN", help="login of the first operator")
@click.option("--name", required=True, help="the operator's name")
@JSON
def init(
    root: Path, name_of_tenant: str, legal_name: str, address: str, operator: str, name: str, as_json: bool
) -> None:
    """Make the facility of the laboratory in ROOT; a store that stands there stays as it is.

    \b
      poliqi lab access init mylab --tenant polimi --legal-name Polimi --operator ada --name "Ada Rossi"
    """
    from poliqi.lab.facility.facility import Facility

    made = Facility.create(
        root, tenant=name_of_tenant, legal_name=legal_name, address=address, login=operator, name=name
    )
    made.close()
    record = {"root": str(root), "tenant": name_of_tenant, "operator": operator}
    say(record, [f"{root}: a facility of {legal_name}, run by {operator}"], as_json=as_json)


@click.group()
def tenant() -> None:
    """Institutes and companies; names as in the store.

    \b
      poliqi lab access tenant add acme company --legal-name "ACME S.r.l." --address "Via Po 1, Torino"
    """


@tenant.command(name="add")
@click.argument("name")
@click.argument("category", type=click.Choice(["own", "academic", "company"]))
@click.option("--legal-name", required=True, help="its name on invoices")
@click.option("--address", default="", help="its address on invoices")
@access_options
def add_tenant(
    name: str, category: str, legal_name: str, address: str, store: Path | None, login: str | None, as_json: bool
) -> None:
    """Enter the institute or company NAME. CATEGORY says which tariffs it pays and whose hours are commercial."""
    from poliqi.lab.facility.records import Category

    facility, by = open_facility(store, login)
    with facility:
        made = facility.people.add_tenant(name, Category(category), legal_name, address=address, by=by)
    record = {"tenant": made.name, "category": made.category.value, "legal_name": made.legal_name}
    say(record, [f"tenant {made.name}: {made.legal_name}, {made.category.value}"], as_json=as_json)


@tenant.command(name="list")
@access_options
def list_tenants(store: Path | None, login: str | None, as_json: bool) -> None:
    """Name all tenants."""
    import msgspec

    facility, by = open_facility(store, login)
    with facility:
        facility.people.operator(by)
        found = facility.people.tenants()
    lines = [f"{one.name:<20} {one.category.value:<9} {one.legal_name}" for one in found]
    say(msgspec.to_builtins(found), lines, as_json=as_json)


@click.group()
def user() -> None:
    """People with a login.

    \b
      poliqi lab access user add ugo --name "Ugo Bo" --tenant acme
      poliqi lab access user close ugo
    """


@user.command(name="add")
@click.argument("who", metavar="LOGIN")
@click.option("--name", required=True, help="as others see it")
@click.option("--tenant", "of", required=True, metavar="NAME", help="whose they are")
@click.option("--operator", is_flag=True, help="runs the facility and sees every tenant; own institutes only")
@access_options
def add_user(
    who: str, name: str, of: str, operator: bool, store: Path | None, login: str | None, as_json: bool
) -> None:
    """Enter the person LOGIN."""
    import msgspec

    from poliqi.lab.facility.records import Role

    facility, by = open_facility(store, login)
    with facility:
        role = Role.OPERATOR if operator else Role.MEMBER
        made = facility.people.add_user(who, name, of, role, by=by)
    say(
        msgspec.to_builtins(made),
        [f"{made.login}: {made.name}, {made.role.value} of {made.tenant}"],
        as_json=as_json,
    )


@user.command(name="close")
@click.argument("who", metavar="LOGIN")
@access_options
def close_user(who: str, store: Path | None, login: str | None, as_json: bool) -> None:
    """LOGIN has left: may do nothing any more. What they made stays, also the time that they have booked."""
    import time

    import msgspec

    facility, by = open_facility(store, login)
    with facility:
        made = facility.people.close_user(who, by=by)
        held = facility.bookings.between(int(time.time()), 1 << 40, by)
    ahead = [one.id for one in held if one.login == made.login and one.cancelled_s is None]
    lines = [f"{made.login} is closed"]
    if ahead:
        lines.append(
            f"{len(ahead)} bookings of {made.login} still stand: `poliqi lab access calendar` shows them, "
            "`poliqi lab access cancel BOOKING` frees their time"
        )
    say(msgspec.to_builtins(made) | {"bookings_ahead": ahead}, lines, as_json=as_json)


@user.command(name="list")
@access_options
def list_users(store: Path | None, login: str | None, as_json: bool) -> None:
    """Name all people."""
    import msgspec

    facility, by = open_facility(store, login)
    with facility:
        facility.people.operator(by)
        found = facility.people.users()
    lines = [
        f"{one.login:<20} {one.tenant:<20} {one.role.value:<9} {one.name}{' (closed)' if one.is_closed else ''}"
        for one in found
    ]
    say(msgspec.to_builtins(found), lines, as_json=as_json)


@click.group()
def training() -> None:
    """Leave to use an instrument, up to a day. A booking is refused unless it ends while the training is valid.

    \b
      poliqi lab access training give ugo xeuss --until 2027-12-31
    """


@training.command()
@click.argument("who", metavar="LOGIN")
@click.argument("instrument")
@click.option("--until", required=True, metavar="YYYY-MM-DD", help="the last day on which it is valid")
@access_options
def give(who: str, instrument: str, until: str, store: Path | None, login: str | None, as_json: bool) -> None:
    """LOGIN may use INSTRUMENT; the newest word counts."""
    import msgspec

    from poliqi.lab.facility.localtime import parse_day

    facility, by = open_facility(store, login)
    with facility:
        made = facility.people.add_training(who, instrument, parse_day(until, "--until"), by=by)
    say(msgspec.to_builtins(made), [f"{who} may use {instrument} until {made.last_day}"], as_json=as_json)


@training.command()
@click.argument("who", metavar="LOGIN")
@click.argument("instrument")
@access_options
def withdraw(who: str, instrument: str, store: Path | None, login: str | None, as_json: bool) -> None:
    """LOGIN may not use INSTRUMENT any more."""
    import msgspec

    facility, by = open_facility(store, login)
    with facility:
        made = facility.people.withdraw_training(who, instrument, by=by)
    say(msgspec.to_builtins(made), [f"{who} may not use {instrument} any more"], as_json=as_json)


@training.command(name="list")
@click.argument("who", metavar="LOGIN")
@access_options
def list_trainings(who: str, store: Path | None, login: str | None, as_json: bool) -> None:
    """What LOGIN may use, and until when."""
    import msgspec

    facility, by = open_facility(store, login)
    with facility:
        if who != by.login:
            facility.people.operator(by)
        found = facility.people.trainings(facility.user(who).login)
    lines = [f"{one.instrument:<20} until {one.last_day}" for one in found]
    say(msgspec.to_builtins(found), lines or ["no training"], as_json=as_json)
