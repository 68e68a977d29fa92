"""How secrets reach other programs: by a pipe or a FIFO, never by words or files."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from adapter_hosts import wait_until

from poliqi.apps.adapters.fifo import SecretFifo
from poliqi.apps.adapters.macsec import macsec_configuration
from poliqi.apps.adapters.programs import ask_program, tell_program, tell_twice
from poliqi.apps.adapters.stunnel import Stunnel
from poliqi.apps.adapters.wireguard import WireGuard
from poliqi.base.errors import ConfigError, DataRefused, LinkDown
from poliqi.base.secret import SecretBytes
from poliqi.edge.entropy import OperatingSystemEntropy
from poliqi.edge.keyanswers import Key

PUBLIC_KEY = "jEj0ZSnMIEB2CATPGstm1RGYw/d92ABijTt7bSdGBhk="
KEY_ID = "ad63c9d9-0d4d-4c0e-9a3e-0123456789ab"

FAKE_WG = """#!/bin/sh
echo "$@" >> {folder}/words
case "$1 $3 $5" in
"show endpoints ") printf '%s\\t10.9.0.2:51820\\n' "$PEER" ;;
"show preshared-keys ") printf '%s\\t(none)\\n' "$PEER" ;;
"show latest-handshakes ") printf '%s\\t0\\n' "$PEER" ;;
"show persistent-keepalive ") printf '%s\\toff\\n' "$PEER" ;;
"show private-key ") echo "$PEER" ;;
"set peer preshared-key") cat "$6" >> {folder}/secrets ;;
"set private-key "*) cat "$4" >> {folder}/secrets; exit $(cat {folder}/code) ;;
esac
"""


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WireGuard:
    program = tmp_path / "wg"
    program.write_text(FAKE_WG.format(folder=tmp_path))
    program.chmod(0o700)
    (tmp_path / "code").write_text("0")
    monkeypatch.setenv("PEER", PUBLIC_KEY)
    return WireGuard("wg0", PUBLIC_KEY, OperatingSystemEntropy(), [str(program)], clock=lambda: 1e9)


def test_a_program_reads_the_secret_and_its_caller_wipes_it(tmp_path: Path) -> None:
    secret = bytearray(b"a secret")
    tell_program(["sh", "-c", f"cat > {tmp_path}/got"], secret)
    assert (tmp_path / "got").read_bytes() == b"a secret"
    assert secret == bytes(8)


def test_a_script_finds_two_secrets(tmp_path: Path) -> None:
    tell_twice(f"cat $2 $1 > {tmp_path}/got", bytearray(b"one"), bytearray(b"two"))
    assert (tmp_path / "got").read_bytes() == b"twoone"


def test_a_script_comes_to_its_end_when_its_caller_is_killed(tmp_path: Path) -> None:
    call = (
        "from poliqi.apps.adapters.programs import tell_twice\n"
        f"tell_twice('cat $1; touch {tmp_path}/begun; sleep 0.2; cat $2 > {tmp_path}/got', "
        "bytearray(b'1'), bytearray(b'2'))"
    )
    caller = subprocess.Popen([sys.executable, "-c", call])
    wait_until((tmp_path / "begun").exists, 30)
    caller.kill()
    caller.wait()
    wait_until(lambda: (tmp_path / "got").exists() and (tmp_path / "got").read_bytes() == b"2")


def test_a_program_that_quotes_its_secret_is_not_quoted() -> None:
    with pytest.raises(ConfigError, match="exit code 1") as told:
        tell_program(["sh", "-c", "cat >&2; exit 1"], bytearray(b"a secret"))
    assert "a secret" not in str(told.value)


def test_a_program_that_is_not_there_or_hangs_is_told() -> None:
    with pytest.raises(ConfigError, match="is it installed"):
        ask_program(["/nonexistent/wg", "show"])
    with pytest.raises(ConfigError, match="is it installed"):
        tell_program(["/nonexistent/wg"], bytearray(1))
    with pytest.raises(ConfigError, match="no such thing"):
        ask_program(["sh", "-c", "echo no such thing >&2; exit 1"])
    with pytest.raises(LinkDown, match=r"within 0\.05 s"):
        ask_program(["sleep", "5"], timeout_s=0.05)
    with pytest.raises(LinkDown, match=r"within 0\.05 s"):
        tell_program(["sleep", "5"], bytearray(1), timeout_s=0.05)


def test_wireguards_keys_are_in_no_argument(fake: WireGuard, tmp_path: Path) -> None:
    fake.hold("k", SecretBytes(bytes(range(32))))
    fake._renew()
    given = (tmp_path / "secrets").read_text().split()
    # the key; then another private key and, last, the interface's own again
    assert given[0] == "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
    assert len(given) == 3
    assert given[2] == PUBLIC_KEY
    words = (tmp_path / "words").read_text()
    assert given[0] not in words
    assert given[1] not in words


def test_the_private_key_is_put_back_when_the_script_fails(fake: WireGuard, tmp_path: Path) -> None:
    (tmp_path / "code").write_text("1")
    with pytest.raises(ConfigError):
        fake._renew()
    assert (tmp_path / "secrets").read_text().split()[-1] == PUBLIC_KEY


@pytest.mark.parametrize("times", [["100", "100", "101"], ["100", "50"], ["0", "0", "7"]])
def test_another_handshake_is_waited_for_even_when_the_clock_was_set_back(
    fake: WireGuard, times: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = iter(times)
    monkeypatch.setattr(fake, "_handshake_s", lambda: int(next(told)))
    fake.hold("k", SecretBytes(bytes(32)))
    fake.use("k", is_starter=False)
    assert next(told, None) is None


def test_a_peer_that_was_set_up_anew_is_no_proof(fake: WireGuard, monkeypatch: pytest.MonkeyPatch) -> None:
    told = iter([100])
    monkeypatch.setattr(fake, "_handshake_s", lambda: next(told, 0))
    monkeypatch.setattr(fake, "_proof_s", 0.1)
    fake.hold("k", SecretBytes(bytes(32)))
    with pytest.raises(LinkDown, match="no handshake with key k"):
        fake.use("k", is_starter=False)


def test_a_peer_without_preshared_key_is_told(fake: WireGuard) -> None:
    assert "put `PresharedKey =`" in fake.open()[0]


def test_a_peer_that_is_not_there_is_told(fake: WireGuard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEER", PUBLIC_KEY.replace("j", "k"))
    with pytest.raises(ConfigError, match="has no peer"):
        fake.open()


def test_a_fifo_serves_every_reader_the_latest(tmp_path: Path) -> None:
    path = tmp_path / "psk"
    fifo = SecretFifo(path)
    fifo.open(bytearray(b"one"))
    try:
        assert stat.S_ISFIFO(path.lstat().st_mode)
        assert stat.S_IMODE(path.lstat().st_mode) == 0o600
        assert [path.read_bytes() for _ in range(20)] == [b"one"] * 20
        fifo.wait(19, 5)
        fifo.put(bytearray(b"two"))
        assert path.read_bytes() == b"two"
        with pytest.raises(LinkDown, match="nobody read it"):
            fifo.wait(21, 0.01)
    finally:
        fifo.close()
    assert not path.exists()


def test_many_readers_at_once_each_get_all_of_it_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "psk"
    fifo = SecretFifo(path)
    fifo.open(bytearray(b"x" * 1000))
    got: list[bytes] = []
    readers = [threading.Thread(target=lambda: got.append(path.read_bytes()), daemon=True) for _ in range(30)]
    try:
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(5)
        assert got
        assert sum(len(each) for each in got) % 1000 == 0
    finally:
        fifo.close()


def test_a_reader_that_goes_away_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "psk"
    fifo = SecretFifo(path)
    fifo.open(bytearray(b"one"))
    try:

        def come_and_go() -> bool:
            os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
            return fifo.count > 0

        wait_until(come_and_go)
        assert path.read_bytes() == b"one"
    finally:
        fifo.close()


def test_a_reader_that_waited_for_the_adapter_is_served(tmp_path: Path) -> None:
    path = tmp_path / "psk"
    os.mkfifo(path, 0o600)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(path.read_bytes()), daemon=True)
    reader.start()
    fifo = SecretFifo(path)
    fifo.open(bytearray(b"one"))
    reader.join(5)
    fifo.close()
    assert got == [b"one"]


def test_a_fifo_that_others_can_open_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "psk"
    os.mkfifo(path)
    path.chmod(0o666)
    fifo = SecretFifo(path)
    fifo.open(bytearray(b"one"))
    assert stat.S_IMODE(path.lstat().st_mode) == 0o600
    fifo.close()


def test_a_fifo_that_was_opened_to_others_serves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "psk"
    fifo = SecretFifo(path)
    fifo.open(bytearray(b"one"))
    try:
        path.chmod(0o666)
        assert path.read_bytes() == b""
        assert path.read_bytes() == b"one"
        assert stat.S_IMODE(path.lstat().st_mode) == 0o600
    finally:
        fifo.close()


def test_a_fifo_replaces_no_file(tmp_path: Path) -> None:
    path = tmp_path / "psk"
    path.write_text("mine")
    fifo = SecretFifo(path)
    with pytest.raises(ConfigError, match="is no FIFO"):
        fifo.open(bytearray(b"one"))
    assert path.read_text() == "mine"
    with pytest.raises(ConfigError, match="no FIFO can be made there"):
        SecretFifo(tmp_path / "missing" / "psk").open(bytearray())


def test_only_a_stunnel_is_signalled(tmp_path: Path) -> None:
    (tmp_path / "pid").write_text(f"{os.getpid()}\n")
    end = Stunnel(tmp_path / "psk", tmp_path / "pid", OperatingSystemEntropy(), is_client=False)
    try:
        # SIGHUP would end this process
        assert "stunnel does not run yet" in end.open()[0]
        with pytest.raises(LinkDown, match="does not run"):
            end.hold("k", SecretBytes(bytes(32)))
    finally:
        end.close()


def test_a_key_id_that_would_break_the_line_is_refused(tmp_path: Path) -> None:
    end = Stunnel(tmp_path / "psk", tmp_path / "pid", OperatingSystemEntropy(), is_client=False)
    for bad in ("a:b", "a\nb", "é"):
        with pytest.raises(ConfigError, match="cannot be an identity"):
            end.hold(bad, SecretBytes(bytes(32)))


def test_macsec_gets_the_key_under_its_name() -> None:
    key = Key(KEY_ID, SecretBytes(bytes(range(32))))
    lines = macsec_configuration(key, "eth1").decode().splitlines()
    assert "UNTESTED" in lines[0]
    assert f"    mka_cak={bytes(range(32)).hex()}" in lines
    assert "    mka_ckn=ad63c9d90d4d4c0e9a3e0123456789ab" in lines
    with pytest.raises(ValueError, match="wiped"):
        key.value.view()


@pytest.mark.parametrize(
    ("key_id", "size", "interface", "why"),
    [
        ("not-a-uuid", 32, "eth1", "is no UUID"),
        (KEY_ID, 16, "eth1", "has 16 bytes"),
        (KEY_ID, 32, "eth1\nnetwork={", "interface"),
    ],
)
def test_macsec_refuses_what_it_cannot_write(key_id: str, size: int, interface: str, why: str) -> None:
    with pytest.raises((ConfigError, DataRefused), match=why):
        macsec_configuration(Key(key_id, SecretBytes(bytes(size))), interface)
