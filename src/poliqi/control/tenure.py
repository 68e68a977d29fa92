"""Who commands: this start's epoch, rivals that sites obey instead, and the records by which a next start knows."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import replace
from typing import Final

from poliqi.base.errors import ProtocolError
from poliqi.base.ids import KmeId
from poliqi.control.citystate import CityState
from poliqi.control.events import CityEvent, CityEventKind
from poliqi.control.journal import Journal
from poliqi.control.lines import Value
from poliqi.control.messages import VERSION, Hello, Welcome, encode
from poliqi.control.plandigest import plan_digest
from poliqi.control.records import CityChanged, Drained, Loaded, Standing, Started

__all__ = ["Tenure"]

_STANDING_NS: Final = 86_400_000_000_000
_AHEAD_S: Final = 86_400
"""An epoch is a second of UTC at a controller's start: none lies further in the future than clocks differ."""

_K = CityEventKind


class Tenure:
    """One controller's time in charge."""

    def __init__(
        self,
        name: KmeId,
        instance: str,
        state: CityState,
        journal: Journal,
        tell: Callable[[CityEvent], None],
        loaded: Loaded,
        now: float,
    ) -> None:
        """Writes the first records: the epoch, and the plan where it is another than the log's."""
        self.name: Final = name
        self.instance: Final = instance
        self.epoch = max(loaded.epoch + 1, journal.wall_ns // 1_000_000_000)
        self._rival_epoch = 0
        self._astray: Final[set[KmeId]] = set()
        """Sites that obey another controller."""
        self._state: Final = state
        self._journal: Final = journal
        self._tell: Final = tell
        self._stood_ns = journal.wall_ns
        self._begin(now)
        digest = plan_digest(state.city)
        if digest == loaded.digest:
            self._number_plan(loaded.version)
        else:
            self.plan(max(loaded.version + 1, state.city.version), digest, "the plan was read", now)

    def _begin(self, now: float) -> None:
        city, name = self._state.city.name, self.name
        self._journal.write(
            Started(n=0, wall_ns=0, city=city, controller=name, instance=self.instance, epoch=self.epoch)
        )
        self._tell(CityEvent(_K.CONTROLLER_STARTED, now, values=self._words()))

    def _words(self) -> dict[str, Value]:
        return {"controller": self.name, "epoch": self.epoch}

    def welcome(self) -> bytes:
        """What every site is told first."""
        return encode(Welcome(version=VERSION, controller=self.name, instance=self.instance, epoch=self.epoch))

    @property
    def is_in_charge(self) -> bool:
        """Whether to give orders: not while more than half of the sites obey another controller. One that says so
        alone may lie, and is fenced by itself.
        """
        return 2 * len(self._astray) <= len(self._state.sites) if self._astray else True

    @property
    def has_rival(self) -> bool:
        """Whether any site obeys another controller."""
        return bool(self._astray)

    def heed(self, site: KmeId, hello: Hello, now: float) -> bool:
        """Whom a site obeyed; True where it obeyed this start. Raises ProtocolError for an epoch of the future."""
        is_other = hello.epoch == self.epoch and hello.obeyed not in ("", self.instance)
        if hello.epoch > self.epoch or is_other:
            self.met_rival(site, hello.epoch, now)
        obeys = hello.epoch == self.epoch and hello.obeyed == self.instance
        if obeys:
            self.back(site, now)
        return obeys

    def back(self, site: KmeId, now: float) -> None:
        """A site obeys this controller."""
        if site in self._astray:
            self._astray.discard(site)
            if not self._astray:
                self._tell(CityEvent(_K.CONTROLLER_ALONE, now, values=self._words()))

    def forget(self, sites: Container[KmeId], now: float) -> None:
        """Only these sites are of the city now."""
        before = bool(self._astray)
        self._astray.intersection_update([site for site in self._astray if site in sites])
        if before and not self._astray:
            self._tell(CityEvent(_K.CONTROLLER_ALONE, now, values=self._words()))

    def met_rival(self, site: KmeId, epoch: int, now: float) -> None:
        """A site obeys another controller. Raises ProtocolError for an epoch of the future."""
        if epoch > max(self.epoch, self._journal.wall_ns // 1_000_000_000 + _AHEAD_S):
            raise ProtocolError(f"epoch {epoch} lies in the future: no controller has begun it")
        self._rival_epoch = max(self._rival_epoch, epoch)
        if site not in self._astray:
            self._astray.add(site)
            self._tell(CityEvent(_K.CONTROLLER_RIVAL, now, site=site, values={"epoch": epoch}))

    def take_charge(self, now: float) -> None:
        """A new epoch, above the rival's."""
        self.epoch = max(self.epoch, self._rival_epoch) + 1
        self._astray.clear()
        self._begin(now)
        self._tell(CityEvent(_K.CONTROLLER_ALONE, now, values=self._words()))

    def plan(self, version: int, digest: str, text: str, now: float) -> None:
        """The plan is new, or another."""
        self._number_plan(version)
        self._journal.write(CityChanged(n=0, wall_ns=0, version=version, digest=digest, change=text))
        self._tell(CityEvent(_K.CITY_CHANGED, now, values={"change": text}))

    def _number_plan(self, version: int) -> None:
        if self._state.city.version != version:
            self._state.city = replace(self._state.city, version=version)

    def stand(self) -> bool:
        """Once a day, begin to write down all that stands, so that the log may be cut here; routes follow."""
        if self._journal.wall_ns - self._stood_ns < _STANDING_NS:
            return False
        self._stood_ns = self._journal.wall_ns
        city, name = self._state.city, self.name
        self._journal.write(
            Standing(n=0, wall_ns=0, city=city.name, controller=name, instance=self.instance, epoch=self.epoch)
        )
        digest = plan_digest(city)
        self._journal.write(CityChanged(n=0, wall_ns=0, version=city.version, digest=digest, change="as before"))
        for watch in self._state.sites.values():
            if watch.is_draining:
                self._journal.write(Drained(n=0, wall_ns=0, site=watch.kme, is_draining=True))
        return True
