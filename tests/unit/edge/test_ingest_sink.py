"""The link's side of the ingest socket: a block is gone from the state when the site said so, not before."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import pytest
from ingest_desk import IngestDesk, short_folder
from link_states import LINK, WORDS, make_block, make_state

from poliqi.base.errors import ConfigError
from poliqi.base.ids import BlockNumber, Origin
from poliqi.base.secret import SecretBytes
from poliqi.distill.outcome import Confirm
from poliqi.edge.ingest_server import IngestServer
from poliqi.edge.ingest_sink import SiteSink
from poliqi.edge.keyfile import read_keys
from poliqi.edge.keysink import ConfirmedBlock, Postponed
from poliqi.edge.store import LinkStore
from poliqi.keys.grade import Grade, KeyOrigin
from poliqi.keys.requests import Reason, Refused
from poliqi.keys.segment import block_of_number

BLOCK = ConfirmedBlock(BlockNumber(5), Origin.PHOTONS, 1e-9, "wiesemann", SecretBytes(b"key"))


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as made:
        yield made


@contextmanager
def site(folder: Path, desk: IngestDesk) -> Iterator[Path]:
    """An ingest server in a thread."""
    path = folder / "ingest"
    ready, over = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def run() -> None:
        server = IngestServer(desk.desk, path)
        await server.open()
        loops.append(asyncio.get_running_loop())
        ready.set()
        await over.wait()
        await server.close()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    assert ready.wait(10)
    try:
        yield path
    finally:
        loops[0].call_soon_threadsafe(over.set)
        thread.join(10)
        assert not thread.is_alive()


@contextmanager
def impostor(path: Path, *frames: bytes) -> Iterator[None]:
    """Something else that listens there: says `frames`, then nothing."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def speak() -> None:
            try:
                with listening.accept()[0] as one:
                    for frame in frames:
                        one.sendall(len(frame).to_bytes(4, "big") + frame)
                    while one.recv(1 << 16):
                        pass
            except OSError:
                return

        thread = threading.Thread(target=speak)
        thread.start()
        try:
            yield
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(10)


@contextmanager
def sink_to(path: Path, timeout_s: float = 5.0) -> Iterator[SiteSink]:
    with closing(SiteSink(path, LINK, "0" * 16, timeout_s=timeout_s)) as sink:
        yield sink


def reach_refused(sink: SiteSink) -> Postponed:
    answer = sink.reach()
    assert isinstance(answer, Postponed)
    return answer


# ---------------------------------------------------------------- one block


def test_block_arrives_under_its_number_with_its_grade(folder: Path) -> None:
    desk = IngestDesk("bovisa")
    with site(folder, desk) as path, sink_to(path) as sink:
        assert sink.reach() == "site:bovisa"
        assert sink.append(BLOCK) is None
    expected = Grade(KeyOrigin.PHOTONS, "wiesemann", 1e-9, paths=())
    assert desk.held == {(LINK, block_of_number(5)): (b"key", expected)}


def test_same_block_twice_is_accepted_again(folder: Path) -> None:
    desk = IngestDesk()
    with site(folder, desk) as path, sink_to(path) as sink:
        sink.reach()
        assert [sink.append(BLOCK), sink.append(BLOCK)] == [None, None]
    assert len(desk.held) == 1


@pytest.mark.parametrize(
    ("reason", "lasting"),
    [(Reason.NOT_PERMITTED, True), (Reason.NOT_FOUND, True), (Reason.UNAVAILABLE, False)],
)
def test_refusal_tells_whether_waiting_helps(folder: Path, reason: Reason, lasting: bool) -> None:
    desk = IngestDesk()
    desk.refusal = Refused(reason, "because", 7.0)
    with site(folder, desk) as path, sink_to(path) as sink:
        sink.reach()
        assert sink.append(BLOCK) == Postponed("site leonardo refuses block 5: because", 7.0, lasting)


def test_site_that_went_away_is_found_again_without_a_failed_block(folder: Path) -> None:
    desk = IngestDesk()
    with sink_to(folder / "ingest") as sink:
        for _ in range(2):
            with site(folder, desk):
                assert sink.reach() == "site:leonardo"
                assert sink.append(BLOCK) is None


def test_site_that_is_not_there_is_named(folder: Path) -> None:
    with sink_to(folder / "ingest") as sink:
        assert "cannot be reached: No such file" in reach_refused(sink).reason


def test_slow_site_is_given_up_after_a_while(folder: Path) -> None:
    with impostor(folder / "slow"), sink_to(folder / "slow", 0.1) as sink:
        assert "no answer in time" in reach_refused(sink).reason


def test_waiting_for_a_slow_site_can_be_ended_from_another_thread(folder: Path) -> None:
    with impostor(folder / "slow"), sink_to(folder / "slow", 60) as sink:
        threading.Timer(0.05, sink.abort).start()
        reach_refused(sink)
        assert "stopping" in reach_refused(sink).reason


# ---------------------------------------------------------------- what is no site


@pytest.mark.parametrize("greeting", [b"220 smtp ready", msgspec.msgpack.encode(["poliqi-ingest", 9, "bovisa"])])
def test_other_servers_get_no_key(folder: Path, greeting: bytes) -> None:
    with impostor(folder / "other", greeting), sink_to(folder / "other") as sink:
        assert reach_refused(sink).lasting
        assert isinstance(sink.append(BLOCK), Postponed)


def test_server_that_announces_a_long_greeting_is_left(folder: Path) -> None:
    with impostor(folder / "other", bytes(5000)), sink_to(folder / "other") as sink:
        assert "not the ingest socket" in reach_refused(sink).reason


def test_socket_in_a_folder_that_others_can_write_to_gets_no_key(folder: Path) -> None:
    desk = IngestDesk()
    with site(folder, desk) as path, sink_to(path) as sink:
        folder.chmod(0o777)
        assert "others can write into its folder" in reach_refused(sink).reason
        folder.chmod(0o700)


# ---------------------------------------------------------------- from the state


def confirmed(store: LinkStore, number: int, key: bytes = b"key") -> None:
    store.apply([make_block(number, key, first=WORDS + 2 * (number - 1)), Confirm(BlockNumber(number))])


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return make_state(tmp_path / "state")


def test_blocks_wait_until_the_site_takes_them_in_order(folder: Path, state: Path) -> None:
    desk = IngestDesk()
    with closing(LinkStore(state)) as store, sink_to(folder / "ingest") as sink:
        store.deliver_later()
        for number in (1, 2, 3):
            confirmed(store, number, b"key %d" % number)
        assert isinstance(store.deliver_one(sink), Postponed)
        assert store.waiting_bytes == 15
        with site(folder, desk):
            assert [store.deliver_one(sink) for _ in range(4)] == [1, 2, 3, None]
        assert (store.waiting_bytes, store.status().undelivered) == (0, 0)
    assert desk.calls == [block_of_number(n) for n in (1, 2, 3)]
    assert desk.keys() == [b"key 1", b"key 2", b"key 3"]
    assert b"key 2" not in (state / "link.sqlite").read_bytes()


def test_crash_after_the_site_accepted_brings_the_block_again(folder: Path, state: Path) -> None:
    desk = IngestDesk()
    with site(folder, desk) as path, sink_to(path) as sink:
        with closing(LinkStore(state)) as store:
            store.deliver_later()
            confirmed(store, 1)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(store, "_delivered", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
                with pytest.raises(KeyboardInterrupt):
                    store.deliver_one(sink)
        with closing(LinkStore(state)) as store:
            store.deliver_later()
            assert (store.status().destination, store.deliver_one(sink)) == ("site:leonardo", 1)
    assert (len(desk.calls), desk.keys()) == (2, [b"key"])


def test_refused_block_stays_and_no_later_one_overtakes_it(folder: Path, state: Path) -> None:
    desk = IngestDesk()
    desk.refusal = Refused(Reason.NOT_PERMITTED, "no simulated light")
    with site(folder, desk) as path, sink_to(path) as sink, closing(LinkStore(state)) as store:
        store.deliver_later()
        confirmed(store, 1)
        confirmed(store, 2)
        assert [isinstance(store.deliver_one(sink), Postponed) for _ in range(2)] == [True, True]
        assert desk.calls == [block_of_number(1)] * 2


def test_block_on_its_way_to_one_site_never_goes_to_another(folder: Path, state: Path) -> None:
    first, other = IngestDesk("bovisa"), IngestDesk("aria")
    first.refusal = Refused(Reason.UNAVAILABLE, "later")
    with closing(LinkStore(state)) as store, sink_to(folder / "ingest") as sink:
        store.deliver_later()
        confirmed(store, 1)
        with site(folder, first):
            store.deliver_one(sink)
        with site(folder, other):
            answer = store.deliver_one(sink)
    assert isinstance(answer, Postponed) and answer.lasting
    assert answer.reason == "block 1 is on its way to site:bovisa, but this is site:aria"
    assert not other.calls


def test_block_on_its_way_to_a_site_never_goes_into_a_key_file(folder: Path, state: Path, tmp_path: Path) -> None:
    desk = IngestDesk("bovisa")
    desk.refusal = Refused(Reason.UNAVAILABLE, "later")
    with closing(LinkStore(state)) as store, site(folder, desk) as path, sink_to(path) as sink:
        store.deliver_later()
        confirmed(store, 1)
        store.deliver_one(sink)
        with pytest.raises(ConfigError, match="on their way to site bovisa"):
            store.deliver_to(tmp_path / "keys")


def test_block_that_no_site_was_offered_may_go_into_a_key_file(state: Path, tmp_path: Path) -> None:
    with closing(LinkStore(state)) as store:
        store.deliver_later()
        confirmed(store, 1)
    with closing(LinkStore(state)) as store:
        store.deliver_to(tmp_path / "keys")
    assert [r.number for r in read_keys(tmp_path / "keys")[1]] == [1]


def test_half_delivered_key_file_is_finished_before_a_site_gets_keys(
    folder: Path, state: Path, tmp_path: Path
) -> None:
    desk = IngestDesk()
    with closing(LinkStore(state)) as store, pytest.MonkeyPatch.context() as patch:
        store.deliver_to(tmp_path / "keys")
        patch.setattr("poliqi.edge.keyfile.KeyFile.append", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            confirmed(store, 1)
    with closing(LinkStore(state)) as store, site(folder, desk) as path, sink_to(path) as sink:
        store.deliver_later()
        assert store.deliver_one(sink) is None
        confirmed(store, 2)
        assert store.deliver_one(sink) == 2
    assert [r.number for r in read_keys(tmp_path / "keys")[1]] == [1]
    assert desk.calls == [block_of_number(2)]


def test_link_goes_on_while_a_site_is_slow(folder: Path, state: Path) -> None:
    greeting = msgspec.msgpack.encode(["poliqi-ingest", 1, "bovisa"])
    with (
        closing(LinkStore(state)) as store,
        impostor(folder / "slow", greeting),
        sink_to(folder / "slow", 60) as sink,
    ):
        store.deliver_later()
        confirmed(store, 1)
        answers: list[object] = []
        waiting = threading.Thread(target=lambda: answers.append(store.deliver_one(sink)))
        waiting.start()
        confirmed(store, 2)
        confirmed(store, 3)
        assert (store.status().undelivered, answers) == (3, [])
        sink.abort()
        waiting.join(10)
        assert isinstance(answers[0], Postponed)
