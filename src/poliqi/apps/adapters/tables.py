"""The tables [adapter.NAME] of SAE.toml (docs/reference/adapter.md), read into tunnels."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final

import msgspec

from poliqi.apps.adapters.events import Report
from poliqi.apps.adapters.ipsec import Ipsec
from poliqi.apps.adapters.software import Software
from poliqi.apps.adapters.stunnel import Stunnel
from poliqi.apps.adapters.tunnel import Tunnel
from poliqi.apps.adapters.wireguard import WireGuard
from poliqi.apps.settings import Peer, SaeSettings
from poliqi.apps.stream.terms import Policy
from poliqi.base.errors import ConfigError
from poliqi.base.secret import Entropy
from poliqi.base.units import parse_quantity
from poliqi.edge.network import Address, parse_address

__all__ = ["AdapterSettings", "read_adapters"]

_SHORTEST_S: Final = 5.0
_LONGEST_S: Final = 86400.0
_NAME: Final = re.compile("[A-Za-z0-9_-]{1,64}")
_PAGE: Final = "docs/reference/adapter.md lists every key"

_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]
_PublicKey = Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9+/]{43}=$")]
_Interface = Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9_.@+=][A-Za-z0-9_.@+=-]{0,14}$")]


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind"):
    """What all kinds have."""

    peer: _Text
    every: str = "120 s"
    longest: str | None = None
    listen: str | None = None
    address: str | None = None
    kind: ClassVar[str]


class _WireGuard(_Table, frozen=True, kw_only=True, tag="wireguard"):
    interface: _Interface
    public_key: _PublicKey
    command: Annotated[list[_Text], msgspec.Meta(min_length=1, max_length=8)] = msgspec.field(
        default_factory=lambda: ["wg"]
    )
    kind: ClassVar[str] = "wireguard"

    def software(self, name: str, folder: Path, entropy: Entropy) -> Software:  # noqa: ARG002  # one face for all
        return WireGuard(self.interface, self.public_key, entropy, self.command)


class _Ipsec(_Table, frozen=True, kw_only=True, tag="ipsec"):
    connection: dict[str, Any]
    socket: _Text = "/run/charon.vici"
    kind: ClassVar[str] = "ipsec"

    def software(self, name: str, folder: Path, entropy: Entropy) -> Software:  # noqa: ARG002
        return Ipsec(name, folder / self.socket, self.connection, folder)


class _Stunnel(_Table, frozen=True, kw_only=True, tag="stunnel"):
    secrets: _Text
    pid: _Text
    client: bool
    probe: str | None = None
    kind: ClassVar[str] = "stunnel"

    def software(self, name: str, folder: Path, entropy: Entropy) -> Software:  # noqa: ARG002
        probe = None if self.probe is None else parse_address(self.probe, "probe")
        return Stunnel(folder / self.secrets, folder / self.pid, entropy, is_client=self.client, probe=probe)


@dataclass(frozen=True, slots=True)
class AdapterSettings:
    """One table. `every_s`: from one key to the next; `longest_s`: how long one may serve without another.

    With `listen` this end, where it is the second, answers on a door of its own and not at the service's.
    """

    name: str
    kind: str
    peer: Peer
    is_first: bool
    every_s: float
    longest_s: float
    listen: Address | None
    software: Software

    def tunnel(self, report: Report) -> Tunnel:
        """It, not opened yet."""
        return Tunnel(self.name, self.peer.sae, self.software, self.peer.rule.demand, self.longest_s, report)


def read_adapters(settings: SaeSettings, entropy: Entropy) -> tuple[AdapterSettings, ...]:
    """Every table of the file. Raises ConfigError."""
    found: list[AdapterSettings] = []
    for name, table in settings.extra.get("adapter", {}).items():
        try:
            found.append(_adapter(name, table, settings, entropy))
        except ConfigError as error:
            raise ConfigError(f"{settings.file}: adapter.{name}: {error}") from None
    return tuple(found)


def _adapter(name: str, table: object, settings: SaeSettings, entropy: Entropy) -> AdapterSettings:
    if not isinstance(table, Mapping) or _NAME.fullmatch(name) is None:
        raise ConfigError("write a table [adapter.NAME]; a name has 1 to 64 letters, digits, - and _")
    try:
        t = msgspec.convert(table, _WireGuard | _Ipsec | _Stunnel)
    except (msgspec.ValidationError, RecursionError) as error:
        raise ConfigError(f"{error}; {_PAGE}") from None
    peer = settings.peer(t.peer)
    if peer is None:
        raise ConfigError(f"peer {t.peer[:80]!r}: is no [[peer]] of this file; bring it with `poliqi sae meet`")
    if peer.rule.policy is Policy.ITS:
        raise ConfigError(
            f"peer {peer.place}: its policy is information-theoretic, and {t.kind} is not; use `poliqi send`"
        )
    if peer.rule.policy is Policy.PQC:
        raise ConfigError(f"peer {peer.place}: its policy is pqc, and {t.kind} is given quantum keys, or none")
    every_s = parse_quantity(t.every, "s", "every")
    longest_s = 1.5 * every_s if t.longest is None else parse_quantity(t.longest, "s", "longest")
    if not _SHORTEST_S <= every_s <= longest_s <= _LONGEST_S:
        raise ConfigError(f"every {t.every!r}, longest {longest_s:g} s: 5 s <= every <= longest <= 1 d is needed")
    return AdapterSettings(
        name=name,
        kind=t.kind,
        peer=peer if t.address is None else replace(peer, address=parse_address(t.address, "address")),
        is_first=settings.sae < peer.sae,
        every_s=every_s,
        longest_s=longest_s,
        listen=None if t.listen is None else parse_address(t.listen, "listen"),
        software=t.software(name, settings.file.parent, entropy),
    )
