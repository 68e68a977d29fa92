"""What is wrong with a site before it runs: files, certificates, keys of keys, addresses, what the policy means."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from poliqi.base.errors import PoliqiError
from poliqi.edge.credentials import read_credentials
from poliqi.edge.expiry import Urgency, expiries
from poliqi.edge.folder import check_private
from poliqi.edge.interop import neighbour_context
from poliqi.edge.kek import TOMBSTONE
from poliqi.edge.keydatabase import DATABASE_NAME, open_beside
from poliqi.edge.network import Address
from poliqi.edge.running import running_pid
from poliqi.edge.sitetrust import read_trust
from poliqi.edge.tls import TlsFiles, load_credentials
from poliqi.keys.grade import KeyOrigin
from poliqi.node.site_settings import SiteSettings, open_kek

__all__ = ["Finding", "Level", "check_site"]


class Level(StrEnum):
    """Fine; worth a look; the site will not work."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    level: Level
    what: str
    text: str


def check_site(s: SiteSettings, now: datetime) -> list[Finding]:
    """Look at everything that a start needs and change nothing. `now` is UTC."""
    found: list[Finding] = []
    looks: list[tuple[str, Callable[[SiteSettings, datetime], Iterator[Finding]]]] = [
        ("store", _store),
        ("certificate", _certificate),
        ("expiry", _expiry),
        ("peers", _peers),
        ("neighbours", _neighbours),
        ("addresses", _addresses),
        ("policy", _policy),
    ]
    for what, look in looks:
        try:
            found += list(look(s, now))
        except PoliqiError as error:
            found.append(Finding(Level.FAILURE, what, str(error)))
        except OSError as error:
            found.append(Finding(Level.FAILURE, what, f"{error.filename or what}: {error.strerror}"))
    return found


def _store(s: SiteSettings, now: datetime) -> Iterator[Finding]:  # noqa: ARG001  # every look takes the same
    if (s.state / TOMBSTONE).exists():
        yield Finding(Level.FAILURE, "store", f"{s.state} was zeroised: move it away, or name another folder")
        return
    if not (s.state / DATABASE_NAME).exists():
        yield Finding(Level.WARNING, "store", f"{s.state} holds no key store: the first start makes one")
        return
    check_private(s.state)
    with open_beside(s.state) as reader:
        [(instance,)] = reader.read("SELECT instance FROM site")
    kek = open_kek(s.kek)
    if kek.epochs(instance):
        yield Finding(Level.OK, "store", f"{s.state}, its keys of keys in {kek.place}")
    else:
        yield Finding(
            Level.FAILURE, "store", f"{kek.place} holds no key for the store in {s.state}: mount its medium"
        )


def _certificate(s: SiteSettings, now: datetime) -> Iterator[Finding]:  # noqa: ARG001
    t = s.tls
    identity = read_credentials(t.certificate, t.key).identity
    if identity.kme != s.site:
        yield Finding(
            Level.FAILURE,
            "certificate",
            f"{t.certificate} speaks for {identity.kind} {identity.name}, not {s.site}",
        )
        return
    load_credentials(TlsFiles(t.certificate, t.key, t.authority, t.revoked))
    yield Finding(Level.OK, "certificate", f"{t.certificate} speaks for {s.site}")
    if t.revoked is None:
        yield Finding(Level.WARNING, "certificate", "tls.revoked is not set: a revoked application is still served")


def _expiry(s: SiteSettings, now: datetime) -> Iterator[Finding]:
    """What ends: our own files stop this site, those of others only what it does with them."""
    for files, is_foreign in ((s.own_certificates(), False), (s.others_certificates(), True)):
        found, wrong = expiries(files, now)
        for error in wrong:
            yield Finding(Level.WARNING if is_foreign else Level.FAILURE, "expiry", str(error))
        for e in found:
            if e.urgency is not Urgency.OK:
                stops = e.urgency is Urgency.OVER and not is_foreign
                line = replace(e, is_foreign=is_foreign).line
                yield Finding(Level.FAILURE if stops else Level.WARNING, "expiry", line)


def _neighbours(s: SiteSettings, now: datetime) -> Iterator[Finding]:  # noqa: ARG001
    t = s.tls
    if s.neighbours:
        load_credentials(TlsFiles(t.certificate, t.key, {n.kme: n.authority for n in s.neighbours}))
        for n in s.neighbours:
            neighbour_context(n.authority, t.certificate, t.key)
            yield Finding(Level.OK, "neighbours", f"{n.kme}: {n.authority} vouches for it, and for nobody else")


def _peers(s: SiteSettings, now: datetime) -> Iterator[Finding]:  # noqa: ARG001
    if s.tls.trust is None:
        return
    trusted = read_trust(s.tls.trust).sites
    for kme in [*(peer.kme for peer in s.peers), *([] if s.control is None else [s.control.controller])]:
        if kme in trusted:
            yield Finding(Level.OK, "peers", f"{kme}: its authority is trusted")
        else:
            yield Finding(
                Level.FAILURE, "peers", f"{kme}: no authority in {s.tls.trust}; bring it with poliqi pki trust"
            )


def _addresses(s: SiteSettings, now: datetime) -> Iterator[Finding]:  # noqa: ARG001
    pid = running_pid(s.state) if s.state.exists() else None
    if pid is not None:
        yield Finding(Level.OK, "addresses", f"the site runs (process {pid}), so they are not tried")
        return
    doors = s.listen
    for name, address in (
        ("https", doors.https),
        ("streams", doors.streams),
        ("peers", doors.peers),
        ("neighbours", doors.neighbours),
        ("sdn", doors.sdn),
        ("block_push", doors.block_push),
        ("status", doors.status),
    ):
        if address is not None:
            refused = _refusal(address)
            level = Level.OK if refused is None else Level.FAILURE
            yield Finding(
                level, "addresses", f"listen.{name} {address}" + ("" if refused is None else f": {refused}")
            )
    if doors.ingest is not None and doors.ingest.parent != s.state and not doors.ingest.parent.is_dir():
        yield Finding(Level.FAILURE, "addresses", f"listen.ingest: {doors.ingest.parent} is no folder; make it")


def _refusal(address: Address) -> str | None:
    try:
        [(family, kind, protocol, _, place), *_] = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except OSError as error:
        return error.strerror or str(error)
    return None


def _policy(s: SiteSettings, now: datetime) -> Iterator[Finding]:  # noqa: ARG001
    p = s.policy
    for origin in (KeyOrigin.SIMULATED, KeyOrigin.REPLAY):
        if p.judge_origin(origin) is None:
            yield Finding(Level.WARNING, "policy", f"policy.origins takes {origin!s}: such keys protect nothing")
    for grant in p.grants:
        names = ", ".join(sorted(grant.masters | grant.slaves))
        if not p.rule.joined(grant.rule).origins:
            yield Finding(
                Level.WARNING, "policy", f"allow ({names}): no origin that the site takes too, so there is no key"
            )
        if grant.initiator_readback:
            yield Finding(Level.WARNING, "policy", f"allow ({names}): initiator_readback is on; it is for tests")
    own = [name for name in p.applications if p.is_local(name)]
    yield Finding(Level.OK, "policy", f"{len(own)} applications of this site, {len(p.applications)} known in all")
