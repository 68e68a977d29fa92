"""Random walks of two sites through orders, fetches, crashes, copies and old images.

A walk is named by its seed: `WALK=<seed> pytest tests/sim/test_kme_walk.py -k replay` goes it again.
"""

from __future__ import annotations

import os
import random

import pytest
from kme_world import DISASTERS, PLOTS, STEPS, World

GROUPS, EACH = 10, 60
EPISODES = 12
WEIGHTS = {
    "episode": 6,
    "plot": 6,
    "order": 3,
    "up": 1,
    "ship": 1,
    "fetch": 2,
    "steps": 3,
    "block": 2,
    "tick": 2,
    "again": 1,
    "bad": 2,
}


def walk(seed: int, *, is_watched: bool = True) -> World:
    """One life of two sites; everything in it follows from the seed."""
    rng = random.Random(seed)
    world = World(rng.choice(["", "", "a", "b"]), is_watched=is_watched)
    for _ in range(rng.randint(1, EPISODES)):
        act(world, rng)
        world.check()
    world.finish()
    return world


def act(world: World, rng: random.Random) -> None:
    """One thing happens."""
    place = rng.choice("aabbg")
    match rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]:
        case "episode":
            world.episode(rng.choice)
        case "plot":
            world.plot(rng.choice(PLOTS), rng.choice("ab"))
        case "order":
            ids = tuple(rng.randbytes(16) for _ in range(2)) if rng.random() < 0.2 else None
            world.order(place, 2 if ids else rng.randint(1, 4), rng.choice([64, 128, 256, 1024]), ids)
        case "up":
            world.use_up(place)
        case "ship":
            world.ship(place)
        case "fetch":
            known = world.names_at(place)
            if known:
                world.fetch(place, list(dict.fromkeys(rng.choices(known[-6:] + known[:2], k=3))))
        case "steps":
            world.steps(rng.choices([*STEPS, "settle"], k=rng.randint(1, 8)))
        case "block":
            size = rng.choice([40, 1500, 1500, 9000])
            world.ingest(size) if rng.random() < 0.8 else world.ingest_unequal(size)
        case "tick":
            world.tick(rng.choice([0.5, 6.0, 20.0]))
        case "again":
            world.bring_again(rng.choice("ab"), everything=True)
        case _:
            world.strike(rng.choice(DISASTERS))
            if rng.random() < 0.7:
                world.meet(rng.choice(["settle", "!a !b", ""]))


def go(seed: int) -> None:
    """Walk, and say how to walk again."""
    try:
        walk(seed)
    except BaseException:
        print(f"replay with: WALK={seed} pytest tests/sim/test_kme_walk.py -k replay")
        raise


@pytest.mark.parametrize("tainted", ["", "a", "b"])
@pytest.mark.parametrize("name", PLOTS)
def test_known_traps(name: str, tainted: str) -> None:
    for master in "ab":
        world = World(tainted)
        world.plot(name, master)
        world.finish()


@pytest.mark.parametrize("group", range(GROUPS))
def test_no_walk_gives_a_bit_twice_or_loses_a_key(group: int) -> None:
    for seed in range(group * EACH, group * EACH + EACH):
        go(seed)


def test_a_segment_that_is_used_while_it_is_written_is_not_taken_for_damaged() -> None:
    go(44435)


@pytest.mark.skipif("WALK" not in os.environ, reason="WALK names no walk")
def test_replay() -> None:
    go(int(os.environ["WALK"]))


@pytest.mark.soak
@pytest.mark.parametrize("group", range(100))
def test_many_walks(group: int) -> None:
    for seed in range(10_000 + group * 500, 10_500 + group * 500):
        go(seed)
