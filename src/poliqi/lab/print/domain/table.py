"""The `[domain]` and `[[obstacle]]` tables of a design."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from poliqi.base.errors import ConfigError
from poliqi.lab.print.domain.domain import Domain, of_shape
from poliqi.lab.print.domain.labelfile import from_labels
from poliqi.lab.print.domain.meshfile import from_mesh
from poliqi.lab.print.domain.shapes import Shape

__all__ = ["LabelsTable", "MeshTable", "domain_of", "files_of"]

Triple = tuple[float, float, float]


class MeshTable(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="mesh"
):
    """A body from a mesh file; see `from_mesh`."""

    file: str
    unit: str | None = None
    body: str | int | None = None
    center_um: Triple | None = None


class LabelsTable(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="labels"
):
    """A body from a label volume; see `from_labels`."""

    file: str
    label: int | str
    unit: str | None = None
    voxel_um: Triple | None = None
    scale: float = 1.0
    body: str | int | None = None
    center_um: Triple | None = None


Table = Shape | MeshTable | LabelsTable


def domain_of(table: Mapping[str, Any], folder: Path, obstacles: tuple[Mapping[str, Any], ...] = ()) -> Domain:
    """The domain of a `[domain]` table less its `[[obstacle]]` tables; files are looked for in `folder`.

    Obstacles may also stand in the table itself, as a list under "obstacle". Raises ConfigError for keys, kinds or
    sizes that cannot be, DataRefused for a file that cannot be used.
    """
    entries, listed = _parted(table, obstacles)
    found = _one(entries, folder, "[domain]")
    for number, obstacle in enumerate(listed, start=1):
        found = found.minus(_one(obstacle, folder, f"[[obstacle]] {number}"))
    return found


def files_of(
    table: Mapping[str, Any], folder: Path, obstacles: tuple[Mapping[str, Any], ...] = ()
) -> tuple[Path, ...]:
    """The files that `domain_of` reads for the same arguments, each once. Raises ConfigError."""
    entries, listed = _parted(table, obstacles)
    tables: list[Any] = [entries, *listed]
    named: list[Any] = [one["file"] for one in tables if isinstance(one, dict) and "file" in one]
    return tuple(dict.fromkeys(folder / name for name in named if isinstance(name, str)))


def _parted(
    table: Mapping[str, Any], obstacles: tuple[Mapping[str, Any], ...]
) -> tuple[dict[str, Any], list[Mapping[str, Any]]]:
    """The domain's own keys, and all obstacles."""
    entries = dict(table)
    inner = entries.pop("obstacle", [])
    if not isinstance(inner, list | tuple):
        raise ConfigError("[[obstacle]]: give tables in double brackets, one for each obstacle")
    return entries, [*inner, *obstacles]  # pyright: ignore[reportUnknownVariableType]


def _one(table: Mapping[str, Any], folder: Path, where: str) -> Domain:
    try:
        made = msgspec.convert(table, Table)
    except msgspec.ValidationError as error:
        raise ConfigError(
            f"{where}: {error}; see the page on the tissue's domain for the keys of each kind"
        ) from None
    try:
        match made:
            case MeshTable():
                return from_mesh(folder / made.file, made.unit, made.body, made.center_um)
            case LabelsTable():
                return from_labels(
                    folder / made.file, made.label, unit=made.unit, voxel_um=made.voxel_um, scale=made.scale,
                    body=made.body, center_um=made.center_um,
                )  # fmt: skip
            case _:
                return of_shape(made)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
