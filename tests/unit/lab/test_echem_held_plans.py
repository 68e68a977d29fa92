"""Campaigns that lateness decides, a bound reached by what follows, and doubts of prototypes that are told."""

from __future__ import annotations

import pytest
from campaign_rig import HOUR, START, campaign, cell, channel, faults, rest

from poliqi.lab.echem.campaign.plan import Cell
from poliqi.lab.echem.campaign.protocol import Block, Protocol, Step, StepKind, Sweep
from poliqi.lab.echem.campaign.schedule import schedule
from poliqi.lab.echem.prototype.sheet import build_sheet
from poliqi.ops.prototype_examples import EXAMPLES
from poliqi.ops.prototype_make import prototype_of
from poliqi.ops.prototype_toml import read_table


def test_to_be_in_time_comes_before_to_be_short() -> None:
    """The long one first ends after 5 h with the other 4 h late; the other way round both end within 7 h."""
    cells = [cell("long", 3.0), cell("due", 1.0, deadline_s=START + HOUR)]
    made = schedule(campaign([channel("c", (3, 4))], cells))
    assert faults(made) == []
    assert made.late() == []
    assert made.end_s == START + 7 * HOUR


def spectra(name: str, hours: float) -> Protocol:
    """Hours at rest and a spectrum of a few seconds, rounded up to a minute."""
    sweep = Step(StepKind.EIS, sweep=Sweep(10.0, 1.0, 5, 1.0))
    return Protocol(name, (Block((Step(StepKind.REST, hours=hours), sweep)),))


def test_what_follows_on_other_channels_belongs_to_the_bound() -> None:
    """12 h of spectra on two channels, 5 h of rest anywhere after each: 6 + 5 h; no chain is longer than 8 h."""
    ends, after = (3, 3, 2, 2, 1, 1), rest("after", 5.0)
    cells = [Cell(f"x{at}", 1.0, (spectra(f"s{at}", hours), after)) for at, hours in enumerate(ends)]
    channels = [channel(f"e{at}", impedance=True) for at in range(2)] + [channel(f"c{at}") for at in range(6)]
    made = schedule(campaign(channels, cells))
    assert faults(made) == []
    assert made.end_s == made.bound_s == START + 11 * HOUR + 3 * 60


@pytest.mark.parametrize(
    ("kind", "setting", "caution"),
    [
        ("pouch", 'negative.overhang="1.0(6) mm"', "negative.overhang of 1 mm is lost within two sigma"),
        ("coin", 'positive.thickness_sigma="30 um"', "positive: a porosity of 0 is within its doubt"),
        ("coin", 'positive.active_share="0.96(3)"', "drawn inputs could not be"),
    ],
)
def test_doubts_that_are_too_wide_are_told(kind: str, setting: str, caution: str) -> None:
    def told(*settings: str) -> list[str]:
        table = read_table(EXAMPLES[kind].encode(), settings, kind=kind, where="a.toml")
        return [one for one in build_sheet(prototype_of(table), draws=2000).cautions if caution in one]

    assert told(setting)
    assert not told()
