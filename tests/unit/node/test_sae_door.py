"""The door of an application: who is served, who is told what, and what is not worth a line."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from adapter_rig import sae_settings

from bench.played_keys import PlayedSite
from poliqi.apps.dial import dialling
from poliqi.apps.identity import Identity
from poliqi.apps.settings import Peer, SaeSettings
from poliqi.apps.stream.channel import Channel
from poliqi.apps.stream.terms import Policy, StreamRule
from poliqi.base.errors import ConfigError, PoliqiError
from poliqi.base.ids import SaeId
from poliqi.edge.entropy import OperatingSystemEntropy
from poliqi.edge.network import Address
from poliqi.node.sae_door import SaeDoor
from poliqi.node.sae_figures import SAE_METRICS, SaeFigures
from poliqi.node.site_status import exposition

ROOT = Path(__file__).resolve().parents[3]
RULE = StreamRule()


class Echo:
    """Sends back what comes."""

    purpose = "echo 1"

    def serve(self, channel: Channel) -> None:
        while (message := channel.receive()) is not None:
            channel.send(bytes(message))
        channel.finish()

    def change(self, settings: SaeSettings) -> None:
        """Nothing to change."""

    def close(self) -> None:
        """Nothing to close."""


class Rig:
    """alfa calls bravo's door."""

    def __init__(self, rule: StreamRule = RULE) -> None:
        site = PlayedSite()
        self.ids = {name: Identity.make(SaeId(name), OperatingSystemEntropy()) for name in ("alfa", "bravo")}
        self.said: list[tuple[str, str]] = []
        caller = Peer(self.ids["alfa"].contact, "Leonardo", None, rule, rule)
        self.settings = sae_settings(self.ids["bravo"], [caller])
        self.door = SaeDoor(self.settings, site.keys("bravo"), [Echo()], self.say)
        self.address = self.door.start(Address("127.0.0.1", 0))
        self.peer = Peer(self.ids["bravo"].contact, "Bovisa", self.address, rule, rule)
        self.dial = dialling(sae_settings(self.ids["alfa"], [self.peer]), site.keys("alfa"))

    def say(self, event: str, text: str, **_: Any) -> None:
        self.said.append((event, text))

    def call(self, purpose: str = "echo 1") -> Channel:
        return self.dial(self.peer, self.peer.rule, purpose)

    def echo(self) -> None:
        """A whole conversation, so that the door has gone through all before it."""
        channel = self.call()
        channel.send(b"hello")
        message = channel.receive()
        assert message is not None
        assert bytes(message) == b"hello"
        channel.close()


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.door.close()


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20.0
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def threads_are_done(rig: Rig) -> bool:
    return not rig.door._sockets


@pytest.mark.parametrize("is_reset", [False, True])
def test_who_connects_and_leaves_without_a_word_is_no_news(rig: Rig, is_reset: bool) -> None:
    with socket.create_connection((rig.address.host, rig.address.port)) as glance:
        assert glance.recv(1)
        if is_reset:
            glance.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    rig.echo()
    wait_for(lambda: threads_are_done(rig))
    assert [text for event, text in rig.said if event == "refused"] == []
    assert rig.door.counts["refused"] == 0


def test_who_says_something_and_leaves_is_told_of(rig: Rig) -> None:
    with socket.create_connection((rig.address.host, rig.address.port)) as stranger:
        stranger.sendall(b"GET / HTTP/1.0\r\n\r\n")
        while stranger.recv(1000):
            pass
    wait_for(lambda: rig.door.counts["refused"] == 1)
    wait_for(lambda: any(event == "refused" for event, _ in rig.said))


@pytest.mark.parametrize("policy", [Policy.STRICT, Policy.ITS])
def test_a_caller_is_told_that_its_purpose_is_not_served(policy: Policy) -> None:
    rig = Rig(StreamRule(policy))
    channel = rig.call("nothing 1")
    channel.send(b"hello")
    with pytest.raises(ConfigError, match="bravo does not serve"):
        channel.receive()
    channel.close()
    wait_for(lambda: any("'nothing 1'" in text for event, text in rig.said if event == "refused"))
    rig.door.close()


def test_a_removed_contact_is_hung_up_on_and_not_let_in_again(rig: Rig) -> None:
    channel = rig.call()
    channel.send(b"hello")
    assert channel.receive() is not None
    rig.door.change(replace(rig.settings, peers={}))
    with pytest.raises(PoliqiError):
        while channel.receive() is not None:
            pass
    channel.close()
    with pytest.raises(ConfigError):
        rig.call()


def test_every_metric_of_an_application_is_on_the_page() -> None:
    page = (ROOT / "docs/reference/metrics.md").read_text()
    section = page.partition("## What a running application tells")[2]
    assert [m.name for m in SAE_METRICS if f"| `{m.name}` | {m.kind} | {m.meaning} |" not in section] == []


def test_the_figures_count_streams_arrivals_and_key(rig: Rig) -> None:
    figures = SaeFigures(rig.settings)
    figures.watch(rig.door)
    rig.echo()
    for size in (5, 7):
        figures.count({"event": "received", "peer": "alfa", "size_bytes": size})
    figures.ask(PlayedSite(stock_bytes=1000).keys("bravo"))
    shown = exposition(figures, SAE_METRICS).splitlines()
    assert {
        'poliqi_application_streams_total{purpose="echo 1"} 1',
        'poliqi_application_received_total{peer="alfa"} 2',
        'poliqi_application_received_bytes_total{peer="alfa"} 12',
        'poliqi_application_key_available_bytes{peer="alfa"} 1000',
        "poliqi_application_site_up 1",
        "poliqi_application_refused_total 0",
    } <= set(shown)
    assert figures.why_not() == ""


def test_a_site_that_does_not_answer_makes_it_unready(rig: Rig) -> None:
    class Silent:
        def supply(self, peer: SaeId) -> None:
            raise ConfigError(f"no keys with {peer}")

    figures = SaeFigures(rig.settings)
    figures.ask(Silent())  # type: ignore[arg-type]
    assert figures.why_not() == "no key: no keys with alfa"
    assert "poliqi_application_site_up 0" in exposition(figures, SAE_METRICS)
