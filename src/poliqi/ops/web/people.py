"""Who is at the dashboard: people by certificate, by token and session, or simply at this machine."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from poliqi.edge.identity import Caller, CallerKind
from poliqi.keys.buckets import Bucket, Rate
from poliqi.ops.web.roles import MAY, Permission, Role
from poliqi.ops.web.settings import DashboardSettings, find_token

__all__ = ["Deed", "People", "Person", "Session", "Way"]

_SESSIONS: Final = 4096
_ADDRESSES: Final = 1024
_DEEDS: Final = 500
_ONE: Final = Rate(per_s=0.1, burst=5)
_REFUSALS: Final = 100


class Way(StrEnum):
    """How somebody came in."""

    HERE = "here"
    CERTIFICATE = "certificate"
    TOKEN = "token"  # noqa: S105  # a word, no secret


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who may come in. `key` tells one visit from another; it is no secret and opens nothing.

    `denied` takes away from what the role allows.
    """

    name: str
    role: Role
    way: Way
    key: str
    denied: frozenset[Permission] = frozenset()

    def may(self, permission: Permission) -> bool:
        """Whether the role allows it, and nothing takes it away."""
        return permission in MAY[self.role] and permission not in self.denied


@dataclass(slots=True)
class Session:
    """A login by token; `token` is the SHA-256 of that, as the file holds it."""

    person: Person
    token: str
    address: str
    since_unix_s: float
    seen_unix_s: float
    ends_unix_s: float


@dataclass(frozen=True, slots=True)
class Deed:
    """Something somebody did or was refused. `outcome`: nothing where it was done, else why not."""

    at_unix_s: float
    who: str
    what: str
    subject: str
    outcome: str


class People:
    """Sessions, and the list of what was done. Cookies are kept as their SHA-256 only."""

    def __init__(self, settings: DashboardSettings, wall: Callable[[], float]) -> None:
        self.settings = settings
        self._wall: Final = wall
        self._secret: Final = secrets.token_bytes(32)
        self._sessions: Final[OrderedDict[str, Session]] = OrderedDict()
        self._attempts: Final[OrderedDict[str, Bucket]] = OrderedDict()
        self._deeds: Final[deque[Deed]] = deque(maxlen=_DEEDS)
        self._refusals: Final[deque[Deed]] = deque(maxlen=_REFUSALS)

    # ---- who

    def recognise(self, scheme: str, caller: Caller | None, cookie: str, bearer: str) -> Person | None:
        """Whom a request comes from: a session, a token in its header, a certificate, or this machine."""
        if cookie and (found := self.session(_hashed(cookie))) is not None:
            found.seen_unix_s = self._wall()
            return found.person
        if bearer:
            entry = find_token(self.settings.tokens, bearer)
            return entry and Person(entry.name, entry.role, Way.TOKEN, f"bearer:{entry.sha256}")
        if caller is not None and caller.kind is CallerKind.SAE and caller.name in self.settings.certificates:
            role = self.settings.certificates[caller.name]
            return Person(caller.name, role, Way.CERTIFICATE, f"certificate:{caller.fingerprint}")
        if scheme == "http" and self.settings.open_role is not None:
            return Person("", self.settings.open_role, Way.HERE, "here")
        return None

    def session(self, key: str) -> Session | None:
        """A session that still holds: its time is not over, its token still stands in the file as it was."""
        found = self._sessions.get(key)
        if found is None:
            return None
        person = found.person
        known = any(
            (t.name, t.role, t.sha256) == (person.name, person.role, found.token) for t in self.settings.tokens
        )
        if not known or self._wall() >= found.ends_unix_s:
            del self._sessions[key]
            return None
        return found

    @property
    def sessions(self) -> dict[str, Session]:
        """All that hold, by key."""
        return {key: found for key in list(self._sessions) if (found := self.session(key)) is not None}

    # ---- login

    def may_try(self, address: str) -> bool:
        """Count an attempt to log in; False where there were too many."""
        now = self._wall()
        bucket = self._attempts.get(address)
        if bucket is None:
            bucket = self._attempts[address] = Bucket(_ONE, now)
            if len(self._attempts) > _ADDRESSES:
                self._attempts.popitem(last=False)
        if bucket.level(now) < 1.0:
            return False
        bucket.take(1.0, now)
        return True

    def log_in(self, token: str, address: str) -> str | None:
        """A new session's cookie, or None for a token that is nobody's."""
        entry = find_token(self.settings.tokens, token)
        if entry is None:
            self._refusals.appendleft(Deed(self._wall(), "", "login", address, "refused"))
            return None
        cookie, now = secrets.token_urlsafe(32), self._wall()
        key = _hashed(cookie)
        person = Person(entry.name, entry.role, Way.TOKEN, key)
        self._sessions[key] = Session(person, entry.sha256, address, now, now, now + self.settings.session_s)
        if len(self._sessions) > _SESSIONS:
            self._sessions.popitem(last=False)
        self.note(entry.name, "login", address, "")
        return cookie

    def log_out(self, key: str) -> Person | None:
        """End a session; whose it was."""
        found = self._sessions.pop(key, None)
        return None if found is None else found.person

    # ---- forms and deeds

    def form_token(self, person: Person) -> str:
        """What a form of this visit carries; another site's page cannot know it."""
        return hmac.new(self._secret, person.key.encode(), hashlib.sha256).hexdigest()

    def is_form_token(self, person: Person, token: str) -> bool:
        """Compared in constant time."""
        return hmac.compare_digest(self.form_token(person).encode(), token.encode())

    def note(self, who: str, what: str, subject: str, outcome: str) -> None:
        """Write down what was done."""
        self._deeds.appendleft(Deed(self._wall(), who, what, subject, outcome))

    @property
    def deeds(self) -> list[Deed]:
        """The latest, newest first; strangers' failed logins are kept apart, so that they push nothing out."""
        return sorted([*self._deeds, *self._refusals], key=lambda deed: -deed.at_unix_s)


def _hashed(cookie: str) -> str:
    return hashlib.sha256(cookie.encode()).hexdigest()
