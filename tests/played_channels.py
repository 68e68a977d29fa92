"""Two ends of an open stream in one process, with played keys: for the tests of whatever runs over streams."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from bench.played_keys import PlayedSite
from poliqi.apps.identity import Identity
from poliqi.apps.stream.channel import Channel, accept, connect
from poliqi.apps.stream.terms import Policy, StreamRule
from poliqi.base.ids import SaeId
from poliqi.edge.entropy import OperatingSystemEntropy

CALLER, CALLEE = SaeId("caller"), SaeId("callee")

_IDENTITIES: dict[str, Identity] = {}


def identity(name: str) -> Identity:
    """The same one for a name each time."""
    found = _IDENTITIES.get(name)
    if found is None:
        found = _IDENTITIES[name] = Identity.make(SaeId(name), OperatingSystemEntropy())
    return found


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of a TCP connection over loopback."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = socket.create_connection(server.getsockname())
        other, _ = server.accept()
    return one, other


def channel_pair(
    policy: Policy = Policy.STRICT,
    site: PlayedSite | None = None,
    *,
    rule: StreamRule | None = None,
    callee_rule: StreamRule | None = None,
    purpose: str = "test 1",
    caller: str = CALLER,
    callee: str = CALLEE,
    over_tcp: bool = True,
    sockets: tuple[socket.socket, socket.socket] | None = None,
) -> tuple[Channel, Channel]:
    """The caller's end and the callee's. Both draw from `site`; `rule` holds at both ends, under `policy`.

    `callee_rule`, with a policy of its own, holds at the callee's in its place. `sockets` are used for new ones.
    """
    site = PlayedSite() if site is None else site
    rule = replace(rule or StreamRule(), policy=policy)
    one, other = sockets or (tcp_pair() if over_tcp else socket.socketpair())
    mine, yours = identity(caller), identity(callee)
    with ThreadPoolExecutor(1) as pool:
        answered = pool.submit(
            accept, other, yours, {mine.sae: (mine.contact, callee_rule or rule)}, site.keys(yours.sae)
        )
        try:
            called = connect(one, mine, yours.contact, site.keys(mine.sae), rule, purpose)
        except BaseException:
            if answered.exception() is None:
                answered.result().close()
            raise
    return called, answered.result()
