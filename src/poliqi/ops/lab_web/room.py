"""The laboratory behind its pages: who sees which tenant, the stores that are open, the facility, the way out."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

from poliqi.apps.settings import SaeSettings
from poliqi.apps.share.receipt import Receipt
from poliqi.apps.stream.terms import Policy
from poliqi.base.errors import ConfigError, DataRefused, PoliqiError
from poliqi.base.ids import SaeId
from poliqi.lab.facility.database import DATABASE_NAME
from poliqi.lab.facility.facility import Facility
from poliqi.lab.facility.records import User
from poliqi.lab.facility.refusal import Refused
from poliqi.lab.store.records import Dataset, DatasetId
from poliqi.lab.store.store import LabStore
from poliqi.lab.store.tenant import TenantStore
from poliqi.ops.lab_web.sendings import Sendings
from poliqi.ops.sae_web.desk import Estimate, Neighbour, Transfer
from poliqi.ops.web.people import Person, Way
from poliqi.ops.web.roles import Permission, Role

__all__ = ["Guest", "LabDesk", "LabRoom"]

_SENT_AS: Final = re.compile(r"dataset-([a-z2-7]{26})", re.ASCII)
"""What `poliqi.lab.store.sending.stage` calls a crate."""
_OUTSIDE: Final = frozenset(Permission) - {Permission.ENTER, Permission.LAB, Permission.LAB_WORK}
"""What people of other tenants never may, whatever role their token has."""


class LabDesk(Protocol):
    """What sends: the desk of the application. Any thread may call."""

    def estimate(self, peer: SaeId, size_bytes: int, one_time: bool) -> Estimate: ...
    def begin(
        self,
        files: Sequence[Path],
        peer: SaeId,
        one_time: bool,
        who: str,
        done: Callable[[], None],
        *,
        size_bytes: int | None = None,
        on_receipt: Callable[[Receipt], None] | None = None,
    ) -> str: ...
    def transfer(self, transfer: str) -> Transfer | None: ...
    def stop(self, transfer: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class Guest:
    """Who looks: their tenant's store and, where the facility knows them, who they are there."""

    person: Person
    store: TenantStore
    member: User | None

    @property
    def who(self) -> str:
        """For provenance and the list of deeds."""
        return self.person.name or self.person.role.value


class LabRoom:
    """Close it with its application. Any thread may call; `judge` answers without waiting for anybody."""

    def __init__(
        self,
        store: LabStore,
        desk: LabDesk,
        *,
        house: str | None = None,
        here: str | None = None,
        complain: Callable[[str], None] = lambda _: None,
        settings: Callable[[], SaeSettings | None] = lambda: None,
        forward: Callable[[], Mapping[str, str]] = dict,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.store: Final = store
        self.sendings: Final = Sendings(desk, settings)
        self.house: Final = house or store.settings.tenant
        has_facility = (store.root / DATABASE_NAME).is_file()
        opened = [Facility.open(store.root, now_s=lambda: int(wall())) for _ in range(2 * has_facility)]
        self.facility: Final = opened[0] if opened else None
        self._members: Final = opened[1] if opened else None
        """Asked for each request, by nobody who writes: it waits for nobody."""
        self.complain: Final = complain
        self._forward: Final = forward
        self._here: Final = here
        self._lock: Final = threading.Lock()
        self._open: Final[dict[str, TenantStore]] = {}
        self.tenant(self.house)

    def close(self) -> None:
        """Close all that is open."""
        with self._lock:
            opened = list(self._open.values())
            self._open.clear()
        for store in opened:
            store.close()
        for facility in (self.facility, self._members):
            if facility is not None:
                facility.close()

    def tenant(self, name: str) -> TenantStore:
        """The store of one. Raises ConfigError where it has none, StoreError."""
        with self._lock:
            if name not in self._open:
                self._open[name] = self.store.tenant(name)
            return self._open[name]

    # ---- who sees what

    def _member(self, person: Person) -> User | None:
        """Whom the facility knows by this person's login. Raises StoreError."""
        login = (self._here or "") if person.way is Way.HERE else person.name
        if self._members is None or not login:
            return None
        try:
            return self._members.user(login)
        except Refused:
            return None

    def _tenant_name(self, person: Person, member: User | None) -> str | None:
        if member is not None:
            return None if member.is_closed else member.tenant
        return None if person.role is Role.LAB_USER else self.house

    def judge(self, person: Person) -> Person:
        """Whoever belongs to another tenant than the house keeps what a laboratory's own pages ask for, no more."""
        member = self._member(person)
        if member is None or (member.tenant == self.house and not member.is_closed):
            return person
        return replace(person, denied=_OUTSIDE)

    def guest(self, person: Person) -> Guest | None:
        """None for who belongs to no tenant, or to one that this store has no room for. Raises StoreError."""
        member = self._member(person)
        name = self._tenant_name(person, member)
        if name is None:
            return None
        try:
            return Guest(person, self.tenant(name), member)
        except ConfigError as error:
            self.complain(str(error))
            return None

    # ---- what belongs to whom

    def neighbours(self, guest: Guest, known: Sequence[Neighbour]) -> list[Neighbour]:
        """Whom the guest may send to: a company is told of sites, not of which other companies there are.

        A peer that is served for a tenant (`forward`), or has no quantum keys, is a company's: that tenant's alone.
        The house sees all.
        """
        found = [peer for peer in known if peer.can_be_called]
        if guest.store.name == self.house:
            return found
        served = self._forward()
        return [peer for peer in found if self._is_for(guest, peer, served)]

    @staticmethod
    def _is_for(guest: Guest, peer: Neighbour, served: Mapping[str, str]) -> bool:
        names = (str(peer.sae).casefold(), peer.place.casefold())
        tenants = {tenant for name, tenant in served.items() if name.casefold() in names}
        return tenants == {guest.store.name} if tenants else peer.policy is not Policy.PQC

    def is_foreign(self, name: str) -> bool:
        """Whether something that was sent under this name is a dataset of another tenant than the house.

        The house's own people see on the application's pages what they sent, and nothing that others did.
        """
        found = _SENT_AS.fullmatch(name)
        if found is None:
            return False
        try:
            self.tenant(self.house).dataset(DatasetId(found[1]))
        except PoliqiError:
            return True
        return False

    def dataset(self, guest: Guest, wanted: str) -> Dataset | None:
        """One of the guest's tenant. What is another's is looked for nowhere: to them it is not there."""
        try:
            return guest.store.dataset(DatasetId(wanted))
        except DataRefused:
            return None
