"""Link states on disk for tests, with words that name themselves."""

from __future__ import annotations

from pathlib import Path

from poliqi.base.ids import BlockNumber, LinkId, Origin, Role
from poliqi.base.secret import SecretBytes
from poliqi.distill.outcome import HoldPending, SecretBlock
from poliqi.edge.pairfile import PairFile, write_private
from poliqi.edge.pairing import install_pair_file

LINK = LinkId("leonardo-bovisa")
WORDS = 32


def pad(sender: str, first: int, count: int) -> bytes:
    """Words that name themselves: `pad("alice", 7, 1)` is b"alice00000000007"."""
    return b"".join(f"{sender}{index:0{16 - len(sender)}d}".encode() for index in range(first, first + count))


def make_pair_file(path: Path, words: int = WORDS) -> Path:
    pads = SecretBytes(pad("alice", 0, words)), SecretBytes(pad("bob", 0, words))
    write_private(path, PairFile(LINK, "00112233aabbccdd", *pads).encode(), "pair file")
    return path


def make_state(folder: Path, role: Role = Role.ALICE, *, simulated: bool = True, words: int = WORDS) -> Path:
    """A state in `folder`, installed from a pair file that is gone afterwards."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    pair = make_pair_file(folder.parent / f"{folder.name}.pair", words)
    install_pair_file(pair, folder, role, simulated=simulated)
    return folder


def make_block(
    number: int,
    key: bytes = b"key material",
    *,
    refill: int = 2,
    first: int = WORDS,
    origin: Origin = Origin.SIMULATED,
    epsilon: float = 1e-10,
) -> HoldPending:
    """A block to hold, bringing `refill` words to each lane."""
    real = epsilon if origin is Origin.PHOTONS else None
    made = SecretBlock(LINK, BlockNumber(number), origin, SecretBytes(key), real, "wiesemann", 99)
    words = SecretBytes(pad("alice", first, refill)), SecretBytes(pad("bob", first, refill))
    return HoldPending(made, epsilon, *words)
