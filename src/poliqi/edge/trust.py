"""Which authenticator a session starts with, from what the state says of the pairing.

A link paired by hand uses its pads from the first word on. A link paired by public keys signs until its first
block brought pads. Alice has them from the moment she confirmed that block, and uses them from then on; Bob,
who then holds the block as pending at least, takes a hello under them as well as a signed one. Once he has
confirmed it, he knows that she has pads, and takes nothing else (docs/spec/pairing.md).
"""

from __future__ import annotations

from typing import Final

from poliqi.base.errors import ConfigError
from poliqi.base.ids import Role
from poliqi.distill.authenticate import WORD, Authenticator, OneTimeMac
from poliqi.distill.bootstrap import SignatureBootstrap
from poliqi.distill.outcome import PadCursor
from poliqi.edge.store import LinkStore

__all__ = ["EitherFirst", "authenticator_for"]

_PAD_TAG_BYTES: Final = 8 + WORD  # the word's index, the masked hash; a signature has 3309


def authenticator_for(store: LinkStore) -> Authenticator:
    """The authenticator of the next session. Raises KeyExhausted where the pads are used up."""
    link, status = store.link, store.status()
    if status.has_pads:
        return OneTimeMac(link.role, store.lanes())
    private, peer = store.signing_keys()
    if peer is None:
        raise ConfigError(f"link {link.link_id}: no peer is trusted yet; run `poliqi link pair trust`")
    signing = SignatureBootstrap(link.role, private, peer, capacity=link.capacity)
    if link.role is Role.BOB and status.pending:
        return EitherFirst(OneTimeMac(link.role, store.lanes()), signing)
    return signing


class EitherFirst:
    """Bob's authenticator while his first block is pending: Alice's first tag decides, by its length."""

    def __init__(self, pads: OneTimeMac, signing: SignatureBootstrap) -> None:
        self._pads = pads
        self._signing = signing
        self._chosen: Authenticator | None = None

    @property
    def _now(self) -> Authenticator:
        return self._chosen or self._signing

    @property
    def name(self) -> str:
        return self._now.name

    @property
    def one_block_only(self) -> bool:
        return self._now.one_block_only

    def begin(self, context: bytes, *, jump: bool) -> None:
        for each in self._each():
            each.begin(context, jump=jump)

    def absorb(self, sender: Role, frame: bytes) -> None:
        for each in self._each():
            each.absorb(sender, frame)

    def _each(self) -> tuple[Authenticator, ...]:
        return (self._pads, self._signing) if self._chosen is None else (self._chosen,)

    def seal(self) -> bytes:
        return self._now.seal()

    def check(self, tag: bytes) -> None:
        chosen = self._chosen or (self._pads if len(tag) == _PAD_TAG_BYTES else self._signing)
        chosen.check(tag)
        self._chosen = chosen  # a stranger's tag decides nothing

    def marks(self) -> list[PadCursor]:
        return self._pads.marks() if self._chosen is self._pads else []

    def refill_words(self) -> tuple[int, int]:
        return self._now.refill_words()

    def refill(self, alice: bytes, bob: bytes) -> None:
        for each in self._each():
            each.refill(alice, bob)

    def words_left(self) -> int | None:
        return self._now.words_left()

    def epsilon(self, more_bytes: int) -> float:
        return self._now.epsilon(more_bytes)
