"""The source settings that give most secret bits per second, block size and everything else as they are.

Goal: four parameters (one decoy) in 50 ms, not counting the import of scipy (`python -m bench optimise`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.optics.parameters import LinkParameters, Source
from poliqi.optics.prediction import merit, predict

__all__ = ["optimise"]

_WORST: Final = 1e300
_STARTS: Final = ((0.45, 0.30, 0.65, 0.90), (0.25, 0.40, 0.55, 0.80), (0.60, 0.20, 0.80, 0.97))
_TOLERANCE: Final = 2e-4  # in logits: intensities to 0.02 %, where the rate is flat to 1e-7


class _Answer(Protocol):
    x: NDArray[np.float64]
    fun: float


def optimise(link: LinkParameters, *, is_near: bool = False) -> LinkParameters:
    """`link` with the best intensities, their probabilities and key-basis probability.

    Pairs: their mean number and the key basis. One decoy: mu1, mu2, p1 and the key basis. Two decoys: mu1, mu2,
    p1, p2 and the key basis; the weakest intensity stays as it is. Where `receiver.key_basis` is None, Bob's
    share follows Alice's. Nelder-Mead climbs from a few starts until one ends with a key; the best point is
    returned, with or without a key. `is_near`: the link's own settings are the first start where they give a key.
    """
    import scipy.optimize

    scipy_optimize: Any = scipy.optimize  # it has no annotations
    minimise: Callable[..., _Answer] = scipy_optimize.minimize
    levels = len(link.source.intensities)
    if levels not in (2, 3) and link.pairs is None:
        raise ConfigError(f"source.intensities: {levels} of them; 2 or 3 can be optimised")
    predict(link)  # says clearly what cannot be predicted at all

    def loss(x: NDArray[np.float64]) -> float:
        try:
            return -merit(_at(link, x))
        except (ConfigError, DataRefused):
            return _WORST

    best: _Answer | None = None
    own = [_own(link.source)] if is_near and merit(link) > 0.0 else []
    for start in (*own, *(_start(one, levels) for one in _STARTS)):
        x0 = np.array([_logit(v) for v in start])
        options = {"xatol": _TOLERANCE, "fatol": math.inf, "initial_simplex": _simplex(x0)}
        found = minimise(loss, x0, method="Nelder-Mead", options=options)
        if best is None or found.fun < best.fun:
            best = found
        if best.fun < 0.0:
            break
    assert best is not None
    return _at(link, best.x)


def _start(start: tuple[float, float, float, float], levels: int) -> tuple[float, ...]:
    mu, ratio, p, key_basis = start
    if levels == 1:
        return mu / 10.0, key_basis
    return (mu, ratio, p, key_basis) if levels == 2 else (mu, ratio, p, 0.6, key_basis)


def _own(source: Source) -> tuple[float, ...]:
    """Where `_at` finds the settings as they are."""
    mu, p = source.intensities, source.probabilities
    if len(mu) == 1:
        return mu[0] / 2.0, source.key_basis
    parts = [mu[0] / 2.0, mu[1] / mu[0], p[0], *([p[1] / (1.0 - p[0])] if len(mu) == 3 else []), source.key_basis]
    return tuple(min(max(v, 1e-6), 1.0 - 1e-6) for v in parts)


def _simplex(x0: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.vstack([x0, x0 + 0.4 * np.eye(x0.size)])


def _at(link: LinkParameters, x: NDArray[np.float64]) -> LinkParameters:
    """The link at a point: logits of mu1/2, mu2/mu1, p1, (p2 of what p1 leaves), key basis; of pairs mu/2, key
    basis.
    """
    v: list[float] = [1.0 / (1.0 + math.exp(-min(max(float(c), -30.0), 30.0))) for c in x]
    source = link.source
    mu1 = 2.0 * v[0]
    if len(v) == 2:
        return replace(link, source=_source(source, (mu1,), (1.0,), v[1]))
    if len(v) == 4:
        intensities: tuple[float, ...] = (mu1, mu1 * v[1])
        probabilities: tuple[float, ...] = (v[2], 1.0 - v[2])
    else:
        intensities = (mu1, mu1 * v[1], source.intensities[2])
        p2 = (1.0 - v[2]) * v[3]
        probabilities = (v[2], p2, 1.0 - v[2] - p2)
    return replace(link, source=_source(source, intensities, probabilities, v[-1]))


def _source(
    source: Source, intensities: tuple[float, ...], probabilities: tuple[float, ...], key_basis: float
) -> Source:
    return replace(source, intensities=intensities, probabilities=probabilities, key_basis=key_basis)


def _logit(p: float) -> float:
    return math.log(p / (1.0 - p))
