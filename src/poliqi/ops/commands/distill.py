"""`poliqi distill EVENTS`: both parties over a recording, and everything that was measured on it."""

from __future__ import annotations

import json
import math
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from poliqi.base.errors import ConfigError
from poliqi.base.ids import Origin

if TYPE_CHECKING:
    from poliqi.distill.contract import Contract
    from poliqi.distill.outcome import BlockReport
    from poliqi.link.recording import LinkFigures, Recording
    from poliqi.node.recorded import Distilled
    from poliqi.optics.parameters import LinkParameters, Source
    from poliqi.proof import Counts

__all__ = ["command"]

_ASSUMED: Final = (0.5, 0.15, 0.001)
PATH = click.Path(path_type=Path)


@click.command()
@click.argument("events", type=PATH)
@click.option(
    "--link", "link_toml", type=PATH, metavar="LINK.toml", help="the link that was recorded: makes a contract"
)
@click.option(
    "--length",
    type=click.IntRange(0),
    help="secret bits of the contract: 0, or 1024 and more (else planned from the link)",
)
@click.option(
    "--proof", type=click.Choice(["wiesemann", "rusca", "lim", "bbm92"]), help="security proof (else the link's)"
)
@click.option("--report", type=PATH, metavar="FILE", help="write the report there as JSON")
@click.option("--json", "as_json", is_flag=True, help="print the report as JSON")
def command(
    events: Path, link_toml: Path | None, length: int | None, proof: str | None, report: Path | None, as_json: bool
) -> None:
    """Distil a recording: run Alice and Bob over EVENTS (binary or CSV) and report what key it gives.

    With --link a contract is planned before the events are looked at, and the block gives exactly its length
    or nothing. Without --link the contract only measures: counts, errors, leak, and the block that would be
    needed for a key. Keys of recordings protect nothing, whatever their length.
    """
    from poliqi.distill.contract import SMALLEST_LENGTH
    from poliqi.edge.recordings import open_recording
    from poliqi.node.recorded import distil_recording

    recording = open_recording(events)
    link, assumed = _link(recording, link_toml, proof)
    if length is not None and link_toml is None:
        raise ConfigError("--length: give --link too, since a contract rests on the link's intensities and losses")
    if length is not None and 0 < length < SMALLEST_LENGTH:
        raise ConfigError(f"--length {length}: repays no pad; give 0, or {SMALLEST_LENGTH} and more")
    contract = _contract(recording, link, length, measure=link_toml is None)
    if not as_json:
        click.echo(f"distilling {recording.slots.size:,} events of {recording.pulses:,} slots ...", err=True)
    answer = _answer(events, recording, link, assumed, contract, distil_recording(recording, contract))
    if link_toml is None:
        answer["reason"] = (
            answer["bound"] and answer["bound"]["reason"]
        ) or "measured without a contract: give --link"
    elif length is not None and length > contract.length:
        largest = answer["bound"]["largest_length"] if answer["bound"] else 0
        answer["reason"] = f"the counts support at most {largest} secret bits, the contract asks {length}"
    if report is not None:
        try:
            report.write_text(json.dumps(answer, indent=2) + "\n")
        except OSError as error:
            raise ConfigError(f"--report {report}: cannot be written: {error.strerror}") from error
    click.echo(json.dumps(answer) if as_json else _text(answer))


def _link(recording: Recording, path: Path | None, proof: str | None) -> tuple[LinkParameters, bool]:
    """The link to judge the recording by, and whether its intensities are merely assumed."""
    from poliqi.ops.config import default_link, load_link
    from poliqi.proof import ProofName

    known, levels = recording.light.link, recording.light.levels
    link = default_link() if path is None else load_link(path)
    if path is not None and known is not None:
        named = (known.intensities, known.probabilities)
        if named != (link.source.intensities, link.source.probabilities):
            raise ConfigError(
                f"--link {path}: its intensities {link.source.intensities} and probabilities "
                f"{link.source.probabilities} are not those of the recording, {named[0]} and {named[1]}: "
                "name the link that was recorded"
            )
    if path is None and known is not None:
        link = _known(link, known, levels)
    elif path is None and levels <= len(_ASSUMED):
        link = replace(link, source=_assumed(recording, link.source))
    if levels > len(link.source.intensities):
        raise ConfigError(
            f"the recording has {levels} intensities, {link.name} {len(link.source.intensities)}: name its --link"
        )
    chosen = link.block.proof if proof is None else ProofName(proof)
    if (chosen is ProofName.BBM92) != (link.pairs is not None):
        kind = "weak pulses" if link.pairs is None else "entangled pairs"
        raise ConfigError(
            f"--proof {chosen}: {link.name} is a link of {kind}; bbm92 is for pairs, and pairs for bbm92"
        )
    if proof is None and len(link.source.intensities) == 3:
        chosen = ProofName.LIM
    return replace(link, block=replace(link.block, proof=chosen)), path is None and known is None


def _known(link: LinkParameters, known: LinkFigures, levels: int) -> LinkParameters:
    """`link` with the public figures of the recorded one in it: of pairs, where it has a single level."""
    from poliqi.optics.parameters import Pairs
    from poliqi.proof import ProofName

    source = replace(link.source, intensities=known.intensities, probabilities=known.probabilities)
    if levels > 1:
        return replace(link, name=known.name, source=source)
    source, block = replace(source, intensity_noise=0.0), replace(link.block, proof=ProofName.BBM92)
    return replace(link, name=known.name, source=source, block=block, pairs=Pairs())


def _assumed(recording: Recording, source: Source) -> Source:
    """Intensities for a recording that names none: usual ones, sent so often that an honest link would have
    detected them as the recording did.
    """
    import numpy as np

    intensities = _ASSUMED[: max(recording.light.levels, 2)]
    seen = np.bincount(recording.states >> 2, minlength=len(intensities))
    weights = [max(int(n), 1) / mu for n, mu in zip(seen, intensities, strict=True)]
    total = math.fsum(weights)
    return replace(source, intensities=intensities, probabilities=tuple(w / total for w in weights))


def _contract(recording: Recording, link: LinkParameters, length: int | None, *, measure: bool) -> Contract:
    from poliqi.distill.plan import measuring_contract, plan_contract
    from poliqi.edge.entropy import OperatingSystemEntropy
    from poliqi.node.recorded import LINK_ID

    pulses, source = recording.pulses, OperatingSystemEntropy().source
    if measure:
        events = max(recording.slots.size, 1)
        return measuring_contract(
            link, pulses, link_id=LINK_ID, origin=Origin.REPLAY, entropy=source, max_detections=events
        )
    planned = plan_contract(link, pulses, link_id=LINK_ID, origin=Origin.REPLAY, entropy=source, length=length)
    return msgspec.structs.replace(planned, length=min(planned.length, planned.max_detections))


# ---------------------------------------------------------------- the report


def _answer(
    events: Path, recording: Recording, link: LinkParameters, assumed: bool, contract: Contract, found: Distilled
) -> dict[str, Any]:
    from poliqi.distill.contract import encode_contract

    r = found.report
    return {
        "recording": {
            "file": str(events),
            "events": recording.slots.size,
            "slots": recording.pulses,
            "levels": recording.light.levels,
            "light": recording.light.origin.value,
        },
        "link": {"name": link.name, "intensities_assumed": assumed},
        "contract": msgspec.msgpack.decode(encode_contract(contract)),
        "detections": r.detections,
        "sifted": {"key": r.sifted_key, "test": r.sifted_test},
        "qber": {"key": r.qber_key, "test": r.qber_test},
        "counts": None if r.counts is None else _counts(r.counts),
        "f": r.efficiency,
        "leak": {
            "alice": r.leak_alice,
            "bob": r.leak_bob,
            "model": r.leak_model.value,
            "counted": r.leak_counted,
            "cap": r.leak_cap,
        },
        "reconciler": r.reconciler,
        "rounds": r.rounds,
        "failed_frames": r.failed_frames,
        "verified": r.verified,
        "secret_length": r.gross_bits,
        "net_bits": r.net_bits,
        "reason": found.reason,
        "keys_equal": found.equal,
        "epsilon": None,
        "epsilon_if_real": None if r.ledger is None or not r.gross_bits else r.ledger.total,
        "ledger_if_real": None if r.ledger is None else r.ledger.as_dict(),
        "bound": _bound(r, contract),
    }


def _counts(counts: Counts) -> dict[str, Any]:
    answer: dict[str, Any] = {"intensities": list(counts.intensities), "probabilities": list(counts.probabilities)}
    for name, basis in (("key", counts.key), ("test", counts.test)):
        pairs = list(zip(basis.detections, basis.errors, strict=True))
        answer[name] = {
            "detections": [int(n) for n, _ in pairs],
            "errors": [int(m) for _, m in pairs],
            "qber": [m / n if n else None for n, m in pairs],
        }
    return answer


def _bound(r: BlockReport, contract: Contract) -> dict[str, Any] | None:
    """The proof on what was seen, with the bits really revealed in place of the cap."""
    from poliqi.proof import block_needed, secret_length

    if r.counts is None:
        return None
    terms: dict[str, Any] = {
        "proof": contract.proof,
        "leak_bits": r.leak_counted,
        "epsilon_sec": contract.epsilon_sec,
        "epsilon_cor": contract.epsilon_cor,
        "clamp": contract.clamp,
        "intensity_uncertainty": contract.intensity_uncertainty or None,
    }
    best = secret_length(r.counts, **terms)
    factor = block_needed(r.counts, **terms)
    return {
        "largest_length": best.length,
        "reason": best.reason,
        "proof": best.proof.value,
        "paper": best.paper,
        "phase_error": best.phase_error if math.isfinite(best.phase_error) else None,
        "single_photon_key": best.single_photon_key,
        "single_photon_test": best.single_photon_test,
        "single_photon_test_errors": best.single_photon_test_errors,
        "tolerated_error": best.tolerated_error,
        "assumptions": list(best.assumptions if r.bound is None else r.bound.assumptions),
        "block_needed": None
        if factor is None
        else {
            "factor": factor,
            "sifted_key": math.ceil(factor * r.sifted_key),
            "slots": math.ceil(factor * r.pulses),
        },
    }


def _text(a: dict[str, Any]) -> str:
    qber, leak, sifted = a["qber"], a["leak"], a["sifted"]
    assumed = a["link"]["intensities_assumed"]
    intensities = ", ".join(f"{mu:g}" for mu in a["contract"]["intensities"])
    light = f"intensities {intensities}" if intensities else "entangled pairs"
    lines = [
        f"events          {a['recording']['events']:,} in {a['recording']['slots']:,} slots, light: replayed",
        f"link            not named; intensities {intensities} and their shares are ASSUMED: give --link"
        if assumed
        else f"link            {a['link']['name']}, {light}",
        f"sifted          {sifted['key']:,} key, {sifted['test']:,} test",
        f"QBER            {_percent(qber['key'])} key, {_percent(qber['test'])} test",
    ]
    if a["counts"] is not None:
        for name in ("key", "test"):
            at = [f"at {mu:<6g}" for mu in a["counts"]["intensities"]] or ["coincid. "]
            for mu, n, m, q in zip(at, *a["counts"][name].values(), strict=True):
                lines.append(f"  {name:4} {mu}  {n:>12,} detections {m:>10,} errors  {_percent(q)}")
    f = "-" if a["f"] is None else f"{a['f']:.3f}"
    said = f"{leak['alice']:,} bits by Alice, {leak['bob']:,} by Bob"
    verified = "verified" if a["verified"] else "NOT verified"
    lines += [
        f"f               {f} of Shannon's limit, {a['reconciler']}, {a['rounds']} rounds, {verified}",
        f"leak            {said}; {leak['counted']:,} count ({leak['model']})",
    ]
    lines += _verdict(a)
    return "\n".join(lines)


def _verdict(a: dict[str, Any]) -> list[str]:
    bound = a["bound"]
    lines: list[str] = []
    if a["secret_length"]:
        lines.append(
            f"SECRET LENGTH   {a['secret_length']:,} bits gross, {a['net_bits']:,} net of the pad's refill"
        )
        lines.append(f"both ends       hold {'the same key' if a['keys_equal'] else 'DIFFERENT KEYS'}")
        lines.append(f"epsilon         none: replayed light proves nothing; real light: {a['epsilon_if_real']:.2g}")
    else:
        lines.append(f"SECRET LENGTH   0: {a['reason']}")
    if bound is None:
        return lines
    lines += textwrap.wrap(f"proof           {bound['proof']}: {bound['paper']}", 110, subsequent_indent=" " * 16)
    phase = bound["phase_error"]
    lines.append(f"bounds          {_bounded(bound)}; phase error {'-' if phase is None else f'{phase:.4f}'}")
    if bound["largest_length"]:
        lines.append(f"a contract      could have had up to {bound['largest_length']:,} bits with these counts")
        lines.append("this rests on")
        for assumption in bound["assumptions"]:
            lines += textwrap.wrap(f"  - {assumption}", 110, subsequent_indent="    ")
        return lines
    lines.append(f"no contract     could have had key from these counts: {bound['reason']}")
    need = bound["block_needed"]
    lines.append(
        "block needed    none is long enough at these rates"
        if need is None
        else f"block needed    about {need['factor']:,.0f} times longer: {need['sifted_key']:,} sifted key bits"
    )
    return lines


def _bounded(bound: dict[str, Any]) -> str:
    if bound["tolerated_error"] is not None:
        return f"test error rate {bound['tolerated_error']:.4f} at least to be tolerated"
    return f"single photons {bound['single_photon_key']:,.0f} key, {bound['single_photon_test']:,.0f} test"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f} %"
