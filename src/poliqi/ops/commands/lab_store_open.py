"""Options that say which store and whose part of it is meant; what every command of the store does with them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

if TYPE_CHECKING:
    from poliqi.lab.store.records import Brief, Dataset
    from poliqi.lab.store.store import LabStore
    from poliqi.lab.store.tenant import TenantStore

__all__ = [
    "JSON",
    "PATH",
    "day_of",
    "filing_options",
    "open_store",
    "open_tenant",
    "record_of",
    "root_option",
    "say",
    "store_options",
    "told",
]

PATH: Final = click.Path(path_type=Path)
JSON: Final = click.option("--json", "as_json", is_flag=True, help="print JSON")
_TENANT: Final = click.option("--tenant", default="", metavar="NAME", help="whose part of it (the owner's)")
_BEAT_S: Final = 1.0
F = TypeVar("F", bound=Callable[..., Any])


def root_option(words: str) -> Callable[[F], F]:
    """--store ROOT, from POLIQI_LAB where it is left out: the one way in which a command takes the store."""
    return click.option("--store", type=PATH, envvar="POLIQI_LAB", metavar="ROOT", help=f"{words} (or POLIQI_LAB)")


def store_options(function: F) -> F:
    """--store ROOT and --tenant NAME, of commands that work on a store."""
    return root_option("folder of the store")(_TENANT(function))


def filing_options(function: F) -> F:
    """--store ROOT and --tenant NAME, of tools that put what they read and found into a store."""
    return root_option("put what is read and what is found into this store")(_TENANT(function))


def open_store(root: Path | None) -> LabStore:
    """Raises ConfigError where none is named."""
    from poliqi.base.errors import ConfigError
    from poliqi.lab.store.store import LabStore

    if root is None:
        raise ConfigError("which store? give --store ROOT, or set POLIQI_LAB to its folder")
    return LabStore.open(root)


def open_tenant(root: Path | None, tenant: str) -> TenantStore:
    """To be closed by the caller: `with open_tenant(store, tenant) as part`. Raises ConfigError, StoreError."""
    return open_store(root).tenant(tenant)


def record_of(dataset: Dataset | Brief) -> dict[str, Any]:
    """A dataset as JSON has it; in a list, without its files and its longer words."""
    import msgspec

    fields = msgspec.to_builtins(dataset)
    return fields | {"size_bytes": dataset.size_bytes, "is_simulated": dataset.is_simulated}


def say(record: Any, lines: list[str], *, as_json: bool) -> None:
    """One JSON value, or lines in which nobody's words can take over the terminal."""
    from poliqi.ops.message_text import plain

    click.echo(json.dumps(record) if as_json else "\n".join(plain(line) for line in lines))


def day_of(unix_s: float) -> str:
    """A time of the wall clock, in UTC."""
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d %H:%M")


def told(what: str) -> Callable[[int, int], None]:
    """Progress on standard error, a line a second."""
    last = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last > _BEAT_S:
            last = time.monotonic()
            click.echo(f"{what}: {done / 1e6:.0f} of {total / 1e6:.0f} MB", err=True)

    return progress
