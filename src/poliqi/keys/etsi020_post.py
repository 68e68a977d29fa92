"""Neighbouring key management systems, and what is posted to them until they take it (ETSI GS QKD 020)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from poliqi.base.errors import ConfigError
from poliqi.base.ids import KmeId, SaeId
from poliqi.keys.grade import Authenticity, Grade, KeyOrigin

__all__ = ["Neighbour", "Neighbours", "Post", "PostOffice", "origin_of", "untrusted"]

_FIRST_S: Final = 1.0
_LONGEST_S: Final = 60.0


def untrusted(neighbour: KmeId, site: KmeId) -> Grade:
    """The grade of keys of which nothing is known but who brought them."""
    return Grade(KeyOrigin.UNPROVEN, "", None, ((neighbour, site),), authenticity=Authenticity.COMPUTATIONAL)


def origin_of(url: str) -> str | None:
    """`https://host:port` of a plain https URL without a user; None for any other."""
    try:
        parts = urlsplit(url)
        port = parts.port or 443
    except ValueError:
        return None
    is_plain = url.isascii() and url.isprintable() and " " not in url and "\\" not in url
    if parts.scheme != "https" or not parts.hostname or "@" in parts.netloc or parts.fragment or not is_plain:
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"https://{host}:{port}"


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another KMS at this site: its name in its certificate, its URL, the applications that live behind it.

    It speaks for those applications only. Acknowledgements go to `callback_origins` only (none: its own URL's).
    `grade` is what its keys are trusted to be; None: unproven. `waits`: send to it in synchronous mode.
    """

    kme: KmeId
    url: str
    sae_ids: frozenset[SaeId]
    callback_origins: frozenset[str] = frozenset()
    grade: Grade | None = None
    waits: bool = False

    def allows(self, url: str) -> bool:
        """True where an acknowledgement may be posted to this URL."""
        origin = origin_of(url)
        allowed = {origin_of(each) for each in (self.callback_origins or (self.url,))}
        return origin is not None and origin in allowed


class Neighbours:
    """The registered neighbours. Raises ConfigError where they contradict each other."""

    __slots__ = ("_by_kme", "_by_sae")

    def __init__(self, neighbours: Iterable[Neighbour]) -> None:
        self._by_kme: Final[dict[KmeId, Neighbour]] = {}
        self._by_sae: Final[dict[SaeId, Neighbour]] = {}
        for neighbour in neighbours:
            for url in (neighbour.url, *neighbour.callback_origins):
                if origin_of(url) is None:
                    raise ConfigError(f"neighbour {neighbour.kme}: {url!r} is no URL like https://kms.example:8443")
            if neighbour.kme in self._by_kme:
                raise ConfigError(f"neighbour {neighbour.kme} stands there twice")
            self._by_kme[neighbour.kme] = neighbour
            for sae in neighbour.sae_ids:
                if sae in self._by_sae:
                    raise ConfigError(f"application {sae} is said to live behind two neighbours")
                self._by_sae[sae] = neighbour

    def get(self, kme: KmeId | None) -> Neighbour | None:
        """The neighbour of this name."""
        return None if kme is None else self._by_kme.get(kme)

    def behind(self, saes: Iterable[SaeId]) -> frozenset[KmeId | None]:
        """Behind whom these applications live; None in it: some live at no neighbour."""
        found = (self._by_sae.get(sae) for sae in saes)
        return frozenset(None if each is None else each.kme for each in found)


@dataclass(frozen=True, slots=True)
class Post:
    """Post a JSON body to a neighbour; then tell `posted(job, ...)`."""

    job: int
    neighbour: KmeId
    url: str
    body: bytes = field(repr=False)


@dataclass(slots=True)
class _Letter:
    neighbour: KmeId
    url: str
    body: bytes
    give_up_s: float
    due_s: float
    pause_s: float = _FIRST_S
    job: int | None = None


class PostOffice:
    """Letters that are posted again, ever more seldom, until they are taken, refused or too old."""

    __slots__ = ("_last_job", "_letters", "_limit_s", "_most", "given_up", "output")

    def __init__(self, limit_s: float, most: int) -> None:
        self._limit_s: Final = limit_s
        self._most: Final = most
        self._letters: Final[list[_Letter]] = []
        self._last_job = 0
        self.output: list[Post] = []
        self.given_up = 0
        """Letters that nobody took in time."""

    @property
    def is_full(self) -> bool:
        """True where no more letters are taken on."""
        return len(self._letters) >= self._most

    @property
    def is_busy(self) -> bool:
        """True where letters wait."""
        return bool(self._letters)

    def once(self, neighbour: KmeId, url: str, body: bytes) -> int:
        """Post something that is not repeated; the number of the job."""
        self._last_job += 1
        self.output.append(Post(self._last_job, neighbour, url, body))
        return self._last_job

    def mail(self, neighbour: KmeId, url: str, body: bytes, now: float) -> None:
        """Post something until it is taken."""
        letter = _Letter(neighbour, url, body, now + self._limit_s, now)
        self._letters.append(letter)
        self._send(letter)

    def _send(self, letter: _Letter) -> None:
        letter.job = self.once(letter.neighbour, letter.url, letter.body)

    def posted(self, job: int, status: int | None, now: float) -> bool:
        """A post has its HTTP status (None: no answer). False where it was not a letter."""
        letter = next((each for each in self._letters if each.job == job), None)
        if letter is None:
            return False
        letter.job = None
        if status is not None and status < 500 and status not in (408, 425, 429):
            self._letters.remove(letter)
            return True
        letter.due_s = now + letter.pause_s
        letter.pause_s = min(2 * letter.pause_s, _LONGEST_S)
        return True

    def tick(self, now: float) -> None:
        """Post what is due again; give up what is too old."""
        for letter in [each for each in self._letters if each.job is None]:
            if now >= letter.give_up_s:
                self._letters.remove(letter)
                self.given_up += 1
            elif now >= letter.due_s:
                self._send(letter)
