"""Devices behind KeyDevice: another vendor's key management by both standards, a folder of files, files of code."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority
from fake_desk import fake_pair
from kme_fixture import KmePair, live_fake_pair, served

from poliqi.base.errors import ConfigError, LinkDown
from poliqi.edge.entropy import OperatingSystemEntropy
from poliqi.edge.sources.catalogue import BUILT_IN, device_names, opener_of
from poliqi.edge.sources.folder import FolderDevice
from poliqi.edge.streams import StreamService
from poliqi.edge.streams_http import StreamsApplication
from poliqi.edge.tls import TlsFiles
from poliqi.link.keydevice import DeviceKey, KeyDevice, Settling

STREAM = "11111111-2222-4333-8444-555555555555"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KmePair]:
    with live_fake_pair(tmp_path_factory.mktemp("kme")) as made:
        yield made


_opened: list[KeyDevice] = []


def opened(name: str, options: dict[str, Any], base: Path = Path("/")) -> KeyDevice:
    """A device that is let go of when the test is over."""
    device = opener_of(name, options, base)()
    _opened.append(device)
    return device


@pytest.fixture(autouse=True)
def _let_go() -> Iterator[None]:
    yield
    while _opened:
        _opened.pop().close()


def credentials(authority: Authority, pair: Any) -> dict[str, str]:
    return {"cert": str(pair.certificate), "key": str(pair.key), "ca": str(authority.path)}


def etsi014(pair: KmePair, own: str, other: str, **more: object) -> KeyDevice:
    options = {"url": f"https://{pair.addresses[pair.homes[own]]}", "other": other, **more}
    return opened("etsi014", options | credentials(pair.authority, pair.certificate(own)))


def bits(keys: list[DeviceKey] | list[DeviceKey | None]) -> list[bytes | None]:
    return [None if key is None else bytes(key.bits.view()) for key in keys]


# ---------------------------------------------------------------- ETSI 014


def test_keys_of_an_etsi_014_system_are_the_same_at_both_ends(pair: KmePair) -> None:
    lead, follow = etsi014(pair, "sae-a", "sae-b"), etsi014(pair, "sae-b", "sae-a")
    keys = lead.fresh(5, 1.0)
    names = [key.name for key in keys]
    assert len(set(names)) == 5
    assert {len(key.bits) for key in keys} == {32}
    again = follow.named([*names[:2], "8b3f0000-0000-8000-8000-000000000000", *names[2:]], 5.0)
    assert bits(again) == [*bits(keys[:2]), None, *bits(keys[2:])]


def test_keys_are_called_as_they_were_announced(pair: KmePair) -> None:
    lead, follow = etsi014(pair, "sae-a", "sae-b"), etsi014(pair, "sae-b", "sae-a")
    [key] = lead.fresh(1, 1.0)
    [same] = follow.named([key.name.upper()], 5.0)
    assert same is not None
    assert same.name == key.name.upper()
    assert bits([same]) == bits([key])


def test_an_empty_etsi_014_system_gives_no_keys_in_time(pair: KmePair) -> None:
    assert pair.sites is not None
    lead = etsi014(pair, "sae-a", "sae-b")
    stock, pair.sites.stock_bytes = pair.sites.stock_bytes, 0
    try:
        assert lead.fresh(1, 0.05) == []
    finally:
        pair.sites.stock_bytes = stock


def test_a_refused_pair_is_a_matter_of_configuration(pair: KmePair) -> None:
    assert pair.sites is not None
    pair.sites.ways = set()
    try:
        with pytest.raises(ConfigError):
            etsi014(pair, "sae-a", "sae-b").fresh(1, 0.1)
    finally:
        pair.sites.ways = None


def test_letting_go_ends_a_wait_in_another_thread(pair: KmePair) -> None:
    assert pair.sites is not None
    lead = etsi014(pair, "sae-a", "sae-b")
    stock, pair.sites.stock_bytes = pair.sites.stock_bytes, 0
    ended: list[type[Exception]] = []

    def wait() -> None:
        try:
            lead.fresh(1, 60.0)
        except Exception as error:
            ended.append(type(error))

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.1)
    lead.close()
    thread.join(10)
    pair.sites.stock_bytes = stock
    assert ended == [LinkDown]


# ---------------------------------------------------------------- ETSI 004


@pytest.fixture
def streams(tmp_path: Path) -> Iterator[dict[str, dict[str, Any]]]:
    """Settings of both ends of two sites' key streams."""
    authority = Authority(tmp_path)
    desks = fake_pair()
    services = [StreamService(desk, OperatingSystemEntropy()) for desk in desks]
    files = [authority.kme(desk.kme_id) for desk in desks]
    tls = [TlsFiles(f.certificate, f.key, authority.path) for f in files]
    with (
        served(StreamsApplication(services[0]), tls[0]) as (_, a, one),
        served(StreamsApplication(services[1]), tls[1]) as (_, b, two),
    ):
        yield {
            own: {"url": f"https://{where}", "own": own, "other": other, "stream": STREAM}
            | credentials(authority, authority.sae(own))
            for own, other, where in (("sae-a", "sae-b", a), ("sae-b", "sae-a", b))
        }
        one.run(services[0].close())
        two.run(services[1].close())


def test_both_ends_read_the_same_chunks_of_a_stream(streams: dict[str, dict[str, Any]]) -> None:
    lead = opened("etsi004", streams["sae-a"])
    assert lead.fresh(3, 0.05) == [], "the other end has not opened the stream"
    follow = opened("etsi004", streams["sae-b"])
    assert follow.named([], 0.0) == [], "nothing changes where all is well"
    keys = lead.fresh(4, 5.0)
    assert len({key.name for key in keys}) == 4
    assert bits(follow.named([key.name for key in keys], 5.0)) == bits(keys)


def test_an_end_that_starts_anew_calls_its_keys_otherwise(streams: dict[str, dict[str, Any]]) -> None:
    lead, follow = (opened("etsi004", streams[sae]) for sae in ("sae-a", "sae-b"))
    first = lead.fresh(1, 5.0)
    lead.close()
    lead = opened("etsi004", streams["sae-a"])
    second = lead.fresh(1, 5.0)
    assert second
    assert first[0].name.split(":")[1] != second[0].name.split(":")[1]
    assert bits(follow.named([second[0].name], 5.0)) == bits(second)


def test_names_of_another_stream_are_not_asked_for(streams: dict[str, dict[str, Any]]) -> None:
    follow = opened("etsi004", streams["sae-b"])
    names = [
        "",
        "x",
        f"{STREAM}:0:1",
        STREAM.replace("1", "2") + ":0000000000000000:1",
        f"{STREAM}:{'0' * 16}:9999999999",
    ]
    assert follow.named(names, 0.05) == [None] * 5


# ---------------------------------------------------------------- a folder


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    folder = tmp_path / "drop"
    folder.mkdir(mode=0o700)
    return folder


def put(folder: Path, name: str, data: bytes, age_s: int = 0) -> None:
    draft = folder / f".{name}.part"
    draft.write_bytes(data)
    os.utime(draft, (1_700_000_000 - age_s, 1_700_000_000 - age_s))
    draft.rename(folder / f"{name}.key")


def test_files_are_given_once_oldest_first_and_deleted_when_they_are_stored(drop: Path) -> None:
    device = opener_of("folder", {"folder": "drop"}, drop.parent)()
    put(drop, "young", b"y" * 32)
    put(drop, "old", b"o" * 32, age_s=60)
    assert [(k.name, bytes(k.bits.view())) for k in device.fresh(5, 0.0)] == [
        ("old", b"o" * 32),
        ("young", b"y" * 32),
    ]
    assert device.fresh(5, 0.0) == []
    assert sorted(p.name for p in drop.iterdir()) == ["old.key", "young.key"], "a crash now loses nothing"
    assert isinstance(device, Settling)
    device.settled(["old", "young", "never-there", "../old"])
    assert list(drop.iterdir()) == []


def test_the_following_end_waits_for_a_file(drop: Path) -> None:
    device = FolderDevice(drop)
    threading.Timer(0.15, put, (drop, "late", b"l" * 16)).start()
    found = device.named(["late", "never"], 0.5)
    assert [key and bytes(key.bits.view()) for key in found] == [b"l" * 16, None]


def test_what_is_no_key_file_is_left_where_it_lies(drop: Path, tmp_path: Path) -> None:
    outside = tmp_path / "secret"
    outside.write_bytes(b"s" * 32)
    (drop / "link.key").symlink_to(outside)
    os.mkfifo(drop / "pipe.key")
    (drop / "folder.key").mkdir()
    os.link(outside, drop / "twice.key")
    put(drop, "empty", b"")
    put(drop, "large", b"x" * ((1 << 20) + 1))
    put(drop, "bad name\n", b"x" * 32)
    (drop / "half.part").write_bytes(b"x" * 32)
    before = sorted(p.name for p in drop.iterdir())
    device = FolderDevice(drop)
    assert device.fresh(10, 0.0) == []
    assert (
        device.named(["link", "pipe", "folder", "twice", "empty", "large", "../secret", "half.part"], 0.0)
        == [None] * 8
    )
    assert sorted(p.name for p in drop.iterdir()) == before
    assert outside.read_bytes() == b"s" * 32
    assert "7 files in it are no keys" in device.description


@pytest.mark.parametrize("what", ["hard link", "symbolic link", "pipe", "another file", "folder"])
def test_what_took_the_name_of_a_stored_key_is_never_written_to(drop: Path, tmp_path: Path, what: str) -> None:
    """Whoever may write to the folder swaps a key's file while its block is under way."""
    other = tmp_path / "link.sqlite"
    other.write_bytes(b"s" * 64)
    device = FolderDevice(drop)
    put(drop, "a", b"k" * 32)
    assert [key.name for key in device.fresh(5, 0.0)] == ["a"]
    name = drop / "a.key"
    name.rename(drop / "away")  # its inode stays in use
    if what == "hard link":
        os.link(other, name)
    elif what == "symbolic link":
        name.symlink_to(other)
    elif what == "pipe":
        os.mkfifo(name)
    elif what == "another file":
        other.rename(name)
        reader = name.open("rb")
    else:
        name.mkdir()
    device.settled(["a"])
    device.settled(["a"])  # it counts as told, whatever became of it
    if what == "another file":
        assert reader.read() == b"s" * 64
        reader.close()
    else:
        assert other.read_bytes() == b"s" * 64
    assert name.is_dir() == (what == "folder")
    assert device.fresh(5, 0.0) == []
    assert ("cannot be deleted" in device.description) == (what == "folder")


def test_a_stored_key_of_an_earlier_life_is_overwritten_too(drop: Path) -> None:
    put(drop, "a", b"k" * 32)
    with (drop / "a.key").open("rb") as reader:
        FolderDevice(drop).settled(["a"])
        assert reader.read() == bytes(32)
    assert list(drop.iterdir()) == []


def test_a_folder_that_others_can_read_or_that_is_not_there_is_refused(drop: Path) -> None:
    drop.chmod(0o705)
    with pytest.raises(ConfigError, match="chmod"):
        FolderDevice(drop)
    with pytest.raises(ConfigError, match="No such file"):
        FolderDevice(drop / "no")


# ---------------------------------------------------------------- files of code

DRIVER = """
from poliqi.base.secret import SecretBytes
from poliqi.link.keydevice import DeviceKey
class Mine:
    description = "mine"
    def __init__(self, size): self.size = size
    def fresh(self, most, timeout_s): return [DeviceKey("a", SecretBytes(b"k" * self.size))]
    def named(self, names, timeout_s): return [None] * len(names)
    def close(self): pass
def open_device(options): return Mine(options["size"])
"""


def test_a_file_of_code_is_a_device(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(DRIVER)
    device = opener_of("mine.py", {"size": 24}, tmp_path)()
    assert [len(key.bits) for key in device.fresh(1, 0.0)] == [24]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("x = 1", "no function open_device"),
        ("1 / 0", "ZeroDivisionError"),
        ("def open_device(options): return 5", "no description, fresh, named, close"),
        ("def open_device(options): return options['size']", "KeyError"),
    ],
)
def test_a_file_that_is_no_device_says_why(tmp_path: Path, code: str, words: str) -> None:
    (tmp_path / "mine.py").write_text(code)
    with pytest.raises(ConfigError, match=words):
        opener_of("mine.py", {}, tmp_path)()


def test_devices_that_are_not_there_are_named(tmp_path: Path) -> None:
    assert set(BUILT_IN) <= set(device_names())
    with pytest.raises(ConfigError, match="etsi014"):
        opener_of("qkd-box", {}, tmp_path)
    with pytest.raises(ConfigError, match="no Python file"):
        opener_of("nowhere.py", {}, tmp_path)
    with pytest.raises(ConfigError, match="folder"):
        opener_of("folder", {}, tmp_path)
    with pytest.raises(ConfigError, match="isolated"):
        opener_of("qsn", {"address": "192.0.2.7:6352"}, tmp_path)()
