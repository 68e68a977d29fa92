"""What an application is set up with (SAE.toml, docs/reference/sae-toml.md), as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from poliqi.apps.identity import Contact, Identity
from poliqi.apps.stream.terms import StreamRule
from poliqi.base.ids import SaeId
from poliqi.edge.network import Address

__all__ = ["Peer", "SaeSettings", "SiteAccess"]


@dataclass(frozen=True, slots=True)
class Peer:
    """Another application. `place` is what people call it, such as "Bovisa"; without `address` it can only call."""

    contact: Contact
    place: str
    address: Address | None
    rule: StreamRule
    one_time: StreamRule
    """The rule of what always goes under one-time pad: messages, shares of a vault."""

    @property
    def sae(self) -> SaeId:
        """Its name."""
        return self.contact.sae


@dataclass(frozen=True, slots=True)
class SiteAccess:
    """The ETSI 014 door of an application's own site, and the application's PEM files for it."""

    url: str
    certificate: Path
    key: Path
    authority: Path


@dataclass(frozen=True, slots=True)
class SaeSettings:
    """One application. `state` holds what it needs to remember, `inbox` what it was sent.

    `site`: where its keys come from; without one it takes and gives post-quantum streams only. `listen`: where
    other applications call; `web`: where people open its pages; `status`: where its figures are read.
    """

    file: Path
    identity: Identity
    state: Path
    inbox: Path
    peers: Mapping[SaeId, Peer]
    listen: Address | None = None
    web: Address | None = None
    allow_simulated: bool = False
    extra: Mapping[str, Mapping[str, object]] = field(default_factory=dict[str, Mapping[str, object]])
    """Tables of other applications in the same file, such as [[tunnel]]; each reads its own."""
    status: Address | None = None
    site: SiteAccess | None = None

    @property
    def sae(self) -> SaeId:
        """Its own name."""
        return self.identity.sae

    def peer(self, name: str) -> Peer | None:
        """A peer by its application's name or its place, however capitals are set."""
        found = self.peers.get(SaeId(name))
        wanted = name.casefold()
        return found or next((p for p in self.peers.values() if p.place.casefold() == wanted), None)
