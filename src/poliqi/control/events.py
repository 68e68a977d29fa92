"""What happens in a city, in one table: severity, what it is about, and one line in English and in Italian.

The same row gives the log line, the metric `poliqi_city_events_total{kind=...}` and what a dashboard redraws.
"""

from __future__ import annotations

import string
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from poliqi.base.ids import KmeId, LinkId
from poliqi.control.city import SpanId

__all__ = ["EVENTS", "CityEvent", "CityEventKind", "EventRow", "Language", "Part", "Severity", "event_line"]


class Language(StrEnum):
    """Languages in which the software speaks to people."""

    ENGLISH = "en"
    ITALIAN = "it"


class Severity(StrEnum):
    """How much an event asks of the operator."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


class Part(StrEnum):
    """Parts of the dashboard that an event changes."""

    SITES = "sites"
    LINKS = "links"
    KEYS = "keys"
    DEMANDS = "demands"
    ALARMS = "alarms"


class CityEventKind(StrEnum):
    """Every kind of event of a city."""

    CONTROLLER_STARTED = "controller-started"
    CONTROLLER_RIVAL = "controller-rival"
    CITY_CHANGED = "city-changed"
    SITE_CONNECTED = "site-connected"
    SITE_LOST = "site-lost"
    SITE_DRAINING = "site-draining"
    SITE_BACK = "site-back"
    SITE_NONSENSE = "site-nonsense"
    SITE_CLOCK = "site-clock"
    SITE_REFUSED = "site-refused"
    LINK_LIT = "link-lit"
    LINK_DARK = "link-dark"
    LINK_KEYLESS = "link-keyless"
    LINK_SILENT = "link-silent"
    LINK_QBER = "link-qber"
    LINK_LOSS = "link-loss"
    LINK_NOISE = "link-noise"
    LINK_DISAGREE = "link-disagree"
    PEERS_PARTED = "peers-parted"
    STOCK_LOW = "stock-low"
    STOCK_BACK = "stock-back"
    DEMAND_SHORT = "demand-short"
    DEMAND_MET = "demand-met"
    REROUTED = "rerouted"
    NO_ROUTE = "no-route"
    ALARM_RAISED = "alarm-raised"
    ALARM_CLEARED = "alarm-cleared"
    SITE_NOTICE = "site-notice"


@dataclass(frozen=True, slots=True)
class CityEvent:
    """Something happened. `at` is the owner's clock (s); `values` fill the places of the row's lines."""

    kind: CityEventKind
    at: float
    site: KmeId | None = None
    link: LinkId | None = None
    span: SpanId | None = None
    demand: str | None = None
    values: dict[str, str | int | float] = field(default_factory=dict[str, "str | int | float"])


@dataclass(frozen=True, slots=True)
class EventRow:
    """One row of the table. In the lines {site}, {link}, {span}, {demand} and names of `values` are filled in."""

    severity: Severity
    parts: tuple[Part, ...]
    english: str
    italian: str


_K = CityEventKind
_ALL: Final = tuple(Part)

EVENTS: Final[dict[CityEventKind, EventRow]] = {
    _K.CONTROLLER_STARTED: EventRow(
        Severity.INFO,
        _ALL,
        "controller {controller} started, epoch {epoch}",
        "controllore {controller} avviato, epoca {epoch}",
    ),
    _K.CONTROLLER_RIVAL: EventRow(
        Severity.CRITICAL,
        _ALL,
        "a second controller runs (epoch {epoch}, met at {site}): stop one of the two; this one gives no orders",
        "è attivo un secondo controllore (epoca {epoch}, visto da {site}): fermarne uno; questo non dà più ordini",
    ),
    _K.CITY_CHANGED: EventRow(
        Severity.INFO, _ALL, "the plan of the city changed: {change}", "il piano della città è cambiato: {change}"
    ),
    _K.SITE_CONNECTED: EventRow(Severity.INFO, (Part.SITES,), "{site} reports", "{site} comunica"),
    _K.SITE_LOST: EventRow(
        Severity.ERROR,
        (Part.SITES, Part.ALARMS),
        "{site} no longer reports; it goes on serving keys if it runs",
        "{site} non comunica più; se è in funzione continua a fornire chiavi",
    ),
    _K.SITE_DRAINING: EventRow(Severity.INFO, (Part.SITES,), "{site} is being drained", "{site} è in svuotamento"),
    _K.SITE_BACK: EventRow(Severity.INFO, (Part.SITES,), "{site} takes part again", "{site} è di nuovo attivo"),
    _K.SITE_NONSENSE: EventRow(
        Severity.ERROR,
        (Part.SITES, Part.ALARMS),
        "{site} reports what cannot be: {what}; its report is not used",
        "{site} comunica dati impossibili: {what}; il rapporto non è usato",
    ),
    _K.SITE_CLOCK: EventRow(
        Severity.WARNING,
        (Part.SITES,),
        "the clock of {site} is {skew_s} s off; set it by NTP",
        "l'orologio di {site} è sfasato di {skew_s} s; sincronizzarlo con NTP",
    ),
    _K.SITE_REFUSED: EventRow(
        Severity.WARNING,
        (Part.SITES, Part.DEMANDS),
        "{site} refuses a route: {what}",
        "{site} rifiuta un percorso: {what}",
    ),
    _K.LINK_LIT: EventRow(Severity.INFO, (Part.LINKS,), "{link} makes key", "{link} produce chiave"),
    _K.LINK_DARK: EventRow(
        Severity.ERROR, (Part.LINKS, Part.ALARMS), "{link}: no light arrives", "{link}: non arriva luce"
    ),
    _K.LINK_KEYLESS: EventRow(
        Severity.ERROR,
        (Part.LINKS, Part.ALARMS),
        "{link} gives no key: {what}",
        "{link} non dà chiave: {what}",
    ),
    _K.LINK_SILENT: EventRow(
        Severity.WARNING,
        (Part.LINKS,),
        "{link}: its devices report nothing at {site}",
        "{link}: i dispositivi non comunicano presso {site}",
    ),
    _K.LINK_QBER: EventRow(
        Severity.WARNING,
        (Part.LINKS,),
        "{link}: error rate {qber} in the {basis} basis, {usual} before",
        "{link}: tasso d'errore {qber} nella base {basis}, prima {usual}",
    ),
    _K.LINK_LOSS: EventRow(
        Severity.WARNING,
        (Part.LINKS,),
        "{link}: loss {loss_db} dB, {usual} dB before",
        "{link}: perdita {loss_db} dB, prima {usual} dB",
    ),
    _K.LINK_NOISE: EventRow(
        Severity.WARNING,
        (Part.LINKS,),
        "{link}: light that is not Alice's, {noise} clicks a slot, {usual} before",
        "{link}: luce estranea, {noise} conteggi per slot, prima {usual}",
    ),
    _K.LINK_DISAGREE: EventRow(
        Severity.ERROR,
        (Part.LINKS, Part.ALARMS),
        "the two ends of {link} report different things: {what}",
        "i due estremi di {link} comunicano dati diversi: {what}",
    ),
    _K.PEERS_PARTED: EventRow(
        Severity.ERROR,
        (Part.SITES, Part.ALARMS),
        "{site} and {other} have no connection; keys between them wait",
        "{site} e {other} non sono collegati; le chiavi tra loro attendono",
    ),
    _K.STOCK_LOW: EventRow(
        Severity.WARNING,
        (Part.KEYS,),
        "{site}: little key left with {other}, {left}",
        "{site}: poca chiave rimasta con {other}, {left}",
    ),
    _K.STOCK_BACK: EventRow(
        Severity.INFO,
        (Part.KEYS,),
        "{site}: enough key with {other} again",
        "{site}: di nuovo chiave sufficiente con {other}",
    ),
    _K.DEMAND_SHORT: EventRow(
        Severity.WARNING,
        (Part.DEMANDS, Part.ALARMS),
        "{demand} gets {granted} of {wanted}",
        "{demand} riceve {granted} di {wanted}",
    ),
    _K.DEMAND_MET: EventRow(
        Severity.INFO, (Part.DEMANDS,), "{demand} gets all it wants", "{demand} riceve quanto richiesto"
    ),
    _K.REROUTED: EventRow(
        Severity.INFO,
        (Part.DEMANDS,),
        "keys between {site} and {other} now go over {path}",
        "le chiavi tra {site} e {other} passano ora per {path}",
    ),
    _K.NO_ROUTE: EventRow(
        Severity.ERROR,
        (Part.DEMANDS, Part.ALARMS),
        "no way for keys between {site} and {other}: stock lasts {left}",
        "nessun percorso per le chiavi tra {site} e {other}: la scorta dura {left}",
    ),
    _K.ALARM_RAISED: EventRow(Severity.CRITICAL, (Part.ALARMS,), "ALARM {what}", "ALLARME {what}"),
    _K.ALARM_CLEARED: EventRow(Severity.INFO, (Part.ALARMS,), "over: {what}", "rientrato: {what}"),
    _K.SITE_NOTICE: EventRow(Severity.WARNING, (Part.SITES,), "{site}: {what}", "{site}: {what}"),
}


def event_line(event: CityEvent, language: Language = Language.ENGLISH) -> str:
    """The event's line for people."""
    row = EVENTS[event.kind]
    template = row.english if language is Language.ENGLISH else row.italian
    places: dict[str, str | int | float] = {
        name: value
        for name, value in (
            ("site", event.site),
            ("link", event.link),
            ("span", event.span),
            ("demand", event.demand),
        )
        if value is not None
    }
    return string.Formatter().vformat(template, (), {**places, **event.values})
