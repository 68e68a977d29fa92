"""Open streams between two applications: messages, ends, cuts, changes of keys, what they report."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from played_channels import channel_pair

from bench.played_keys import PHOTONS, SIMULATED, PlayedKeys, PlayedSite
from poliqi.apps.keygrade import GradeDemand
from poliqi.apps.keysource import Key
from poliqi.apps.stream.channel import RECORD_BYTES, Channel
from poliqi.apps.stream.needs import needed_bytes
from poliqi.apps.stream.terms import Mode, Policy, StreamRule
from poliqi.base.errors import AuthenticationError, DataRefused, KeyExhausted, LinkDown, ProtocolError
from poliqi.base.ids import SaeId
from poliqi.edge.keyanswers import KeysNotReady

MODE = {
    Policy.STRICT: Mode.QUANTUM,
    Policy.HYBRID: Mode.HYBRID,
    Policy.PQC_FALLBACK: Mode.HYBRID,
    Policy.PQC: Mode.PQC,
    Policy.ITS: Mode.ONE_TIME,
}


@contextmanager
def pair(
    policy: Policy = Policy.STRICT, site: PlayedSite | None = None, **rule: object
) -> Iterator[tuple[Channel, Channel]]:
    made = StreamRule(**rule) if rule else None  # pyright: ignore[reportArgumentType]  # the test's own words
    caller, callee = channel_pair(policy, site, rule=made)
    try:
        yield caller, callee
    finally:
        caller.close()
        callee.close()


def all_of(channel: Channel) -> list[bytes]:
    messages: list[bytes] = []
    while (message := channel.receive()) is not None:
        messages.append(bytes(message))
    return messages


@pytest.mark.parametrize("policy", list(Policy))
def test_messages_arrive_both_ways_in_order_and_end(policy: Policy) -> None:
    sizes = [0, 1, 200, 65536, 65537, RECORD_BYTES - 1, RECORD_BYTES]
    with pair(policy) as (caller, callee), ThreadPoolExecutor(1) as pool:
        for one, other in ((caller, callee), (callee, caller)):
            sent = [bytes([place]) * size for place, size in enumerate(sizes)]
            received = pool.submit(all_of, other)
            for message in sent:
                one.send(message)
            one.finish()
            assert received.result() == sent
            assert other.receive() is None
        assert caller.usage.mode is callee.usage.mode is MODE[policy]


@pytest.mark.parametrize("policy", list(Policy))
def test_both_ends_report_the_same_use(policy: Policy) -> None:
    with pair(policy) as (caller, callee):
        caller.send(b"ask")
        callee.receive()
        callee.send(b"answer")
        caller.receive()
        one, other = caller.usage, callee.usage
        assert (one.local, one.peer) == (other.peer, other.local) == ("caller", "callee")
        assert set(one.key_ids) == set(other.key_ids)
        assert len(one.key_ids) == len(one.grades)
        assert bool(one.key_ids) is (policy is not Policy.PQC)
        assert (one.sent_bytes, one.received_bytes) == (other.received_bytes, other.sent_bytes) == (3, 6)
        assert callee.purpose == "test 1"


def test_a_message_goes_straight_into_the_callers_buffer() -> None:
    with pair() as (caller, callee):
        buffer = bytearray(RECORD_BYTES)
        caller.send(memoryview(b"straight"))
        assert callee.receive_into(buffer) == 8
        assert bytes(buffer[:8]) == b"straight"
        with pytest.raises(ValueError, match="at least"):
            callee.receive_into(bytearray(10))


def test_a_message_that_is_too_long_is_refused_before_it_is_sent() -> None:
    with pair() as (caller, callee):
        with pytest.raises(ValueError, match="over the limit"):
            caller.send(bytes(RECORD_BYTES + 1))
        caller.send(b"next")
        assert callee.receive() == b"next"


@pytest.mark.parametrize("policy", [Policy.STRICT, Policy.HYBRID])
def test_each_direction_takes_a_fresh_key_after_its_bytes(policy: Policy) -> None:
    with pair(policy, rekey_bytes=1000) as (caller, callee):
        for _ in range(11):
            caller.send(bytes(300))
            assert callee.receive() == bytes(300)
        callee.send(bytes(300))
        caller.receive()
        assert len(caller.usage.key_ids) == 1 + 3  # three messages a key
        assert caller.usage.key_ids == callee.usage.key_ids
        assert len(set(caller.usage.key_ids)) == 4


def test_a_message_over_the_budget_goes_alone_under_a_key() -> None:
    with pair(rekey_bytes=10) as (caller, callee):
        for _ in range(3):
            caller.send(bytes(300))
            assert callee.receive() == bytes(300)
        assert len(callee.usage.key_ids) == 3


def test_the_lesser_budget_of_both_ends_holds() -> None:
    caller, callee = channel_pair(rule=StreamRule(), callee_rule=StreamRule(rekey_bytes=1 << 20))
    for one, other in ((caller, callee), (callee, caller)):
        for _ in range(12):
            one.send(bytes(1 << 18))
            other.receive()
    assert len(callee.usage.key_ids) == 1 + 2 + 2
    caller.close()
    callee.close()


@pytest.mark.parametrize("short", [StreamRule(rekey_bytes=1), StreamRule(rekey_s=0.01)])
@pytest.mark.parametrize("is_caller", [True, False])
def test_a_peer_that_would_burn_key_by_short_budgets_is_refused(short: StreamRule, is_caller: bool) -> None:
    rules = (short, StreamRule()) if is_caller else (StreamRule(), short)
    with pytest.raises(ProtocolError):
        channel_pair(rule=rules[0], callee_rule=rules[1])


def test_no_key_for_the_next_stretch_stops_the_stream_at_both_ends_and_says_when() -> None:
    site = PlayedSite(stock_bytes=32, rate_bps=64.0)
    with pair(site=site, rekey_bytes=1000) as (caller, callee):
        for _ in range(3):
            caller.send(bytes(300))
            callee.receive()
        with pytest.raises(KeysNotReady, match="32 bytes are needed, 0 are there, the rest in about 4 s") as caught:
            caller.send(bytes(300))
        assert caught.value.retry_s == pytest.approx(4.0)
        with pytest.raises(KeyExhausted):
            caller.send(b"x")
        with pytest.raises(KeyExhausted, match="caller has no key"):
            callee.receive()


def test_a_next_key_of_a_refused_grade_stops_the_stream() -> None:
    site = PlayedSite()
    with pair(site=site, rekey_bytes=100) as (caller, callee):
        site.grade = SIMULATED
        caller.send(bytes(100))
        callee.receive()
        with pytest.raises(Exception, match="only photons"):
            caller.send(bytes(100))
        with pytest.raises(KeyExhausted, match="grade"):
            callee.receive()


class Forgetful(PlayedKeys):
    """Finds the first key that is named, and none after it."""

    def named(self, peer: SaeId, key_ids: Sequence[str]) -> list[Key]:
        found = super().named(peer, key_ids)
        self.named = lambda _peer, _ids: (_ for _ in ()).throw(DataRefused("lost"))
        return found


class ForgetfulSite(PlayedSite):
    def keys(self, sae: str) -> PlayedKeys:
        return Forgetful(self, SaeId(sae))


def test_a_receiver_that_is_not_given_the_next_key_tells_the_sender() -> None:
    with pair(site=ForgetfulSite(), rekey_bytes=100) as (caller, callee):
        caller.send(bytes(100))
        assert callee.receive() == bytes(100)
        caller.send(bytes(100))
        with pytest.raises(KeysNotReady, match="not there"):
            callee.receive()
        with pytest.raises(KeysNotReady, match="was not given"):
            caller.receive()


@pytest.mark.parametrize("policy", list(Policy))
def test_a_closed_stream_is_a_cut_and_not_an_end(policy: Policy) -> None:
    with pair(policy) as (caller, callee):
        caller.send(b"half")
        caller.close()
        assert callee.receive() == b"half"
        with pytest.raises(LinkDown, match=r"not whole|lost"):
            callee.receive()
        with pytest.raises(LinkDown):
            caller.send(b"more")


def test_closing_wakes_a_thread_that_waits() -> None:
    with pair() as (caller, _), ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(caller.receive)
        caller.close()
        with pytest.raises(LinkDown):
            waiting.result(5)


def test_finishing_leaves_the_other_direction_open() -> None:
    with pair() as (caller, callee):
        caller.send(b"all")
        caller.finish()
        caller.finish()
        with pytest.raises(ValueError, match="finished"):
            caller.send(b"no")
        assert all_of(callee) == [b"all"]
        callee.send(b"receipt")
        callee.finish()
        assert all_of(caller) == [b"receipt"]


def test_without_keys_the_fallback_is_used_only_where_the_policy_says_so() -> None:
    with pair(Policy.PQC_FALLBACK, PlayedSite(stock_bytes=0)) as (caller, callee):
        caller.send(b"still")
        assert callee.receive() == b"still"
        assert callee.usage.mode is Mode.PQC
        assert callee.usage.key_ids == ()
    for policy in (Policy.STRICT, Policy.HYBRID, Policy.ITS):
        with pytest.raises(KeysNotReady):
            channel_pair(policy, PlayedSite(stock_bytes=0))


def test_a_stream_without_a_quantum_key_ends_at_its_budget() -> None:
    with pair(Policy.PQC_FALLBACK, PlayedSite(stock_bytes=0), rekey_bytes=100) as (caller, callee):
        caller.send(bytes(100))
        with pytest.raises(KeysNotReady, match="open another"):
            caller.send(bytes(1))
        assert callee.receive() == bytes(100)
        with pytest.raises(KeysNotReady):
            callee.receive()


def test_every_key_is_used_in_one_stream_and_one_direction() -> None:
    site = PlayedSite()
    seen: list[str] = []
    for _ in range(3):
        with pair(site=site, rekey_bytes=64) as (caller, callee):
            for _ in range(4):
                caller.send(bytes(64))
                callee.receive()
                callee.send(bytes(64))
                caller.receive()
            seen += caller.usage.key_ids
    assert len(seen) == len(set(seen)) == 3 * 7


def test_simulated_keys_say_so_in_the_report() -> None:
    with pair(site=PlayedSite(grade=SIMULATED), demand=GradeDemand(allow_simulated=True)) as (caller, callee):
        assert caller.usage.is_simulated
        assert callee.usage.is_simulated


def test_pad_is_announced_as_it_is_needed_and_its_epsilon_is_summed() -> None:
    site = PlayedSite(most_bytes=512, most_number=16)
    with pair(Policy.ITS, site) as (caller, callee), ThreadPoolExecutor(1) as pool:
        received = pool.submit(all_of, callee)
        for _ in range(4):
            caller.send(bytes(100_000))
        caller.finish()
        assert received.result() == [bytes(100_000)] * 4
        usage = callee.usage
        assert 512 * len(usage.key_ids) > 400_000
        tags = usage.tag_epsilon
        assert 8 * (400_000 / 16) / 2**106 < tags < 2 * 8 * (400_000 / 16) / 2**106
        assert usage.epsilon == pytest.approx(len(usage.key_ids) * PHOTONS["epsilon"])


@pytest.mark.parametrize("most_bytes", [512, 4096])
@pytest.mark.parametrize("length", [0, 1, 1000, 65536, 300_000])
def test_what_is_said_to_be_needed_suffices(length: int, most_bytes: int) -> None:
    called_side = 1024
    site = PlayedSite(stock_bytes=needed_bytes(length, most_bytes) + called_side, most_bytes=most_bytes)
    with pair(Policy.ITS, site) as (caller, callee), ThreadPoolExecutor(1) as pool:
        received = pool.submit(all_of, callee)
        for place in range(0, length, RECORD_BYTES):
            caller.send(bytes(min(RECORD_BYTES, length - place)))
        caller.finish()
        assert sum(map(len, received.result())) == length


def test_no_piece_of_a_message_is_sent_where_pad_does_not_reach_for_all() -> None:
    site = PlayedSite(stock_bytes=100_000, rate_bps=8e5)
    with pair(Policy.ITS, site) as (caller, callee):
        with pytest.raises(KeysNotReady, match="are needed"):
            caller.send(bytes(200_000))
        with pytest.raises(KeyExhausted):
            callee.receive()
        assert callee.usage.received_bytes == 0


def test_pad_of_a_grade_that_is_not_information_theoretic_is_refused() -> None:
    with pytest.raises(Exception, match="information-theoretic"):
        channel_pair(Policy.ITS, PlayedSite(grade={**PHOTONS, "combiner": "hkdf"}))


def test_it_runs_over_any_connected_socket() -> None:
    caller, callee = channel_pair(over_tcp=False)
    caller.send(b"local")
    assert callee.receive() == b"local"
    caller.close()
    callee.close()


def test_bytes_that_are_changed_on_the_way_are_refused_and_the_sender_hears_of_it() -> None:
    caller, callee = channel_pair(over_tcp=False)
    wire: socket.socket = caller._wire._socket  # pyright: ignore[reportAttributeAccessIssue]  # the line's noise
    wire.sendall(bytes([16, 0, 0, 17]) + bytes(17))
    with pytest.raises(AuthenticationError):
        callee.receive()
    with pytest.raises(AuthenticationError):
        callee.send(b"x")
    with pytest.raises(AuthenticationError, match="not sent here"):
        caller.receive()
    caller.close()
    callee.close()
