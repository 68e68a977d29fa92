"""`poliqi sae`: set up an application, run its service, look whether everything is in place."""

from __future__ import annotations

import importlib
import json
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from poliqi.base.errors import ConfigError, PoliqiError

if TYPE_CHECKING:
    from poliqi.apps.settings import Peer, SaeSettings

__all__ = ["command"]

PATH: Final = click.Path(path_type=Path)
THERE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
FILE: Final = click.argument("sae_toml", metavar="[SAE.toml]", type=PATH, required=False)
JSON: Final = click.option("--json", "as_json", is_flag=True, help="print JSON")


@click.group()
def command() -> None:
    """An application of a site: it gets keys there and opens encrypted streams to other applications.

    \b
      poliqi sae new bank-leonardo --site https://kme:8443 --certificate c.pem --key k.pem --authority ca.pem
      poliqi sae new acme --without-site      a company without a node: post-quantum keys only
      poliqi sae contact                      the line for the others; bring theirs with: poliqi sae meet FILE
      poliqi sae check                        is everything there? are there keys?
      poliqi sae run                          inbox, messages, tunnels, pages

    Without SAE.toml, the file is that of $POLIQI_SAE, or sae.toml in the folder where you are.
    """


@command.command()
@click.argument("name")
@click.option("--site", "url", metavar="URL", help="the own site's ETSI 014 door: https://HOST:PORT")
@click.option("--certificate", type=THERE, help="of this application, from the site (PEM)")
@click.option("--key", type=THERE, help="its private key (PEM)")
@click.option("--authority", type=THERE, help="of the site (PEM)")
@click.option("--without-site", is_flag=True, help="no site, so no quantum key: post-quantum streams only")
@click.option("--folder", type=PATH, default=Path(), help="where the files go (here)")
@click.option(
    "--data", type=PATH, metavar="FOLDER", help="where what it remembers and what it is sent go (--folder)"
)
@click.option("--listen", metavar="HOST:PORT", default="0.0.0.0:8460", show_default=True, help="for applications")
@click.option("--web", metavar="HOST:PORT", default="127.0.0.1:8461", show_default=True, help="for people")
@JSON
def new(
    name: str,
    url: str | None,
    certificate: Path | None,
    key: Path | None,
    authority: Path | None,
    without_site: bool,
    folder: Path,
    data: Path | None,
    listen: str,
    web: str,
    as_json: bool,
) -> None:
    """Make an identity and a sae.toml for the application NAME, as its certificate names it; overwrite nothing."""
    from poliqi.apps.identity import Identity
    from poliqi.base.ids import SaeId
    from poliqi.edge.durable import write_new
    from poliqi.edge.entropy import OperatingSystemEntropy
    from poliqi.edge.folder import make_private_folder
    from poliqi.ops.sae_toml import read_sae

    site = _site_lines(url, {"certificate": certificate, "key": key, "authority": authority}, without_site)
    target = folder / "sae.toml"
    if target.exists():
        raise ConfigError(f"{target} exists already and is never overwritten; name another --folder")
    make_private_folder(folder / "contacts")
    identity = Identity.make(SaeId(name), OperatingSystemEntropy())
    identity.write(folder / "identity.key")
    (folder / f"{name}.pub").write_text(identity.contact.text(), encoding="utf-8")
    state, inbox = ("state", "inbox") if data is None else (f"{data.absolute()}/{n}" for n in ("state", "inbox"))
    text = "\n".join(
        [
            f"# Application {name}. docs/reference/sae-toml.md lists every key.",
            'identity = "identity.key"',
            f"state = {json.dumps(state)}",
            *site,
            "",
            "[listen]",
            f"streams = {json.dumps(listen)}",
            f"web = {json.dumps(web)}",
            "",
            "[inbox]",
            f"folder = {json.dumps(inbox)}",
            "",
            "[web]",
            'local_role = "viewer"             # "operator": who uses this machine may send and take out',
            "",
        ]
    )
    read_sae(text, target)
    write_new(target, text.encode(), 0o644)
    record = {"sae": name, "file": str(target), "contact": str(folder / f"{name}.pub")}
    said = (
        f"{target} is ready. Give {record['contact']} to the other applications and read its fingerprint out:\n"
        f"  {identity.contact.fingerprint}\n"
        "and bring theirs with `poliqi sae meet`."
    )
    click.echo(json.dumps({**record, "fingerprint": identity.contact.fingerprint}) if as_json else said)


def _site_lines(url: str | None, files: dict[str, Path | None], without_site: bool) -> list[str]:
    """The policy, and the table [site] where there is one. Raises ConfigError."""
    missing = [f"--{word}" for word, path in {"site": url, **files}.items() if path is None]
    if without_site:
        if len(missing) <= len(files):
            raise ConfigError("--without-site goes without --site, --certificate, --key and --authority")
        return ['policy = "pqc"                     # NO QUANTUM KEY: there is no site; post-quantum keys alone']
    if missing:
        raise ConfigError(
            f"{', '.join(missing)}: missing; the site gives them (`poliqi pki issue --sae`). An application that "
            "has no site is made with --without-site"
        )
    return [
        'policy = "strict"                  # no quantum key, no stream; also: hybrid, pqc-fallback',
        "",
        "[site]",
        f"url = {json.dumps(url)}",
        *(f"{word} = {json.dumps(str(path.absolute()))}" for word, path in files.items() if path is not None),
    ]


@command.command()
@click.argument("contact", type=THERE)
@click.option("--sae", "sae_toml", type=PATH, metavar="SAE.toml", help="this application's file")
@click.option("--place", metavar="NAME", help="what people call it, such as Bovisa")
@click.option("--address", metavar="HOST:PORT", help="where its service listens; left out where it only calls")
@click.option("--yes", is_flag=True, help="its fingerprint was compared already")
@JSON
def meet(
    contact: Path, sae_toml: Path | None, place: str | None, address: str | None, yes: bool, as_json: bool
) -> None:
    """Take up another application's CONTACT file (NAME.pub). Compare its fingerprint by voice first."""
    from poliqi.apps.identity import read_contact
    from poliqi.edge.network import parse_address
    from poliqi.ops.sae_toml import find_sae_file, read_sae

    where = find_sae_file(sae_toml)
    other = read_contact(contact)
    if address is not None:
        parse_address(address, "--address")
    if not yes:
        click.echo(f"{other.sae} says that its fingerprint is\n  {other.fingerprint}", err=True)
        click.confirm("Is it the one that they read out?", abort=True, err=True)
    folder = where.absolute().parent / "contacts"
    folder.mkdir(mode=0o700, exist_ok=True)
    kept = folder / f"{other.fingerprint[:16]}.pub"
    kept.write_text(other.text(), encoding="utf-8")
    lines = ["", "[[peer]]", f"contact = {json.dumps(f'contacts/{kept.name}')}    # {json.dumps(other.sae)}"]
    lines += [f"place = {json.dumps(place)}"] if place else []
    lines += [f"address = {json.dumps(address)}"] if address else []
    text = where.read_text(encoding="utf-8") + "\n".join(lines) + "\n"
    read_sae(text, where)
    draft = where.with_name(f".{where.name}.new")
    draft.write_text(text, encoding="utf-8")
    draft.replace(where)
    record = {"sae": other.sae, "fingerprint": other.fingerprint, "file": str(where)}
    said = f"{other.sae} is a peer in {where}; a running service takes it up with `poliqi sae reload`"
    click.echo(json.dumps(record) if as_json else said)


@command.command()
@FILE
@JSON
def contact(sae_toml: Path | None, as_json: bool) -> None:
    """Print this application's contact file, for the others; on stderr its fingerprint, to be read out."""
    own = _load(sae_toml).identity.contact
    if as_json:
        click.echo(json.dumps({"sae": own.sae, "fingerprint": own.fingerprint, "contact": own.text()}))
    else:
        click.echo(own.text(), nl=False)
        click.echo(f"fingerprint {own.fingerprint}", err=True)


@command.command()
@FILE
@JSON
def check(sae_toml: Path | None, as_json: bool) -> None:
    """Read the file, ask the site for the stock towards every peer, knock at every peer's door; take no key."""
    from datetime import UTC, datetime

    from poliqi.edge.expiry import Urgency
    from poliqi.node.sae_figures import certificate_line
    from poliqi.ops.sae_services import checked

    settings = checked(_load(sae_toml))
    certificate, urgency = certificate_line(settings, datetime.now(UTC))
    rows = [_look(settings, sae) for sae in settings.peers]
    bad = [row for row in rows if row["problem"]]
    if as_json:
        click.echo(json.dumps({"sae": settings.sae, "certificate": certificate, "urgency": urgency, "peers": rows}))
    else:
        where = "without a site" if settings.site is None else f"at {settings.site.url}"
        click.echo(f"{settings.sae} {where}: {len(rows)} peers")
        click.echo(f"  {'' if urgency is Urgency.OK else 'WARNING: '}{certificate}")
        for row in rows:
            stock = "" if row["available_bytes"] is None else f"{row['available_bytes'] / 1e6:.3f} MB of key"
            stock = "NO QUANTUM KEY, post-quantum keys alone" if row["policy"] == "pqc" else stock
            click.echo(f"  {row['place']:<20} {row['policy']:<13} {row['problem'] or stock}")
    sys.exit(1 if bad or not rows or urgency is Urgency.OVER else 0)


def _look(settings: SaeSettings, name: str) -> dict[str, Any]:
    import socket

    from poliqi.apps.stream.terms import Policy
    from poliqi.base.ids import SaeId

    peer = settings.peers[SaeId(name)]
    available: int | None = None
    problem = ""
    try:
        if peer.rule.policy is not Policy.PQC:
            available, problem = _stock(settings, peer)
        if peer.address is not None:
            socket.create_connection((peer.address.host, peer.address.port), timeout=3.0).close()
    except OSError as error:
        problem = f"{peer.address} does not answer: {error.strerror or error}"
    except PoliqiError as error:
        problem = str(error)
    return {
        "sae": peer.sae,
        "place": peer.place,
        "policy": peer.rule.policy.value,
        "available_bytes": available,
        "problem": problem,
    }


def _stock(settings: SaeSettings, peer: Peer) -> tuple[int, str]:
    keys = _keys(settings)
    try:
        supply = keys.supply(peer.sae)
    finally:
        keys.close()
    if not supply.is_connected:
        return supply.available_bytes, "its site cannot be reached from the own one"
    return supply.available_bytes, "" if supply.available_bytes else "no key in stock"


@command.command()
@click.argument("sae_toml", metavar="[SAE.toml]...", type=PATH, nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="a JSON record a line")
def run(sae_toml: tuple[Path, ...], as_json: bool) -> None:
    """Run the application's service until SIGTERM or Ctrl-C. SIGHUP reads contacts and rules again.

    Several files: one process for each, named by its folder.
    """

    def say(record: dict[str, Any]) -> None:
        # a full disk or a reader that went away must not stop the service
        with suppress(OSError):
            text = f"{record.get('application', '')} {record.get('event')}: {record.get('text')}".lstrip()
            click.echo(json.dumps(record, default=str) if as_json else text)

    try:
        if len(sae_toml) > 1:
            from poliqi.node.saefork import serve_applications

            for name in ("poliqi.ops.sae_pages", "poliqi.ops.sae_services"):  # so that all share them in memory
                importlib.import_module(name)
            serve_applications({path.absolute().parent.name: partial(_serve, path) for path in sae_toml}, say)
        else:
            _serve(sae_toml[0] if sae_toml else None, say)
    except KeyboardInterrupt:
        sys.exit(130)


def _serve(sae_toml: Path | None, say: Callable[[dict[str, Any]], None]) -> None:
    from poliqi.node.sae import run_sae
    from poliqi.node.sae_figures import SaeFigures
    from poliqi.ops.sae_services import checked, services_of, surround
    from poliqi.ops.sae_toml import load_sae

    settings = checked(_load(sae_toml))
    keys = _keys(settings)
    figures = SaeFigures(settings)

    def told(record: dict[str, Any]) -> None:
        figures.count(record)
        say(record)

    services = services_of(settings, keys, told)
    around = surround(settings, keys, told, figures)
    run_sae(settings, keys, services, told, lambda: checked(load_sae(settings.file)), around)


@command.command()
@FILE
@JSON
def reload(sae_toml: Path | None, as_json: bool) -> None:
    """Have the running service read contacts and rules again (SIGHUP)."""
    from poliqi.edge.running import signal_running

    settings = _load(sae_toml)
    pid = signal_running(settings.state, signal.SIGHUP, "poliqi sae run")
    record = {"pid": pid, "signal": "SIGHUP", "peers": len(settings.peers)}
    click.echo(json.dumps(record) if as_json else f"process {pid} reads {settings.file} again: see its log")


def _load(sae_toml: Path | None) -> SaeSettings:
    from poliqi.ops.sae_toml import find_sae_file, load_sae

    return load_sae(find_sae_file(sae_toml))


def _keys(settings: SaeSettings) -> Any:
    from poliqi.apps.keysource import keys_of

    return keys_of(settings)
