"""site.toml: one file that says everything about a site, read into `SiteSettings`.

Relative paths are relative to the file. What contradicts itself is refused with file, key, value and remedy.
"""

from __future__ import annotations

import ipaddress
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from poliqi.base.errors import ConfigError
from poliqi.base.ids import KmeId
from poliqi.base.units import parse_quantity
from poliqi.edge.linkname import check_link_id
from poliqi.edge.network import Address, parse_address
from poliqi.edge.peers import is_caller
from poliqi.keys.etsi014 import is_sae_id
from poliqi.node.site_settings import (
    KekFolder,
    KekToken,
    ListenSettings,
    NeighbourSettings,
    PeerSettings,
    PoolSettings,
    SdnSettings,
    SiteSettings,
    TlsSettings,
)
from poliqi.ops.site_control import read_control, virtual_pools
from poliqi.ops.site_policy import read_policy
from poliqi.ops.site_relay import read_relay
from poliqi.ops.site_tables import KekTable, ListenTable, NeighbourTable, PeerTable, PoolTable, SdnTable, SiteTable

__all__ = ["load_site", "load_vault", "read_site"]

_LARGEST: Final = 1 << 20
_SOCKET_PATH: Final = 107
_LOCATION: Final = 256
_PAGE: Final = "docs/reference/site-toml.md lists every key"


class _Vault(msgspec.Struct):
    """As much of the file as zeroising needs."""

    state: str
    kek: KekTable


def load_site(path: str | Path) -> SiteSettings:
    """Read a site.toml. Raises ConfigError, with the file and the key in it."""
    where = Path(path)
    return read_site(_text(where), where)


def load_vault(path: str | Path) -> tuple[Path, KekFolder | KekToken]:
    """Only where the store and its keys of keys are, whatever is wrong with the rest. Raises ConfigError."""
    where = Path(path)
    base = where.absolute().parent
    try:
        t = msgspec.convert(tomllib.loads(_text(where)), _Vault)
        return _path(base, t.state, "state"), _kek(t.kek, base)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, RecursionError, ConfigError) as error:
        raise ConfigError(f"{where}: {error}; `state` and [kek] must be readable") from None


def _text(where: Path) -> str:
    try:
        with where.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise ConfigError(f"{where}: cannot be read ({error.strerror}); give a site.toml") from None
    if len(data) > _LARGEST:
        raise ConfigError(f"{where}: larger than {_LARGEST} bytes, so it is no site.toml")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{where}: byte {error.start} is not UTF-8; save it as UTF-8") from None


def read_site(text: str, where: Path) -> SiteSettings:
    """Read the text of a site.toml that stands, or would stand, at `where`. Raises ConfigError."""
    try:
        return _site(msgspec.convert(tomllib.loads(text), SiteTable), where)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where}: not TOML: {error}") from None
    except (msgspec.ValidationError, RecursionError) as error:
        raise ConfigError(f"{where}: {error}; {_PAGE}") from None
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _site(t: SiteTable, where: Path) -> SiteSettings:
    base = where.absolute().parent
    site = _kme(t.site, "site")
    authority = _path(base, t.tls.authority, "tls.authority")
    peers = tuple(_peer(p, site) for p in t.peer)
    _once([p.kme for p in peers], "peer.site")
    relays = tuple(read_relay(r, site, peers, _pool(r, "relay")) for r in t.relay)
    _once([pool.link for p in peers for pool in p.pools] + [r.pool.link for r in relays], "link")
    neighbours = tuple(_neighbour(n, site, base, authority) for n in t.neighbour)
    _once([*(p.kme for p in peers), *(n.kme for n in neighbours)], "neighbour.site")
    known = {site, *(p.kme for p in peers), *(r.to for r in relays), *(n.kme for n in neighbours)}
    control = None if t.control is None else read_control(t.control, site, peers)
    _once([str(pool) for pool in virtual_pools(control, site, peers)] + [r.pool.link for r in relays], "link")
    policy = read_policy(t, site, known)
    for path in (path for r in relays for path in r.paths):
        met = policy.rule.never_through & set(path[1:-1])
        if met:
            raise ConfigError(f"relay.paths: {min(met)} is on one, and policy.never_through says never")
    tls = TlsSettings(
        _path(base, t.tls.certificate, "tls.certificate"),
        _path(base, t.tls.key, "tls.key"),
        authority,
        None if t.tls.revoked is None else _path(base, t.tls.revoked, "tls.revoked"),
        None if t.tls.trust is None else _path(base, t.tls.trust, "tls.trust"),
    )
    if peers and tls.trust is None:
        raise ConfigError(
            "tls.trust: missing, and there is a [[peer]]; name the folder that `poliqi pki trust` fills"
        )
    listen = _listen(t.listen, base)
    waits = [p.kme for p in peers if not is_caller(site, p.kme)]
    if waits and listen.peers is None:
        raise ConfigError(
            f"listen.peers: missing, and {waits[0]} calls this site (its id sorts first); name HOST:PORT"
        )
    if neighbours and listen.neighbours is None:
        raise ConfigError(
            "listen.neighbours: missing, and there is a [[neighbour]]; name HOST:PORT for its answers"
        )
    return SiteSettings(
        source=where.absolute(),
        site=site,
        state=_path(base, t.state, "state"),
        kek=_kek(t.kek, base),
        tls=tls,
        listen=listen,
        policy=policy,
        peers=peers,
        relays=relays,
        neighbours=neighbours,
        control=control,
        sdn=_sdn(t.sdn, listen),
        drain_s=_seconds(t.drain, "drain", 3600.0),
        audit_keep_s=_seconds(t.audit.keep, "audit.keep", 36500 * 86400.0),
    )


def _kek(t: KekTable, base: Path) -> KekFolder | KekToken:
    token = (t.module, t.token, t.pin_file)
    if t.folder is not None and token == (None, None, None):
        return KekFolder(_path(base, t.folder, "kek.folder"))
    if t.folder is None and t.module is not None and t.token is not None and t.pin_file is not None:
        return KekToken(_path(base, t.module, "kek.module"), t.token, _path(base, t.pin_file, "kek.pin_file"))
    raise ConfigError("kek: give `folder`, or `module`, `token` and `pin_file` of a PKCS#11 token")


def _listen(t: ListenTable, base: Path) -> ListenSettings:
    listen = ListenSettings(
        status=_loopback(parse_address(t.status, "listen.status"), "listen.status"),
        https=_address(t.https, "listen.https"),
        streams=_address(t.streams, "listen.streams"),
        peers=_address(t.peers, "listen.peers"),
        ingest=None if t.ingest is None else _path(base, t.ingest, "listen.ingest"),
        ingest_uids=frozenset(t.ingest_users),
        block_push=None
        if t.block_push is None
        else _loopback(parse_address(t.block_push, "listen.block_push"), "listen.block_push"),
        neighbours=_address(t.neighbours, "listen.neighbours"),
        neighbours_url=t.neighbours_url or "",
        sdn=_address(t.sdn, "listen.sdn"),
    )
    if (listen.neighbours is None) != (listen.neighbours_url == ""):
        raise ConfigError("listen.neighbours and listen.neighbours_url: give both, or neither")
    if listen.ingest is not None and len(str(listen.ingest).encode()) > _SOCKET_PATH:
        raise ConfigError(f"listen.ingest {listen.ingest}: longer than {_SOCKET_PATH} bytes; name a shorter path")
    doors = (
        listen.status,
        listen.https,
        listen.streams,
        listen.peers,
        listen.block_push,
        listen.neighbours,
        listen.sdn,
    )
    _once([str(door) for door in doors if door is not None and door.port != 0], "listen")
    return listen


def _sdn(t: SdnTable | None, listen: ListenSettings) -> SdnSettings | None:
    """Who may read the site; a door without readers, or readers without a door, is a mistake."""
    if (t is None) != (listen.sdn is None):
        raise ConfigError("listen.sdn and [sdn]: give both, or neither; sdn.readers names who is let in")
    if t is None:
        return None
    if not t.readers:
        raise ConfigError(
            "sdn.readers: empty, so nobody could read; name a controller's certificate, or leave it out"
        )
    _once(t.readers, "sdn.readers")
    for name in t.readers:
        _kme(name, "sdn.readers")
    if len(t.location) > _LOCATION or not t.location.isprintable():
        raise ConfigError(f"sdn.location: use at most {_LOCATION} printable characters")
    return SdnSettings(frozenset(t.readers), t.location, t.qber)


def _peer(t: PeerTable, site: KmeId) -> PeerSettings:
    kme = _kme(t.site, "peer.site")
    if kme == site:
        raise ConfigError(f"peer.site {kme!r}: that is this site itself; name the other one")
    if t.address is None and is_caller(site, kme):
        raise ConfigError(f"peer.address: missing for {kme!r}; {site} calls it (its id sorts first), at HOST:PORT")
    return PeerSettings(
        kme=kme,
        address=_address(t.address, "peer.address"),
        pools=tuple(_pool(p, "peer.pool") for p in t.pool),
    )


def _pool(t: PoolTable, name: str) -> PoolSettings:
    """A pool's link and marks. Raises ConfigError."""
    low = parse_quantity(t.low_water, "bit", f"{name}.low_water")
    capacity = parse_quantity(t.capacity, "bit", f"{name}.capacity")
    if not 0.0 <= low < capacity <= 1e13:
        raise ConfigError(
            f"{name}.low_water {t.low_water!r}, {name}.capacity {t.capacity!r}: "
            "0 <= low_water < capacity <= 10000 Gbit is needed"
        )
    try:
        return PoolSettings(check_link_id(t.link), int(low), int(capacity))
    except ConfigError as error:
        raise ConfigError(f"{name}.link: {error}") from None


def _neighbour(t: NeighbourTable, site: KmeId, base: Path, authority: Path) -> NeighbourSettings:
    kme = _kme(t.site, "neighbour.site")
    if kme == site:
        raise ConfigError(f"neighbour.site {kme!r}: that is this site itself; name the other one")
    if not t.url.startswith("https://") or len(t.url) < len("https://x"):
        raise ConfigError(f"neighbour.url {t.url!r}: write https://HOST:PORT")
    own = authority if t.authority is None else _path(base, t.authority, "neighbour.authority")
    return NeighbourSettings(kme, t.url.rstrip("/"), own)


def _kme(text: str, name: str) -> KmeId:
    if not is_sae_id(text):
        raise ConfigError(f"{name} {text[:80]!r}: use 1 to 64 printable characters, no blank at the ends")
    return KmeId(text)


def _path(base: Path, text: str, name: str) -> Path:
    if not text or "\0" in text:
        raise ConfigError(f"{name} {text!r}: name a file or folder")
    return base / Path(text)


def _address(text: str | None, name: str) -> Address | None:
    return None if text is None else parse_address(text, name)


def _loopback(address: Address, name: str) -> Address:
    try:
        inside = ipaddress.ip_address(address.host).is_loopback
    except ValueError:
        inside = False
    if not inside:
        raise ConfigError(f"{name} {str(address)!r}: nobody is authenticated there; use 127.0.0.1 or [::1]")
    return address


def _seconds(text: str | float, name: str, most: float) -> float:
    value = parse_quantity(text, "s", name)
    if not 0.0 <= value <= most:
        raise ConfigError(f"{name} {text!r}: give 0 s to {most:g} s")
    return value


def _once(names: Iterable[str], key: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ConfigError(f"{key} {name!r}: named twice; keep one of the two")
        seen.add(name)
