from __future__ import annotations

from pathlib import Path

import pytest

from poliqi.apps.tunnel.device import check, open_tun, read_interface, refuse_loop
from poliqi.base.errors import ConfigError
from poliqi.edge.network import Address


@pytest.mark.parametrize("name", ["", "a/b", "0x", "a" * 16, "a b", "-x", "tun%d", "dev\n", "é"])
def test_a_device_has_a_plain_name(name: str) -> None:
    with pytest.raises(ConfigError, match="15 in all"):
        open_tun(name)


@pytest.mark.parametrize(
    ("address", "routes", "said"),
    [
        (None, [], "--address"),
        ("10.9.0.1/33", [], "--address"),
        ("10.9.0.1; reboot", [], "--address"),
        ("10.9.0.1", [], "a network of one address"),
        ("10.9.0.1/24", ["10.20.0.1/16"], "--route"),
        ("10.9.0.1/24", ["default"], "--route"),
    ],
)
def test_what_is_no_network_never_reaches_a_program(address: str | None, routes: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_interface(address, routes, 1500)


def test_packets_may_come_from_the_tunnels_own_network_and_what_lies_behind_the_peer() -> None:
    interface = read_interface("10.9.0.1/24", ["10.20.0.0/16", "fd00::/8"], 1500)
    assert [str(network) for network in interface.networks] == ["10.9.0.0/24", "10.20.0.0/16", "fd00::/8"]


def test_a_tunnel_through_itself_is_refused() -> None:
    interface = read_interface("10.9.0.1/24", ["192.0.2.0/24"], 1500)
    with pytest.raises(ConfigError, match="behind the tunnel itself"):
        refuse_loop(interface, Address("192.0.2.7", 8462))
    refuse_loop(interface, Address("198.51.100.7", 8462))


@pytest.mark.parametrize(("effective", "has"), [("0000000000001000", True), ("000001ffffffefff", False)])
def test_check_reads_the_capability_that_a_device_needs(tmp_path: Path, effective: str, has: bool) -> None:
    # CAP_NET_ADMIN is bit 12 (linux/capability.h)
    status = tmp_path / "status"
    status.write_text(f"Name:\tpoliqi\nCapInh:\t0\nCapEff:\t{effective}\n")
    found = {each.name: each for each in check(status, tmp_path / "tun")}
    assert found["CAP_NET_ADMIN"].is_there is has
    assert not found["device"].is_there
    assert ("AmbientCapabilities" in found["CAP_NET_ADMIN"].text) is not has
