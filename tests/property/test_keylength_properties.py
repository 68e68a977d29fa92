"""What must hold for any counts: monotone where it should be, refused cleanly where it cannot be."""

from __future__ import annotations

import json
import math
from dataclasses import replace

from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from poliqi.base.errors import PoliqiError
from poliqi.ops.commands.keylength import command
from poliqi.proof import (
    BasisCounts,
    Counts,
    ProofName,
    block_needed,
    exact_length,
    fitting_proofs,
    ledger_of,
    secret_length,
    shannon_leak,
)

EPS = {"epsilon_sec": 1e-10, "epsilon_cor": 1e-15}
epsilons = st.floats(1e-30, 0.5)
relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
few = settings(relaxed, max_examples=30)


def basis(
    intensities: tuple[float, ...], pulses: list[float], eta: float, dark: float, error: float
) -> BasisCounts:
    """Counts of an honest channel: transmittance eta, background `dark`, misalignment `error`."""
    gains = [1.0 - (1.0 - dark) * math.exp(-mu * eta) for mu in intensities]
    wrong = [dark / 2.0 + error * (1.0 - math.exp(-mu * eta)) for mu in intensities]
    detections = tuple(float(round(n * g)) for n, g in zip(pulses, gains, strict=True))
    errors = tuple(min(float(round(n * e)), d) for n, e, d in zip(pulses, wrong, detections, strict=True))
    return BasisCounts(detections, errors)


@st.composite
def honest(draw: st.DrawFn) -> tuple[Counts, ProofName]:
    proof = draw(st.sampled_from([ProofName.WIESEMANN, ProofName.RUSCA, ProofName.LIM]))
    mu1, mu2 = draw(st.floats(0.3, 0.8)), draw(st.floats(0.05, 0.2))
    if proof is ProofName.LIM:
        intensities = (mu1, mu2, draw(st.sampled_from([0.0, 0.0005, 0.002, 0.01])))
        probabilities = (0.625, 0.25, 0.125)
    else:
        share = draw(st.integers(2, 7)) / 8
        intensities, probabilities = (mu1, mu2), (share, 1.0 - share)
    pulses = 10 ** draw(st.floats(4, 12))
    light = draw(st.floats(1e-4, 0.3)), draw(st.floats(1e-8, 1e-4)), draw(st.floats(0.0, 0.05))
    q = draw(st.floats(0.5, 0.95))
    key = basis(intensities, [pulses * q * q * p for p in probabilities], *light)
    test = basis(intensities, [pulses * (1 - q) ** 2 * p for p in probabilities], *light)
    return Counts(intensities, probabilities, key, test), proof


@st.composite
def anything(draw: st.DrawFn) -> Counts:
    """Any counts that pass the checks: nothing physical about them."""
    size = draw(st.integers(2, 3))
    falling = sorted(draw(st.lists(st.integers(0, 10**6), min_size=size, max_size=size, unique=True)), reverse=True)
    weights = draw(st.lists(st.integers(1, 1000), min_size=size, max_size=size))
    scale = 10.0 ** draw(st.integers(-6, 2)) / 10**6
    count = st.one_of(st.integers(0, 2**53), st.integers(0, 100), st.floats(0, 2**53))

    def draw_basis() -> BasisCounts:
        detections = [float(draw(count)) for _ in range(size)]
        return BasisCounts(tuple(detections), tuple(d * draw(st.floats(0, 1)) for d in detections))

    try:
        return Counts(
            tuple(mu * scale for mu in falling),
            tuple(w / sum(weights) for w in weights),
            draw_basis(),
            draw_basis(),
        )
    except PoliqiError:
        return Counts((0.5, 0.1), (0.5, 0.5), BasisCounts((1, 1), (0, 0)), BasisCounts((1, 1), (0, 0)))


@relaxed
@given(anything(), st.floats(0, 1e300), epsilons, epsilons, st.booleans())
def test_any_counts_get_an_answer_or_a_refusal(
    counts: Counts, leak: float, secrecy: float, correctness: float, clamp: bool
) -> None:
    for proof in fitting_proofs(counts):
        try:
            got = secret_length(
                counts, proof=proof, leak_bits=leak, epsilon_sec=secrecy, epsilon_cor=correctness, clamp=clamp
            )
        except PoliqiError:
            continue
        assert math.isfinite(got.exact_length)
        assert (got.reason is None) == (got.length > 0)
        assert 0 <= got.length <= counts.key.total_detections
        assert got.length == 0 or got.phase_error < 0.5


@relaxed
@given(honest(), st.floats(0, 1e9), st.floats(0, 1e9))
def test_more_leak_never_gives_more_key(case: tuple[Counts, ProofName], leak: float, more: float) -> None:
    counts, proof = case
    less = secret_length(counts, proof=proof, leak_bits=leak + more, **EPS)
    assert less.length <= secret_length(counts, proof=proof, leak_bits=leak, **EPS).length


@relaxed
@given(honest(), st.floats(1e-30, 1e-6), st.floats(1e-30, 1e-6))
def test_smaller_epsilons_never_give_more_key(case: tuple[Counts, ProofName], one: float, other: float) -> None:
    counts, proof = case
    low, high = sorted((one, other))
    leak = shannon_leak(counts, 1.1)
    for fixed in ("epsilon_sec", "epsilon_cor"):
        strict = exact_length(counts, proof=proof, leak_bits=leak, **{**EPS, fixed: low})
        loose = exact_length(counts, proof=proof, leak_bits=leak, **{**EPS, fixed: high})
        assert strict <= loose + 1e-6


@relaxed
@given(honest(), st.floats(1.0, 5.0))
def test_more_errors_at_every_intensity_never_give_more_key(case: tuple[Counts, ProofName], factor: float) -> None:
    counts, proof = case

    def worse(b: BasisCounts) -> BasisCounts:
        return replace(b, errors=tuple(min(m * factor, n) for m, n in zip(b.errors, b.detections, strict=True)))

    leak = shannon_leak(counts, 1.1)
    clean = exact_length(counts, proof=proof, leak_bits=leak, clamp=False, **EPS)
    for noisy in (replace(counts, key=worse(counts.key)), replace(counts, test=worse(counts.test))):
        assert exact_length(noisy, proof=proof, leak_bits=leak, clamp=False, **EPS) <= clean + 1e-6


@relaxed
@given(honest(), st.floats(1.0, 1000.0))
def test_a_longer_block_never_gives_a_smaller_share(case: tuple[Counts, ProofName], factor: float) -> None:
    counts, proof = case
    leak = shannon_leak(counts, 1.1)
    short = secret_length(counts, proof=proof, leak_bits=leak, **EPS)
    grown = replace(counts, key=counts.key.scaled(factor), test=counts.test.scaled(factor))
    long = secret_length(grown, proof=proof, leak_bits=leak * factor, **EPS)
    if short.length > 0:
        assert long.exact_length >= short.exact_length * factor - 1e-6 * abs(long.exact_length)


@few
@given(honest())
def test_the_block_needed_gives_a_key(case: tuple[Counts, ProofName]) -> None:
    counts, proof = case
    leak = shannon_leak(counts, 1.1)
    factor = block_needed(counts, proof=proof, leak_bits=leak, **EPS)
    if factor is not None:
        grown = replace(counts, key=counts.key.scaled(factor), test=counts.test.scaled(factor))
        assert secret_length(grown, proof=proof, leak_bits=leak * factor, **EPS).length > 0


@few
@given(honest(), st.floats(0.0, 0.04), st.lists(st.floats(-1, 1), min_size=3, max_size=3))
def test_no_point_of_the_box_gives_less_than_the_box(
    case: tuple[Counts, ProofName], width: float, point: list[float]
) -> None:
    counts, proof = case
    leak = shannon_leak(counts, 1.1)
    boxed = secret_length(counts, proof=proof, leak_bits=leak, intensity_uncertainty=width, **EPS)
    at = tuple(mu * (1.0 + width * x) for mu, x in zip(counts.intensities, point, strict=False))
    there = exact_length(replace(counts, intensities=at), proof=proof, leak_bits=leak, **EPS)
    assert boxed.exact_length <= there + 1e-6 * abs(there)


@relaxed
@given(st.sampled_from(list(ProofName)), epsilons, epsilons)
def test_the_ledger_adds_up(proof: ProofName, secrecy: float, correctness: float) -> None:
    assert math.isclose(ledger_of(proof, secrecy, correctness).total, secrecy + correctness, rel_tol=1e-12)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
FIELDS = ["intensities", "probabilities", "key", "test", "leak_bits", "f", "epsilon_sec", "epsilon_cor", "other"]
GOOD = {
    "intensities": [0.5, 0.15],
    "probabilities": [0.7, 0.3],
    "key": {"detections": [27653995, 3618277], "errors": [277096, 36421]},
    "test": {"detections": [341407, 44670], "errors": [3421, 450]},
    "f": 1.16,
    "epsilon_sec": 1e-9,
    "epsilon_cor": 1e-15,
}


def ask(data: bytes, *options: str) -> None:
    result = CliRunner().invoke(command, ["-", *options], input=data)
    if result.exception is None:
        assert result.exit_code == 0
    else:
        assert isinstance(result.exception, PoliqiError)
        assert "\n" not in str(result.exception)


@relaxed
@given(st.binary(max_size=300))
def test_any_bytes_are_answered_or_refused(data: bytes) -> None:
    ask(data)


@relaxed
@given(
    st.dictionaries(st.sampled_from(FIELDS), json_values, min_size=1),
    st.sampled_from(["wiesemann", "rusca", "lim"]),
)
def test_any_json_is_answered_or_refused(changes: dict[str, object], proof: str) -> None:
    ask(json.dumps({**GOOD, **changes}).encode(), "--proof", proof, "--json")


@relaxed
@given(st.integers(0, 250), st.integers(0, 255))
def test_any_changed_byte_is_answered_or_refused(place: int, byte: int) -> None:
    data = bytearray(json.dumps(GOOD).encode())
    data[place % len(data)] = byte
    ask(bytes(data))
