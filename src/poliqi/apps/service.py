"""The seam between the door of an application and what is behind it: one `Service` for each purpose.

The door (node.sae) accepts a connection, lets the handshake say who calls and for what purpose, and hands the open
stream to the service of that purpose, in a thread of its own.
"""

from __future__ import annotations

from typing import Protocol

from poliqi.apps.settings import SaeSettings
from poliqi.apps.stream.channel import Channel

__all__ = ["Service"]


class Service(Protocol):
    """Answers streams of one purpose. Any number of threads may call at once."""

    @property
    def purpose(self) -> str:
        """The purpose that callers name, such as "send 1": a word and the version of what is spoken."""
        ...

    def serve(self, channel: Channel) -> None:
        """Have the conversation; the door closes the channel afterwards. Raises what a channel raises."""
        ...

    def change(self, settings: SaeSettings) -> None:
        """Other contacts and rules, for what comes from now on."""
        ...

    def close(self) -> None:
        """Take no more; called once, when the application ends."""
        ...
