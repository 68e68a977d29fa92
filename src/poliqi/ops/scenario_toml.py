"""SCENARIO.toml: what happens to a city in a twin, read into a `Scenario`. docs/reference/scenario.md: every key.

A quantity is text with its unit ("10 min", "64 kbit"). A fault takes the keys of its kind and no others.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from poliqi.base.errors import ConfigError
from poliqi.base.ids import KmeId, LinkId
from poliqi.base.units import parse_quantity
from poliqi.control.city import City, SpanId
from poliqi.ops.city_toml import CityPlan, load_city
from poliqi.optics.attack import ATTACK_WORDS
from poliqi.optics.parameters import AttackKind
from poliqi.twin.scenario import Fault, FaultKind, Load, Pace, Scenario

__all__ = ["ATTACKS", "FAULT_KEYS", "TABLES", "load_scenario", "read_scenario"]

_LARGEST: Final = 1 << 20
_MOST_FAULTS: Final = 10_000
_PAGE: Final = "docs/reference/scenario.md lists every key"
_K = FaultKind
ATTACKS: Final = {word: kind for word, kind in ATTACK_WORDS.items() if word not in ("intercept-key", "tap", "cut")}
"""What an `eavesdropper` may do. Taps and cuts are faults of their own; a basis of hers has no key here."""

Quantity = str | float


class Table(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A table of the file; an unknown key in it is an error."""


class LoadTable(Table):
    interval: Quantity = "1 s"
    key_size: Quantity = "256 bit"
    most_keys: int = 64
    share: Quantity = 1.0
    fetch: Quantity = "0.2 s"


class PaceTable(Table):
    tick: Quantity = "0.25 s"
    light: Quantity = "0.25 s"
    watch: Quantity = "1 s"


class FaultTable(Table):
    kind: str
    at: Quantity = "0 s"
    for_: Quantity | None = msgspec.field(default=None, name="for")
    every: Quantity | None = None
    span: str | None = None
    group: str | None = None
    site: str | None = None
    sites: tuple[str, ...] | None = None
    link: str | None = None
    demand: str | None = None
    attack: str | None = None
    fraction: Quantity | None = None
    error: Quantity | None = None
    loss: Quantity | None = None
    launch: Quantity | None = None
    factor: float | None = None
    skew: Quantity | None = None


class ScenarioTable(Table):
    name: str
    city: str
    duration: Quantity
    settle: Quantity = "120 s"
    controller: bool = True
    delay: Quantity = "0.2 ms"
    jitter: Quantity = "0.3 ms"
    capacity: Quantity = "8 Mbit"
    low_water: Quantity = "512 kbit"
    sifted_key: float | None = None
    load: LoadTable = msgspec.field(default_factory=LoadTable)
    pace: PaceTable = msgspec.field(default_factory=PaceTable)
    fault: tuple[FaultTable, ...] = ()


TABLES: Final[dict[str, type[Table]]] = {
    "": ScenarioTable,
    "load": LoadTable,
    "pace": PaceTable,
    "fault": FaultTable,
}

_ALWAYS: Final = ("kind", "at", "for", "every")
FAULT_KEYS: Final[dict[FaultKind, tuple[str, ...]]] = {
    _K.CUT: ("span",),
    _K.GROUP_CUT: ("group",),
    _K.DEVICE: ("link", "site"),
    _K.SWITCH: ("site",),
    _K.NODE: ("site",),
    _K.RESTART: ("site",),
    _K.STORE: ("site",),
    _K.CONTROLLER: (),
    _K.RIVAL: (),
    _K.UNREACHED: ("site",),
    _K.PARTITION: ("sites",),
    _K.BREAK: ("site",),
    _K.DRIFT: ("link", "error"),
    _K.EAVESDROPPER: ("span", "attack", "fraction"),
    _K.RAMAN: ("span", "launch"),
    _K.TAP: ("span", "loss"),
    _K.GROWTH: ("demand", "factor"),
    _K.LIAR: ("site",),
    _K.CLOCK: ("site", "skew"),
    _K.TAMPER: ("link",),
    _K.REPLAY: ("link",),
}
"""Keys of each kind besides `kind`, `at`, `for` and `every`."""


def load_scenario(path: str | Path, changes: Mapping[str, str] | None = None) -> Scenario:
    """Read a SCENARIO.toml and the city that it names. `changes`: other values for keys such as "load.share".

    Raises ConfigError, with the file and the key in it.
    """
    where = Path(path)
    try:
        with where.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise ConfigError(f"{where}: cannot be read ({error.strerror}); give a SCENARIO.toml") from None
    if len(data) > _LARGEST:
        raise ConfigError(f"{where}: larger than {_LARGEST} bytes, so it is no SCENARIO.toml")
    return read_scenario(data, where, changes)


def read_scenario(data: bytes | str, where: Path, changes: Mapping[str, str] | None = None) -> Scenario:
    """Read the content of a SCENARIO.toml that stands, or would stand, at `where`. Raises ConfigError."""
    try:
        raw = tomllib.loads(data if isinstance(data, str) else data.decode())
        for key, text in (changes or {}).items():
            _change(raw, key, text)
        table = msgspec.convert(raw, ScenarioTable)
        return _scenario(table, load_city(where.parent / _file(table.city)))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{where}: byte {error.start} is not UTF-8; save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where}: not TOML: {error}") from None
    except (msgspec.ValidationError, RecursionError) as error:
        raise ConfigError(f"{where}: {error}; {_PAGE}") from None
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _file(name: str) -> str:
    if not name or "\0" in name:
        raise ConfigError(f"city {name!r}: name a CITY.toml")
    return name


def _change(raw: dict[str, Any], key: str, text: str) -> None:
    """Put another value at a place such as "load.share" or "fault.0.for"; the places on the way must be there."""
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *way, last = key.split(".")
    if way and way[0] in ("load", "pace"):
        raw.setdefault(way[0], {})
    here: Any = raw
    try:
        for step in way:
            here = here[int(step) if step.isdigit() else step]
        here[int(last) if last.isdigit() else last] = value
    except (KeyError, IndexError, TypeError):
        raise ConfigError(f"--set {key}: the file has no such place; write TABLE.KEY or fault.NUMBER.KEY") from None


def _scenario(t: ScenarioTable, plan: CityPlan) -> Scenario:
    if not 1 <= len(t.name) <= 200 or not t.name.isprintable():
        raise ConfigError(f"name {t.name[:80]!r}: use 1 to 200 printable characters on one line")
    if len(t.fault) > _MOST_FAULTS:
        raise ConfigError(f"fault: {len(t.fault)} of them, {_MOST_FAULTS} are the limit; use `every`")
    duration = _seconds(t.duration, "duration", 0.1, 400 * 86400.0)
    capacity = _range(parse_quantity(t.capacity, "bit", "capacity"), "capacity", 1 << 17, 1 << 33, " bit")
    low = _range(parse_quantity(t.low_water, "bit", "low_water"), "low_water", 1 << 14, capacity / 2, " bit")
    sifted = None if t.sifted_key is None else int(_range(t.sifted_key, "sifted_key", 1e4, 1e12))
    return Scenario(
        name=t.name,
        city=plan.city,
        devices=plan.devices,
        duration_s=duration,
        faults=tuple(_fault(f, f"fault {number}", plan.city) for number, f in enumerate(t.fault)),
        load=_load(t.load),
        pace=Pace(
            _seconds(t.pace.tick, "pace.tick", 0.01, 4.0),
            _seconds(t.pace.light, "pace.light", 0.01, 10.0),
            _seconds(t.pace.watch, "pace.watch", 0.1, 3600.0),
        ),
        settle_s=_seconds(t.settle, "settle", 1.0, 86400.0),
        delay_s=_seconds(t.delay, "delay", 0.0, 2.0),
        jitter_s=_seconds(t.jitter, "jitter", 0.0, 2.0),
        capacity=int(capacity) // 8,
        low_water=int(low) // 8,
        sifted_key=sifted,
        controller=t.controller,
    )


def _load(t: LoadTable) -> Load:
    size = _range(parse_quantity(t.key_size, "bit", "load.key_size"), "load.key_size", 128, 4096, " bit")
    if size % 8:
        raise ConfigError(f"load.key_size {t.key_size!r}: give a multiple of 8 bits")
    return Load(
        every_s=_seconds(t.interval, "load.interval", 1e-3, 86400.0),
        key_bits=int(size),
        most_keys=int(_range(t.most_keys, "load.most_keys", 1, 4096)),
        share=_range(parse_quantity(t.share, "1", "load.share"), "load.share", 0.0, 1e6),
        fetch_s=_seconds(t.fetch, "load.fetch", 0.0, 60.0),
    )


def _fault(t: FaultTable, key: str, city: City) -> Fault:
    if t.kind not in ("any", *FAULT_KEYS):
        raise ConfigError(f"{key}: kind {t.kind[:40]!r}: write any, {', '.join(FAULT_KEYS)}")
    kind = None if t.kind == "any" else FaultKind(t.kind)
    _check_keys(t, kind, key)
    strikes = _strikes(t, key, city)
    at, most = _seconds(t.at, f"{key}: at", 0.0, 400 * 86400.0), 400 * 86400.0
    given: dict[str, Any] = {
        "attack": _attack(t.attack, key),
        "fraction": _figure(t.fraction, "1", f"{key}: fraction", 0.0, 1.0),
        "error": _figure(t.error, "1", f"{key}: error", 0.0, 0.5),
        "loss_db": _figure(t.loss, "dB", f"{key}: loss", 0.0, 60.0),
        "launch_dbm": _figure(t.launch, "dBm", f"{key}: launch", -100.0, 40.0),
        "factor": _figure(t.factor, "1", f"{key}: factor", 0.0, 1e6),
        "skew_s": _figure(t.skew, "s", f"{key}: skew", -1e6, 1e6),
    }
    return Fault(
        kind,
        at_s=at,
        for_s=None if t.for_ is None else _seconds(t.for_, f"{key}: for", 1e-3, most),
        every_s=None if t.every is None else _seconds(t.every, f"{key}: every", 1e-2, most),
        **strikes,
        **{name: value for name, value in given.items() if value is not None},
    )


def _attack(word: str | None, key: str) -> AttackKind | None:
    if word is not None and word not in ATTACKS:
        raise ConfigError(f"{key}: attack {word[:40]!r}: write one of {', '.join(ATTACKS)}")
    return None if word is None else ATTACKS[word]


def _check_keys(t: FaultTable, kind: FaultKind | None, key: str) -> None:
    """A key that the kind has no use for is an error. Raises ConfigError."""
    allowed = {*_ALWAYS, *(FAULT_KEYS[kind] if kind is not None else ())}
    for name in sorted({n for table in FAULT_KEYS.values() for n in table} - allowed):
        if getattr(t, name) is not None:
            word = "any" if kind is None else kind.value
            takes = ", ".join(n for n in sorted(allowed) if n != "kind")
            raise ConfigError(f"{key}: {name}: a fault of kind {word!r} takes {takes}; leave it out")


def _strikes(t: FaultTable, key: str, city: City) -> dict[str, Any]:
    """What a fault strikes, each name one of the city's. Raises ConfigError."""
    groups = {group for span in city.spans for group in span.groups}
    wanted: list[tuple[str, str | None, set[str]]] = [
        ("span", t.span, {str(n) for n in city.span}),
        ("group", t.group, groups),
        ("site", t.site, {str(n) for n in city.site}),
        ("link", t.link, {str(n) for n in city.link}),
        ("demand", t.demand, set(city.demand)),
        *(("sites", name, {str(n) for n in city.site}) for name in t.sites or ()),
    ]
    for word, name, known in wanted:
        if name is not None and name not in known:
            some = ", ".join(sorted(known)[:8]) or "none"
            raise ConfigError(f"{key}: {word}: there is no {name[:80]!r} in the city; name one of: {some}")
    is_device = t.kind == FaultKind.DEVICE and t.site is not None
    if is_device and (t.link is None or t.site not in city.link[LinkId(t.link)].ends):
        raise ConfigError(f"{key}: site: {t.site} is no end of a link that is named; name `link`, or leave it out")
    sites = tuple(sorted(KmeId(s) for s in set(t.sites or ())))
    if t.sites is not None and not 0 < len(sites) < len(city.sites):
        raise ConfigError(f"{key}: sites: {len(sites)} of {len(city.sites)}; name some of the city's, not all")
    found: dict[str, Any] = {"sites": sites}
    for word, name, kind in (("span", t.span, SpanId), ("site", t.site, KmeId), ("link", t.link, LinkId)):
        found[word] = None if name is None else kind(name)
    return found | {"group": t.group, "demand": t.demand}


def _figure(text: Quantity | None, dimension: str, key: str, low: float, high: float) -> float | None:
    return None if text is None else _range(parse_quantity(text, dimension, key), key, low, high)


def _seconds(text: Quantity, key: str, low: float, high: float) -> float:
    return _range(parse_quantity(text, "s", key), key, low, high, " s")


def _range(value: float, key: str, low: float, high: float, unit: str = "") -> float:
    if not low <= value <= high:
        raise ConfigError(f"{key}: {value:g}{unit} is outside {low:g}{unit} to {high:g}{unit}")
    return value
