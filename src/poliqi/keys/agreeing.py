"""Post-quantum secrets with every peer: agreed on at each connection, used where the policy asks for a combiner."""

from __future__ import annotations

from typing import Final

from poliqi.base.errors import ProtocolError
from poliqi.base.ids import KmeId
from poliqi.keys.desk_state import DeskState, EventKind
from poliqi.keys.kem import KemInitiator, KemPlace, KemResponder, KemSecret
from poliqi.keys.marks import SecretKept
from poliqi.keys.messages import KemMessage
from poliqi.keys.peer import PeerLink
from poliqi.keys.stock import Pool

__all__ = ["Agreements"]

_EPOCH_S: Final = 3600.0


class Agreements:
    """The key agreements of one site. The end whose name sorts first offers."""

    def __init__(self, state: DeskState) -> None:
        self._s: Final = state
        self._offered: Final[dict[KmeId, tuple[int, KemInitiator]]] = {}
        self._answered: Final[dict[KmeId, tuple[int, KemResponder]]] = {}
        self._since: Final[dict[KmeId, float]] = {}

    def tick(self, link: PeerLink, now: float) -> None:
        """Offer a new epoch where none is in force yet, or the last is an hour old."""
        s = self._s
        is_due = not link.kem_epoch or now - self._since.get(link.kme, now) > _EPOCH_S
        if s.own > link.kme or not link.is_live or not is_due or link.kme in self._offered:
            return
        found = self._pool(link)
        if found is None:
            return
        epoch = 1 + (int.from_bytes(s.entropy.draw(4), "big") >> 1)  # a site set back must not name one again
        initiator = KemInitiator(self._place(link, found, epoch), found.secret or b"", s.entropy)
        self._offered[link.kme] = (epoch, initiator)
        link.send(KemMessage(epoch, 0, initiator.offer()), s.ledger.emitted)

    def _pool(self, link: PeerLink) -> Pool | None:
        """The pool whose secret goes into the agreement: the first by name of those that both ends know."""
        shared = [pool for pool in self._s.pools_to[link.kme] if pool.link_id in link.pools]
        pools = sorted(shared, key=lambda pool: pool.link_id)
        return pools[0] if pools and pools[0].secret is not None else None

    def _place(self, link: PeerLink, pool: Pool, epoch: int) -> KemPlace:
        first, second = sorted((self._s.own, link.kme))
        return KemPlace(pool.link_id, epoch, first, second)

    def heed(self, link: PeerLink, message: KemMessage, now: float) -> None:
        """A step from the peer. Raises ProtocolError, AuthenticationError: drop the stream."""
        s = self._s
        pool = self._pool(link)
        if message.step == 0 and s.own > link.kme:
            if pool is None or pool.secret is None:
                return
            if (link.kme, message.epoch) in s.kem_secrets:
                raise ProtocolError(f"{link.kme} offers epoch {message.epoch}, which is in use")
            responder = KemResponder(self._place(link, pool, message.epoch), pool.secret)
            self._answered[link.kme] = (message.epoch, responder)
            link.send(KemMessage(message.epoch, 1, responder.answer(message.body)), s.ledger.emitted)
        elif message.step == 1 and self._offered.get(link.kme, (0,))[0] == message.epoch:
            _, initiator = self._offered.pop(link.kme)
            body, secret = initiator.finish(message.body)
            self._keep(link, message.epoch, secret, now)
            link.send(KemMessage(message.epoch, 2, body), s.ledger.emitted)
        elif message.step == 2 and self._answered.get(link.kme, (0,))[0] == message.epoch:
            _, responder = self._answered.pop(link.kme)
            self._keep(link, message.epoch, responder.finish(message.body), now)
        else:
            raise ProtocolError(f"{link.kme} sends step {message.step} of a key agreement out of turn")

    def _keep(self, link: PeerLink, epoch: int, secret: KemSecret, now: float) -> None:
        s = self._s
        s.kem_secrets[link.kme, epoch] = secret
        s.ledger.write(SecretKept(link.kme, f"kem {epoch}", secret.to_keep()))
        link.kem_epoch = epoch
        self._since[link.kme] = now
        s.tell(EventKind.KEM_AGREED, f"post-quantum secret {epoch} agreed with {link.kme}", link.kme)
        used = {run.kem_epoch for run in s.runs if run.peer == link.kme}
        for old in [number for peer, number in s.kem_secrets if peer == link.kme and number != epoch]:
            if old not in used:
                s.kem_secrets.pop((link.kme, old)).secret.close()
                s.ledger.write(SecretKept(link.kme, f"kem {old}", None))

    def peer_lost(self, link: PeerLink) -> None:
        """What was begun is forgotten; the next connection agrees anew."""
        self._offered.pop(link.kme, None)
        self._answered.pop(link.kme, None)
        link.kem_epoch = 0
