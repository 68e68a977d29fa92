"""`poliqi device emulate`: one end of an emulated QSN-d-1, over its own protocol, with simulated light."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import click

from poliqi.base.errors import ConfigError

if TYPE_CHECKING:
    from poliqi.edge.network import Address
    from poliqi.link.qsn.making import KeyDiscarded, KeyMade

__all__ = ["command"]

_SEEDS: Final = (1 << 64) - 1
_SHARE: Final = click.FloatRange(0.0, 1.0)


@click.command("emulate")
@click.argument("role", type=click.Choice(["alice", "bob"]))
@click.option("--listen", default="127.0.0.1", show_default=True, metavar="IP", help="address of both ports")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="for the partner and ETSI clients [alice 6341, bob 6342]"
)
@click.option("--lkms-port", type=click.IntRange(0, 65535), help="for those who fetch keys [alice 6351, bob 6352]")
@click.option("--partner", metavar="IP:PORT", help="the other end [its own default port on this address]")
@click.option("--isolated", is_flag=True, help="vouch that nobody else reaches an address that is not loopback")
@click.option("--seed", type=click.IntRange(0, _SEEDS), default=1, show_default=True, help="the same at both ends")
@click.option(
    "--attenuation", type=click.IntRange(0, 255), default=3, show_default=True, metavar="DB", help="fibre"
)
@click.option("--samples", type=int, default=2048, show_default=True, metavar="BITS", help="of a sifted block")
@click.option("--ttl", type=int, default=3600, show_default=True, metavar="SECONDS", help="that a key is kept")
@click.option("--pause", type=click.FloatRange(0.0), default=1.0, show_default=True, help="seconds between keys")
@click.option("--small-batches", is_flag=True, help="3,000 gates a batch, not 102,000; the same at both ends")
@click.option("--eve", type=_SHARE, default=0.0, metavar="FRACTION", help="of the gates intercepted (at bob)")
@click.option(
    "--keep-delivered", is_flag=True, help="a key that was given out stays until it is deleted or too old"
)
@click.option("--wrong-crc", is_flag=True, help="every key's check fails (at bob)")
@click.option("--drop", type=_SHARE, default=0.0, metavar="FRACTION", help="of the replies to clients")
@click.option("--garble", type=_SHARE, default=0.0, metavar="FRACTION", help="of the replies to clients")
@click.option(
    "--delay", type=click.FloatRange(0.0), default=0.0, metavar="SECONDS", help="of each reply to a client"
)
@click.option("--json", "as_json", is_flag=True, help="a JSON record a line")
def command(role: str, as_json: bool, **options: Any) -> None:
    """Emulate one end of the Polimi QSN-d-1 device, for tests and demonstrations.

    Alice and Bob are two programs that make keys with each other over TCP, and hand them out over TCP, as the
    device's manual describes. THE LIGHT IS SIMULATED: whoever knows the seed knows the keys. The protocol
    authenticates nobody: loopback, or an interface that is isolated.

    \b
    Both ends on this machine, each in a terminal of its own:
      poliqi device emulate alice
      poliqi device emulate bob

    \b
    What an eavesdropper does to it, and a device that forgets to answer:
      poliqi device emulate bob --eve 0.6
      poliqi device emulate bob --drop 0.1 --delay 0.5
    """
    from poliqi.edge.qsn_emulator import ReplyFaults
    from poliqi.link.qsn.emulated import Emulated, Role
    from poliqi.link.qsn.light import LARGE_BATCH, SMALL_BATCH, LightSettings
    from poliqi.node.emulated import run_emulated

    batch = SMALL_BATCH if options["small_batches"] else LARGE_BATCH
    chosen = Emulated(
        seed=options["seed"],
        light=LightSettings(float(options["attenuation"]), batch, options["eve"]),
        samples=options["samples"],
        ttl_s=options["ttl"],
        pause_s=options["pause"],
        keeps_delivered=options["keep_delivered"],
        wrong_check=options["wrong_crc"],
    )
    ports = _ports(role, options)
    say = _record if as_json else _line

    def listening(main: Address, lkms: Address) -> None:
        say(
            "listening",
            f"emulated QSN-d-1, {role}: partner port {main}, LKMS port {lkms}, partner at {ports.partner}\n"
            f"SIMULATED light, seed {chosen.seed}: whoever knows it knows the keys; nobody is authenticated",
            {"role": role, "main": str(main), "lkms": str(lkms), "seed": chosen.seed, "light": "simulated"},
        )

    asyncio.run(
        run_emulated(
            Role(role),
            chosen,
            ports,
            ReplyFaults(options["drop"], options["garble"], options["delay"]),
            isolated=options["isolated"],
            listening=listening,
            report=lambda text: say("note", text, {"text": text}),
            news=lambda news: _tell(news, say),
        )
    )


def _ports(role: str, options: dict[str, Any]) -> Any:
    from poliqi.edge.network import Address, parse_address
    from poliqi.edge.qsn_emulator import ALICE_LKMS_PORT, ALICE_PORT, BOB_LKMS_PORT, BOB_PORT, Ports

    host: str = options["listen"]
    own = Ports(Address(host, ALICE_PORT), Address(host, ALICE_LKMS_PORT), Address(host, BOB_PORT))
    if role == "bob":
        own = Ports(Address(host, BOB_PORT), Address(host, BOB_LKMS_PORT), Address(host, ALICE_PORT))
    if options["port"] is not None:
        own = replace(own, main=Address(host, options["port"]))
    if options["lkms_port"] is not None:
        own = replace(own, lkms=Address(host, options["lkms_port"]))
    if options["partner"] is not None:
        own = replace(own, partner=parse_address(options["partner"], "--partner"))
    if own.main.port and own.main == own.lkms:
        raise ConfigError(f"--lkms-port: {own.lkms.port} is the partner's port too; name another")
    return own


def _tell(news: KeyMade | KeyDiscarded, say: Callable[[str, str, dict[str, Any]], None]) -> None:
    from poliqi.link.qsn.making import KeyMade

    if isinstance(news, KeyMade):
        text = f"key {news.key_id}: {news.key_bits} bits, QBER {100 * news.qber:.1f} %"
        say("key", text, {"id": news.key_id, "bits": news.key_bits, "qber": news.qber})
    else:
        text = f"no key {news.key_id}: {news.reason}"
        say("discarded", text, {"id": news.key_id, "reason": news.reason, "qber": news.qber})


def _line(_: str, text: str, __: dict[str, Any]) -> None:
    click.echo(text)


def _record(event: str, _: str, fields: dict[str, Any]) -> None:
    click.echo(json.dumps({"event": event, **fields}))
