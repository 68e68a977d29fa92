"""`poliqi rate LINK.toml`: what a link will give, per block and per second, and how far it reaches."""

from __future__ import annotations

import math
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from poliqi.base.chartstyle import check_format
from poliqi.base.errors import ConfigError
from poliqi.base.units import parse_quantity
from poliqi.ops.config import default_link
from poliqi.ops.model_toml import load_model
from poliqi.ops.plots import SweepPoint, draw_rate
from poliqi.optics.arms import alice_arm, bob_arm
from poliqi.optics.attack import parse_attack
from poliqi.optics.fibre import link_loss_db, loss_budget_db
from poliqi.optics.optimise import optimise
from poliqi.optics.pairs import pair_probabilities
from poliqi.optics.parameters import LinkParameters
from poliqi.optics.prediction import Prediction, at_length, caveats, predict
from poliqi.proof import BasisCounts, block_needed

__all__ = ["answer", "command", "sweep"]

_WIDTH: Final = 100
_POINTS: Final = 61
_STEP_M: Final = 5e3
_FARTHEST_M: Final = 500e3


def answer(prediction: Prediction) -> dict[str, Any]:
    """The prediction as plain data: what --json prints."""
    link, mean, key = prediction.link, prediction.expectation, prediction.key
    clock = link.source.clock_hz
    return {
        "name": link.name,
        "rate_bits_per_s": prediction.rate_hz,
        "endless_rate_bits_per_s": prediction.endless_rate_hz,
        "block": {
            "secret_bits": key.length,
            "seconds": prediction.block_s,
            "pulses": prediction.pulses,
            "sifted_key": link.block.sifted_key,
            "reason": key.reason,
            "factor_needed": None if key.reason is None else _factor_needed(prediction),
        },
        "source": {
            "intensities": link.source.intensities,
            "probabilities": link.source.probabilities,
            "key_basis": link.source.key_basis,
            "receiver_key_basis": link.receiver_key_basis,
        },
        "pairs": _pairs(prediction),
        "gains": mean.gains,
        "qber_key": mean.qber_key,
        "qber_test": mean.qber_test,
        "qber_key_by_intensity": _ratios(mean.key),
        "qber_test_by_intensity": _ratios(mean.test),
        "loss_db": {**loss_budget_db(link), "total": link_loss_db(link)},
        "clicks_per_s": mean.clicks * clock,
        "sifted_key_per_s": mean.key.total_detections * clock,
        "live_fraction": mean.live,
        "double_clicks_per_s": mean.doubles * clock,
        "afterpulses_per_s": mean.afterpulses * clock,
        "leak": {"bits": key.leak_bits, "model": link.block.leak_model, "efficiency": link.block.efficiency},
        "proof": {
            "name": key.proof,
            "paper": key.paper,
            "clamped": key.clamped,
            "phase_error": key.phase_error if math.isfinite(key.phase_error) else None,
            "single_photon_key": key.single_photon_key,
            "single_photon_test": key.single_photon_test,
            "tolerated_error": key.tolerated_error,
            "ledger": key.ledger.as_dict(),
        },
        "counts": {
            "key": {"detections": prediction.counts.key.detections, "errors": prediction.counts.key.errors},
            "test": {"detections": prediction.counts.test.detections, "errors": prediction.counts.test.errors},
        },
        "assumptions": [*caveats(link), *key.assumptions],
    }


def sweep(link: LinkParameters, farthest_m: float, *, optimised: bool) -> list[SweepPoint]:
    """The link at lengths from 0 to `farthest_m`; `optimised`: with the best source settings at each."""
    points: list[SweepPoint] = []
    for i in range(_POINTS):
        here = at_length(link, farthest_m * i / (_POINTS - 1))
        points.append(_point(predict(optimise(here) if optimised else here)))
    return points


def _point(p: Prediction) -> SweepPoint:
    mean = p.expectation
    return SweepPoint(p.link.fibre.length_m, p.rate_hz, p.endless_rate_hz, mean.qber_key, mean.qber_test)


def _reach_m(link: LinkParameters) -> float:
    """A round length at which even an endless block gives nothing, and beyond the link's own."""
    length = _STEP_M * math.ceil(max(1.3 * link.fibre.length_m, 20e3) / _STEP_M)
    while length < _FARTHEST_M and predict(at_length(link, length)).endless_rate_hz > 0.0:
        length += _STEP_M
    return length


def _ratios(basis: BasisCounts) -> list[float | None]:
    return [m / n if n > 0 else None for n, m in zip(basis.detections, basis.errors, strict=True)]


def _factor_needed(p: Prediction) -> float | None:
    block = p.link.block
    return block_needed(
        p.counts,
        proof=block.proof,
        leak_bits=p.key.leak_bits,
        epsilon_sec=block.epsilon_sec,
        epsilon_cor=block.epsilon_cor,
        clamp=block.clamp,
        intensity_uncertainty=block.intensity_uncertainty or None,
        tolerated_error=p.key.tolerated_error,
    )


def _pairs(p: Prediction) -> dict[str, Any] | None:
    """What a link of entangled pairs has besides: per second, and what lies between the source and each end."""
    link, clock = p.link, p.link.source.clock_hz
    if link.pairs is None:
        return None
    seen = pair_probabilities(link)
    return {
        "mean": link.source.intensities[0],
        "statistics": link.pairs.statistics,
        "place": link.pairs.place,
        "alice_clicks_per_s": seen.alice * clock,
        "bob_clicks_per_s": p.expectation.clicks * clock,
        "coincidences_per_s": float(seen.total[:4].sum()) * p.expectation.live * clock,
        "alice_loss_db": link_loss_db(alice_arm(link)),
        "bob_loss_db": link_loss_db(bob_arm(link)),
    }


def table(result: dict[str, Any], *, written: dict[str, Any] | None) -> str:
    """The answer for people; `written` is the answer for the file as it is, where another was optimised."""
    block, source, proof, leak = result["block"], result["source"], result["proof"], result["leak"]
    lines = [f"{result['name']}: {_rate(result['rate_bits_per_s'])}", ""]
    if block["reason"] is not None:
        lines += _wrapped(f"no key             {block['reason']}", 19)
        lines.append(f"block needed       {_needed(block)}")
    lines += [
        f"per block          {block['secret_bits']:,} secret bits of {block['sifted_key']:,} sifted",
        f"block time         {block['seconds']:.4g} s, {block['pulses']:.4g} pulses",
        f"endless block      {_rate(result['endless_rate_bits_per_s'])}",
        "",
        f"QBER               key basis {_percent(result['qber_key'])}, test basis {_percent(result['qber_test'])}",
        f"clicks             {result['clicks_per_s']:.4g} /s, live {_percent(result['live_fraction'])} of the time",
        f"sifted key         {result['sifted_key_per_s']:.4g} /s",
        f"double clicks      {result['double_clicks_per_s']:.4g} /s",
        f"afterpulses        {result['afterpulses_per_s']:.4g} /s",
        f"leak               {leak['bits']:.4g} bits predicted: {leak['model']}, f = {leak['efficiency']:g}",
        f"proof              {proof['name']}, {_phase(proof['phase_error'])}",
        "loss               "
        + ", ".join(f"{name} {db:.2f}" for name, db in result["loss_db"].items() if db or name == "total")
        + " dB",
        "",
        *(_pair_lines(result["pairs"], proof) if result["pairs"] else _intensity_lines(result)),
    ]
    lines.append(f"key basis: Alice {source['key_basis']:.4f}, Bob {source['receiver_key_basis']:.4f}")
    if written is not None:
        before = written["rate_bits_per_s"]
        lines.append(f"optimised: these settings in place of the file's, which give {_rate(before)}")
    lines += ["", "this rests on"]
    for text in result["assumptions"]:
        lines += _wrapped(f"  - {text}", 4)
    return "\n".join(lines)


def _intensity_lines(result: dict[str, Any]) -> list[str]:
    rows = zip(
        result["source"]["intensities"],
        result["source"]["probabilities"],
        result["gains"],
        result["qber_key_by_intensity"],
        result["qber_test_by_intensity"],
        strict=True,
    )
    return [
        "intensity   probability   gain per live slot   QBER key   QBER test",
        *(f"{mu:9.4f}   {p:11.4f}   {g:18.6f}   {_percent(k):>8}   {_percent(t):>9}" for mu, p, g, k, t in rows),
    ]


def _pair_lines(pairs: dict[str, Any], proof: dict[str, Any]) -> list[str]:
    light = f"{pairs['mean']:.4g} a slot, {pairs['statistics']}"
    losses = f"{pairs['alice_loss_db']:.2f} dB to her, {pairs['bob_loss_db']:.2f} dB to Bob"
    clicks = ", ".join(
        f"{name} {pairs[key]:.4g} /s"
        for name, key in (
            ("Alice", "alice_clicks_per_s"),
            ("Bob", "bob_clicks_per_s"),
            ("both", "coincidences_per_s"),
        )
    )
    return [
        f"entangled pairs    {light}; Q_tol agreed beforehand {_percent(proof['tolerated_error'])}",
        f"source             at {100 * pairs['place']:g} % of the fibre from Alice: {losses}",
        f"clicks             {clicks}",
    ]


def _rate(bits_per_s: float) -> str:
    if bits_per_s == 0.0:
        return "no secret key"
    for unit, factor in (("Mbit/s", 1e6), ("kbit/s", 1e3)):
        if bits_per_s >= factor:
            return f"{bits_per_s / factor:.4g} {unit} of secret key"
    return f"{bits_per_s:.4g} bit/s of secret key"


def _needed(block: dict[str, Any]) -> str:
    factor = block["factor_needed"]
    if factor is None:
        return "no length of block gives a key at these rates; try --optimise"
    return f"about {factor:.4g} times this one, {factor * block['sifted_key']:.3g} sifted bits; or try --optimise"


def _phase(phase_error: float | None) -> str:
    return "no bound on the phase error" if phase_error is None else f"phase error <= {100 * phase_error:.3f} %"


def _percent(ratio: float | None) -> str:
    return "-" if ratio is None else f"{100 * ratio:.3f} %"


def _wrapped(text: str, indent: int) -> list[str]:
    return textwrap.wrap(text, _WIDTH, subsequent_indent=" " * indent, break_long_words=False)


@click.command(
    help="""What a link will give: gains, QBER, finite key per block and per second, block time.

    LINK is a LINK.toml (docs: reference/link-toml); without one the Leonardo-Bovisa link of `poliqi link demo` is
    taken, whose fibre is invented. A table [pairs] in it makes it a link of entangled pairs. The numbers are
    averages of the channel model, put through the proof for a block of the size in the file. Where there is no
    key the reason is named and the exit code is 0.

    A file with a table [cv_qkd] (continuous variables) or [mdi] (an untrusted hub) is a rate model: asymptotic, and
    there is no device or session of that kind here (docs: reference/rate-models).

    \b
    Examples:
      poliqi rate examples/reference/snspd-10km.toml
      poliqi rate examples/models/cv-qkd-25km.toml --plot reach.svg
      poliqi rate LINK.toml --optimise             best intensities, probabilities and key basis
      poliqi rate LINK.toml --plot reach.svg       key rate and QBER against distance
      poliqi rate LINK.toml --eve intercept=0.2    the same link under attack
    """
)
@click.argument("link", required=False, type=click.Path(dir_okay=False))
@click.option(
    "--optimise", "optimised", is_flag=True, help="Find the source settings that give most key per second."
)
@click.option(
    "--eve",
    metavar="ATTACK",
    help="intercept=0.2, pns, blinding=0.5, time-shift, trojan=1e-6, tap=3dB, cut, jam=0.01.",
)
@click.option(
    "--block", "sifted_key", type=click.IntRange(min=1), help="Sifted key bits of a block, for the file's."
)
@click.option("--plot", type=click.Path(dir_okay=False), help="Draw rate against distance into this .svg or .png.")
@click.option(
    "--max-distance", metavar="LENGTH", help='How far the plot reaches, such as "80 km"; default: to no key.'
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON; with --plot or --max-distance the curve is in it."
)
def command(
    link: str | None,
    optimised: bool,
    eve: str | None,
    sifted_key: int | None,
    plot: str | None,
    max_distance: str | None,
    as_json: bool,
) -> None:
    """Print what LINK will give."""
    if plot is not None:
        check_format(Path(plot))
    model = default_link() if link is None else load_model(link)
    farthest = None if max_distance is None else parse_quantity(max_distance, "m", "--max-distance")
    if farthest is not None and not 0.0 < farthest <= _FARTHEST_M:
        raise ConfigError(f"--max-distance: {farthest / 1e3:g} km is outside 0 to {_FARTHEST_M / 1e3:g} km")
    if not isinstance(model, LinkParameters):
        from poliqi.ops.commands.rate_models import refuse, say

        refuse({"--optimise": optimised, "--eve": eve is not None, "--block": sifted_key is not None})
        say(model, plot=plot, farthest_m=farthest, as_json=as_json)
        return
    parameters = _parameters(model, eve, sifted_key)
    written = predict(parameters)
    chosen = predict(optimise(parameters)) if optimised else written
    result = answer(chosen) | {"optimised": optimised}
    if optimised:
        result["written"] = {"rate_bits_per_s": written.rate_hz}
    if plot is not None or farthest is not None:
        points = sweep(chosen.link, farthest or _reach_m(chosen.link), optimised=optimised)
        result["against_distance"] = points
        if plot is not None:
            title = f"{parameters.name}" + (", source settings optimised at each length" if optimised else "")
            label = f"block of {parameters.block.sifted_key:,} sifted bits"
            draw_rate(points, _point(chosen), title, label, Path(plot))
    if as_json:
        click.echo(msgspec.json.encode(result).decode())
        return
    click.echo(table(result, written=answer(written) if optimised else None))
    if plot is not None:
        click.echo(f"\nplot written to {plot}")


def _parameters(parameters: LinkParameters, eve: str | None, sifted_key: int | None) -> LinkParameters:
    if eve is not None:
        parameters = replace(parameters, attack=parse_attack(eve))
    if sifted_key is not None:
        parameters = replace(parameters, block=replace(parameters.block, sifted_key=sifted_key))
    return parameters
