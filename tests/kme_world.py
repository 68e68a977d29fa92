"""Two sites, their applications and everything that goes wrong around them, with what must hold whatever happens.

The state machine and the random walks both drive a `World`; who chooses is handed in, so a failure is replayed by
making the same choices again. Places are "a", "b" and "g", the other copy of the site that was copied.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from kme_rig import PHOTONS, City, MemoryStore, Site

from poliqi.base.ids import KmeId, LinkId, SaeId
from poliqi.base.secret import SecretBytes
from poliqi.keys.fetches import NOT_FOUND
from poliqi.keys.requests import Accepted, Block, Delivered, KeyOrder, Reason, Refused, Shipment, Ticket
from poliqi.keys.segment import HEAD_BYTES, block_of_number

Choice = TypeVar("Choice")
POOL = LinkId("a-b")
OTHER = {"a": "b", "b": "a"}
WRONG_AT = 39
"""Where an unequal block is wrong: in the first part that may become key."""
STEPS = [sign + place for sign in "!><." for place in "abg"]
DISASTERS = ["crash a", "crash b", "power a", "power b", "cut", "half", "back", "copy", "swap", "lull"]
TAINTING = {"back", "copy", "swap"}
PLOTS_OF_TAINTED_SLAVE = {
    "slave_set_back",
    "both_forget_a_grant",
    "two_copies_ask",
    "two_copies_ask_in_turn",
    "a_gift",
}
PLOTS_OF_TAINTED_MASTER = {"both_forget_a_delivery", "master_set_back", "master_learns_what_it_forgot"}
PLOTS_OF_SEVERAL_KEYS = {
    "slave_set_back",
    "both_forget_a_grant",
    "both_forget_a_delivery",
    "both_crash",
    "two_requests_for_one_key",
    "two_copies_ask",
    "two_copies_ask_in_turn",
    "a_fetch_breaks_and_part_is_repeated",
}
PLOTS = sorted(
    PLOTS_OF_TAINTED_SLAVE
    | PLOTS_OF_TAINTED_MASTER
    | PLOTS_OF_SEVERAL_KEYS
    | {"late_disk_at_master", "late_disk_at_slave", "a_gift_is_lost", "a_gift_crosses_an_offer"}
)


@dataclass
class Fetch:
    """A fetch under way."""

    site: Site
    names: list[bytes]
    ticket: Ticket


class World:
    """Two sites that share a pool. `tainted` is the one site that is ever set back or copied, if any.

    Never both: two old images of one moment cannot be told from that moment.
    """

    def __init__(self, tainted: str = "", *, is_watched: bool = True) -> None:
        self.city = City(["a", "b"], [("a", "b")], is_watched=is_watched)
        self.tainted = tainted
        self.is_tainted = False
        self.bits = b""
        self.blocks: list[tuple[bytes, dict[str, Ticket]]] = []
        self.orders: list[tuple[Site, Ticket]] = []
        self.shipments: list[tuple[Site, bytes, bytes, Ticket]] = []
        self.fetches: list[Fetch] = []
        self.acknowledged: dict[bytes, tuple[str, bytes]] = {}
        """Key names that masters have, with the master's site and the value."""
        self.doubtful: dict[bytes, Site] = {}
        """Keys whose fetch broke off, with the site that may ask for them again."""
        self.delivered: set[bytes] = set()
        self.lost: set[bytes] = set()
        """Keys whose fetch broke off and whose site then forgot that; nobody can tell whether they were had."""
        self.to_masters: set[int] = set()
        self.to_slaves: set[int] = set()
        self.heads: set[int] = set()
        """Bytes that were spent on the comparison of their segments: never keys."""
        self.is_wrong: set[int] = set()
        self.images: list[MemoryStore] = []
        self.old = False
        self.shipped = 0
        self.meet("settle")
        self.ingest(12_000)
        self.city.settle()

    def site(self, place: str) -> Site | None:
        """Who is at a place; nobody where there is no copy."""
        if place == "g":
            return self.city.ghosts[-1] if self.city.ghosts else None
        return self.city.sites[KmeId(place)]

    # ---------------------------------------------------------------- what applications and links do

    def ingest(self, size: int) -> None:
        """The same block comes to both ends."""
        key = hashlib.shake_256(f"block {len(self.blocks)}".encode()).digest(size)
        parts = 2 if size >= 4096 else 1
        for part in range(parts if size >= 1024 else 0):
            start = len(self.bits) + size * part // parts
            self.heads.update(range(start, start + HEAD_BYTES))
        self.bits += key
        self.blocks.append((key, {}))
        for site in (*self.city.sites.values(), *self.city.ghosts):
            if not site.dead:
                self._ingest(site, len(self.blocks) - 1)

    def ingest_unequal(self, size: int) -> None:
        """A block with one wrong bit at one end."""
        self.is_wrong.add(len(self.blocks))
        self.ingest(size)

    def _ingest(self, site: Site, number: int) -> None:
        key, tickets = self.blocks[number]
        if number in self.is_wrong and site.name == "b":
            key = bytes([*key[:WRONG_AT], key[WRONG_AT] ^ 1, *key[WRONG_AT + 1 :]])
        ticket = site.kme.ingest(Block(POOL, block_of_number(number), SecretBytes(key), PHOTONS))
        if not isinstance(getattr(tickets.get(site.name), "outcome", None), Accepted):
            tickets[site.name] = ticket

    def bring_again(self, name: str, *, everything: bool) -> None:
        """A link brings the blocks that were not accepted once more; also those that were, if it has lost count."""
        site = self.city.sites[KmeId(name)]
        for number, (_, tickets) in enumerate(self.blocks):
            ticket = tickets.get(name)
            if everything or ticket is None or ticket.outcome is None:
                self._ingest(site, number)

    def order(self, place: str, number: int, bits: int, ids: tuple[bytes, ...] | None = None) -> None:
        """Keys for the master at a site."""
        site = self.site(place)
        if site is None or site.dead:
            return
        names = SaeId(f"sae-{site.name}1"), (SaeId(f"sae-{OTHER[site.name]}1"),)
        self.orders.append((site, site.kme.order(KeyOrder(*names, number, bits, key_ids=ids), self.city.now)))

    def use_up(self, place: str) -> None:
        """Order everything that a site has to give."""
        site = self.site(place)
        if site is not None and not site.dead:
            stock = site.kme.state.stock
            number = stock.free(stock.pools[POOL], lambda _: True, 8)
            bits = 64
            while number > 128 and bits < 4096:
                bits *= 2
                number = stock.free(stock.pools[POOL], lambda _: True, bits // 8)
            if number:
                self.order(place, number, bits)

    def ship(self, place: str) -> None:
        """A key made elsewhere goes to the other site."""
        site = self.site(place)
        if site is None or site.dead:
            return
        self.shipped += 1
        name, value = (
            hashlib.shake_256(f"{w} {self.shipped}".encode()).digest(n) for w, n in (("n", 16), ("v", 24))
        )
        self.bits += value
        names = SaeId(f"sae-{site.name}1"), (SaeId(f"sae-{OTHER[site.name]}1"),)
        ticket = site.kme.ship(Shipment(*names, (name,), (value,), PHOTONS), self.city.now)
        self.shipments.append((site, name, value, ticket))

    def fetch(self, place: str, names: Sequence[bytes]) -> Ticket | None:
        """Keys of the master at the other site."""
        site = self.site(place)
        names = [n for n in names if site is not None and self.acknowledged[n][0] != site.name]
        if site is None or site.dead or not names:
            return None
        slave, master = SaeId(f"sae-{site.name}1"), SaeId(f"sae-{OTHER[site.name]}1")
        ticket = site.kme.fetch(slave, master, names, self.city.now)
        if ticket.outcome is None:
            self.fetches.append(Fetch(site, names, ticket))
            for name in names:
                self.doubtful.pop(name, None)
        else:
            assert not isinstance(ticket.outcome, Delivered), "keys were delivered without the disk"
        return ticket

    def names_at(self, place: str) -> list[bytes]:
        """Names of keys that the slave at a place might ask for, the latest last."""
        site = self.site(place)
        return [n for n, (master, _) in self.acknowledged.items() if site is not None and master != site.name]

    # ---------------------------------------------------------------- what machines do

    def step(self, token: str) -> None:
        """ "!a" commits at a, ">a" sends what may leave a, "<a" reads a frame at a, ".a" is a's clock."""
        if token == "settle":
            self.city.settle()
        else:
            site = self.site(token[1])
            if site is not None:
                {
                    "!": self.city.commit_at,
                    ">": self.city.push_from,
                    "<": self.city.deliver_at,
                    ".": self.city.tick_at,
                }[token[0]](site)
        self.check()

    def steps(self, tokens: Sequence[str]) -> None:
        """Several steps."""
        for token in tokens:
            self.step(token)

    def meet(self, how: str) -> None:
        """A new stream, which gets as far as `how` says: "settle", or steps."""
        self.city.join("a", "b")
        self.steps(how.split())

    def tick(self, seconds: float) -> None:
        """Time passes."""
        self.city.tick(seconds)
        self.check()

    def strike(self, disaster: str) -> None:
        """Something bad happens; streams that broke are not made again here."""
        if disaster in TAINTING and not self.tainted:
            disaster = "cut"
        match disaster.split():
            case ["crash", name]:
                self._restart(name, self.city.kill(KmeId(name)))
            case ["power", name]:
                self._restart(name, self.city.kill(KmeId(name), is_noticed=False))
            case ["cut"]:
                self.city.cut("a", "b")
            case ["half"]:
                self.city.cut("a", "b", is_noticed=False)
            case ["back"] if self.images:
                self.city.kill(KmeId(self.tainted))
                self.is_tainted = True
                self._restart(self.tainted, self.images[0 if self.old else -1].image())
            case ["copy"] if not self.city.ghosts:
                self.is_tainted = True
                name = KmeId(self.tainted)
                self.city.ghosts.append(self.city.new_site(name, self.city.sites[name].store.image()))
            case ["swap"] if self.city.ghosts:
                name = KmeId(self.tainted)
                self.city.ghosts[-1], self.city.sites[name] = self.city.sites[name], self.city.ghosts[-1]
                self.city.cut("a", "b", is_noticed=False)
            case _:
                pass
        self.check()

    def _restart(self, name: str, store: MemoryStore) -> None:
        dead = self.city.sites[KmeId(name)]
        self.check()
        for fetch in self.fetches:
            if fetch.site is dead:
                self.lost.update(fetch.names)
        self.fetches = [f for f in self.fetches if f.site is not dead]
        self.lost.update(n for n, site in self.doubtful.items() if site is dead)
        self.city.start(KmeId(name), store)
        self.bring_again(name, everything=False)

    def photograph(self) -> None:
        """Keep an image of the disk that may be brought back one day."""
        if self.tainted:
            self.images.append(self.city.sites[KmeId(self.tainted)].store.image())

    def episode(self, choose: Callable[[Sequence[Choice]], Choice]) -> None:
        """Keys are ordered and fetched, something goes wrong in the middle, and both are tried again."""
        pick: Callable[[Sequence[str]], str] = choose  # type: ignore[assignment]
        master = pick("ab")
        slave = OTHER[master]
        if pick("yyn") == "y":
            self.photograph()
        count = int(pick("1223"))
        bits = 64 << int(pick("0123"))
        known = set(self.acknowledged)
        self.order(master, count, bits)
        self._go(pick, master, slave, pick(["whole", "whole", "part"]))
        fresh = [n for n in self.acknowledged if n not in known]
        wanted = fresh[: int(pick("123"))]
        if pick("yn") == "y":
            self.photograph()
        if pick("yyyn") == "y" and wanted:
            self.fetch(slave, wanted)
            if pick("yn") == "y":
                self.steps([pick([f"!{slave}", f">{slave}"])])
                self.fetch(slave, fresh[-1:])
            self._go(pick, slave, master, pick(["whole", "part", "part"]))
        self.old = pick("yyn") == "n"
        for _ in range(int(pick("1122"))):
            self.strike(pick(DISASTERS))
        self.meet(pick(["settle", "settle", "!a !b <a <b", f"!a !b <{master}", f"!a !b <{slave}"]))
        again = [n for n in self.acknowledged if n not in known][:2]
        if again:
            self.fetch(slave, again)
        self.order(master, count, pick(["64", "256", str(bits)]) and bits)
        self.steps([pick([*STEPS, "settle"]) for _ in range(int(pick("0002")))])
        if pick("yyn") == "y":
            self.step("settle")
            if again:
                self.fetch(slave, again)
            self.step("settle")

    def _go(self, pick: Callable[[Sequence[str]], str], asks: str, answers: str, how: str) -> None:
        """A question and its answer, whole or up to some point and with some disks late."""
        if how == "whole":
            self.step("settle")
            return
        first = pick([f"!{asks}", f">{asks}"])
        tokens = [first, f"<{answers}", pick([f"!{answers}", f">{answers}"]), f"<{asks}", f"!{asks}"]
        self.steps(tokens[: int(pick("1234445"))])

    # ---------------------------------------------------------------- known traps

    def plot(self, name: str, master: str) -> None:
        """One of the ways in which a key could leave twice or get lost, step by step."""
        slave = OTHER[master]
        if name in PLOTS_OF_TAINTED_MASTER and self.tainted:
            master, slave = self.tainted, OTHER[self.tainted]
        if name in PLOTS_OF_TAINTED_SLAVE and self.tainted:
            master, slave = OTHER[self.tainted], self.tainted
        if not self.city.joined("a", "b"):
            self.meet("settle")
        self.step("settle")
        if name in PLOTS_OF_SEVERAL_KEYS:
            known = set(self.acknowledged)
            self.order(master, 3, 128)
            self.step("settle")
            keys = [n for n in self.acknowledged if n not in known]
            if keys:
                getattr(self, f"_{name}")(master, slave, keys)
        else:
            getattr(self, f"_{name}")(master, slave)
        self.check()

    def _tokens(self, text: str, master: str, slave: str) -> None:
        self.steps(text.replace("m", master).replace("s", slave).split())

    def _late_disk_at_master(self, master: str, slave: str) -> None:
        self.order(master, 1, 64)
        self.step("settle")
        self.order(master, 1, 64)
        self._tokens(">m <s !s <m", master, slave)
        self.strike(f"crash {master}")
        self.meet("settle")

    def _late_disk_at_slave(self, master: str, slave: str) -> None:
        self.order(master, 1, 64)
        self._tokens("!m <s >s <m !m", master, slave)
        self.strike(f"crash {slave}")
        self.meet("settle")

    def _slave_set_back(self, master: str, slave: str, keys: list[bytes]) -> None:
        self.photograph()
        self._fetch_and_settle(slave, keys[:1])
        self.strike("back")
        self.meet("settle")
        self._fetch_and_settle(slave, keys[:1])

    def _both_forget_a_grant(self, master: str, slave: str, keys: list[bytes]) -> None:
        self.photograph()
        self.fetch(slave, keys[:1])
        self._tokens("!s <m >m <s !s", master, slave)
        self._both_forget(master, slave, keys[:1])

    def _both_forget_a_delivery(self, master: str, slave: str, keys: list[bytes]) -> None:
        self.photograph()
        self.fetch(slave, keys[:1])
        self._tokens(">s <m !m <s", master, slave)
        self._both_forget(slave, slave, keys[:1])

    def _both_forget(self, crashes: str, slave: str, keys: list[bytes]) -> None:
        self.strike(f"crash {crashes}")
        self.strike("back")
        self.meet("settle")
        self._fetch_and_settle(slave, keys)

    def _both_crash(self, master: str, slave: str, keys: list[bytes]) -> None:
        self._fetch_and_settle(slave, keys[:1])
        self.strike(f"crash {master}")
        self.strike(f"crash {slave}")
        self.meet("settle")
        self._fetch_and_settle(slave, keys[:1])

    def _two_copies_ask(self, master: str, slave: str, keys: list[bytes]) -> None:
        self._copy_asks_in_vain(slave, keys)
        self._fetch_and_settle(slave, keys[:1])

    def _two_copies_ask_in_turn(self, master: str, slave: str, keys: list[bytes]) -> None:
        self._copy_asks_in_vain(slave, keys)
        self._fetch_and_settle(slave, keys[1:2])
        self._fetch_and_settle(slave, keys[:1])

    def _copy_asks_in_vain(self, slave: str, keys: list[bytes]) -> None:
        """One copy asks and hears nothing, the other delivers, the first comes back."""
        self.strike("copy")
        self.fetch(slave, keys[:1])
        self.steps([f"!{slave}"])
        self.strike("cut")
        self.strike("swap")
        self.meet("settle")
        self._fetch_and_settle(slave, keys[:1])
        self.strike("swap")
        self.meet("settle")

    def _a_fetch_breaks_and_part_is_repeated(self, master: str, slave: str, keys: list[bytes]) -> None:
        self.fetch(slave, keys)
        self._tokens("!s <m !m", master, slave)
        self.strike("cut")
        self.meet("settle")
        self._fetch_and_settle(slave, keys[1:])
        self.tick(0.5)

    def _two_requests_for_one_key(self, master: str, slave: str, keys: list[bytes]) -> None:
        self.fetch(slave, keys[:1])
        self.fetch(slave, keys[:1])
        self.step("settle")

    def _master_learns_what_it_forgot(self, master: str, slave: str) -> None:
        self.photograph()
        self.order(master, 2, 128)
        self.step("settle")
        self.old = False
        self.strike("back")
        self.meet("settle")
        self.check_agreement()

    def _master_set_back(self, master: str, slave: str) -> None:
        """It orders as soon as it may, before it can know what its peer has seen used."""
        self.photograph()
        known = set(self.acknowledged)
        self.order(master, 2, 128)
        self.step("settle")
        self._fetch_and_settle(slave, [n for n in self.acknowledged if n not in known])
        self.old = False
        self.strike("back")
        self.city.join("a", "b")
        self._tokens("!m !s <m", master, slave)
        self.order(master, 2, 128)
        self.step("settle")

    def _a_gift(self, master: str, slave: str) -> None:
        """The slave's site runs out of keys, gets some and uses them, and may forget that."""
        self._run_dry(master, slave)
        self.photograph()
        self.tick(6.0)
        self.tick(6.0)
        self.order(slave, 4, 1024)
        self.step("settle")
        self.old = False
        if self.tainted:
            self.strike("back")
        self.meet("settle")
        self.use_up(master)
        self.step("settle")

    def _a_gift_is_lost(self, master: str, slave: str) -> None:
        self._run_dry(master, slave)
        self.city.now += 6.0
        self._tokens(".s !s <m <m <m !m", master, slave)
        self.strike("cut")
        self.meet("settle")

    def _a_gift_crosses_an_offer(self, master: str, slave: str) -> None:
        """The receiver speaks of its segments while the gift is on its way."""
        self._run_dry(master, slave)
        self.city.cut("a", "b")
        self.ingest(1500)
        self.city.now += 6.0
        self.city.join("a", "b")
        self._tokens("!m !s <s <m !s !m <m .s !s <m <m <m !m <s !s <s !s", master, slave)
        self.step("settle")

    def _run_dry(self, master: str, slave: str) -> None:
        """The slave's site has nothing left, the master's has segments that nobody touched."""
        for _ in range(2):
            self.ingest(9000)
            self.ingest(9000)
        self.step("settle")
        self.order(master, 1, 64)
        for _ in range(30):
            self.use_up(slave)
        self.step("settle")

    def _fetch_and_settle(self, slave: str, keys: list[bytes]) -> None:
        if keys:
            self.fetch(slave, keys)
        self.step("settle")

    # ---------------------------------------------------------------- what must hold

    def _note(self, places: set[int], value: bytes) -> None:
        start = self.bits.index(value)
        where = range(start, start + len(value))
        assert self.heads.isdisjoint(where), "a segment's head became key"
        assert places.isdisjoint(where), f"bytes {start} to {where.stop} left twice"
        places.update(where)

    def check(self) -> None:
        """No byte goes to masters twice or to slaves twice, and a key's two ends have the same bytes."""
        for _, ticket in self.orders:
            if isinstance(ticket.outcome, Delivered):
                for key in ticket.outcome.keys:
                    self._note(self.to_masters, key.value)
                    assert key.key_id not in self.acknowledged, "one name for two keys"
                    master = ticket_site(self.orders, ticket).name
                    self.acknowledged[key.key_id] = (master, key.value)
        self.orders = [entry for entry in self.orders if entry[1].outcome is None]
        for site, name, value, ticket in self.shipments:
            if isinstance(ticket.outcome, Accepted):
                self.acknowledged[name] = (site.name, value)
                self._note_pad(site, name)
        self.shipments = [entry for entry in self.shipments if entry[3].outcome is None]
        for fetch in self.fetches:
            self._check_fetch(fetch)
        self.fetches = [f for f in self.fetches if f.ticket.outcome is None]

    def _note_pad(self, site: Site, name: bytes) -> None:
        """The pad of a shipped key and the key of its tag are used as if they had been given to a master."""
        runs = site.kme.state.own_ids.get(name)
        run = runs[0] if runs else None
        record = None if run is None else site.kme.state.stock.by_number.get(run.segment)
        if run is not None and record is not None:
            bits = site.store.payloads[record.number]
            self._note(self.to_masters, bits[run.offset - HEAD_BYTES : run.end])

    def _check_fetch(self, fetch: Fetch) -> None:
        outcome = fetch.ticket.outcome
        if isinstance(outcome, Delivered):
            assert [k.key_id for k in outcome.keys] == fetch.names
            for key in outcome.keys:
                assert key.value == self.acknowledged[key.key_id][1], "the two ends have different keys"
                self._note(self.to_slaves, key.value)
            self.delivered.update(fetch.names)
        elif isinstance(outcome, Refused) and outcome.reason is Reason.PEER_DOWN:
            self.doubtful.update(dict.fromkeys(fetch.names, fetch.site))
        elif outcome is not None:
            self.lost.update(fetch.names)

    def check_agreement(self) -> None:
        """At rest and connected: both ends hold the same segments, and the disk holds what memory does."""
        one, two = (self.city.sites[name] for name in self.city.names)
        for site in (one, two):
            check_disk(site)
        a, b = (s.kme.state.stock.pools[POOL] for s in (one, two))
        assert a.secret == b.secret, "two secrets for one pool"
        left = [
            {n for n, r in p.segments.items() if r.number not in s.kme.state.stock.retiring}
            for p, s in ((a, one), (b, two))
        ]
        if not self.is_tainted:
            assert left[0] == left[1], "a segment is held at one end only"
        for name in left[0] & left[1]:
            x, y = a.segments[name], b.segments[name]
            assert x.owner == y.owner, "both ends call a segment theirs, or neither does"
            assert x.state == y.state and x.size == y.size
            assert one.store.payloads[x.number] == two.store.payloads[y.number], "an unequal segment was kept"
            owner, record, other = (one, x, y) if x.owner == one.name else (two, y, x)
            following = owner.kme.state.stock._next[record.number]
            assert other.leased <= following <= max(record.leased, HEAD_BYTES), "one end forgot what was used"

    def finish(self) -> None:
        """What a master was given and no slave lost is there, whatever broke meanwhile; and all ends with time."""
        if not self.city.joined("a", "b"):
            self.city.join("a", "b")
        self.step("settle")
        self.city.cut("a", "b")
        self.meet("settle")
        self.tick(6.0)
        self.check_agreement()
        if not self.is_tainted:
            for name, (master, value) in list(self.acknowledged.items()):
                self._collect(name, master, value)
        self.tick(3601.0)
        self.tick(1.0)
        self.tick(1.0)
        self.check_agreement()
        for site in self.city.sites.values():
            assert not len(site.kme.state.runs) and not site.store.state.runs, "a run outlived its time"
            assert not site.kme.state.stock.retiring, "a segment is kept for nobody"

    def _collect(self, name: bytes, master: str, value: bytes) -> None:
        was_delivered, was_lost = name in self.delivered, name in self.lost
        ticket = self.fetch(OTHER[master], [name])
        self.step("settle")
        assert ticket is not None
        if was_delivered:
            assert ticket.outcome == Refused(Reason.NOT_FOUND, NOT_FOUND)
        elif not was_lost:
            assert isinstance(ticket.outcome, Delivered), f"a key was lost: {ticket.outcome}"
            assert ticket.outcome.keys[0].value == value


def ticket_site(orders: list[tuple[Site, Ticket]], ticket: Ticket) -> Site:
    """Where an order was placed."""
    return next(site for site, t in orders if t is ticket)


def check_disk(site: Site) -> None:
    """Memory and disk of a site at rest say the same, and its sums are right."""
    stock, stored = site.kme.state.stock, site.store.state
    assert not any(event == "segment-damaged" for event, _ in site.store.audit), "a sound segment was destroyed"
    kept = {r.number: (r.pool, r.name, r.owner, r.state, r.leased, r.size) for r in stored.segments}
    held = {n: (r.pool, r.name, r.owner, r.state, r.leased, r.size) for n, r in stock.by_number.items()}
    assert held == kept, f"{site.name}: memory and disk disagree about segments"
    assert set(site.store.payloads) == set(kept)
    runs = {r.key: (r.used, r.user, r.user_used) for r in stored.runs}
    assert {r.key: (r.used, r.user, r.user_used) for r in site.kme.state.runs} == runs, "memory and disk: runs"
    for pool in stock.pools.values():
        assert pool.stored_bytes == sum(r.size for r in pool.segments.values())
        assert pool.own_bytes == sum(r.size - stock._next[n] for n, r in pool.own.items())
        ready = {n for n, r in stock.by_number.items() if r.owner == site.name and r.state == "ready"}
        assert set(pool.own) <= ready
        # what is left of a segment that is given up: less than a key, or than a 256th of it
        given_up = [stock.by_number[n] for n in ready - set(pool.own)]
        assert all(r.size - stock._next[r.number] < max(8, r.size // 256) for r in given_up)
