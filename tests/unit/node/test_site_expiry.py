"""What a running site says of certificates and lists that end, and who is let in then."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from site_certificates import ARIA, BOVISA, make_site, now, trust_each_other

from poliqi.edge.network import Address
from poliqi.edge.pki import Authority
from poliqi.keys.policy import Policy
from poliqi.node.site_expiry import ExpiryWatch
from poliqi.node.site_settings import KekFolder, ListenSettings, NeighbourSettings, SiteSettings, TlsSettings

NOW = now()
HERE = Address("127.0.0.1", 0)


@pytest.fixture
def aria(tmp_path: Path) -> Authority:
    own, _ = make_site(tmp_path, ARIA, NOW)
    other, _ = make_site(tmp_path, BOVISA, NOW)
    trust_each_other(own, other)
    return own


def settings_of(own: Authority, neighbours: tuple[NeighbourSettings, ...] = ()) -> SiteSettings:
    issued = own.folder / "issued" / f"kme-{own.site}-01"
    tls = TlsSettings(
        issued.with_name(issued.name + "-chain.pem"),
        issued.with_name(issued.name + ".key"),
        own.folder / "ca.pem",
        own.folder / "crl.pem",
        own.folder / "trust",
    )
    return SiteSettings(
        source=own.folder / "site.toml",
        site=own.site,
        state=own.folder / "state",
        kek=KekFolder(own.folder / "kek"),
        tls=tls,
        listen=ListenSettings(status=HERE, https=HERE),
        policy=Policy(own.site),
        neighbours=neighbours,
    )


def watch_of(own: Authority, neighbours: tuple[NeighbourSettings, ...] = ()) -> ExpiryWatch:
    settings = settings_of(own, neighbours)
    watch = ExpiryWatch(settings.own_certificates(), settings.others_certificates())
    watch.read(NOW)
    return watch


def test_nothing_is_said_of_what_lasts(aria: Authority) -> None:
    watch = watch_of(aria)
    assert watch.lines(NOW) == []
    assert watch.closed(NOW) == ""


def test_our_own_list_that_is_over_shuts_everybody_out(aria: Authority) -> None:
    aria.refresh_crl(NOW, days=2)
    watch = watch_of(aria)
    [line] = watch.lines(NOW)
    assert line.startswith("revocation list of POLIQI authority of aria (")
    assert "renew it (poliqi pki crl)" in line
    assert watch.closed(NOW + timedelta(days=1)) == ""
    assert watch.closed(NOW + timedelta(days=3)).startswith("nobody can get in: revocation list of ")


def test_a_renewed_list_counts_once_it_is_read(aria: Authority) -> None:
    aria.refresh_crl(NOW, days=2)
    watch, later = watch_of(aria), NOW + timedelta(days=3)
    aria.refresh_crl(later)
    assert watch.closed(later) != ""
    watch.read(later)
    assert watch.closed(later) == ""
    assert watch.lines(later) == []


def test_lists_of_others_are_said_and_shut_nobody_out(tmp_path: Path, aria: Authority) -> None:
    listed = aria.folder / "trust" / "bovisa.crl"
    Authority(tmp_path / BOVISA).refresh_crl(NOW, days=1)
    listed.write_bytes((tmp_path / BOVISA / "crl.pem").read_bytes())
    watch, later = watch_of(aria), NOW + timedelta(days=2)
    [line] = watch.lines(later)
    assert str(listed) in line
    assert "have its owner renew it" in line
    assert watch.closed(later) == ""


def test_authorities_of_neighbours_are_watched(tmp_path: Path, aria: Authority) -> None:
    other = Authority.create(tmp_path / "brief", "brief", NOW, days=5)
    neighbour = NeighbourSettings(other.site, "https://x", other.folder / "ca.pem")
    [line] = watch_of(aria, (neighbour,)).lines(NOW)
    assert line.startswith("certificate of POLIQI authority of brief (")


def test_one_unreadable_file_silences_no_other(aria: Authority) -> None:
    broken = aria.folder / "trust" / "bovisa.crl"
    broken.write_text("nothing")
    aria.refresh_crl(NOW, days=2)
    lines = watch_of(aria).lines(NOW)
    assert len(lines) == 2
    assert any(str(broken) in line for line in lines)
    assert any("revocation list of POLIQI authority of aria" in line for line in lines)


def test_each_file_is_said_once_a_day_and_at_once_when_it_grows_urgent(aria: Authority) -> None:
    aria.refresh_crl(NOW, days=10)
    watch = watch_of(aria)
    said = [len(watch.lines(NOW + timedelta(hours=hour))) for hour in (0, 1, 23, 25, 26, 80, 81)]
    assert said == [1, 0, 0, 1, 0, 1, 0]  # 10 days less 80 hours is less than a week
    watch.read(NOW)
    assert len(watch.lines(NOW)) == 1


def test_the_days_of_every_file_are_figures(aria: Authority) -> None:
    aria.refresh_crl(NOW, days=10)
    days = dict(watch_of(aria).days_left(NOW + timedelta(days=12)))
    assert len(days) == 5  # certificate, authority, list; the other site's authority and list
    assert days[str(aria.folder / "crl.pem")] == pytest.approx(-2, abs=0.1)
