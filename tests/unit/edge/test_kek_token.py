"""KEKs in a PKCS#11 token (SoftHSM2): made there, never out of it, destroyed there."""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest
from key_stores import ingested, payload

from poliqi.base.errors import ConfigError, StoreError
from poliqi.base.secret import SecretBytes
from poliqi.edge.kek import zeroise
from poliqi.edge.kektoken import TokenKek, read_pin
from poliqi.edge.keystore import KeyStore

LIBRARIES = [Path("/usr/lib/softhsm/libsofthsm2.so"), Path("/usr/lib64/pkcs11/libsofthsm2.so")]
LIBRARY = next((path for path in LIBRARIES if path.exists()), None)
PIN = "7315"
ONE = b"1" * 16


@pytest.fixture(scope="module")
def softhsm() -> Generator[Path]:
    """A folder of tokens for this module; the library reads where it is when it is loaded."""
    if LIBRARY is None or shutil.which("softhsm2-util") is None:
        pytest.skip("SoftHSM2 is not installed")
    if importlib.util.find_spec("pkcs11") is None:
        pytest.skip("python-pkcs11 is not installed (extra hsm)")
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "tokens").mkdir()
        conf = Path(place) / "softhsm2.conf"
        conf.write_text(f"directories.tokendir = {place}/tokens\nobjectstore.backend = file\n")
        before = os.environ.get("SOFTHSM2_CONF")
        os.environ["SOFTHSM2_CONF"] = str(conf)
        make_token("site")  # before the library is loaded, which lists the tokens once
        make_token("wrap")
        pkcs11 = importlib.import_module("pkcs11")
        pkcs11.lib(str(LIBRARY)).reinitialize()  # it may have been loaded for other tokens
        try:
            yield LIBRARY
        finally:
            if before is None:
                del os.environ["SOFTHSM2_CONF"]
            else:
                os.environ["SOFTHSM2_CONF"] = before


def make_token(label: str) -> None:
    line = ["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", "9999"]
    subprocess.run(line, check=True, capture_output=True)


@pytest.fixture
def token(softhsm: Path) -> Generator[TokenKek]:
    kek = TokenKek(softhsm, "site", lambda: PIN)
    kek.destroy_all()
    yield kek
    kek.close()


def test_a_key_is_wrapped_and_unwrapped_in_the_token(token: TokenKek) -> None:
    token.create(ONE, 1)
    token.create(ONE, 2)
    wrapped = token.wrap(ONE, 1, SecretBytes(b"k" * 32), b"here")
    assert b"k" * 8 not in wrapped
    assert bytes(token.unwrap(ONE, 1, wrapped, b"here").view()) == b"k" * 32
    assert token.epochs(ONE) == {1, 2}
    assert token.epochs(b"2" * 16) == set()
    for epoch, place in ((2, b"here"), (1, b"there")):
        with pytest.raises(StoreError, match=f"could not unwrap the key of epoch {epoch}"):
            token.unwrap(ONE, epoch, wrapped, place)


def test_a_token_without_gcm_wraps_by_aes_key_wrap(softhsm: Path) -> None:
    import pkcs11

    kek = TokenKek(softhsm, "wrap", lambda: PIN)
    kek.create(ONE, 1)
    kek._mechanisms.discard(pkcs11.Mechanism.AES_GCM)
    wrapped = kek.wrap(ONE, 1, SecretBytes(b"k" * 32), b"")
    assert len(wrapped) == 1 + 40  # RFC 3394 adds 8 bytes
    assert bytes(kek.unwrap(ONE, 1, wrapped, b"").view()) == b"k" * 32
    kek.close()


def test_the_key_cannot_be_taken_out(token: TokenKek, softhsm: Path) -> None:
    import pkcs11

    token.create(ONE, 1)
    [key] = token._session.get_objects({pkcs11.Attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY})
    assert not key[pkcs11.Attribute.EXTRACTABLE]
    with pytest.raises(pkcs11.exceptions.PKCS11Error):
        _ = key[pkcs11.Attribute.VALUE]


def test_a_store_lives_and_is_zeroised_with_a_token(token: TokenKek, tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "store", token, create=True)
    store.load()
    store.apply([ingested(1)])
    store.rotate()
    store.close()
    store = KeyStore(tmp_path / "store", token)
    instance = store.load().instance
    assert bytes(store.read(1).view()) == payload(1, 2000)
    assert token.epochs(instance) == {3}
    assert zeroise(tmp_path / "store", token) == [f"poliqi-kek-{instance.hex()}-3"]
    assert token.epochs(instance) == set()
    store.close()


def test_a_wrong_pin_and_a_missing_token_are_named(softhsm: Path) -> None:
    for kek in (TokenKek(softhsm, "site", lambda: "0000"), TokenKek(softhsm, "none", lambda: PIN)):
        with pytest.raises(StoreError, match=r"could not make a key: .*; check the token, its PIN and library"):
            kek.create(ONE, 9)


def test_a_missing_library_is_named(tmp_path: Path) -> None:
    pytest.importorskip("pkcs11")
    with pytest.raises(StoreError, match=r"check the token, its PIN and library .*/none\.so"):
        TokenKek(tmp_path / "none.so", "site", lambda: PIN).epochs(ONE)


def test_a_pin_comes_from_a_private_file(tmp_path: Path) -> None:
    path = tmp_path / "pin"
    path.write_text("7315\n")
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        read_pin(path)
    path.chmod(0o600)
    assert read_pin(path) == "7315"
    path.write_text("")
    with pytest.raises(ConfigError, match="is empty"):
        read_pin(path)
