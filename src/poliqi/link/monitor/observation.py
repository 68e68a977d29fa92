"""What a monitor looks at: a block's public counts, and what the devices at both ends measured meanwhile.

Nothing here is more than a real device reports. An end knows its own device's readings; those of the other end are
None there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite

from poliqi.link.health import Health
from poliqi.proof import Counts

__all__ = ["Observation", "Reading", "Share", "figures_of", "readings_of", "shares_of"]

_OUTCOMES = ("key-0", "key-1", "test-0", "test-1")


@dataclass(frozen=True, slots=True)
class Observation:
    """One block, or (with `pulses` 0) only what happened to messages since the observation before.

    `counts` is None where error correction did not finish; then `sifted_key`, `sifted_test` and `test_errors` are
    known all the same. `sessions` were agreed or refused since the observation before; `forged` of them
    ended by what no paired end sends, a message that was changed or repeated on its way. `has_key_errors`: errors
    of the key basis are those that the peer's tag covers, so that they may be judged.
    """

    pulses: int = 0
    detections: int = 0
    counts: Counts | None = None
    sifted_key: int = 0
    sifted_test: int = 0
    test_errors: float | None = None
    bob: Health | None = None
    alice: Health | None = None
    sessions: int = 0
    forged: int = 0
    has_key_errors: bool = True


@dataclass(frozen=True, slots=True)
class Share:
    """`hits` of `trials`: a figure whose statistics are known whatever the light is."""

    figure: str
    hits: float
    trials: float


@dataclass(frozen=True, slots=True)
class Reading:
    """A measured quantity in SI units or dB, at `rate` clicks a pulse.

    `clicks` is how many it averages over, 0 where it averages over time.
    """

    figure: str
    value: float
    clicks: float = 0.0
    rate: float = 0.0


def shares_of(seen: Observation) -> Iterator[Share]:
    """Every figure of an observation that is so many of so many."""
    sifted = seen.sifted_key + seen.sifted_test
    if seen.pulses > 0:
        yield Share("clicks", seen.detections, seen.pulses)
    if seen.detections > 0:
        yield Share("sifted", sifted, seen.detections)
    if sifted > 0:
        yield Share("basis", seen.sifted_test, sifted)
    if seen.counts is not None:
        yield from _counted(seen.counts, ("key", "test") if seen.has_key_errors else ("test",))
    elif seen.test_errors is not None and seen.sifted_test > 0:
        yield Share("qber-test", seen.test_errors, seen.sifted_test)
    if seen.bob is not None:
        yield from _fired(seen.bob)


def _counted(counts: Counts, judged: tuple[str, ...]) -> Iterator[Share]:
    """QBERs of `judged` bases, and the share of each weaker intensity against the brightest."""
    for basis, name in ((counts.key, "key"), (counts.test, "test")):
        if name in judged:
            yield Share(f"qber-{name}", basis.total_errors, basis.total_detections)
        brightest = basis.detections[0]
        for level, detections in enumerate(basis.detections[1:], 1):
            yield Share(f"decoy-{name}-{level}", detections, detections + brightest)


def _fired(health: Health) -> Iterator[Share]:
    """How clicks spread over Bob's outcomes, and how many slots had more than one."""
    if health.clicks is None:
        return
    key_0, key_1, test_0, test_1 = health.clicks
    total = key_0 + key_1 + test_0 + test_1
    yield Share("detectors-key", key_0, key_0 + key_1)
    yield Share("detectors-test", test_0, test_0 + test_1)
    yield Share("arms", test_0 + test_1, total)
    if health.doubles is not None:
        yield Share("doubles", health.doubles, max(total - health.doubles, health.doubles))


def figures_of(seen: Observation) -> frozenset[str]:
    """Names of all that an observation has."""
    shares = (share.figure for share in shares_of(seen) if share.trials > 0)
    return frozenset((*shares, *(reading.figure for reading in readings_of(seen))))


def readings_of(seen: Observation) -> Iterator[Reading]:
    """Every measured quantity of an observation; one that is no finite number was not measured."""
    return (reading for reading in _readings(seen) if isfinite(reading.value))


def _readings(seen: Observation) -> Iterator[Reading]:
    bob, alice = seen.bob, seen.alice
    if bob is not None:
        yield from _read_at_bob(bob)
    if alice is not None and alice.back_light_w is not None:
        yield Reading("back-light", alice.back_light_w)


def _read_at_bob(bob: Health) -> Iterator[Reading]:
    clicks = bob.clicks or (0, 0, 0, 0)
    if bob.photocurrent_a is not None:
        yield Reading("photocurrent", bob.photocurrent_a, rate=sum(clicks) / max(1, bob.pulses))
    for name, arrival_s, fired in zip(_OUTCOMES, bob.arrival_s or (), clicks, strict=False):
        if arrival_s is not None:
            yield Reading(f"arrival-{name}", arrival_s, fired)
    if bob.arrival_spread_s is not None:
        yield Reading("spread", bob.arrival_spread_s, sum(clicks))
    if bob.pilot_loss_db is not None:
        yield Reading("pilot", bob.pilot_loss_db)
