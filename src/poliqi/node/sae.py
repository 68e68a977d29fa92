"""An application as one process: its door for other applications, the services behind it, its pages.

Signals: SIGTERM and SIGINT stop it; SIGHUP reads contacts and rules again. Each caller has a thread of its own:
reading, deciphering, hashing and writing all let other threads run, so one process serves as fast as its cores can.
"""

from __future__ import annotations

import asyncio
import ipaddress
import signal
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from poliqi.apps.keysource import KeySource
from poliqi.apps.service import Service
from poliqi.apps.settings import SaeSettings
from poliqi.base.errors import ConfigError, PoliqiError
from poliqi.edge.asgi import Application
from poliqi.edge.complaints import Complaints
from poliqi.edge.descriptors import raise_open_files
from poliqi.edge.expiry import Urgency
from poliqi.edge.folder import make_private_folder
from poliqi.edge.http1 import HttpLimits
from poliqi.edge.https import HttpsServer
from poliqi.edge.memory import forbid_core_dumps
from poliqi.edge.readiness import tell_supervisor
from poliqi.edge.running import mark_running
from poliqi.edge.tls import TlsFiles
from poliqi.node.sae_door import SaeDoor
from poliqi.node.sae_figures import SAE_METRICS, SaeFigures, certificate_line
from poliqi.node.site_status import StatusApplication

__all__ = ["Around", "run_sae"]

Say = Callable[[dict[str, Any]], None]
_LOOK_S: Final = 3600.0
_ASK_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Around:
    """What stands around an application: the pages for people, and what to do when its file is read again."""

    web: Application | None = None
    prepare: Callable[[SaeSettings], Callable[[], None]] = lambda _settings: lambda: None
    """Reads what other settings name, and raises; what it returns puts that in force, and cannot fail."""
    figures: SaeFigures | None = None
    """Has to be told of every record; one of its own, which counts no records, where None."""
    close: Callable[[], None] = lambda: None
    limits: HttpLimits | None = None
    """Of the pages' server."""


def run_sae(
    settings: SaeSettings,
    keys: KeySource,
    services: Sequence[Service],
    say: Say,
    load: Callable[[], SaeSettings],
    around: Around | None = None,
) -> None:
    """Run an application until a signal ends it. `load` reads its file again. Raises ConfigError, StoreError."""
    forbid_core_dumps()
    raise_open_files()
    for folder in (settings.state, settings.inbox):
        make_private_folder(folder)
    with mark_running(settings.state):
        asyncio.run(_run(settings, keys, services, say, load, around or Around()))


async def _run(
    settings: SaeSettings,
    keys: KeySource,
    services: Sequence[Service],
    tell: Say,
    load: Callable[[], SaeSettings],
    around: Around,
) -> None:
    def say(event: str, text: str, **more: Any) -> None:
        tell({"event": event, "text": text, **more})

    def reload() -> None:
        try:
            fresh = load()
            change = around.prepare(fresh)
            if pages is not None:
                pages.reload(_files(fresh))
        except (PoliqiError, OSError) as error:
            say("reload-failed", f"{error}; what was in force stays in force", level="error")
            return
        # from here on nothing fails
        change()
        door.change(fresh)
        now = datetime.now(UTC)
        figures.change(fresh, now)
        changed.set()
        say("reloaded", f"{len(fresh.peers)} peers; other settings take effect at the next start")
        _tell_certificate(fresh, now, say)

    stopping, changed = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    door = SaeDoor(settings, keys, services, say)
    figures = around.figures or SaeFigures(settings)
    figures.watch(door)
    async with AsyncExitStack() as stack:
        stack.callback(keys.close)
        stack.callback(around.close)
        stack.push_async_callback(asyncio.to_thread, door.close)
        if settings.listen is not None:
            say("listening", f"streams: {door.start(settings.listen)}", door="streams")
        pages = None if around.web is None or settings.web is None else _pages(settings, around, say)
        if pages is not None:
            where = await pages.start()
            stack.push_async_callback(pages.close)
            say("listening", f"web: {where}", door="web", address=str(where))
        if settings.status is not None:
            status = HttpsServer(StatusApplication(figures, figures.why_not, SAE_METRICS), settings.status, None)
            where = await status.start()
            stack.push_async_callback(status.close)
            asking = loop.create_task(_ask(figures, keys, changed))
            stack.callback(asking.cancel)
            say("listening", f"status: {where}", door="status", address=str(where))
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        loop.add_signal_handler(signal.SIGHUP, reload)
        if settings.allow_simulated:
            say("simulated", "keys of SIMULATED LIGHT are taken: they protect nothing", level="warning")
        _tell_certificate(settings, datetime.now(UTC), say)
        reminding = loop.create_task(_remind(figures, say))
        stack.callback(reminding.cancel)
        names = ", ".join(sorted(service.purpose for service in services)) or "nothing"
        say("ready", f"{settings.sae}: {len(settings.peers)} peers; serves {names}")
        tell_supervisor("READY=1")
        await stopping.wait()
        tell_supervisor("STOPPING=1")
    say("stopped", f"{settings.sae} stopped")


def _tell_certificate(settings: SaeSettings, now: datetime, say: Callable[..., None]) -> None:
    try:
        line, urgency = certificate_line(settings, now)
    except ConfigError as error:
        line, urgency = str(error), Urgency.URGENT
    say("certificate", line, level="info" if urgency is Urgency.OK else "warning")


async def _remind(figures: SaeFigures, say: Callable[..., None]) -> None:
    """Warn of certificates that end."""
    figures.warnings(datetime.now(UTC))  # said at the start already
    while True:
        await asyncio.sleep(_LOOK_S)
        for line in figures.warnings(datetime.now(UTC)):
            say("certificate", line, level="warning")


async def _ask(figures: SaeFigures, keys: KeySource, changed: asyncio.Event) -> None:
    """Ask the site now and then, and at once where another certificate may have been taken up."""
    while True:
        changed.clear()
        await asyncio.to_thread(figures.ask, keys)
        with suppress(TimeoutError):
            await asyncio.wait_for(changed.wait(), _ASK_S)


def _files(settings: SaeSettings) -> TlsFiles:
    if settings.site is None:
        raise ConfigError(
            f"listen.web {settings.web}: pages beyond this machine need a certificate, and there is no [site]; "
            "write a loopback address"
        )
    return TlsFiles(settings.site.certificate, settings.site.key, None, None, are_clients_known=False)


def _pages(settings: SaeSettings, around: Around, say: Callable[..., None]) -> HttpsServer:
    """Plain HTTP on loopback, else TLS with the application's own certificate."""
    if settings.web is None or around.web is None:
        raise ValueError("no address for the pages")
    try:
        is_near = ipaddress.ip_address(settings.web.host).is_loopback
    except ValueError:
        is_near = False
    files = None if is_near else _files(settings)
    return HttpsServer(
        around.web, settings.web, files, around.limits, Complaints(lambda line: say("refused", line))
    )
