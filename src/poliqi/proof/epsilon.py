"""The epsilon ledger: every way in which a key may fail to be what it claims, with its probability.

Epsilons add: over the steps of a proof, over blocks, over hops, and over the tags that authenticate. A ledger
is a list of entries whose values are summed, and nothing else, so that a reviewer can add it up by hand.

How the common e of each proof comes together, with k the intensities, N the split of detections and M that of
errors over the intensities:

* Lim, e = eps_sec/21: 2 (2 alpha_1 + alpha_2 + alpha_3) + nu + 10 eps_1 + 2 eps_2, equation (B4).
* Rusca, e = eps_sec/19: the same 9, and 10 tail bounds. The paper states the sum; the split is ours.
* Wiesemann, e = eps_sec/15: one chain rule in place of two (2 (2 alpha_1 + alpha_2) + nu = 7) and 8 tail
  bounds. The paper states the sum; the split is ours. With two intensities the observed and the expected
  counts both add up to N, so "n1 is too small" and "n2 is too large" are one event: each side of N or M is
  spent once. min over k in s0_upper needs the upper side of M for both k, and both are spent.
* BBM92: 2 epsilon + epsilon~ with epsilon = eps_sec/4 and epsilon~ = eps_sec/2, Tomamichel et al. 2012, (S3).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from math import fsum
from typing import Any, Final

from poliqi.proof.names import ProofName

__all__ = ["EpsilonEntry", "EpsilonLedger", "ledger_of"]


@dataclass(frozen=True, slots=True)
class EpsilonEntry:
    """One cause of failure: probability `each`, used `uses` times; `value` = each x uses is what it adds."""

    name: str
    each: float
    uses: int
    note: str

    @property
    def value(self) -> float:
        return self.each * self.uses


@dataclass(frozen=True, slots=True)
class EpsilonLedger:
    """All entries of one key. `total` is their sum: the key is `total`-secure."""

    entries: tuple[EpsilonEntry, ...]

    @property
    def total(self) -> float:
        return fsum(entry.value for entry in self.entries)

    def with_entry(self, name: str, value: float, note: str, *, uses: int = 1) -> EpsilonLedger:
        """A ledger with one entry more, such as the tags of a block: `uses` tags that fail with `value` each."""
        return replace(self, entries=(*self.entries, EpsilonEntry(name, value, uses, note)))

    def as_dict(self) -> dict[str, Any]:
        """The ledger as plain data for JSON."""
        rows = [
            {"name": e.name, "each": e.each, "uses": e.uses, "value": e.value, "note": e.note} for e in self.entries
        ]
        return {"total": self.total, "entries": rows}


_DETECTIONS: Final = "split of the detections over the intensities (Hoeffding)"
_ERRORS: Final = "split of the errors over the intensities (Hoeffding)"
_VACUUM: Final = "vacuum detections err half the time (Hoeffding)"
_SMOOTH: Final = "phase errors sampled in the test basis"
_CHAIN: Final = "chain rule for the min-entropy"
_HASH: Final = "privacy amplification"
_SMOOTH_NOTE: Final = "smoothing alpha_1, counted 2 x 2 times; the sampling bound itself fails with e^2"

# proof -> (share of eps_sec, ((name, uses, note), ...)); the uses of a row add up to the share
_SHARES: Final[dict[ProofName, tuple[int, tuple[tuple[str, int, str], ...]]]] = {
    ProofName.WIESEMANN: (
        15,
        (
            (f"key basis: {_DETECTIONS}", 1, "n1+ and n2- are one event: both sums are N"),
            (f"key basis: {_ERRORS}", 2, "m1+ and m2+, both needed by the min over k in s0_upper"),
            (f"key basis: {_VACUUM}", 1, "s0_upper"),
            (f"test basis: {_DETECTIONS}", 1, "n1+ and n2- are one event: both sums are N"),
            (f"test basis: {_ERRORS}", 2, "m1+ (with m2-, one event, for v1) and m2+, for the min over k"),
            (f"test basis: {_VACUUM}", 1, "s0_upper"),
            (_SMOOTH, 4, _SMOOTH_NOTE),
            (_CHAIN, 2, "alpha_2, splits off everything but single photons; counted twice"),
            (_HASH, 1, "leftover hash, nu"),
        ),
    ),
    ProofName.RUSCA: (
        19,
        (
            (f"key basis: {_DETECTIONS}", 2, "n1+ and n2-"),
            (f"key basis: {_ERRORS}", 2, "m1+ and m2+, both needed by the min over k in s0_upper"),
            (f"key basis: {_VACUUM}", 1, "s0_upper"),
            (f"test basis: {_DETECTIONS}", 2, "n1+ and n2-"),
            (f"test basis: {_ERRORS}", 2, "m1+ (with m2-, one event, for v1) and m2+, for the min over k"),
            (f"test basis: {_VACUUM}", 1, "s0_upper"),
            (_SMOOTH, 4, _SMOOTH_NOTE),
            (_CHAIN, 4, "alpha_2 and alpha_3: single photons, then vacuum; each counted twice"),
            (_HASH, 1, "leftover hash, nu"),
        ),
    ),
    ProofName.LIM: (
        21,
        (
            (f"key basis: {_DETECTIONS}", 5, "n1+, n2+, n2-, n3+, n3-"),
            (f"test basis: {_DETECTIONS}", 5, "n1+, n2+, n2-, n3+, n3-"),
            (f"test basis: {_ERRORS}", 2, "m2+ and m3-"),
            (_SMOOTH, 4, _SMOOTH_NOTE),
            (_CHAIN, 4, "alpha_2 and alpha_3: single photons, then vacuum; each counted twice"),
            (_HASH, 1, "leftover hash, nu"),
        ),
    ),
}


@lru_cache(maxsize=64)
def ledger_of(proof: ProofName, epsilon_sec: float, epsilon_cor: float) -> EpsilonLedger:
    """The ledger of one block under `proof`: its shares of `epsilon_sec`, then `epsilon_cor`."""
    if proof is ProofName.BBM92:
        note = "smoothing epsilon, counted twice; the sampling bound itself fails with epsilon^2"
        secrecy = (
            EpsilonEntry(_SMOOTH, epsilon_sec / 4, 2, note),
            EpsilonEntry(_HASH, epsilon_sec / 2, 1, "leftover hash"),
        )
    else:
        share, rows = _SHARES[proof]
        secrecy = tuple(EpsilonEntry(name, epsilon_sec / share, uses, note) for name, uses, note in rows)
    correct = EpsilonEntry("correctness", epsilon_cor, 1, "the ends hold different keys and verification passes")
    return EpsilonLedger((*secrecy, correct))
