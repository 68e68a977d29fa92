"""The QSN-d-1 of Politecnico di Milano: one end of it over TCP (docs/spec/qsn-d-1.md, `poliqi.edge.qsn_client`)."""

from __future__ import annotations

import msgspec

from poliqi.edge.network import parse_address
from poliqi.edge.qsn_client import QsnClient

__all__ = ["Options", "open_device"]


class Options(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The settings. The device authenticates nobody: `isolated` vouches for an address that is not loopback."""

    address: str
    isolated: bool = False


def open_device(options: Options) -> QsnClient:
    """A connection is made with the first question. Raises ConfigError."""
    return QsnClient(parse_address(options.address, "options.address"), isolated=options.isolated)
