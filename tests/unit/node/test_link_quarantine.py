"""Two real ends over simulated light, and somebody who blinds Bob: no key, quarantine, the right name."""

from __future__ import annotations

import asyncio
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from e2e.command_line import TINY
from link_states import make_pair_file

from poliqi.base.errors import StoreError
from poliqi.base.ids import Origin, Role
from poliqi.control.messages import LightState
from poliqi.edge.keyfile import read_keys
from poliqi.edge.network import Address
from poliqi.edge.pairing import install_pair_file
from poliqi.link.device import Receiver, Transmitter
from poliqi.link.response import Action, WatchSettings
from poliqi.link.simulated import SimulatedReceiver, SimulatedTransmitter
from poliqi.node import linkwatch
from poliqi.node.linkwatch import LinkWatch, release
from poliqi.node.party import Party, PartySettings, open_store
from poliqi.ops.config import load_link
from poliqi.optics.parameters import Attack, AttackKind, LinkParameters

LINK = load_link(TINY)
LESSONS = 8


class Switched:
    """Simulated light of one seed; `bob` is his device, to be attacked."""

    origin = Origin.SIMULATED
    bob: SimulatedReceiver

    def transmitter(self, link: LinkParameters) -> Transmitter:
        return SimulatedTransmitter(link, 7)

    def receiver(self, link: LinkParameters, first_slot: int) -> Receiver:
        self.bob = SimulatedReceiver(link, 7, first_slot)
        return self.bob


@pytest.mark.slow
def test_blinding_quarantines_the_link_until_it_is_released(tmp_path: Path) -> None:
    pair = make_pair_file(tmp_path / "pair", 512)
    said: dict[Role, list[dict[str, Any]]] = {role: [] for role in Role}
    light = Switched()

    async def until(event: str, role: Role, count: int = 1) -> dict[str, Any]:
        async with asyncio.timeout(150):
            while len(found := [r for r in said[role] if r["event"] == event]) < count:
                await asyncio.sleep(0.01)
        return found[-1]

    def settings(role: Role, **meeting: Address) -> PartySettings:
        watch = WatchSettings(commissioning=LESSONS)
        keys = tmp_path / f"{role}.key"
        return PartySettings(role, LINK, light, tmp_path / role, keys, monitor=watch, **meeting)  # type: ignore[arg-type]

    async def run() -> None:
        bob_settings = settings(Role.BOB, listen=Address("127.0.0.1", 0))
        with closing(open_store(bob_settings)) as bob_store:
            bob = Party(bob_settings, bob_store, said[Role.BOB].append)
            ends = [asyncio.create_task(bob.run())]
            port = int((await until("listening", Role.BOB))["address"].rpartition(":")[2])
            alice_settings = settings(Role.ALICE, connect=Address("127.0.0.1", port))
            with closing(open_store(alice_settings)) as alice_store:
                alice = Party(alice_settings, alice_store, said[Role.ALICE].append)
                ends.append(asyncio.create_task(alice.run()))
                await until("block", Role.BOB, LESSONS + 2)
                assert (tmp_path / Role.BOB / "baseline.json").exists()
                light.bob.change(replace(LINK, attack=Attack(AttackKind.BLINDING, 1.0)))
                told = await until("quarantined", Role.BOB)
                assert told["attack"] == "blinding", told
                report = bob.light()
                assert (report.state, report.verdict, report.attack) == (LightState.KEYLESS, "attack", "blinding")
                assert report.is_quarantined
                assert "doubles" in report.evidence
                condemned = next(
                    r for r in said[Role.BOB] if r["event"] == "monitor" and r["action"] == "quarantine"
                )
                assert condemned["attacks"]["blinding"] > 6
                blocks = len([r for r in said[Role.BOB] if r["event"] == "block" and r["net_bits"]])
                await until("link-down", Role.ALICE, 2)  # nobody is met, so that hellos cost no pad
                made = {role: [key.number for key in read_keys(tmp_path / f"{role}.key")[1]] for role in Role}
                assert made[Role.ALICE] == made[Role.BOB]
                light.bob.change(LINK)
                assert release(tmp_path / Role.BOB) is not None
                await until("released", Role.BOB)
                async with asyncio.timeout(150):
                    while len([r for r in said[Role.BOB] if r["event"] == "block" and r["net_bits"]]) <= blocks:
                        await asyncio.sleep(0.01)
                assert not bob.light().is_quarantined
                for end in (alice, bob):
                    end.stop()
                await asyncio.gather(*ends)

    for role in Role:
        install_pair_file(pair, tmp_path / role, role, simulated=True, keep=role is Role.ALICE)
    asyncio.run(run())


def test_a_quarantine_outlives_a_restart(tmp_path: Path) -> None:
    watch = WatchSettings(commissioning=0, covered=Action.QUARANTINE)
    first = LinkWatch(tmp_path, LINK, watch)
    for _ in range(2):
        first.forged(0.0)
    assert first.quarantine is not None
    again = LinkWatch(tmp_path, LINK, watch)
    assert again.quarantine == first.quarantine
    assert again.waits_for_release
    assert release(tmp_path) == first.quarantine
    assert again.look()
    assert again.quarantine is None
    assert release(tmp_path) is None


def forger(folder: Path) -> LinkWatch:
    return LinkWatch(folder, LINK, WatchSettings(commissioning=0, covered=Action.QUARANTINE))


def test_a_quarantine_that_could_not_be_written_is_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = linkwatch.replace_file

    def full(path: Path, data: bytes) -> None:
        raise StoreError(f"{path}: no space for {len(data)} bytes")

    monkeypatch.setattr(linkwatch, "replace_file", full)
    watch = forger(tmp_path)
    for _ in range(2):
        watch.forged(0.0)
    assert watch.quarantine is not None
    assert "no space" in watch.trouble
    assert not watch.look(), "what was never on disk was not taken away"
    assert watch.quarantine is not None
    monkeypatch.setattr(linkwatch, "replace_file", real)
    watch._looked_at = -9.0
    assert not watch.look()
    assert watch.trouble == ""
    assert forger(tmp_path).quarantine == watch.quarantine


def test_a_state_folder_that_is_away_releases_nothing(tmp_path: Path) -> None:
    folder, away = tmp_path / "state", tmp_path / "away"
    folder.mkdir()
    watch = forger(folder)
    for _ in range(2):
        watch.forged(0.0)

    def looks() -> bool:
        watch._looked_at = -9.0
        return watch.look()

    folder.rename(away)
    assert not looks()
    folder.mkdir()  # as an empty place where a disk was mounted
    assert not looks()
    folder.rmdir()
    folder.symlink_to(folder)  # stat fails in another way
    assert not looks()
    assert watch.quarantine is not None
    folder.unlink()
    away.rename(folder)
    assert not looks()
    assert release(folder) is not None
    assert looks()
    assert watch.quarantine is None
