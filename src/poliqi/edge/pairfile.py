"""The pair file: a link's first pads, made at one place and carried by hand to both (docs/spec/pairing.md).

Whoever copies it can forge both ends' tags for ever after: it is written for its owner alone, and wiped
when it has been installed.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from poliqi.base.errors import ConfigError, DataRefused, StoreError
from poliqi.base.ids import LinkId
from poliqi.base.secret import Entropy, SecretBytes
from poliqi.distill.authenticate import WORD
from poliqi.edge.linkname import check_link_id
from poliqi.edge.privatefile import read_private, write_private

__all__ = ["LEAST_WORDS", "MOST_WORDS", "PairFile", "check_link_id", "read_private", "wipe", "write_private"]

LEAST_WORDS: Final = 16
MOST_WORDS: Final = 1 << 16
_MAGIC: Final = b"POLIQI-PAIR 1\n"
_ID_BYTES: Final = 8
_DIGEST: Final = hashlib.sha256().digest_size
_LONGEST: Final = len(_MAGIC) + 1 + 64 + _ID_BYTES + 4 + 2 * WORD * MOST_WORDS + _DIGEST


@dataclass(frozen=True, slots=True)
class PairFile:
    """Pads of both lanes. `pair_id` is public: two ends that show the same one installed the same file."""

    link_id: LinkId
    pair_id: str
    alice: SecretBytes
    bob: SecretBytes

    @classmethod
    def make(cls, link_id: LinkId, words: int, entropy: Entropy) -> PairFile:
        """Draw fresh pads of `words` words of 16 bytes for each direction. Raises ConfigError."""
        if not LEAST_WORDS <= words <= MOST_WORDS:
            raise ConfigError(f"--words {words}: give {LEAST_WORDS} to {MOST_WORDS} words for each direction")
        size = WORD * words
        pads = SecretBytes(entropy.draw(size)), SecretBytes(entropy.draw(size))
        return cls(check_link_id(link_id), entropy.draw(_ID_BYTES).hex(), *pads)

    @property
    def words(self) -> int:
        """Words in each lane."""
        return len(self.alice) // WORD

    def encode(self) -> bytes:
        """The file's bytes."""
        name = self.link_id.encode()
        head = _MAGIC + bytes([len(name)]) + name + bytes.fromhex(self.pair_id) + self.words.to_bytes(4, "little")
        body = head + bytes(self.alice.view()) + bytes(self.bob.view())
        return body + hashlib.sha256(body).digest()

    @classmethod
    def decode(cls, data: bytes) -> PairFile:
        """Read a file's bytes. Raises DataRefused unless every byte is as the specification says."""
        if not data.startswith(_MAGIC):
            raise DataRefused("it is no pair file of version 1: its first line is not 'POLIQI-PAIR 1'")
        body, digest = data[:-_DIGEST], data[-_DIGEST:]
        if len(data) > _LONGEST or not hmac.compare_digest(hashlib.sha256(body).digest(), digest):
            raise DataRefused("its checksum does not fit: it was cut or damaged on the way; copy it again")
        at = len(_MAGIC) + 1 + (body[len(_MAGIC)] if len(body) > len(_MAGIC) else 0)
        start = at + _ID_BYTES + 4
        words = int.from_bytes(body[start - 4 : start], "little")
        if not LEAST_WORDS <= words <= MOST_WORDS or len(body) != start + 2 * WORD * words:
            raise DataRefused(f"it announces {words} words a direction and has {len(data)} bytes; make a new one")
        try:
            link_id = check_link_id(body[len(_MAGIC) + 1 : at].decode("ascii"))
        except (UnicodeDecodeError, ConfigError) as error:
            raise DataRefused(f"its link name cannot be used: {error}") from error
        half = start + WORD * words
        pads = SecretBytes(body[start:half]), SecretBytes(body[half:])
        return cls(link_id, body[at : at + _ID_BYTES].hex(), *pads)


def wipe(path: Path) -> None:
    """Overwrite a file with zeros and delete it. Flash and copying file systems may keep an old copy."""
    try:
        with path.open("r+b") as file:
            file.write(bytes(os.fstat(file.fileno()).st_size))
            file.flush()
            os.fsync(file.fileno())
        path.unlink()
    except OSError as error:
        raise StoreError(
            f"pair file {path} was installed but cannot be wiped: {error.strerror}; destroy it yourself"
        ) from error
