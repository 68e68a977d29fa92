"""Tests of randomness: against NIST SP 800-22 rev. 1a, scipy, and broken sources."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import numpy as np
import pytest
from scipy import special, stats

from poliqi.apps.testbench import randomchecks as checks
from poliqi.apps.testbench.checking import run_checks
from poliqi.apps.testbench.outcome import Verdict
from poliqi.edge.entropy import OperatingSystemEntropy

# SP 800-22 rev. 1a, sections 2.1.8, 2.2.8, 2.3.8: the first 100 binary digits of pi
PI = "1100100100001111110110101010001000100001011010001100001000110100110001001100011001100010100010111000"


def bits(text: str) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    return np.frombuffer(text.encode(), np.uint8) - ord("0")


def test_the_examples_of_the_standard() -> None:
    assert checks.monobit(bits("1011010101")) == pytest.approx(0.527089, abs=5e-7)
    assert checks.monobit(bits(PI)) == pytest.approx(0.109599, abs=5e-7)
    assert checks.block_frequency(bits("0110011010"), 3) == pytest.approx(0.801252, abs=5e-7)
    assert checks.block_frequency(bits(PI), 10) == pytest.approx(0.706438, abs=5e-7)
    assert checks.runs(bits("1001101011")) == pytest.approx(0.147232, abs=5e-7)
    assert checks.runs(bits(PI)) == pytest.approx(0.500798, abs=5e-7)


@pytest.mark.parametrize("a", [0.5, 1.5, 10.0, 64.0, 127.5])
@pytest.mark.parametrize("share", [0.01, 0.3, 0.9, 1.0, 1.1, 2.0])
def test_the_incomplete_gamma_function_is_that_of_scipy(a: float, share: float) -> None:
    assert checks.upper_gamma(a, share * a) == pytest.approx(special.gammaincc(a, share * a), rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("entropy", [8.0, 4.0, 1.0, 0.5])
def test_cutoffs_are_those_of_the_standard(entropy: float) -> None:
    # 4.4.1: C = 1 + ceil(-log2(alpha) / H); 4.4.2: C = 1 + CRITBINOM(W, 2^-H, 1 - alpha), alpha = 2^-30
    assert checks.repetition_cutoff(entropy) == 1 + math.ceil(30 / entropy)
    assert checks.proportion_cutoff(entropy) == 1 + int(stats.binom.ppf(1 - 2.0**-30, 512, 2.0**-entropy))


def test_repetitions_and_proportions_are_counted() -> None:
    assert checks.longest_repetition(b"abbbbcca") == 4
    assert checks.longest_repetition(b"a") == 1
    assert checks.longest_repetition(b"abcc") == 2
    assert checks.most_in_a_window(b"abca" + b"dddd" + b"de", 4) == 4


class Source:
    name = "tried"
    description = "tried"
    source = "a test"

    def __init__(self, draw: Callable[[int], bytes]) -> None:
        self.draw = draw


RANDOM = random.Random(7)


def biased(count: int) -> bytes:
    """One bit in a hundred is forced to 1."""
    drawn = np.frombuffer(RANDOM.randbytes(count), np.uint8)
    ones = np.frombuffer(RANDOM.randbytes(count), np.uint8) < 20
    return bytes(drawn | ones.astype(np.uint8))


def sticky(count: int) -> bytes:
    """An octet that stays for eight places, once in each 64 KiB."""
    drawn = bytearray(RANDOM.randbytes(count))
    for at in range(0, count - 8, 1 << 16):
        drawn[at : at + 8] = drawn[at : at + 1] * 8
    return bytes(drawn)


def favoured(count: int) -> bytes:
    """In some windows every tenth octet is the first."""
    drawn = bytearray(RANDOM.randbytes(count))
    for at in range(0, count - 512, 1 << 14):
        drawn[at : at + 512 : 10] = drawn[at : at + 1] * 52
    return bytes(drawn)


def paired(count: int) -> bytes:
    """Each bit twice: as many ones as zeros, and half as many runs."""
    half = np.unpackbits(np.frombuffer(RANDOM.randbytes((count + 1) // 2), np.uint8))
    return np.packbits(np.repeat(half, 2)).tobytes()[:count]


CASES: dict[str, tuple[str, Callable[[int], bytes]]] = {
    "the same each time": ("draws", lambda count: random.Random(1).randbytes(count)),
    "too few": ("draws", lambda count: RANDOM.randbytes(count)[: count - 1]),
    "sticky": ("repetition", sticky),
    "favoured": ("proportion", favoured),
    "biased": ("bits", biased),
    "paired": ("bits", paired),
    "seven bits": ("octets", lambda count: bytes(octet & 0x7F for octet in RANDOM.randbytes(count))),
}


def failed(source: Source) -> set[str]:
    return {f.check for f in run_checks(source, checks.RANDOM_CHECKS) if f.verdict is not Verdict.PASSED}


@pytest.mark.parametrize("what", CASES)
def test_each_broken_source_is_found(what: str) -> None:
    check, draw = CASES[what]
    assert check in failed(Source(draw))


def test_every_check_has_a_source_that_it_finds() -> None:
    assert {name for name, _ in checks.RANDOM_CHECKS} == {check for check, _ in CASES.values()}


def test_a_source_without_a_name_for_the_ledger_is_refused() -> None:
    source = Source(RANDOM.randbytes)
    source.source = ""
    assert failed(source) == {"draws"}


def test_the_operating_system_passes() -> None:
    assert failed(Source(OperatingSystemEntropy().draw)) == set()
