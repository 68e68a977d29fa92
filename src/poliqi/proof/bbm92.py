"""Entangled pairs (BBM92) or single photons: the entropic uncertainty proof of Tomamichel et al. 2012.

With n key bits, k random test bits in the other basis and an error rate Q_tol that was agreed beforehand,

    l = n (1 - h(Q_tol + mu)) - leak - log2(2 / (eps_sec^2 eps_cor)),
    mu = sqrt((n + k)/(n k) (k + 1)/k ln(4/eps_sec))                    (theorem 2, equation (2), q = 1)

The 4 is the paper's. It comes from its supplementary theorem: secrecy 2 epsilon + epsilon~ <= eps_sec, mu with
ln(1/epsilon) after Serfling, hashing costs 2 log2(1/(2 epsilon~)); the split epsilon = eps_sec/4,
epsilon~ = eps_sec/2 gives both the 4 and the eps_sec^2. Editions that print ln(2/eps_sec) fit no such split.

The paper's n counts bits that were all detected: a source of pairs in the middle, or at one end, gives the
same formula, since only Alice's measurement (q = 1) is trusted.
"""

from __future__ import annotations

from math import floor, inf, log, log2

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.proof.bounds import Bounds
from poliqi.proof.counts import LARGEST_COUNT
from poliqi.proof.epsilon import ledger_of
from poliqi.proof.keylength import KeyLength, check_epsilons, check_leak
from poliqi.proof.names import ASSUMPTIONS, PAPERS, ProofName
from poliqi.proof.statistics import h, serfling

__all__ = ["bbm92_exact", "bbm92_length"]


def bbm92_exact(
    n: float, k: float, tolerated_error: float, leak_bits: float, epsilon_sec: float, epsilon_cor: float
) -> Bounds:
    """The formula of the module at one point, unrounded: bounds in rounds, length in bits, negative without a
    key.
    """
    phi = inf
    if n > 0.0 and k > 0.0:
        phi = tolerated_error + serfling(n, k, log(4.0) - log(epsilon_sec))
    secret = n * (1.0 - h(phi)) if phi < 0.5 else 0.0
    overhead = 1.0 - 2.0 * log2(epsilon_sec) - log2(epsilon_cor)
    return Bounds(None, n, k, tolerated_error * k, phi, secret - leak_bits - overhead)


def bbm92_length(
    *,
    key_bits: float,
    test_bits: float,
    tolerated_error: float,
    leak_bits: float,
    epsilon_sec: float,
    epsilon_cor: float,
    test_errors: float | None = None,
) -> KeyLength:
    """The largest length, in bits, of `key_bits` n and `test_bits` k at `tolerated_error` Q_tol.

    `test_errors` are the errors seen among the test bits, where they are known: above Q_tol k there is no key.
    Raises DataRefused for counts that cannot be, ConfigError for options out of range.
    """
    check_epsilons(epsilon_sec, epsilon_cor)
    check_leak(leak_bits)
    if not 0.0 <= tolerated_error < 0.5:
        raise ConfigError(f"tolerated_error: {tolerated_error!r} is not an error rate in [0, 1/2); agree on one")
    for name, value in (("key_bits", key_bits), ("test_bits", test_bits)):
        if not 0.0 <= value <= LARGEST_COUNT:
            raise DataRefused(f"{name}: {value!r} is not a count between 0 and 2^53; count the block again")
    if test_errors is not None and not 0.0 <= test_errors <= test_bits:
        raise DataRefused(f"test_errors: {test_errors!r} does not lie between 0 and {test_bits!r} test bits")
    bounds = bbm92_exact(key_bits, test_bits, tolerated_error, leak_bits, epsilon_sec, epsilon_cor)
    phi, exact = bounds.phase_error, bounds.exact_length
    reason = _why_none(key_bits, test_bits, phi, tolerated_error, test_errors)
    if reason is None and exact < 1.0:
        reason = (
            f"leak exceeds the secret part: {leak_bits:.6g} bits revealed, and the bits that the epsilons cost, "
            f"leave nothing of {key_bits * (1.0 - h(phi)):.6g} secret bits"
        )
    return KeyLength(
        length=floor(exact) if reason is None else 0,
        phase_error=phi,
        single_photon_key=key_bits,
        single_photon_test=test_bits,
        single_photon_test_errors=bounds.single_photon_test_errors,
        vacuum=None,
        proof=ProofName.BBM92,
        paper=PAPERS[ProofName.BBM92],
        clamped=False,
        assumptions=ASSUMPTIONS[ProofName.BBM92],
        ledger=ledger_of(ProofName.BBM92, epsilon_sec, epsilon_cor),
        reason=reason,
        leak_bits=leak_bits,
        exact_length=exact,
        intensities=(),
        tolerated_error=tolerated_error,
    )


def _why_none(n: float, k: float, phi: float, tolerated_error: float, test_errors: float | None) -> str | None:
    if n <= 0.0 or k <= 0.0:
        return f"no rounds: {n:g} key bits and {k:g} test bits"
    if test_errors is not None and test_errors > tolerated_error * k:
        return f"test errors above Q_tol: {test_errors:g} among {k:g} bits, {tolerated_error * k:.6g} are tolerated"
    if phi >= 0.5:
        return f"phi >= 1/2: the bound on the phase error is {phi:.6g}, so Eve may know every bit"
    return None
