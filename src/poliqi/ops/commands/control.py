"""`poliqi control`: run a city's controller, ask it, read its reports, make tokens for its dashboard."""

from __future__ import annotations

import json
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from poliqi.control.city import City
    from poliqi.node.control import ControllerSettings

__all__ = ["command"]

FILE: Final = click.argument("control_toml", metavar="CONTROL.toml", type=click.Path(path_type=Path))
JSON: Final = click.option("--json", "as_json", is_flag=True, help="print JSON")


@click.group()
def command() -> None:
    """Run the controller of a city: it routes keys around what fails, says why, and shows the city on a page.

    It never sees a key. While it is away the sites go on serving keys by the routes that they have.
    """


@command.command()
@FILE
@click.option("--json", "as_json", is_flag=True, help="a JSON record a line")
def run(control_toml: Path, as_json: bool) -> None:
    """Run the controller until SIGTERM or Ctrl-C. SIGHUP reads the plan, certificates and trust again."""
    from poliqi.node.control import run_controller
    from poliqi.ops.control_room import surround
    from poliqi.ops.control_toml import load_controller

    def say(record: dict[str, Any]) -> None:
        # a full disk or a reader that went away must not stop the controller
        with suppress(OSError):
            line = json.dumps(record, default=str) if as_json else f"{record.get('event')}: {record.get('text')}"
            click.echo(line)

    settings, city = _load(control_toml)
    file = load_controller(control_toml)
    try:
        run_controller(settings, city, say, lambda: _load(control_toml), lambda room: surround(file, room))
    except KeyboardInterrupt:
        sys.exit(130)


def _load(control_toml: Path) -> tuple[ControllerSettings, City]:
    from poliqi.ops.city_toml import load_city
    from poliqi.ops.control_toml import load_controller

    file = load_controller(control_toml)
    return file.settings, load_city(file.city).city


@command.command()
@FILE
@JSON
def check(control_toml: Path, as_json: bool) -> None:
    """Read CONTROL.toml, the plan, the certificates and the trust in every site, and change nothing."""
    from poliqi.edge.credentials import read_credentials
    from poliqi.edge.sitetrust import read_trust

    settings, city = _load(control_toml)
    found = read_credentials(settings.certificate, settings.key).identity
    trusted = read_trust(settings.trust).sites
    wrong = [f"{settings.certificate} speaks for {found.name}, not for {settings.controller}"]
    wrong = [] if found.kme == settings.controller else wrong
    wrong += [
        f"{settings.trust}: no authority for {site}; bring it with `poliqi pki trust`"
        for site in sorted(site for site in city.site if site not in trusted)
    ]
    record = {"controller": settings.controller, "city": city.name, "sites": len(city.sites), "failures": wrong}
    well = (
        f"{city.name}: {len(city.sites)} sites; files and trust are in order. Ask the running city with "
        f"`poliqi control status {control_toml}`"
    )
    click.echo(json.dumps(record) if as_json else "\n".join(wrong or [well]))
    sys.exit(1 if wrong else 0)


@command.command()
@FILE
@JSON
def status(control_toml: Path, as_json: bool) -> None:
    """Ask the running controller how the city is, at its `listen.status`."""
    from poliqi.ops.commands.site import ask_status, outline

    settings, _ = _load(control_toml)
    answer = ask_status(settings.status.host, settings.status.port)
    click.echo(json.dumps(answer) if as_json else "\n".join(outline(answer)))
    sys.exit(3 if answer.get("ready") is False else 0)


@command.command()
@FILE
@JSON
def reload(control_toml: Path, as_json: bool) -> None:
    """Have the running controller read plan, certificates and trust again (SIGHUP), as when a site joins."""
    from poliqi.edge.running import signal_running

    settings, city = _load(control_toml)
    pid = signal_running(settings.state, signal.SIGHUP)
    record = {"pid": pid, "signal": "SIGHUP", "sites": len(city.sites)}
    click.echo(json.dumps(record) if as_json else f"process {pid} reads {city.name} again: see its log")


@command.command()
@FILE
@click.option("--month", metavar="YYYY-MM", default=None, help="which month (UTC); the present one by default")
@click.option("--language", type=click.Choice(["en", "it"]), default="en")
@JSON
def report(control_toml: Path, month: str | None, language: str, as_json: bool) -> None:
    """How available each demand and link was in a month, and how much key it had, against the service level.

    From the controller's log, whether it runs or not; time in which it was away counts as unknown. Exit code 1
    where the service level of a demand was missed.
    """
    import time
    from datetime import UTC, datetime

    from poliqi.base.errors import DataRefused
    from poliqi.control.events import Language
    from poliqi.control.reporttext import report_lines
    from poliqi.control.servicelevel import report_json
    from poliqi.ops.month_report import read_report
    from poliqi.ops.web.month import MonthName

    settings, city = _load(control_toml)
    name = month or f"{datetime.now(UTC):%Y-%m}"
    wanted = MonthName.read(name, 0.0)
    if wanted is None:
        raise click.BadParameter(f"{name!r}: write it as 2026-11", param_hint="--month")
    found = read_report(settings.state, city, wanted.year, wanted.month, time.time_ns())
    if found is None:
        raise DataRefused(f"the log in {settings.state} says nothing of {name}: has the controller run then?")
    text = report_json(found).decode() if as_json else "\n".join(report_lines(found, Language(language)))
    click.echo(text)
    sys.exit(1 if any(found.is_met(line) is False for line in found.demands) else 0)


@command.command(name="take-charge")
@FILE
@JSON
def take_charge(control_toml: Path, as_json: bool) -> None:
    """Have the running controller give orders again, after it met another one and that was stopped (SIGUSR1).

    Two controllers of one city never give orders both: the one that the sites met later does. Stop that one first.
    """
    from poliqi.edge.running import signal_running

    settings, _ = _load(control_toml)
    pid = signal_running(settings.state, signal.SIGUSR1)
    click.echo(json.dumps({"pid": pid, "signal": "SIGUSR1"}) if as_json else f"process {pid} takes charge")


@command.command()
@click.argument("name")
@click.option("--role", type=click.Choice(["viewer", "operator", "security-officer", "lab-user"]), default="viewer")
@JSON
def token(name: str, role: str, as_json: bool) -> None:
    """Make a token by which NAME logs in to the dashboard, and the lines for the file of tokens.

    The token is shown this once; the file holds only its hash.
    """
    from poliqi.ops.web.roles import Role
    from poliqi.ops.web.settings import new_token

    made, lines = new_token(name, Role(role))
    text = f"token for {name}, to be handed over and not kept:\n{made}\n\nfor the file of tokens:\n{lines}"
    click.echo(json.dumps({"token": made, "lines": lines}) if as_json else text)
