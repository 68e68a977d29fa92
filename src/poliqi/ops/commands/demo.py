"""`poliqi demo`: a city of five sites on this machine, over simulated light; and what can be done to its fibres."""

from __future__ import annotations

import json
import shlex
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from poliqi.base.errors import ConfigError

if TYPE_CHECKING:
    from poliqi.node.demo_running import RunningDemo
    from poliqi.node.plant import SpanState

__all__ = ["command"]

PATH: Final = click.Path(path_type=Path)
FOLDER: Final = click.option(
    "--folder", type=PATH, metavar="FOLDER", help="which demonstration (else the one that runs)"
)
SPAN: Final = click.argument("span")
JSON: Final = click.option("--json", "as_json", is_flag=True, help="print JSON")
_SHOWN: Final = 8


@click.group(invoke_without_command=True)
@click.option("--sites", "city_toml", type=PATH, metavar="CITY.toml", help="another city (else the five of Milan)")
@click.option("--seconds", type=click.FloatRange(0), help="end so long after it is ready (else with Ctrl-C)")
@click.option("--keep", type=PATH, metavar="FOLDER", help="keep all its files there (a new folder)")
@click.option(
    "--port", type=click.IntRange(1, 65535), default=8470, show_default=True, help="of the dashboard, if free"
)
@click.option("--json", "as_json", is_flag=True, help="a JSON record a line")
@click.pass_context
def command(
    context: click.Context,
    city_toml: Path | None,
    seconds: float | None,
    keep: Path | None,
    port: int,
    as_json: bool,
) -> None:
    """Run a whole city on this machine: five sites, five links of SIMULATED light, a controller, a dashboard.

    Every site is a process, so are its link ends and the controller. Open the dashboard, fetch keys with curl, cut
    a fibre there or with `poliqi demo cut SPAN` from another terminal. Ctrl-C ends everything.
    """
    if context.invoked_subcommand is not None:
        return
    sys.exit(_run(city_toml, seconds, keep, port, as_json))


def _run(city_toml: Path | None, seconds: float | None, keep: Path | None, port: int, as_json: bool) -> int:
    import asyncio

    from poliqi.node.demo_city import DemoCity
    from poliqi.node.demo_files import make_demo_folder, ports_of, reserve_ports
    from poliqi.node.demo_running import demo_folder, mark_demo, memory_of, sweep_demos
    from poliqi.ops.demo_plan import plan_demo

    show = _Json() if as_json else _Lines()
    plan = plan_demo(city_toml)
    sweep_demos()
    with ExitStack() as held:
        folder = demo_folder(keep, [site.kme for site in plan.city.sites], held)
        show.begin(plan.city.name, len(plan.city.sites), len(plan.city.links), plan.slowed_to_hz)
        count, opened = ports_of(len(plan.city.sites), len(plan.city.links))
        ports = reserve_ports(count, held, port, opened)
        made = make_demo_folder(folder, plan.city, plan.city_text, plan.links, ports)
        mark_demo(made)
        memory: dict[str, int | None] = {}

        async def run() -> float | None:
            city = DemoCity(made, show.say)

            def say(record: dict[str, Any]) -> None:
                if record["event"] in ("ready", "rate"):
                    memory.update(memory_of(city.pids))
                try:
                    show.say(record)
                except OSError:  # nobody reads any more
                    city.stopping.set()

            city.tell = say
            await city.run(seconds)
            return city.ready_s

        ready_s = asyncio.run(run())
    with suppress(OSError):
        show.end(ready_s, memory)
    return 0 if ready_s is not None else 130


class _Json:
    """Every record as it comes."""

    def begin(self, name: str, sites: int, links: int, slowed_to_hz: float | None) -> None:
        self.say({"event": "demo", "city": name, "sites": sites, "links": links, "slowed_to_hz": slowed_to_hz})

    def say(self, record: dict[str, Any]) -> None:
        click.echo(json.dumps(record, default=str))

    def end(self, ready_s: float | None, memory: dict[str, int | None]) -> None:
        self.say({"event": "summary", "light": "simulated light", "ready_s": ready_s, **memory})


class _Lines:
    """What a person wants to know."""

    def begin(self, name: str, sites: int, links: int, slowed_to_hz: float | None) -> None:
        click.echo(
            f"{name}: {sites} sites and {links} links on this machine, SIMULATED LIGHT: its keys protect nothing"
        )
        if slowed_to_hz is not None:
            click.echo(f"devices are slowed down to {slowed_to_hz / 1e6:g} MHz: light is simulated in real time")

    def say(self, record: dict[str, Any]) -> None:
        if record["event"] == "ready":
            self._ready(record)
        elif record["event"] not in ("warm", "process"):
            click.echo(f"{record['time_s']:7.1f} s  {record['text']}")

    def _ready(self, r: dict[str, Any]) -> None:
        span = r["spans"][0]
        shown = [f"{url} ({place})" for place, url in r["pages"].items()]
        pages = "\n                 ".join(shown[:_SHOWN])
        laboratories = [f"{url} ({place})" for place, url in r["laboratories"].items()]
        laboratory = f"  laboratory     {laboratories[0]}\n" if laboratories else ""
        click.echo(
            f"""{r["time_s"]:7.1f} s  ready: {r["sites"]} sites, {len(r["links"])} links, """
            f"""{r["key_rate_bps"] / 1e3:,.0f} kbit/s of key in the city

  dashboard      {r["dashboard"]}
  send a file    {pages}
                 poliqi send FILE {shlex.quote(r["receiver"])} --sae {r["sender"]}
{laboratory}  fetch a key    {r["curl"]}
  cut a fibre    poliqi demo cut {span}      (in another terminal; then: poliqi demo mend {span})
  listen on it   poliqi demo listen {span}
  end            Ctrl-C
"""
        )

    def end(self, ready_s: float | None, memory: dict[str, int | None]) -> None:
        early = "" if ready_s is not None else ", before the city was ready"
        size = memory.get("pss_bytes") or memory.get("rss_bytes") or 0
        took = f"; they took {size / 1e6:,.0f} MB" if memory else ""
        click.echo(f"stopped; all processes have ended{early}{took}")


# ---------------------------------------------------------------- what can be done to its fibres


@command.command()
@SPAN
@FOLDER
@JSON
def cut(span: str, folder: Path | None, as_json: bool) -> None:
    """Cut a simulated fibre: its links go dark within a moment."""
    from poliqi.node.plant import SpanState

    _steer(span, SpanState(cut=True), folder, as_json, f"{span} is cut")


@command.command()
@SPAN
@FOLDER
@JSON
def mend(span: str, folder: Path | None, as_json: bool) -> None:
    """Mend a simulated fibre, whatever was done to it.

    A link that its monitor holds in quarantine comes back after 10 s of clear blocks.
    """
    from poliqi.node.demo_files import RELEASE_S
    from poliqi.node.plant import SpanState

    _steer(
        span,
        SpanState(),
        folder,
        as_json,
        f"{span} is as it should be; a link that its monitor holds in quarantine comes back after {RELEASE_S} s of "
        "clear blocks (release_after of this demonstration; a real link waits for `poliqi link release`)",
    )


@command.command()
@SPAN
@click.option(
    "--eve", metavar="ATTACK", default="intercept=0.3", show_default=True, help="intercept=0.3, pns, blinding, ..."
)
@FOLDER
@JSON
def listen(span: str, eve: str, folder: Path | None, as_json: bool) -> None:
    """Have somebody attack a simulated fibre.

    intercept, pns, tap, cut and jam cost its links key, down to none; what is left is proven. The other three break
    what the proofs assume. The monitor sees blinding of many pulses by the missing double clicks from the first
    block on, time-shift and trojan only once 20 clear blocks have taught it what is usual (`poliqi link status`
    counts them; they take the first minute). Before, such a link goes on giving key that is NOT secure.

    \b
    intercept=0.3       measures and resends 3 pulses in 10
    intercept-key=0.3   the same, in the key basis only
    pns                 splits photons off pulses that have several
    blinding=0.5        steers Bob's detectors with bright light, half of the time
    time-shift          moves pulses in time, so that one detector sees them better
    trojan=1e-6         shines into Alice's device: photons that come back, a pulse
    tap=3dB             takes half of the light
    cut, jam=0.01       takes all of it; adds photons at Bob's, a slot
    """
    from poliqi.node.plant import SpanState

    _steer(span, SpanState(eve=eve), folder, as_json, f"somebody listens on {span} ({eve})")


@command.command()
@SPAN
@click.option("--replay", is_flag=True, help="repeat messages in place of changing them")
@FOLDER
@JSON
def tamper(span: str, replay: bool, folder: Path | None, as_json: bool) -> None:
    """Have somebody change the messages of the links over a fibre: tags do not fit, and no key comes of them."""
    from poliqi.node.plant import SpanState

    what = "repeats" if replay else "changes"
    text = f"somebody {what} messages between the ends of {span}"
    _steer(span, SpanState(tamper=not replay, replay=replay), folder, as_json, text)


@command.command()
@SPAN
@click.option("--loss", type=click.FloatRange(0, 60), default=0.0, help="dB more than it should have")
@click.option("--noise", type=click.FloatRange(0, 1e9), default=0.0, help="false clicks a second of each detector")
@FOLDER
@JSON
def bend(span: str, loss: float, noise: float, folder: Path | None, as_json: bool) -> None:
    """Make a simulated fibre worse than it is: more loss, or stray light in it."""
    from poliqi.node.plant import SpanState

    state = SpanState(extra_loss_db=loss, noise_hz=noise)
    _steer(span, state, folder, as_json, f"{span}: {loss:g} dB more loss, {noise:g} false clicks a second")


def _steer(span: str, state: SpanState, folder: Path | None, as_json: bool, text: str) -> None:
    from poliqi.node.plant import steer

    running = _running(folder)
    steer(running.plant, span, state)
    record = {"span": span, "folder": str(running.folder), "cut": state.cut, "eve": state.eve}
    record |= {"tamper": state.tamper, "replay": state.replay}
    click.echo(json.dumps(record) if as_json else f"{text} (simulated); see {running.dashboard}")


def _running(folder: Path | None) -> RunningDemo:
    from poliqi.node.demo_running import running_demos

    found = running_demos(folder)
    if not found:
        where = "" if folder is None else f" in {folder}"
        raise ConfigError(f"no demonstration runs{where}: start one with `poliqi demo`, in another terminal")
    if len(found) > 1:
        folders = ", ".join(str(demo.folder) for demo in found)
        raise ConfigError(f"{len(found)} demonstrations run: name one with --folder: {folders}")
    return found[0]
