"""`poliqi adapter`: quantum keys for WireGuard, strongSwan and stunnel, kept fresh."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from poliqi.base.errors import ConfigError

if TYPE_CHECKING:
    from poliqi.apps.adapters.events import Event
    from poliqi.apps.adapters.tables import AdapterSettings
    from poliqi.apps.adapters.tunnel import Tunnel
    from poliqi.apps.keysource import Key, KeySource
    from poliqi.apps.settings import SaeSettings
    from poliqi.edge.network import Address

__all__ = ["command"]

PATH: Final = click.Path(path_type=Path)
F = TypeVar("F", bound=Callable[..., Any])
SAE: Final = click.option("--sae", "sae_toml", type=PATH, metavar="SAE.toml", help="this application's file")


def _options(function: F) -> F:
    """What all three kinds take."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="a JSON record a line"),
        click.option("--shut", is_flag=True, help="let no session begin, and end"),
        click.option("--once", is_flag=True, help="bring one key into use, leave it in force, and end"),
        click.option("--every", metavar="TIME", help="from one key to the next, such as 120s (the table's)"),
        click.option("--name", metavar="NAME", help="which [adapter.NAME], where there are several"),
        click.option("--peer", metavar="SITE", help="the other end: an application or its place"),
        SAE,
    ):
        function = option(function)
    return function


@click.group()
def command() -> None:
    """Put quantum keys into software that you use already, and keep them fresh.

    The two ends agree on which key and when; only key_IDs travel. SAE.toml says what there is to do:

    \b
      [adapter.office]
      kind = "wireguard"
      peer = "Bovisa"
      interface = "wg0"
      public_key = "<WireGuard's public key of the other end>"

    The application whose name sorts first begins: `poliqi adapter wireguard` runs there. The other end answers in
    `poliqi sae run`, or with `listen = "HOST:PORT"` in its table in `poliqi adapter wireguard` there. Without a key
    no session begins, and a key is used no longer than 1.5 times --every.
    """


@command.command()
@_options
def wireguard(**options: Any) -> None:
    """Rotate WireGuard's preshared key. Needs to be allowed what `wg set` is.

    \b
      poliqi adapter wireguard --peer Bovisa --every 120s

    Tested with wireguard-go; the kernel's WireGuard takes the same commands and is UNTESTED.
    """
    _run("wireguard", **options)


@command.command()
@_options
def ipsec(**options: Any) -> None:
    """Rotate the postquantum preshared key (RFC 8784) of a strongSwan connection, by charon's vici socket.

    \b
      poliqi adapter ipsec --peer Bovisa --every 10min
    """
    _run("ipsec", **options)


@command.command()
@_options
def stunnel(**options: Any) -> None:
    """Rotate stunnel's PSKsecrets, through a FIFO and SIGHUP. Needs stunnel's user, or root.

    \b
      poliqi adapter stunnel --peer Bovisa --every 10min
    """
    _run("stunnel", **options)


@command.command()
@SAE
@click.option("--peer", required=True, metavar="SITE", help="the other end: an application or its place")
@click.option("--interface", required=True, help="the network interface, such as eth1")
@click.option("--key-id", metavar="ID", help="the key that the other end drew (a fresh one is drawn)")
@click.option("-o", "--out", type=PATH, required=True, metavar="FILE", help="this new file (mode 600)")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def macsec(sae_toml: Path | None, peer: str, interface: str, key_id: str | None, out: Path, as_json: bool) -> None:
    """Write a wpa_supplicant configuration for MACsec with a quantum key. UNTESTED: nothing here runs it.

    \b
      poliqi adapter macsec --peer Bovisa --interface eth1 -o macsec.conf                   at the one: tells ID
      poliqi adapter macsec --peer Leonardo --interface eth1 --key-id ID -o macsec.conf     at the other
    """
    from poliqi.apps.adapters.macsec import UNTESTED, write_macsec
    from poliqi.apps.adapters.software import KEY_BYTES
    from poliqi.apps.dial import find_peer
    from poliqi.apps.keygrade import KeyGrade

    settings = _load(sae_toml)
    other = find_peer(settings, peer)
    keys = _keys(settings)

    def draw() -> Key:
        found = keys.fresh(other.sae, 1, KEY_BYTES) if key_id is None else keys.named(other.sae, [key_id])
        return found[0]

    try:
        key = write_macsec(out, interface, draw, other.rule.demand)
    finally:
        keys.close()
    grade = KeyGrade.read(key.grade)
    record = {
        "file": str(out),
        "key_id": key.key_id,
        "grade": grade.name,
        "simulated": grade.is_simulated,
        "note": UNTESTED,
    }
    light = " of SIMULATED LIGHT, which protects nothing" if grade.is_simulated else ""
    click.echo(
        json.dumps(record) if as_json else f"{out}: key {key.key_id}, grade {grade.name}{light}. {UNTESTED}."
    )


def _run(
    kind: str,
    sae_toml: Path | None,
    peer: str | None,
    name: str | None,
    every: str | None,
    once: bool,
    shut: bool,
    as_json: bool,
) -> None:
    """Shut; or begin at the first end, answer at the second."""
    from poliqi.base.units import parse_quantity
    from poliqi.edge.folder import lock_folder, make_private_folder
    from poliqi.edge.memory import forbid_core_dumps

    forbid_core_dumps()
    settings = _load(sae_toml)
    adapter = _choose(settings, kind, peer, name)
    every_s = adapter.every_s if every is None else parse_quantity(every, "s", "--every")
    if not 1.0 <= every_s <= adapter.longest_s:
        raise ConfigError(f"--every {every!r}: from 1 s to the table's `longest`, {adapter.longest_s:g} s")
    tunnel = adapter.tunnel(lambda event: _say(event, as_json))
    if shut:
        try:
            tunnel.open()
        finally:
            tunnel.close()
        return
    if not adapter.is_first and adapter.listen is None:
        raise ConfigError(
            f"{settings.sae} sorts behind {adapter.peer.sae}, so it answers and does not begin: `poliqi sae run` "
            f'does that; or give [adapter.{adapter.name}] a `listen = "HOST:PORT"`'
        )
    folder = settings.state / "adapters" / adapter.name
    make_private_folder(folder)
    lock = lock_folder(folder, f"an adapter runs for {adapter.name} already; stop it first")
    try:
        if adapter.listen is None or adapter.is_first:
            _begin(settings, adapter, tunnel, every_s, once)
        else:
            _answer(settings, adapter.listen, tunnel, as_json)
    finally:
        os.close(lock)


def _begin(settings: SaeSettings, adapter: AdapterSettings, tunnel: Tunnel, every_s: float, once: bool) -> None:
    """Rotate until a signal, or once; that one key stays in force."""
    from poliqi.apps.adapters.messages import PURPOSE
    from poliqi.apps.adapters.rotator import Rotator
    from poliqi.apps.dial import dialling

    stop = _until_signal()
    keys = _keys(settings)
    dial = dialling(settings, keys)
    rotator = Rotator(tunnel, lambda: dial(adapter.peer, adapter.peer.rule, PURPOSE), keys, every_s)
    is_left_open = False
    try:
        tunnel.open()
        if once:
            rotator.once()
            is_left_open = True
        else:
            rotator.run(stop)
    finally:
        tunnel.close(is_left_open=is_left_open)
        keys.close()


def _answer(settings: SaeSettings, listen: Address, tunnel: Tunnel, as_json: bool) -> None:
    """Take up what the first names, at a door of this adapter's own, until a signal."""
    from poliqi.apps.adapters.service import RotationService
    from poliqi.node.sae import SaeDoor

    def say(event: str, text: str, **more: Any) -> None:
        _echo(json.dumps({"event": event, "text": text, **more}) if as_json else f"{event}: {text}")

    stop = _until_signal()
    keys = _keys(settings)
    door = SaeDoor(settings, keys, [RotationService([tunnel], keys)], say)
    try:
        tunnel.open()
        where = door.start(listen)
        say("listening", f"{tunnel.name}: {tunnel.peer} may call at {where}", address=str(where))
        stop.wait()
    finally:
        door.close()
        keys.close()


def _until_signal() -> threading.Event:
    """Set by SIGTERM and Ctrl-C."""
    stop = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    return stop


def _choose(settings: SaeSettings, kind: str, peer: str | None, name: str | None) -> AdapterSettings:
    """The one table that fits. Raises ConfigError."""
    from poliqi.apps.adapters.tables import read_adapters
    from poliqi.apps.dial import find_peer
    from poliqi.edge.entropy import OperatingSystemEntropy

    sae = None if peer is None else find_peer(settings, peer).sae
    found = [
        adapter
        for adapter in read_adapters(settings, OperatingSystemEntropy())
        if adapter.kind == kind and name in (None, adapter.name) and sae in (None, adapter.peer.sae)
    ]
    if len(found) == 1:
        return found[0]
    names = ", ".join(adapter.name for adapter in found)
    remedy = (
        f"there are {names}: name one with --name" if found else "docs/reference/adapter.md shows how to write one"
    )
    raise ConfigError(f"{settings.file}: {len(found)} tables [adapter.NAME] of kind {kind!r} fit; {remedy}")


def _say(event: Event, as_json: bool) -> None:
    _echo(json.dumps(event.record()) if as_json else event.line())


def _echo(line: str) -> None:
    # a full disk or a reader that went away must not stop the rotation
    with suppress(OSError):
        click.echo(line)
        sys.stdout.flush()


def _load(sae_toml: Path | None) -> SaeSettings:
    from poliqi.ops.sae_toml import find_sae_file, load_sae

    return load_sae(find_sae_file(sae_toml))


def _keys(settings: SaeSettings) -> KeySource:
    from poliqi.apps.keysource import keys_of

    return keys_of(settings)
