"""The event stream: kernels against their definition, chunks, seeds, order, and cost that follows clicks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from optical_links import make_link

from poliqi.base.errors import ConfigError
from poliqi.optics.attack import parse_attack
from poliqi.optics.channel import expectation
from poliqi.optics.definition import DefinitionSampler
from poliqi.optics.parameters import BasisChoice, DeadTimeModel, LinkParameters
from poliqi.optics.sampler import LAST_SLOT, Sampler, outcome_probabilities, plan_of

LINKS: dict[str, dict[str, Any]] = {
    "free": {},
    "two decoys": {"source__intensities": (0.5, 0.1, 0.0), "source__probabilities": (0.7, 0.2, 0.1)},
    "four intensities": {
        "source__intensities": (0.9, 0.4, 0.1, 0.0),
        "source__probabilities": (0.1, 0.2, 0.3, 0.4),
    },
    "bright": {"source__intensities": (9.0, 0.2), "fibre__length_m": 0.0},
    "dim": {"detector__efficiency": 1e-6, "detector__dark_rate_hz": 1e3},
    "dead time": {"detector__dead_time_s": 20e-9},
    "paralysable": {
        "detector__dead_time_s": 20e-9,
        "detector__dead_time_model": DeadTimeModel.PARALYSABLE,
    },
    "afterpulses": {
        "detector__dead_time_s": 3e-9,
        "detector__afterpulse": 0.5,
        "detector__afterpulse_time_s": 2e-9,
        "fibre__length_m": 0.0,
        "source__intensities": (2.0, 0.5),
    },
    "afterpulses without dead time": {
        "detector__afterpulse": 0.9,
        "detector__afterpulse_time_s": 40e-9,
    },
    "active afterpulses": {
        "receiver__basis_choice": BasisChoice.ACTIVE,
        "detector__afterpulse": 0.6,
        "detector__afterpulse_time_s": 1e-9,
        "fibre__length_m": 0.0,
        "source__intensities": (2.0, 0.5),
    },
    "intercepted": {"attack": parse_attack("intercept=0.3"), "detector__dead_time_s": 1e-9},
}


def link_of(name: str) -> LinkParameters:
    return make_link(**LINKS[name])


def pulses_for(link: LinkParameters, clicks: int) -> int:
    return int(clicks / expectation(link).clicks) + 1


@pytest.mark.parametrize("name", LINKS)
@pytest.mark.parametrize("seed", [0, 2**64 - 1])
def test_kernels_are_their_definition(name: str, seed: int) -> None:
    link = link_of(name)
    pulses = pulses_for(link, 3000)
    clicks = Sampler(link, seed).take(pulses)
    defined = DefinitionSampler(plan_of(link), seed).take(pulses)
    assert list(zip(clicks.slots.tolist(), clicks.outcomes.tolist(), strict=True)) == [d[:2] for d in defined]
    assert clicks.doubles == sum(d[2] for d in defined)
    assert len(defined) > 2000


def test_kernels_are_their_definition_on_random_plans() -> None:
    """Probabilities that no link has: near 0, near 1, equal, absent."""
    rng = np.random.default_rng(8)
    for trial in range(20):
        link = link_of(["free", "dead time", "afterpulses", "active afterpulses"][trial % 4])
        sampler = Sampler(link, trial)
        ends = np.sort(rng.integers(0, 2**32, (16, 8)) >> rng.integers(0, 32, (16, 1)), axis=1)
        sampler.replace_plan(replace(sampler.plan, outcome_ends=ends, slots_per_deviate=float(rng.exponential(30))))
        pulses = 20_000
        clicks = sampler.take(pulses)
        defined = DefinitionSampler(sampler.plan, trial).take(pulses)
        assert list(zip(clicks.slots.tolist(), clicks.outcomes.tolist(), strict=True)) == [d[:2] for d in defined]
        assert clicks.doubles == sum(d[2] for d in defined)


@pytest.mark.parametrize("name", LINKS)
def test_takes_of_any_size_give_the_same_light(name: str) -> None:
    link = link_of(name)
    pulses = pulses_for(link, 20_000)
    whole = Sampler(link, 5).take(pulses)
    rng = np.random.default_rng(9)
    cuts = np.sort(np.concatenate([rng.integers(0, pulses + 1, 40), [0, 1, 1, pulses]]))
    sampler = Sampler(link, 5)
    parts = [sampler.take(int(n)) for n in np.diff(cuts)]
    assert np.array_equal(np.concatenate([p.slots for p in parts]), whole.slots)
    assert np.array_equal(np.concatenate([p.outcomes for p in parts]), whole.outcomes)
    assert sum(p.doubles for p in parts) == whole.doubles
    for part in parts:
        inside = (part.slots >= part.first_slot) & (part.slots < part.first_slot + part.pulses)
        assert inside.all()


def test_takes_that_outgrow_their_room_lose_nothing() -> None:
    """A plan that expects no clicks makes the buffers too small on purpose."""
    for name in ("free", "dead time"):
        link = link_of(name)
        whole = Sampler(link, 6).take(1_000_000)
        starved = Sampler(link, 6)
        starved.replace_plan(replace(starved.plan, clicks_per_pulse=0.0))
        again = starved.take(1_000_000)
        assert np.array_equal(again.slots, whole.slots)
        assert np.array_equal(again.outcomes, whole.outcomes)


@pytest.mark.parametrize("name", LINKS)
def test_stream_is_well_formed(name: str) -> None:
    link = link_of(name)
    clicks = Sampler(link, 1).take(pulses_for(link, 50_000))
    gaps = np.diff(clicks.slots)
    assert (gaps > link.dead_slots).all()
    assert clicks.outcomes.max() < 4
    assert clicks.slots.dtype == np.int64
    assert clicks.outcomes.dtype == np.uint8


def test_seeds_give_other_light() -> None:
    link = link_of("free")
    a, b = Sampler(link, 1).take(100_000), Sampler(link, 2).take(100_000)
    assert not np.array_equal(a.slots, b.slots)


def test_an_empty_take() -> None:
    clicks = Sampler(link_of("free"), 1).take(0)
    assert (clicks.first_slot, clicks.pulses, clicks.slots.size) == (0, 0, 0)


def test_slots_end_somewhere() -> None:
    sampler = Sampler(link_of("dim"), 1)
    with pytest.raises(ConfigError, match="slots end"):
        sampler.take(LAST_SLOT + 1)


def test_a_day_of_darkness_costs_nothing() -> None:
    link = make_link(detector__efficiency=0.0, detector__dark_rate_hz=1e-2)
    clicks = Sampler(link, 3).take(86_400 * 10**9)
    assert abs(clicks.slots.size - 4 * 864) < 5 * np.sqrt(4 * 864)


def test_table_of_outcomes_sums_to_the_clicks() -> None:
    link = link_of("intercepted")
    from poliqi.optics.receiver import bob_optics
    from poliqi.optics.response import responses

    table = responses(link, bob_optics(link))
    probabilities = outcome_probabilities(table)
    for level, pair in enumerate(table):
        for basis, seen in enumerate(pair):
            for bit in (0, 1):
                row = probabilities[level << 2 | basis << 1 | bit]
                assert row.sum() == pytest.approx(seen.click, rel=1e-12)
                right = row[basis << 1 | bit] + row[4 | basis << 1 | bit]
                assert right == pytest.approx(seen.right, rel=1e-12)
