"""Two applications that talk over streams without encryption, in this process: what the pads alone achieve.

For tests of the messenger and the vault: the wire can be looked at, cut and tampered with, message by message.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.played_keys import PlayedKeys, PlayedSite
from poliqi.apps.identity import Identity
from poliqi.apps.keygrade import GradeDemand
from poliqi.apps.service import Service
from poliqi.apps.settings import Peer, SaeSettings
from poliqi.apps.stream.channel import Channel
from poliqi.apps.stream.terms import Mode, Policy, StreamRule, Usage
from poliqi.base.errors import LinkDown, PoliqiError
from poliqi.base.ids import SaeId
from poliqi.edge.entropy import OperatingSystemEntropy
from poliqi.edge.network import Address

_IDENTITIES: dict[str, Identity] = {}


@dataclass
class Wire:
    """What passed, in order: (time, who sent, bytes). `change` sees each and may alter it, or raise LinkDown."""

    passed: list[tuple[float, str, bytes]] = field(default_factory=list)
    change: Callable[[str, bytes], bytes] = lambda _who, data: data


class TalkChannel:
    """One end of a stream (poliqi.apps.stream.channel.Channel) that encrypts nothing."""

    def __init__(
        self, local: str, peer: str, purpose: str, mode: Mode, wire: Wire, into: queue.Queue[bytes | None],
        out: queue.Queue[bytes | None],
    ) -> None:  # fmt: skip
        self.local, self.peer, self.purpose = SaeId(local), SaeId(peer), purpose
        self.usage = Usage(mode, self.local, self.peer)
        self._wire, self._into, self._out = wire, into, out

    def send(self, data: bytes | bytearray | memoryview) -> None:
        changed = self._wire.change(self.local, bytes(data))
        self._wire.passed.append((time.monotonic(), self.local, changed))
        self._out.put(changed)

    def receive(self) -> memoryview | None:
        try:
            data = self._into.get(timeout=30.0)
        except queue.Empty:
            raise LinkDown("nothing came") from None
        return None if data is None else memoryview(data)

    def receive_into(self, buffer: bytearray | memoryview) -> int | None:
        raise NotImplementedError

    def finish(self) -> None:
        self._out.put(None)

    def close(self) -> None:
        self._out.put(None)


def application(name: str, folder: Path, peers: list[str], simulated: bool = False, **extra: Any) -> SaeSettings:
    """Settings of an application whose peers are called like their sites, capitalised."""
    demand = GradeDemand(allow_simulated=simulated)
    one_time = StreamRule(Policy.ITS, replace(demand, information_theoretic=True))
    contacts = {
        SaeId(p): Peer(_identity(p).contact, p.capitalize(), Address("127.0.0.1", 9), StreamRule(), one_time)
        for p in peers
    }
    return SaeSettings(
        file=folder / "sae.toml",
        identity=_identity(name),
        state=folder / "state",
        inbox=folder / "inbox",
        peers=contacts,
        allow_simulated=simulated,
        extra=extra,
    )


def _identity(name: str) -> Identity:
    if name not in _IDENTITIES:
        _IDENTITIES[name] = Identity.make(SaeId(name), OperatingSystemEntropy())
    return _IDENTITIES[name]


class Town:
    """Applications that can call each other; one that is `away` cannot be reached."""

    def __init__(self, site: PlayedSite | None = None) -> None:
        self.site = PlayedSite() if site is None else site
        self.services: dict[str, Service] = {}
        self.away: set[str] = set()
        self.wire = Wire()
        self.modes: dict[Policy, Mode] = {
            Policy.HYBRID: Mode.HYBRID,
            Policy.STRICT: Mode.QUANTUM,
            Policy.ITS: Mode.ONE_TIME,
        }
        self.ended: list[PoliqiError] = []
        self.threads: list[threading.Thread] = []

    def keys(self, name: str) -> PlayedKeys:
        return self.site.keys(name)

    def dial(self, caller: str) -> Callable[[Peer, StreamRule, str], Channel]:
        def call(peer: Peer, rule: StreamRule, purpose: str) -> Channel:
            if peer.sae in self.away or peer.sae not in self.services:
                raise LinkDown(f"{peer.place}: Connection refused")
            there: queue.Queue[bytes | None] = queue.Queue()
            back: queue.Queue[bytes | None] = queue.Queue()
            mode = self.modes[rule.policy]
            mine = TalkChannel(caller, peer.sae, purpose, mode, self.wire, back, there)
            theirs = TalkChannel(peer.sae, caller, purpose, mode, self.wire, there, back)
            thread = threading.Thread(target=self._serve, args=(peer.sae, theirs), daemon=True)
            self.threads.append(thread)
            thread.start()
            return mine

        return call

    def _serve(self, name: str, channel: TalkChannel) -> None:
        try:
            self.services[name].serve(channel)
        except PoliqiError as error:
            self.ended.append(error)
        finally:
            channel.close()
