"""KEKs in files: private, whole or not there, destroyed for good; zeroising needs nothing else."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest
from key_stores import ingested

from poliqi.base.errors import StoreError
from poliqi.base.secret import SecretBytes
from poliqi.edge.kek import FileKek, kek_name, zeroise
from poliqi.edge.keystore import KeyStore
from poliqi.edge.sealing import EpochSeal

ONE, OTHER = b"1" * 16, b"2" * 16


def made(tmp_path: Path, *epochs: int) -> FileKek:
    kek = FileKek(tmp_path / "kek")
    for epoch in epochs:
        kek.create(ONE, epoch)
    return kek


def test_a_kek_is_32_private_bytes(tmp_path: Path) -> None:
    made(tmp_path, 1, 2)
    first, second = sorted((tmp_path / "kek").iterdir())
    assert first.name == kek_name(ONE, 1) == "kek-31313131313131313131313131313131-1"
    assert len(first.read_bytes()) == len(second.read_bytes()) == 32
    assert first.read_bytes() != second.read_bytes()
    assert stat.S_IMODE(first.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "kek").stat().st_mode) == 0o700


def test_what_one_kek_wraps_only_it_unwraps(tmp_path: Path) -> None:
    kek = made(tmp_path, 1, 2)
    wrapped = kek.wrap(ONE, 1, SecretBytes(b"k" * 32), b"here")
    assert bytes(kek.unwrap(ONE, 1, wrapped, b"here").view()) == b"k" * 32
    assert b"k" * 8 not in wrapped
    for epoch, place in ((2, b"here"), (1, b"there")):
        with pytest.raises(StoreError, match="does not open under KEK"):
            kek.unwrap(ONE, epoch, wrapped, place)
    with pytest.raises(StoreError, match="does not open under KEK"):
        kek.unwrap(ONE, 1, wrapped[:5], b"here")


def test_stores_are_told_apart(tmp_path: Path) -> None:
    kek = made(tmp_path, 1)
    kek.create(OTHER, 5)
    (tmp_path / "kek" / "notes.txt").touch()
    assert (kek.epochs(ONE), kek.epochs(OTHER)) == ({1}, {5})
    assert FileKek(tmp_path / "none").epochs(ONE) == set()


def test_a_kek_is_never_replaced(tmp_path: Path) -> None:
    kek = made(tmp_path, 1)
    before = (tmp_path / "kek" / kek_name(ONE, 1)).read_bytes()
    with pytest.raises(StoreError, match="cannot be written"):
        kek.create(ONE, 1)
    assert (tmp_path / "kek" / kek_name(ONE, 1)).read_bytes() == before


def test_the_bytes_are_overwritten_before_the_name_goes(tmp_path: Path) -> None:
    kek = made(tmp_path, 1)
    path = tmp_path / "kek" / kek_name(ONE, 1)
    before = path.read_bytes()
    second_name = tmp_path / "second-name"
    second_name.hardlink_to(path)
    kek.destroy(ONE, 1)
    assert not path.exists()
    assert second_name.read_bytes() != before
    assert kek.epochs(ONE) == set()
    kek.destroy(ONE, 1)  # again: nothing happens


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_kek_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    kek = made(tmp_path, 1)
    path = tmp_path / "kek" / kek_name(ONE, 1)
    path.chmod(mode)
    with pytest.raises(StoreError, match=f"chmod 600 {path}"):
        kek.wrap(ONE, 1, SecretBytes(b"k" * 32), b"")


def test_a_short_kek_is_damaged(tmp_path: Path) -> None:
    kek = made(tmp_path, 1)
    (tmp_path / "kek" / kek_name(ONE, 1)).write_bytes(b"short")
    with pytest.raises(StoreError, match="5 bytes instead of 32"):
        kek.wrap(ONE, 1, SecretBytes(b"k" * 32), b"")


def test_an_epoch_key_that_came_from_disk_does_not_seal(tmp_path: Path) -> None:
    old = EpochSeal(ONE, 1, SecretBytes(b"k" * 32), fresh=False)
    with pytest.raises(ValueError, match="only opens"):
        old.seal("secret", b"value")


# ---------------------------------------------------------------- zeroise


def store(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path / "store", FileKek(tmp_path / "kek"), create=True)


def test_zeroising_a_running_store_ends_it_for_good(tmp_path: Path) -> None:
    running = store(tmp_path)
    instance = running.load().instance
    running.apply([ingested(1)])
    assert zeroise(tmp_path / "store", FileKek(tmp_path / "kek")) == [kek_name(instance, 1)]
    with pytest.raises(StoreError, match="KEK of epoch 1 is gone"):
        running.rotate()
    running.close()
    assert list((tmp_path / "kek").iterdir()) == []
    with pytest.raises(StoreError, match="was zeroised"):
        store(tmp_path).load()


def test_a_renewal_that_meets_the_zeroising_leaves_no_kek(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    running = store(tmp_path)
    running.load()
    real = FileKek.create

    def zeroised_meanwhile(self: FileKek, instance: bytes, epoch: int) -> None:
        zeroise(tmp_path / "store", FileKek(tmp_path / "kek"))
        real(self, instance, epoch)

    monkeypatch.setattr(FileKek, "create", zeroised_meanwhile)
    with pytest.raises(StoreError, match="was zeroised"):
        running.rotate()
    running.close()
    assert list((tmp_path / "kek").iterdir()) == []


def test_zeroising_needs_no_database(tmp_path: Path) -> None:
    running = store(tmp_path)
    running.load()
    running.close()
    (tmp_path / "store" / "keys.sqlite").write_bytes(b"broken")
    assert len(zeroise(tmp_path / "store", FileKek(tmp_path / "kek"))) == 1
    assert zeroise(tmp_path / "no such folder", FileKek(tmp_path / "kek")) == []


def test_a_half_made_kek_is_destroyed_too(tmp_path: Path) -> None:
    kek = made(tmp_path, 1)
    (tmp_path / "kek" / f"{kek_name(ONE, 2)}.new").write_bytes(b"k" * 32)
    assert len(zeroise(tmp_path, kek)) == 2
    assert list((tmp_path / "kek").iterdir()) == []


def test_a_kek_that_stays_is_named(tmp_path: Path) -> None:
    made(tmp_path, 2)
    (tmp_path / "kek" / kek_name(ONE, 1)).mkdir()
    with pytest.raises(StoreError, match=r"could not be destroyed: .*; destroy its medium by hand"):
        zeroise(tmp_path, FileKek(tmp_path / "kek"))
    assert [path.name for path in (tmp_path / "kek").iterdir()] == [kek_name(ONE, 1)]  # all the others are gone


MEMORY = """
import resource
from poliqi.edge.memory import forbid_core_dumps, lock_memory
problem, forbidden = lock_memory(), forbid_core_dumps()
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(problem is None, int(status["VmLck"].split()[0]) > 0, forbidden, resource.getrlimit(resource.RLIMIT_CORE))
try:
    open("/proc/self/mem", "rb").close()
    print("open")
except PermissionError:
    print("closed")
"""


def test_memory_is_locked_and_no_core_is_written() -> None:
    said = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    locked, counted, *rest = said[0].split(" ", 3)
    assert locked == counted
    assert rest == ["True", "(0, 0)"]
