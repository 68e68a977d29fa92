"""First trust without a file carried by hand: ML-DSA-65 signatures authenticate one block.

A forger would have to break ML-DSA (FIPS 204) while the block is made; the block's key is
information-theoretically secure ever after. The ledger says that this trust is computational.
"""

from __future__ import annotations

import hashlib
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey

from poliqi.base.errors import AuthenticationError
from poliqi.base.ids import Role
from poliqi.distill.authenticate import feed
from poliqi.distill.outcome import PadCursor

__all__ = ["SignatureBootstrap"]

_LABEL: Final = b"poliqi bootstrap 1"


class SignatureBootstrap:
    """Authenticator of an unpaired link: SHA-384 of each direction's transcript, signed with ML-DSA-65."""

    name = "ML-DSA-65 signatures (computational, first block only)"
    one_block_only = True

    def __init__(
        self, role: Role, private_key: MLDSA65PrivateKey, peer_public_key: MLDSA65PublicKey, *, capacity: int
    ) -> None:
        self._role: Final = role
        self._private: Final = private_key
        self._peer: Final = peer_public_key
        self._capacity: Final = capacity
        self._hashes = {role: hashlib.sha384() for role in Role}

    def begin(self, context: bytes, *, jump: bool) -> None:  # noqa: ARG002 (no pad to place)
        for role in Role:
            self._hashes[role] = hashlib.sha384(_LABEL + role.encode())
            feed(self._hashes[role].update, context)

    def absorb(self, sender: Role, frame: bytes) -> None:
        feed(self._hashes[sender].update, frame)

    def seal(self) -> bytes:
        return self._private.sign(self._hashes[self._role].digest(), _LABEL)

    def check(self, tag: bytes) -> None:
        try:
            self._peer.verify(tag, self._hashes[self._role.peer].digest(), _LABEL)
        except InvalidSignature as error:
            raise AuthenticationError("the peer's ML-DSA-65 signature does not fit what was received") from error

    def marks(self) -> list[PadCursor]:
        return []

    def refill_words(self) -> tuple[int, int]:
        return self._capacity, self._capacity

    def refill(self, alice: bytes, bob: bytes) -> None:
        """The store makes the lanes; this session ends here."""

    def words_left(self) -> int | None:
        return None

    def epsilon(self, more_bytes: int) -> float:  # noqa: ARG002 (a signature's strength is computational)
        return 0.0
