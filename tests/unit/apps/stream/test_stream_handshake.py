"""Who gets in: calls that are refused, what they cost, what the other side is told."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace

import pytest
from played_channels import CALLEE, CALLER, channel_pair, identity
from stream_ends import FixedKeys

from bench.played_keys import PHOTONS, SIMULATED, PlayedSite
from poliqi.apps.identity import Contact, Identity
from poliqi.apps.keygrade import GradeDemand
from poliqi.apps.keysource import KeySource, NoSite
from poliqi.apps.stream.channel import Channel, accept, connect
from poliqi.apps.stream.terms import Mode, Policy, StreamRule
from poliqi.base.errors import AuthenticationError, ConfigError, LinkDown, PoliqiError, ProtocolError
from poliqi.base.ids import SaeId
from poliqi.edge.keyanswers import KeysNotReady

KEY = bytes(range(32))


def ends(
    caller_keys: KeySource,
    callee_keys: KeySource,
    *,
    rule: StreamRule | None = None,
    callee_rule: StreamRule | None = None,
    caller: Identity | None = None,
    callee: Identity | None = None,
    known: Contact | None = None,
    called: Contact | None = None,
    between: Callable[[socket.socket, socket.socket], None] | None = None,
) -> tuple[Channel | PoliqiError, Channel | PoliqiError]:
    """What each side comes to. `known`: whom the callee knows; `called`: whom the caller believes to call."""
    caller, callee = caller or identity(CALLER), callee or identity(CALLEE)
    known, called = known or caller.contact, called or callee.contact
    rule = rule or StreamRule()
    one, other = socket.socketpair()
    between_ends: tuple[socket.socket, ...] = ()
    if between is not None:
        middle, answering = socket.socketpair()
        between_ends, other = (other, middle), answering

    def attempt(call: Callable[[], Channel]) -> Channel | PoliqiError:
        try:
            return call()
        except PoliqiError as error:
            return error

    with ThreadPoolExecutor(2) as pool, ExitStack() as held:
        for end in between_ends:
            held.enter_context(end)
        contacts = {known.sae: (known, callee_rule or rule)}
        answered = pool.submit(attempt, lambda: accept(other, callee, contacts, callee_keys, timeout_s=2.0))
        if between is not None:
            pool.submit(between, *between_ends)
        asked = attempt(lambda: connect(one, caller, called, caller_keys, rule, "test 1", timeout_s=2.0))
        return asked, answered.result()


def both(*found: object) -> None:
    for end in found:
        if not isinstance(end, PoliqiError):
            end.close()  # pyright: ignore[reportAttributeAccessIssue]  # a channel


def test_a_stranger_is_refused_and_no_key_is_fetched_for_him() -> None:
    site = FixedKeys({"key-1": KEY})
    stranger = identity("stranger")
    asked, answered = ends(FixedKeys({"key-1": KEY}), site, caller=stranger, known=identity(CALLER).contact)
    assert isinstance(asked, ConfigError)
    assert "nobody signed" in str(asked)
    assert isinstance(answered, ConfigError)
    assert site.asked == []


def test_who_only_says_a_name_is_refused_and_no_key_is_fetched_for_him() -> None:
    site = FixedKeys({"key-1": KEY})
    liar = Identity(CALLER, identity("liar").exchange, identity("liar")._signature)  # the lie
    asked, answered = ends(FixedKeys({"key-1": KEY}), site, caller=liar, known=identity(CALLER).contact)
    assert isinstance(answered, AuthenticationError)
    assert isinstance(asked, ConfigError)
    assert site.asked == []


def test_a_recorded_call_opens_nothing_and_costs_no_key() -> None:
    recorded: list[bytes] = []

    def record(caller: socket.socket, callee: socket.socket) -> None:
        caller.sendall(callee.recv(4096))
        recorded.append(caller.recv(1 << 16))
        callee.sendall(recorded[0])
        caller.sendall(callee.recv(4096))

    both(*ends(FixedKeys({"key-1": KEY}), FixedKeys({"key-1": KEY}), between=record))
    site = FixedKeys({"key-1": KEY})
    one, other = socket.socketpair()
    with one:
        one.sendall(recorded[0])
        contacts = {CALLER: (identity(CALLER).contact, StreamRule())}
        with pytest.raises(AuthenticationError, match="another hello"):
            accept(other, identity(CALLEE), contacts, site)
    assert site.asked == []


def test_a_call_for_another_application_is_refused() -> None:
    elsewhere = identity("elsewhere")
    asked, answered = ends(FixedKeys({"key-1": KEY}), FixedKeys({"key-1": KEY}), called=elsewhere.contact)
    assert isinstance(asked, ConfigError)
    assert isinstance(answered, ConfigError)


def test_the_refusals_of_who_is_not_known_are_all_the_same() -> None:
    said = [
        str(ends(FixedKeys({"k": KEY}), FixedKeys({"k": KEY}), **case)[0])  # pyright: ignore[reportArgumentType]
        for case in (
            {"caller": identity("stranger"), "known": identity(CALLER).contact},
            {"called": identity("elsewhere").contact},
        )
    ]
    assert said[0] == said[1]


@pytest.mark.parametrize(
    ("policy", "callee_policy"),
    [
        (Policy.STRICT, Policy.HYBRID),
        (Policy.STRICT, Policy.PQC_FALLBACK),
        (Policy.HYBRID, Policy.ITS),
        (Policy.ITS, Policy.STRICT),
    ],
)
def test_a_mode_that_the_other_policy_does_not_take_is_refused(policy: Policy, callee_policy: Policy) -> None:
    with pytest.raises(ConfigError, match="same policy"):
        channel_pair(policy, callee_rule=StreamRule(policy=callee_policy))


def test_a_policy_takes_a_stronger_mode() -> None:
    caller, callee = channel_pair(Policy.HYBRID, callee_rule=StreamRule(policy=Policy.STRICT))
    assert callee.usage.mode is Mode.HYBRID
    both(caller, callee)


def test_no_policy_but_its_own_takes_the_fallback() -> None:
    for policy in (Policy.STRICT, Policy.HYBRID, Policy.ITS):
        with pytest.raises(ConfigError, match="mode"):
            channel_pair(Policy.PQC_FALLBACK, PlayedSite(stock_bytes=0), callee_rule=StreamRule(policy=policy))


def test_a_peer_without_a_site_is_called_and_answered_without_asking_for_a_key() -> None:
    rule = StreamRule(policy=Policy.PQC)
    asked, answered = ends(NoSite(), NoSite(), rule=rule)  # pyright: ignore[reportArgumentType]
    assert asked.usage.mode is answered.usage.mode is Mode.PQC  # pyright: ignore[reportAttributeAccessIssue]
    both(asked, answered)


@pytest.mark.parametrize("policy", [Policy.STRICT, Policy.HYBRID, Policy.PQC_FALLBACK, Policy.ITS])
def test_who_has_no_site_reaches_nobody_under_another_policy(policy: Policy) -> None:
    asked, _ = ends(NoSite(), FixedKeys({}), rule=StreamRule(policy=policy))  # pyright: ignore[reportArgumentType]
    assert isinstance(asked, ConfigError)
    assert "has no site" in str(asked)


@pytest.mark.parametrize("policy", [Policy.STRICT, Policy.HYBRID, Policy.ITS])
def test_no_other_policy_takes_a_peer_without_a_key(policy: Policy) -> None:
    with pytest.raises(ConfigError, match="mode"):
        channel_pair(Policy.PQC, callee_rule=StreamRule(policy=policy))


def test_one_time_pad_is_taken_beside_another_policy_where_its_rule_says_so() -> None:
    caller, callee = channel_pair(Policy.ITS, callee_rule=StreamRule(one_time=GradeDemand()))
    assert callee.usage.mode is Mode.ONE_TIME
    both(caller, callee)


@pytest.mark.parametrize("policy", [Policy.STRICT, Policy.HYBRID, Policy.ITS])
def test_each_end_judges_the_grade(policy: Policy) -> None:
    played = StreamRule(policy=policy, demand=GradeDemand(allow_simulated=True))
    with pytest.raises(ConfigError, match="only photons"):
        channel_pair(policy, PlayedSite(grade=SIMULATED), callee_rule=played)
    with pytest.raises(ConfigError, match="refuses the key's grade"):
        channel_pair(policy, PlayedSite(grade=SIMULATED), rule=played, callee_rule=StreamRule(policy=policy))


def test_a_key_that_the_other_site_does_not_have_is_said() -> None:
    asked, answered = ends(FixedKeys({"key-1": KEY}), FixedKeys({"key-2": KEY}))
    assert isinstance(asked, KeysNotReady)
    assert asked.retry_s is not None
    assert isinstance(answered, KeysNotReady)
    assert "key" in str(answered)


def test_keys_that_differ_open_nothing() -> None:
    for rule in (StreamRule(), StreamRule(policy=Policy.HYBRID)):
        asked, answered = ends(FixedKeys({"key-1": KEY}), FixedKeys({"key-1": bytes(32)}), rule=rule)
        assert isinstance(asked, AuthenticationError)
        assert isinstance(answered, AuthenticationError)


def test_pad_that_differs_opens_nothing() -> None:
    rule = StreamRule(policy=Policy.ITS)
    asked, answered = ends(
        FixedKeys({"key-1": bytes(992)}), FixedKeys({"key-1": bytes([1]) * 992, "key-2": bytes(992)}), rule=rule
    )
    assert isinstance(asked, AuthenticationError)
    assert isinstance(answered, AuthenticationError)


def test_a_key_of_another_size_is_refused() -> None:
    asked, answered = ends(FixedKeys({"key-1": KEY}), FixedKeys({"key-1": bytes(16)}))
    assert isinstance(asked, PoliqiError)
    assert isinstance(answered, ProtocolError)


def test_the_fallback_wants_the_signature_of_the_paired_application() -> None:
    rule = StreamRule(policy=Policy.PQC_FALLBACK)
    forged = Contact(CALLEE, identity(CALLEE).contact.exchange, identity("liar").contact.signature)
    asked, answered = ends(FixedKeys({}), FixedKeys({}), rule=rule, called=forged)
    assert isinstance(asked, AuthenticationError)
    both(answered)
    forged = Contact(CALLER, identity(CALLER).contact.exchange, identity("liar").contact.signature)
    asked, answered = ends(FixedKeys({}), FixedKeys({}), rule=rule, known=forged)
    assert isinstance(answered, AuthenticationError)
    both(asked)


@pytest.mark.parametrize("place", [4, 20, 60, -1])
def test_a_changed_answer_is_refused(place: int) -> None:
    def change(caller: socket.socket, callee: socket.socket) -> None:
        caller.sendall(callee.recv(4096))
        callee.sendall(caller.recv(1 << 16))
        said = bytearray(callee.recv(4096))
        said[place] ^= 1
        caller.sendall(said)

    asked, answered = ends(
        FixedKeys({"key-1": KEY}), FixedKeys({"key-1": KEY}), rule=StreamRule(policy=Policy.HYBRID), between=change
    )
    assert isinstance(asked, AuthenticationError)
    both(answered)


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x02\xff\xff\xff",
        b"\x02\x00\x00\x00",
    ],
    ids=["a web browser", "a TLS client", "the longest frame", "an empty call"],
)
def test_who_speaks_something_else_is_hung_up_on(said: bytes) -> None:
    one, other = socket.socketpair()
    with one:
        one.sendall(said)
        with pytest.raises(ProtocolError):
            accept(other, identity(CALLEE), {}, FixedKeys({}))


def test_who_says_nothing_or_too_slowly_is_hung_up_on() -> None:
    one, other = socket.socketpair()
    with one:
        one.sendall(b"\x02\x00")
        with pytest.raises(LinkDown, match="too long"):
            accept(other, identity(CALLEE), {}, FixedKeys({}), timeout_s=0.05)
        assert one.recv(100)[:1] == b"\x01"
        assert one.recv(100) == b""


def test_an_address_where_nobody_answers_so_costs_no_key() -> None:
    site = FixedKeys({"key-1": KEY})
    one, other = socket.socketpair()
    with other:
        other.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        with pytest.raises(ProtocolError):
            connect(one, identity(CALLER), identity(CALLEE).contact, site, StreamRule(), "test 1")
    assert list(site.keys) == ["key-1"]


def test_a_purpose_that_is_too_long_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(ValueError, match="purpose"):
        channel_pair(purpose="x" * 201)


def test_the_grade_is_judged_for_the_photons_of_a_device_by_default() -> None:
    site = PlayedSite(grade={**PHOTONS, "origin": "played"})
    with pytest.raises(ConfigError, match="origin"):
        channel_pair(site=site)


def test_a_name_with_other_letters_works() -> None:
    name = SaeId("Università · Bovisa")
    caller, callee = channel_pair(caller=name)
    assert callee.peer == name
    both(caller, callee)


def test_a_rule_can_be_replaced_for_one_stream() -> None:
    rule = replace(StreamRule(), rekey_bytes=10)
    assert rule.modes == frozenset({Mode.QUANTUM, Mode.HYBRID})


@pytest.mark.parametrize("policy", list(Policy))
def test_who_listens_sees_no_purpose_and_no_text(policy: Policy) -> None:
    heard: list[bytes] = []

    def listen(one: socket.socket, other: socket.socket) -> None:
        ends = {one: other, other: one}
        while True:
            for end in select.select(ends, [], [], 5.0)[0]:
                part = end.recv(1 << 16)
                if not part:
                    return
                heard.append(part)
                ends[end].sendall(part)

    site = PlayedSite(stock_bytes=0 if policy is Policy.PQC_FALLBACK else 1 << 20)
    with ThreadPoolExecutor(1) as pool:
        one, two, three, four = (*socket.socketpair(), *socket.socketpair())
        listening = pool.submit(listen, two, three)
        caller, callee = channel_pair(policy, site, purpose="marker 1", sockets=(one, four))
        caller.send(b"a marker in the text")
        assert callee.receive() == b"a marker in the text"
        callee.send(b"a marker in the answer")
        assert caller.receive() == b"a marker in the answer"
        both(caller, callee)
        listening.result()
        two.close()
        three.close()
    assert sum(map(len, heard)) > 300
    assert b"marker" not in b"".join(heard)
