"""Two ends of a key device: what reaches the sites, and what a misbehaving device, line or process leaves."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from device_rig import FakeDevice, Rig, link_down
from ingest_desk import short_folder
from link_states import LINK, make_state
from qsn_rig import running_pair

from poliqi.base.errors import ConfigError, KeyExhausted
from poliqi.base.ids import BlockNumber, Role
from poliqi.control.messages import LightState
from poliqi.distill.outcome import PadCursor, Usage
from poliqi.edge.devicestate import DeviceStore, device_totals
from poliqi.edge.entropy import OperatingSystemEntropy
from poliqi.edge.pairing import link_status, make_identity, trust_peer
from poliqi.edge.sources.catalogue import opener_of
from poliqi.edge.store import LinkStore
from poliqi.keys.devices.pairing import Dropped, JoinedKeys, Leader
from poliqi.keys.grade import KeyOrigin
from poliqi.link.qsn.emulated import Role as QsnRole
from poliqi.node.devicelight import DeviceLight
from poliqi.ops.cli import cli


def some_keys(count: int, size: int = 32, first: int = 0) -> dict[str, bytes]:
    return {f"key-{i}": os.urandom(size) for i in range(first, first + count)}


def run(story: Callable[[Rig], Awaitable[None]], alice: FakeDevice, bob: FakeDevice, **pairing: object) -> None:
    async def told() -> None:
        with short_folder() as folder:
            async with Rig(folder, alice, bob, **pairing) as rig:
                rig.start()
                await story(rig)

    asyncio.run(told())


def test_keys_of_both_ends_become_one_block_at_both_sites() -> None:
    keys = some_keys(40)
    alice, bob = FakeDevice(keys), FakeDevice(keys)

    async def story(rig: Rig) -> None:
        await rig.until(lambda: len(rig.shared()) == 1, "a block at both sites")
        [block] = rig.shared()
        assert block == b"".join(keys.values()), "in the announced order"
        grades = {grade for end in rig.ends for _, grade in end.desk.held.values()}
        assert {(g.origin, g.proof, g.epsilon) for g in grades} == {(KeyOrigin.UNPROVEN, "", None)}
        [(_, name)] = rig.alice.desk.held
        assert (name[6] >> 4, name[8] >> 6) == (8, 2), "a UUID of version 8"
        await rig.until(lambda: set(alice.gone) == set(bob.gone) == set(keys), "the device may forget them")
        used = link_status(rig.alice.state).used_words
        assert used == {Role.ALICE: 4, Role.BOB: 3}, "as the specification counts; and nothing refilled the pads"
        assert link_status(rig.alice.state).words_left == {role: 1024 - words for role, words in used.items()}

    run(story, alice, bob)


def test_keys_of_ends_that_were_paired_for_simulated_light_say_so() -> None:
    keys = some_keys(2)

    async def story(rig: Rig) -> None:
        await rig.until(lambda: bool(rig.shared()), "a block")
        assert {g.origin for _, g in rig.bob.desk.held.values()} == {KeyOrigin.SIMULATED}

    run(story, FakeDevice(keys), FakeDevice(keys), simulated=True)


def test_a_key_that_one_end_lacks_is_dropped_at_both() -> None:
    keys = some_keys(10)
    fewer = {name: bits for name, bits in keys.items() if name not in ("key-0", "key-7")}

    async def story(rig: Rig) -> None:
        await rig.until(lambda: bool(rig.shared()), "a block")
        assert rig.shared() == [b"".join(fewer.values())]
        assert "lacks 2 of 10" in rig.bob.texts("missing")

    run(story, FakeDevice(keys), FakeDevice(fewer))


def test_one_differing_bit_reaches_no_site() -> None:
    keys = some_keys(8)
    other = {**keys, "key-5": bytes([keys["key-5"][0] ^ 1]) + keys["key-5"][1:]}

    async def story(rig: Rig) -> None:
        await rig.until(lambda: all("faulty" in end.events for end in rig.ends), "both say so")
        assert not rig.alice.desk.held
        assert not rig.bob.desk.held
        assert "ALARM" in rig.alice.texts("faulty")
        assert "differ" in rig.bob.texts("faulty")
        assert device_totals(rig.bob.state).faults == 1  # type: ignore[union-attr]

    run(story, FakeDevice(keys), FakeDevice(other))


def test_the_word_of_a_wrong_settle_tag_is_used_up_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """Alice's words: r, hello, welcome, settle. A later connection takes two at once: 4 is this one's."""
    keys, marked = some_keys(3), list[int]()
    settle, mark = Leader.settle, DeviceStore.mark

    def wrong(end: Leader, block: JoinedKeys | Dropped) -> bytes:
        frame = bytearray(settle(end, block))
        frame[-1] ^= 1
        return bytes(frame)

    def seen(store: DeviceStore, cursors: Sequence[PadCursor]) -> None:
        marked.extend(cursor.next_word for cursor in cursors if cursor.sender is Role.ALICE)
        mark(store, cursors)

    monkeypatch.setattr(Leader, "settle", wrong)

    async def story(rig: Rig) -> None:
        monkeypatch.setattr(DeviceStore, "mark", seen)
        await rig.until(lambda: "does not fit" in str(rig.bob.records), "the tag is found wrong")
        await rig.until(lambda: 4 in marked, "its word is marked")

    run(story, FakeDevice(keys), FakeDevice(keys))


def test_an_announcement_of_too_much_key_is_refused() -> None:
    keys = {f"k{i}": random.Random(i).randbytes(1 << 20) for i in range(3)}
    small = {name: bits[:32] for name, bits in keys.items()}

    async def story(rig: Rig) -> None:
        await rig.until(lambda: "faulty" in rig.bob.events, "a refusal")
        assert "3 announced keys have 3145728 bytes, a block has at most 2097152" in rig.bob.texts("faulty")
        assert not rig.bob.desk.held

    run(story, FakeDevice(small), FakeDevice(keys))


def test_differing_keys_with_zeros_in_front_are_told_apart_too() -> None:
    """A site's own comparison is keyed by a segment's first bytes, so a device could make it pass."""
    head = bytes(32)
    one, two = head + os.urandom(2016), head + os.urandom(2016)

    async def story(rig: Rig) -> None:
        await rig.until(lambda: "faulty" in rig.alice.events, "the difference is seen")
        assert not rig.alice.desk.held
        assert not rig.bob.desk.held

    run(story, FakeDevice({"k": one}), FakeDevice({"k": two}))


def test_a_repeated_key_is_refused_after_a_restart_too() -> None:
    keys = some_keys(4)
    alice, bob = FakeDevice(keys), FakeDevice(keys)

    async def story(rig: Rig) -> None:
        await rig.until(lambda: len(rig.shared()) == 1, "the first block")
        for end in rig.ends:
            await end.stop()
        for device in (alice, bob):
            device.keys = {"new-name": keys["key-2"]}
            device.is_closed.clear()
        rig.start()
        await rig.until(lambda: "faulty" in rig.alice.events, "the repeat is seen")
        assert "repeats itself" in rig.alice.texts("faulty")
        assert len(rig.alice.desk.held) == len(rig.bob.desk.held) == 1

    run(story, alice, bob)


@pytest.mark.parametrize(
    ("bits", "word"),
    [
        (bytes(32), "stuck"),
        (b"abcd" * 8, "every 4 bytes"),
        (random.Random(1).randbytes(64).hex().encode(), "biased"),
        (b"abc", "3 bytes"),
    ],
    ids=["zeros", "period", "text", "short"],
)
def test_a_broken_device_gives_no_block(bits: bytes, word: str) -> None:
    async def story(rig: Rig) -> None:
        await rig.until(lambda: "faulty" in rig.alice.events, "a refusal")
        assert word in rig.alice.texts("faulty")
        assert not rig.alice.desk.held

    run(story, FakeDevice({"k": bits}), FakeDevice({"k": bits}))


def test_keys_wait_while_the_following_device_is_away() -> None:
    keys = some_keys(4)
    alice, bob = FakeDevice(keys), FakeDevice(keys)
    bob.down = link_down("no answer from the receiver")

    async def story(rig: Rig) -> None:
        await rig.until(lambda: "waiting" in rig.alice.events, "the leader waits")
        assert "no answer from the receiver" in rig.alice.texts("waiting")
        bob.down = None
        await rig.until(lambda: rig.shared() == [b"".join(keys.values())], "nothing was lost")

    run(story, alice, bob)


def test_a_driver_that_raises_nonsense_is_let_go_and_opened_again() -> None:
    keys = some_keys(4)
    alice = FakeDevice(keys)
    alice.down = ZeroDivisionError("secret words")

    async def story(rig: Rig) -> None:
        await rig.until(lambda: "ZeroDivisionError at device_rig.py" in rig.alice.texts("device"), "it is said")
        assert "secret words" not in str(rig.alice.records), "a driver's words could hold key"
        alice.down = None
        await rig.until(lambda: bool(rig.shared()), "a block")

    run(story, alice, FakeDevice(keys))


def test_a_site_that_is_away_gets_every_block_later() -> None:
    keys = some_keys(6)

    async def story(rig: Rig) -> None:
        await rig.bob._server.close()  # the site goes
        await rig.until(lambda: "block" in rig.bob.events, "a block is stored without the site")
        assert device_totals(rig.bob.state).waiting_bytes == 192  # type: ignore[union-attr]
        await rig.bob.open()
        await rig.until(lambda: bool(rig.shared()), "it is delivered")
        await rig.until(lambda: device_totals(rig.bob.state).waiting_bytes == 0, "nothing waits")  # type: ignore[union-attr]

    run(story, FakeDevice(keys), FakeDevice(keys))


def test_pads_at_their_reserve_end_both_ends() -> None:
    """16 words: a reserve of 4, three for a hello, one more for the first block: eight blocks and no more."""
    keys = some_keys(40, size=8)
    alice, bob = FakeDevice(keys), FakeDevice(keys)

    async def story(rig: Rig) -> None:
        for end in rig.ends:
            await end.ended()
            assert "never refill" in end.texts("pad-low")
            with pytest.raises(KeyExhausted):
                await end.stop()
        assert 1 <= len(rig.shared()) <= 8

    async def told() -> None:
        with short_folder() as folder:
            async with Rig(folder, alice, bob, words=16) as rig:
                rig.alice.terms = type(rig.alice.terms)(8, 0.01, 1.0)
                rig.start()
                await story(rig)

    asyncio.run(told())


def test_the_last_block_is_finished_when_an_end_is_told_to_stop(tmp_path: Path) -> None:
    del tmp_path
    keys = some_keys(5)

    async def told() -> None:
        with short_folder() as folder:
            async with Rig(folder, FakeDevice(keys), FakeDevice(keys)) as rig:
                rig.alice.terms = type(rig.alice.terms)(1 << 16, 3600.0, 1.0)
                rig.start()
                await rig.until(lambda: rig.alice.device.given == list(keys), "the keys are taken")
                await rig.alice.stop()
                await rig.until(lambda: rig.shared() == [b"".join(keys.values())], "they were not lost")

    asyncio.run(told())


def test_the_site_hears_whether_keys_come_and_why_not() -> None:
    keys = some_keys(4)
    alice, bob = FakeDevice(keys), FakeDevice(keys)

    async def story(rig: Rig) -> None:
        light = rig.alice.light
        await rig.until(lambda: any(r.blocks == 1 and r.state is LightState.LIT for r in light), "lit")
        assert next(r for r in light if r.blocks == 1).key_rate_bps > 0
        alice.down = link_down("the fibre of the device is out")
        await rig.until(lambda: light[-1].state is LightState.DARK, "dark")
        assert "fibre of the device" in light[-1].reason
        alice.down = None
        for device in (alice, bob):
            device.keys = {"again": keys["key-0"]}
        await rig.until(lambda: light[-1].state is LightState.KEYLESS, "keyless")
        assert "repeats itself" in light[-1].reason
        assert all(r.qber_key is None and r.epsilon is None for r in light)

    run(story, alice, bob)


def test_an_end_without_another_is_silent_and_one_without_keys_says_so() -> None:
    light = DeviceLight(LINK, 0.0, is_simulated=False, dry_s=100.0)
    assert light.report(0.0).state is LightState.SILENT
    light.met(10.0)
    assert (light.report(10.0).state, light.report(10.0).key_rate_bps) == (LightState.LIT, None)
    light.block(125, 20.0)
    light.block(125, 30.0)
    assert light.report(30.0).key_rate_bps == 100.0, "2000 bits in 20 s"
    assert light.report(70.0).key_rate_bps == 50.0, "and none in the 40 s since"
    assert "gives no keys" in light.report(140.0).reason
    light.parted("it went", 150.0)
    assert light.report(151.0).state is LightState.KEYLESS
    assert (light.report(153.0).state, light.report(153.0).reason) == (LightState.SILENT, "it went")


def test_keys_of_emulated_devices_reach_both_sites() -> None:
    with running_pair() as pair:
        alice, bob = FakeDevice(), FakeDevice()

        async def told() -> None:
            with short_folder() as folder:
                async with Rig(folder, alice, bob, simulated=True) as rig:
                    for end, role in zip(rig.ends, QsnRole, strict=True):
                        options = {"address": str(pair.lkms[role])}
                        end.opener = opener_of("qsn", options, folder)
                    rig.start()
                    await rig.until(lambda: len(rig.shared()) >= 2, "two blocks")
                    assert not rig.alice.totals().faults

        asyncio.run(told())


def test_states_that_are_no_device_s_are_refused(tmp_path: Path) -> None:
    entropy = OperatingSystemEntropy()
    make_identity(tmp_path / "trusting")
    peer = make_identity(tmp_path / "other")
    trust_peer(tmp_path / "trusting", peer, "leonardo-bovisa", Role.ALICE, simulated=True, words=64)
    with pytest.raises(ConfigError, match="paired by a pair file"):
        DeviceStore(tmp_path / "trusting", entropy)
    distilling = make_state(tmp_path / "distilling")
    with closing(LinkStore(distilling)) as store:
        store.apply([Usage(BlockNumber(2), 0)])
    with pytest.raises(ConfigError, match="a folder of their own"):
        DeviceStore(distilling, entropy)


def test_status_tells_what_an_end_has_made(tmp_path: Path) -> None:
    state = make_state(tmp_path / "alice", words=128)
    result = CliRunner().invoke(cli, ["device", "status", "--state", str(state)])
    assert "no device was run with it yet" in str(result.exception)
    DeviceStore(state, OperatingSystemEntropy()).close()
    record = json.loads(CliRunner().invoke(cli, ["device", "status", "--state", str(state), "--json"]).output)
    assert (record["link"], record["blocks"], record["words_left"], record["blocks_left"]) == (LINK, 0, 96, 92)
