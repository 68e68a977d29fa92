"""Health tests of a source of randomness. They find what is broken; passing them proves nothing about secrecy.

| check | source | a perfect source fails it with probability |
|---|---|---|
| repetition | NIST SP 800-90B, 4.4.1, full entropy in each octet | 2^-30 in each octet (2^-10 in a trial) |
| proportion | NIST SP 800-90B, 4.4.2, windows of 512 octets | 2^-30 in each window |
| monobit, blocks, runs | NIST SP 800-22 rev. 1a, 2.1, 2.2, 2.3, on 2^20 bits | 10^-6 each |
| octets | chi-square of the values of 2^20 octets, 255 degrees of freedom | 10^-6 |
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from poliqi.apps.testbench.checking import Check, Wrong
from poliqi.apps.testbench.seams import RandomSource

__all__ = [
    "RANDOM_CHECKS",
    "block_frequency",
    "longest_repetition",
    "monobit",
    "most_in_a_window",
    "proportion_cutoff",
    "repetition_cutoff",
    "runs",
    "upper_gamma",
]

_SAMPLE_BYTES: Final = 1 << 20
_BITS: Final = 1 << 20
_ALPHA: Final = 1e-6
_HEALTH_LOG2: Final = 30
_WINDOW: Final = 512
_BLOCK_BITS: Final = 1 << 13


def upper_gamma(a: float, x: float) -> float:
    """The regularised upper incomplete gamma function Q(a, x): series below a + 1, continued fraction above.

    Abramowitz and Stegun, 6.5.29 and 6.5.31; the fraction is evaluated by Lentz's method.
    """
    if x <= 0.0:
        return 1.0
    scale = math.exp(a * math.log(x) - x - math.lgamma(a))
    if x < a + 1.0:
        term = total = 1.0 / a
        n = a
        while term > 1e-16 * total:
            n += 1.0
            term *= x / n
            total += term
        return 1.0 - scale * total
    b = x + 1.0 - a
    c, d = 1e300, 1.0 / b
    fraction = d
    for i in range(1, 100_000):
        step = -i * (i - a)
        b += 2.0
        d = 1.0 / (step * d + b)
        c = b + step / c
        fraction *= d * c
        if abs(d * c - 1.0) < 1e-15:
            break
    return scale * fraction


def repetition_cutoff(entropy_bits: float) -> int:
    """How often in a row one value stands before the source is called broken (SP 800-90B, 4.4.1)."""
    return 1 + math.ceil(_HEALTH_LOG2 / entropy_bits)


def proportion_cutoff(entropy_bits: float, window: int = _WINDOW) -> int:
    """How often a window's first value may stand in it: 1 + CRITBINOM(W, 2^-H, 1 - 2^-30) (SP 800-90B, 4.4.2)."""
    p = 2.0**-entropy_bits
    log_term = window * math.log1p(-p)
    below, wanted, k = math.exp(log_term), 1.0 - 2.0**-_HEALTH_LOG2, 0
    while below < wanted:
        k += 1
        log_term += math.log((window - k + 1) / k) + math.log(p) - math.log1p(-p)
        below += math.exp(log_term)
    return 1 + k


def longest_repetition(sample: bytes) -> int:
    """How often in a row the same octet stands, at most."""
    changes = np.flatnonzero(np.diff(np.frombuffer(sample, np.uint8)))
    ends = np.concatenate(([-1], changes, [len(sample) - 1]))
    return int(np.max(np.diff(ends)))


def most_in_a_window(sample: bytes, window: int = _WINDOW) -> int:
    """How often the first octet of a window stands in it, at most over the windows."""
    whole = np.frombuffer(sample, np.uint8)[: len(sample) // window * window].reshape(-1, window)
    return int(np.max(np.sum(whole == whole[:, :1], axis=1)))


def monobit(bits: np.ndarray[tuple[int], np.dtype[np.uint8]]) -> float:
    """P-value of the frequency of ones (SP 800-22, 2.1)."""
    n = len(bits)
    return math.erfc(abs(2 * int(bits.sum()) - n) / math.sqrt(2.0 * n))


def block_frequency(bits: np.ndarray[tuple[int], np.dtype[np.uint8]], size: int) -> float:
    """P-value of the frequency of ones in blocks (SP 800-22, 2.2)."""
    blocks = bits[: len(bits) // size * size].reshape(-1, size)
    chi = 4.0 * size * float(np.sum((blocks.mean(axis=1) - 0.5) ** 2))
    return upper_gamma(len(blocks) / 2.0, chi / 2.0)


def runs(bits: np.ndarray[tuple[int], np.dtype[np.uint8]]) -> float:
    """P-value of the number of runs (SP 800-22, 2.3); that of `monobit` where ones are too many or too few."""
    n, share = len(bits), float(bits.mean())
    if abs(share - 0.5) >= 2.0 / math.sqrt(n):
        return monobit(bits)
    count = 1 + int(np.count_nonzero(np.diff(bits)))
    spread = share * (1.0 - share)
    return math.erfc(abs(count - 2.0 * n * spread) / (2.0 * math.sqrt(2.0 * n) * spread))


def _drawn(source: RandomSource, count: int) -> bytes:
    found = source.draw(count)
    if not isinstance(found, bytes) or len(found) != count:  # pyright: ignore[reportUnnecessaryIsInstance]  # code of others
        raise Wrong(f"{count} bytes were drawn and {len(found)} came")
    return found


def lengths(source: RandomSource) -> str:
    """As many bytes as were asked for, new ones each time, and a name for the ledgers."""
    for count in (0, 1, 31, 4096):
        _drawn(source, count)
    if _drawn(source, 32) == _drawn(source, 32):
        raise Wrong("two draws of 32 bytes are the same")
    if not source.source:
        raise Wrong("its `source` is empty: ledgers need a name for where randomness comes from")
    return source.source


def repetition(source: RandomSource) -> str:
    """No octet stands too often in a row."""
    longest, cutoff = longest_repetition(_drawn(source, _SAMPLE_BYTES)), repetition_cutoff(8.0)
    if longest >= cutoff:
        raise Wrong(f"one octet stands {longest} times in a row, at most {cutoff - 1} are taken")
    return f"at most {longest} times in a row"


def proportion(source: RandomSource) -> str:
    """No octet stands too often in a window."""
    most, cutoff = most_in_a_window(_drawn(source, _SAMPLE_BYTES)), proportion_cutoff(8.0)
    if most >= cutoff:
        raise Wrong(f"an octet stands {most} times among {_WINDOW}, at most {cutoff - 1} are taken")
    return f"at most {most} times among {_WINDOW}"


def statistics_of_bits(source: RandomSource) -> str:
    """Monobit, block frequency, runs."""
    bits = np.unpackbits(np.frombuffer(_drawn(source, _BITS // 8), np.uint8))
    found = {"monobit": monobit(bits), "blocks": block_frequency(bits, _BLOCK_BITS), "runs": runs(bits)}
    return _judged(found)


def octets(source: RandomSource) -> str:
    """Each value as often as any other."""
    counts = np.bincount(np.frombuffer(_drawn(source, _SAMPLE_BYTES), np.uint8), minlength=256)
    expected = _SAMPLE_BYTES / 256.0
    chi = float(np.sum((counts - expected) ** 2)) / expected
    return _judged({"octets": upper_gamma(255.0 / 2.0, chi / 2.0)})


def _judged(found: dict[str, float]) -> str:
    text = ", ".join(f"{name} p = {p:.3g}" for name, p in found.items())
    if min(found.values()) < _ALPHA:
        raise Wrong(f"{text}: a perfect source gives less than {_ALPHA:g} once in {1 / _ALPHA:.0e} trials")
    return text


RANDOM_CHECKS: Final[tuple[Check[RandomSource], ...]] = (
    ("draws", lengths),
    ("repetition", repetition),
    ("proportion", proportion),
    ("bits", statistics_of_bits),
    ("octets", octets),
)
"""In the order in which they are run and shown."""
