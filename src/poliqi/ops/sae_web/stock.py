"""What key there is for each peer, asked while somebody looks and no more."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from poliqi.apps.keysource import KeySource, Supply
from poliqi.base.errors import PoliqiError
from poliqi.base.ids import SaeId
from poliqi.ops.sae_web.trouble import Trouble, trouble_of

__all__ = ["Stock", "StockWatch"]

_EVERY_S: Final = 1.0
_WATCHED_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class Stock:
    """The last answer of the site, or why there is none."""

    supply: Supply | None = None
    problem: str = ""
    trouble: Trouble | None = None


class StockWatch:
    """Asks its site in a thread of its own, so that nobody who looks waits for it."""

    def __init__(self, keys: KeySource, clock: Callable[[], float] = time.monotonic) -> None:
        self._keys: Final = keys
        self._clock: Final = clock
        self._changed: Final = threading.Condition()
        self._peers: frozenset[SaeId] = frozenset()
        self._stocks: dict[SaeId, Stock] = {}
        self._looked_s = float("-inf")
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="stock", daemon=True)
        self._thread.start()

    def look(self, peers: Iterable[SaeId], wait_s: float = 1.0) -> Mapping[SaeId, Stock]:
        """What is known now; who looks first waits a moment for the first answers."""
        with self._changed:
            self._peers = frozenset(peers)
            self._looked_s = self._clock()
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._is_closed or self._stocks.keys() >= self._peers, wait_s)
            return dict(self._stocks)

    def close(self) -> None:
        """Ask no more."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._thread.join(_EVERY_S)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_closed or self._is_watched)
                if self._is_closed:
                    return
                peers = self._peers
            for peer in sorted(peers):
                stock = self._ask(peer)
                with self._changed:
                    self._stocks[peer] = stock
                    self._changed.notify_all()
            with self._changed:
                self._changed.wait_for(lambda: self._is_closed, _EVERY_S)

    @property
    def _is_watched(self) -> bool:
        return self._clock() - self._looked_s < _WATCHED_S

    def _ask(self, peer: SaeId) -> Stock:
        try:
            return Stock(self._keys.supply(peer))
        except PoliqiError as error:
            return Stock(None, str(error), trouble_of(error))
