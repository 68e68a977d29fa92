"""The table [dicom] of a SAE.toml: who may hand in images, where they go, which machines get them here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, TypeVar

import msgspec

from poliqi.apps.settings import SaeSettings
from poliqi.base.errors import ConfigError
from poliqi.base.ids import SaeId
from poliqi.edge.network import Address, parse_address

__all__ = ["DicomSettings", "Node", "Route", "is_ae_title", "is_uid", "read_dicom"]

_AE_TITLE: Final = re.compile(r"[!-\[\]-~](?:[ -\[\]-~]{0,14}[!-\[\]-~])?")
_UID: Final = re.compile(r"[0-9.]{1,64}")
_Count = Annotated[int, msgspec.Meta(ge=1, le=256)]
_Megabytes = Annotated[int, msgspec.Meta(ge=1, le=1 << 20)]
_Days = Annotated[int, msgspec.Meta(ge=1, le=3660)]
_Seconds = Annotated[float, msgspec.Meta(ge=1, le=3600)]


class _RouteTable(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    ae: str
    to: str


class _NodeTable(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    ae: str
    address: str
    from_: tuple[str, ...] | None = msgspec.field(default=None, name="from")


class _DicomTable(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    ae: str = "POLIQI"
    listen: str | None = None
    calling: tuple[str, ...] = ()
    transfer_syntaxes: tuple[str, ...] = ()
    route: tuple[_RouteTable, ...] = ()
    node: tuple[_NodeTable, ...] = ()
    associations: _Count = 8
    largest_mb: _Megabytes = 512
    queue_mb: _Megabytes = 102_400
    remember_days: _Days = 90
    timeout_s: _Seconds = 30.0


@dataclass(frozen=True, slots=True)
class Route:
    """A title that is called here although its machine stands at another site: that of `peer`."""

    ae: str
    peer: SaeId


@dataclass(frozen=True, slots=True)
class Node:
    """A DICOM machine of this site. `senders` are the applications whose images it takes; None for all contacts."""

    ae: str
    address: Address
    senders: frozenset[SaeId] | None

    def takes_from(self, sae: SaeId) -> bool:
        """True where what `sae` sends may be delivered to it."""
        return self.senders is None or sae in self.senders


@dataclass(frozen=True, slots=True)
class DicomSettings:
    """A gateway. `ae` is its own title, `listen` where machines of this site call it.

    `calling`: titles that may hand in images. `transfer_syntaxes`: those that it takes, by UID; all where empty.
    """

    ae: str
    folder: Path
    listen: Address | None
    calling: tuple[str, ...]
    transfer_syntaxes: tuple[str, ...]
    routes: Mapping[str, Route]
    nodes: Mapping[str, Node]
    associations: int
    largest_bytes: int
    queue_bytes: int
    remember_s: float
    timeout_s: float


_Entry = TypeVar("_Entry", Route, Node)


def read_dicom(settings: SaeSettings) -> DicomSettings | None:
    """The gateway that a SAE.toml asks for; None where it has no table [dicom]. Raises ConfigError."""
    table = settings.extra.get("dicom")
    if table is None:
        return None
    try:
        return _settings(msgspec.convert(table, _DicomTable), settings)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{settings.file}: [dicom]: {error}; docs/reference/gateway.md lists every key") from None
    except ConfigError as error:
        raise ConfigError(f"{settings.file}: [dicom]: {error}") from None


def _settings(t: _DicomTable, settings: SaeSettings) -> DicomSettings:
    if t.route and t.listen is None:
        raise ConfigError('it has routes and nobody can call: write listen = "HOST:PORT"')
    if t.listen is not None and not t.calling:
        raise ConfigError('listen without calling: write the AE titles that may call, calling = ["CT_1"]')
    for name in t.transfer_syntaxes:
        if not is_uid(name):
            raise ConfigError(f"transfer_syntaxes: {name[:64]!r} is no UID, such as 1.2.840.10008.1.2.1")
    routes = _once(tuple(_route(r, settings) for r in t.route), "route")
    nodes = _once(tuple(_node(n, settings) for n in t.node), "node")
    return DicomSettings(
        ae=_title(t.ae, "ae"),
        folder=settings.state / "dicom",
        listen=None if t.listen is None else parse_address(t.listen, "listen"),
        calling=tuple(_title(c, "calling") for c in t.calling),
        transfer_syntaxes=t.transfer_syntaxes,
        routes={r.ae: r for r in routes},
        nodes={n.ae: n for n in nodes},
        associations=t.associations,
        largest_bytes=t.largest_mb * 1_000_000,
        queue_bytes=t.queue_mb * 1_000_000,
        remember_s=t.remember_days * 86400.0,
        timeout_s=t.timeout_s,
    )


def _route(t: _RouteTable, settings: SaeSettings) -> Route:
    peer = settings.peer(t.to)
    if peer is None:
        raise ConfigError(f"route.to {t.to[:64]!r}: no [[peer]] is called so")
    if peer.address is None:
        raise ConfigError(f"route.to {t.to[:64]!r}: its [[peer]] has no address, so nothing can be sent to it")
    return Route(_title(t.ae, "route.ae"), peer.sae)


def _node(t: _NodeTable, settings: SaeSettings) -> Node:
    senders: frozenset[SaeId] | None = None
    if t.from_ is not None:
        peers = {name: settings.peer(name) for name in t.from_}
        unknown = [name for name, peer in peers.items() if peer is None]
        if unknown:
            raise ConfigError(f"node.from {unknown[0][:64]!r}: no [[peer]] is called so")
        senders = frozenset(peer.sae for peer in peers.values() if peer is not None)
    return Node(_title(t.ae, "node.ae"), parse_address(t.address, "node.address"), senders)


def _once(entries: tuple[_Entry, ...], name: str) -> tuple[_Entry, ...]:
    seen: set[str] = set()
    for entry in entries:
        if entry.ae in seen:
            raise ConfigError(f"{name}.ae {entry.ae!r} is there twice; write one [[dicom.{name}]] for each title")
        seen.add(entry.ae)
    return entries


def _title(text: str, name: str) -> str:
    if not is_ae_title(text):
        raise ConfigError(f"{name} {text[:32]!r}: an AE title has 1 to 16 ASCII characters and no backslash")
    return text


def is_ae_title(text: str) -> bool:
    """True for 1 to 16 printable ASCII characters without backslash, none of them a space at an end (PS3.5)."""
    return _AE_TITLE.fullmatch(text) is not None


def is_uid(text: str) -> bool:
    """True for what can be a UID: at most 64 digits and dots (PS3.5 9; real UIDs break the finer rules)."""
    return _UID.fullmatch(text) is not None
