"""A link whose keys nobody takes stops before its state overflows, spends no pad and goes on by itself."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from e2e.command_line import TINY
from ingest_desk import IngestDesk, short_folder
from link_states import make_pair_file

from poliqi.base.ids import Role
from poliqi.edge.ingest_server import IngestServer
from poliqi.edge.network import Address
from poliqi.edge.pairing import install_pair_file, link_status
from poliqi.edge.store import LinkStore
from poliqi.node.light import SimulatedLight
from poliqi.node.party import Party, PartySettings
from poliqi.ops.config import load_link


@pytest.mark.slow
def test_full_state_pauses_the_link_until_the_site_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("poliqi.node.party.MOST_WAITING_BYTES", 1000)
    pair = make_pair_file(tmp_path / "pair", 512)
    said: dict[Role, list[dict[str, Any]]] = {role: [] for role in Role}
    sites = {role: IngestDesk(f"site-{role}") for role in Role}

    async def until(event: str, role: Role, count: int = 1) -> None:
        async with asyncio.timeout(120):
            while sum(r["event"] == event for r in said[role]) < count:
                await asyncio.sleep(0.01)

    async def run(folder: Path, stores: dict[Role, LinkStore]) -> None:
        servers = {role: IngestServer(sites[role].desk, folder / role) for role in Role}
        await servers[Role.ALICE].open()

        def party(role: Role, **meeting: Address) -> Party:
            light = SimulatedLight(7)
            settings = PartySettings(role, load_link(TINY), light, tmp_path / role, site=folder / role, **meeting)
            return Party(settings, stores[role], said[role].append)

        bob = party(Role.BOB, listen=Address("127.0.0.1", 0))
        ends = [asyncio.create_task(bob.run())]
        await until("listening", Role.BOB)
        port = int(said[Role.BOB][0]["address"].rpartition(":")[2])
        alice = party(Role.ALICE, connect=Address("127.0.0.1", port))
        ends.append(asyncio.create_task(alice.run()))
        await until("full", Role.BOB)
        before = link_status(tmp_path / Role.ALICE).used_words
        await until("link-down", Role.ALICE, 3)
        assert link_status(tmp_path / Role.ALICE).used_words == before, "hellos in vain cost no pad words"
        await servers[Role.BOB].open()
        done = len(sites[Role.ALICE].held)
        async with asyncio.timeout(60):
            while len(sites[Role.BOB].held) < done + 2:
                await asyncio.sleep(0.01)
        for end in (bob, alice):
            end._stopping.set()
        await asyncio.gather(*ends)
        for server in servers.values():
            await server.close()

    for role in Role:
        install_pair_file(pair, tmp_path / role, role, simulated=True, keep=role is Role.ALICE)
    with (
        short_folder() as folder,
        closing(LinkStore(tmp_path / Role.ALICE)) as a,
        closing(LinkStore(tmp_path / Role.BOB)) as b,
    ):
        for store in (a, b):
            store.deliver_later()
        asyncio.run(run(folder, {Role.ALICE: a, Role.BOB: b}))
    assert "bytes of key wait for the site" in next(r for r in said[Role.BOB] if r["event"] == "full")["text"]
    shared = sites[Role.ALICE].held.keys() & sites[Role.BOB].held.keys()
    assert all(sites[Role.ALICE].held[n][0] == sites[Role.BOB].held[n][0] for n in shared)
