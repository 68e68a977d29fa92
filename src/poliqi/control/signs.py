"""Signs: what is wrong now, as far as events tell it; what the search for a cause works on.

An event puts a sign up or takes signs down. Signs that no event takes down for certain fade after a while.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from poliqi.control.city import City
from poliqi.control.events import CityEvent, CityEventKind

__all__ = ["KEYLESS", "Sign", "SignKind", "Signs", "sign_of", "why_keyless"]


class SignKind(StrEnum):
    """Kinds of signs, and what their subject is."""

    DARK = "dark"
    """(link)"""
    SILENT = "silent"
    """(link, site)"""
    KEYLESS_QBER = "keyless-qber"
    """(link): the errors are too many."""
    KEYLESS_DECOY = "keyless-decoy"
    """(link): the decoy states' bounds leave nothing."""
    KEYLESS_OTHER = "keyless-other"
    """(link)"""
    QBER_STEP = "qber-step"
    """(link)"""
    QBER_RAMP = "qber-ramp"
    """(link)"""
    LOSS = "loss"
    """(link)"""
    NOISE = "noise"
    """(link)"""
    RATE = "rate"
    """(link): alone it says nothing."""
    DISAGREE = "disagree"
    """(link)"""
    NONSENSE = "nonsense"
    """(site)"""
    LOST = "lost"
    """(site)"""
    PARTED = "parted"
    """(site, site), in the order of their names"""
    CLOCK = "clock"
    """(site)"""
    STORE = "store"
    """(site)"""
    DAMAGE = "damage"
    """(site)"""
    RIVAL = "rival"
    """()"""


@dataclass(frozen=True, slots=True, order=True)
class Sign:
    """Something that is wrong."""

    kind: SignKind
    subject: tuple[str, ...]


_K = CityEventKind
_S = SignKind

KEYLESS: Final = (_S.KEYLESS_QBER, _S.KEYLESS_DECOY, _S.KEYLESS_OTHER)
_FIGURES: Final = {
    "qber": (_S.QBER_STEP, _S.QBER_RAMP),
    "loss": (_S.LOSS,),
    "noise": (_S.NOISE,),
    "rate": (_S.RATE,),
    "all": (_S.QBER_STEP, _S.QBER_RAMP, _S.LOSS, _S.NOISE, _S.RATE),
}
_DAMAGES: Final = frozenset({"segment-mismatch", "segment-damaged", "peer-rolled-back"})
_FADES_S: Final = {_S.NONSENSE: 60.0, _S.DISAGREE: 300.0, _S.DAMAGE: 3600.0}
"""Seconds after the latest event of its kind when a sign that nothing took down goes by itself."""


def why_keyless(event: CityEvent) -> SignKind:
    """Why a link gives no key: the hint `why`, else words of the reason."""
    why, what = str(event.values.get("why", "")), str(event.values.get("what", "")).lower()
    if why == "decoy" or (not why and any(word in what for word in ("decoy", "single photon", "single-photon"))):
        return _S.KEYLESS_DECOY
    if why == "qber" or (not why and any(word in what for word in ("qber", "error rate", "error correction"))):
        return _S.KEYLESS_QBER
    return _S.KEYLESS_OTHER


def sign_of(event: CityEvent) -> Sign | None:
    """The sign that an event puts up."""
    link, site, values = str(event.link or ""), str(event.site or ""), event.values
    match event.kind:
        case _K.LINK_DARK:
            return Sign(_S.DARK, (link,))
        case _K.LINK_SILENT:
            return Sign(_S.SILENT, (link, site))
        case _K.LINK_KEYLESS:
            return Sign(why_keyless(event), (link,))
        case _K.LINK_QBER:
            return Sign(_S.QBER_RAMP if values.get("pattern") == "ramp" else _S.QBER_STEP, (link,))
        case _K.LINK_LOSS:
            return Sign(_S.LOSS, (link,))
        case _K.LINK_NOISE:
            return Sign(_S.NOISE, (link,))
        case _K.LINK_RATE:
            return Sign(_S.RATE, (link,))
        case _K.LINK_DISAGREE:
            return Sign(_S.DISAGREE, (link,))
        case _K.PEERS_PARTED:
            return Sign(_S.PARTED, tuple(sorted((site, str(values.get("other", ""))))))
        case _K.CONTROLLER_RIVAL:
            return Sign(_S.RIVAL, ())
        case _K.SITE_NOTICE:
            return Sign(_S.DAMAGE, (site,)) if values.get("kind") in _DAMAGES else None
        case _:
            kind = {
                _K.SITE_LOST: _S.LOST,
                _K.SITE_NONSENSE: _S.NONSENSE,
                _K.SITE_CLOCK: _S.CLOCK,
                _K.STORE_FAILED: _S.STORE,
            }.get(event.kind)
            return None if kind is None else Sign(kind, (site,))


def _ended_by(event: CityEvent) -> tuple[tuple[SignKind, ...], str]:
    """Kinds of signs that an event takes down, and the first name of their subject."""
    link, site = str(event.link or ""), str(event.site or "")
    match event.kind:
        case _K.LINK_LIT:
            return (_S.DARK, _S.SILENT, *KEYLESS), link
        case _K.LINK_KEYLESS:
            return (_S.DARK, _S.SILENT, *KEYLESS), link
        case _K.LINK_USUAL:
            return _FIGURES.get(str(event.values.get("figure", "all")), ()), link
        case _K.LINK_QBER:
            return (_S.QBER_STEP, _S.QBER_RAMP), link
        case _K.LINK_AGREE:
            return (_S.DISAGREE,), link
        case _K.SITE_CONNECTED:
            return (_S.LOST, _S.STORE), site
        case _K.SITE_SENSE:
            return (_S.NONSENSE,), site
        case _K.SITE_CLOCK_RIGHT:
            return (_S.CLOCK,), site
        case _K.STORE_BACK:
            return (_S.STORE,), site
        case _K.CONTROLLER_ALONE | _K.CONTROLLER_STARTED:
            return (_S.RIVAL,), ""
        case _:
            return (), ""


class Signs:
    """All signs that are up, with the event that put each up first."""

    def __init__(self) -> None:
        self.up: Final[dict[Sign, CityEvent]] = {}
        self.live: Final[set[str]] = set()
        """Links on which light arrives; only there does a missing sign speak against a cause."""
        self.draining: Final[set[str]] = set()
        self.since: Final[dict[Sign, float]] = {}
        self._latest: Final[dict[Sign, float]] = {}

    def heed(self, event: CityEvent, now: float) -> bool:
        """Take an event in; whether it has to do with signs."""
        kinds, first = _ended_by(event)
        raised = sign_of(event)
        for sign in [s for s in self.up if s.kind in kinds and s.subject[:1] == ((first,) if first else ())]:
            if sign != raised:
                self._down(sign)
        match event.kind:
            case _K.LINK_LIT | _K.LINK_KEYLESS:
                self.live.add(str(event.link))
            case _K.LINK_DARK | _K.LINK_SILENT:
                self.live.discard(str(event.link))
            case _K.PEERS_MET:
                pair = tuple(sorted((str(event.site), str(event.values.get("other", "")))))
                self._down(Sign(_S.PARTED, pair))
            case _K.SITE_DRAINING:
                self.draining.add(str(event.site))
            case _K.SITE_BACK:
                self.draining.discard(str(event.site))
            case _:
                pass
        if raised is not None:
            self.up.setdefault(raised, event)
            self.since.setdefault(raised, now)
            self._latest[raised] = now
        return raised is not None or bool(kinds) or event.kind in (_K.PEERS_MET, _K.SITE_DRAINING, _K.SITE_BACK)

    def fade(self, now: float) -> bool:
        """Take down what nothing repeated for long; whether anything changed."""
        old = [s for s, at in self._latest.items() if now - at >= _FADES_S.get(s.kind, float("inf"))]
        for sign in old:
            self._down(sign)
        return bool(old)

    def keep(self, city: City) -> None:
        """Forget what the plan no longer holds."""
        names = {str(name) for name in (*city.link, *city.site)}
        for sign in [s for s in self.up if not names.issuperset(filter(None, s.subject))]:
            self._down(sign)
        self.live.intersection_update(names)
        self.draining.intersection_update(names)

    def _down(self, sign: Sign) -> None:
        self.up.pop(sign, None)
        self.since.pop(sign, None)
        self._latest.pop(sign, None)
