"""The layered decoder against marginals by enumeration, and on patterns of errors that it must find."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from poliqi.distill.kernels import ldpc as kernel
from poliqi.distill.reconcile.ldpc_code import COLUMNS, base_codes, lifted
from poliqi.distill.reconcile.ldpc_frame import Decoder, syndrome

LIFT = 64
# a tree: checks over bits (0 1 2), (2 3 4), (4 5)
TREE = ((0, 1, 2), (2, 3, 4), (4, 5))


def one_pass(priors, checks, iterations):
    """Beliefs float64[6] after some iterations on the tree, whose syndrome is never reached where 9 is odd."""
    bits = len(priors)
    start = np.cumsum([0, *(len(check) for check in TREE)], dtype=np.int64)
    column = np.array([c for check in TREE for c in check], np.int64)
    shift = np.zeros(column.size, np.int64)
    belief = np.zeros((bits, kernel.stride(LIFT)), np.int16)
    belief[:] = np.rint(np.array(priors) * kernel.SCALE).astype(np.int16)[:, None]
    said = np.zeros(column.size * LIFT, np.uint8)
    wanted = np.array([(1 << 64) - 1 if odd else 0 for odd in checks], np.uint64)
    work = (
        np.zeros(bits, np.uint64),
        np.zeros(3, np.uint64),
        np.zeros(3 * LIFT, np.uint8),
        np.zeros(3 * LIFT, np.int16),
        np.zeros(6 * LIFT, np.uint8),
    )
    for _ in range(iterations):
        kernel.decode(belief.reshape(-1), said, wanted, start, column, shift, LIFT, 1, *work)
    lanes = belief[:, kernel.LANES : kernel.LANES + LIFT] / kernel.SCALE
    assert (lanes == lanes[:, :1]).all()
    return lanes[:, 0]


def exact(priors, checks):
    """Log-likelihood ratios of each bit given the checks, by enumeration."""
    weight = np.zeros((len(priors), 2))
    for bits in itertools.product((0, 1), repeat=len(priors)):
        if all(sum(bits[c] for c in check) % 2 == odd for check, odd in zip(TREE, checks, strict=True)):
            p = math.exp(-sum(b * x for b, x in zip(bits, priors, strict=True)))
            for i, b in enumerate(bits):
                weight[i, b] += p
    return np.log(weight[:, 0] / weight[:, 1])


@pytest.mark.parametrize("checks", list(itertools.product((0, 1), repeat=3)))
def test_beliefs_on_a_tree_are_the_marginals(checks):
    priors = [3.0, 2.5, 4.0, 1.5, 3.5, 2.0]
    found = one_pass(priors, checks, 6)
    # one straight line for log(1 + exp(-x)) and steps of 1/8: each box-plus is right within .15
    assert np.abs(found - exact(priors, checks)).max() < 0.6
    sure = np.abs(exact(priors, checks)) > 0.6
    assert (np.sign(found) == np.sign(exact(priors, checks)))[sure].all()


def errors_of(decoder, code, errors, core):
    packed = np.packbits(errors, bitorder="little").view("<u8").astype(np.uint64)
    checks = syndrome(code, packed)[: core * code.lift // 64]
    found, iterations = decoder.decode(checks, errors.size)
    if found is None:
        return None, iterations
    return np.unpackbits(found.astype("<u8").view(np.uint8), count=errors.size, bitorder="little"), iterations


@pytest.mark.parametrize("lift", [64, 128, 256])
def test_random_errors_well_within_reach_are_found(lift):
    base = next(code for code in base_codes() if code.core >= 50)
    code = lifted(base, lift)
    decoder = Decoder(code, 0.015, 60)
    random = np.random.default_rng(lift)
    for _ in range(3):
        errors = (random.random(COLUMNS * lift) < 0.015).astype(np.uint8)
        found, iterations = errors_of(decoder, code, errors, base.core)
        assert found is not None
        assert (found == errors).all()
        assert iterations < 40


def test_every_single_error_of_a_column_is_found():
    base = base_codes()[0]
    code = lifted(base, 64)
    decoder = Decoder(code, 0.005, 30)
    for place in range(64):
        errors = np.zeros(COLUMNS * 64, np.uint8)
        errors[64 * 3 + place] = 1
        found, _ = errors_of(decoder, code, errors, base.core)
        assert found is not None
        assert (found == errors).all()


def test_no_errors_take_one_iteration():
    base = base_codes()[5]
    code = lifted(base, 128)
    found, iterations = errors_of(Decoder(code, 0.01, 30), code, np.zeros(COLUMNS * 128, np.uint8), base.core)
    assert found is not None
    assert iterations == 1
    assert not found.any()


def test_far_too_many_errors_end_within_the_limit():
    base = base_codes()[0]
    code = lifted(base, 64)
    errors = (np.random.default_rng(1).random(COLUMNS * 64) < 0.2).astype(np.uint8)
    found, iterations = errors_of(Decoder(code, 0.005, 17), code, errors, base.core)
    assert found is None
    assert iterations <= 17


def test_bits_beyond_the_frame_are_taken_as_right():
    base = next(code for code in base_codes() if code.core >= 60)
    code = lifted(base, 64)
    errors = (np.random.default_rng(2).random(COLUMNS * 64 - 777) < 0.015).astype(np.uint8)
    padded = np.zeros(COLUMNS * 64, np.uint8)
    padded[: errors.size] = errors
    checks = syndrome(code, np.packbits(padded, bitorder="little").view("<u8").astype(np.uint64))
    found, _ = Decoder(code, 0.015, 60).decode(checks[: base.core], errors.size)
    assert found is not None
    bits = np.unpackbits(found.astype("<u8").view(np.uint8), bitorder="little")
    assert (bits[: errors.size] == errors).all()
    assert not bits[errors.size :].any()
