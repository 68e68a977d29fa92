"""`[tunnel]` of a SAE.toml (docs/reference/tunnel.md): what others reach here, and what is reached from here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import msgspec

from poliqi.apps.dial import find_peer
from poliqi.apps.settings import Peer, SaeSettings
from poliqi.apps.tunnel.messages import is_target_name, open_message
from poliqi.base.errors import ConfigError
from poliqi.base.ids import SaeId
from poliqi.edge.network import Address, parse_address

__all__ = ["Forward", "Target", "TunnelSettings", "parse_destination", "read_tunnel"]

_PAGE = "docs/reference/tunnel.md lists every key"
_Count = Annotated[int, msgspec.Meta(ge=1, le=256)]


class _Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    address: str
    peers: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=256)]


class _Forward(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    listen: str
    to: str


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    target: tuple[_Target, ...] = ()
    forward: tuple[_Forward, ...] = ()
    most_connections: _Count = 64
    warm_streams: Annotated[int, msgspec.Meta(ge=0, le=64)] = 2


@dataclass(frozen=True, slots=True)
class Target:
    """A server at this side that the named peers may reach, and nobody else."""

    name: str
    address: Address
    peers: frozenset[SaeId]


@dataclass(frozen=True, slots=True)
class Forward:
    """A place to listen at this side, and the peer's target that its connections go to."""

    listen: Address
    peer: Peer
    target: str


@dataclass(frozen=True, slots=True)
class TunnelSettings:
    """`most_connections` at once, for each peer that calls and for each forward; `warm_streams` are kept ready."""

    targets: Mapping[str, Target]
    forwards: tuple[Forward, ...] = ()
    most_connections: int = 64
    warm_streams: int = 2

    def find(self, caller: SaeId, asked: str) -> Target | None:
        """The target of that name, or the only one on that port, if `caller` may have it."""
        named = self.targets.get(asked)
        allowed = [t for t in self.targets.values() if caller in t.peers]
        found = [t for t in allowed if t is named or (named is None and str(t.address.port) == asked)]
        return found[0] if len(found) == 1 else None


def read_tunnel(settings: SaeSettings) -> TunnelSettings:
    """The table as it stands in the file; an empty one where there is none. Raises ConfigError."""
    try:
        file = msgspec.convert(settings.extra.get("tunnel", {}), _File)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{settings.file}: tunnel: {error}; {_PAGE}") from None
    try:
        return TunnelSettings(
            targets=_targets(file, settings),
            forwards=tuple(_forward(each, settings) for each in file.forward),
            most_connections=file.most_connections,
            warm_streams=file.warm_streams,
        )
    except ConfigError as error:
        raise ConfigError(f"{settings.file}: {error}") from None


def _targets(file: _File, settings: SaeSettings) -> dict[str, Target]:
    found: dict[str, Target] = {}
    for each in file.target:
        if not is_target_name(each.name):
            raise ConfigError(
                f"tunnel.target.name {each.name[:80]!r}: a small letter, then small letters, digits, . _ or -, "
                "64 in all"
            )
        if each.name in found:
            raise ConfigError(f"tunnel.target.name {each.name!r} is there twice; name each target once")
        address = parse_address(each.address, "tunnel.target.address")
        peers = frozenset(_peer(settings, name, "tunnel.target.peers").sae for name in each.peers)
        found[each.name] = Target(each.name, address, peers)
    return found


def _forward(each: _Forward, settings: SaeSettings) -> Forward:
    peer, target = parse_destination(each.to, settings, "tunnel.forward.to")
    return Forward(parse_address(each.listen, "tunnel.forward.listen"), peer, target)


def parse_destination(text: str, settings: SaeSettings, option: str) -> tuple[Peer, str]:
    """Read "SITE:NAME" or "SITE:PORT". Raises ConfigError naming `option`."""
    place, colon, target = text.rpartition(":")
    if not colon:
        raise ConfigError(f"{option} {text[:80]!r}: write SITE:NAME or SITE:PORT, such as Bovisa:sftp")
    try:
        open_message(target)
    except ValueError:
        raise ConfigError(
            f"{option} {text[:80]!r}: {target[:40]!r} is neither the name of a target nor a port"
        ) from None
    peer = _peer(settings, place, option)
    if peer.address is None:
        raise ConfigError(f"{option} {text!r}: {peer.place} has no address in {settings.file}: it can only call")
    return peer, target


def _peer(settings: SaeSettings, name: str, option: str) -> Peer:
    try:
        return find_peer(settings, name)
    except ConfigError as error:
        raise ConfigError(f"{option}: {error}") from None
