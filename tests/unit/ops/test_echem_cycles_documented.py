"""Every option of cycles and campaign, and every key of a plan, stands in its reference page."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import click
import msgspec
import pytest

from poliqi.lab.echem.campaign.schedule import schedule
from poliqi.ops import campaign_tables
from poliqi.ops.campaign_toml import campaign_from
from poliqi.ops.commands.lab_echem_campaign import command as campaign
from poliqi.ops.commands.lab_echem_cycles import command as cycles
from poliqi.ops.commands.lab_echem_read import command as read

REFERENCE = Path(__file__).resolve().parents[3] / "docs" / "reference"
SHARED = {name for one in read.params for name in one.opts}


@pytest.mark.parametrize(("name", "command"), [("cycles", cycles), ("campaign", campaign)])
def test_every_option_is_documented(name: str, command: click.Command) -> None:
    text = (REFERENCE / f"lab-echem-{name}.md").read_text()
    own = [one for one in command.params if isinstance(one, click.Option) and not SHARED.intersection(one.opts)]
    assert own
    assert not [one.opts for one in own if f"`{one.opts[0]}" not in text]
    assert command.help is not None
    assert f"poliqi lab echem {name} " in command.help


def test_every_key_of_a_plan_is_documented() -> None:
    text = (REFERENCE / "lab-echem-campaign.md").read_text()
    tables = [getattr(campaign_tables, name) for name in campaign_tables.__all__ if name != "StepTable"]
    keys = {field.encode_name for table in tables for field in msgspec.structs.fields(table)}
    assert len(keys) > 30
    assert not sorted(key for key in keys if f"`{key}`" not in text and key != "block")


def test_the_plan_of_the_page_can_be_planned() -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", (REFERENCE / "lab-echem-campaign.md").read_text(), re.DOTALL)
    assert tomllib.loads(example)
    made = schedule(campaign_from(example.encode(), "example"))
    assert not made.unplaced
    assert not made.late()
