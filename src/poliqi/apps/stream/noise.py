"""The Noise Protocol Framework, revision 34, for pattern KK with a pre-shared key and with a KEM beside the X25519.

Built on the primitives of `cryptography` alone. Section numbers are those of https://noiseprotocol.org/noise.html;
tokens `e1` and `ekem1` are of its extension "KEM-based Hybrid Forward Secrecy for Noise" (draft), here with
ML-KEM-768 (FIPS 203): the fresh KEM key and its ciphertext are encrypted and hashed, the secret is mixed in.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from poliqi.apps.stream.symmetric import SymmetricState
from poliqi.base.errors import AuthenticationError, ProtocolError

__all__ = [
    "KK_HFS",
    "KK_HFS_PSK0",
    "KK_PSK0",
    "NoiseHandshake",
    "Pattern",
    "Token",
]

_DH_BYTES: Final = 32
_TAG_BYTES: Final = 16
_KEM_PUBLIC_BYTES: Final = 1184
_KEM_CIPHER_BYTES: Final = 1088


class Token(StrEnum):
    """What a message pattern is made of (section 7)."""

    PSK = "psk"
    E = "e"
    E1 = "e1"
    EKEM1 = "ekem1"
    EE = "ee"
    ES = "es"
    SE = "se"
    SS = "ss"


@dataclass(frozen=True, slots=True)
class Pattern:
    """A handshake of two messages between parties that know each other's static key."""

    name: str
    """As it stands in the protocol's name, with the key agreements: "KKpsk0_25519"."""
    messages: tuple[tuple[Token, ...], tuple[Token, ...]]

    def protocol(self, hash_name: str = "SHA512") -> str:
        """The protocol's name, hashed into everything (section 8)."""
        return f"Noise_{self.name}_AESGCM_{hash_name}"

    @property
    def has_psk(self) -> bool:
        """Whether a pre-shared key goes in, and with it the rule of section 9.2 for `e`."""
        return Token.PSK in self.messages[0]


KK_PSK0: Final = Pattern("KKpsk0_25519", ((Token.PSK, Token.E, Token.ES, Token.SS), (Token.E, Token.EE, Token.SE)))
KK_HFS_PSK0: Final = Pattern(
    "KKhfs+psk0_25519+MLKEM768",
    ((Token.PSK, Token.E, Token.ES, Token.E1, Token.SS), (Token.E, Token.EE, Token.EKEM1, Token.SE)),
)
KK_HFS: Final = Pattern(
    "KKhfs_25519+MLKEM768",
    ((Token.E, Token.ES, Token.E1, Token.SS), (Token.E, Token.EE, Token.EKEM1, Token.SE)),
)


class NoiseHandshake:
    """One side of a handshake. The initiator writes, then reads; the responder reads, then writes.

    `ephemeral` and `kem` are fresh for every handshake; only the initiator has a `kem`. `psk`: 32 bytes.
    """

    __slots__ = (
        "_ephemeral",
        "_is_initiator",
        "_kem",
        "_messages",
        "_psk",
        "_remote",
        "_state",
        "_static",
        "_their",
        "_their_kem",
    )

    def __init__(
        self,
        pattern: Pattern,
        *,
        is_initiator: bool,
        prologue: bytes,
        static: X25519PrivateKey,
        remote: X25519PublicKey,
        ephemeral: X25519PrivateKey,
        psk: bytes | None = None,
        kem: MLKEM768PrivateKey | None = None,
        hash_name: str = "SHA512",
    ) -> None:
        if pattern.has_psk != (psk is not None) or len(psk or bytes(32)) != 32:
            raise ValueError(
                f"{pattern.name} takes {'a pre-shared key of 32 bytes' if pattern.has_psk else 'none'}"
            )
        self._is_initiator: Final = is_initiator
        self._static, self._remote, self._ephemeral, self._psk, self._kem = static, remote, ephemeral, psk, kem
        self._messages: Final = list(pattern.messages)
        self._their: X25519PublicKey | None = None
        self._their_kem: MLKEM768PublicKey | None = None
        self._state: Final = SymmetricState(pattern.protocol(hash_name))
        self._state.mix_hash(prologue)
        own, other = static.public_key().public_bytes_raw(), remote.public_bytes_raw()
        for public in (own, other) if is_initiator else (other, own):
            self._state.mix_hash(public)

    @property
    def hash(self) -> bytes:
        """The handshake hash: of everything said until now (section 11.2)."""
        return self._state.hash

    def split(self) -> tuple[bytes, bytes]:
        """After both messages: keys of the initiator's and of the responder's direction. Wipes what it can."""
        if self._messages:
            raise ValueError("a handshake is split after its last message")
        self._psk = self._kem = self._their_kem = None
        return self._state.split()

    def write(self, payload: bytes) -> bytes:
        """The next message."""
        out = bytearray()
        for token in self._messages.pop(0):
            match token:
                case Token.E:
                    public = self._ephemeral.public_key().public_bytes_raw()
                    out += public
                    self._mix_ephemeral(public)
                case Token.E1:
                    out += self._state.encrypt_and_hash(self._own_kem().public_key().public_bytes_raw())
                case Token.EKEM1:
                    if self._their_kem is None:
                        raise ValueError("a KEM ciphertext answers a KEM key")
                    secret, cipher = self._their_kem.encapsulate()
                    out += self._state.encrypt_and_hash(cipher)
                    self._state.mix_key(secret)
                case _:
                    self._mix(token)
        return bytes(out + self._state.encrypt_and_hash(payload))

    def read(self, message: bytes) -> bytes:
        """The payload of the other side's next message. Raises ProtocolError, AuthenticationError."""
        rest = message
        for token in self._messages.pop(0):
            match token:
                case Token.E:
                    public, rest = _cut(rest, _DH_BYTES)
                    self._their = X25519PublicKey.from_public_bytes(public)
                    self._mix_ephemeral(public)
                case Token.E1:
                    sealed, rest = _cut(rest, _KEM_PUBLIC_BYTES + _TAG_BYTES)
                    self._their_kem = _kem_key(self._state.decrypt_and_hash(sealed))
                case Token.EKEM1:
                    sealed, rest = _cut(rest, _KEM_CIPHER_BYTES + _TAG_BYTES)
                    self._state.mix_key(self._own_kem().decapsulate(self._state.decrypt_and_hash(sealed)))
                case _:
                    self._mix(token)
        return self._state.decrypt_and_hash(_cut(rest, len(rest), _TAG_BYTES)[0])

    def _own_kem(self) -> MLKEM768PrivateKey:
        if self._kem is None:
            raise ValueError("the initiator of a hybrid handshake, and only it, has a KEM key")
        return self._kem

    def _mix_ephemeral(self, public: bytes) -> None:
        self._state.mix_hash(public)
        if self._psk is not None:
            self._state.mix_key(public)

    def _mix(self, token: Token) -> None:
        """A key agreement, or the pre-shared key; the first letter is the initiator's key."""
        if token is Token.PSK:
            self._state.mix_key_and_hash(self._psk or b"")
            return
        ours, theirs = token.value if self._is_initiator else token.value[::-1]
        private = self._static if ours == "s" else self._ephemeral
        public = self._remote if theirs == "s" else self._their
        if public is None:
            raise ValueError("a handshake's messages are read and written in turn")
        try:
            self._state.mix_key(private.exchange(public))
        except ValueError:  # the peer's point is of small order
            raise AuthenticationError("the peer's X25519 key gives no secret: hang up") from None


def _cut(data: bytes, size: int, least: int = 0) -> tuple[bytes, bytes]:
    if len(data) < max(size, least):
        raise ProtocolError(f"a handshake message ends {max(size, least) - len(data)} bytes too early: hang up")
    return data[:size], data[size:]


def _kem_key(data: bytes) -> MLKEM768PublicKey:
    try:
        return MLKEM768PublicKey.from_public_bytes(data)
    except ValueError:
        raise ProtocolError("the peer's ML-KEM-768 key is none: hang up") from None
