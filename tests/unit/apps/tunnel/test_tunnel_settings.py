from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from played_channels import identity

from poliqi.apps.settings import Peer, SaeSettings
from poliqi.apps.stream.terms import Policy, StreamRule
from poliqi.apps.tunnel.settings import parse_destination, read_tunnel
from poliqi.base.errors import ConfigError
from poliqi.base.ids import SaeId
from poliqi.edge.network import Address

DOOR = Address("bovisa.example", 8460)


def settings(tunnel: dict[str, Any], *, address: Address | None = DOOR) -> SaeSettings:
    rule, contact = StreamRule(), identity("bovisa1").contact
    peer = Peer(contact, "Bovisa", address, rule, StreamRule(Policy.ITS))
    place = Path("/x")
    return SaeSettings(
        file=Path("sae.toml"),
        identity=identity("leonardo1"),
        state=place,
        inbox=place,
        peers={contact.sae: peer},
        extra={"tunnel": tunnel} if tunnel else {},
    )


def target(
    name: str = "sftp", address: str = "127.0.0.1:22", peers: tuple[str, ...] = ("Bovisa",)
) -> dict[str, Any]:
    return {"name": name, "address": address, "peers": list(peers)}


def test_without_a_table_nothing_is_reachable() -> None:
    read = read_tunnel(settings({}))
    assert not read.targets
    assert not read.forwards


def test_a_target_is_for_the_peers_that_it_names() -> None:
    read = read_tunnel(settings({"target": [target()]}))
    found = read.find(SaeId("bovisa1"), "sftp")
    assert found is not None
    assert str(found.address) == "127.0.0.1:22"
    assert read.find(SaeId("leonardo1"), "sftp") is None
    assert read.find(SaeId("bovisa1"), "22") == found
    assert read.find(SaeId("leonardo1"), "22") is None
    assert read.find(SaeId("bovisa1"), "23") is None


def test_a_port_that_two_targets_have_names_neither() -> None:
    read = read_tunnel(settings({"target": [target(), target("other", "10.0.0.1:22")]}))
    assert read.find(SaeId("bovisa1"), "22") is None
    assert read.find(SaeId("bovisa1"), "other") is not None


def test_a_forward_names_place_and_target() -> None:
    read = read_tunnel(settings({"forward": [{"listen": "127.0.0.1:2222", "to": "bovisa:sftp"}]}))
    (forward,) = read.forwards
    assert (str(forward.listen), forward.peer.sae, forward.target) == ("127.0.0.1:2222", "bovisa1", "sftp")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"target": [target(peers=())]}, "length >= 1"),
        ({"target": [target(peers=("Roma",))]}, "'Roma' is no peer"),
        ({"target": [target(name="22")]}, "tunnel.target.name"),
        ({"target": [target(name="SFTP")]}, "tunnel.target.name"),
        ({"target": [target(), target()]}, "twice"),
        ({"target": [target(address="127.0.0.1")]}, "HOST:PORT"),
        ({"target": [{**target(), "adress": "x"}]}, "adress"),
        ({"forward": [{"listen": "127.0.0.1:1", "to": "sftp"}]}, "SITE:NAME"),
        ({"forward": [{"listen": "127.0.0.1:1", "to": "Bovisa:10.0.0.1"}]}, "neither the name"),
        ({"forward": [{"listen": "127.0.0.1:1", "to": "Bovisa:99999"}]}, "neither the name"),
        ({"most_connections": 0}, ">= 1"),
        ({"warm_streams": 65}, "<= 64"),
        ({"targets": []}, "targets"),
    ],
)
def test_what_contradicts_itself_is_refused_with_the_key(table: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=r"^sae\.toml: ") as caught:
        read_tunnel(settings(table))
    assert said in str(caught.value)


def test_a_peer_without_address_can_only_call() -> None:
    with pytest.raises(ConfigError, match="it can only call"):
        parse_destination("Bovisa:sftp", settings({}, address=None), "--to")
