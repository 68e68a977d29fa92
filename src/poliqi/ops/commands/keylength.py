"""`poliqi keylength COUNTS.json`: the secret length that a proof grants to a table of counts."""

from __future__ import annotations

import math
import sys
import textwrap
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.proof import (
    BasisCounts,
    Counts,
    ProofName,
    block_needed,
    fitting_proofs,
    secret_length,
    shannon_leak,
)

__all__ = ["answer", "command", "read_counts"]

LARGEST_FILE: Final = 1 << 20
_QUOTED: Final = 160
_WIDTH: Final = 100
_PLANNED: Final = (
    "leak_bits is planned as f N h(M/N); a contract fixes a leak cap, and a block counts what it really revealed."
)

EXAMPLE: Final = """{"intensities": [0.5, 0.15], "probabilities": [0.7, 0.3],
     "key":  {"detections": [27653995, 3618277], "errors": [277096, 36421]},
     "test": {"detections": [341407, 44670],     "errors": [3421, 450]},
     "f": 1.16, "epsilon_sec": 1e-9, "epsilon_cor": 1e-15}"""


class BasisFile(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Detections and errors of one basis, in the order of the intensities."""

    detections: list[float]
    errors: list[float]


class CountsFile(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """The form of COUNTS.json."""

    key: BasisFile
    test: BasisFile
    epsilon_sec: float
    epsilon_cor: float
    intensities: list[float] = []
    probabilities: list[float] = []
    tolerated_error: float | None = None
    leak_bits: float | None = None
    f: float | None = None
    intensity_uncertainty: float | list[float] | None = None


class Question(msgspec.Struct, frozen=True):
    """What COUNTS.json asks: checked counts, the leak (`planned` from f, or counted) and the epsilons."""

    counts: Counts
    leak_bits: float
    planned: bool
    epsilon_sec: float
    epsilon_cor: float
    intensity_uncertainty: float | tuple[float, ...] | None
    tolerated_error: float | None = None


def read_counts(data: bytes) -> Question:
    """Read the bytes of a COUNTS.json. Raises DataRefused or ConfigError; never anything else."""
    if len(data) > LARGEST_FILE:
        raise DataRefused(f"counts: more than {LARGEST_FILE} bytes, the limit; a table of counts has a few hundred")
    try:
        file = msgspec.json.decode(data, type=CountsFile)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DataRefused(f"counts: {_quoted(error)}; `poliqi keylength --help` shows the form") from error
    if (file.leak_bits is None) == (file.f is None):
        both = "both are" if file.f is not None else "neither is"
        raise ConfigError(
            f"counts: give either leak_bits (bits revealed) or f (efficiency, for planning); {both} given"
        )
    counts = Counts(
        tuple(file.intensities),
        tuple(file.probabilities),
        BasisCounts(tuple(file.key.detections), tuple(file.key.errors)),
        BasisCounts(tuple(file.test.detections), tuple(file.test.errors)),
    )
    leak_bits = shannon_leak(counts, file.f) if file.f is not None else file.leak_bits or 0.0
    uncertain = file.intensity_uncertainty
    box = tuple(uncertain) if isinstance(uncertain, list) else uncertain
    return Question(
        counts, leak_bits, file.f is not None, file.epsilon_sec, file.epsilon_cor, box, file.tolerated_error
    )


def answer(question: Question, proof: ProofName, *, clamp: bool) -> dict[str, Any]:
    """The answer as plain data: what --json prints."""
    result = secret_length(
        question.counts,
        proof=proof,
        leak_bits=question.leak_bits,
        epsilon_sec=question.epsilon_sec,
        epsilon_cor=question.epsilon_cor,
        clamp=clamp,
        intensity_uncertainty=question.intensity_uncertainty,
        tolerated_error=question.tolerated_error,
    )
    factor = block_needed(
        question.counts,
        proof=proof,
        leak_bits=question.leak_bits,
        epsilon_sec=question.epsilon_sec,
        epsilon_cor=question.epsilon_cor,
        clamp=clamp,
        intensity_uncertainty=question.intensity_uncertainty,
        tolerated_error=question.tolerated_error,
    )
    return {
        "length": result.length,
        "phase_error": result.phase_error if math.isfinite(result.phase_error) else None,
        "single_photon_key": result.single_photon_key,
        "single_photon_test": result.single_photon_test,
        "single_photon_test_errors": result.single_photon_test_errors,
        "vacuum": result.vacuum,
        "proof": result.proof.value,
        "ledger": result.ledger.as_dict(),
        "reason": result.reason,
        "exact_length": result.exact_length,
        "leak_bits": result.leak_bits,
        "epsilon": result.ledger.total,
        "tolerated_error": result.tolerated_error,
        "clamped": result.clamped,
        "intensities": list(result.intensities),
        "block_factor": factor,
        "paper": result.paper,
        "assumptions": [*result.assumptions, *([_PLANNED] if question.planned else [])],
    }


def table(result: dict[str, Any], key_detections: float) -> str:
    """The answer for people: what, from which proof, resting on what."""
    clamped = " (m3- and n3- clamped at 0)" if result["clamped"] else ""
    lines = [
        f"secret length   {result['length']} bits, the largest length a contract could have had",
        *_wrapped(f"proof           {result['proof']}{clamped}: {result['paper']}", 16),
    ]
    if result["reason"] is not None:
        lines += _wrapped(f"no key          {result['reason']}", 16)
        lines.append(f"block needed    {_needed(result['block_factor'], key_detections)}")
    phi = "no bound" if result["phase_error"] is None else f"{result['phase_error']:.8f}"
    vacuum = "not counted by this proof" if result["vacuum"] is None else f"{result['vacuum']:.3f}"
    lines += [
        "",
        f"key-basis detections          {key_detections:.0f}",
        *_rounds(result),
        f"phase error, key basis     <= {phi}",
        *([f"vacuum detections, key     >= {vacuum}"] if result["tolerated_error"] is None else []),
        f"bits revealed                 {result['leak_bits']:.3f}",
        f"length before rounding down   {result['exact_length']:.3f}",
        "",
        f"{'a key would be' if result['reason'] else 'the key is'} {result['epsilon']:.6g}-secure; the ledger:",
    ]
    lines += [
        f"  {e['value']:9.3g} = {e['uses']} x {e['each']:.3g}  {e['name']}" for e in result["ledger"]["entries"]
    ]
    lines += ["", "this holds if"]
    for text in result["assumptions"]:
        lines += _wrapped(f"  - {text}", 4)
    return "\n".join(lines)


def _rounds(result: dict[str, Any]) -> list[str]:
    """What the bounds are counted in: single photons, or the rounds of pairs themselves."""
    key, test, errors = (result[f"single_photon_{name}"] for name in ("key", "test", "test_errors"))
    if result["tolerated_error"] is not None:
        return [
            f"test-basis detections         {test:.0f}",
            f"error rate tolerated in it    {result['tolerated_error']:.6f}, {errors:.3f} errors",
        ]
    return [
        f"single photons, key basis  >= {key:.3f}",
        f"single photons, test basis >= {test:.3f}",
        f"their errors, test basis   <= {errors:.3f}",
    ]


def _wrapped(text: str, indent: int) -> list[str]:
    return textwrap.wrap(text, _WIDTH, subsequent_indent=" " * indent, break_long_words=False)


def _needed(factor: float | None, key_detections: float) -> str:
    if factor is None:
        return "no length of block gives a key at these rates"
    return f"about {factor:.4g} times this one: {factor * key_detections:.3g} key-basis detections at these rates"


def _quoted(error: Exception) -> str:
    """An error's text on one line of printable characters, shortened: it may quote what a stranger wrote."""
    text = " ".join(str(error).split())
    return "".join(c if c.isprintable() else "?" for c in text)[:_QUOTED]


def _read(source: str) -> bytes:
    try:
        if source == "-":
            return sys.stdin.buffer.read(LARGEST_FILE + 1)
        with Path(source).open("rb") as file:
            return file.read(LARGEST_FILE + 1)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{_quoted(Exception(source))}: cannot be read ({_quoted(error)}); name a file, or -"
        ) from error


def _proof(name: str | None, counts: Counts) -> ProofName:
    if name is not None:
        return ProofName(name)
    fitting = fitting_proofs(counts)
    if not counts.intensities:
        return ProofName.BBM92
    if ProofName.WIESEMANN not in fitting:
        raise ConfigError(
            f"proof: the default, wiesemann, takes 2 intensities and there are {len(counts.intensities)}; "
            f"for these say --proof {' or --proof '.join(fitting)}"
        )
    return ProofName.WIESEMANN


@click.command(
    help=f"""Secret length of a block of decoy-state BB84 or of entangled pairs, from its counts, with its proof.

    COUNTS is a JSON file, or - for standard input. Lists run from the brightest intensity to the weakest:

    \b
    {EXAMPLE}

    \b
      intensities, probabilities  mean photons per pulse, and the share of pulses sent with each
      key, test                   detections and errors in the basis of the key and in the other one
      leak_bits                   bits that error correction revealed, counted; or, for planning,
      f                           efficiency: leak = f x N x h(errors/N) over the key basis, not rounded
      epsilon_sec, epsilon_cor    failure probability of secrecy and of correctness
      intensity_uncertainty       optional: 0.02 for +-2 %; the length is the smallest over the box
      tolerated_error             entangled pairs only, which have no intensities and one count in each list: the
                                  error rate of the test basis agreed beforehand (default: the one observed)

    The answer is the largest length that a contract, agreed before the block, could have had: a length is not
    chosen from the block it applies to. Where there is no key the reason is named and the exit code is 0.

    \b
    Examples:
      poliqi keylength counts.json
      poliqi keylength counts.json --proof rusca --json
      poliqi keylength three.json --proof lim --no-clamp
      poliqi keylength pairs.json            no intensities in it: proof bbm92
    """
)
@click.argument("counts")
@click.option(
    "--proof",
    "proof",
    type=click.Choice([name.value for name in ProofName]),
    default=None,
    help="wiesemann (default) and rusca take two intensities, lim three, bbm92 (entangled pairs) none.",
)
@click.option("--no-clamp", is_flag=True, help="lim only: leave lower counts negative, as the paper prints them.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(counts: str, proof: str | None, no_clamp: bool, as_json: bool) -> None:
    """Print the secret length of COUNTS."""
    question = read_counts(_read(counts))
    result = answer(question, _proof(proof, question.counts), clamp=not no_clamp)
    if as_json:
        click.echo(msgspec.json.encode(result).decode())
    else:
        click.echo(table(result, question.counts.key.total_detections))
