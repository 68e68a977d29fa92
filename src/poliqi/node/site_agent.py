"""A site's part in its city: tells the controller what the site sees, and follows the routes that it gives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Final

import msgspec

from poliqi.base.errors import ConfigError
from poliqi.base.ids import KmeId
from poliqi.control.agent import Agent, AgentRule, Observation
from poliqi.control.messages import LinkReport, PeerReport, PoolReport
from poliqi.edge.agentdriver import AgentDriver, read_remembered
from poliqi.edge.kme import KmeDriver
from poliqi.edge.peers import PeerNetwork, PeerTlsFiles
from poliqi.keys.desk_state import KmeEvent
from poliqi.keys.marks import StoredState
from poliqi.keys.relaying import RelayRoute
from poliqi.node.site_settings import ControlSettings, SiteSettings

__all__ = ["SiteAgent", "software_name"]

_LOOK_S: Final = 1.0
_MOST_RELAYS: Final = 7
_REMEMBERED: Final = "routes.json"


def software_name() -> str:
    """What runs, for the controller and the dashboard."""
    from importlib.metadata import version

    return f"poliqi {version('poliqi')}"


class SiteAgent:
    """The agent of a running site. `say` gets event and text; `is_draining` whether the site takes no requests."""

    def __init__(
        self,
        settings: SiteSettings,
        control: ControlSettings,
        driver: KmeDriver,
        stored: StoredState,
        say: Callable[[str, str], None],
        is_draining: Callable[[], bool],
    ) -> None:
        self._settings: Final = settings
        self._control: Final = control
        self._kme: Final = driver
        self._say: Final = say
        self._is_draining: Final = is_draining
        path = settings.state / _REMEMBERED
        instance = f"{stored.instance.hex()}-{stored.generation}"
        rule = self._rule()
        agent = Agent(settings.site, instance, software_name(), rule, read_remembered(path))
        self._driver: Final = AgentDriver(agent, path, self._fill, lambda line: say("control", line))
        self._network: PeerNetwork | None = None
        self._looking: asyncio.Task[None] | None = None
        self._lights: Final[dict[str, tuple[LinkReport, float]]] = {}

    def _rule(self) -> AgentRule:
        """What the site's own policy and pools allow a route."""
        state = self._kme.kme.state
        most = state.policy.rule.max_relays
        return AgentRule(
            never_through=frozenset(state.policy.rule.never_through),
            pools={p.link_id: p.peer for p in state.stock.pools.values() if p.is_relayed},
            max_relays=min(_MOST_RELAYS, _MOST_RELAYS if most is None else most),
            block_bytes=self._control.block_bytes,
        )

    def _fill(self, routes: tuple[RelayRoute, ...]) -> None:
        """Routes of site.toml stand; the controller's come beside them."""
        self._kme.kme.fill((*self._settings.routes(), *routes))
        self._kme.kick()

    async def open(self, doors: AsyncExitStack) -> None:
        """Call the controller, and look at the site each second."""
        doors.push_async_callback(self._driver.close)
        doors.push_async_callback(self._hang_up)
        await self._call()
        self._driver.start()
        self._looking = asyncio.create_task(self._look())
        doors.push_async_callback(self._stop_looking)

    async def _call(self) -> None:
        """Call from now on. A controller that cannot be called is no reason not to serve keys."""
        s, control = self._settings, self._control
        network = PeerNetwork(
            s.site,
            PeerTlsFiles(s.tls.certificate, s.tls.key, s.tls.trust or s.state),
            None,
            {control.controller: control.address},
            self._driver.serve,
            note=lambda line: self._say("control", line),
            calls=lambda _own, _peer: True,
        )
        try:
            await network.start()
        except ConfigError as error:
            self._say("control", f"{error}; the site goes on by the routes that it has: mend it, then reload")
        else:
            self._network = network

    async def _hang_up(self) -> None:
        if self._network is not None:
            await self._network.close()

    async def _stop_looking(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    async def reload(self) -> None:
        """Certificates, policy and pools may be others now. Raises ConfigError."""
        if self._network is None:
            await self._call()
        else:
            self._network.reload_tls()
        self._driver.agent.obey(self._rule(), asyncio.get_running_loop().time())
        self._driver.kick()

    # ---------------------------------------------------------------- what the site sees

    def light(self, report: LinkReport) -> None:
        """News of a link's light, passed on at once."""
        now = asyncio.get_running_loop().time()
        self._lights[report.link] = report, now
        self._driver.agent.light(report, now)
        self._driver.kick()

    def heed(self, event: KmeEvent) -> None:
        """An event of the key management."""
        now = asyncio.get_running_loop().time()
        self._driver.agent.notice(event.kind.value, event.text, event.peer, now)
        self._driver.kick()

    def failed(self, reason: str) -> None:
        """The key store failed: the controller hears of it before the site stops."""
        self._driver.agent.notice("store-failed", reason, None, asyncio.get_running_loop().time())
        self._driver.kick()

    def look(self) -> None:
        """Look at the site now; the agent decides when to report."""
        self._driver.agent.observe(self.observation(), asyncio.get_running_loop().time())
        self._driver.kick()

    async def _look(self) -> None:
        while True:
            self.look()
            await asyncio.sleep(_LOOK_S)

    def observation(self) -> Observation:
        """Counts and names; no key."""
        state = self._kme.kme.state
        counts = state.counts
        delivered, refused = counts.get("keys_delivered", 0), counts.get("orders_without_stock", 0)
        now = asyncio.get_running_loop().time()
        return Observation(
            links=tuple(
                msgspec.structs.replace(light, age_s=light.age_s + now - at) for light, at in self._lights.values()
            ),
            pools=tuple(
                PoolReport(
                    pool=p.link_id,
                    peer=p.peer,
                    is_relayed=p.is_relayed,
                    free_bits=8 * p.own_bytes,
                    stored_bits=8 * p.stored_bytes,
                    capacity_bits=8 * p.capacity,
                    taken_bits=8 * p.taken_bytes,
                    filled_bits=8 * p.filled_bytes,
                )
                for p in state.stock.pools.values()
            ),
            peers=tuple(PeerReport(site=link.kme, is_connected=link.is_live) for link in state.links.values()),
            keys_delivered=delivered,
            requests=delivered + refused,
            requests_refused=refused,
            is_draining=self._is_draining(),
        )

    @property
    def controller(self) -> KmeId:
        """Whom it follows."""
        return self._control.controller
