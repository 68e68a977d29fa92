"""The sites that keep shares, as their owner calls them: over a stream under one-time pad, or here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from poliqi.apps.dial import Dial
from poliqi.apps.envelope.call import Caller
from poliqi.apps.envelope.pads import Outlook, PadSource
from poliqi.apps.envelope.rule import PadNote
from poliqi.apps.keysource import KeySource
from poliqi.apps.settings import Peer, SaeSettings
from poliqi.apps.vault.requests import Request, encode
from poliqi.apps.vault.service import answer_request
from poliqi.apps.vault.settings import PURPOSE, rule_for
from poliqi.apps.vault.shelf import Shelf
from poliqi.base.errors import ConfigError, LinkDown, ProtocolError
from poliqi.base.ids import SaeId
from poliqi.edge.keyanswers import KeysNotReady

__all__ = ["HERE", "Keeper", "Keepers", "Wait"]

HERE: Final = "here"
"""What an owner calls its own site."""

Wait = Callable[[KeysNotReady], None]
"""Waits until key may be there again, or raises what it was given."""


class Keeper(Protocol):
    """A site that keeps shares. `note`: what is told of the pads of this conversation, None where none were."""

    @property
    def sae(self) -> SaeId: ...
    @property
    def place(self) -> str:
        """What people call it."""
        ...

    note: PadNote | None

    def ask(self, request: Request, answer_bytes: int) -> bytes:
        """The answer. Raises DataRefused where it says no, LinkDown, ProtocolError, and as a key source."""
        ...

    def outlook(self, pads: Sequence[tuple[int, int]]) -> Outlook | None:
        """Whether key for pads, each (bytes, how many of them), is there; None where none is needed."""
        ...

    def close(self) -> None: ...


class _Here:
    """The owner's own site: nothing travels."""

    def __init__(self, sae: SaeId, shelf: Shelf) -> None:
        self.sae: Final = sae
        self.place: Final = HERE
        self.note: PadNote | None = None
        self._shelf: Final = shelf

    def ask(self, request: Request, answer_bytes: int) -> bytes:
        return answer_request(self._shelf, self.sae, encode(request), answer_bytes, None)

    def outlook(self, pads: Sequence[tuple[int, int]]) -> Outlook | None:  # noqa: ARG002  # none is needed
        return None

    def close(self) -> None:
        self._shelf.close()


class _Remote:
    """A peer; it is called when it is asked first, and anew once a stream was lost."""

    def __init__(self, settings: SaeSettings, peer: Peer, keys: KeySource, dial: Dial, wait: Wait) -> None:
        self.sae: Final = peer.sae
        self.place: Final = peer.place
        self.note: PadNote | None = None
        self._peer: Final = peer
        self._rule: Final = rule_for(settings, peer)
        self._keys: Final = keys
        self._dial: Final = dial
        self._wait: Final = wait
        self._caller: Caller | None = None

    def ask(self, request: Request, answer_bytes: int) -> bytes:
        body = encode(request)
        while True:
            was_open = self._caller is not None
            try:
                answer, note = self._open().ask(body, answer_bytes)
            except KeysNotReady as error:
                self._wait(error)
                continue
            except LinkDown:
                self.close()
                if was_open:  # every request may be asked twice
                    continue
                raise
            except ProtocolError:
                self.close()
                raise
            self.note = PadNote.joined(self.note, note)
            return answer

    def outlook(self, pads: Sequence[tuple[int, int]]) -> Outlook | None:
        return PadSource(self._keys, self.sae, self._rule).outlook(*pads)

    def close(self) -> None:
        if self._caller is not None:
            self._caller.finish()
            self._caller = None

    def _open(self) -> Caller:
        if self._caller is None:
            channel = self._dial(self._peer, self._rule.carriage(self._peer), PURPOSE)
            self._caller = Caller(channel, self._keys, self._rule)
        return self._caller


class Keepers:
    """Keepers by the names that people and the catalogue use: one for each site, called when it is asked first."""

    def __init__(
        self, settings: SaeSettings, keys: KeySource, dial: Dial, shelf: Callable[[], Shelf], wait: Wait
    ) -> None:
        self._settings: Final = settings
        self._keys: Final = keys
        self._dial: Final = dial
        self._shelf: Final = shelf
        self._wait: Final = wait
        self._made: Final[dict[SaeId, Keeper]] = {}

    def close(self) -> None:
        """Hang up on all."""
        for keeper in self._made.values():
            keeper.close()
        self._made.clear()

    def named(self, name: str) -> Keeper:
        """By a peer's place or application, or "here". Raises ConfigError."""
        if name.casefold() == HERE or SaeId(name) == self._settings.sae:
            return self._made.get(self._settings.sae) or self._make(_Here(self._settings.sae, self._shelf()))
        peer = self._settings.peer(name)
        if peer is None:
            known = ", ".join([HERE, *sorted(peer.place for peer in self._settings.peers.values())])
            raise ConfigError(f"site {name[:80]!r} is not known; these are: {known}")
        return self._made.get(peer.sae) or self._make(
            _Remote(self._settings, peer, self._keys, self._dial, self._wait)
        )

    def _make(self, keeper: Keeper) -> Keeper:
        return self._made.setdefault(keeper.sae, keeper)

    def all(self) -> list[Keeper]:
        """Every site that could keep something."""
        names = [peer.sae for peer in self._settings.peers.values() if peer.address is not None]
        return [self.named(HERE), *(self.named(name) for name in names)]
