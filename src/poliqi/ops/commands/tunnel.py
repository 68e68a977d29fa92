"""`poliqi tunnel`: any TCP application, or a whole network, over encrypted streams to another site."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from poliqi.base.errors import ConfigError

if TYPE_CHECKING:
    from poliqi.apps.keysource import KeySource
    from poliqi.apps.settings import Peer, SaeSettings
    from poliqi.apps.tunnel.device import Interface
    from poliqi.apps.tunnel.lines import Answerer, Caller
    from poliqi.apps.tunnel.settings import Forward

__all__ = ["command"]

_MTU: Final = click.IntRange(1280, 65535)


@click.command()
@click.option("--sae", "sae_toml", type=click.Path(path_type=Path), metavar="SAE.toml", help="this application")
@click.option("--listen", metavar="HOST:PORT", help="take an application's TCP connections here ...")
@click.option("--to", "destination", metavar="SITE:NAME", help="... and carry them to this target of that peer")
@click.option("--tun", "device", metavar="NAME", help="carry packets of this TUN device (CAP_NET_ADMIN)")
@click.option("--peer", "place", metavar="SITE", help="the other end of --tun")
@click.option("--call", "called", metavar="HOST:PORT", help="where that other end answers ...")
@click.option("--answer", "answered", metavar="HOST:PORT", help="... or: answer its call here")
@click.option("--address", metavar="IP/BITS", help="the device's own address and the tunnel's network")
@click.option("--route", "routes", multiple=True, metavar="NETWORK", help="lies behind the peer; repeatable")
@click.option("--mtu", type=_MTU, default=1500, show_default=True, help="of the device")
@click.option("--offloads/--no-offloads", default=True, show_default=True, help="64 KiB segments from the kernel")
@click.option("--check", is_flag=True, help="say what --tun needs and whether it is there, and end")
@click.option("--json", "as_json", is_flag=True, help="a JSON record a line")
def command(
    sae_toml: Path | None,
    listen: str | None,
    destination: str | None,
    device: str | None,
    place: str | None,
    called: str | None,
    answered: str | None,
    address: str | None,
    routes: tuple[str, ...],
    mtu: int,
    offloads: bool,
    check: bool,
    as_json: bool,
) -> None:
    """Carry any TCP application, or whole networks, to another site, encrypted with quantum keys.

    One application, without root; Bovisa's sae.toml names the target "sftp", and who may reach it:

    \b
      poliqi tunnel --listen 127.0.0.1:2222 --to Bovisa:sftp
      sftp -P 2222 127.0.0.1

    Without --listen and --to, every [[tunnel.forward]] of the file is carried. Bovisa runs `poliqi sae run`.

    A network, by a TUN device; the one side answers, the other calls:

    \b
      poliqi tunnel --tun poliqi0 --address 10.9.0.2/24 --peer Leonardo --answer 0.0.0.0:8462     at Bovisa
      poliqi tunnel --tun poliqi0 --address 10.9.0.1/24 --peer Bovisa --call bovisa:8462          at Leonardo

    Nothing ever leaves in clear: without a key, connections are reset and packets dropped, and the log says when
    key will be there. Ctrl-C or SIGTERM ends it.
    """
    if check:
        _check(as_json)
        return
    from poliqi.apps.keysource import keys_of
    from poliqi.edge.memory import forbid_core_dumps
    from poliqi.ops.sae_toml import find_sae_file, load_sae

    proxy, network = {"--listen": listen, "--to": destination}, {"--peer": place, "--call": called}
    network |= {"--answer": answered, "--address": address, "--route": routes or None}
    _no_others(device, proxy, network)
    settings = load_sae(find_sae_file(sae_toml))
    say = _printer(as_json)
    forbid_core_dumps()
    keys = keys_of(settings)
    try:
        if device is None:
            _carry_connections(settings, keys, _forwards(settings, listen, destination), say)
        else:
            peer, interface = _peer(settings, place), _interface(address, routes, mtu, called)
            line = _line(settings, keys, peer, called, answered, say)
            _carry_packets(line, peer, device, interface, offloads, say)
    finally:
        keys.close()


def _check(as_json: bool) -> None:
    from poliqi.apps.tunnel.device import check

    found = check()
    rows = [{"name": each.name, "is_there": each.is_there, "text": each.text} for each in found]
    if as_json:
        click.echo(json.dumps({"network": rows, "proxy": "needs none of it"}))
    else:
        for each in found:
            click.echo(f"{'ok' if each.is_there else 'MISSING':<8} {each.name}: {each.text}")
        click.echo("A proxy (--listen ... --to ...) needs none of it.")
    sys.exit(0 if all(each.is_there for each in found) else 1)


def _no_others(device: str | None, proxy: dict[str, Any], network: dict[str, Any]) -> None:
    """Options of the other kind of tunnel are no silent no-ops."""
    kind, wrong = ("without --tun", network) if device is None else ("with --tun", proxy)
    given = [name for name, value in wrong.items() if value is not None]
    if given:
        raise ConfigError(f"{', '.join(given)}: means nothing {kind}; `poliqi tunnel --help` shows both kinds")


def _printer(as_json: bool) -> Callable[..., None]:
    def say(event: str, text: str, **more: Any) -> None:
        # a full disk or a reader that went away must not stop the tunnel
        with suppress(OSError):
            click.echo(json.dumps({"event": event, "text": text, **more}) if as_json else f"{event}: {text}")

    return say


def _forwards(settings: SaeSettings, listen: str | None, destination: str | None) -> Sequence[Forward]:
    from poliqi.apps.tunnel.settings import Forward, parse_destination, read_tunnel
    from poliqi.edge.network import parse_address

    if (listen is None) != (destination is None):
        raise ConfigError("--listen HOST:PORT and --to SITE:NAME belong together: give both, or neither")
    if listen is not None and destination is not None:
        peer, target = parse_destination(destination, settings, "--to")
        return [Forward(parse_address(listen, "--listen"), peer, target)]
    found = read_tunnel(settings).forwards
    if not found:
        raise ConfigError(f"give --listen and --to, or write [[tunnel.forward]] into {settings.file}")
    return found


def _peer(settings: SaeSettings, place: str | None) -> Peer:
    from poliqi.apps.dial import find_peer

    if place is None:
        raise ConfigError("--tun needs --peer SITE: who is at the other end?")
    return find_peer(settings, place)


def _carry_connections(
    settings: SaeSettings, keys: KeySource, forwards: Sequence[Forward], say: Callable[..., None]
) -> None:
    from poliqi.apps.tunnel.calls import Call
    from poliqi.apps.tunnel.forward import Forwarder
    from poliqi.apps.tunnel.messages import PURPOSE
    from poliqi.apps.tunnel.settings import read_tunnel

    limits = read_tunnel(settings)
    running: list[Forwarder] = []
    try:
        for each in forwards:
            if each.peer.address is None:
                raise ConfigError(f"{each.peer.place} has no address in {settings.file}: it can only call")
            call = Call(settings.identity, each.peer, keys, PURPOSE, each.peer.address)
            forwarder = Forwarder(each.listen, each.target, call, say, limits.most_connections, limits.warm_streams)
            where = forwarder.start()
            running.append(forwarder)
            say("listening", f"{where} to {each.peer.place}:{each.target}", address=str(where))
        _until_stopped(threading.Event())
    finally:
        for forwarder in running:
            forwarder.close()
    say("stopped", "the tunnel is closed")


def _line(
    settings: SaeSettings,
    keys: KeySource,
    peer: Peer,
    called: str | None,
    answered: str | None,
    say: Callable[..., None],
) -> Caller | Answerer:
    from poliqi.apps.tunnel.calls import Call
    from poliqi.apps.tunnel.lines import Answerer, Caller
    from poliqi.apps.tunnel.packets import PURPOSE
    from poliqi.edge.network import parse_address

    if called is not None and answered is None:
        address = parse_address(called, "--call")
        return Caller(Call(settings.identity, peer, keys, PURPOSE, address, is_watched=True))
    if answered is None or called is not None:
        raise ConfigError("--tun needs one of --call HOST:PORT and --answer HOST:PORT; the peer has the other")
    answerer = Answerer(parse_address(answered, "--answer"), settings.identity, peer, keys, say)
    say("listening", f"{answerer.start()} for {peer.place}")
    return answerer


def _interface(address: str | None, routes: Sequence[str], mtu: int, called: str | None) -> Interface:
    from poliqi.apps.tunnel.device import read_interface, refuse_loop
    from poliqi.edge.network import parse_address

    interface = read_interface(address, routes, mtu)
    if called is not None:
        refuse_loop(interface, parse_address(called, "--call"))
    return interface


def _carry_packets(
    line: Caller | Answerer, peer: Peer, name: str, interface: Interface, offloads: bool, say: Callable[..., None]
) -> None:
    from poliqi.apps.tunnel.device import open_tun, set_up
    from poliqi.apps.tunnel.network import PacketTunnel
    from poliqi.apps.tunnel.packets import Sources

    try:
        device = open_tun(name, has_offloads=offloads)
    except BaseException:
        line.close()
        raise
    try:
        set_up(device, interface)
        say("device", f"{name}: {', '.join(device.offloads) or 'no'} offloads", offloads=list(device.offloads))
        tunnel = PacketTunnel(device.descriptor, line, Sources(interface.networks), say)
        worker = threading.Thread(target=tunnel.run, name="packets in")
        worker.start()
        _until_stopped(tunnel.stopped)
        tunnel.close()
        worker.join()
        say("stopped", f"the tunnel to {peer.place} is closed", **tunnel.counts)
    finally:
        line.close()
        device.close()


def _until_stopped(stopped: threading.Event) -> None:
    """Until SIGTERM, SIGINT or the event."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stopped.set())
    stopped.wait()
