"""What happens in a city, in one table: severity, what it is about, and one line in English and in Italian.

The same row gives the log line, the metric `poliqi_city_events_total{kind=...}` and what a dashboard redraws.
docs/reference/events.md lists every kind with the values it carries.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from poliqi.base.ids import KmeId, LinkId
from poliqi.control.city import SpanId
from poliqi.control.lines import Language, Value, fill

__all__ = [
    "EVENTS",
    "CityEvent",
    "CityEventKind",
    "EventRow",
    "Language",
    "Part",
    "Severity",
    "event_line",
    "event_places",
    "event_record",
    "event_severity",
]


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
    CONTROLLER_ALONE = "controller-alone"
    CITY_CHANGED = "city-changed"
    SITE_CONNECTED = "site-connected"
    SITE_LOST = "site-lost"
    SITE_DRAINING = "site-draining"
    SITE_BACK = "site-back"
    SITE_NONSENSE = "site-nonsense"
    SITE_SENSE = "site-sense"
    SITE_CLOCK = "site-clock"
    SITE_CLOCK_RIGHT = "site-clock-right"
    SITE_REFUSED = "site-refused"
    LINK_LIT = "link-lit"
    LINK_DARK = "link-dark"
    LINK_KEYLESS = "link-keyless"
    LINK_SILENT = "link-silent"
    LINK_QBER = "link-qber"
    LINK_LOSS = "link-loss"
    LINK_NOISE = "link-noise"
    LINK_RATE = "link-rate"
    LINK_USUAL = "link-usual"
    LINK_DISAGREE = "link-disagree"
    LINK_AGREE = "link-agree"
    LINK_ATTACK = "link-attack"
    LINK_CLEAR = "link-clear"
    PEERS_PARTED = "peers-parted"
    PEERS_MET = "peers-met"
    STORE_FAILED = "store-failed"
    STORE_BACK = "store-back"
    STOCK_LOW = "stock-low"
    STOCK_BACK = "stock-back"
    DEMAND_SHORT = "demand-short"
    DEMAND_MET = "demand-met"
    REROUTED = "rerouted"
    NO_ROUTE = "no-route"
    ALARM_RAISED = "alarm-raised"
    ALARM_CLEARED = "alarm-cleared"
    ALARM_SEEN = "alarm-seen"
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
    values: dict[str, Value] = field(default_factory=dict[str, "Value"])


@dataclass(frozen=True, slots=True)
class EventRow:
    """One row of the table. In the lines {site}, {link}, {span}, {demand} and names of `values` are filled in
    (lines.fill: figures are given as numbers, in SI base units and bits). `hints` are further values that
    the search for the cause reads where they are given.
    """

    severity: Severity
    parts: tuple[Part, ...]
    english: str
    italian: str
    hints: tuple[str, ...] = ()


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
        "a second controller runs (epoch {epoch}, met at {site}): stop one of the two, then have the other one "
        "take charge",
        "è attivo un secondo controllore (epoca {epoch}, visto da {site}): fermarne uno, poi far assumere il "
        "comando all'altro",
    ),
    _K.CONTROLLER_ALONE: EventRow(
        Severity.INFO,
        _ALL,
        "controller {controller} gives orders alone again, epoch {epoch}",
        "il controllore {controller} è di nuovo l'unico a dare ordini, epoca {epoch}",
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
    _K.SITE_SENSE: EventRow(
        Severity.INFO,
        (Part.SITES, Part.ALARMS),
        "{site} reports what can be again",
        "{site} comunica di nuovo dati possibili",
    ),
    _K.SITE_CLOCK: EventRow(
        Severity.WARNING,
        (Part.SITES, Part.ALARMS),
        "the clock of {site} is {skew_s:.1f} s off; set it by NTP",
        "l'orologio di {site} è sfasato di {skew_s:.1f} s; sincronizzarlo con NTP",
    ),
    _K.SITE_CLOCK_RIGHT: EventRow(
        Severity.INFO,
        (Part.SITES, Part.ALARMS),
        "the clock of {site} is right again",
        "l'orologio di {site} è di nuovo giusto",
    ),
    _K.SITE_REFUSED: EventRow(
        Severity.WARNING,
        (Part.SITES, Part.DEMANDS),
        "{site} refuses a route: {what}",
        "{site} rifiuta un percorso: {what}",
    ),
    _K.LINK_LIT: EventRow(Severity.INFO, (Part.LINKS,), "{link} makes key", "{link} produce chiave"),
    _K.LINK_DARK: EventRow(
        Severity.ERROR,
        (Part.LINKS, Part.ALARMS),
        "{link}: no light arrives at {site}",
        "{link}: non arriva luce a {site}",
    ),
    _K.LINK_KEYLESS: EventRow(
        Severity.ERROR,
        (Part.LINKS, Part.ALARMS),
        "{link} gives no key: {what}",
        "{link} non dà chiave: {what}",
        ("why", "qber_key", "qber_test", "loss_db", "noise"),
    ),
    _K.LINK_SILENT: EventRow(
        Severity.WARNING,
        (Part.LINKS,),
        "{link}: its devices report nothing at {site}",
        "{link}: i dispositivi non comunicano presso {site}",
        ("what",),
    ),
    _K.LINK_QBER: EventRow(
        Severity.WARNING,
        (Part.LINKS,),
        "{link}: error rate {qber:percent} in the {basis:word} basis, {usual:percent} before",
        "{link}: tasso d'errore {qber:percent} nella base di {basis:word}, prima {usual:percent}",
        ("pattern",),
    ),
    _K.LINK_LOSS: EventRow(
        Severity.WARNING,
        (Part.LINKS,),
        "{link}: loss {loss_db:.1f} dB, {usual:.1f} dB before",
        "{link}: perdita {loss_db:.1f} dB, prima {usual:.1f} dB",
    ),
    _K.LINK_NOISE: EventRow(
        Severity.WARNING,
        (Part.LINKS,),
        "{link}: light that is not Alice's, {noise:.2g} clicks a slot, {usual:.2g} before",
        "{link}: luce estranea, {noise:.2g} conteggi per slot, prima {usual:.2g}",
    ),
    _K.LINK_RATE: EventRow(
        Severity.WARNING,
        (Part.LINKS,),
        "{link}: makes {rate:rate} of key, {usual:rate} before",
        "{link}: produce {rate:rate} di chiave, prima {usual:rate}",
    ),
    _K.LINK_USUAL: EventRow(
        Severity.INFO,
        (Part.LINKS,),
        "{link}: {figure:word} as usual again",
        "{link}: {figure:word} di nuovo nella norma",
    ),
    _K.LINK_DISAGREE: EventRow(
        Severity.ERROR,
        (Part.LINKS, Part.ALARMS),
        "the two ends of {link} report different things: {what}",
        "i due estremi di {link} comunicano dati diversi: {what}",
    ),
    _K.LINK_AGREE: EventRow(
        Severity.INFO,
        (Part.LINKS,),
        "the two ends of {link} agree again",
        "i due estremi di {link} sono di nuovo concordi",
    ),
    _K.LINK_ATTACK: EventRow(
        Severity.CRITICAL,
        (Part.LINKS, Part.ALARMS),
        "{link}: its monitor at {site} names {attack:word}: {what}",
        "{link}: il monitor presso {site} indica {attack:word}: {what}",
    ),
    _K.LINK_CLEAR: EventRow(
        Severity.INFO,
        (Part.LINKS, Part.ALARMS),
        "{link}: its monitors see nothing unusual any more",
        "{link}: i monitor non vedono più nulla di insolito",
    ),
    _K.PEERS_PARTED: EventRow(
        Severity.ERROR,
        (Part.SITES, Part.ALARMS),
        "{site} and {other} have no connection; keys between them wait",
        "{site} e {other} non sono collegati; le chiavi tra loro attendono",
    ),
    _K.PEERS_MET: EventRow(
        Severity.INFO,
        (Part.SITES,),
        "{site} and {other} are connected",
        "{site} e {other} sono collegati",
    ),
    _K.STORE_FAILED: EventRow(
        Severity.CRITICAL,
        (Part.SITES, Part.ALARMS),
        "{site} can no longer write its key store and serves nothing: {what}",
        "{site} non riesce più a scrivere l'archivio delle chiavi e non fornisce nulla: {what}",
    ),
    _K.STORE_BACK: EventRow(
        Severity.INFO,
        (Part.SITES, Part.ALARMS),
        "{site} writes its key store again",
        "{site} scrive di nuovo l'archivio delle chiavi",
    ),
    _K.STOCK_LOW: EventRow(
        Severity.WARNING,
        (Part.KEYS,),
        "{site}: little key left with {other}, {left:duration}",
        "{site}: poca chiave rimasta con {other}, {left:duration}",
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
        "{demand} gets {granted:rate} of {wanted:rate}",
        "{demand} riceve {granted:rate} di {wanted:rate}",
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
        "no way for keys between {site} and {other}: stock lasts {left:duration}",
        "nessun percorso per le chiavi tra {site} e {other}: la scorta dura {left:duration}",
    ),
    _K.ALARM_RAISED: EventRow(
        Severity.CRITICAL,
        (Part.ALARMS,),
        "ALARM {number}: {what}",
        "ALLARME {number}: {what}",
        ("cause", "severity"),
    ),
    _K.ALARM_CLEARED: EventRow(
        Severity.INFO,
        (Part.ALARMS,),
        "over, alarm {number}: {what}",
        "rientrato, allarme {number}: {what}",
        ("cause",),
    ),
    _K.ALARM_SEEN: EventRow(
        Severity.INFO,
        (Part.ALARMS,),
        "{who} has seen alarm {number}: {what}",
        "{who} ha preso visione dell'allarme {number}: {what}",
        ("cause",),
    ),
    _K.SITE_NOTICE: EventRow(Severity.WARNING, (Part.SITES,), "{site}: {what}", "{site}: {what}", ("kind",)),
}


def event_places(event: CityEvent) -> dict[str, Value]:
    """What the event's line is filled with: its subjects and its values."""
    subjects = (("site", event.site), ("link", event.link), ("span", event.span), ("demand", event.demand))
    return {**{name: str(subject) for name, subject in subjects if subject is not None}, **event.values}


def event_line(event: CityEvent, language: Language = Language.ENGLISH) -> str:
    """The event's line for people; a value that is missing reads "?"."""
    row = EVENTS[event.kind]
    return fill(row.english if language is Language.ENGLISH else row.italian, event_places(event), language)


def event_severity(event: CityEvent) -> Severity:
    """How much it asks of the operator: of an alarm that is raised, as much as its cause does."""
    told = event.values.get("severity") if event.kind is CityEventKind.ALARM_RAISED else None
    return Severity(told) if told in tuple(Severity) else EVENTS[event.kind].severity


def event_record(event: CityEvent, wall_s: float) -> dict[str, Value]:
    """The event as one line of a structured log: `wall_s` is Unix time, `text` the line for people (English).

    The values of the event stand beside; none of them takes the place of a field of the record.
    """
    return {
        **event_places(event),
        "event": event.kind.value,
        "level": event_severity(event).value,
        "text": event_line(event),
        "wall_s": round(wall_s, 3),
    }
