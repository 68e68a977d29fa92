"""[adapter.NAME] of SAE.toml."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from adapter_rig import sae_settings

from poliqi.apps.adapters.service import adapter_service
from poliqi.apps.adapters.tables import AdapterSettings, read_adapters
from poliqi.apps.identity import Identity
from poliqi.apps.settings import Peer
from poliqi.apps.stream.terms import Policy, StreamRule
from poliqi.base.errors import ConfigError
from poliqi.base.ids import SaeId
from poliqi.edge.entropy import OperatingSystemEntropy
from poliqi.edge.network import Address

ENTROPY = OperatingSystemEntropy()
PUBLIC_KEY = "jEj0ZSnMIEB2CATPGstm1RGYw/d92ABijTt7bSdGBhk="
WIREGUARD = f"""
[adapter.office]
kind = "wireguard"
peer = "Bovisa"
interface = "wg0"
public_key = "{PUBLIC_KEY}"
"""
IPSEC = """
[adapter.office]
kind = "ipsec"
peer = "bravo"
[adapter.office.connection]
remote_addrs = ["10.9.0.2"]
encap = true
local = { auth = "psk", id = "alfa" }
children = { net = { local_ts = ["10.7.1.0/24"] } }
"""
STUNNEL = """
[adapter.office]
kind = "stunnel"
peer = "bravo"
secrets = "psk"
pid = "/run/stunnel.pid"
client = true
probe = "127.0.0.1:7001"
"""


def read(text: str, own: str = "alfa", policy: Policy = Policy.STRICT) -> tuple[AdapterSettings, ...]:
    rule = StreamRule(policy)
    contact = Identity.make(SaeId("bravo"), ENTROPY).contact
    peer = Peer(contact, "Bovisa", Address("127.0.0.1", 1), rule, rule)
    extra: dict[str, Any] = tomllib.loads(text)
    identity = Identity.make(SaeId(own), ENTROPY)
    settings = sae_settings(identity, [peer], extra=extra, file=Path("/etc/poliqi/sae.toml"))
    return read_adapters(settings, ENTROPY)


def test_what_is_left_out_has_its_usual_value() -> None:
    (adapter,) = read(WIREGUARD)
    assert (adapter.name, adapter.kind, adapter.peer.sae) == ("office", "wireguard", "bravo")
    assert (adapter.every_s, adapter.longest_s, adapter.listen) == (120.0, 180.0, None)
    assert adapter.software.kind == "wireguard"


@pytest.mark.parametrize(("text", "kind"), [(IPSEC, "ipsec"), (STUNNEL, "stunnel")])
def test_every_kind_can_be_written(text: str, kind: str) -> None:
    (adapter,) = read(text)
    assert adapter.kind == adapter.software.kind == kind
    assert adapter.software.can_start()


def test_the_application_whose_name_sorts_first_begins() -> None:
    assert read(WIREGUARD, "alfa")[0].is_first
    assert not read(WIREGUARD, "charlie")[0].is_first


def test_the_other_end_may_be_elsewhere_than_its_service() -> None:
    (adapter,) = read(WIREGUARD + 'address = "[::1]:9001"\nlisten = "127.0.0.1:9000"\n')
    assert adapter.peer.address == Address("::1", 9001)
    assert adapter.listen == Address("127.0.0.1", 9000)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (WIREGUARD.replace("wg0", "-w"), "interface"),
        (WIREGUARD.replace("wg0", "wg0; reboot"), "interface"),
        (WIREGUARD.replace("hk=", "hk"), "public_key"),
        (WIREGUARD.replace("Bovisa", "Intesa"), "is no \\[\\[peer\\]\\]"),
        (WIREGUARD + 'preshared_key = "x"', "preshared_key"),
        (WIREGUARD + 'every = "1 s"', "5 s <= every <= longest <= 1 d"),
        (WIREGUARD + 'every = "60"', "unit is missing|with a unit"),
        (WIREGUARD + 'longest = "30 s"', "5 s <= every <= longest <= 1 d"),
        (WIREGUARD.replace("wireguard", "openvpn"), "openvpn"),
        (IPSEC.replace("encap = true", 'ppk_required = "no"'), "ppk_required: is set by the adapter"),
        (IPSEC.replace("net =", 'a = {}, net ='), "exactly one child"),
        (IPSEC + 'certs = ["missing.pem"]', "missing.pem"),
        ("adapter = { office = 1 }", "write a table"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_with_its_place(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as told:
        read(text)
    assert "sae.toml: adapter.office: " in str(told.value)


def test_a_policy_that_the_software_cannot_keep_is_refused() -> None:
    with pytest.raises(ConfigError, match="is information-theoretic, and wireguard is not"):
        read(WIREGUARD, policy=Policy.ITS)


def test_the_service_is_there_for_what_this_end_answers_to() -> None:
    said: list[dict[str, Any]] = []
    for own, text, is_there in (
        ("charlie", WIREGUARD, True),
        ("alfa", WIREGUARD, False),
        ("charlie", WIREGUARD + 'listen = "127.0.0.1:0"', False),
    ):
        rule = StreamRule()
        peer = Peer(Identity.make(SaeId("bravo"), ENTROPY).contact, "Bovisa", None, rule, rule)
        settings = sae_settings(Identity.make(SaeId(own), ENTROPY), [peer], extra=tomllib.loads(text))
        service = adapter_service(settings, None, ENTROPY, said.append)  # type: ignore[arg-type]
        assert (service is not None) is is_there
        if service is not None:
            service.close()
    # wg0 is not there: told, and the service is there all the same
    assert [record["event"] for record in said] == ["failed"]
    assert "cannot be opened" in said[0]["text"]
