"""The post-quantum secret of a pool: two sites agree on it with ML-KEM-1024, anew for every epoch.

Offer (public key), answer (ciphertext and tag), confirmation (tag). ML-KEM does not fail on a bad ciphertext, it
gives another secret (implicit rejection, FIPS 203, section 6.3), so each end proves by a tag over all that was said
that it has the same one (SP 800-227, key confirmation). The pool's secret goes into the tags: it ties the agreement
to this pool and finds mistakes. Who is at the other end is said by the stream's TLS alone: whoever holds a site's
private key is that site, here too. Nothing is negotiated: an offer of another algorithm is refused.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Annotated, Final, TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM1024PrivateKey, MLKEM1024PublicKey

from poliqi.base.errors import AuthenticationError, ProtocolError, StoreError
from poliqi.base.ids import KmeId, LinkId
from poliqi.base.secret import Entropy, SecretBytes
from poliqi.keys.combine import lengthed

__all__ = [
    "ALGORITHM",
    "KemAnswer",
    "KemConfirm",
    "KemInitiator",
    "KemOffer",
    "KemPlace",
    "KemResponder",
    "KemSecret",
]

ALGORITHM: Final = "ML-KEM-1024"
"""FIPS 203, category 5: a key agreement an epoch costs nothing, so the strongest set is taken."""
_SEED_BYTES: Final = 64
_PUBLIC_BYTES: Final = 1568
_CIPHER_BYTES: Final = 1568
_TAG_BYTES: Final = 32
_SECRET_BYTES: Final = 32
_TRANSCRIPT_BYTES: Final = 48
_BODY_BYTES: Final = 4096
_HASH: Final = "sha384"

Text = Annotated[str, msgspec.Meta(max_length=32)]
Tag = Annotated[bytes, msgspec.Meta(min_length=_TAG_BYTES, max_length=_TAG_BYTES)]


class _Body(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Base of the three messages, each the body of one `KemMessage`."""


class KemOffer(_Body, frozen=True, tag=0):
    """Step 0, from the initiator: what is offered, and a fresh public key."""

    algorithm: Text
    public_key: Annotated[bytes, msgspec.Meta(max_length=_PUBLIC_BYTES)]


class KemAnswer(_Body, frozen=True, tag=1):
    """Step 1, from the responder: a secret under that key, and proof that it is known."""

    ciphertext: Annotated[bytes, msgspec.Meta(max_length=_CIPHER_BYTES)]
    tag: Tag


class KemConfirm(_Body, frozen=True, tag=2):
    """Step 2, from the initiator: it has the same secret. Only after this may either end use it."""

    tag: Tag


class KemPlace(msgspec.Struct, frozen=True):
    """What the exchange is for. Both ends must say the same."""

    pool: LinkId
    epoch: int
    initiator: KmeId
    responder: KmeId


class KemSecret(msgspec.Struct, frozen=True):
    """32 bytes that both ends hold, and a digest of everything said to get them."""

    secret: SecretBytes
    transcript: bytes

    def to_keep(self) -> SecretBytes:
        """Both, one after the other, for a store."""
        return SecretBytes(bytes(self.secret.view()) + self.transcript)

    @classmethod
    def from_kept(cls, kept: SecretBytes) -> KemSecret:
        """What was kept. Raises StoreError where it has another size."""
        data = bytes(kept.view())
        if len(data) != _SECRET_BYTES + _TRANSCRIPT_BYTES:
            raise StoreError(f"a kept post-quantum secret has {len(data)} bytes, not 80: agree on a new epoch")
        return cls(SecretBytes(data[:_SECRET_BYTES]), data[_SECRET_BYTES:])


_M = TypeVar("_M", KemOffer, KemAnswer, KemConfirm)


def _decode(body: bytes, kind: type[_M]) -> _M:
    if len(body) > _BODY_BYTES:
        raise ProtocolError(f"a step of a key agreement has {len(body)} bytes; at most {_BODY_BYTES} are allowed")
    try:
        return msgspec.msgpack.decode(body, type=kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise ProtocolError(f"a step of a key agreement ({kind.__name__}) is not understood: {error}") from None


class _Schedule:
    """Transcript, secret and tags, from what both ends know at the end."""

    def __init__(
        self, place: KemPlace, offer: KemOffer, ciphertext: bytes, shared: bytes, pool_secret: bytes
    ) -> None:
        said = [
            b"poliqi kem 1",
            offer.algorithm.encode(),
            place.pool.encode(),
            place.epoch.to_bytes(8, "big"),
            place.initiator.encode(),
            place.responder.encode(),
            offer.public_key,
            ciphertext,
        ]
        self.transcript: Final = hashlib.sha384(lengthed(said)).digest()
        # HKDF-SHA384: the transcript is the salt, both secrets are the input
        self._root: Final = hmac.digest(self.transcript, lengthed([shared, pool_secret]), _HASH)

    def tag(self, speaker: bytes) -> bytes:
        key = self._expand(b"confirm")
        return hmac.digest(key, lengthed([speaker, self.transcript]), _HASH)[:_TAG_BYTES]

    def result(self) -> KemSecret:
        return KemSecret(SecretBytes(self._expand(b"secret")), self.transcript)

    def _expand(self, label: bytes) -> bytes:
        return hmac.digest(self._root, b"poliqi kem 1 " + label + b"\x01", _HASH)[:_SECRET_BYTES]


class KemInitiator:
    """The end that offers. One object an epoch."""

    def __init__(self, place: KemPlace, pool_secret: bytes, entropy: Entropy) -> None:
        self._place: Final = place
        self._pool_secret: Final = pool_secret
        self._private: MLKEM1024PrivateKey | None = MLKEM1024PrivateKey.from_seed_bytes(entropy.draw(_SEED_BYTES))
        self._offer: Final = KemOffer(ALGORITHM, self._private.public_key().public_bytes_raw())

    def offer(self) -> bytes:
        """The body of step 0."""
        return msgspec.msgpack.encode(self._offer)

    def finish(self, answer: bytes) -> tuple[bytes, KemSecret]:
        """The body of step 2, and the secret, from the body of step 1; once.

        Raises ProtocolError for an answer that is malformed or comes twice, AuthenticationError where the
        responder does not hold the same secret.
        """
        private, self._private = self._private, None
        if private is None:
            raise ProtocolError(f"epoch {self._place.epoch} of pool {self._place.pool} was answered before")
        message = _decode(answer, KemAnswer)
        if len(message.ciphertext) != _CIPHER_BYTES:
            raise ProtocolError(f"a ciphertext of {len(message.ciphertext)} bytes; {ALGORITHM} has {_CIPHER_BYTES}")
        shared = private.decapsulate(message.ciphertext)
        schedule = _Schedule(self._place, self._offer, message.ciphertext, shared, self._pool_secret)
        _check_tag(message.tag, schedule.tag(b"responder"), self._place)
        return msgspec.msgpack.encode(KemConfirm(schedule.tag(b"initiator"))), schedule.result()


class KemResponder:
    """The end that answers. One object an epoch. The library draws the encapsulation's randomness itself."""

    def __init__(self, place: KemPlace, pool_secret: bytes) -> None:
        self._place: Final = place
        self._pool_secret: Final = pool_secret
        self._schedule: _Schedule | None = None
        self._is_answered = False

    def answer(self, offer: bytes) -> bytes:
        """The body of step 1, once. Raises ProtocolError for an offer that is malformed, weaker or comes twice."""
        if self._is_answered:
            raise ProtocolError(f"epoch {self._place.epoch} of pool {self._place.pool} was offered before")
        message = _decode(offer, KemOffer)
        if message.algorithm != ALGORITHM:
            raise ProtocolError(f"key agreement {message.algorithm!r} is offered, only {ALGORITHM} is taken")
        try:
            public = MLKEM1024PublicKey.from_public_bytes(message.public_key)
        except ValueError:
            raise ProtocolError(f"{len(message.public_key)} bytes are no {ALGORITHM} public key") from None
        self._is_answered = True
        shared, ciphertext = public.encapsulate()
        schedule = _Schedule(self._place, message, ciphertext, shared, self._pool_secret)
        self._schedule = schedule
        return msgspec.msgpack.encode(KemAnswer(ciphertext, schedule.tag(b"responder")))

    def finish(self, confirm: bytes) -> KemSecret:
        """The secret, from the body of step 2, once.

        Raises ProtocolError out of turn, AuthenticationError where the initiator does not hold the same secret.
        """
        schedule, self._schedule = self._schedule, None
        if schedule is None:
            raise ProtocolError(
                f"a confirmation of epoch {self._place.epoch} of pool {self._place.pool} out of turn"
            )
        _check_tag(_decode(confirm, KemConfirm).tag, schedule.tag(b"initiator"), self._place)
        return schedule.result()


def _check_tag(tag: bytes, expected: bytes, place: KemPlace) -> None:
    if not hmac.compare_digest(tag, expected):
        message = f"epoch {place.epoch} of pool {place.pool}: the two ends do not hold the same secret"
        raise AuthenticationError(f"{message}; drop it and begin another epoch")
