"""`poliqi link demo`: photons to a shared key between two processes, on this machine."""

from __future__ import annotations

import json
import secrets
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from poliqi.base.errors import ConfigError

if TYPE_CHECKING:
    from poliqi.node.demo import DemoSettings, DemoSummary
    from poliqi.optics.parameters import Attack, LinkParameters

__all__ = ["command", "unproven"]

_SIFTED_KEY: Final = 2_000_000
PATH = click.Path(path_type=Path)


@click.command("demo")
@click.option(
    "--link", "link_toml", type=PATH, metavar="LINK.toml", help="a link of your own (else Leonardo-Bovisa)"
)
@click.option("--blocks", type=click.IntRange(1), default=3, show_default=True, help="blocks to make")
@click.option(
    "--eve",
    metavar="ATTACK",
    help="let Eve act: intercept=0.2, pns, blinding=0.5, time-shift, trojan=1e-6, tap=3dB, cut, jam=0.01",
)
@click.option("--seed", type=click.IntRange(0, (1 << 64) - 1), help="seed of the light (random where not given)")
@click.option("--sifted-key", type=click.IntRange(1), help="sifted key bits of a block")
@click.option("--keep", type=PATH, metavar="DIR", help="keep states and key files there (a new folder)")
@click.option("--json", "as_json", is_flag=True, help="a JSON record a line, the summary last")
def command(
    link_toml: Path | None,
    blocks: int,
    eve: str | None,
    seed: int | None,
    sifted_key: int | None,
    keep: Path | None,
    as_json: bool,
) -> None:
    """Watch simulated photons become one secret key in two processes.

    Alice and Bob are paired by a fresh pair file and speak over TCP on this machine; only the light between them is
    simulated. With --eve somebody stands on the fibre. Against most attacks no key, or a shorter one, is the right
    answer. time-shift and trojan break what the proof assumes, and a fresh link's monitor cannot see them until it
    has been commissioned by 20 clear blocks: there is key, and it is NOT secure, which the last line says.
    """
    import asyncio

    from poliqi.node.demo import DemoSettings, run_demo
    from poliqi.ops.config import default_link_text
    from poliqi.optics.attack import parse_attack

    attack = None if eve is None else parse_attack(eve)
    link = _read(link_toml)
    if sifted_key is None and link_toml is None:
        sifted_key = _SIFTED_KEY
    with ExitStack() as stack:
        folder = _folder(keep, stack)
        if link_toml is None:
            link_toml = folder / "link.toml"
            link_toml.write_text(default_link_text(), encoding="utf-8")
        chosen = secrets.randbits(64) if seed is None else seed
        settings = DemoSettings(
            folder, link_toml.absolute(), blocks, chosen, eve, sifted_key, kept=keep is not None
        )
        show = _Json() if as_json else _Lines()
        show.begin(link, settings)
        try:
            summary = asyncio.run(run_demo(settings, show.say))
        except asyncio.CancelledError:
            click.echo("stopped; both processes have ended", err=True)
            sys.exit(130)
        show.end(settings, summary)
        if attack is not None and not as_json:
            click.echo("\n".join(_what_eve_did(link, attack, summary)))
    if not summary.blocks:
        sys.exit(1)


def _read(path: Path | None) -> LinkParameters:
    from poliqi.ops.config import default_link, load_link

    return default_link() if path is None else load_link(path)


def _folder(keep: Path | None, stack: ExitStack) -> Path:
    if keep is None:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="poliqi-demo-")))
    try:
        keep.mkdir(mode=0o700, parents=True)
    except OSError as error:
        raise ConfigError(f"--keep {keep}: cannot be made: {error.strerror}; name a folder that is new") from error
    return keep


class _Json:
    """Every record as it comes."""

    def begin(self, link: LinkParameters, settings: DemoSettings) -> None:
        click.echo(json.dumps({"event": "demo", "link": link.name, "seed": settings.seed, "eve": settings.eve}))

    def say(self, record: dict[str, Any]) -> None:
        click.echo(json.dumps(record))

    def end(self, settings: DemoSettings, summary: DemoSummary) -> None:
        click.echo(json.dumps(_summary(settings, summary)))


class _Lines:
    """The blocks as lines to read, from Bob, who is the last to know that both ends hold the key."""

    def begin(self, link: LinkParameters, settings: DemoSettings) -> None:
        eve = "" if settings.eve is None else f", with Eve on the fibre: {settings.eve}"
        click.echo(f"{link.name}, {link.fibre.length_m / 1e3:g} km, SIMULATED LIGHT (seed {settings.seed}){eve}")
        click.echo("two processes, Alice and Bob, paired by a fresh pair file, over TCP on this machine")
        if not _compiled():
            click.echo("compiling the kernels for this machine, once: ten seconds or so ...")

    def say(self, record: dict[str, Any]) -> None:
        from poliqi.node.lines import describe

        shown = record["role"] == "bob" and record["event"] in ("block", "ready", "pad-low")
        if shown or record["event"] in ("failed", "waiting", "reconciler", "monitor", "quarantined"):
            click.echo(describe(record))

    def end(self, settings: DemoSettings, summary: DemoSummary) -> None:
        s = _summary(settings, summary)
        if summary.quarantine is not None:
            click.echo(f"\nthe link is QUARANTINED, so the demonstration ends here: {summary.quarantine}")
        if not s["net_bits"]:
            reason = summary.blocks[-1]["reason"] if summary.blocks else "-"
            click.echo(f"\n{_count(s['blocks'])}, no secret key: {reason}")
            return
        click.echo(f"\nSHA-256 of the key files  Alice {s['digest_alice'][:16]}  Bob {s['digest_bob'][:16]}  equal")
        click.echo("(a digest of a real key is never shown; these keys are simulated and protect nothing)")
        rate = "" if s["rate_bit_s"] is None else f", {s['rate_bit_s'] / 1e3:,.1f} kb/s of link time"
        click.echo(
            f"{_count(s['blocks'])}, {s['blocks_with_key']} with key: {s['gross_bits']:,} secret bits gross, "
            f"{s['refill_bits']:,} repay the pad, {s['net_bits']:,} net{rate}"
        )
        click.echo(
            f"first secret block after {s['first_key_s']:.1f} s; epsilon of all blocks together, if the light were "
            f"real: {s['epsilon_if_real']:.2g}"
        )
        if settings.kept:
            click.echo(f"key files: {settings.folder}/alice.keys and bob.keys, one record a block")


def _compiled() -> bool:
    from poliqi.base.jit import cache_folder

    folder = cache_folder()
    return folder is not None and any(folder.rglob("*additive*.nbi"))


def _count(blocks: int) -> str:
    return "1 block" if blocks == 1 else f"{blocks} blocks"


def _summary(settings: DemoSettings, summary: DemoSummary) -> dict[str, Any]:
    from poliqi.base.ids import Role
    from poliqi.optics.attack import parse_attack

    eve = None if settings.eve is None else parse_attack(settings.eve)
    with_key = [block for block in summary.blocks if block["gross_bits"]]
    light_s = sum(block["light_s"] or 0.0 for block in summary.blocks)
    net = summary.total("net_bits")
    return {
        "event": "summary",
        "light": "simulated light",
        "seed": settings.seed,
        "eve": settings.eve,
        "blocks": len(summary.blocks),
        "blocks_with_key": len(with_key),
        "gross_bits": summary.total("gross_bits"),
        "refill_bits": summary.total("refill_bits"),
        "net_bits": net,
        "rate_bit_s": net / light_s if light_s else None,
        "first_key_s": summary.first_key_s,
        "epsilon": None,
        "epsilon_if_real": max((block["epsilon_if_real"] for block in with_key), default=None),
        "quarantine": summary.quarantine,
        "not_secure": None if eve is None else unproven(eve, summary.total("gross_bits")),
        "digest_alice": summary.digests[Role.ALICE],
        "digest_bob": summary.digests[Role.BOB],
        "equal": summary.equal,
    }


# ---------------------------------------------------------------- what an attack looks like


def unproven(attack: Attack, gross_bits: int) -> str | None:
    """Why a key made under this attack is not secure; None where the proof pays for it, or there is no key."""
    from poliqi.link.response import WatchSettings
    from poliqi.optics.attack import OUTSIDE_PROOFS

    if not gross_bits or not attack.fraction or attack.kind not in OUTSIDE_PROOFS:
        return None
    return (
        "NOT SECURE: this attack breaks what the proof assumes, so the epsilon above says nothing of this key; a "
        f"fresh link's monitor knows no baseline until {WatchSettings().commissioning} clear blocks without Eve "
        "(commissioning), so it could not see it"
    )


def _judged(attack: Attack, summary: DemoSummary) -> str:
    """What is to be thought of how it ended, and who took the key away."""
    gross = summary.total("gross_bits")
    if gross:
        paid = "this key is secret all the same: the proof pays for this attack out of what was measured"
        return unproven(attack, gross) or (paid if attack.fraction else "nobody did anything, and there is key")
    if _is_refused(summary):
        why = "the counts may have met the contract, and the monitor refused the block on what the devices read"
    else:
        why = "the contract was not met, for the reason above"
    return f"no key is the RIGHT answer here: {why}"


def _is_refused(summary: DemoSummary) -> bool:
    """Whether it was a monitor that took the key away."""
    last = next((block["reason"] for block in reversed(summary.blocks) if block["reason"]), "")
    return summary.quarantine is not None or "monitor" in last or "quarantined" in last


def _what_eve_did(link: LinkParameters, attack: Attack, summary: DemoSummary) -> list[str]:
    """What was seen beside what an honest link shows, and what the bound makes of it."""
    from poliqi.optics.channel import expectation
    from poliqi.optics.parameters import Attack as Undisturbed

    block = next((b for b in summary.blocks if b["counts"]), None)
    lines = [
        "",
        f"what Eve did ({attack.kind.value}), in the first block:",
        f"{'':26}{'honest link':>14}{'seen':>14}",
    ]
    honest = expectation(replace(link, attack=Undisturbed()))
    for name, basis in (("key", honest.key), ("test", honest.test)):
        expected = sum(basis.errors) / sum(basis.detections)
        seen = None if not summary.blocks else summary.blocks[0][f"qber_{name}"]
        lines.append(f"{f'QBER, {name} basis':26}{expected:14.2%}" + (f"{seen:14.2%}" if seen is not None else ""))
    right = [_judged(attack, summary)]
    if block is None:
        capped = "error correction stopped at the leak cap: so many errors leave no key"
        return [*lines, *([] if _is_refused(summary) else [capped]), *right]
    counts, pulses = block["counts"], block["pulses"]
    names = [f"key clicks/pulse at {mu:g}" for mu in counts["intensities"]] or ["key coincidences/slot"]
    for k, name in enumerate(names):
        expected, seen = honest.key.detections[k], counts["key"]["detections"][k] / pulses
        lines.append(f"{name:26}{expected:14.3e}{seen:14.3e}")
    bound = block["bound"]
    if bound is not None:
        phase = "-" if bound["phase_error"] is None else f"{bound['phase_error']:.3f}"
        of = "rounds" if not counts["intensities"] else "single photons in the key basis"
        lines.append(f"bound: {bound['single_photon_key']:,.0f} {of}, phase error {phase}")
    return [*lines, *right]
