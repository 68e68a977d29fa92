"""Keys in a PKCS#11 token (SoftHSM2): given once, destroyed at use, never in a message."""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from poliqi.apps.keysource import Key
from poliqi.apps.pkcs11keys import TokenKeys, Use
from poliqi.apps.testbench.checking import run_checks
from poliqi.apps.testbench.keychecks import KEY_CHECKS
from poliqi.apps.testbench.outcome import Verdict
from poliqi.apps.testbench.seams import KeyPair
from poliqi.apps.testbench.trialkeys import TrialKeys
from poliqi.base.errors import ConfigError, DataRefused, StoreError
from poliqi.base.ids import SaeId
from poliqi.base.secret import SecretBytes
from poliqi.edge.keyanswers import KeysNotReady

LIBRARIES = [Path("/usr/lib/softhsm/libsofthsm2.so"), Path("/usr/lib64/pkcs11/libsofthsm2.so")]
LIBRARY = next((path for path in LIBRARIES if path.exists()), None)
PIN = "7315"
ONE, OTHER = SaeId("one"), SaeId("other")
GRADE = {"grade": "its", "origin": "photons", "epsilon": 1e-10, "paths": [["leonardo", "bovisa"]]}


@pytest.fixture(scope="module")
def softhsm() -> Generator[Path]:
    """A folder of tokens for this module; the library reads where it is when it is loaded."""
    if LIBRARY is None or shutil.which("softhsm2-util") is None:
        pytest.skip("SoftHSM2 is not installed")
    if importlib.util.find_spec("pkcs11") is None:
        pytest.skip("python-pkcs11 is not installed (extra hsm)")
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        (Path(place) / "tokens").mkdir()
        conf = Path(place) / "softhsm2.conf"
        conf.write_text(f"directories.tokendir = {place}/tokens\nobjectstore.backend = file\n")
        patch.setenv("SOFTHSM2_CONF", str(conf))
        for label in ("app-one", "app-other"):
            line = ["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", "9999"]
            subprocess.run(line, check=True, capture_output=True)
        importlib.import_module("pkcs11").lib(
            str(LIBRARY)
        ).reinitialize()  # it may have been loaded for other tokens
        yield LIBRARY


def emptied(keys: TokenKeys) -> TokenKeys:
    with keys._calling("be emptied") as (_, session):
        for found in list(session.get_objects()):
            found.destroy()
    return keys


@pytest.fixture
def token(softhsm: Path) -> Generator[TokenKeys]:
    keys = emptied(TokenKeys(softhsm, "app-one", lambda: PIN))
    yield keys
    keys.close()


def key(name: str, size: int = 32) -> Key:
    return Key(name, SecretBytes(os.urandom(size)), GRADE)


def test_what_is_parked_comes_out_once_with_its_grade(token: TokenKeys) -> None:
    parked = key("k-1")
    bits = bytes(parked.value.view())
    token.park(OTHER, [parked], Use.FRESH)
    with pytest.raises(ValueError, match="taken or wiped"):
        parked.value.view()
    assert token.supply(OTHER).available_bytes == 32
    [got] = token.fresh(OTHER, 1, 32)
    assert (got.key_id, bytes(got.value.view()), got.grade) == ("k-1", bits, GRADE)
    assert token.supply(OTHER).available_bytes == 0
    with pytest.raises(KeysNotReady, match="load more"):
        token.fresh(OTHER, 1, 32)


def test_it_is_destroyed_in_the_token_before_it_is_given(token: TokenKeys, softhsm: Path) -> None:
    token.park(OTHER, [key("k-1")], Use.NAMED)
    token.named(OTHER, ["k-1"])
    with token._calling("be looked at") as (_, session):
        assert list(session.get_objects()) == []


def test_keys_outlive_the_application(token: TokenKeys, softhsm: Path) -> None:
    parked = key("k-1")
    bits = bytes(parked.value.view())
    token.park(OTHER, [parked], Use.NAMED)
    token.close()
    again = TokenKeys(softhsm, "app-one", lambda: PIN)
    assert bytes(again.named(OTHER, ["k-1"])[0].value.view()) == bits
    again.close()


def test_a_key_is_for_its_peer_and_its_use_alone(token: TokenKeys) -> None:
    token.park(OTHER, [key("k-1")], Use.NAMED)
    for peer, ids in ((SaeId("third"), ["k-1"]), (OTHER, ["k-2"]), (OTHER, ["k-1", "k-1"])):
        with pytest.raises(DataRefused):
            token.named(peer, ids)
    with pytest.raises(KeysNotReady):
        token.fresh(OTHER, 1, 32)
    assert len(token.named(OTHER, ["k-1"])) == 1


def test_a_name_is_not_put_there_twice(token: TokenKeys) -> None:
    token.park(OTHER, [key("k-1")], Use.NAMED)
    for keys in ([key("k-2"), key("k-1")], [key("k-2"), key("k-2")]):
        with pytest.raises(DataRefused, match="already"):
            token.park(OTHER, keys, Use.NAMED)
    with pytest.raises(DataRefused, match="'k-2'"):
        token.named(OTHER, ["k-2"])


def test_what_cannot_be_parked_is_refused_before_anything_is(token: TokenKeys) -> None:
    for wrong in (key("k-2", 7), key("k-2", 513), key(""), key("k" * 129)):
        with pytest.raises(DataRefused, match="takes 8 to 512 bytes"):
            token.park(OTHER, [key("k-1"), wrong], Use.FRESH)
    assert token.supply(OTHER).available_bytes == 0


def test_objects_of_others_are_left_alone(token: TokenKeys) -> None:
    with token._calling("take a guest in") as (p, session):
        session.create_object(
            {
                p.Attribute.CLASS: p.ObjectClass.SECRET_KEY,
                p.Attribute.KEY_TYPE: p.KeyType.GENERIC_SECRET,
                p.Attribute.LABEL: "k-1",
                p.Attribute.ID: b"\x01",
                p.Attribute.VALUE: bytes(32),
                p.Attribute.TOKEN: True,
            }
        )
    assert token.supply(OTHER).available_bytes == 0
    with pytest.raises(DataRefused):
        token.named(OTHER, ["k-1"])


def test_a_source_behind_fills_the_token_and_the_gaps(softhsm: Path) -> None:
    secret = os.urandom(32)
    token = emptied(TokenKeys(softhsm, "app-one", lambda: PIN, TrialKeys(secret, ONE)))
    other = TrialKeys(secret, OTHER)
    token.stock_up(OTHER, 2, 32)
    drawn = token.fresh(OTHER, 3, 32)
    assert [k.value for k in other.named(ONE, [k.key_id for k in drawn])] == [k.value for k in drawn]
    begun = other.fresh(ONE, 2, 32)
    token.fetch(OTHER, [begun[0].key_id])
    got = token.named(OTHER, [k.key_id for k in begun])
    assert [k.value for k in got] == [k.value for k in begun]
    token.close()


class Tokens:
    """Two tokens with a source behind each, half of the keys parked beforehand."""

    name = "tokens"
    description = "SoftHSM2"

    def __init__(self, library: Path) -> None:
        self.library = library

    @contextmanager
    def open_pair(self) -> Generator[KeyPair]:
        secret = os.urandom(32)
        stock = 256 << 10
        ends: list[Any] = [
            emptied(TokenKeys(self.library, label, lambda: PIN, TrialKeys(secret, sae, stock)))
            for label, sae in (("app-one", ONE), ("app-other", OTHER))
        ]
        ends[0].stock_up(OTHER, 4, 32)
        try:
            yield KeyPair(ends[0], ONE, ends[1], OTHER)
        finally:
            for end in ends:
                end.close()


def test_it_passes_the_conformance_of_key_sources(softhsm: Path) -> None:
    findings = run_checks(Tokens(softhsm), KEY_CHECKS)
    assert {finding.check: finding.text for finding in findings if finding.verdict is not Verdict.PASSED} == {}


def test_a_wrong_pin_and_a_missing_token_are_named_and_the_pin_is_not(softhsm: Path) -> None:
    for label, pin in (("app-one", "123456"), ("none", PIN)):
        with pytest.raises(StoreError, match=r"could not list its keys: .*; check the token") as caught:
            TokenKeys(softhsm, label, lambda pin=pin: pin).supply(OTHER)
        assert pin not in str(caught.value)


def test_without_a_source_behind_nothing_is_drawn(token: TokenKeys) -> None:
    with pytest.raises(ConfigError, match="no source stands behind"):
        token.stock_up(OTHER, 1, 32)
