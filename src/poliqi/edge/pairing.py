"""First trust: how two ends that never spoke come to hold the same pads (docs/spec/pairing.md).

Either a pair file is carried by hand to both, or each end is given the other's ML-DSA-65 public key and
the first block, authenticated by signatures, fills the pads.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from contextlib import closing
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.base.ids import LinkId, Origin, Role
from poliqi.edge.linkrecord import LinkRecord, LinkStatus, read_signing_keys, read_status
from poliqi.edge.pads import extend_lane
from poliqi.edge.pairfile import LEAST_WORDS, MOST_WORDS, PairFile, check_link_id, read_private, wipe
from poliqi.edge.statefile import StateFile

__all__ = [
    "BY_HAND",
    "BY_SIGNATURE",
    "decode_public_key",
    "encode_public_key",
    "fingerprint",
    "install_pair_file",
    "link_status",
    "make_identity",
    "read_identity",
    "trust_peer",
]

BY_HAND: Final = "carried by hand"
BY_SIGNATURE: Final = "ML-DSA-65"
_KEY_LINE: Final = "poliqi-ml-dsa-65 1 "
_KEY_BYTES: Final = 1952
_RESERVE: Final = 64


def install_pair_file(path: Path, folder: Path, role: Role, *, simulated: bool, keep: bool = False) -> bool:
    """Make a state from a pair file, then wipe the file unless `keep`; whether others could read the file.

    Refuses where a state stands already: a pair file's words are used once, so a second state from the
    same file would use them again, and two tags under one word let anybody forge.
    """
    data, exposed = read_private(path, "pair file")
    try:
        pair = PairFile.decode(data)
    except DataRefused as error:
        raise DataRefused(f"pair file {path}: {error}") from error
    link = _record(pair.link_id, role, simulated, BY_HAND, pair.pair_id, pair.words)
    with closing(StateFile(folder, create=True)) as state, state.transaction():
        state.install_schema()
        _insert_link(state, link)
        extend_lane(state, Role.ALICE, pair.alice)
        extend_lane(state, Role.BOB, pair.bob)
    for pad in (pair.alice, pair.bob):
        pad.close()
    if not keep:
        wipe(path)
    return exposed


def make_identity(folder: Path) -> MLDSA65PublicKey:
    """The public key of this end; its private key is made in a new state unless one waits for a peer there."""
    try:
        return read_identity(folder)[0].public_key()
    except ConfigError:
        key = MLDSA65PrivateKey.generate()
    with closing(StateFile(folder, create=True)) as state, state.transaction():
        state.install_schema()
        state.run("INSERT INTO identity VALUES (1, ?, NULL)", (key.private_bytes_raw(),))
    return key.public_key()


def read_identity(folder: Path) -> tuple[MLDSA65PrivateKey, MLDSA65PublicKey | None]:
    """This end's key and its peer's, where it has been trusted. Raises ConfigError where there is none."""
    with closing(StateFile(folder, read_only=True)) as state:
        return read_signing_keys(state)


def trust_peer(
    folder: Path, peer: MLDSA65PublicKey, link_id: str, role: Role, *, simulated: bool, words: int
) -> LinkRecord:
    """Pair this end with the holder of a public key; the first block fills lanes of `words` words."""
    if not LEAST_WORDS <= words <= MOST_WORDS:
        raise ConfigError(f"--words {words}: give {LEAST_WORDS} to {MOST_WORDS} words for each direction")
    own = read_identity(folder)[0].public_key().public_bytes_raw()
    other = peer.public_bytes_raw()
    if own == other:
        raise ConfigError("this is the key of this end itself; give the one that the other end printed")
    lanes = (own, other) if role is Role.ALICE else (other, own)
    pair_id = hashlib.sha256(b"".join(lanes)).hexdigest()[:16]
    link = _record(check_link_id(link_id), role, simulated, BY_SIGNATURE, pair_id, words)
    with closing(StateFile(folder)) as state, state.transaction():
        if state.run("SELECT 1 FROM link"):
            raise ConfigError(f"state {folder} is paired already; a second link takes a folder of its own")
        _insert_link(state, link)
        state.run("UPDATE identity SET peer = ?", (other,))
    return link


def link_status(folder: Path) -> LinkStatus:
    """Figures of a state, also while a process uses it. Raises ConfigError where it is not paired."""
    with closing(StateFile(folder, read_only=True)) as state:
        return read_status(state)


def _record(link_id: LinkId, role: Role, simulated: bool, bootstrap: str, pair_id: str, words: int) -> LinkRecord:
    light = Origin.SIMULATED if simulated else Origin.PHOTONS
    return LinkRecord(link_id, role, light, bootstrap, pair_id, reserve=min(_RESERVE, words // 4), capacity=words)


def _insert_link(state: StateFile, link: LinkRecord) -> None:
    state.run(
        "INSERT INTO link (one, link_id, role, light, bootstrap, pair_id, reserve, capacity)"
        " VALUES (1, ?, ?, ?, ?, ?, ?, ?)",
        (
            link.link_id,
            link.role.value,
            link.light.value,
            link.bootstrap,
            link.pair_id,
            link.reserve,
            link.capacity,
        ),
    )


# ---------------------------------------------------------------- public keys as text


def encode_public_key(key: MLDSA65PublicKey) -> str:
    """One line of text for the other end."""
    return _KEY_LINE + base64.b64encode(key.public_bytes_raw()).decode() + "\n"


def decode_public_key(text: bytes) -> MLDSA65PublicKey:
    """Read the line. Raises DataRefused."""
    try:
        head, body = text[: len(_KEY_LINE)].decode("ascii"), text[len(_KEY_LINE) :].strip()
        raw = base64.b64decode(body, validate=True)
    except (UnicodeDecodeError, binascii.Error) as error:
        raise DataRefused(f"it is no public key file: {error}") from error
    if head != _KEY_LINE or len(raw) != _KEY_BYTES:
        raise DataRefused(f"it is no public key file: one line '{_KEY_LINE}...' of {_KEY_BYTES} bytes is needed")
    return MLDSA65PublicKey.from_public_bytes(raw)


def fingerprint(key: MLDSA65PublicKey) -> str:
    """SHA-256 of the key in groups of four, to be compared over the telephone."""
    digest = hashlib.sha256(key.public_bytes_raw()).hexdigest()
    return " ".join(digest[i : i + 4] for i in range(0, 64, 4))
