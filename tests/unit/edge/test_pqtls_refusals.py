"""Whom the peer port refuses: every wrong certificate, every weaker TLS, and bytes that are no TLS at all."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import ssl
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL
from OpenSSL._util import lib
from peer_rig import Collector, calling, listening, until
from site_certificates import ARIA, BOVISA, HOSTS, LEONARDO, make_site, now, trust_each_other

from poliqi.base.ids import KmeId
from poliqi.edge import pqtls
from poliqi.edge.credentials import read_certificates, read_credentials
from poliqi.edge.identity import CallerKind
from poliqi.edge.network import Address
from poliqi.edge.peers import PeerTlsFiles
from poliqi.edge.pki import Authority, Issued
from poliqi.edge.sitetrust import add_trust, read_trust

Site = tuple[Authority, Issued]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """aria and bovisa trust each other; leonardo is nobody's peer."""
    folder = tmp_path_factory.mktemp("sites")
    sites = [make_site(folder, site)[0] for site in (ARIA, BOVISA, LEONARDO)]
    trust_each_other(*sites[:2])
    return folder


@pytest.fixture
def sites(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "sites"))


def site_files(sites: Path, site: KmeId, name: str = "") -> PeerTlsFiles:
    issued = sites / site / "issued"
    name = name or f"kme-{site}-01"
    return PeerTlsFiles(issued / f"{name}-chain.pem", issued / f"{name}.key", sites / site / "trust")


def foreign(
    sites: Path, party: CallerKind, holder: str, signer: KmeId, days: int = 90, ago: int = 0
) -> PeerTlsFiles:
    """Files of a certificate that the issuing command would refuse to make."""
    authority = Authority(sites / signer)
    authority.site = KmeId(holder)  # type: ignore[misc]  # what an attacker who holds the authority's key can do
    issued = authority.issue(party, holder, now() - timedelta(days=ago), hosts=HOSTS, days=days)
    return PeerTlsFiles(issued.chain, issued.key, sites / ARIA / "trust")


def client_context(files: PeerTlsFiles) -> SSL.Context:
    """What a hostile caller sends: any certificate it likes, checked by nobody on its own side."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.use_certificate(read_certificates(files.certificate)[0])
    context.use_privatekey(load_pem_private_key(files.key.read_bytes(), None))  # type: ignore[arg-type]
    context.set_verify(SSL.VERIFY_NONE, lambda *_: True)
    context.set_alpn_protos([b"poliqi-kme/1"])
    return context


async def shake(address: Address, context: SSL.Context | None) -> bytes:
    """One handshake and one greeting from outside; what the listener answered in the clear sense of frames."""
    reader, writer = await asyncio.open_connection(address.host, address.port)
    heard = b""
    try:
        tls = SSL.Connection(context, None)
        tls.set_connect_state()
        is_greeted = False
        async with asyncio.timeout(10):
            while True:
                try:
                    if not is_greeted:
                        tls.do_handshake()
                        tls.sendall(bytes(4))
                        is_greeted = True
                    heard += tls.recv(1 << 14)
                except SSL.WantReadError:
                    pass
                except SSL.Error:
                    return heard
                with contextlib.suppress(SSL.WantReadError):
                    writer.write(tls.bio_read(1 << 16))
                data = await reader.read(1 << 16)
                if not data:
                    return heard
                tls.bio_write(data)
    except OSError:
        return heard
    finally:
        writer.close()


def refused(sites: Path, attack: Callable[[Address], object]) -> str:
    """Attack bovisa's port; its reason. No stream may come of it."""

    async def run() -> str:
        arrived = Collector()
        async with listening(BOVISA, site_files(sites, BOVISA), {ARIA: None}, arrived) as (network, address):
            heard = await attack(address)  # type: ignore[misc]
            await until(lambda: network.strangers.failures > 0)
            assert not heard
            assert arrived.streams.empty()
            assert network.strangers.failures == 1
            return network.strangers.reason

    return asyncio.run(run())


def refused_certificate(sites: Path, files: PeerTlsFiles) -> str:
    return refused(sites, lambda address: shake(address, client_context(files)))


def test_a_certificate_of_an_unknown_authority(sites: Path) -> None:
    assert "not issued by an authority that is trusted" in refused_certificate(sites, site_files(sites, LEONARDO))


def test_a_certificate_that_expired_names_holder_and_day(sites: Path) -> None:
    reason = refused_certificate(sites, foreign(sites, CallerKind.KME, ARIA, ARIA, days=10, ago=20))
    day = (now() - timedelta(days=10)).strftime("%Y-%m-%d")
    assert f"certificate of {ARIA} expired on {day}" in reason


def test_a_certificate_that_is_not_valid_yet(sites: Path) -> None:
    assert "not valid yet" in refused_certificate(sites, foreign(sites, CallerKind.KME, ARIA, ARIA, ago=-2))


def test_a_revoked_certificate(sites: Path) -> None:
    authority = Authority(sites / ARIA)
    authority.revoke(str(site_files(sites, ARIA).certificate), now())
    add_trust(sites / BOVISA / "trust", ARIA, authority=None, revoked=sites / ARIA / "crl.pem")
    assert f"certificate of {ARIA} was revoked on" in refused_certificate(sites, site_files(sites, ARIA))


def test_a_revocation_list_that_ended_stops_everybody_it_speaks_of(sites: Path) -> None:
    Authority(sites / ARIA).refresh_crl(now() - timedelta(days=5), days=2)
    add_trust(sites / BOVISA / "trust", ARIA, authority=None, revoked=sites / ARIA / "crl.pem")
    assert f"the revocation list of {ARIA} ended" in refused_certificate(sites, site_files(sites, ARIA))


def test_an_application_at_the_port_of_sites(sites: Path) -> None:
    reason = refused_certificate(sites, foreign(sites, CallerKind.SAE, "radiology", ARIA))
    assert "vouched for sae radiology" in reason


def test_an_application_that_has_the_id_of_a_site(sites: Path) -> None:
    assert "vouched for sae aria" in refused_certificate(sites, foreign(sites, CallerKind.SAE, ARIA, ARIA))


def test_another_trusted_sites_authority_cannot_make_our_peer(sites: Path) -> None:
    add_trust(sites / BOVISA / "trust", LEONARDO, authority=sites / LEONARDO / "ca.pem", revoked=None)
    reason = refused_certificate(sites, foreign(sites, CallerKind.KME, ARIA, LEONARDO))
    assert f"the authority of {LEONARDO} vouched for kme {ARIA}" in reason


def test_our_own_authority_cannot_make_our_peer(sites: Path) -> None:
    reason = refused_certificate(sites, foreign(sites, CallerKind.KME, ARIA, BOVISA))
    assert "not issued by an authority that is trusted" in reason


def test_a_trusted_site_that_is_no_peer(sites: Path) -> None:
    add_trust(sites / BOVISA / "trust", LEONARDO, authority=sites / LEONARDO / "ca.pem", revoked=None)
    assert f"{LEONARDO} is trusted but no peer" in refused_certificate(sites, site_files(sites, LEONARDO))


def test_a_caller_without_certificate(sites: Path) -> None:
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_alpn_protos([b"poliqi-kme/1"])
    assert "certificate" in refused(sites, lambda address: shake(address, context))


@pytest.mark.parametrize("groups", [b"X25519", b"P-256:P-384", b"MLKEM768", b"SecP256r1MLKEM768"])
def test_any_other_group_than_the_hybrid_one(sites: Path, groups: bytes) -> None:
    context = client_context(site_files(sites, ARIA))
    assert lib.SSL_CTX_set1_curves_list(context._context, groups) == 1  # type: ignore[attr-defined]
    assert "no suitable key share" in refused(sites, lambda address: shake(address, context))


def test_tls_1_2(sites: Path) -> None:
    context = client_context(site_files(sites, ARIA))
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    assert "unsupported protocol" in refused(sites, lambda address: shake(address, context))


def test_another_cipher(sites: Path) -> None:
    context = client_context(site_files(sites, ARIA))
    context.set_tls13_ciphersuites(b"TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256")
    assert "no shared cipher" in refused(sites, lambda address: shake(address, context))


@pytest.mark.parametrize("protocols", [[b"http/1.1"], []])
def test_another_protocol_inside_tls(sites: Path, protocols: list[bytes]) -> None:
    files = site_files(sites, ARIA)
    context = client_context(files)
    if protocols:
        context.set_alpn_protos(protocols)
    else:
        context = SSL.Context(SSL.TLS_METHOD)
        context.use_certificate(read_certificates(files.certificate)[0])
        context.use_privatekey(load_pem_private_key(files.key.read_bytes(), None))  # type: ignore[arg-type]
    assert "does not speak poliqi-kme/1" in refused(sites, lambda address: shake(address, context))


def test_the_standard_librarys_classical_tls(sites: Path) -> None:
    """OpenSSL beneath Python's own ssl, where it knows no hybrid group, is refused like any classical peer."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ecdh_curve("prime256v1")

    async def attack(address: Address) -> bytes:
        try:
            _, writer = await asyncio.open_connection(address.host, address.port, ssl=context)
        except (ssl.SSLError, OSError):
            return b""
        writer.close()
        return b"a handshake"

    assert refused(sites, attack)


@pytest.mark.parametrize(
    "garbage",
    [b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 100, b"\xff" * 70_000, b"\x16\x03\x01\xff\xff" + b"\x01" * 66_000],
    ids=["http", "zeros", "ones", "endless-hello"],
)
def test_bytes_that_are_no_tls(sites: Path, garbage: bytes) -> None:
    async def attack(address: Address) -> bytes:
        reader, writer = await asyncio.open_connection(address.host, address.port)
        try:
            writer.write(garbage)
            await asyncio.wait_for(reader.read(), 10)
        except OSError:
            pass
        writer.close()
        return b""

    assert refused(sites, attack)


def test_a_caller_that_says_nothing(sites: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pqtls, "HANDSHAKE_S", 0.05)

    async def attack(address: Address) -> bytes:
        reader, writer = await asyncio.open_connection(address.host, address.port)
        heard = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        return heard

    assert "did not finish the handshake within 0.05 s" in refused(sites, attack)


def test_a_caller_that_drips(sites: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One byte now and then does not move the deadline."""
    monkeypatch.setattr(pqtls, "HANDSHAKE_S", 0.1)

    async def attack(address: Address) -> bytes:
        reader, writer = await asyncio.open_connection(address.host, address.port)
        try:
            for byte in b"\x16\x03\x01\x05" + bytes(1000):
                writer.write(bytes([byte]))
                await asyncio.wait_for(asyncio.shield(asyncio.sleep(0.01)), 1)
                if reader.at_eof():
                    break
        except OSError:
            pass
        writer.close()
        return b""

    assert "did not finish the handshake" in refused(sites, attack)


def test_a_dozen_callers_in_the_dark_do_not_keep_a_peer_out(sites: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("poliqi.edge.peers._UNKNOWN_CALLERS", 4)

    async def run() -> None:
        arrived = Collector()
        async with listening(BOVISA, site_files(sites, BOVISA), {ARIA: None}, arrived) as (network, address):
            dark = [await asyncio.open_connection(address.host, address.port) for _ in range(12)]
            await until(lambda: network.strangers.failures == 8)
            async with calling(ARIA, site_files(sites, ARIA), {BOVISA: address}, Collector()):
                assert (await arrived.next()).peer == ARIA
            for _, writer in dark:
                writer.close()

    asyncio.run(run())


def refusal_of_the_caller(sites: Path, files: PeerTlsFiles) -> str:
    """aria calls bovisa and somebody answers with `files`; aria's reason."""

    async def run() -> str:
        arrived, answering = Collector(), KmeId(read_credentials(files.certificate, files.key).identity.name)
        async with (
            listening(answering, files, {ARIA: None}, Collector()) as (_, address),
            calling(ARIA, site_files(sites, ARIA), {BOVISA: address}, arrived) as network,
        ):
            await until(lambda: network.counts[BOVISA].failures > 0)
            assert arrived.streams.empty()
            return network.counts[BOVISA].reason

    return asyncio.run(run())


def test_a_caller_refuses_another_site_at_the_address(sites: Path) -> None:
    add_trust(sites / ARIA / "trust", LEONARDO, authority=sites / LEONARDO / "ca.pem", revoked=None)
    add_trust(sites / LEONARDO / "trust", ARIA, authority=sites / ARIA / "ca.pem", revoked=None)
    reason = refusal_of_the_caller(sites, site_files(sites, LEONARDO))
    assert f"{LEONARDO} answered where {BOVISA} was called" in reason


def test_a_caller_refuses_a_site_it_does_not_trust(sites: Path) -> None:
    add_trust(sites / LEONARDO / "trust", ARIA, authority=sites / ARIA / "ca.pem", revoked=None)
    reason = refusal_of_the_caller(sites, site_files(sites, LEONARDO))
    assert reason.startswith(f"{BOVISA}: ")
    assert "not issued by an authority that is trusted" in reason


def test_nothing_is_resumed(sites: Path) -> None:
    """A session offered again is not taken: the second handshake shows certificates like the first."""
    own = read_credentials(site_files(sites, BOVISA).certificate, site_files(sites, BOVISA).key)
    accepting = pqtls.tls_context(own, read_trust(sites / BOVISA / "trust"))
    outside = client_context(site_files(sites, ARIA))

    def shake_once(session: SSL.Session | None) -> tuple[bool, SSL.Session | None]:
        caller, listener = SSL.Connection(outside, None), SSL.Connection(accepting, None)
        caller.set_connect_state()
        listener.set_accept_state()
        if session is not None:
            caller.set_session(session)
        for _ in range(4):
            for end, other in ((caller, listener), (listener, caller)):
                try:
                    end.do_handshake()
                    end.recv(1)
                except SSL.WantReadError:
                    pass
                with contextlib.suppress(SSL.WantReadError):
                    other.bio_write(end.bio_read(1 << 16))
        return bool(lib.SSL_session_reused(listener._ssl)), caller.get_session()  # type: ignore[attr-defined]

    resumed, session = shake_once(None)
    assert not resumed
    assert session is not None
    assert shake_once(session)[0] is False


def test_two_sites_with_everything_right_meet(sites: Path) -> None:
    async def run() -> None:
        arrived = Collector()
        async with (
            listening(BOVISA, site_files(sites, BOVISA), {ARIA: None}, arrived) as (network, address),
            calling(ARIA, site_files(sites, ARIA), {BOVISA: address}, Collector()),
        ):
            assert (await arrived.next()).peer == ARIA
            assert (network.counts[ARIA].connections, network.strangers.failures) == (1, 0)

    asyncio.run(run())


def test_the_group_is_asked_of_every_handshake(sites: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were OpenSSL to pick a classical group in spite of its settings, the connection would still be dropped."""
    monkeypatch.setattr(SSL.Connection, "get_group_name", lambda _self: "x25519")
    assert "x25519" in refused_certificate(sites, site_files(sites, ARIA))
