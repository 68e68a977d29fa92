"""The key file: its bytes as specified, appended once, mended only where a crash explains it."""

from __future__ import annotations

import os
import struct
from contextlib import closing
from pathlib import Path

import pytest

from poliqi.base.errors import DataRefused, StoreError
from poliqi.base.ids import BlockNumber, LinkId, Origin
from poliqi.base.secret import SecretBytes
from poliqi.edge.keyfile import KeyFile, read_keys
from poliqi.edge.keysink import ConfirmedBlock

LINK = LinkId("east-west")
HEAD = b"POLIQI-KEYS 1 east-west\n"


def record(number: int, key: bytes, origin: int = 2) -> bytes:
    return number.to_bytes(8, "little") + bytes([origin]) + len(key).to_bytes(4, "little") + key


def block(number: int, key: bytes) -> ConfirmedBlock:
    return ConfirmedBlock(BlockNumber(number), Origin.SIMULATED, None, "wiesemann", SecretBytes(key))


def append(path: Path, number: int, key: bytes, *, recovering: int | None = None) -> None:
    keys = KeyFile(path, LINK, recovering=None if recovering is None else BlockNumber(recovering))
    try:
        keys.append(block(number, key))
    finally:
        keys.close()


def test_bytes_are_those_of_the_specification(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    append(path, 3, b"abc")
    append(path, 9, b"defgh")
    assert path.read_bytes() == HEAD + record(3, b"abc") + record(9, b"defgh")


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    append(path, 1, b"k")
    assert path.stat().st_mode & 0o777 == 0o600


def test_reader_gives_back_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    append(path, 3, b"abc")
    link, [found] = read_keys(path)
    assert (link, found.number, found.origin, found.key.take()) == (LINK, 3, Origin.SIMULATED, b"abc")


def test_appending_the_last_block_again_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    append(path, 3, b"abc")
    append(path, 3, b"abc")
    assert path.read_bytes() == HEAD + record(3, b"abc")


def test_an_older_block_cannot_follow(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    append(path, 3, b"abc")
    with pytest.raises(StoreError, match="block 2 cannot follow"):
        append(path, 2, b"abc")


@pytest.mark.parametrize("cut", range(1, 13 + 5))
def test_torn_record_of_the_recovered_block_is_replaced(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "keys"
    append(path, 3, b"abc")
    path.write_bytes(HEAD + record(3, b"abc") + record(4, b"defgh")[:-cut])
    append(path, 4, b"defgh", recovering=4)
    assert path.read_bytes() == HEAD + record(3, b"abc") + record(4, b"defgh")


def test_record_whose_key_was_not_flushed_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    append(path, 3, b"abc")
    path.write_bytes(HEAD + record(3, b"abc") + record(4, bytes(5)))
    append(path, 4, b"defgh", recovering=4)
    assert path.read_bytes() == HEAD + record(3, b"abc") + record(4, b"defgh")


def test_torn_record_that_no_crash_explains_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    append(path, 3, b"abc")
    data = path.read_bytes()
    path.write_bytes(data + b"x")
    with pytest.raises(StoreError, match="unexplained by a crash"):
        append(path, 4, b"d")
    assert path.read_bytes() == data + b"x"


def test_torn_first_line_is_finished(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    append(path, 1, b"k")
    path.write_bytes(HEAD[:9])
    append(path, 2, b"k")
    assert path.read_bytes() == HEAD + record(2, b"k")


def test_two_holders_of_one_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    first = KeyFile(path, LINK)
    try:
        with pytest.raises(StoreError, match="in use by another process"):
            KeyFile(path, LINK)
    finally:
        first.close()


def test_file_of_another_link_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    append(path, 1, b"k")
    with pytest.raises(StoreError, match="belongs to another link"):
        KeyFile(path, LinkId("north-south"))


def test_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    append(path, 1, b"k")
    path.chmod(0o644)
    with pytest.raises(StoreError, match="chmod 600"):
        KeyFile(path, LINK)


def test_device_and_symbolic_link_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.symlink_to("/dev/null")
    for name in (path, Path("/dev/null")):
        with pytest.raises(StoreError):
            KeyFile(name, LINK)


def test_full_disk_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = KeyFile(tmp_path / "keys", LINK)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    try:
        with pytest.raises(StoreError, match="No space left on device"):
            keys.append(block(1, b"k"))
    finally:
        keys.close()


@pytest.mark.parametrize("data", [b"", b"nonsense\n", b"POLIQI-KEYS 2 east-west\n", b"POLIQI-KEYS 1 east-west"])
def test_reader_refuses_what_is_no_key_file(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "keys"
    path.write_bytes(data)
    with pytest.raises(DataRefused, match="no key file"):
        read_keys(path)


@pytest.mark.parametrize("tail", [record(2, b"k"), record(9, b""), record(9, b"k", origin=7), struct.pack("<Q", 9)])
def test_reader_stops_at_the_first_record_that_is_not_sound(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "keys"
    path.write_bytes(HEAD + record(2, b"a") + tail)
    assert [r.number for r in read_keys(path)[1]] == [2]


@pytest.mark.parametrize("how", ["removed", "moved", "replaced"])
def test_a_file_taken_away_in_use_is_noticed_before_a_key_is_lost(tmp_path: Path, how: str) -> None:
    path = tmp_path / "keys"
    with closing(KeyFile(path, LINK)) as keys:
        keys.append(block(1, b"one"))
        if how == "removed":
            path.unlink()
        else:
            path.rename(tmp_path / "elsewhere")
        if how == "replaced":
            path.write_bytes(b"")
        with pytest.raises(StoreError, match="was moved or removed while in use"):
            keys.append(block(2, b"two"))
