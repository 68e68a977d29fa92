"""Two key management systems of one site over real TLS 1.3: keys handed over, acknowledged, taken back."""

from __future__ import annotations

import asyncio
import ssl
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from certificates import Authority, Pair
from fake_desk import FakeDesk, fake_pair

from poliqi.base.errors import ConfigError
from poliqi.base.ids import KmeId, SaeId
from poliqi.edge.entropy import OperatingSystemEntropy
from poliqi.edge.http1 import HttpLimits
from poliqi.edge.https import HttpsServer
from poliqi.edge.interop import InteropApplication, InteropService, neighbour_context
from poliqi.edge.network import Address
from poliqi.edge.tls import TlsFiles
from poliqi.keys.etsi020 import InteropSettings
from poliqi.keys.etsi020_messages import BODY_BYTES
from poliqi.keys.etsi020_post import Neighbour
from poliqi.keys.grade import Grade, KeyOrigin
from poliqi.keys.requests import Accepted, Delivered, Outcome, Refused, Shipment

OURS, THEIRS = KmeId("kme-a"), KmeId("kms-far")
SLAVE, MASTER = SaeId("sae-b"), SaeId("sae-x")
GRADE = Grade(KeyOrigin.PHOTONS, "proof", 1e-10, ((THEIRS, OURS),))


@dataclass
class Two:
    """`ours` has the desk that ships to sae-b; `theirs` is the neighbour behind which sae-x lives."""

    ours: InteropService
    theirs: InteropService
    desk: FakeDesk
    far_desk: FakeDesk
    url: str
    contexts: dict[KmeId, ssl.SSLContext]
    servers: list[HttpsServer]
    authorities: dict[KmeId, Authority]
    pairs: dict[KmeId, Pair]


@asynccontextmanager
async def two_systems(folder: Path, *, waits: bool, settings: InteropSettings) -> AsyncGenerator[Two]:
    names = (OURS, THEIRS)
    others = {OURS: THEIRS, THEIRS: OURS}
    authorities = {name: Authority(folder / name, f"authority of {name}") for name in names}
    pairs = {name: authorities[name].kme(name) for name in names}
    contexts = {n: neighbour_context(authorities[others[n]].path, p.certificate, p.key) for n, p in pairs.items()}
    desk, far_side = fake_pair({"sae-x": "kme-a", "sae-b": "kme-b"})
    far_desk = FakeDesk(THEIRS, desk.sites)
    addresses, servers, services = {}, [], {}
    for name in names:  # a port is known only once it listens, and a neighbour's must be known before
        holder = _Later()
        vouches = {others[name]: authorities[others[name]].path}
        files = TlsFiles(pairs[name].certificate, pairs[name].key, vouches)
        server = HttpsServer(holder, Address("127.0.0.1", 0), files, HttpLimits(body_bytes=BODY_BYTES))
        addresses[name] = f"https://127.0.0.1:{(await server.start()).port}"
        servers.append(server)
        services[name] = holder
    behind = {OURS: SLAVE, THEIRS: MASTER}
    made = {}
    for name, its_desk in ((OURS, desk), (THEIRS, far_desk)):
        other = others[name]
        neighbour = Neighbour(other, addresses[other], frozenset({behind[other]}), waits=waits)
        service = InteropService(
            its_desk, [neighbour], addresses[name], {other: contexts[name]}, OperatingSystemEntropy(), settings
        )
        made[name] = service
        services[name].application = InteropApplication(service)
    try:
        yield Two(
            made[OURS], made[THEIRS], far_side, far_desk, addresses[OURS], contexts, servers, authorities, pairs
        )
    finally:
        for service in made.values():
            await service.close()
        for server in servers:
            await server.close()


class _Later:
    application: InteropApplication

    async def __call__(self, *arguments: object) -> None:
        await self.application(*arguments)  # type: ignore[arg-type]


def run(
    folder: Path,
    work: Callable[[Two], Awaitable[None]],
    *,
    waits: bool = False,
    settings: InteropSettings | None = None,
) -> None:
    async def main() -> None:
        async with two_systems(folder, waits=waits, settings=settings or InteropSettings()) as two:
            await asyncio.wait_for(work(two), 20)

    asyncio.run(main())


def shipment(*numbers: int) -> Shipment:
    ids = tuple(uuid.UUID(int=n).bytes for n in numbers)
    return Shipment(MASTER, (SLAVE,), ids, tuple(bytes([n % 256]) * 32 for n in numbers), GRADE)


@pytest.mark.parametrize("waits", [False, True], ids=["asynchronous", "synchronous"])
def test_keys_reach_the_target_once_they_are_relayed(tmp_path: Path, waits: bool) -> None:
    async def work(two: Two) -> None:
        assert isinstance(await two.theirs.send(OURS, shipment(1, 2)), Accepted)
        got = await two.desk.fetch(SLAVE, MASTER, shipment(1, 2).key_ids)
        assert isinstance(got, Delivered)
        assert [key.value for key in got.keys] == [b"\1" * 32, b"\2" * 32]
        assert {key.grade.name for key in got.keys} == {"unproven"}

    run(tmp_path, work, waits=waits)


@pytest.mark.parametrize("waits", [False, True], ids=["asynchronous", "synchronous"])
def test_keys_that_cannot_be_carried_are_refused(tmp_path: Path, waits: bool) -> None:
    async def work(two: Two) -> None:
        two.desk.sites.connected = False
        assert isinstance(await two.theirs.send(OURS, shipment(1)), Refused)

    run(tmp_path, work, waits=waits)


def test_1024_keys_go_in_one_request(tmp_path: Path) -> None:
    async def work(two: Two) -> None:
        assert isinstance(await two.theirs.send(OURS, shipment(*range(1, 1025))), Accepted)
        assert len(two.desk.sites.held) == 1024

    run(tmp_path, work)


class SlowDesk:
    """Holds the desk's ship up until it is released."""

    def __init__(self, desk: FakeDesk) -> None:
        self.ship = desk.ship
        self.reached, self.release, self.shipped = asyncio.Event(), asyncio.Event(), asyncio.Event()
        desk.ship = self.slowly  # type: ignore[method-assign]

    async def slowly(self, shipped: Shipment) -> Outcome:
        self.reached.set()
        await self.release.wait()
        outcome = await self.ship(shipped)
        self.shipped.set()
        return outcome

    async def let_go(self, held: Mapping[bytes, object]) -> None:
        """Let the keys come, and wait until they are gone again."""
        self.release.set()
        await self.shipped.wait()
        while held:
            await asyncio.sleep(0.005)


def test_a_neighbour_without_an_answer_is_told_to_throw_the_keys_away(tmp_path: Path) -> None:
    async def work(two: Two) -> None:
        slow = SlowDesk(two.desk.sites.desks[OURS])
        assert isinstance(await two.theirs.send(OURS, shipment(1)), Refused)
        await slow.let_go(two.desk.sites.held)
        assert isinstance(await two.desk.fetch(SLAVE, MASTER, shipment(1).key_ids), Refused)

    run(tmp_path, work, settings=InteropSettings(ack_s=0.2))


def test_a_send_that_is_given_up_is_voided(tmp_path: Path) -> None:
    async def work(two: Two) -> None:
        slow = SlowDesk(two.desk.sites.desks[OURS])
        sending = asyncio.create_task(two.theirs.send(OURS, shipment(1)))
        await slow.reached.wait()
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        await slow.let_go(two.desk.sites.held)

    run(tmp_path, work)


def test_a_dead_neighbour_is_no_neighbour(tmp_path: Path) -> None:
    async def work(two: Two) -> None:
        await two.servers[0].close()
        assert isinstance(await two.theirs.send(OURS, shipment(1)), Refused)

    run(tmp_path, work)


def test_versions_and_problems_on_the_wire(tmp_path: Path) -> None:
    async def work(two: Two) -> None:
        async with httpx.AsyncClient(base_url=two.url, verify=two.contexts[THEIRS], trust_env=False) as client:
            answer = await client.get("/kmapi/versions")
            assert answer.json()["versions"] == ["v1"]
            assert answer.headers["cache-control"] == "no-store"
            answer = await client.post("/kmapi/v1/ext_keys", content=b"{}")
            assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
            answer = await client.post("/kmapi/v1/ext_keys", content=b" " * (BODY_BYTES + 1))
            assert answer.status_code == 413

    run(tmp_path, work)


def test_tls_12_is_not_spoken(tmp_path: Path) -> None:
    async def work(two: Two) -> None:
        context = two.contexts[THEIRS]
        assert context.minimum_version is ssl.TLSVersion.TLSv1_3
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
        async with httpx.AsyncClient(base_url=two.url, verify=context, trust_env=False) as client:
            with pytest.raises(httpx.HTTPError):
                await client.get("/kmapi/versions")

    run(tmp_path, work)


def test_a_neighbour_is_believed_by_its_own_authority_only(tmp_path: Path) -> None:
    """Whoever holds another neighbour's authority cannot pass for this one, neither as caller nor as called."""

    async def work(two: Two) -> None:
        rogue = two.authorities[OURS].kme(THEIRS)
        context = neighbour_context(two.authorities[OURS].path, rogue.certificate, rogue.key)
        async with httpx.AsyncClient(base_url=two.url, verify=context, trust_env=False) as client:
            with pytest.raises(httpx.HTTPError):
                await client.get("/kmapi/versions")
        own = two.pairs[THEIRS]
        wrong = neighbour_context(two.authorities[THEIRS].path, own.certificate, own.key)
        two.theirs.reload({OURS: wrong})
        assert isinstance(await two.theirs.send(OURS, shipment(1)), Refused)

    run(tmp_path, work, waits=True)


def test_a_reload_takes_the_new_certificate_and_authority(tmp_path: Path) -> None:
    async def work(two: Two) -> None:
        assert isinstance(await two.theirs.send(OURS, shipment(1)), Accepted)
        new = Authority(tmp_path / "new", "new authority")
        two.authorities[THEIRS].path.write_bytes(new.path.read_bytes())
        two.servers[0].reload()
        assert isinstance(await two.theirs.send(OURS, shipment(2)), Refused)
        renewed = new.kme(THEIRS)
        context = neighbour_context(two.authorities[OURS].path, renewed.certificate, renewed.key)
        two.theirs.reload({OURS: context})
        assert isinstance(await two.theirs.send(OURS, shipment(3)), Accepted)

    run(tmp_path, work, waits=True)


def test_secrets_of_sessions_are_written_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "secrets"))
    authority = Authority(tmp_path / "authority")
    pair = authority.kme(OURS)
    context = neighbour_context(authority.path, pair.certificate, pair.key)
    assert context.keylog_filename is None
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_files_that_cannot_be_used_for_neighbours_are_named(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    pair = authority.kme(OURS)
    missing = tmp_path / "missing.pem"
    with pytest.raises(ConfigError, match=str(missing)):
        neighbour_context(missing, pair.certificate, pair.key)
    with pytest.raises(ConfigError, match=str(missing)):
        neighbour_context(authority.path, pair.certificate, missing)
