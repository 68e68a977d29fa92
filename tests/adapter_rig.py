"""Both ends of a rotation in this process, over real streams; keys are played."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.played_keys import PlayedKeys, PlayedSite
from poliqi.apps.adapters.events import Event, Happening
from poliqi.apps.adapters.messages import PURPOSE
from poliqi.apps.adapters.rotator import Rotator
from poliqi.apps.adapters.service import RotationService
from poliqi.apps.adapters.software import Software
from poliqi.apps.adapters.tunnel import Tunnel
from poliqi.apps.dial import dialling
from poliqi.apps.identity import Identity
from poliqi.apps.keygrade import GradeDemand
from poliqi.apps.settings import Peer, SaeSettings
from poliqi.apps.stream.terms import StreamRule
from poliqi.base.ids import SaeId
from poliqi.base.secret import SecretBytes
from poliqi.edge.entropy import OperatingSystemEntropy
from poliqi.edge.network import Address
from poliqi.node.sae import SaeDoor

__all__ = ["Ends", "PretendedSoftware", "sae_settings", "two_ends"]


@dataclass
class PretendedSoftware:
    """Remembers what it was told; fails where `failing` names the call."""

    kind: str = "wireguard"
    starts: bool = True
    held: dict[str, bytes] = field(default_factory=dict[str, bytes])
    calls: list[str] = field(default_factory=list[str])
    failing: dict[str, Exception] = field(default_factory=dict[str, Exception])

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name.split()[0] in self.failing:
            raise self.failing[name.split()[0]]

    def can_start(self) -> bool:
        return self.starts

    def open(self) -> tuple[str, ...]:
        self._call("open")
        return ()

    def hold(self, key_id: str, secret: SecretBytes) -> None:
        self._call("hold")
        self.held[key_id] = secret.take()

    def use(self, key_id: str, *, is_starter: bool) -> None:
        self._call("use first" if is_starter else "use")

    def retire(self, key_id: str) -> None:
        self._call("retire")

    def shut(self) -> None:
        self._call("shut")

    def close(self) -> None:
        self._call("close")


def sae_settings(own: Identity, peers: list[Peer], **more: Any) -> SaeSettings:
    """Of an application that asks no site."""
    nowhere = Path("/nonexistent")
    return SaeSettings(
        file=more.pop("file", nowhere / "sae.toml"),
        identity=own,
        state=nowhere,
        inbox=nowhere,
        peers={peer.sae: peer for peer in peers},
        **more,
    )


class Ends:
    """alfa, the first, and bravo. `events` are those of both, with whose they are."""

    def __init__(
        self,
        first: Software,
        second: Software,
        site: PlayedSite | None = None,
        longest_s: float = 60.0,
        demands: tuple[GradeDemand, GradeDemand] = (GradeDemand(), GradeDemand()),
    ) -> None:
        self.site = PlayedSite() if site is None else site
        self.events: list[tuple[str, Event]] = []
        self.said: list[Any] = []
        self.keys: dict[str, PlayedKeys] = {name: self.site.keys(name) for name in ("alfa", "bravo")}
        ids = {name: Identity.make(SaeId(name), OperatingSystemEntropy()) for name in self.keys}
        rule = StreamRule(demand=GradeDemand(allow_simulated=True))
        self.tunnels = {
            name: Tunnel(
                "office",
                SaeId(other),
                software,
                demand,
                longest_s,
                lambda event, name=name: self.events.append((name, event)),
            )
            for name, other, software, demand in (
                ("alfa", "bravo", first, demands[0]),
                ("bravo", "alfa", second, demands[1]),
            )
        }
        self.service = RotationService([self.tunnels["bravo"]], self.keys["bravo"])
        caller = Peer(ids["alfa"].contact, "Leonardo", None, rule, rule)
        self.door = SaeDoor(
            sae_settings(ids["bravo"], [caller]),
            self.keys["bravo"],
            [self.service],
            lambda *words, **_: self.said.append(words),
        )
        self.address = self.door.start(Address("127.0.0.1", 0))
        self.peer = Peer(ids["bravo"].contact, "Bovisa", self.address, rule, rule)
        self.dial = dialling(sae_settings(ids["alfa"], [self.peer]), self.keys["alfa"])

    def rotator(self, every_s: float = 10.0) -> Rotator:
        return Rotator(
            self.tunnels["alfa"],
            lambda: self.dial(self.peer, self.peer.rule, PURPOSE),
            self.keys["alfa"],
            every_s,
        )

    def rotated(self, name: str) -> list[str]:
        """The keys that came into use at one end."""
        return [
            event.key_id
            for who, event in list(self.events)
            if who == name and event.event is Happening.ROTATED and event.key_id is not None
        ]

    def told(self, happening: Happening) -> list[str]:
        """What else was reported, as lines."""
        return [f"{who}: {event.text}" for who, event in list(self.events) if event.event is happening]

    @contextmanager
    def rotating(self, every_s: float) -> Iterator[None]:
        """The first rotates in a thread of its own."""
        stop = threading.Event()
        thread = threading.Thread(target=self.rotator(every_s).run, args=(stop,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(20)


@contextmanager
def two_ends(
    first: Software,
    second: Software,
    site: PlayedSite | None = None,
    longest_s: float = 60.0,
    demands: tuple[GradeDemand, GradeDemand] = (GradeDemand(), GradeDemand()),
) -> Iterator[Ends]:
    """Both opened, and closed at the end."""
    ends = Ends(first, second, site, longest_s, demands)
    try:
        for tunnel in ends.tunnels.values():
            tunnel.open()
        yield ends
    finally:
        ends.door.close()
        ends.tunnels["alfa"].close()
