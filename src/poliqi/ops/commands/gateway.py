"""`poliqi gateway`: look after an application's gateways: what waits, what was refused, which machine answers."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from poliqi.base.errors import ConfigError, LinkDown

if TYPE_CHECKING:
    from poliqi.apps.dicom.images import Held
    from poliqi.apps.dicom.queue import Queue
    from poliqi.apps.dicom.settings import DicomSettings

__all__ = ["command"]

SAE: Final = click.option("--sae", "sae_toml", type=click.Path(path_type=Path), metavar="SAE.toml", help="its file")
JSON: Final = click.option("--json", "as_json", is_flag=True, help="print JSON")


@click.group()
def command() -> None:
    """Look after gateways: services that carry other software's traffic. There is one, for DICOM images."""


@command.group()
def dicom() -> None:
    """The DICOM gateway of an application: images go from the machines of this site to those of another.

    `poliqi sae run` runs it where its SAE.toml has a table [dicom]. These look after it, also while it runs:

    \b
      poliqi gateway dicom check              do the machines of this site answer C-ECHO?
      poliqi gateway dicom status             what waits, since when
      poliqi gateway dicom queue --refused    images that the other site's machine refused, and why
      poliqi gateway dicom retry              send those again

    Without --sae, the file is that of $POLIQI_SAE, or sae.toml in the folder where you are.
    """


@dicom.command()
@SAE
@JSON
def check(sae_toml: Path | None, as_json: bool) -> None:
    """Read the settings, and ask each machine of this site to answer (C-ECHO). Exit code 1 where one is silent."""
    from poliqi.apps.dicom.scu import echo

    settings = _settings(sae_toml)
    found: list[dict[str, Any]] = []
    for node in settings.nodes.values():
        try:
            echo(settings.ae, node, settings.timeout_s)
            found.append({"ae": node.ae, "address": str(node.address), "answers": True, "text": "answers"})
        except LinkDown as error:
            found.append({"ae": node.ae, "address": str(node.address), "answers": False, "text": str(error)})
    routes = [{"ae": route.ae, "to": route.peer} for route in settings.routes.values()]
    if as_json:
        click.echo(
            json.dumps({"ae": settings.ae, "listen": str(settings.listen), "routes": routes, "nodes": found})
        )
    else:
        click.echo(
            f"{settings.ae} listens at {settings.listen}; may call: {', '.join(settings.calling) or 'nobody'}"
        )
        for route in routes:
            click.echo(f"  images for {route['ae']} go to {route['to']}")
        for node in found:
            click.echo(f"  {node['ae']} at {node['address']}: {node['text']}")
    if not all(node["answers"] for node in found):
        sys.exit(1)


@dicom.command()
@SAE
@JSON
def status(sae_toml: Path | None, as_json: bool) -> None:
    """Show for each title what waits and since when, what was refused, what was delivered."""
    now = time.time()
    with _queue(sae_toml) as queue:
        counts = queue.counts()
    if as_json:
        names = ("ae", "peer", "waiting", "waiting_bytes", "refused", "delivered", "oldest_s")
        click.echo(json.dumps([{name: getattr(c, name) for name in names} for c in counts]))
        return
    if not counts:
        click.echo("no image was handed in yet")
    for c in counts:
        since = "" if c.oldest_s is None else f", the oldest since {_duration(now - c.oldest_s)}"
        click.echo(
            f"{c.ae} ({c.peer}): {c.waiting} wait ({c.waiting_bytes / 1e6:.1f} MB{since}), "
            f"{c.refused} refused, {c.delivered} delivered"
        )


@dicom.command()
@SAE
@click.option("--refused", "is_refused", is_flag=True, help="those that the other site's machine refused")
@click.option("--most", type=click.IntRange(1, 100_000), default=50, show_default=True, help="at most so many")
@JSON
def queue(sae_toml: Path | None, is_refused: bool, most: int, as_json: bool) -> None:
    """List the images that wait, oldest first. Names of patients are not known here, only UIDs."""
    from poliqi.apps.dicom.images import Stage

    with _queue(sae_toml) as found:
        images = found.held(Stage.REFUSED if is_refused else Stage.WAITING, most=most)
        for image in images:
            click.echo(json.dumps(_record(image, found)) if as_json else _line(image))
    if not images and not as_json:
        click.echo("none")


@dicom.command()
@click.argument("start", metavar="[ID]", default="")
@SAE
@JSON
def retry(start: str, sae_toml: Path | None, as_json: bool) -> None:
    """Send refused images again: all, or those whose ID begins so."""
    with _queue(sae_toml) as found:
        number = found.retry(start)
    click.echo(json.dumps({"waiting_again": number}) if as_json else f"{number} images wait again")


@dicom.command()
@click.argument("name", metavar="ID")
@SAE
@click.option("--yes", is_flag=True, help="do not ask")
@JSON
def discard(name: str, sae_toml: Path | None, yes: bool, as_json: bool) -> None:
    """Give up a refused image: its file is deleted, and the other site never gets it."""
    with _queue(sae_toml) as found:
        if not yes:
            click.confirm(f"Delete image {name}? Is it still where it came from?", abort=True, err=True)
        gone = found.discard(name)
        click.echo(json.dumps(_record(gone, found)) if as_json else f"deleted: {_line(gone)}")


def _settings(sae_toml: Path | None) -> DicomSettings:
    from poliqi.apps.dicom.settings import read_dicom
    from poliqi.ops.sae_toml import find_sae_file, load_sae

    where = find_sae_file(sae_toml)
    settings = read_dicom(load_sae(where))
    if settings is None:
        raise ConfigError(f"{where} has no table [dicom]; docs/reference/gateway.md shows one")
    return settings


@contextmanager
def _queue(sae_toml: Path | None) -> Generator[Queue]:
    """The queue as it stands on disk; the service may run beside it."""
    from poliqi.apps.dicom.queue import Queue
    from poliqi.apps.dicom.store import Store

    settings = _settings(sae_toml)
    store = Store(settings.folder, may_make=False)
    try:
        yield Queue(store, settings.queue_bytes)
    finally:
        store.close()


def _record(image: Held, queue: Queue) -> dict[str, Any]:
    return {
        "id": image.id,
        "ae": image.head.ae,
        "from": image.calling,
        "sop_class_uid": image.head.class_uid,
        "sop_instance_uid": image.head.instance_uid,
        "transfer_syntax_uid": image.head.syntax_uid,
        "size_bytes": image.size,
        "taken_s": image.taken_s,
        "state": image.stage.value,
        "status": image.status,
        "said": image.said,
        "file": str(queue.path(image.id)),
    }


def _line(image: Held) -> str:
    since = _duration(time.time() - image.taken_s)
    words = f"{image.id[:8]}  {image.calling} to {image.head.ae}  {image.size / 1e6:.1f} MB  {since}"
    return f"{words}  {image.head.instance_uid}" + (f"  {image.said}" if image.said else "")


def _duration(seconds: float) -> str:
    for size, name in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{max(seconds, 0.0):.0f} s"
