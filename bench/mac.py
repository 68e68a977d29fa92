"""The polynomial hash over GF(2^128) in each width: GB/s, beside the floors of products and of memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.report import Metric, best
from poliqi.base.jit import Width, choose_width, kernel, widths
from poliqi.distill.kernels.polyval import PolyHash
from poliqi.distill.kernels.simd import vector

GOALS = {Width.PORTABLE: None, Width.PCLMUL: 6.0, Width.VPCLMUL: 20.0}
NAMES = {Width.PORTABLE: "portable", Width.PCLMUL: "pclmul", Width.VPCLMUL: "wide"}
SIZES = {"in the first cache": 1 << 14, "in the second": 1 << 18, "in memory": 1 << 27}
PRODUCTS = 1 << 16


def _chains(lanes: int) -> Any:
    """A kernel of eight chains of products without a load: what the instruction alone can do."""
    v = vector(64, lanes)
    low, high, load, store, xor = v.clmul(0x00), v.clmul(0x11), v.load, v.store, v.xor

    @kernel
    def chains(words: np.ndarray, count: int) -> None:
        a, b, c, d = load(words, 0), load(words, 8), load(words, 16), load(words, 24)
        e, f, g, h = load(words, 32), load(words, 40), load(words, 48), load(words, 56)
        for _ in range(count // 8):
            a, b, c, d = low(a, b), high(b, b), low(c, d), high(d, d)
            e, f, g, h = low(e, f), high(f, f), low(g, h), high(h, h)
        store(words, 0, xor(xor(xor(a, b), xor(c, d)), xor(xor(e, f), xor(g, h))))

    return chains


def products_per_ns(width: Width) -> float:
    """Instructions a nanosecond."""
    chains, words = _chains(8 if width is Width.VPCLMUL else 2), np.ones(64, np.uint64)
    chains(words, 8)
    return PRODUCTS / best(lambda: chains(words, PRODUCTS), floor_s=0.2) / 1e9


def _rate(width: Width, size: int, floor_s: float) -> float:
    """GB/s of one hash over `size` bytes again and again."""
    choose_width(width)
    try:
        running, data = PolyHash(b"k" * 16), np.ones(size, np.uint8).data
        times = max(1, (1 << 20) // size)

        def absorb() -> None:
            for _ in range(times):
                running.update(data)

        absorb()
        return times * size / best(absorb, runs=3, floor_s=floor_s) / 1e9
    finally:
        choose_width(None)


def _small_us() -> float:
    running, message = PolyHash(b"k" * 16), bytes(48)

    def absorb() -> None:
        for _ in range(1000):
            running.update(message)

    return best(absorb, runs=5) * 1e3


def run(quick: bool) -> tuple[list[Metric], dict[str, Any]]:
    """Every width that this processor has; the figure of the metric is that in memory."""
    source, target = np.ones(1 << 26, np.uint8), np.empty(1 << 26, np.uint8)
    copied = source.nbytes / best(lambda: np.copyto(target, source)) / 1e9
    results: list[Metric] = []
    details: dict[str, Any] = {"memcpy GB/s": round(copied, 2), "GB/s": {}, "products": {}}
    for width in reversed(widths()):
        sizes = {k: v for k, v in SIZES.items() if width is not Width.PORTABLE or v < 1 << 20}
        found = {where: round(_rate(width, size, 0.1 if quick else 0.5), 3) for where, size in sizes.items()}
        details["GB/s"][NAMES[width]] = found
        results.append(Metric(f"GB/s {NAMES[width]}", list(found.values())[-1], "GB/s", GOALS[width], "min"))
        if width is not Width.PORTABLE:
            rate = products_per_ns(width)
            blocks = 4 if width is Width.VPCLMUL else 1
            floor = rate / 3 * blocks * 16  # three products a block: what the multiplier alone allows
            details["products"][NAMES[width]] = {"G instructions/s": round(rate, 2), "floor GB/s": round(floor, 1)}
    results.append(Metric("us for 48 bytes", _small_us(), "us", 3.0, "max"))
    return results, details
