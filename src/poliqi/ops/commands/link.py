"""`poliqi link`: pair two ends, run one or all of a site, look at a state, record light; a demonstration."""

from __future__ import annotations

import json
import shlex
import sys
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from poliqi.base.errors import ConfigError
from poliqi.base.ids import Origin, Role
from poliqi.ops.commands.link_attacks import command as attacks
from poliqi.ops.commands.link_demo import command as demo
from poliqi.ops.commands.link_open import command as open_file
from poliqi.ops.commands.link_record import command as record
from poliqi.ops.commands.link_tags import command as tags
from poliqi.ops.commands.pair import JSON, PATH, ROLES, STATE, pair

if TYPE_CHECKING:
    from poliqi.edge.linkrecord import LinkStatus
    from poliqi.node.light import LightChoice
    from poliqi.node.linkwatch import Standing
    from poliqi.optics.parameters import LinkParameters

__all__ = ["command"]


@click.group()
def command() -> None:
    """Pair two ends, run one of them, or all of a site; look at a state, a recording or time tags; record
    simulated light.

    `demo` shows one link at work in two processes on this machine.
    """


command.add_command(pair)
command.add_command(demo)
command.add_command(record)
command.add_command(attacks)
command.add_command(tags)
command.add_command(open_file)


def read_link(path: Path | None, eve: str | None) -> LinkParameters:
    """The link of a LINK.toml (the default one for None), with an attack on it where `eve` names one."""
    from poliqi.ops.config import default_link, load_link

    link = default_link() if path is None else load_link(path)
    if eve is None:
        return link
    from poliqi.optics.attack import parse_attack

    return replace(link, attack=parse_attack(eve))


@command.command()
@click.argument("link_toml", type=PATH)
@click.option("--role", type=ROLES, required=True, help="alice prepares light, bob detects it")
@STATE
@click.option("--key", "keys", type=PATH, metavar="FILE", help="file that finished keys go to")
@click.option("--site", type=PATH, metavar="SOCKET", help="ingest socket of the site that finished keys go to")
@click.option("--listen", metavar="HOST:PORT", help="wait for the other end there")
@click.option("--connect", metavar="HOST:PORT", help="connect to the other end there")
@click.option("--blocks", type=click.IntRange(1), help="stop after so many blocks (else run until stopped)")
@click.option(
    "--seed", type=click.IntRange(0, (1 << 64) - 1), help="simulated light, from the same seed at both ends"
)
@click.option("--replay", type=PATH, metavar="EVENTS", help="replayed light, from the same recording at both ends")
@click.option(
    "--device", metavar="FILE.py", help="light of a driver: a file of your own, or an installed one's name"
)
@click.option("--device-options", type=PATH, metavar="X.toml", help="settings that the driver is given")
@click.option("--allow-simulated", is_flag=True, help="needed with --seed and --replay: such keys protect nothing")
@click.option(
    "--eve",
    metavar="ATTACK",
    help="attack its light: intercept=0.2, pns, blinding=0.5, time-shift, trojan=1e-6, tap=3dB, cut, jam=0.01",
)
@click.option("--sifted-key", type=click.IntRange(1), help="sifted key bits of a block (else LINK.toml's)")
@click.option("--timeout", "timeout_s", default=60.0, show_default=True, help="seconds a silent peer is waited for")
@click.option("--json", "as_json", is_flag=True, help="a JSON record a line")
def run(
    link_toml: Path,
    role: str,
    state: Path,
    keys: Path | None,
    site: Path | None,
    listen: str | None,
    connect: str | None,
    blocks: int | None,
    seed: int | None,
    replay: Path | None,
    device: str | None,
    device_options: Path | None,
    allow_simulated: bool,
    eve: str | None,
    sifted_key: int | None,
    timeout_s: float,
    as_json: bool,
) -> None:
    """Run one end of a paired link: meet the other end, make block after block, hand the keys to --key or --site.

    SIGTERM or Ctrl-C lets the block under way finish; a second one stops at once. Neither loses a key.
    """
    from poliqi.edge.network import parse_address
    from poliqi.node.lines import describe, to_json
    from poliqi.node.party import PartySettings, run_party

    if (listen is None) == (connect is None):
        raise ConfigError("give one of --listen and --connect: one end listens, the other connects")
    link = read_link(link_toml, eve)
    if (keys is None) == (site is None):
        raise ConfigError("give one of --key FILE and --site SOCKET: a key in two places would be used twice")
    if sifted_key is not None:
        link = replace(link, block=replace(link.block, sifted_key=sifted_key))
    settings = PartySettings(
        role=Role(role),
        link=link,
        light=_light(seed, replay, device, device_options, allowed=allow_simulated, eve=eve),
        state=state,
        keys=keys,
        site=site,
        listen=None if listen is None else parse_address(listen, "--listen"),
        connect=None if connect is None else parse_address(connect, "--connect"),
        blocks=blocks,
        timeout_s=timeout_s,
    )

    def say(record: dict[str, Any]) -> None:
        # a full disk or a reader that went away must not stop the making of keys
        with suppress(OSError):
            click.echo(to_json(record) if as_json else describe(record))

    try:
        run_party(settings, say)
    except KeyboardInterrupt:
        sys.exit(130)


@command.command()
@click.argument("ends_toml", metavar="ENDS.toml...", type=PATH, nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="a JSON record a line")
def serve(ends_toml: tuple[Path, ...], as_json: bool) -> None:
    """Run all link ends of a site in one process; each as `run` does, its keys go to the site.

    An end that fails is started again, less and less often, while the others go on. SIGTERM or Ctrl-C lets blocks
    under way finish; a second one stops at once. Several files: one process for each, named by its folder.
    """
    from poliqi.node.ends import serve_ends
    from poliqi.node.lines import describe, to_json
    from poliqi.ops.ends_toml import load_ends

    def say(record: dict[str, Any]) -> None:
        # a full disk or a reader that went away must not stop the making of keys
        with suppress(OSError):
            where = " ".join(str(record[name]) for name in ("site", "link") if name in record)
            click.echo(to_json(record) if as_json else f"{where} {describe(record)}".lstrip())

    try:
        if len(ends_toml) == 1:
            serve_ends(load_ends(ends_toml[0]), say)
        else:
            from poliqi.node.endsfork import serve_sites

            serve_sites({path.absolute().parent.name: load_ends(path) for path in ends_toml}, say)
    except KeyboardInterrupt:
        sys.exit(130)


def _light(
    seed: int | None,
    replay: Path | None,
    device: str | None,
    device_options: Path | None,
    *,
    allowed: bool,
    eve: str | None,
) -> LightChoice:
    from poliqi.edge.driverfile import light_driver, read_options
    from poliqi.node.light import DeviceLight, ReplayedLight, SimulatedLight

    if sum(given is not None for given in (seed, replay, device)) != 1:
        raise ConfigError("light: give one of --seed, --replay and --device (how-to: add-a-device)")
    if device is None and device_options is not None:
        raise ConfigError("--device-options are settings of a driver: name it with --device")
    if eve is not None and seed is None:
        raise ConfigError("--eve acts on simulated light (--seed); a recording or a device holds what happened")
    if device is None:
        light = SimulatedLight(seed) if seed is not None else None if replay is None else ReplayedLight(replay)
    else:
        light = DeviceLight(light_driver(device, read_options(device_options), Path()))
    assert light is not None
    if light.origin is not Origin.PHOTONS and not allowed:
        raise ConfigError(
            "simulated and replayed light gives keys that protect nothing: add --allow-simulated if that is meant"
        )
    return light


@command.command()
@STATE
@JSON
def status(state: Path, as_json: bool) -> None:
    """Show how a link was paired, what is left of its pads, what it has made, and whether its monitor holds it in
    quarantine. Works while it runs.
    """
    from poliqi.edge.pairing import link_status
    from poliqi.node.linkwatch import standing

    found, watched = link_status(state), standing(state)
    if as_json:
        click.echo(json.dumps(_status_record(found) | _watch_record(watched)))
    else:
        click.echo("\n".join([_status_text(found), *_watch_lines(watched, state)]))


@command.command()
@STATE
@JSON
def release(state: Path, as_json: bool) -> None:
    """End the quarantine of a link's end, running or not: look at the link before you do.

    To commission it anew as well, take baseline.json out of the folder while the end is stopped.
    """
    from poliqi.edge.pairing import link_status
    from poliqi.node.linkwatch import release as end

    link_status(state)  # refuses what is no state of a link
    held = end(state)
    if as_json:
        click.echo(json.dumps({"released": held is not None, "attack": None if held is None else held.attack}))
    elif held is None:
        click.echo("not in quarantine")
    else:
        click.echo(f"released: it was quarantined for {held.attack}: {held.evidence}")


def _status_record(s: LinkStatus) -> dict[str, Any]:
    link = s.link
    return {
        "link": link.link_id,
        "role": link.role.value,
        "light": link.light.value,
        "bootstrap": link.bootstrap,
        "pair_id": link.pair_id,
        "has_pads": s.has_pads,
        "pad_words_left": {role.value: words for role, words in s.words_left.items()},
        "pad_words_used": {role.value: words for role, words in s.used_words.items()},
        "reserve_words": link.reserve,
        "capacity_words": link.capacity,
        "below_reserve": s.below_reserve,
        "next_block": s.next_block,
        "last_confirmed": s.last_confirmed,
        "pending": s.pending or None,
        "undelivered": s.undelivered,
        "undelivered_bytes": s.undelivered_bytes,
        "destination": s.destination,
        "blocks": s.blocks,
        "key_bits": s.key_bits,
        "epsilon": s.epsilon,
    }


def _watch_record(w: Standing) -> dict[str, Any]:
    held = w.quarantine
    return {
        "quarantine": None
        if held is None
        else {"attack": held.attack, "since": held.since, "evidence": held.evidence},
        "baseline_blocks": w.baseline_blocks,
        "commissioning": None if w.lessons is None else list(w.lessons),
    }


def _watch_lines(w: Standing, state: Path) -> list[str]:
    """What the monitor of this end has found."""
    if w.baseline_blocks is not None:
        lines = [f"monitor: commissioned on {w.baseline_blocks} blocks"]
    elif w.lessons is not None:
        lines = [
            f"monitor: commissioning, {w.lessons[0]} of {w.lessons[1]} clear blocks since this end was started",
            "  until they are there no device's reading is judged: a time shift or a Trojan horse goes unseen",
        ]
    else:
        lines = ["monitor: no baseline, and no commissioning under way"]
    if w.quarantine is not None:
        since = datetime.fromtimestamp(w.quarantine.since, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        lines += [
            f"QUARANTINED for {w.quarantine.attack} since {since}, so no block gives key: {w.quarantine.evidence}",
            f"  once the link has been looked at: poliqi link release --state {shlex.quote(str(state))}",
        ]
    return lines


def _status_text(s: LinkStatus) -> str:
    link = s.link
    light = "real photons" if link.light.value == "photons" else "simulated light: its keys protect nothing"
    trust = f"paired: {link.bootstrap} (pair {link.pair_id})" + (
        "" if s.has_pads else ", first block still to come"
    )
    lines = [
        f"link {link.link_id}, this end is {link.role}, {light}",
        trust,
        *(
            f"pad {role} -> {role.peer}: {words} words left of {link.capacity}"
            for role, words in s.words_left.items()
        ),
        f"reserve: {link.reserve} words" + ("; BELOW IT: pair the link again" if s.below_reserve else ""),
        f"keys: {s.key_bits:,} bits from {s.blocks} blocks, last confirmed {s.last_confirmed or '-'}",
    ]
    if s.epsilon is not None:
        lines.append(f"epsilon of all keys together: {s.epsilon:.2g}")
    if s.pending:
        lines.append(f"block {s.pending} is pending: the other end's next hello decides whether it holds it")
    if s.undelivered:
        lines.append(
            f"{s.undelivered} confirmed blocks ({s.undelivered_bytes:,} bytes of key) wait for "
            f"{s.destination or 'a key file or a site'}: they are delivered once it takes them"
        )
    return "\n".join(lines)
