"""`poliqi chat`: messages to another person under one-time pad."""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from poliqi.base.errors import ConfigError

if TYPE_CHECKING:
    from poliqi.apps.keysource import KeySource
    from poliqi.apps.messenger.delivery import Postman
    from poliqi.apps.messenger.mailbox import Mailbox, Message
    from poliqi.apps.messenger.steady import Rate
    from poliqi.apps.settings import Peer, SaeSettings

__all__ = ["command"]

_LOOK_S: Final = 0.5
_RATE: Final = re.compile(r"([0-9]{1,4}(?:\.[0-9]{1,3})?)/(s|min|h)")
_SECONDS: Final = {"s": 1.0, "min": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class _Desk:
    """What a command works with."""

    settings: SaeSettings
    peer: Peer
    mailbox: Mailbox
    postman: Postman
    keys: KeySource
    burn: bool
    as_json: bool

    def show(self, message: Message) -> None:
        from poliqi.ops.message_text import message_lines, message_record

        if self.as_json:
            click.echo(json.dumps(message_record(message)))
        else:
            click.echo("\n".join(message_lines(message, self.peer.place)))

    def show_unread(self) -> None:
        """Each counts as read once it is on the screen; with burn its text is wiped then."""
        for message in self.mailbox.unread(self.peer.sae):
            self.show(message)
            self.mailbox.read(message.number, burn=self.burn)


@click.command()
@click.argument("site")
@click.option("--send", "text", metavar="TEXT", help='send TEXT ("-": standard input) and end')
@click.option("--list", "is_list", is_flag=True, help="show the conversation, and what waits and why")
@click.option("--follow", is_flag=True, help="show what comes, until Ctrl-C")
@click.option("--burn", is_flag=True, help="wipe each text here once it is shown, or delivered")
@click.option("--constant-rate", "rate", nargs=2, metavar="N/s SIZE", help="envelopes of SIZE bytes on schedule")
@click.option("--dry-run", is_flag=True, help="with --constant-rate: say what key it costs, and end")
@click.option(
    "--sae", "sae_toml", type=click.Path(path_type=Path), metavar="SAE.toml", help="this application's file"
)
@click.option("--json", "as_json", is_flag=True, help="a JSON record a line")
def command(
    site: str,
    text: str | None,
    is_list: bool,
    follow: bool,
    burn: bool,
    rate: tuple[str, str] | None,
    dry_run: bool,
    sae_toml: Path | None,
    as_json: bool,
) -> None:
    """Write to the person at SITE, under one-time pad; each message shows who could know its pad.

    \b
      poliqi chat Bovisa                              a conversation: write a line, Enter sends it, Ctrl-D ends
      poliqi chat Bovisa --send "Ci vediamo alle 9"   one message; where nobody is there it waits
      poliqi chat Bovisa --list --json
      poliqi chat Bovisa --constant-rate 1/s 512      the same on the wire, whether somebody writes or not

    What cannot be delivered now waits, and the service (`poliqi sae run`) brings it; it also takes what comes.
    """
    if sum((text is not None, is_list, follow, rate is not None)) > 1:
        raise ConfigError("--send, --list, --follow and --constant-rate: one at a time")
    with _desk(site, sae_toml, burn, as_json) as desk:
        if rate is not None:
            _steady(desk, _read_rate(*rate), dry_run)
        elif is_list:
            for message in desk.mailbox.messages(desk.peer.sae):
                desk.show(message)
        elif follow:
            _follow(desk)
        elif text is not None:
            _send(desk, sys.stdin.read(1 << 20).rstrip("\n") if text == "-" else text)
        elif sys.stdin.isatty():
            _converse(desk)
        else:
            raise ConfigError("a conversation needs a terminal; use --send TEXT, --list or --follow")


@contextmanager
def _desk(site: str, sae_toml: Path | None, burn: bool, as_json: bool) -> Generator[_Desk]:
    from poliqi.apps.dial import dialling, find_peer
    from poliqi.apps.keysource import keys_of
    from poliqi.apps.messenger.delivery import Postman
    from poliqi.apps.messenger.service import open_mailbox
    from poliqi.apps.messenger.settings import messenger_table
    from poliqi.edge.entropy import OperatingSystemEntropy
    from poliqi.ops.sae_toml import find_sae_file, load_sae

    settings = load_sae(find_sae_file(sae_toml))
    peer = find_peer(settings, site)
    is_burnt = burn or messenger_table(settings).burn
    keys = keys_of(settings)
    mailbox = open_mailbox(settings, OperatingSystemEntropy())
    try:
        postman = Postman(settings, mailbox, keys, dialling(settings, keys))
        yield _Desk(settings, peer, mailbox, postman, keys, is_burnt, as_json)
    finally:
        mailbox.close()
        keys.close()


def _send(desk: _Desk, text: str) -> None:
    number = desk.mailbox.write(desk.peer.sae, text, burn=desk.burn)
    outcome = desk.postman.deliver(desk.peer)
    [mine] = [m for m in desk.mailbox.messages(desk.peer.sae) if (m.number, m.direction) == (number, "sent")]
    desk.show(mine)
    if outcome.waiting and not desk.as_json:
        when = "" if outcome.retry_s is None else f"; key will be there in {outcome.retry_s:.0f} s"
        click.echo(f"{outcome.waiting} wait{when}; `poliqi sae run` goes on trying", err=True)


def _follow(desk: _Desk) -> None:
    try:
        while True:
            desk.show_unread()
            sys.stdout.flush()
            time.sleep(_LOOK_S)
    except KeyboardInterrupt:
        return


def _converse(desk: _Desk) -> None:
    """One thread shows what comes, the other reads lines and sends them."""
    ended = threading.Event()

    def listen() -> None:
        while not ended.wait(_LOOK_S):
            desk.show_unread()

    for message in desk.mailbox.messages(desk.peer.sae, 20):
        if message.state != "unread":
            desk.show(message)
    click.echo(f"To {desk.peer.place}: a line is a message. Ctrl-D ends.", err=True)
    listener = threading.Thread(target=listen, name="listener", daemon=True)
    listener.start()
    try:
        for line in sys.stdin:
            if line.strip():
                _send(desk, line.rstrip("\n"))
    except KeyboardInterrupt:
        pass
    finally:
        ended.set()
        listener.join(5.0)


def _read_rate(often: str, size: str) -> Rate:
    from poliqi.apps.messenger.letter import HEAD_BYTES, TEXT_MOST
    from poliqi.apps.messenger.steady import Rate

    found = _RATE.fullmatch(often)
    if found is None or float(found[1]) == 0:
        raise ConfigError(f"--constant-rate {often[:20]!r}: write how often, such as 1/s, 10/min or 0.5/s")
    most = HEAD_BYTES + TEXT_MOST
    if not size.isdecimal() or len(size) > 6 or not HEAD_BYTES < int(size) <= most:
        raise ConfigError(f"--constant-rate SIZE {size[:20]!r}: from {HEAD_BYTES + 1} to {most} bytes, such as 512")
    return Rate(_SECONDS[found[2]] / float(found[1]), int(size))


def _steady(desk: _Desk, rate: Rate, dry_run: bool) -> None:
    from poliqi.apps.messenger.delivery import only_one
    from poliqi.apps.messenger.steady import Steady

    told = _cost(desk, rate)
    if dry_run:
        click.echo(json.dumps(told) if desk.as_json else told["said"])
        return
    click.echo(told["said"], err=True)
    with only_one(desk.settings.state, desk.peer.sae) as is_mine:
        if not is_mine:
            raise ConfigError(f"another process delivers to {desk.peer.place} now; end it first")
        ended = threading.Event()
        steady = Steady(desk.postman, desk.mailbox, desk.peer, rate, time.monotonic, _waiter(ended))
        try:
            for tick in steady.run():
                if tick.why:
                    click.echo(f"nothing was sent: {tick.why}", err=True)
        except KeyboardInterrupt:
            ended.set()


def _waiter(ended: threading.Event) -> Callable[[float], bool]:
    return lambda seconds: not ended.wait(seconds)


def _cost(desk: _Desk, rate: Rate) -> dict[str, Any]:
    """What key a day costs, and whether it comes in as fast."""
    from poliqi.apps.envelope.pads import PadSource
    from poliqi.apps.messenger.settings import rule_for

    outlook = PadSource(desk.keys, desk.peer.sae, rule_for(desk.settings, desk.peer)).outlook((rate.pad_bytes, 1))
    day_bytes, rate_bps = rate.day_bytes(outlook.needed_bytes), rate.rate_bps(outlook.needed_bytes)
    said = (
        f"one envelope of {rate.size_bytes} bytes (a text of up to {rate.text_most}) every {rate.period_s:g} s "
        f"costs {day_bytes / 1e6:.1f} MB of key a day, {rate_bps:.0f} bit/s; "
        f"{outlook.available_bytes / 1e6:.1f} MB are there"
    )
    if outlook.rate_bps is not None:
        said += f" and {outlook.rate_bps:.0f} bit/s come in"
        if outlook.rate_bps < rate_bps:
            lasts_s = 8 * outlook.available_bytes / (rate_bps - outlook.rate_bps)
            said += f": IT RUNS OUT after {lasts_s / 3600:.1f} h, and the wire goes silent then"
    return {
        "said": said,
        "period_s": rate.period_s,
        "size_bytes": rate.size_bytes,
        "day_bytes": day_bytes,
        "rate_bps": rate_bps,
        "available_bytes": outlook.available_bytes,
        "supply_bps": outlook.rate_bps,
    }
