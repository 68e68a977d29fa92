"""Relay inside a site: orders for its own virtual pools, parcels of others on their way, blocks that arrive.

The rules of the way are relay.py's; here key is taken for hops, once, and blocks enter the stock. A block that came
by relay is used only after both ends found its segments equal, like any other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from poliqi.base.errors import AuthenticationError, DataRefused
from poliqi.base.ids import KmeId, LinkId
from poliqi.base.secret import SecretBytes
from poliqi.keys.desk_state import DeskState, EventKind
from poliqi.keys.grade import Grade, weakest
from poliqi.keys.hopkeys import HopKeys
from poliqi.keys.meeting import Meetings
from poliqi.keys.messages import Gone, ParcelMessage
from poliqi.keys.parities import Parities
from poliqi.keys.peer import PeerLink
from poliqi.keys.relay import (
    Onward,
    add_hop,
    block_grade,
    check_order,
    check_parcel,
    forward,
    open_parcel,
    pad_bytes,
    plan_shares,
    send_share,
)
from poliqi.keys.relay_gather import Gathered, Gathering
from poliqi.keys.relay_messages import (
    MAX_SECRET_BYTES,
    VERSION,
    HopGrade,
    Parity,
    ParityCall,
    RelayMessage,
    RelayOrder,
    RelayParcel,
    RelayReady,
    RelayRefusal,
    RelayStored,
    Scheme,
    decode_relay,
    encode_relay,
    path_of,
)
from poliqi.keys.requests import Block
from poliqi.keys.segment import cut

__all__ = ["RelayRoute", "Relays"]

_PATIENCE_S: Final = 20.0
_ANSWER_S: Final = 10.0
"""An order that is not done by then is given up: a relay on its way is gone."""
_REROUTED_S: Final = 0.5
"""An order whose way is no longer in use is given so long to arrive all the same."""
_PAUSE_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class RelayRoute:
    """How a virtual pool is filled from this end: a block of `block_bytes` at a time over `paths`."""

    pool: LinkId
    to: KmeId
    scheme: Scheme
    threshold: int
    paths: tuple[tuple[KmeId, ...], ...]
    block_bytes: int
    parity: bool = False
    """Relays send parities straight to the end instead of passing shares on."""


@dataclass(slots=True)
class _Sent:
    """An order of one's own on its way."""

    order: RelayOrder
    secret: SecretBytes
    since: float
    parity: bool
    has_left: bool = False
    hops: list[Grade] = field(default_factory=list[Grade])
    """What the key of the first hops was."""


class Relays:
    """Everything that a site does with relay."""

    def __init__(self, state: DeskState, meetings: Meetings) -> None:
        self._s: Final = state
        self._meetings: Final = meetings
        self.routes: tuple[RelayRoute, ...] = ()
        """How virtual pools are filled from this end."""
        self._hops: Final = HopKeys(state)
        self._parities: Final = Parities(state, self._hops)
        self._gathering: Final = Gathering(state.own, patience_s=_PATIENCE_S)
        self._sent: Final[dict[bytes, _Sent]] = {}
        meetings.is_awaited = lambda block: block in self._sent
        self._not_before: Final[dict[LinkId, float]] = {}

    # ---------------------------------------------------------------- one's own orders

    def tick(self, now: float) -> None:
        """Begin orders for pools that run low, give up those that took too long, store what lingered."""
        for block, sent in list(self._sent.items()):
            if now - sent.since > _ANSWER_S:
                self._give_up(block, "no answer in time", now)
            elif now - sent.since > _REROUTED_S and not self._is_in_use(sent.order):
                self._give_up(block, "its way is no longer in use", now)
                self._not_before.pop(LinkId(sent.order.pool), None)
        for route in self.routes:
            pool = self._s.stock.pools[route.pool]
            is_open = any(sent.order.pool == route.pool for sent in self._sent.values())
            if pool.own_bytes < pool.low_water and not is_open and now >= self._not_before.get(route.pool, 0.0):
                self._begin(route, now)
        gathered, lost = self._gathering.tick(now)
        for found in gathered:
            self._store(found)
        for order in lost:
            ways = "; ".join(" ".join(path) for path in order.missing)
            self._s.tell(
                EventKind.RELAY_REFUSED, f"a relayed block from {order.order.origin} never came over {ways}"
            )

    def _is_in_use(self, order: RelayOrder) -> bool:
        """Whether the order's way is one that is to be used; a stock with no route now keeps what is under way."""
        ways = [route.paths for route in self.routes if route.pool == order.pool]
        return not ways or tuple(tuple(KmeId(site) for site in path) for path in order.paths) in ways

    def _begin(self, route: RelayRoute, now: float) -> None:
        s = self._s
        self._not_before[route.pool] = now + _PAUSE_S
        link = s.links[route.to]
        if not link.is_live or s.stock.pools[route.pool].secret is None:
            return
        order = RelayOrder(
            VERSION,
            s.entropy.draw(16),
            route.pool,
            s.own,
            route.to,
            route.scheme,
            route.threshold,
            tuple(tuple(path) for path in route.paths),
            route.block_bytes,
        )
        try:
            check_order(order, frozenset(s.policy.rule.never_through))
        except DataRefused as error:
            s.tell(EventKind.RELAY_REFUSED, str(error))
            self._not_before[route.pool] = now + _PATIENCE_S
            return
        self._sent[order.block] = _Sent(order, SecretBytes(s.entropy.draw(order.size)), now, route.parity)
        self._send(link, order)

    def _send(self, link: PeerLink, message: RelayMessage) -> None:
        """Everything that came before must be durable first."""
        link.send(ParcelMessage(encode_relay(message)), self._s.ledger.emitted)

    def _give_up(self, block: bytes, why: str, now: float) -> None:
        sent = self._sent.pop(block, None)
        if sent is not None:
            sent.secret.close()
            self._disown(self._s.links[KmeId(sent.order.destination)], block)
            self._not_before[LinkId(sent.order.pool)] = now + 5 * _PAUSE_S
            text = f"a relay to {sent.order.destination} was given up: {why}"
            self._s.tell(EventKind.RELAY_REFUSED, text)

    def _leave(self, sent: _Sent, now: float) -> None:
        """The destination is ready: one parcel on every path. What was taken before a failure is burnt."""
        order = sent.order
        sent.has_left = True
        if sent.parity:
            self._call(sent, now)
            return
        shares = plan_shares(order, sent.secret, self._s.entropy)
        for number, share in enumerate(shares, 1):
            neighbour = path_of(order, number)[1]
            taken = self._hops.take(neighbour, pad_bytes(order))
            if taken is None:
                if order.scheme is not Scheme.SHAMIR:
                    self._give_up(order.block, f"too little key with {neighbour}", now)
                    return
                continue
            sent.hops.append(taken.grade)
            self._pass_on(send_share(order, number, share, taken.pads, taken.key))
        self._s.audit("relay-sent", block=order.block.hex(), pool=order.pool, to=order.destination)

    def _call(self, sent: _Sent, now: float) -> None:
        """Call for parities on every path: the secret becomes the sum of the first hops' keys."""
        called = self._parities.call(sent.order)
        if called is None:
            self._give_up(sent.order.block, "too little key for its first hops", now)
            return
        sent.secret.close()
        sent.secret, sent.hops = called
        self._s.audit("relay-sent", block=sent.order.block.hex(), pool=sent.order.pool, to=sent.order.destination)

    def _pass_on(self, onward: Onward) -> None:
        self._send(self._s.links[onward.site], onward.parcel)

    # ---------------------------------------------------------------- messages

    def heed(self, link: PeerLink, body: bytes, now: float) -> None:
        """A relay message. Raises ProtocolError for what no honest site sends."""
        match decode_relay(body):
            case RelayOrder() as order:
                self._ordered(link, order, now)
            case RelayReady(block):
                sent = self._sent.get(block)
                if sent is not None and sent.order.destination == link.kme and not sent.has_left:
                    self._leave(sent, now)
            case RelayParcel() as parcel:
                self._parcel(link, parcel, now)
            case RelayStored(block, _) as stored:
                self._stored(link, block, stored)
            case RelayRefusal(block, _, site, reason):
                sent = self._sent.get(block)
                if sent is not None and self._may_refuse(link, sent.order):
                    self._give_up(block, f"{site}: {reason[:200]}", now)
            case Parity() as parity:
                self._arrived(link, parity.order, self._parities.heard(link, parity), now)
            case ParityCall() as call:
                self._called(link, call, now)

    @staticmethod
    def _may_refuse(link: PeerLink, order: RelayOrder) -> bool:
        """The destination may refuse an order; a relay only where the order cannot do without its path."""
        relays = {site for path in order.paths for site in path[1:-1]}
        return link.kme == order.destination or (order.scheme is not Scheme.SHAMIR and link.kme in relays)

    def _disown(self, link: PeerLink, block: bytes) -> None:
        """Have the destination destroy a block that this end does not hold."""
        parts = range(len(cut(MAX_SECRET_BYTES)))
        pools = [pool.link_id for pool in self._s.pools_to[link.kme] if pool.is_relayed]
        if link.is_live and pools:
            gone = [(str(pool), block, part) for pool in pools for part in parts]
            link.send(Gone(gone), self._s.ledger.emitted)

    def _ordered(self, link: PeerLink, order: RelayOrder, now: float) -> None:
        """Another end announces an order for a pool that is shared with it."""
        s = self._s
        pool = s.stock.pools.get(LinkId(order.pool))
        try:
            if order.origin != link.kme or pool is None or pool.peer != link.kme or not pool.is_relayed:
                raise DataRefused(f"{s.own} shares no virtual pool {order.pool!r} with {link.kme}")
            if pool.stored_bytes + order.size > pool.capacity:
                raise DataRefused(f"virtual pool {order.pool} is full at {s.own}")
            self._gathering.forbidden = frozenset(s.policy.rule.never_through)
            self._gathering.expect(order, now)
        except DataRefused as error:
            s.tell(EventKind.RELAY_REFUSED, str(error), link.kme)
            self._send(link, RelayRefusal(order.block, 0, s.own, str(error)[:1024]))
        else:
            self._send(link, RelayReady(order.block))

    def _parcel(self, link: PeerLink, parcel: RelayParcel, now: float) -> None:
        """A share: for this site, or to be passed on."""
        s, order = self._s, parcel.order
        try:
            check_parcel(parcel, s.own, link.kme, lambda _: True)
            key, grade = self._hops.use(link, parcel.pads)
            value = open_parcel(parcel, key)
            if order.destination == s.own:
                gathered = self._gathering.add(order, parcel.share, value, add_hop(parcel.behind, grade), now)
                if gathered is not None:
                    self._store(gathered)
                return
            onward_to = path_of(order, parcel.share)[parcel.hop + 1]
            taken = self._hops.take(onward_to, pad_bytes(order))
            if taken is None:
                raise DataRefused(f"{s.own} has too little key with {onward_to}, or no connection")
            self._pass_on(forward(parcel, value, grade, *taken[:2]))
            s.audit("relay-passed", block=order.block.hex(), source=order.origin, to=order.destination)
            s.count("shares_relayed")
        except (DataRefused, AuthenticationError) as error:
            s.tell(EventKind.RELAY_REFUSED, str(error), link.kme)
            origin = s.links.get(KmeId(order.origin))
            if origin is not None and origin.is_live:
                self._send(origin, RelayRefusal(order.block, parcel.share, s.own, str(error)[:1024]))

    def _called(self, link: PeerLink, call: ParityCall, now: float) -> None:
        """A neighbour names the range of a hop: send one's parity to the end, or it is this end."""
        try:
            share = self._parities.called(link, call)
        except DataRefused as error:
            self._s.tell(EventKind.RELAY_REFUSED, str(error), link.kme)
        else:
            self._arrived(link, call.order, share, now)

    def _arrived(
        self, link: PeerLink, order: RelayOrder, share: tuple[int, SecretBytes, HopGrade] | None, now: float
    ) -> None:
        """Gather a share that parities gave."""
        if share is None:
            return
        try:
            gathered = self._gathering.add(order, *share, now)
        except DataRefused as error:
            self._s.tell(EventKind.RELAY_REFUSED, str(error), link.kme)
            return
        if gathered is not None:
            self._store(gathered)

    def _store(self, gathered: Gathered) -> None:
        """A block arrived whole: keep it, tell its origin, name the paths that lied."""
        s = self._s
        pool = s.stock.pools[gathered.pool]
        is_outvoted = len(gathered.odd) < len(gathered.agreeing) - gathered.grade.threshold + 1
        for path in self._gathering.settle(gathered.block, gathered if is_outvoted else None):
            s.audit("relay-lied", block=gathered.block.hex(), path=list(path))
            s.tell(EventKind.RELAY_REFUSED, f"a share over {' '.join(path)} contradicts the others")
        block = Block(gathered.pool, gathered.block, gathered.secret, gathered.grade)
        self._meetings.take_relayed(block, pool.peer)
        s.audit("relay-arrived", block=gathered.block.hex(), pool=gathered.pool, source=pool.peer)
        self._send(s.links[pool.peer], RelayStored(gathered.block, gathered.behind))

    def _stored(self, link: PeerLink, block: bytes, stored: RelayStored) -> None:
        """The destination holds the block: keep it here too, and compare."""
        sent = self._sent.get(block)
        if sent is None or sent.order.destination != link.kme:
            self._disown(link, block)
            return
        del self._sent[block]
        grade = block_grade(sent.order, stored.behind)
        joint = weakest([grade, *sent.hops])
        if joint.origin is not grade.origin or (joint.epsilon is None and grade.epsilon is not None):
            text = f"{link.kme} calls a relayed block {grade.name}, and its first hop was {joint.name}: not used"
            self._s.tell(EventKind.RELAY_REFUSED, text, link.kme)
            sent.secret.close()
            self._disown(link, block)
            return
        self._meetings.take_relayed(Block(LinkId(sent.order.pool), block, sent.secret, grade), self._s.own)
        self._s.audit("relay-done", block=block.hex(), pool=sent.order.pool, to=link.kme)
        self._s.count("blocks_relayed")
        text = f"{sent.order.size} bytes for {sent.order.pool} over {len(sent.order.paths)} paths"
        self._s.tell(EventKind.RELAY_DONE, text, link.kme)
