"""Sites with an authority each, for tests: made once, copied where a test changes something."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from poliqi.base.ids import KmeId
from poliqi.edge.identity import CallerKind
from poliqi.edge.peers import PeerTlsFiles
from poliqi.edge.pki import Authority, Issued
from poliqi.edge.sitetrust import add_trust

ARIA, BOVISA, LEONARDO = KmeId("aria"), KmeId("bovisa"), KmeId("leonardo")
HOSTS = ["localhost", "127.0.0.1"]


def now() -> datetime:
    return datetime.now(UTC)


def make_site(folder: Path, site: KmeId, when: datetime | None = None) -> tuple[Authority, Issued]:
    """An authority and its KME's certificate, both made at `when` (now)."""
    made = Authority.create(folder / site, site, when or now())
    return made, made.issue(CallerKind.KME, site, when or now(), hosts=HOSTS)


def trust_each_other(*authorities: Authority) -> None:
    for own in authorities:
        for other in authorities:
            if own is not other:
                add_trust(
                    own.folder / "trust",
                    other.site,
                    authority=other.folder / "ca.pem",
                    revoked=other.folder / "crl.pem",
                )


def files_of(authority: Authority, issued: Issued) -> PeerTlsFiles:
    return PeerTlsFiles(issued.chain, issued.key, authority.folder / "trust")
