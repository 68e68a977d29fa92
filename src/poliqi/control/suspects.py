"""Which causes could stand behind the signs of a city, and which signs each of them shows.

How well a sign fits a cause is one of four grades, with a weight when the sign is seen and one when it is not
(natural logarithms of likelihood ratios against chance). docs/reference/alarms.md shows the whole table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final

from poliqi.base.ids import KmeId, LinkId
from poliqi.control.causes import CAUSES, Cause
from poliqi.control.city import City, QuantumLink, SpanId
from poliqi.control.lines import Value
from poliqi.control.signs import KEYLESS, MERE, Sign, SignKind, Signs

__all__ = ["LINK_PATTERNS", "Grade", "Suspect", "suspects"]


class Grade(Enum):
    """How a sign belongs to a cause: weight when seen, weight when not."""

    MUST = (4.5, -3.0)
    LIKELY = (4.0, -0.7)
    TELLING = (4.0, 0.0)
    MAY = (2.3, 0.0)

    def __init__(self, seen: float, missing: float) -> None:
        self.seen: Final = seen
        """Added to the score of the cause when the sign is up."""
        self.missing: Final = missing
        """Added when it is not."""


_S = SignKind
_C = Cause
_MUST, _LIKELY, _TELLING, _MAY = Grade
_NEWLY_LIT: Final = 4.0
_LIT: Final = 1.0
"""Stray light needs a source: a data channel that was lit lately, or one that stands in the plan."""
_PARTS: Final = 64
"""So many parts of a network are looked at, of more those that most sites are in."""
_ONE_LINK: Final = -1.0
"""A cause that sits in the fibre but shows on one of its links alone is that much rarer."""

_WITH_IT: Final = dict.fromkeys((*KEYLESS, _S.QBER_RAMP), _MAY)
"""What a link that its own monitor stopped may show besides."""

LINK_PATTERNS: Final[dict[Cause, dict[SignKind, Grade]]] = {
    _C.SPAN_CUT: {_S.DARK: _MUST, _S.LOSS: _MAY, _S.QBER_STEP: _MAY, **dict.fromkeys(KEYLESS, _MAY)},
    _C.EAVESDROPPER: {_S.QBER_STEP: _MUST, _S.QBER_RAMP: _MAY, **dict.fromkeys(KEYLESS, _MAY)},
    _C.MISALIGNED: {_S.QBER_RAMP: _MUST, _S.QBER_STEP: _MAY, **dict.fromkeys(KEYLESS, _MAY)},
    _C.PHOTON_SPLITTING: {_S.KEYLESS_DECOY: _MUST, _S.KEYLESS_OTHER: _MAY, _S.LOSS: _MAY},
    _C.BLINDING: {_S.BLINDED: _MUST, **_WITH_IT},
    _C.TIME_SHIFT: {_S.SHIFTED: _MUST, **_WITH_IT},
    _C.TROJAN_HORSE: {_S.PROBED: _MUST, **_WITH_IT},
    _C.JAMMING: {_S.JAMMED: _MUST, _S.NOISE: _LIKELY, _S.GAIN: _MAY, _S.QBER_STEP: _LIKELY, **_WITH_IT},
    _C.TAMPERING: {_S.FORGED: _MUST, **_WITH_IT},
    _C.UNKNOWN_ATTACK: {_S.STRANGE: _MUST, **_WITH_IT},
    _C.QUARANTINED: {_S.STOPPED: _MUST, **_WITH_IT},
    _C.STRAY_LIGHT: {
        _S.JAMMED: _TELLING,
        _S.NOISE: _LIKELY,
        _S.GAIN: _MAY,
        _S.QBER_STEP: _LIKELY,
        _S.QBER_RAMP: _MAY,
        **dict.fromkeys(KEYLESS, _MAY),
    },
    _C.TAP_OR_BEND: {
        _S.LOSS: _MUST,
        _S.QBER_STEP: _MAY,
        _S.QBER_RAMP: _MAY,
        **dict.fromkeys([sign for sign in KEYLESS if sign is not _S.KEYLESS_DECOY], _MAY),
    },
}
"""Signs that a cause on a fibre (of a misalignment: on a link) shows on each link over it; `rate` always may."""

_TOLD: Final = {
    _C.BLINDING: _S.BLINDED,
    _C.TIME_SHIFT: _S.SHIFTED,
    _C.TROJAN_HORSE: _S.PROBED,
    _C.JAMMING: _S.JAMMED,
    _C.TAMPERING: _S.FORGED,
    _C.UNKNOWN_ATTACK: _S.STRANGE,
    _C.QUARANTINED: _S.STOPPED,
}
"""Causes that only a link's own monitor can tell, and its sign."""
_STOPPED_FOR: Final = {
    _C.EAVESDROPPER: _S.INTERCEPTED,
    _C.PHOTON_SPLITTING: _S.SPLIT,
    _C.TAP_OR_BEND: _S.TAPPED,
}
"""Causes that figures show, and the sign that the link's own monitor stopped it for one."""
_IN_FIBRE: Final = (_C.EAVESDROPPER, _C.PHOTON_SPLITTING, _C.STRAY_LIGHT, _C.TAP_OR_BEND)


@dataclass(frozen=True, slots=True)
class Suspect:
    """A cause at a place, and the signs that it would show. `key` tells it from all others."""

    cause: Cause
    key: tuple[str, ...]
    expects: dict[Sign, Grade]
    lean: float
    site: KmeId | None = None
    link: LinkId | None = None
    span: SpanId | None = None
    values: dict[str, Value] = field(default_factory=dict[str, "Value"])

    def score(self, up: set[Sign], explained: set[Sign], silent: set[Sign]) -> float:
        """Its lean, and the weight of each sign: seen, or missing where it could have been seen. Minus infinity
        where all that is seen only may belong to it.
        """
        total, is_shown = self.lean, False
        for sign, grade in self.expects.items():
            if sign in up:
                total += grade.seen
                is_shown = is_shown or grade is not Grade.MAY
            elif grade.missing and sign not in explained and sign not in silent:
                total += grade.missing
        return total if is_shown else float("-inf")


def _names(names: Iterable[str]) -> str:
    every = sorted(set(names))
    return ", ".join(every[:8]) + (f" (+{len(every) - 8})" if len(every) > 8 else "")


def _unheard(links: Iterable[QuantumLink], grade: Grade) -> dict[Sign, Grade]:
    """Silence of links, told of or by either end."""
    return {
        Sign(kind, (link.link, end)): grade
        for link in links
        for kind in (_S.SILENT, _S.AWAY)
        for end in ("", *link.ends)
    }


def _missed(links: Iterable[QuantumLink]) -> dict[Sign, Grade]:
    """The end that sends sees no darkness: it misses the other end's session."""
    return {Sign(_S.AWAY, (link.link, end)): _MAY for link in links for end in link.ends}


class _Search:
    """One look at a city's signs."""

    def __init__(self, city: City, signs: Signs, newly_lit: set[SpanId]) -> None:
        self._city = city
        self._newly_lit = newly_lit
        self._up = set(signs.up)
        self._told_by = signs.up
        self._draining = signs.draining
        self._of: dict[SignKind, list[tuple[str, ...]]] = {}
        for sign in self._up:
            self._of.setdefault(sign.kind, []).append(sign.subject)
        self._over: dict[SpanId, list[QuantumLink]] = {}
        self._at: dict[str, list[QuantumLink]] = {}
        self._between: dict[tuple[str, ...], list[QuantumLink]] = {}
        for link in city.links:
            for span in link.spans:
                self._over.setdefault(span, []).append(link)
            for end in link.ends:
                self._at.setdefault(end, []).append(link)
            self._between.setdefault(tuple(sorted(link.ends)), []).append(link)
        self._named = {sign.subject[0] for sign in self._up if sign.subject}
        self._lost = {subject[0] for subject in self._of.get(_S.LOST, ())}

    def all(self) -> Iterator[Suspect]:
        """Every suspect that one of the signs points to."""
        links = [
            self._city.link[LinkId(name)] for name in sorted(self._linked()) if LinkId(name) in self._city.link
        ]
        spans = sorted({span for link in links for span in link.spans})
        yield from self._cuts(links, spans)
        for cause in _IN_FIBRE:
            yield from (self._in_fibre(cause, span) for span in spans)
            yield from (self._on_link(cause, link) for link in links if self._is_one_of_several(link))
        for link in links:
            yield from self._watched(link)
            yield self._at_link(_C.MISALIGNED, link, LINK_PATTERNS[_C.MISALIGNED])
            seen = {kind: _MUST for kind in KEYLESS if Sign(kind, (link.link,)) in self._up}
            if seen:
                yield self._at_link(_C.NO_KEY, link, seen)
            yield from (self._device(link, end) for end in link.ends)
        yield from self._sites()
        yield from self._parted()

    def _linked(self) -> set[str]:
        apart = {_S.NONSENSE, _S.LOST, _S.PARTED, _S.CLOCK, _S.STORE, _S.DAMAGE, _S.RIVAL, *MERE}
        return {subject[0] for kind, subjects in self._of.items() if kind not in apart for subject in subjects}

    def _is_one_of_several(self, link: QuantumLink) -> bool:
        return len(link.spans) > 1 or any(len(self._over[span]) > 1 for span in link.spans)

    def _pattern(self, pattern: dict[SignKind, Grade], links: Iterable[QuantumLink]) -> dict[Sign, Grade]:
        return {
            Sign(kind, (link.link,)): grade for link in links for kind, grade in {**pattern, _S.RATE: _MAY}.items()
        }

    def _cuts(self, links: list[QuantumLink], spans: list[SpanId]) -> Iterator[Suspect]:
        pattern = LINK_PATTERNS[_C.SPAN_CUT]
        for span in spans:
            over = self._over[span]
            yield Suspect(
                _C.SPAN_CUT,
                (span,),
                self._pattern(pattern, over) | _missed(over),
                CAUSES[_C.SPAN_CUT].lean,
                span=span,
                link=over[0].link if len(over) == 1 else None,
                values={"span": span, "links": _names(link.link for link in over)},
            )
        for group in sorted({group for span in spans for group in self._city.span[span].groups}):
            shared = [s.span for s in self._city.spans if group in s.groups]
            over = [link for link in self._city.links if set(link.spans) & set(shared)]
            if len(shared) > 1:
                values: dict[str, Value] = {"group": group, "spans": _names(shared)}
                values["links"] = _names(link.link for link in over)
                lean = CAUSES[_C.GROUP_CUT].lean
                expects = self._pattern(pattern, over) | _missed(over)
                yield Suspect(_C.GROUP_CUT, (group,), expects, lean, values=values)
        for site in sorted({end for link in links for end in self._passed(link)}):
            through = [link for link in self._city.links if site in self._passed(link)]
            yield Suspect(
                _C.SWITCH_FAILED,
                (site,),
                self._pattern(pattern, through) | _missed(through),
                CAUSES[_C.SWITCH_FAILED].lean,
                site=KmeId(site),
                values={"links": _names(link.link for link in through)},
            )

    def _passed(self, link: QuantumLink) -> set[str]:
        return {str(end) for span in link.spans for end in self._city.span[span].ends if end not in link.ends}

    def _in_fibre(self, cause: Cause, span: SpanId) -> Suspect:
        over, lean = self._over[span], CAUSES[cause].lean
        if cause is _C.STRAY_LIGHT:
            lean += _NEWLY_LIT if span in self._newly_lit else _LIT if self._city.span[span].classical else 0.0
        shown = [link.link for link in over if link.link in self._named] or [""]
        return Suspect(
            cause,
            (span,),
            self._shown_by(cause, over),
            lean,
            link=LinkId(shown[0]),
            span=span,
            values={"link": _names(shown), "links": _names(shown)},
        )

    def _on_link(self, cause: Cause, link: QuantumLink) -> Suspect:
        found = self._at_link(cause, link, LINK_PATTERNS[cause], _ONE_LINK)
        return replace(found, expects=self._shown_by(cause, (link,)))

    def _shown_by(self, cause: Cause, links: Iterable[QuantumLink]) -> dict[Sign, Grade]:
        """What a cause in the fibre shows on links over it. One that its own monitor stopped for this need not show
        it by its figures, gives no key and meets its other end no more.
        """
        expects: dict[Sign, Grade] = {}
        for link in links:
            stopped = Sign(_STOPPED_FOR.get(cause, _S.STOPPED), (link.link,))
            if cause not in _STOPPED_FOR or stopped not in self._up:
                expects |= self._pattern(LINK_PATTERNS[cause], (link,))
                continue
            plain = {k: _TELLING if g.missing else g for k, g in LINK_PATTERNS[cause].items()}
            expects |= self._pattern({**_WITH_IT, **plain}, (link,)) | _unheard((link,), _MAY) | {stopped: _MUST}
        return expects

    def _at_link(
        self, cause: Cause, link: QuantumLink, pattern: dict[SignKind, Grade], lean: float = 0.0
    ) -> Suspect:
        return Suspect(
            cause,
            (link.link, "link"),
            self._pattern(pattern, (link,)),
            CAUSES[cause].lean + lean,
            link=link.link,
            span=link.spans[0] if len(link.spans) == 1 else None,
            values={"span": " + ".join(link.spans), "links": str(link.link)},
        )

    def _watched(self, link: QuantumLink) -> Iterator[Suspect]:
        """Attacks that the link's own monitor names. A link in quarantine meets its other end no more."""
        for cause, sign in _TOLD.items():
            event = self._told_by.get(Sign(sign, (link.link,)))
            if event is not None:
                found = self._at_link(cause, link, LINK_PATTERNS[cause])
                what = str(event.values.get("what", ""))[:200]
                expects = found.expects | _unheard((link,), _MAY)
                yield replace(found, expects=expects, values={**found.values, "seen": what})

    def _device(self, link: QuantumLink, end: KmeId) -> Suspect:
        other = link.ends[0] if end == link.ends[1] else link.ends[1]
        expects = self._pattern({_S.DARK: _LIKELY, _S.LOSS: _MAY, _S.KEYLESS_OTHER: _MAY}, (link,))
        expects[Sign(_S.SILENT, (link.link, end))] = _LIKELY
        expects[Sign(_S.SILENT, (link.link, ""))] = _TELLING
        expects[Sign(_S.AWAY, (link.link, other))] = _TELLING
        lean = CAUSES[_C.DEVICE_FAILED].lean
        return Suspect(_C.DEVICE_FAILED, (link.link, end), expects, lean, site=end, link=link.link)

    def _known_pairs(self) -> set[tuple[str, ...]]:
        wanted = [link.ends for link in self._city.links] + [demand.ends for demand in self._city.demands]
        return {tuple(sorted(ends)) for ends in wanted} | set(self._of.get(_S.PARTED, ()))

    def _sites(self) -> Iterator[Suspect]:
        named = {
            s for kind in (_S.LOST, _S.NONSENSE, _S.CLOCK, _S.STORE, _S.DAMAGE) for s in self._of.get(kind, ())
        }
        ends = {end for (name,) in self._of.get(_S.DISAGREE, ()) for end in self._ends(name)}
        parted = {site for pair in self._of.get(_S.PARTED, ()) for site in pair}
        silent = {site for _, site in self._of.get(_S.SILENT, ()) if site}
        pairs: dict[str, list[tuple[str, ...]]] = {}
        for pair in self._known_pairs() if self._lost or parted else ():
            for site in pair:
                pairs.setdefault(site, []).append(pair)
        for site in sorted({s[0] for s in named} | ends | (parted & self._draining) | (silent & self._draining)):
            yield from self._site(site, pairs.get(site, []))
        if len(self._lost) > 1 and 2 * len(self._lost) > len(self._city.sites):
            expects = {Sign(_S.LOST, (site.kme,)): _MUST for site in self._city.sites}
            lean, values = CAUSES[_C.CONTROLLER_CUT_OFF].lean, {"sites": _names(self._lost)}
            yield Suspect(_C.CONTROLLER_CUT_OFF, (), expects, lean, values={**values})
        if _S.RIVAL in self._of:
            lean = CAUSES[_C.RIVAL_CONTROLLER].lean
            yield Suspect(_C.RIVAL_CONTROLLER, (), {Sign(_S.RIVAL, ()): _MUST}, lean)

    def _ends(self, link: str) -> tuple[str, ...]:
        known = self._city.link.get(LinkId(link))
        return () if known is None else known.ends

    def _site(self, site: str, pairs: list[tuple[str, ...]]) -> Iterator[Suspect]:
        lost, links = Sign(_S.LOST, (site,)), self._at.get(site, [])
        away: dict[Sign, Grade] = {Sign(_S.PARTED, pair): _TELLING for pair in pairs}
        for link in links:
            away |= self._pattern({_S.DARK: _MAY, _S.KEYLESS_OTHER: _MAY, _S.DISAGREE: _MAY}, (link,))
            away |= _unheard((link,), _MAY)
            away[Sign(_S.SILENT, (link.link, site))] = _TELLING
        others = [pair for pair in pairs if not self._lost.issuperset(set(pair) - {site})]
        down = away | {lost: _MUST} | {Sign(_S.PARTED, pair): _LIKELY for pair in others}
        silent = {Sign(_S.SILENT, (link.link, site)): _MAY for link in links}
        disagree = {Sign(_S.DISAGREE, (link.link,)): _TELLING for link in links}
        dark = self._pattern({_S.DARK: _MAY, **dict.fromkeys(KEYLESS, _MAY)}, links)
        store = Sign(_S.STORE, (site,))
        for cause, expects in (
            (_C.SITE_DOWN, down),
            (_C.SITE_UNREACHED, {lost: _MUST, **silent}),
            (_C.LYING_SITE, {Sign(_S.NONSENSE, (site,)): _LIKELY, **disagree, **dark}),
            (_C.CLOCK_SKEW, {Sign(_S.CLOCK, (site,)): _MUST}),
            (_C.STORE_FAILED, {**away, lost: _TELLING, store: _MUST} if store in self._up else {store: _MUST}),
            (_C.STORE_DAMAGED, {Sign(_S.DAMAGE, (site,)): _MUST}),
        ):
            if not self._up.isdisjoint(expects):
                yield Suspect(cause, (site,), expects, CAUSES[cause].lean, site=KmeId(site))
        if site in self._draining:
            work = _C.PLANNED_WORK
            yield Suspect(work, (site,), {**away, lost: _TELLING}, CAUSES[work].lean, site=KmeId(site))

    def _parted(self) -> Iterator[Suspect]:
        parted = {pair for pair in self._of.get(_S.PARTED, ()) if len(pair) == 2}
        if not parted:
            return
        for pair in sorted(parted):
            expects = {Sign(_S.PARTED, pair): _MUST}
            expects |= _unheard(self._between.get(pair, ()), _MAY)
            lean, values = CAUSES[_C.PEERS_PARTED].lean, {"other": pair[1]}
            yield Suspect(_C.PEERS_PARTED, pair, expects, lean, site=KmeId(pair[0]), values={**values})
        from_whom: dict[str, set[str]] = {}
        for a, b in parted:
            from_whom.setdefault(a, set()).add(b)
            from_whom.setdefault(b, set()).add(a)
        pairs, every = self._known_pairs(), {str(site.kme) for site in self._city.sites}
        sides = Counter(self._side(site, from_whom, every) for site in sorted(from_whom))
        for part in sorted(part for part, _ in sides.most_common(_PARTS)):
            if 0 < len(part) < len(every) and not (len(part) == 1 and part[0] in self._lost):
                yield self._partition(part, pairs)

    def _side(self, site: str, from_whom: dict[str, set[str]], every: set[str]) -> tuple[str, ...]:
        """The part of the network that a site seems to be in: those parted from the same others as it."""
        away = from_whom[site]
        shared = Counter(s for other in away for s in from_whom[other])
        side = {s for s, others in shared.items() if 2 * others > len(away) and s not in away} | {site}
        side &= every
        rest = every - side
        if len(side) != len(rest):
            return tuple(sorted(min(side, rest, key=len)))
        return tuple(min(sorted(side), sorted(rest)))

    def _partition(self, part: tuple[str, ...], pairs: set[tuple[str, ...]]) -> Suspect:
        inside = set(part)
        across = [pair for pair in pairs if (pair[0] in inside) is not (pair[1] in inside)]
        expects = {Sign(_S.PARTED, pair): _MUST for pair in across}
        expects |= {Sign(_S.LOST, (site,)): _MAY for site in self._lost}
        for pair in across:
            expects |= _unheard(self._between.get(pair, ()), _MAY)
        lean = CAUSES[_C.PARTITION].lean
        return Suspect(_C.PARTITION, part, expects, lean, values={"sites": _names(part)})


def suspects(city: City, signs: Signs, newly_lit: set[SpanId]) -> list[Suspect]:
    """Every cause that one of the signs points to. `newly_lit`: spans on which a data channel was lit lately."""
    return list(_Search(city, signs, newly_lit).all())
