"""`poliqi link attacks`: every attack at every strength against the monitor, and what became of the blocks."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from poliqi.base.errors import ConfigError

if TYPE_CHECKING:
    from poliqi.ops.attack_sweep import Point

__all__ = ["command", "markdown", "point_record"]

_PAGE: Final = """# Attacks, what shows them, what becomes of them

Made by `{command}`; do not edit. Each row is {seeds} blocks of the simulated link {name} (the one of
`poliqi link demo`), each the first block that the monitor sees of the attack; on the classical channel {seeds} runs
of twenty sessions. The monitor was commissioned on 40 clean blocks and sees only what devices report; its stated
false-alarm probability is {alpha:g} a block. {{doc}}`../explanation/monitor` says what the outcomes mean and what
the monitor cannot see; strengths are those of `--eve` ({{doc}}`link-command`).

*detected* is quoted with its 95 % Clopper-Pearson interval. *key* counts the blocks whose counts alone met
the contract: where such a block is detected, policy decides, and by default an attack that the proof does
not cover gives none. *outside* means: not detected, a key was given, and the attack breaks what the proof assumes,
so that its epsilon says nothing of that key. Eve's strategy is known here: *too long* counts the undetected keys
that are longer than what she leaves; that a key is not too long is no proof of its secrecy. *harmless*: no key, or
an attack that the proof pays for and a key that is not too long. *wrong*: a key that is too long though the proof
claims to pay for the attack; it has to be 0.

In the rows *tampering or replay* the strength is the share of sessions that are hit, and what is played is the
count of sessions that ended so: a message that was changed or repeated after a tag had fitted. Attacks that act
together are not in the table; none that the proof pays for hides one that it does not
({{doc}}`../explanation/monitor`, under *Verdicts*).

| attack | strength | detected | 95 % interval | harmless | outside | wrong | key | too long | signature |
|---|---|---|---|---|---|---|---|---|---|
"""


@click.command("attacks")
@click.argument("link_toml", type=click.Path(path_type=Path), required=False, metavar="[LINK.toml]")
@click.option("--seeds", type=click.IntRange(1, 100_000), default=200, show_default=True, help="blocks a strength")
@click.option(
    "--alpha", type=click.FloatRange(1e-12, 0.5), default=1e-6, show_default=True, help="false alarms a block"
)
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@click.option("--markdown", "as_markdown", is_flag=True, help="print docs/reference/attacks.md")
def command(link_toml: Path | None, seeds: int, alpha: float, as_json: bool, as_markdown: bool) -> None:
    """Play every attack from full strength to none against the monitor, and say what became of the blocks.

    The monitor sees only what devices report. A block is detected, harmless (no key, or an attack that the proof
    pays for), or outside the proof's assumptions; never wrongly secure.

    Example: poliqi link attacks --seeds 50
    """
    from dataclasses import replace

    from poliqi.ops.attack_sweep import Bench, Outcome, sweep
    from poliqi.ops.config import default_link, load_link
    from poliqi.optics.parameters import Attack

    link = default_link() if link_toml is None else replace(load_link(link_toml), attack=Attack())
    if link.pairs is not None:
        raise ConfigError(
            f"{link_toml}: a link of entangled pairs: what Eve knows of its key is modelled for weak pulses only; "
            "give the LINK.toml of such a link, or none for that of `poliqi link demo`"
        )
    bench = Bench(link, alpha=alpha)
    points: list[Point] = []
    as_text = not (as_json or as_markdown)
    is_shown = sys.stderr.isatty() and not as_text
    for point in sweep(bench, seeds):
        points.append(point)
        if as_text:
            click.echo(_line(point))
        elif is_shown:
            click.echo(f"\r{point.attack} {point.strength:g}".ljust(60), err=True, nl=False)
    if is_shown:
        click.echo("\r".ljust(61) + "\r", err=True, nl=False)
    if as_json:
        click.echo(json.dumps({"link": link.name, "alpha": alpha, "points": [point_record(p) for p in points]}))
    elif as_markdown:
        named = "" if link_toml is None else f" {link_toml.name}"
        click.echo(
            markdown(points, link.name, seeds, alpha, f"poliqi link attacks{named} --seeds {seeds} --markdown")
        )
    wrong = sum(point.outcomes[Outcome.WRONG] for point in points)
    if wrong:
        click.echo(f"{wrong} blocks were called secure and are not: this is an error of the software", err=True)
        sys.exit(1)


def point_record(point: Point) -> dict[str, Any]:
    """A point as plain data."""
    low, high = point.interval
    return {
        "attack": point.attack,
        "strength": point.strength,
        "text": point.text,
        "seeds": point.seeds,
        "outcomes": {outcome.name.lower(): count for outcome, count in point.outcomes.items()},
        "detected_interval": [low, high],
        "interval_confidence": 0.95,
        "met_contract": point.with_key,
        "too_long": point.too_long,
        "named": point.named,
        "signature": dict(point.signs),
    }


def markdown(points: list[Point], name: str, seeds: int, alpha: float, command_line: str) -> str:
    """The page docs/reference/attacks.md."""
    rows = [_row(point) for point in points]
    return _PAGE.format(command=command_line, seeds=seeds, name=name, alpha=alpha) + "\n".join(rows)


def _row(point: Point) -> str:
    detected, harmless, outside, wrong = point.outcomes.values()
    low, high = point.interval
    signs = ", ".join(f"`{sign}`" for sign, _ in point.signs) or "-"
    interval = f"{low:.3f} to {high:.3f}"
    cells = (
        point.attack,
        f"{point.strength:g}",
        detected,
        interval,
        harmless,
        outside,
        wrong,
        point.with_key,
        point.too_long,
        signs,
    )
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _line(point: Point) -> str:
    low, high = point.interval
    became = ", ".join(f"{count} {outcome}" for outcome, count in point.outcomes.items() if count)
    signs = " ".join(sign for sign, _ in point.signs)
    return f"{point.attack:24s} {point.strength:<8g} {became:32s} detection {low:.3f} to {high:.3f}  {signs}"
