"""A site's authority: what it signs, what it refuses to, what stands on disk, whom it trusts.

Certificates are judged by two other implementations: the path validation of `cryptography` (RFC 5280 in Rust) and
OpenSSL beneath Python's ssl with its strict checks.
"""

from __future__ import annotations

import shutil
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store
from site_certificates import ARIA, BOVISA, HOSTS, make_site, trust_each_other

from poliqi.base.errors import AuthenticationError, ConfigError
from poliqi.edge.credentials import (
    check_id,
    fingerprint,
    identity_of,
    read_bounded,
    read_certificates,
    read_credentials,
    read_revoked,
)
from poliqi.edge.expiry import Urgency, expiring, expiry
from poliqi.edge.identity import CallerKind
from poliqi.edge.pki import Authority
from poliqi.edge.sitetrust import SiteTrust, Trust, add_trust, read_trust

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sites")
    trust_each_other(*(make_site(folder, site, NOW)[0] for site in (ARIA, BOVISA)))
    return folder


@pytest.fixture
def sites(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "sites"))


@pytest.fixture
def aria(sites: Path) -> Authority:
    return Authority(sites / ARIA)


def load(path: Path) -> x509.Certificate:
    return read_certificates(path)[0]


def test_a_kmes_certificate_is_good_for_a_server_by_another_implementation(aria: Authority) -> None:
    issued = aria.issue(CallerKind.KME, ARIA, NOW, hosts=["kme.aria.example", "192.0.2.7", "2001:db8::7"])
    verifier = PolicyBuilder().store(Store([aria.certificate])).time(NOW)
    chain = verifier.build_server_verifier(x509.DNSName("kme.aria.example")).verify(load(issued.certificate), [])
    assert chain == [load(issued.certificate), aria.certificate]
    assert verifier.build_client_verifier().verify(load(issued.certificate), []).chain == chain


def test_an_applications_certificate_is_for_clients_only(aria: Authority) -> None:
    issued = aria.issue(CallerKind.SAE, "radiology", NOW)
    usages = load(issued.certificate).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    verifier = PolicyBuilder().store(Store([aria.certificate])).time(NOW).build_client_verifier()
    assert verifier.verify(load(issued.certificate), []).subjects == [
        x509.UniformResourceIdentifier("urn:poliqi:sae:radiology")
    ]


def test_names_purpose_key_and_days_are_those_of_the_page(aria: Authority) -> None:
    issued = aria.issue(CallerKind.KME, ARIA, NOW, hosts=["kme.example", "192.0.2.7"])
    certificate = load(issued.certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert certificate.subject.rfc4514_string() == "CN=aria"
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["urn:poliqi:kme:aria"]
    assert names.get_values_for_type(x509.DNSName) == ["kme.example"]
    assert [str(a) for a in names.get_values_for_type(x509.IPAddress)] == ["192.0.2.7"]
    assert isinstance(certificate.public_key(), ec.EllipticCurvePublicKey)
    assert certificate.public_key().curve.name == "secp384r1"  # type: ignore[union-attr]
    assert certificate.not_valid_after_utc == NOW + timedelta(days=90)
    assert certificate.not_valid_before_utc == NOW - timedelta(minutes=5)
    assert identity_of(certificate).kme == ARIA


def test_python_and_its_openssl_take_the_certificates_with_strict_checks(tmp_path: Path) -> None:
    """A handshake in memory, both ends with certificates, X.509 strict, revocation list in force."""
    authority, kme = make_site(tmp_path, ARIA)
    sae = authority.issue(CallerKind.SAE, "bank", datetime.now(UTC))
    server, client = (ssl.SSLContext(p) for p in (ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS_CLIENT))
    for context, issued in ((server, kme), (client, sae)):
        context.load_cert_chain(issued.chain, issued.key)
        context.load_verify_locations(tmp_path / ARIA / "ca.pem")
        context.load_verify_locations(tmp_path / ARIA / "crl.pem")
        context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_CRL_CHECK_LEAF
        context.verify_mode = ssl.CERT_REQUIRED
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server, server_hostname="localhost"),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    done = [False, False]
    for _ in range(4):
        for number, end in enumerate(ends):
            try:
                end.do_handshake()
                done[number] = True
            except ssl.SSLWantReadError:
                continue
    assert done == [True, True]
    assert ("URI", "urn:poliqi:sae:bank") in ends[1].getpeercert()["subjectAltName"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("party", "holder", "hosts", "days", "reason"),
    [
        (CallerKind.KME, BOVISA, HOSTS, 90, "speaks for site aria"),
        (CallerKind.KME, ARIA, [], 90, "--host"),
        (CallerKind.KME, ARIA, ["no host"], 90, "neither a host name nor an IP"),
        (CallerKind.KME, ARIA, ["a..b"], 90, "neither a host name nor an IP"),
        (CallerKind.SAE, "", [], 90, "1 to 64"),
        (CallerKind.SAE, "a" * 65, [], 90, "1 to 64"),
        (CallerKind.SAE, "a/b", [], 90, "1 to 64"),
        (CallerKind.SAE, "a b", [], 90, "1 to 64"),
        (CallerKind.SAE, "a\n", [], 90, "1 to 64"),
        (CallerKind.SAE, "a", [], 0, "1 to 825"),
        (CallerKind.SAE, "a", [], 826, "1 to 825"),
    ],
)
def test_what_the_authority_must_not_vouch_for(
    aria: Authority, party: CallerKind, holder: str, hosts: list[str], days: int, reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason):
        aria.issue(party, holder, NOW, hosts=hosts, days=days)
    assert len(aria.entries) == 1


def test_no_certificate_outlives_its_authority(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path / "short", ARIA, NOW, days=10)
    with pytest.raises(ConfigError, match="the authority itself ends on 2026-12-03"):
        authority.issue(CallerKind.SAE, "a", NOW, days=11)
    authority.issue(CallerKind.SAE, "a", NOW, days=10)


@pytest.mark.parametrize("identity", ["a", "a" * 64, "A-Z.0_9~"])
def test_ids_are_one_to_64_unreserved_characters(identity: str) -> None:
    assert check_id(identity, "id") == identity


def test_private_keys_are_for_their_owner_alone(aria: Authority) -> None:
    issued = aria.issue(CallerKind.SAE, "bank", NOW)
    for path in (aria.folder / "ca.key", issued.key):
        assert path.stat().st_mode & 0o777 == 0o600
    assert aria.folder.stat().st_mode & 0o777 == 0o700


def test_a_renewal_gets_the_next_number_and_overwrites_nothing(aria: Authority) -> None:
    first = aria.issue(CallerKind.SAE, "bank", NOW)
    before = first.key.read_bytes()
    second = aria.issue(CallerKind.SAE, "bank", NOW)
    assert (first.entry.name, second.entry.name) == ("sae-bank-01", "sae-bank-02")
    assert first.key.read_bytes() == before != second.key.read_bytes()
    assert first.entry.serial != second.entry.serial


def test_an_authority_is_never_made_over_another(aria: Authority) -> None:
    before = (aria.folder / "ca.key").read_bytes()
    with pytest.raises(ConfigError, match="never overwritten"):
        Authority.create(aria.folder, ARIA, NOW)
    assert (aria.folder / "ca.key").read_bytes() == before


def test_a_file_in_the_way_is_left_alone(aria: Authority) -> None:
    (aria.folder / "issued" / "sae-bank-01.key").write_text("mine")
    with pytest.raises(ConfigError, match="never overwritten"):
        aria.issue(CallerKind.SAE, "bank", NOW)
    assert (aria.folder / "issued" / "sae-bank-01.key").read_text() == "mine"
    assert aria.issue(CallerKind.SAE, "bank", NOW).entry.name == "sae-bank-02"


def test_the_passphrase_protects_the_authoritys_key(tmp_path: Path) -> None:
    Authority.create(tmp_path / "a", ARIA, NOW, passphrase=b"correct horse")
    assert b"ENCRYPTED PRIVATE KEY" in (tmp_path / "a" / "ca.key").read_bytes()
    with pytest.raises(ConfigError, match="is under a passphrase: give --passphrase-file"):
        Authority(tmp_path / "a").issue(CallerKind.SAE, "bank", NOW)
    with pytest.raises(ConfigError, match="wrong passphrase"):
        Authority(tmp_path / "a", b"battery staple").issue(CallerKind.SAE, "bank", NOW)
    assert Authority(tmp_path / "a", b"correct horse").issue(CallerKind.SAE, "bank", NOW).key.exists()


def test_a_key_of_another_authority_or_open_to_others_is_not_used(sites: Path, aria: Authority) -> None:
    key = aria.folder / "ca.key"
    key.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        aria.issue(CallerKind.SAE, "bank", NOW)
    key.write_bytes((sites / BOVISA / "ca.key").read_bytes())
    key.chmod(0o600)
    with pytest.raises(ConfigError, match="is not the key of"):
        aria.issue(CallerKind.SAE, "bank", NOW)


def test_revoking_by_serial_and_by_file_is_in_the_list(aria: Authority) -> None:
    one, two, three = (aria.issue(CallerKind.SAE, name, NOW) for name in ("a", "b", "c"))
    aria.revoke(one.entry.serial, NOW)
    aria.revoke(str(two.certificate), NOW + timedelta(days=1))
    revoked = read_revoked(aria.folder / "crl.pem", [aria.certificate])
    assert {f"{entry.serial_number:x}": entry.revocation_date_utc for entry in revoked} == {
        one.entry.serial: NOW,
        two.entry.serial: NOW + timedelta(days=1),
    }
    assert [e.revoked is not None for e in Authority(aria.folder).entries] == [False, True, True, False]
    assert three.entry.revoked is None


def test_what_cannot_be_revoked_is_said(sites: Path, aria: Authority) -> None:
    serial = aria.entries[0].serial
    aria.revoke(serial, NOW)
    with pytest.raises(ConfigError, match=r"was revoked on 2026-11-23 already.*poliqi pki crl"):
        aria.revoke(serial, NOW)
    with pytest.raises(ConfigError, match="no certificate of this authority"):
        aria.revoke(str(sites / BOVISA / "issued" / "kme-bovisa-01.pem"), NOW)


def test_each_list_has_a_higher_number_than_the_last(aria: Authority) -> None:
    numbers = []
    for _ in range(2):
        revoked = x509.load_pem_x509_crl(aria.refresh_crl(NOW, days=7).read_bytes())
        numbers.append(revoked.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number)
        assert revoked.next_update_utc == NOW + timedelta(days=7)
    assert numbers == sorted(set(numbers))


def test_an_index_that_somebody_edited_is_refused(aria: Authority) -> None:
    index = aria.folder / "index.json"
    index.write_bytes(index.read_bytes().replace(b'"site"', b'"place"', 1))
    with pytest.raises(ConfigError, match=r"index\.json"):
        Authority(aria.folder)


def test_a_trusted_site_is_believed_and_nobody_else(sites: Path, aria: Authority) -> None:
    trust = read_trust(sites / BOVISA / "trust")
    chain = read_certificates(aria.folder / "issued" / "kme-aria-01-chain.pem")
    assert trust.site_of(chain, NOW) == ARIA
    other = read_certificates(sites / BOVISA / "issued" / "kme-bovisa-01-chain.pem")
    for wrong in ((), chain[:1], (chain[0], other[1]), (other[0], chain[1]), (*chain, *other)):
        with pytest.raises(AuthenticationError):
            trust.site_of(wrong, NOW)


def test_a_certificate_without_a_kmes_purposes_is_not_believed(sites: Path, aria: Authority) -> None:
    trust = read_trust(sites / BOVISA / "trust")
    signer = aria._signer()
    key = ec.generate_private_key(ec.SECP384R1())
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier("urn:poliqi:kme:aria")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(aria.certificate.subject)
        .issuer_name(aria.certificate.subject)
        .public_key(key.public_key())
        .serial_number(9)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
        .add_extension(names, critical=False)
    )
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    for made in (builder, builder.add_extension(usage, critical=False)):
        with pytest.raises(AuthenticationError, match="needs serverAuth and clientAuth"):
            trust.site_of((made.sign(signer, hashes.SHA384()), aria.certificate), NOW)


def test_one_authority_cannot_be_trusted_for_two_sites(sites: Path) -> None:
    with pytest.raises(ConfigError, match="each site needs its own"):
        add_trust(sites / BOVISA / "trust", "leonardo", authority=sites / ARIA / "ca.pem", revoked=None, own=BOVISA)
    assert not (sites / BOVISA / "trust" / "leonardo.pem").exists()


def test_an_authority_is_replaced_only_on_purpose(sites: Path, tmp_path: Path) -> None:
    folder, new = sites / BOVISA / "trust", Authority.create(tmp_path / "new", ARIA, NOW)
    with pytest.raises(ConfigError, match="add to it with --also"):
        add_trust(folder, ARIA, authority=new.folder / "ca.pem", revoked=None)
    both = add_trust(folder, ARIA, authority=new.folder / "ca.pem", revoked=None, also=True)
    assert len(both.authorities) == 2
    renewed = new.issue(CallerKind.KME, ARIA, NOW, hosts=HOSTS)
    add_trust(folder, ARIA, authority=None, revoked=new.folder / "crl.pem")
    assert read_trust(folder).site_of(read_certificates(renewed.chain), NOW) == ARIA


def test_trust_in_oneself_and_in_leaves_is_refused(sites: Path) -> None:
    folder = sites / BOVISA / "trust"
    with pytest.raises(ConfigError, match="is this site itself"):
        add_trust(folder, BOVISA, authority=sites / ARIA / "ca.pem", revoked=None, own=BOVISA)
    (folder / "zeta.pem").write_bytes((sites / ARIA / "issued" / "kme-aria-01.pem").read_bytes())
    with pytest.raises(ConfigError, match="not of an authority"):
        read_trust(folder)


def test_an_older_or_foreign_list_does_not_replace_the_one_that_stands(sites: Path, aria: Authority) -> None:
    folder, old = sites / BOVISA / "trust", sites / "old.crl"
    old.write_bytes((aria.folder / "crl.pem").read_bytes())
    aria.refresh_crl(NOW)
    add_trust(folder, ARIA, authority=None, revoked=aria.folder / "crl.pem")
    with pytest.raises(ConfigError, match="is older than the revocation list"):
        add_trust(folder, ARIA, authority=None, revoked=old)
    with pytest.raises(ConfigError, match="was not signed by the site's authority"):
        add_trust(folder, ARIA, authority=None, revoked=sites / BOVISA / "crl.pem")


def test_a_forged_list_is_refused(sites: Path, aria: Authority) -> None:
    impostor = Authority.create(sites / "impostor", ARIA, NOW)
    with pytest.raises(ConfigError, match="was not signed"):
        read_revoked(impostor.folder / "crl.pem", [aria.certificate])


def test_credentials_that_do_not_belong_together_or_cannot_serve(sites: Path, aria: Authority) -> None:
    made = aria.issue(CallerKind.KME, ARIA, datetime.now(UTC), hosts=HOSTS)
    assert read_credentials(made.chain, made.key).identity.kme == ARIA
    with pytest.raises(ConfigError, match="is not the key of"):
        read_credentials(made.chain, sites / ARIA / "issued" / "kme-aria-01.key")
    with pytest.raises(ConfigError, match="no private key in PEM"):
        read_credentials(made.chain, _private_copy(made.certificate, sites / "x"))
    with pytest.raises(ConfigError, match="no certificate in PEM"):
        read_credentials(made.key, made.key)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_credentials(sites / "none", made.key)
    made.key.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        read_credentials(made.chain, made.key)


def _private_copy(source: Path, target: Path) -> Path:
    target.touch(mode=0o600)
    target.write_bytes(source.read_bytes())
    return target


def test_a_certificate_of_ours_that_expired_stops_the_start(aria: Authority) -> None:
    old = aria.issue(CallerKind.KME, ARIA, datetime.now(UTC) - timedelta(days=3), hosts=HOSTS, days=1)
    with pytest.raises(ConfigError, match="expired on"):
        read_credentials(old.chain, old.key)


def test_a_file_that_is_far_too_large_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(bytes((1 << 20) + 1))
    with pytest.raises(ConfigError, match="over 1048576 bytes"):
        read_bounded(tmp_path / "big")


def test_an_rsa_key_is_not_taken(tmp_path: Path, aria: Authority) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = rsa.generate_private_key(65537, 2048)
    signed = (
        x509.CertificateBuilder()
        .subject_name(aria.certificate.subject)
        .issuer_name(aria.certificate.subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.now(UTC))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    (tmp_path / "c").write_bytes(signed.public_bytes(Encoding.PEM))
    (tmp_path / "k").touch(mode=0o600)
    (tmp_path / "k").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(ConfigError, match="ECDSA or Ed25519"):
        read_credentials(tmp_path / "c", tmp_path / "k")


@pytest.mark.parametrize(
    ("days", "urgency"), [(31, Urgency.OK), (29, Urgency.SOON), (6, Urgency.URGENT), (-1, Urgency.OVER)]
)
def test_how_soon_somebody_has_to_act(aria: Authority, days: int, urgency: Urgency) -> None:
    issued = aria.issue(CallerKind.SAE, "a", NOW, days=60)
    assert expiry(issued.certificate, NOW + timedelta(days=60 - days)).urgency is urgency


def test_what_runs_out_is_listed_soonest_first(sites: Path, aria: Authority) -> None:
    short, shorter = (aria.issue(CallerKind.SAE, "a", NOW, days=days) for days in (20, 10))
    aria.refresh_crl(NOW, days=15)
    paths = [aria.folder / "ca.pem", short.certificate, shorter.chain, aria.folder / "crl.pem"]
    found = expiring([*paths, aria.folder / "trust"], NOW)
    assert [e.path for e in found] == [shorter.chain, aria.folder / "crl.pem", short.certificate]
    assert found[0].line.startswith("certificate of sae a (")
    assert "expires on 2026-12-03 12:00 UTC, in 10 days" in found[0].line
    assert "expired on 2026-12-03 12:00 UTC" in expiring([shorter.chain], NOW + timedelta(days=11))[0].line


def test_an_authority_is_not_listed_as_an_application_of_its_common_name(aria: Authority) -> None:
    assert expiry(aria.folder / "ca.pem", NOW).what == f"certificate of POLIQI authority of {ARIA}"


def test_trust_made_by_hand_checks_the_same(aria: Authority) -> None:
    trust = Trust([SiteTrust(ARIA, (aria.certificate,))])
    assert trust.site_of(read_certificates(aria.folder / "issued" / "kme-aria-01-chain.pem"), NOW) == ARIA
    assert len(fingerprint(aria.certificate)) == 64
