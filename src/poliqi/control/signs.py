"""Signs: what is wrong now, as far as events tell it; what the search for a cause works on.

An event puts a sign up or takes signs down. Signs that no event takes down for certain fade after a while.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final, NamedTuple

from poliqi.control.city import City
from poliqi.control.events import CityEvent, CityEventKind
from poliqi.control.lines import Value
from poliqi.control.messages import DECOY_WORDS

__all__ = ["ATTACKS", "KEYLESS", "MERE", "Sign", "SignKind", "Signs", "signs_of"]


class SignKind(StrEnum):
    """Kinds of signs, and what their subject is."""

    DARK = "dark"
    """(link)"""
    SILENT = "silent"
    """(link, site): nothing of the device there is heard"""
    AWAY = "away"
    """(link, site): the device there is well, and misses the other end"""
    KEYLESS_QBER = "keyless-qber"
    """(link): the errors are too many"""
    KEYLESS_DECOY = "keyless-decoy"
    """(link): all that is measured is usual, the decoy states' bounds leave nothing"""
    KEYLESS_OTHER = "keyless-other"
    """(link)"""
    QBER_STEP = "qber-step"
    """(link)"""
    QBER_RAMP = "qber-ramp"
    """(link)"""
    LOSS = "loss"
    """(link)"""
    GAIN = "gain"
    """(link): more light than before; alone it says nothing"""
    NOISE = "noise"
    """(link)"""
    RATE = "rate"
    """(link): less key than before; alone it says nothing"""
    BLINDED = "blinded"
    """(link): this and the next nine: its own monitor says so"""
    SHIFTED = "shifted"
    """(link)"""
    PROBED = "probed"
    """(link)"""
    JAMMED = "jammed"
    """(link)"""
    FORGED = "forged"
    """(link)"""
    STRANGE = "strange"
    """(link)"""
    INTERCEPTED = "intercepted"
    """(link): this and the next three: only where the monitor stopped the link for it"""
    SPLIT = "split"
    """(link)"""
    TAPPED = "tapped"
    """(link)"""
    STOPPED = "stopped"
    """(link): and named nothing that is known here"""
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


class Sign(NamedTuple):
    """Something that is wrong."""

    kind: SignKind
    subject: tuple[str, ...]


_K = CityEventKind
_S = SignKind

KEYLESS: Final = (_S.KEYLESS_QBER, _S.KEYLESS_DECOY, _S.KEYLESS_OTHER)
MERE: Final = frozenset({_S.RATE, _S.GAIN})
"""Signs that belong to a cause and point to none by themselves."""
ATTACKS: Final = {
    "blinding": _S.BLINDED,
    "time-shift": _S.SHIFTED,
    "trojan-horse": _S.PROBED,
    "jamming": _S.JAMMED,
    "tampering": _S.FORGED,
    "unknown": _S.STRANGE,
    "intercept-resend": _S.INTERCEPTED,
    "photon-number-splitting": _S.SPLIT,
    "tap": _S.TAPPED,
}
"""Every attack that a link's own monitor names (link.monitor.Suspected), and its sign."""
_BY_FIGURES: Final = frozenset({_S.INTERCEPTED, _S.SPLIT, _S.TAPPED})
"""What the monitor takes for one of these is judged here by the figures, beside what else could look the same, as
long as the link makes key: one that it stopped shows no figures of its own."""
_FIGURES: Final = {
    "qber": (_S.QBER_STEP, _S.QBER_RAMP),
    "loss": (_S.LOSS, _S.GAIN),
    "noise": (_S.NOISE,),
    "rate": (_S.RATE,),
    "all": (_S.QBER_STEP, _S.QBER_RAMP, _S.LOSS, _S.GAIN, _S.NOISE, _S.RATE),
}
_DAMAGES: Final = frozenset({"segment-mismatch", "segment-damaged", "peer-rolled-back"})
_SPLITTING_DB: Final = 2.0
"""Split photons look like so much more loss at most: who takes every second photon lets the rest pass."""
_STATES: Final = (_S.DARK, _S.SILENT, _S.AWAY, *KEYLESS)
_OWN_DEVICE: Final = ("process", "does not run", "device")
NO_REPORT: Final = "no report"
"""Reason of a silent end whose site reports nothing at all: a matter of the site, not of the device."""
_RISES: Final = (
    ("qber_key", _S.QBER_STEP, 0.008, 0.3),
    ("qber_test", _S.QBER_STEP, 0.012, 0.3),
    ("loss_db", _S.LOSS, 0.5, 0.05),
    ("noise", _S.NOISE, 2e-7, 0.5),
)
"""A figure of a keyless link, and by how much it must be over the usual one: at least, and as a part of it."""
_CREPT: Final = 1.1
_FADES_S: Final = {_S.NONSENSE: 60.0, _S.DISAGREE: 300.0, _S.DAMAGE: 3600.0}
"""Seconds after the latest event of its kind when a sign that nothing took down goes by itself."""


def _measured(event: CityEvent) -> tuple[list[SignKind], bool]:
    """What is unusual about the figures of a link without key, and whether they are known."""
    found: dict[SignKind, None] = {}
    is_known = False
    for name, kind, least, part in _RISES:
        value, usual = event.values.get(name), event.values.get(f"{name}_usual")
        if isinstance(value, int | float) and isinstance(usual, int | float):
            is_known = True
            if value - usual > max(least, part * usual):
                found[kind] = None
    return list(found), is_known


def _has_crept(event: CityEvent) -> bool:
    """Whether the errors are a little more than usual: enough to cost the key, too little for a jump."""
    value, usual = event.values.get("qber_key"), event.values.get("qber_key_usual")
    return isinstance(value, int | float) and isinstance(usual, int | float) and value > _CREPT * usual


def _loss_rise_db(event: CityEvent) -> float:
    """How much more light a link loses than usual; 0 where that is not known."""
    now, usual = event.values.get("loss_db"), event.values.get("loss_db_usual")
    return float(now) - float(usual) if isinstance(now, int | float) and isinstance(usual, int | float) else 0.0


def _keyless(event: CityEvent) -> list[SignKind]:
    """Why a link gives no key: the hint `why`, else what is measured, else words of the reason."""
    why, what = event.values.get("why"), str(event.values.get("what", "")).lower()
    found, is_known = _measured(event)
    has_crept = _has_crept(event)
    is_told = why is None and any(word in what for word in DECOY_WORDS)
    is_quiet = _S.QBER_STEP not in found and not has_crept and _loss_rise_db(event) < _SPLITTING_DB
    if why == "decoy" or (is_told and is_quiet):
        return [_S.KEYLESS_DECOY, *found]
    if _S.QBER_STEP in found:
        return [_S.KEYLESS_QBER, *found]
    if has_crept or why == "qber" or any(w in what for w in ("qber", "error rate", "correction")):
        return [_S.KEYLESS_QBER, *([_S.QBER_RAMP] if has_crept else []), *found]
    return [_S.KEYLESS_DECOY if is_known and not found else _S.KEYLESS_OTHER, *found]


def signs_of(event: CityEvent) -> tuple[Sign, ...]:
    """The signs that an event puts up; the first is what it says, the others what its figures show."""
    if event.kind is _K.LINK_KEYLESS and event.link:
        return tuple(Sign(kind, (str(event.link),)) for kind in _keyless(event))
    sign = _sign_of(event)
    return () if sign is None or not all(sign.subject) else (sign,)  # of nobody nothing could be taken down again


def _sign_of(event: CityEvent) -> Sign | None:
    link, site, values = str(event.link or ""), str(event.site or ""), event.values
    match event.kind:
        case _K.LINK_DARK:
            return Sign(_S.DARK, (link,))
        case _K.LINK_SILENT:
            what = str(values.get("what", ""))
            if what == NO_REPORT:
                return None
            is_own = not what or any(word in what for word in _OWN_DEVICE)
            return Sign(_S.SILENT if is_own else _S.AWAY, (link, site))
        case _K.LINK_QBER:
            return Sign(_S.QBER_RAMP if values.get("pattern") == "ramp" else _S.QBER_STEP, (link,))
        case _K.LINK_LOSS:
            return Sign(_S.GAIN if _is_less(values, "loss_db") else _S.LOSS, (link,))
        case _K.LINK_NOISE:
            return Sign(_S.NOISE, (link,))
        case _K.LINK_RATE:
            return Sign(_S.RATE, (link,))
        case _K.LINK_DISAGREE:
            return Sign(_S.DISAGREE, (link,))
        case _K.LINK_ATTACK:
            return _named(link, str(values.get("attack", "")), is_quarantined=bool(values.get("quarantined")))
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


def _named(link: str, attack: str, *, is_quarantined: bool) -> Sign | None:
    """What a link's own monitor says of it, as a sign."""
    kind = ATTACKS.get(attack)
    if is_quarantined:
        return Sign(_S.STOPPED if kind is None else kind, (link,))
    return None if kind is None or kind in _BY_FIGURES else Sign(kind, (link,))


def _is_less(values: dict[str, Value], name: str) -> bool:
    value, usual = values.get(name), values.get("usual")
    return isinstance(value, int | float) and isinstance(usual, int | float) and value < usual


def _ended_by(event: CityEvent) -> tuple[tuple[SignKind, ...], str]:
    """Kinds of signs that an event takes down, and the first name of their subject."""
    link, site = str(event.link or ""), str(event.site or "")
    match event.kind:
        case _K.LINK_LIT:
            return _STATES, link
        case _K.LINK_KEYLESS:
            return _STATES, link
        case _K.LINK_USUAL:
            return _FIGURES.get(str(event.values.get("figure", "all")), ()), link
        case _K.LINK_QBER:
            return (_S.QBER_STEP, _S.QBER_RAMP), link
        case _K.LINK_LOSS:
            return (_S.LOSS, _S.GAIN), link
        case _K.LINK_AGREE:
            return (_S.DISAGREE,), link
        case _K.LINK_ATTACK | _K.LINK_CLEAR:
            return (*dict.fromkeys(ATTACKS.values()), _S.STOPPED), link
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


def _first(sign: Sign) -> str:
    return sign.subject[0] if sign.subject else ""


class Signs:
    """All signs that are up, with the event that put each up first."""

    def __init__(self) -> None:
        self.up: Final[dict[Sign, CityEvent]] = {}
        self.since: Final[dict[Sign, float]] = {}
        self.live: Final[set[str]] = set()
        """Links on which light arrives; only there does a missing sign speak against a cause."""
        self.known: Final[set[str]] = set()
        """Links that were live once."""
        self.draining: Final[set[str]] = set()
        self._about: Final[dict[str, dict[Sign, None]]] = {}
        """Signs that are up, by the first name of their subject."""
        self._latest: Final[dict[Sign, float]] = {}
        """Of signs that fade: when an event last put them up."""
        self._shown: Final[set[Sign]] = set()
        """Signs that the figures of a keyless link showed: they go when it makes key again."""
        self._told: Final[dict[str, set[str]]] = {}
        """Ends that told of a dark link, or that are silent."""

    def is_sure(self, sign: Sign) -> bool:
        """Whether both ends say that a link is dark, or one where the event names none."""
        if sign.kind is not SignKind.DARK:
            return True
        told = self._told.get(sign.subject[0], set())
        return len(told) > 1 or "" in told

    def heed(self, event: CityEvent, now: float) -> bool:
        """Take an event in; whether it has to do with signs."""
        kinds, first = _ended_by(event)
        raised = signs_of(event)
        link = str(event.link or "")
        for sign in [s for s in self._about.get(first, ()) if s.kind in kinds and s not in raised]:
            self._down(sign)
        match event.kind:
            case _K.LINK_LIT | _K.LINK_KEYLESS:
                self.live.add(link)
                self.known.add(link)
                self._told.pop(link, None)
                for sign in [s for s in self._about.get(link, ()) if s in self._shown and s not in raised]:
                    self._down(sign)
            case _K.LINK_DARK | _K.LINK_SILENT:
                self.live.discard(link)
                if event.values.get("what") != NO_REPORT:
                    self._told.setdefault(link, set()).add(str(event.site or ""))
            case _K.PEERS_MET:
                pair = tuple(sorted((str(event.site), str(event.values.get("other", "")))))
                self._down(Sign(_S.PARTED, pair))
            case _K.SITE_DRAINING:
                self.draining.add(str(event.site))
            case _K.SITE_BACK:
                self.draining.discard(str(event.site))
            case _:
                pass
        self._raise(event, raised, now)
        return bool(raised or kinds) or event.kind in (_K.PEERS_MET, _K.SITE_DRAINING, _K.SITE_BACK)

    def _raise(self, event: CityEvent, raised: tuple[Sign, ...], now: float) -> None:
        for place, sign in enumerate(raised):
            other = {_S.QBER_STEP: _S.QBER_RAMP, _S.QBER_RAMP: _S.QBER_STEP}.get(sign.kind)
            if place and other is not None and Sign(other, sign.subject) in self.up:
                continue
            if place and sign not in self.up:
                self._shown.add(sign)
            self.up.setdefault(sign, event)
            self.since.setdefault(sign, now)
            self._about.setdefault(_first(sign), {})[sign] = None
            if sign.kind in _FADES_S:
                self._latest[sign] = now

    def refresh(self, signs: Iterable[Sign], now: float) -> None:
        """Signs whose cause is over and that are still up look for another one, from now on."""
        for sign in signs:
            if sign in self.up:
                self.since[sign] = now

    def fade(self, now: float) -> bool:
        """Take down what nothing repeated for long; whether anything changed."""
        old = [s for s, at in self._latest.items() if now - at >= _FADES_S[s.kind]]
        for sign in old:
            self._down(sign)
        return bool(old)

    def keep(self, city: City) -> None:
        """Forget what the plan no longer holds."""
        names = {str(name) for name in (*city.link, *city.site)}
        for sign in [s for s in self.up if not names.issuperset(filter(None, s.subject))]:
            self._down(sign)
        self.live.intersection_update(names)
        self.known.intersection_update(names)
        self.draining.intersection_update(names)

    def _down(self, sign: Sign) -> None:
        self.up.pop(sign, None)
        self.since.pop(sign, None)
        about = self._about.get(_first(sign), {})
        about.pop(sign, None)
        if not about:
            self._about.pop(_first(sign), None)
        self._shown.discard(sign)
        self._latest.pop(sign, None)
