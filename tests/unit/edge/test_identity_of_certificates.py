"""Whom a certificate speaks for: one rule, and nobody where it does not hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from certificates import Authority
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from poliqi.edge.identity import Caller, CallerKind, identify


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def who(authority: Authority, *common: str, uris: tuple[str, ...] = ()) -> Caller | None:
    return identify(authority.issue(*common, uris=uris).parsed.public_bytes(Encoding.DER))


def test_without_our_names_the_common_name_is_the_application(authority: Authority) -> None:
    caller = who(authority, "SAE 7.B", uris=("https://example.org/x", "sae:other"))
    assert caller is not None
    assert (caller.kind, caller.sae, caller.kme) == (CallerKind.SAE, "SAE 7.B", None)


def test_a_name_of_ours_decides(authority: Authority) -> None:
    caller = who(authority, "common", uris=("urn:poliqi:sae:a%2Fb",))
    assert caller is not None
    assert caller.sae == "a/b"


def test_a_site_never_acts_as_an_application(authority: Authority) -> None:
    caller = who(authority, "sae-a", uris=("urn:poliqi:kme:kme-a",))
    assert caller is not None
    assert (caller.sae, caller.kme) == (None, "kme-a")


@pytest.mark.parametrize(
    ("common", "uris"),
    [
        (("a", "b"), ()),
        ((), ()),
        ((" a",), ()),
        (("a\nb",), ()),
        (("sae-a",), ("urn:poliqi:sae:a", "urn:poliqi:sae:b")),
        (("sae-a",), ("urn:poliqi:sae:a", "urn:poliqi:kme:a")),
        (("sae-a",), ("urn:poliqi:sae:",)),
        (("sae-a",), ("urn:poliqi:sae",)),
        (("sae-a",), ("urn:poliqi:boss:a",)),
        (("sae-a",), ("urn:poliqi:sae:%zz",)),
        (("sae-a",), ("URN:POLIQI:boss:a",)),
        (("sae-a",), ("urn:poliqi:sae:" + "x" * 65,)),
    ],
)
def test_nobody(authority: Authority, common: tuple[str, ...], uris: tuple[str, ...]) -> None:
    assert who(authority, *common, uris=uris) is None


def test_the_caller_keeps_what_revocation_needs(authority: Authority, tmp_path: Path) -> None:
    pair = authority.sae("sae-a")
    caller = identify(pair.parsed.public_bytes(Encoding.DER))
    assert caller is not None
    assert caller.serial == pair.parsed.serial_number
    assert caller.issuer == authority.certificate.subject.public_bytes()
    assert caller.not_after_unix_s == pair.parsed.not_valid_after_utc.timestamp()


@given(st.binary(max_size=300))
def test_bytes_that_are_no_certificate_are_nobody(data: bytes) -> None:
    assert identify(data) is None
