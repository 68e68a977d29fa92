"""`poliqi device`: keys of other people's devices into a site; emulators; the check of a driver."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import click

from poliqi.ops.commands.lazygroup import lazy_group

__all__ = ["command"]

PATH: Final = click.Path(path_type=Path)

_COMMANDS: Final = {
    "check": ("device_check", "command", "is a driver right? conformance of a file of your own"),
    "emulate": ("device_emulate", "command", "one end of an emulated Polimi QSN-d-1, with simulated light"),
    "run": ("device", "run", "take one device's keys, compare them with the other end, feed the site"),
    "status": ("device", "status", "what an end has made, and how long its pads last"),
}

command = lazy_group(
    _COMMANDS,
    """Feed a site with finished keys of a device of somebody else: a QKD system, another vendor's key management.

    Nothing of such keys is proven here: they are `unproven`, and a site takes them only where its policy says so.

    \b
      poliqi link pair new --link leonardo-bovisa --words 65536 -o pair
      poliqi link pair install pair --role alice --state state --keep
      poliqi device run DEVICE.toml
    """,
)


@click.command()
@click.argument("device_toml", type=PATH, metavar="DEVICE.toml")
@click.option("--blocks", type=click.IntRange(1), help="stop after so many blocks (else run until stopped)")
@click.option("--json", "as_json", is_flag=True, help="a JSON record a line")
def run(device_toml: Path, blocks: int | None, as_json: bool) -> None:
    """Run one end: take the device's keys, find out which the other end has, compare them, hand blocks to the site.

    The end that was paired as alice leads, bob's follows. SIGTERM or Ctrl-C finishes the block under way; a second
    one stops at once. Neither puts a key into two blocks.

    \b
      device = "folder"
      state = "leonardo-bovisa"
      site = "/run/poliqi/ingest.sock"
      connect = "bovisa.example:9060"
      [options]
      folder = "keys"
    """
    from poliqi.node.keydevice import run_device
    from poliqi.node.lines import describe, to_json
    from poliqi.ops.device_toml import load_device

    def say(record: dict[str, Any]) -> None:
        # a full disk or a reader that went away must not stop the keys
        with suppress(OSError):
            text = describe({**record, "event": "said"})
            click.echo(to_json(record) if as_json else text)

    try:
        run_device(load_device(device_toml, blocks=blocks), say)
    except KeyboardInterrupt:
        sys.exit(130)


@click.command()
@click.option("--state", type=PATH, required=True, metavar="DIR", help="folder of the pairing's state")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def status(state: Path, as_json: bool) -> None:
    """Show what an end has made, what its device did wrong, and how many blocks its pads still carry. Works while
    it runs.
    """
    import dataclasses
    import json

    from poliqi.base.errors import ConfigError
    from poliqi.edge.devicestate import device_totals

    t = device_totals(state)
    if t is None:
        raise ConfigError(f"state {state}: no device was run with it yet; see `poliqi link status`")
    if as_json:
        record = {**dataclasses.asdict(t), "blocks_left": t.blocks_left}
        click.echo(json.dumps({"link": record.pop("link_id"), **record}))
        return
    click.echo(f"link {t.link_id}: {t.keys:,} keys in {t.blocks:,} blocks, {8 * t.key_bytes:,} bits")
    click.echo(f"pads: about {t.blocks_left:,} blocks more ({t.words_left:,} words above the reserve)")
    if t.waiting_bytes:
        click.echo(f"{t.waiting_bytes:,} bytes of key wait for the site")
    if t.faults:
        click.echo(f"the device was refused {t.faults} times, the last time: {t.fault}")
