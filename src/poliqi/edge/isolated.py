"""Addresses for protocols that authenticate nobody: loopback, or an interface that somebody declared isolated."""

from __future__ import annotations

import ipaddress

from poliqi.base.errors import ConfigError
from poliqi.edge.network import Address

__all__ = ["check_isolated"]


def check_isolated(what: str, address: Address, *, isolated: bool) -> None:
    """Refuse an address that strangers can reach (ConfigError); `isolated` vouches for one that is not loopback.

    Names are refused too: who answers for a name is decided elsewhere.
    """
    try:
        ip = ipaddress.ip_address(address.host.partition("%")[0])
    except ValueError as error:
        raise ConfigError(f"{what} {address}: give an IP address, such as 127.0.0.1") from error
    if ip.is_unspecified:
        raise ConfigError(f"{what} {address}: that is every interface; name one")
    if not (ip.is_loopback or isolated):
        raise ConfigError(
            f"{what} {address}: its protocol authenticates nobody, so only loopback is taken; declare the "
            "interface isolated if nobody else can reach it (isolated = true, or --isolated of a command)"
        )
