"""lab.toml: whose store it is, and how much may go into it (docs/reference/lab-store.md)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from poliqi.base.errors import ConfigError
from poliqi.edge.privatefile import read_private
from poliqi.lab.store.naming import check_tenant

__all__ = ["FILE_NAME", "LabSettings", "Limits", "draft_of", "read_settings"]

FILE_NAME: Final = "lab.toml"
_LONGEST: Final = 1 << 16
_GB: Final = 10**9


class _Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    file_gb: float = 500.0
    dataset_gb: float = 2000.0
    dataset_files: int = 100_000
    free_gb: float = 0.5


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    organisation: str
    tenant: str
    limits: _Limits = _Limits()


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest file and dataset, the most files in one, and what is left free on the disk, in bytes."""

    file_bytes: int = 500 * _GB
    dataset_bytes: int = 2000 * _GB
    dataset_files: int = 100_000
    free_bytes: int = _GB // 2


@dataclass(frozen=True, slots=True)
class LabSettings:
    """`tenant` is the organisation's own; others are its guests."""

    organisation: str
    tenant: str
    limits: Limits = Limits()


def read_settings(path: Path) -> LabSettings:
    """Raises ConfigError, naming the line or the field."""
    data, _ = read_private(path, "settings of a laboratory", _LONGEST)
    try:
        file = msgspec.toml.decode(data, type=_File)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}; see docs/reference/lab-store.md") from None
    limits = file.limits
    if file.version != 1:
        raise ConfigError(f"{path}: version is {file.version}, this program knows 1: install a newer one")
    if not file.organisation.strip():
        raise ConfigError(f"{path}: organisation is empty; write whose laboratory it is")
    for name, value in (
        ("file_gb", limits.file_gb),
        ("dataset_gb", limits.dataset_gb),
        ("free_gb", limits.free_gb),
    ):
        if not 0 <= value <= 1e9:
            raise ConfigError(f"{path}: limits.{name} is {value}; write gigabytes from 0 to 1e9")
    if not 1 <= limits.dataset_files <= 10_000_000:
        raise ConfigError(f"{path}: limits.dataset_files is {limits.dataset_files}; write 1 to 10000000")
    return LabSettings(
        file.organisation,
        check_tenant(file.tenant),
        Limits(
            int(limits.file_gb * _GB), int(limits.dataset_gb * _GB), limits.dataset_files, int(limits.free_gb * _GB)
        ),
    )


def draft_of(organisation: str, tenant: str) -> bytes:
    """A first lab.toml. Raises ConfigError."""
    if not organisation.strip() or not organisation.isprintable():
        raise ConfigError(f"organisation {organisation[:60]!r}: write whose laboratory it is, on one line")
    return (
        "# A laboratory's store: docs/reference/lab-store.md\n"
        "version = 1\n"
        f"organisation = {json.dumps(organisation, ensure_ascii=False)}\n"
        f'tenant = "{check_tenant(tenant)}"\n'
    ).encode()
