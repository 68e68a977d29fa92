"""A small world of time tags whose truth is known: every click drawn here, by nothing of the code under test."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from poliqi.base.ids import Origin
from poliqi.link.timetags.tags import Channel, Meaning, Tagging, Tags

POLARISATION = Tagging(
    1e9,
    (
        Channel(0, Meaning.KEY_0),
        Channel(1, Meaning.KEY_1),
        Channel(2, Meaning.TEST_0),
        Channel(3, Meaning.TEST_1),
    ),
)
TIME_BIN = Tagging(1e9, (Channel(0, Meaning.KEY), Channel(2, Meaning.TEST_0), Channel(3, Meaning.TEST_1)), bins=2)


@dataclass(frozen=True)
class Scene:
    """`slots` of light at `clicks` a slot, from `start_s` on by a tagger that sees the light's rate off by `off`.

    Its time walks by `swing_s` as a sine of period `swing_period_s`; a share `background` of the tags has no cause;
    `gap` is a stretch of slots without light, after which all comes `jump_ps` later.
    """

    seed: int = 1
    slots: int = 4_000_000
    clicks: float = 0.05
    off: float = 1e-6
    start_s: float = 0.005
    jitter_ps: float = 25.0
    error: float = 0.02
    background: float = 0.1
    key_basis: float = 0.9
    swing_s: float = 0.0
    swing_period_s: float = 1.0
    gap: tuple[int, int] = (0, 0)
    jump_ps: int = 0
    tagging: Tagging = POLARISATION


@dataclass(frozen=True)
class World:
    """The tags of a scene and what is true of them: Alice's states of all slots, each click's slot and outcome."""

    scene: Scene
    tags: Tags = field(repr=False)
    states: NDArray[np.uint8] = field(repr=False)
    slots: NDArray[np.int64] = field(repr=False)
    outcomes: NDArray[np.uint8] = field(repr=False)

    def published(self, first_slot: int, count: int) -> NDArray[np.uint8]:
        return self.states[first_slot : first_slot + count]

    def slot_ps(self, slots: NDArray[np.int64]) -> NDArray[np.float64]:
        """When the middle of each slot comes."""
        return _middles(self.scene, slots)


def _middles(scene: Scene, slots: NDArray[np.int64]) -> NDArray[np.float64]:
    alice_s = (slots + 0.5) / scene.tagging.clock_hz
    later = scene.swing_s * np.sin(2 * np.pi * alice_s / scene.swing_period_s)
    jump = np.where(slots >= scene.gap[1], scene.jump_ps, 0) if scene.gap[1] else 0
    return (scene.start_s + alice_s * (1 - scene.off) + later) * 1e12 + jump


def world(scene: Scene) -> World:
    """Draw a scene."""
    draw = np.random.default_rng(scene.seed)
    states = draw.integers(0, 2, scene.slots, np.uint8)
    states |= (draw.random(scene.slots, np.float32) >= scene.key_basis).astype(np.uint8) << np.uint8(1)
    slots = np.flatnonzero(draw.random(scene.slots, np.float32) < scene.clicks)
    slots = slots[(slots < scene.gap[0]) | (slots >= scene.gap[1])]
    n, bins = slots.size, scene.tagging.bins
    basis = (draw.random(n) >= scene.key_basis).astype(np.uint8)
    alice = states[slots]
    wrong = (draw.random(n) < scene.error).astype(np.uint8)
    bit = np.where(alice >> 1 == basis, (alice & 1) ^ wrong, draw.integers(0, 2, n, np.uint8)).astype(np.uint8)
    outcome = bit | basis << np.uint8(1)
    period = 1e12 / scene.tagging.clock_hz
    at = _middles(scene, slots) + draw.normal(0.0, scene.jitter_ps, n)
    channel = outcome
    if bins == 2:
        late = np.where(basis == 1, 1, bit)
        at += (late - 0.5) * period / 2.0
        channel = np.where(basis == 1, outcome, 0).astype(np.uint8)
    dark = int(n * scene.background / (1.0 - scene.background) * (1.0 + scene.start_s * 1e9 / scene.slots))
    numbers = np.array([c.number for c in scene.tagging.channels], np.uint8)
    times = np.concatenate([at, draw.random(dark) * at[-1]]).astype(np.int64)
    channels = np.concatenate([channel, draw.choice(numbers, dark)]).astype(np.uint8)
    order = np.argsort(times, kind="stable")
    return World(scene, Tags(times[order], channels[order]), states, slots, outcome)


def rewired(tagging: Tagging, meanings: dict[int, Meaning]) -> Tagging:
    """The same tagger with some channels called something else."""
    return replace(
        tagging, channels=tuple(replace(c, meaning=meanings.get(c.number, c.meaning)) for c in tagging.channels)
    )


class FixedEntropy:
    """Bytes from a seed, for tests alone."""

    source = "a seed, for tests"

    def __init__(self, seed: int = 1) -> None:
        self._draw = np.random.default_rng(seed)

    def draw(self, count: int) -> bytes:
        return self._draw.bytes(count)


class ListSource:
    """Tags of a list, in chunks."""

    origin = Origin.SIMULATED

    def __init__(self, tagging: Tagging, tags: Tags, chunk: int) -> None:
        self.tagging = tagging
        self.closed = False
        self._tags, self._chunk, self._at = tags, chunk, 0

    def read(self) -> Tags | None:
        start, self._at = self._at, self._at + self._chunk
        part = slice(start, self._at)
        times = self._tags.times_ps[part]
        return Tags(times, self._tags.channels[part]) if times.size else None

    def close(self) -> None:
        self.closed = True
