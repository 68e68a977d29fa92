"""Streams between sites: frames in order and together, limits, ends of every kind, calling again, reloading."""

from __future__ import annotations

import asyncio
import shutil
import socket
from datetime import timedelta
from pathlib import Path

import pytest
from peer_rig import Collector, calling, listening, until
from site_certificates import ARIA, BOVISA, HOSTS, LEONARDO, make_site, now, trust_each_other

from poliqi.base.errors import ConfigError, LinkDown, ProtocolError
from poliqi.edge import peerstream
from poliqi.edge.identity import CallerKind
from poliqi.edge.network import Address
from poliqi.edge.peers import PeerNetwork, PeerTlsFiles, is_caller
from poliqi.edge.peerstream import FRAME_BYTES, PeerStream
from poliqi.edge.pki import Authority
from poliqi.edge.pqtls import SecureConnection
from poliqi.edge.sitetrust import add_trust


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sites")
    trust_each_other(*(make_site(folder, site)[0] for site in (ARIA, BOVISA)))
    return folder


@pytest.fixture
def sites(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "sites"))


def site_files(sites: Path, site: str, number: int = 1) -> PeerTlsFiles:
    name = f"kme-{site}-{number:02d}"
    issued = sites / site / "issued"
    return PeerTlsFiles(issued / f"{name}-chain.pem", issued / f"{name}.key", sites / site / "trust")


class Pair:
    """aria calls, bovisa listens, and each has its end of one stream."""

    def __init__(self, sites: Path, **more: object) -> None:
        self.sites, self.more = sites, more
        self.at_aria, self.at_bovisa = Collector(), Collector()
        self.lines: list[str] = []

    async def __aenter__(self) -> tuple[PeerStream, PeerStream]:
        self.listening = listening(
            BOVISA, site_files(self.sites, BOVISA), {ARIA: None}, self.at_bovisa, **self.more
        )
        self.bovisa, address = await self.listening.__aenter__()
        self.calling = calling(
            ARIA,
            site_files(self.sites, ARIA),
            {BOVISA: address},
            self.at_aria,
            note=self.lines.append,
            **self.more,
        )
        self.aria = await self.calling.__aenter__()
        return await self.at_aria.next(), await self.at_bovisa.next()

    async def __aexit__(self, *error: object) -> None:
        await self.calling.__aexit__(None, None, None)
        await self.listening.__aexit__(None, None, None)


async def read(stream: PeerStream) -> bytes | None:
    return await asyncio.wait_for(stream.read(), 10)


def test_the_end_whose_id_sorts_first_calls() -> None:
    assert is_caller(ARIA, BOVISA)
    assert not is_caller(BOVISA, ARIA)


def test_frames_arrive_whole_and_in_order_both_ways(sites: Path) -> None:
    async def run() -> None:
        async with Pair(sites) as (aria, bovisa):
            assert (aria.peer, bovisa.peer) == (BOVISA, ARIA)
            sent = [b"a", b"bb" * 5000, b"c" * FRAME_BYTES, b"d"]
            for frame in sent:
                aria.send(frame)
                bovisa.send(frame[::-1])
            assert [await read(bovisa) for _ in sent] == sent
            assert [await read(aria) for _ in sent] == [frame[::-1] for frame in sent]

    asyncio.run(run())


def test_a_thousand_small_frames_of_one_turn_leave_as_one_write(
    sites: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[int] = []
    write = SecureConnection.write

    def counted(self: SecureConnection, data: bytes) -> None:
        writes.append(len(data))
        write(self, data)

    async def run() -> None:
        async with Pair(sites) as (aria, bovisa):
            monkeypatch.setattr(SecureConnection, "write", counted)
            for number in range(1000):
                aria.send(number.to_bytes(100, "big"))
            assert [int.from_bytes(await read(bovisa) or b"", "big") for _ in range(1000)] == list(range(1000))
            assert writes == [1000 * 104]

    asyncio.run(run())


def test_a_reader_that_lags_holds_the_sender_back_and_loses_nothing(sites: Path) -> None:
    async def run() -> None:
        async with Pair(sites, unsent_bytes=1 << 30) as (aria, bovisa):
            frame = bytes(range(256)) * 4096
            for _ in range(40):
                aria.send(frame)
            await until(lambda: bovisa._is_held)
            assert bovisa._unread_bytes < 16 << 20
            for _ in range(40):
                assert await read(bovisa) == frame
            aria.send(b"last")
            assert await read(bovisa) == b"last"

    asyncio.run(run())


def test_a_peer_that_takes_nothing_is_stuck_and_dropped(sites: Path) -> None:
    async def run() -> None:
        async with Pair(sites, unsent_bytes=1 << 20) as (aria, _):
            for _ in range(100):
                aria.send(bytes(FRAME_BYTES))
            assert "is stuck" in aria.reason
            assert not aria.is_open

    asyncio.run(run())


@pytest.mark.parametrize("frame", [b"", bytes(FRAME_BYTES + 1)], ids=["empty", "too-long"])
def test_a_frame_of_a_size_that_cannot_be_is_a_mistake_here(sites: Path, frame: bytes) -> None:
    async def run() -> None:
        async with Pair(sites) as (aria, _):
            with pytest.raises(ValueError, match="must have 1 to 4194304"):
                aria.send(frame)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ((FRAME_BYTES + 1).to_bytes(4, "big"), "announced a frame of 4194305 bytes"),
        (b"\xff\xff\xff\xff", "announced a frame of 4294967295 bytes"),
        (bytes(4), "a second greeting"),
    ],
)
def test_a_frame_that_must_not_be_ends_the_stream(sites: Path, raw: bytes, reason: str) -> None:
    async def run() -> None:
        async with Pair(sites) as (aria, bovisa):
            assert aria._connection is not None
            aria._connection.write(raw)
            with pytest.raises(ProtocolError, match=reason):
                await read(bovisa)

    asyncio.run(run())


def test_what_came_whole_before_a_cut_is_read_and_then_the_cut_is_told(sites: Path) -> None:
    async def run() -> None:
        async with Pair(sites) as (aria, bovisa):
            assert aria._connection is not None
            aria._connection.write(b"\0\0\0\2ok" + b"\0\0\0\5abc")
            aria._connection.close()
            assert await read(bovisa) == b"ok"
            with pytest.raises(LinkDown, match="inside a frame"):
                await read(bovisa)

    asyncio.run(run())


def test_a_peer_that_vanishes_is_no_proper_end(sites: Path) -> None:
    async def run() -> None:
        async with Pair(sites) as (aria, bovisa):
            aria.abort()
            with pytest.raises(LinkDown, match="cut"):
                await read(bovisa)

    asyncio.run(run())


def test_a_cut_of_the_network_cannot_pass_for_a_proper_end(sites: Path) -> None:
    """TCP's end of stream alone, which anybody on the way can send, is told from the peer's goodbye."""

    async def run() -> None:
        async with Pair(sites) as (aria, bovisa):
            aria.send(b"order")
            assert await read(bovisa) == b"order"
            transport = aria._connection._transport  # type: ignore[union-attr]
            transport.get_extra_info("socket").shutdown(socket.SHUT_WR)  # type: ignore[union-attr]
            with pytest.raises(LinkDown, match="cut"):
                await read(bovisa)

    asyncio.run(run())


def test_closing_delivers_what_was_sent_and_ends_properly(sites: Path) -> None:
    async def run() -> None:
        async with Pair(sites) as (aria, bovisa):
            aria.send(b"last words")
            aria.close()
            aria.send(b"too late")
            assert [frame async for frame in bovisa.frames()] == [b"last words"]
            assert bovisa.reason == ""
            assert await read(aria) is None

    asyncio.run(run())


def test_the_caller_calls_again_and_counts(sites: Path) -> None:
    async def run() -> None:
        pair = Pair(sites)
        async with pair as (_, bovisa):
            bovisa.abort()
            assert (await pair.at_aria.next()).is_open
            count = pair.aria.counts[BOVISA]
            assert (count.connected, count.connections, count.failures) == (1, 2, 1)
            assert count.reason.startswith(f"{BOVISA}: ")
            assert pair.lines[0] == f"{BOVISA}: connected"

    asyncio.run(run())


def test_a_second_stream_is_handed_over_like_the_first(sites: Path) -> None:
    async def run() -> None:
        pair = Pair(sites)
        async with pair as (_, bovisa):
            address = next(iter(pair.bovisa._server.sockets)).getsockname()  # type: ignore[union-attr]
            files = site_files(sites, ARIA)
            async with calling(ARIA, files, {BOVISA: Address(*address)}, Collector()):
                second = await pair.at_bovisa.next()
                assert second is not bovisa
                assert second.is_open
                assert bovisa.is_open
                assert pair.bovisa.counts[ARIA].connected == 2

    asyncio.run(run())


def test_a_handler_that_returns_closes_its_stream_and_one_that_fails_drops_it(sites: Path) -> None:
    async def leave(_stream: PeerStream) -> None:
        return

    async def fail(_stream: PeerStream) -> None:
        raise ProtocolError("nonsense in frame 3")

    async def run() -> None:
        for handler, reason in ((leave, ""), (fail, f"{ARIA}: nonsense in frame 3")):
            async with (
                listening(BOVISA, site_files(sites, BOVISA), {ARIA: None}, handler) as (network, address),
                calling(ARIA, site_files(sites, ARIA), {BOVISA: address}, Collector()),
            ):
                await until(lambda n=network: n.counts[ARIA].connections > 0 and not n.counts[ARIA].connected)
                assert network.counts[ARIA].reason == reason

    asyncio.run(run())


def test_a_fault_in_a_handler_is_reported_and_drops_the_stream_only(sites: Path) -> None:
    async def fault(_stream: PeerStream) -> None:
        raise ZeroDivisionError

    async def run() -> None:
        told: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context["exception"]))
        async with (
            listening(BOVISA, site_files(sites, BOVISA), {ARIA: None}, fault) as (network, address),
            calling(ARIA, site_files(sites, ARIA), {BOVISA: address}, Collector()),
        ):
            await until(lambda: network.counts[ARIA].failures > 0)
        assert isinstance(told[0], ZeroDivisionError)

    asyncio.run(run())


def test_nobody_there_is_told_once_and_closing_is_prompt(sites: Path) -> None:
    async def run() -> None:
        with socket.socket() as placeholder:
            placeholder.bind(("127.0.0.1", 0))
            address = Address(*placeholder.getsockname())
            lines: list[str] = []
            async with calling(
                ARIA, site_files(sites, ARIA), {BOVISA: address}, Collector(), note=lines.append
            ) as network:
                await until(lambda: network.counts[BOVISA].failures >= 2)
            assert len(lines) == 1
            assert f"{BOVISA}: cannot connect to {address}" in lines[0]

    asyncio.run(asyncio.wait_for(run(), 10))


def test_a_new_certificate_is_taken_up_without_a_restart(sites: Path) -> None:
    async def run() -> None:
        pair = Pair(sites)
        async with pair as (_, bovisa):
            serial = bovisa.chain[0].serial_number
            authority = Authority(sites / ARIA)
            authority.issue(CallerKind.KME, ARIA, now(), hosts=HOSTS)
            for end in (".key", "-chain.pem"):
                (sites / ARIA / "issued" / f"kme-aria-02{end}").replace(
                    sites / ARIA / "issued" / f"kme-aria-01{end}"
                )
            pair.aria.reload_tls()
            assert bovisa.is_open
            bovisa.abort()
            assert (await pair.at_bovisa.next()).chain[0].serial_number != serial

    asyncio.run(run())


def test_a_peer_revoked_while_connected_is_cut_off_at_the_reload(sites: Path) -> None:
    async def run() -> None:
        pair = Pair(sites)
        async with pair as (_, bovisa):
            Authority(sites / ARIA).revoke(str(site_files(sites, ARIA).certificate), now())
            add_trust(sites / BOVISA / "trust", ARIA, authority=None, revoked=sites / ARIA / "crl.pem")
            pair.bovisa.reload_tls()
            assert "was revoked on" in bovisa.reason
            await until(lambda: pair.bovisa.strangers.failures > 0)
            assert f"certificate of {ARIA} was revoked" in pair.bovisa.strangers.reason

    asyncio.run(run())


def test_a_peer_whose_certificate_runs_out_is_cut_off(sites: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        pair = Pair(sites)
        async with pair as (_, bovisa):

            class Later:
                @staticmethod
                def now(zone: object) -> object:
                    return now() + timedelta(days=91)

            monkeypatch.setattr("poliqi.edge.peers.datetime", Later)
            pair.bovisa._check_streams()
            assert f"certificate of {ARIA} expired on" in bovisa.reason

    asyncio.run(run())


def test_files_that_do_not_fit_leave_the_old_ones_in_force(sites: Path) -> None:
    async def run() -> None:
        pair = Pair(sites)
        async with pair as (_, bovisa):
            site_files(sites, BOVISA).key.write_bytes(site_files(sites, ARIA).key.read_bytes())
            with pytest.raises(ConfigError, match="is not the key of"):
                pair.bovisa.reload_tls()
            assert bovisa.is_open
            bovisa.abort()
            assert (await pair.at_bovisa.next()).is_open

    asyncio.run(run())


async def nothing(_stream: PeerStream) -> None:
    return


def test_what_a_site_lacks_is_said_before_it_starts(sites: Path) -> None:
    bovisa, aria = site_files(sites, BOVISA), site_files(sites, ARIA)
    here = Address("127.0.0.1", 0)
    with pytest.raises(ConfigError, match="is this site itself"):
        PeerNetwork(ARIA, aria, here, {ARIA: None}, nothing)
    with pytest.raises(ConfigError, match="so its address is needed"):
        PeerNetwork(ARIA, aria, here, {BOVISA: None}, nothing)
    with pytest.raises(ConfigError, match="an address to listen on is needed"):
        PeerNetwork(BOVISA, bovisa, None, {ARIA: None}, nothing)
    with pytest.raises(ConfigError, match="speaks for kme bovisa, this site is kme aria"):
        asyncio.run(PeerNetwork(ARIA, bovisa, None, {}, nothing).start())
    with pytest.raises(ConfigError, match="no authority for leonardo"):
        asyncio.run(PeerNetwork(BOVISA, bovisa, None, {LEONARDO: here}, nothing).start())


def test_a_call_in_the_wrong_direction_is_refused(sites: Path) -> None:
    """bovisa made to call aria, which is not the rule: aria refuses."""

    async def run() -> None:
        arrived = Collector()
        files = site_files(sites, ARIA)
        async with listening(ARIA, files, {BOVISA: Address("127.0.0.1", 9)}, arrived) as (network, address):
            async with calling(BOVISA, site_files(sites, BOVISA), {}, arrived) as outsider:
                outsider.counts[ARIA] = outsider.strangers
                outsider._spawn(outsider._keep_calling(ARIA, address))
                await until(lambda: network.strangers.failures > 0)
            assert network.strangers.reason.endswith(f"{BOVISA} called, but of the two it is {ARIA} that calls")
            assert arrived.streams.empty()

    asyncio.run(run())


def test_a_stream_ends_before_its_keys_are_worn(sites: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("poliqi.edge.pqtls._WORN_BYTES", 1 << 16)

    async def run() -> None:
        pair = Pair(sites)
        async with pair as (aria, bovisa):
            aria.send(bytes(1 << 16))
            assert await read(bovisa) == bytes(1 << 16)
            await asyncio.wait_for(bovisa.wait_ended(), 10)
            assert (await pair.at_aria.next()).is_open

    asyncio.run(run())


def test_limits_are_those_of_the_page() -> None:
    assert peerstream.FRAME_BYTES == 4_194_304


def test_closing_while_a_call_is_under_way_leaves_nothing_behind(sites: Path) -> None:
    async def run() -> None:
        arrived = Collector()
        async with listening(BOVISA, site_files(sites, BOVISA), {ARIA: None}, arrived) as (network, address):
            for turns in range(12):
                async with calling(ARIA, site_files(sites, ARIA), {BOVISA: address}, Collector()):
                    for _ in range(turns):
                        await asyncio.sleep(0)
            await until(lambda: not network.counts[ARIA].connected and not network._callers)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(run())


def test_the_same_works_on_uvloop(sites: Path) -> None:
    uvloop = pytest.importorskip("uvloop")

    async def run() -> None:
        async with Pair(sites, unsent_bytes=1 << 30) as (aria, bovisa):
            for _ in range(20):
                aria.send(bytes(1 << 20))
            await until(lambda: bovisa._is_held)
            for _ in range(20):
                assert await read(bovisa) == bytes(1 << 20)
            aria.close()
            assert await read(bovisa) is None

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
