"""From two emulated QSN-d-1 ends through the driver and the ends' comparison into two sites."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, cast

import pytest
from device_rig import FakeDevice, Rig
from ingest_desk import short_folder
from qsn_rig import BRIGHT, HASTY, PATIENT, SMALL, RunningPair, running_pair

from poliqi.keys.grade import KeyOrigin
from poliqi.link.qsn.emulated import Emulated, Role
from poliqi.link.qsn.frames import encode_frame
from poliqi.link.qsn.making import KeyDiscarded

Story = Callable[[Rig, RunningPair], Awaitable[None]]
SLOWER = replace(SMALL, pause_s=0.05)


def run(story: Story, alice: Emulated = SLOWER, bob: Emulated | None = None, **pairing: Any) -> None:
    async def told(pair: RunningPair) -> None:
        waits = {Role.ALICE: PATIENT, Role.BOB: HASTY}
        drivers = {role: cast("FakeDevice", pair.client(role, waits[role])) for role in Role}
        with short_folder() as folder:
            async with Rig(folder, drivers[Role.ALICE], drivers[Role.BOB], **pairing) as rig:
                rig.start()
                await story(rig, pair)

    with running_pair(alice, bob) as pair:
        asyncio.run(told(pair))


@pytest.mark.parametrize("keeps", [False, True])
def test_keys_of_the_device_are_unproven_blocks_at_both_sites(keeps: bool) -> None:
    async def story(rig: Rig, _: RunningPair) -> None:
        await rig.until(lambda: len(rig.shared()) >= 2, "two blocks at both sites")
        blocks = rig.shared()
        assert len(set(blocks)) == len(blocks)
        grades = {grade for end in rig.ends for _, grade in end.desk.held.values()}
        assert {(g.origin, g.proof, g.epsilon) for g in grades} == {(KeyOrigin.UNPROVEN, "", None)}
        assert "faulty" not in rig.alice.events + rig.bob.events

    run(story, replace(SLOWER, keeps_delivered=keeps))


def test_a_stranger_who_flushes_one_end_costs_keys_and_nothing_else() -> None:
    flush = encode_frame(b'{"command":"Flush keys","attribute":"","value":""}')

    async def story(rig: Rig, pair: RunningPair) -> None:
        with socket.create_connection((pair.lkms[Role.BOB].host, pair.lkms[Role.BOB].port)) as stranger:

            def lacks() -> bool:
                stranger.sendall(flush)
                return "lacks" in rig.bob.texts("missing")

            await rig.until(lacks, "a key that was flushed")
        assert "faulty" not in rig.alice.events + rig.bob.events
        rig.shared()  # what both sites hold is equal

    run(story)


def test_light_that_was_listened_to_makes_no_block() -> None:
    async def story(rig: Rig, pair: RunningPair) -> None:
        await rig.until(lambda: len(pair.news[Role.ALICE]) >= 3, "three keys tried")
        assert all(isinstance(news, KeyDiscarded) for news in pair.news[Role.ALICE])
        assert not rig.alice.desk.held and not rig.bob.desk.held

    run(story, SLOWER, replace(SLOWER, light=replace(BRIGHT, eve_fraction=1.0)))
