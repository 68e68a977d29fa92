"""What a site is started with: plain data, whatever file it came from (docs/reference/site-toml.md)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from poliqi.base.ids import KmeId, LinkId
from poliqi.control.city import relayed_pool
from poliqi.edge.network import Address
from poliqi.keys.kme import SharedPool
from poliqi.keys.policy import Policy
from poliqi.keys.relay_messages import Scheme
from poliqi.keys.relaying import RelayRoute

if TYPE_CHECKING:
    from poliqi.edge.kek import KekProvider

__all__ = [
    "ControlSettings",
    "KekFolder",
    "KekToken",
    "ListenSettings",
    "NeighbourSettings",
    "PeerSettings",
    "PoolSettings",
    "RelaySettings",
    "SdnSettings",
    "SiteSettings",
    "TlsSettings",
    "open_kek",
]


@dataclass(frozen=True, slots=True)
class KekFolder:
    """Keys of keys as files of a folder, best on a medium of its own."""

    folder: Path


@dataclass(frozen=True, slots=True)
class KekToken:
    """Keys of keys in a PKCS#11 token; the PIN stands in the first line of a private file."""

    module: Path
    token: str
    pin_file: Path


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """PEM files: the site's certificate chain and private key, the authority of its applications, what was revoked.

    `trust` is the folder that says which authority speaks for which other site (`poliqi pki trust`).
    """

    certificate: Path
    key: Path
    authority: Path
    revoked: Path | None = None
    trust: Path | None = None


@dataclass(frozen=True, slots=True)
class ListenSettings:
    """Where the site listens; None is a door that stays shut.

    `https` serves ETSI 014 and SKIP, `streams` ETSI 004, `peers` other sites, `neighbours` ETSI 020, under the URL
    by which neighbours reach it, `sdn` ETSI 015. `ingest` is a Unix socket,
    open to this process's user and to `ingest_uids`; `block_push` (blocks of the PoliQI prototype) and `status`
    (health, metrics) are on loopback.
    """

    status: Address
    https: Address | None = None
    streams: Address | None = None
    peers: Address | None = None
    ingest: Path | None = None
    ingest_uids: frozenset[int] = frozenset()
    block_push: Address | None = None
    neighbours: Address | None = None
    neighbours_url: str = ""
    sdn: Address | None = None


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """A stock shared with a peer: blocks of link `link` go into it up to `capacity_bits`."""

    link: LinkId
    low_water_bits: int
    capacity_bits: int


@dataclass(frozen=True, slots=True)
class PeerSettings:
    """Another site. Of two sites the one whose id sorts first calls, and needs the other's address."""

    kme: KmeId
    address: Address | None
    pools: tuple[PoolSettings, ...]


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """A virtual pool, filled by relays: a block of `block_bytes` at a time, while it is below `low_water_bits`.

    Each path is a list of sites from this one to `to`; whoever holds the relays of `needed` of them knows the key.
    """

    pool: PoolSettings
    to: KmeId
    scheme: Scheme
    paths: tuple[tuple[KmeId, ...], ...]
    needed: int
    block_bytes: int
    parity: bool = False


@dataclass(frozen=True, slots=True)
class NeighbourSettings:
    """Another operator's key management in the same protected place, met by ETSI 020."""

    kme: KmeId
    url: str
    authority: Path


@dataclass(frozen=True, slots=True)
class ControlSettings:
    """The city's controller, which this site calls and whose routes it follows as far as its own policy allows.

    With every peer a stock stands that its relays fill; marks and blocks of these stocks stand here.
    """

    controller: KmeId
    address: Address
    low_water_bits: int
    capacity_bits: int
    block_bytes: int


@dataclass(frozen=True, slots=True)
class SdnSettings:
    """Who may read the site by ETSI 015 (names in client certificates), and what it says of itself there.

    `qber`: error rates stand in phys_perf, which the standard's own YANG file refuses.
    """

    readers: frozenset[str]
    location: str = ""
    qber: bool = False


@dataclass(frozen=True, slots=True)
class SiteSettings:
    """Everything about one site. `source` is the file that a reload reads again."""

    source: Path
    site: KmeId
    state: Path
    kek: KekFolder | KekToken
    tls: TlsSettings
    listen: ListenSettings
    policy: Policy
    peers: tuple[PeerSettings, ...] = ()
    relays: tuple[RelaySettings, ...] = ()
    neighbours: tuple[NeighbourSettings, ...] = ()
    control: ControlSettings | None = None
    sdn: SdnSettings | None = None
    drain_s: float = 30.0
    audit_keep_s: float = 365 * 86400.0

    def own_certificates(self) -> tuple[Path, ...]:
        """Files whose end closes the site's doors: its certificate, its applications' authority and list."""
        has_applications = any(
            door is not None for door in (self.listen.https, self.listen.streams, self.listen.sdn)
        )
        tls = self.tls
        return (tls.certificate, *(p for p in (tls.authority, tls.revoked) if has_applications and p is not None))

    def others_certificates(self) -> tuple[Path, ...]:
        """Files (and the folder of trust) that others gave us, and have to renew."""
        trust = () if self.tls.trust is None else (self.tls.trust,)
        return (*trust, *dict.fromkeys(n.authority for n in self.neighbours))

    def stocks(self) -> list[SharedPool]:
        """Every stock of the site, those of fibres and those that relays fill."""
        fibres = [
            SharedPool(p.link, peer.kme, p.capacity_bits // 8, p.low_water_bits // 8)
            for peer in self.peers
            for p in peer.pools
        ]
        virtual = [(r.pool, r.to) for r in self.relays]
        if self.control is not None:
            low, most = self.control.low_water_bits, self.control.capacity_bits
            virtual += [(PoolSettings(relayed_pool(self.site, p.kme), low, most), p.kme) for p in self.peers]
        return fibres + [
            SharedPool(p.link, to, p.capacity_bits // 8, p.low_water_bits // 8, is_relayed=True)
            for p, to in virtual
        ]

    def routes(self) -> tuple[RelayRoute, ...]:
        """How the virtual stocks are filled from this end."""
        return tuple(
            RelayRoute(r.pool.link, r.to, r.scheme, r.needed, r.paths, r.block_bytes, r.parity) for r in self.relays
        )


def open_kek(kek: KekFolder | KekToken) -> KekProvider:
    """Where the site's keys of keys live; nothing is read before it is used."""
    match kek:
        case KekFolder(folder):
            from poliqi.edge.kek import FileKek

            return FileKek(folder)
        case KekToken(module, token, pin_file):
            from poliqi.edge.kektoken import TokenKek, read_pin

            return TokenKek(module, token, lambda: read_pin(pin_file))
