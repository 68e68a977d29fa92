"""Streams whose keys come from two real sites by ETSI GS QKD 014: fresh keys, one-time pad, no key left."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager

import pytest
from live_saes import live_saes
from live_sites import live_city
from played_channels import tcp_pair

from bench.saes import LiveSae
from poliqi.apps.keygrade import GradeDemand
from poliqi.apps.stream.channel import Channel, accept, connect
from poliqi.apps.stream.needs import needed_bytes
from poliqi.apps.stream.terms import Mode, Policy, StreamRule
from poliqi.base.ids import SaeId
from poliqi.edge.keyanswers import KeysNotReady

pytestmark = pytest.mark.slow

SIMULATED = GradeDemand(allow_simulated=True)


@pytest.fixture(scope="module")
def saes() -> Iterator[dict[str, LiveSae]]:
    """Applications leonardo1 and bovisa1, with about 128 KiB of key each way."""
    with live_city(["bovisa", "leonardo"], [("bovisa", "leonardo")]) as city:
        city.block("bovisa-leonardo", 1, 1 << 18)
        with live_saes(city, start=False) as found:
            yield found


@contextmanager
def opened(saes: dict[str, LiveSae], rule: StreamRule) -> Iterator[tuple[Channel, Channel]]:
    """A stream from leonardo1 to bovisa1; each end draws from its own site."""
    caller, callee = saes["leonardo"].settings(), saes["bovisa"].settings()
    one, other = tcp_pair()
    with ExitStack() as held, ThreadPoolExecutor(1) as pool:
        near, far = (held.enter_context(closing(saes[name].keys())) for name in ("leonardo", "bovisa"))
        contacts = {caller.sae: (caller.identity.contact, rule)}
        answered = pool.submit(accept, other, callee.identity, contacts, far)
        called = connect(one, caller.identity, callee.identity.contact, near, rule, "test 1")
        with closing(called), closing(answered.result()):
            yield called, answered.result()


def test_both_directions_go_on_with_fresh_keys_of_the_sites(saes: dict[str, LiveSae]) -> None:
    with opened(saes, StreamRule(Policy.HYBRID, SIMULATED, rekey_bytes=1000)) as (caller, callee):
        for place in range(10):
            for one, other in ((caller, callee), (callee, caller)):
                one.send(bytes([place]) * 400)
                assert other.receive() == bytes([place]) * 400
        usage = callee.usage
    assert usage.mode is Mode.HYBRID
    assert usage.is_simulated
    assert len(usage.key_ids) == len(set(usage.key_ids)) == 1 + 2 * 4


def test_one_time_pad_from_the_sites_carries_what_was_said_beforehand(saes: dict[str, LiveSae]) -> None:
    with closing(saes["leonardo"].keys()) as keys:
        before = keys.supply(SaeId("bovisa1"))
        with opened(saes, StreamRule(Policy.ITS, SIMULATED)) as (caller, callee):
            caller.send(b"m" * 20_000)
            caller.finish()
            assert callee.receive() == b"m" * 20_000
            assert callee.receive() is None
        spent = before.available_bytes - keys.supply(SaeId("bovisa1")).available_bytes
    assert 20_000 < spent <= needed_bytes(20_000, before.most_bytes)


def test_more_than_there_is_is_refused_before_it_is_begun(saes: dict[str, LiveSae]) -> None:
    with opened(saes, StreamRule(Policy.ITS, SIMULATED)) as (caller, callee):
        with pytest.raises(KeysNotReady, match="bytes are needed"):
            caller.send(bytes(250_000))
        with pytest.raises(KeysNotReady, match="leonardo1 has no key"):
            callee.receive()
