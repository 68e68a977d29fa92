"""control.toml: everything about a city's controller, read into settings; the plan stands in a file of its own.

Relative paths are relative to the file. What contradicts itself is refused with file, key, value and remedy.
"""

from __future__ import annotations

import ipaddress
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

import msgspec

from poliqi.base.errors import ConfigError
from poliqi.base.ids import KmeId
from poliqi.edge.network import Address, parse_address
from poliqi.keys.etsi014 import is_sae_id
from poliqi.node.control import ControllerSettings
from poliqi.ops.web.roles import Role

__all__ = ["TABLES", "ControllerFile", "SyslogTable", "WebhookTable", "load_controller"]

_LARGEST: Final = 1 << 20
_PAGE: Final = "docs/reference/control-toml.md lists every key"


class _Table(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A table of the file; an unknown key in it is an error."""


class TlsTable(_Table):
    """PEM files of the controller; `people` signs certificates of those who open the dashboard."""

    certificate: str
    key: str
    trust: str
    people: str | None = None
    revoked: str | None = None


class ListenTable(_Table):
    """Where it listens."""

    sites: str
    status: str = "127.0.0.1:9240"
    web: str | None = "127.0.0.1:8080"


class WebTable(_Table):
    """Who may do what on the dashboard."""

    local_role: Role | None = Role.VIEWER
    tokens: str | None = None
    certificates: dict[str, Role] = msgspec.field(default_factory=dict[str, Role])
    desks: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    laboratories: dict[str, str] = msgspec.field(default_factory=dict[str, str])


class SyslogTable(_Table):
    """A collector of RFC 5424 messages: udp://HOST:PORT, tcp://HOST:PORT or tls://HOST:PORT."""

    to: str
    authority: str | None = None


class WebhookTable(_Table):
    """A URL that alarms are posted to, signed with the secret in a private file."""

    url: str
    secret_file: str


class DemoTable(_Table):
    """The simulated fibre plant of a demonstration: with it the dashboard cuts and taps fibres."""

    plant: str


class ControlFileTable(_Table):
    """The file."""

    controller: str
    city: str
    state: str
    tls: TlsTable
    listen: ListenTable
    web: WebTable = msgspec.field(default_factory=WebTable)
    syslog: tuple[SyslogTable, ...] = ()
    webhook: tuple[WebhookTable, ...] = ()
    demo: DemoTable | None = None


TABLES: Final[dict[str, type[_Table]]] = {
    "": ControlFileTable,
    "tls": TlsTable,
    "listen": ListenTable,
    "web": WebTable,
    "syslog": SyslogTable,
    "webhook": WebhookTable,
    "demo": DemoTable,
}


@dataclass(frozen=True, slots=True)
class ControllerFile:
    """What the file says. Paths are whole."""

    settings: ControllerSettings
    city: Path
    web: WebTable
    tokens: Path | None
    syslog: tuple[SyslogTable, ...]
    webhooks: tuple[WebhookTable, ...]
    plant: Path | None


def load_controller(path: Path) -> ControllerFile:
    """Read a control.toml. Raises ConfigError, with the file and the key in it."""
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give a control.toml") from None
    if len(data) > _LARGEST:
        raise ConfigError(f"{path}: larger than {_LARGEST} bytes, so it is no control.toml")
    try:
        return _file(msgspec.convert(tomllib.loads(data.decode()), ControlFileTable), path)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start} is not UTF-8; save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None
    except (msgspec.ValidationError, RecursionError) as error:
        raise ConfigError(f"{path}: {error}; {_PAGE}") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _file(t: ControlFileTable, where: Path) -> ControllerFile:
    base = where.absolute().parent
    if not is_sae_id(t.controller):
        raise ConfigError(f"controller {t.controller[:80]!r}: use 1 to 64 printable characters")
    settings = ControllerSettings(
        source=where.absolute(),
        controller=KmeId(t.controller),
        state=_path(base, t.state, "state"),
        certificate=_path(base, t.tls.certificate, "tls.certificate"),
        key=_path(base, t.tls.key, "tls.key"),
        trust=_path(base, t.tls.trust, "tls.trust"),
        sites=parse_address(t.listen.sites, "listen.sites"),
        status=_loopback(parse_address(t.listen.status, "listen.status"), "listen.status"),
        web=None if not t.listen.web else parse_address(t.listen.web, "listen.web"),
        people=None if t.tls.people is None else _path(base, t.tls.people, "tls.people"),
        revoked=None if t.tls.revoked is None else _path(base, t.tls.revoked, "tls.revoked"),
    )
    if t.web.certificates and settings.people is None:
        raise ConfigError(
            "web.certificates: names people, and tls.people (the authority that signs theirs) is missing"
        )
    for name, pages in (("desks", t.web.desks), ("laboratories", t.web.laboratories)):
        for place, url in pages.items():
            if not _is_page(url):
                raise ConfigError(f"web.{name} {place!r} = {url!r}: write the address of pages, https://HOST:PORT/")
    return ControllerFile(
        settings=settings,
        city=_path(base, t.city, "city"),
        web=t.web,
        tokens=None if t.web.tokens is None else _path(base, t.web.tokens, "web.tokens"),
        syslog=tuple(_with_path(base, s, "authority", "syslog.authority") for s in t.syslog),
        webhooks=tuple(_with_path(base, w, "secret_file", "webhook.secret_file") for w in t.webhook),
        plant=None if t.demo is None else _path(base, t.demo.plant, "demo.plant"),
    )


_T = TypeVar("_T", SyslogTable, WebhookTable)


def _with_path(base: Path, table: _T, field: str, name: str) -> _T:
    text: str | None = getattr(table, field)
    return table if text is None else msgspec.structs.replace(table, **{field: str(_path(base, text, name))})


def _path(base: Path, text: str, name: str) -> Path:
    if not text or "\0" in text:
        raise ConfigError(f"{name} {text!r}: name a file or folder")
    return base / Path(text)


def _is_page(url: str) -> bool:
    """Whether a person may be sent there from a page."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        return False


def _loopback(address: Address, name: str) -> Address:
    try:
        inside = ipaddress.ip_address(address.host).is_loopback
    except ValueError:
        inside = False
    if not inside:
        raise ConfigError(f"{name} {str(address)!r}: nobody is authenticated there; use 127.0.0.1 or [::1]")
    return address
