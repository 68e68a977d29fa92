"""Files between the applications of five real sites, each to each; large ones; what a line between two carries."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_saes import LiveSae, live_saes
from live_sites import live_city
from recording_relay import recording_relay
from transfer_rig import content

from bench.send import make_tree
from poliqi.apps.share.client import send
from poliqi.apps.share.receipt import Receipt
from poliqi.base.ids import SaeId
from poliqi.edge.network import Address

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SITES = ["aria", "bovisa", "intesa", "leonardo", "santabarbara"]


@pytest.fixture(scope="module")
def saes() -> Iterator[dict[str, LiveSae]]:
    """An application at each, with some key between any two."""
    pairs = list(itertools.combinations(SITES, 2))
    with live_city(SITES, pairs) as city:
        for one, other in pairs:
            city.block(f"{one}-{other}", 1, 1 << 16)
        with live_saes(city) as made:
            yield made


def give(one: LiveSae, other: LiveSae, path: Path, port: int | None = None) -> Receipt:
    """Send it from one to the other, or to whatever carries it there at `port`."""
    settings, keys = one.settings(), one.keys()
    peer = settings.peers[SaeId(other.name)]
    if port is not None:
        peer = dataclasses.replace(peer, address=Address("127.0.0.1", port))
    try:
        return send(settings, keys, peer, [path], patience_s=10.0)
    finally:
        keys.close()


def test_each_sends_to_each(saes: dict[str, LiveSae], tmp_path: Path) -> None:
    keys: list[str] = []
    for one, other in itertools.permutations(saes.values(), 2):
        folder = tmp_path / f"{one.name} {other.name}"
        (folder / "tree/empty").mkdir(parents=True)
        (folder / "tree/text").write_text(folder.name)
        (folder / "tree/data").write_bytes(os.urandom(200_000))
        (folder / "nothing").touch()
        (folder / "byte").write_bytes(b"\x00")
        for name in ("nothing", "byte", "tree"):
            receipt = give(one, other, folder / name)
            assert (receipt.sender, receipt.receiver) == (one.name, other.name)
            assert content(other.inbox / one.name / name) == content(folder / name)
            keys += receipt.key_ids
    assert len(set(keys)) == len(keys) >= 60
    for sae in saes.values():
        assert sorted(path.name for path in sae.inbox.iterdir() if not path.name.startswith(".")) == sorted(
            other.name for other in saes.values() if other is not sae
        )


def test_ten_thousand_files_past_one_who_listens(saes: dict[str, LiveSae], tmp_path: Path) -> None:
    marker = b"the plaintext that nobody on the line may see"
    tree, one, other = make_tree(tmp_path / "archive", 10_000), saes["leonardo"], saes["intesa"]
    (tree / marker.decode().replace(" ", "-")).write_bytes(marker * 100)
    (tree / "zz-large").write_bytes(marker * 20_000)
    with recording_relay(other.port) as relay:
        receipt = give(one, other, tree, relay.port)
        size = sum(path.stat().st_size for path in tree.rglob("*") if path.is_file())
        assert relay.seen_bytes > size
        for part in (marker, marker[:12], marker.replace(b" ", b"-"), b"archive", b"000042.bin"):
            assert not relay.holds(part)
    assert (receipt.files, receipt.size_bytes) == (10_002, size)
    assert content(other.inbox / one.name / "archive") == content(tree)


def test_one_gibibyte_with_holes(saes: dict[str, LiveSae], tmp_path: Path) -> None:
    path, one, other = tmp_path / "holes", saes["leonardo"], saes["bovisa"]
    with path.open("wb") as file:
        for place in range(0, 1 << 30, 1 << 26):
            file.seek(place + 12_345)
            file.write(os.urandom(100_000))
        file.truncate(1 << 30)
    assert give(one, other, path).size_bytes == 1 << 30
    came = other.inbox / one.name / "holes"
    with path.open("rb") as mine, came.open("rb") as theirs:
        while block := mine.read(1 << 22):
            assert theirs.read(len(block)) == block
        assert not theirs.read(1)
    came.unlink()
