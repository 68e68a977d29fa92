"""Where an application's keys come from: the seam `KeySource`, and the usual one, its site by ETSI GS QKD 014.

Another source (another vendor's key management, a token, a test) is one class with the same methods.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Never, Protocol

from poliqi.apps.keygrade import KeyGrade
from poliqi.base.errors import ConfigError
from poliqi.base.ids import SaeId
from poliqi.edge.keyanswers import Key

if TYPE_CHECKING:
    from poliqi.apps.settings import SaeSettings

__all__ = ["Key", "KeySource", "NoSite", "SiteKeys", "Supply", "keys_of"]

_SHORTEST_LOOK_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Supply:
    """What waits between the caller, as master, and a peer. Sizes in bytes, `rate_bps` in bits a second.

    `rate_bps` is how fast stock comes in; None until it was watched for a moment. `most_number` keys of
    `most_bytes` each are given at once. `grades` are those that stock has now.
    """

    available_bytes: int
    rate_bps: float | None
    least_bytes: int
    most_bytes: int
    most_number: int
    is_connected: bool
    grades: tuple[KeyGrade, ...] = ()

    def seconds_until(self, needed_bytes: int) -> float | None:
        """When `needed_bytes` will be there, in seconds from now; 0 for now, None where nobody can say."""
        missing = needed_bytes - self.available_bytes
        if missing <= 0:
            return 0.0
        return 8.0 * missing / self.rate_bps if self.rate_bps else None


class KeySource(Protocol):
    """Keys shared with a peer, each given once: `fresh` to the caller, `named` to its peer. Any thread may call."""

    def fresh(self, peer: SaeId, number: int, size_bytes: int) -> list[Key]:
        """`number` new keys of `size_bytes` to share with `peer`: all or none.

        Raises KeysNotReady (ask again after `retry_s`), ConfigError (not permitted, or beyond the limits),
        LinkDown, ProtocolError.
        """
        ...

    def named(self, peer: SaeId, key_ids: Sequence[str]) -> list[Key]:
        """The keys that `peer` drew and named. Raises DataRefused where one is not there (any more); as `fresh`."""
        ...

    def supply(self, peer: SaeId) -> Supply:
        """What `fresh` could give now, and how fast more comes in. Raises as `fresh`."""
        ...

    def close(self) -> None:
        """Hang up."""
        ...


class SiteKeys:
    """The keys of an application's own site (ETSI GS QKD 014), by mutual TLS. Implements KeySource."""

    def __init__(
        self,
        url: str,
        cert: str | Path,
        key: str | Path,
        ca: str | Path,
        timeout_s: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`url` is https://HOST:PORT of the site; PEM files as for `KeyClient`. Raises ConfigError."""
        from poliqi.edge.keyclient import KeyClient  # heavy; a key source of another kind does not need it

        self._client = KeyClient(url, cert=cert, key=key, ca=ca, timeout_s=timeout_s)
        self._again: Final = partial(KeyClient, url, timeout_s=timeout_s)
        self._lock: Final = threading.Lock()
        self._clock: Final = clock
        self._seen: Final[dict[SaeId, tuple[float, float, float | None]]] = {}

    def renewal(self, cert: str | Path, key: str | Path, ca: str | Path) -> Callable[[], None]:
        """Load other files; what is returned takes them from the next question on, and cannot fail.

        Raises ConfigError; the old ones stay in use then.
        """
        client = self._again(cert=cert, key=key, ca=ca)

        def swap() -> None:
            with self._lock:
                before, self._client = self._client, client
            before.close()

        return swap

    def fresh(self, peer: SaeId, number: int, size_bytes: int) -> list[Key]:
        """As KeySource."""
        with self._lock:
            return self._client.get_keys(peer, number, 8 * size_bytes)

    def named(self, peer: SaeId, key_ids: Sequence[str]) -> list[Key]:
        """As KeySource."""
        with self._lock:
            return self._client.get_named_keys(peer, key_ids)

    def supply(self, peer: SaeId) -> Supply:
        """As KeySource. The rate is that between two looks at least 0.2 s apart."""
        with self._lock:
            status = self._client.status(peer)
            extension = status.extension
            grades = extension.get("grades", [])
            return Supply(
                available_bytes=status.stored_keys * status.key_size_bits // 8,
                rate_bps=self._rate(peer, extension.get("filled_bits")),
                least_bytes=-(-status.min_size_bits // 8),
                most_bytes=status.max_size_bits // 8,
                most_number=status.max_keys_per_request,
                is_connected=extension.get("connected") is not False,
                grades=tuple(KeyGrade.read(g) for g in grades if isinstance(g, dict)),  # pyright: ignore[reportUnknownArgumentType]  # JSON
            )

    def _rate(self, peer: SaeId, filled_bits: object) -> float | None:
        """Bits a second, from a counter that only grows; a restart of the site begins anew."""
        if not isinstance(filled_bits, int | float) or isinstance(filled_bits, bool):
            return None
        now, filled = self._clock(), float(filled_bits)
        then, before, rate = self._seen.get(peer, (now, filled, None))
        if filled < before:
            then, before, rate = now, filled, None
        elif now - then >= _SHORTEST_LOOK_S:
            fresh = (filled - before) / (now - then)
            rate = fresh if rate is None else 0.5 * (rate + fresh)
            then, before = now, filled
        self._seen[peer] = (then, before, rate)
        return rate

    def close(self) -> None:
        """Hang up."""
        with self._lock:
            self._client.close()


class NoSite:
    """In place of keys, for an application without a site: it has none, and says so. Implements KeySource."""

    def fresh(self, peer: SaeId, number: int, size_bytes: int) -> Never:  # noqa: ARG002 - as KeySource
        """Raises ConfigError."""
        _no_site(peer)

    def named(self, peer: SaeId, key_ids: Sequence[str]) -> Never:  # noqa: ARG002 - as KeySource
        """Raises ConfigError."""
        _no_site(peer)

    def supply(self, peer: SaeId) -> Never:
        """Raises ConfigError."""
        _no_site(peer)

    def close(self) -> None:
        """Nothing is open."""


def _no_site(peer: SaeId) -> Never:
    raise ConfigError(
        f"no quantum key is shared with {peer}: this application has no site ([site] in its SAE.toml), so only "
        "streams under policy pqc are opened; one-time pad, messages and vault need a site"
    )


def keys_of(settings: SaeSettings) -> KeySource:
    """Where the application's keys come from: its site, or none. Raises ConfigError."""
    if settings.site is None:
        return NoSite()
    return SiteKeys(settings.site.url, settings.site.certificate, settings.site.key, settings.site.authority)
