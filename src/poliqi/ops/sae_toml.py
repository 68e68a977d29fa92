"""SAE.toml: one file that says everything about an application, read into `SaeSettings`.

Relative paths are relative to the file. What contradicts itself is refused with file, key, value and remedy.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from poliqi.apps.identity import read_contact, read_identity
from poliqi.apps.keygrade import GradeDemand, Knowledge
from poliqi.apps.settings import Peer, SaeSettings, SiteAccess
from poliqi.apps.stream.terms import Policy, StreamRule
from poliqi.base.errors import ConfigError
from poliqi.base.ids import SaeId
from poliqi.base.units import parse_quantity
from poliqi.edge.network import parse_address

__all__ = ["SAE_VARIABLE", "SaeFile", "find_sae_file", "load_sae", "read_sae"]

SAE_VARIABLE: Final = "POLIQI_SAE"
_LARGEST: Final = 1 << 20
_GCM_BYTES: Final = 64 << 30
_PAGE: Final = "docs/reference/sae-toml.md lists every key"
_KNOWLEDGE: Final = {
    "direct": Knowledge.DIRECT,
    "disjoint": Knowledge.DISJOINT,
    "relayed": Knowledge.RELAYED,
    "any": Knowledge.UNKNOWN,
}

_Table = dict[str, Any]


class SiteTable(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The ETSI 014 door of the application's own site, and PEM files for it."""

    url: str
    certificate: str
    key: str
    authority: str


class ListenTable(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Where it listens: `streams` for other applications, `web` for people, `status` for supervisors."""

    streams: str | None = None
    web: str | None = None
    status: str | None = None


class RekeyTable(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """When a stream takes a fresh key, at the latest; in each direction."""

    after: str = "128 Gbit"
    every: str = "2 min"


class DemandTable(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What is asked of keys."""

    policy: Policy | None = None
    knowledge: str | None = None
    min_paths: Annotated[int, msgspec.Meta(ge=1, le=16)] | None = None
    max_epsilon: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None


class PeerTable(DemandTable, kw_only=True):
    """Another application. What it leaves out holds as for all."""

    contact: str
    place: str | None = None
    address: str | None = None


class SaeFile(DemandTable, kw_only=True):
    """The file. Tables from `inbox` on belong to the applications that read them."""

    identity: str
    state: str = "state"
    allow_simulated: bool = False
    site: SiteTable | None = None
    listen: ListenTable = msgspec.field(default_factory=ListenTable)
    rekey: RekeyTable = msgspec.field(default_factory=RekeyTable)
    one_time: DemandTable = msgspec.field(default_factory=DemandTable)
    peer: tuple[PeerTable, ...] = ()
    inbox: _Table = msgspec.field(default_factory=dict[str, Any])
    share: _Table = msgspec.field(default_factory=dict[str, Any])
    tunnel: _Table = msgspec.field(default_factory=dict[str, Any])
    adapter: _Table = msgspec.field(default_factory=dict[str, Any])
    messenger: _Table = msgspec.field(default_factory=dict[str, Any])
    vault: _Table = msgspec.field(default_factory=dict[str, Any])
    dicom: _Table = msgspec.field(default_factory=dict[str, Any])
    web: _Table = msgspec.field(default_factory=dict[str, Any])
    lab: _Table = msgspec.field(default_factory=dict[str, Any])


_OTHERS: Final = ("inbox", "share", "tunnel", "adapter", "messenger", "vault", "dicom", "web", "lab")


def find_sae_file(named: Path | None) -> Path:
    """The file that is named, else that of $POLIQI_SAE, else ./sae.toml. Raises ConfigError where there is none."""
    if named is not None:
        return named
    variable = os.environ.get(SAE_VARIABLE)
    if variable:
        return Path(variable)
    here = Path("sae.toml")
    if here.exists():
        return here
    raise ConfigError(
        f"which application? Name its file with --sae SAE.toml or ${SAE_VARIABLE}, or go where a sae.toml lies "
        "(`poliqi sae new` makes one)"
    )


def load_sae(path: str | Path) -> SaeSettings:
    """Read a SAE.toml and the files that it names. Raises ConfigError."""
    where = Path(path)
    try:
        with where.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise ConfigError(f"{where}: cannot be read ({error.strerror}); give a SAE.toml") from None
    if len(data) > _LARGEST:
        raise ConfigError(f"{where}: larger than {_LARGEST} bytes, so it is no SAE.toml")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{where}: byte {error.start} is not UTF-8; save it as UTF-8") from None
    return read_sae(text, where)


def read_sae(text: str, where: Path) -> SaeSettings:
    """Read the text of a SAE.toml that stands at `where`, and the files that it names. Raises ConfigError."""
    try:
        return _settings(msgspec.convert(tomllib.loads(text), SaeFile), where.absolute())
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where}: not TOML: {error}") from None
    except (msgspec.ValidationError, RecursionError) as error:
        raise ConfigError(f"{where}: {error}; {_PAGE}") from None
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _settings(t: SaeFile, where: Path) -> SaeSettings:
    base = where.parent
    identity = read_identity(base / t.identity)
    peers: dict[SaeId, Peer] = {}
    for table in t.peer:
        peer = _peer(t, table, base)
        if peer.sae in peers or peer.sae == identity.sae:
            raise ConfigError(f"peer.contact {table.contact}: {peer.sae} is there already; name each peer once")
        peers[peer.sae] = peer
    _distinct_places(peers)
    tables = {name: getattr(t, name) for name in _OTHERS}
    extra: dict[str, Mapping[str, object]] = {name: table for name, table in tables.items() if table}
    folder = t.inbox.get("folder", "inbox")
    if not isinstance(folder, str):
        raise ConfigError(f"inbox.folder {folder!r}: write the name of a folder")
    return SaeSettings(
        file=where,
        identity=identity,
        state=base / t.state,
        inbox=base / folder,
        peers=peers,
        listen=None if t.listen.streams is None else parse_address(t.listen.streams, "listen.streams"),
        web=None if t.listen.web is None else parse_address(t.listen.web, "listen.web"),
        allow_simulated=t.allow_simulated,
        extra=extra,
        status=None if t.listen.status is None else parse_address(t.listen.status, "listen.status"),
        site=None if t.site is None else _site(t.site, base),
    )


def _site(t: SiteTable, base: Path) -> SiteAccess:
    return SiteAccess(t.url, base / t.certificate, base / t.key, base / t.authority)


def _peer(t: SaeFile, table: PeerTable, base: Path) -> Peer:
    contact = read_contact(base / table.contact)
    policy = table.policy or t.policy or Policy.STRICT
    if t.site is None and policy is not Policy.PQC:
        raise ConfigError(
            f"peer.policy {policy.value!r} of {contact.sae}: this file has no [site], so there is no quantum key; "
            'add [site], or write policy = "pqc" and know that post-quantum keys alone protect what is sent'
        )
    rekey_bytes, rekey_s = _rekey(t.rekey)
    is_one_time = policy is Policy.ITS
    demand = _demand((table, t), is_one_time, t.allow_simulated)
    # under these two ML-KEM keeps a relay out; the pad has none, so its key must be one that no relay knows
    is_hybrid = policy in (Policy.HYBRID, Policy.PQC_FALLBACK)
    one_time = _demand((table, t.one_time, t), True, t.allow_simulated, "disjoint" if is_hybrid else "any")
    return Peer(
        contact=contact,
        place=table.place or contact.sae,
        address=None if table.address is None else parse_address(table.address, "peer.address"),
        rule=StreamRule(policy, demand, rekey_bytes, rekey_s, None if policy is Policy.PQC else one_time),
        one_time=StreamRule(Policy.ITS, one_time, rekey_bytes, rekey_s),
    )


def _demand(
    tables: tuple[DemandTable, ...], is_proven: bool, allow_simulated: bool, otherwise: str = "any"
) -> GradeDemand:
    """The first table that says a thing decides it; `otherwise` is the knowledge that none says."""
    knowledge = next((t.knowledge for t in tables if t.knowledge is not None), otherwise)
    if knowledge not in _KNOWLEDGE:
        raise ConfigError(f"knowledge {knowledge[:40]!r}: write one of {', '.join(_KNOWLEDGE)}")
    return GradeDemand(
        information_theoretic=is_proven,
        knowledge=_KNOWLEDGE[knowledge],
        min_paths=next((t.min_paths for t in tables if t.min_paths is not None), 1),
        max_epsilon=next((t.max_epsilon for t in tables if t.max_epsilon is not None), None),
        allow_simulated=allow_simulated,
    )


def _rekey(t: RekeyTable) -> tuple[int, float]:
    count = int(parse_quantity(t.after, "bit", "rekey.after") // 8)
    seconds = parse_quantity(t.every, "s", "rekey.every")
    if not 1 << 20 <= count <= _GCM_BYTES:
        raise ConfigError(f"rekey.after {t.after!r}: from 8.4 Mbit to 550 Gbit (AES-GCM's bound of 2^-64)")
    if not 1.0 <= seconds <= 86400.0:
        raise ConfigError(f"rekey.every {t.every!r}: from 1 s to 1 d")
    return count, seconds


def _distinct_places(peers: Mapping[SaeId, Peer]) -> None:
    seen: dict[str, SaeId] = {}
    for peer in peers.values():
        for name in {peer.place.casefold(), peer.sae.casefold()}:
            if name in seen:
                raise ConfigError(f"peer.place {peer.place!r}: {seen[name]} is called so too; name places apart")
        seen |= {peer.place.casefold(): peer.sae, peer.sae.casefold(): peer.sae}
