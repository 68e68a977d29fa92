"""The vessels file: a network, the domain it lies in and how it was made, as JSON; docs/spec/vessels.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
from blake3 import blake3

from poliqi.base.errors import DataRefused, words_of
from poliqi.edge.regularfile import open_regular
from poliqi.lab.print.domain.domain import Domain, domain_from
from poliqi.lab.print.network import MOST_SEGMENTS, Kind, Network, Port, Role

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["FORMAT", "Vessels", "read_vessels", "vessels_bytes", "vessels_from"]

FORMAT: Final = "poliqi-vessels-1"
_MOST_BYTES: Final = 512 << 20
_MOST_INDEX: Final = 2**31 - 1
_REMEDY: Final = "write it anew with `poliqi lab print design`"
_KINDS: Final = {Kind.ARTERY: "a", Kind.VEIN: "v", Kind.CAPILLARY: "c"}


class _Port(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    point: int
    role: Role
    pressure_pa: float
    flow_um3_s: float


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """As it stands in the file; see the specification."""

    format: str
    made: dict[str, Any]
    domain: dict[str, Any]
    ports: tuple[_Port, ...]
    points_um: list[tuple[float, float, float]]
    segments: list[tuple[int, int]]
    radius_um: list[float]
    kind: str
    tree: list[int]


@dataclass(frozen=True, slots=True)
class Vessels:
    """What a vessels file says.

    `made` tells settings, seed and programs, in JSON's types. `digest` is the BLAKE3 of the file, 64 hex digits.
    """

    network: Network
    domain: Domain
    made: Mapping[str, Any]
    digest: str


def vessels_bytes(network: Network, domain: Domain, made: Mapping[str, Any]) -> bytes:
    """The file's content. The same arguments give the same bytes."""
    record = _File(
        FORMAT,
        dict(made),
        dict(domain.record),
        tuple(_Port(port.node, port.role, port.pressure_pa, port.flow_um3_s) for port in network.ports),
        network.points_um.tolist(),
        network.segments.tolist(),
        network.radius_um.tolist(),
        "".join(_KINDS[Kind(kind)] for kind in network.kind.tolist()),
        network.tree.tolist(),
    )
    return msgspec.json.encode(record) + b"\n"


def read_vessels(path: Path) -> Vessels:
    """The network of a file, checked. Raises DataRefused, naming the file."""
    try:
        with open_regular(path) as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise DataRefused(f"{path}: cannot be read ({error.strerror or error}); name a vessels file") from error
    return vessels_from(data, str(path))


def vessels_from(data: bytes, name: str = "vessels") -> Vessels:
    """What a file's content says; `name` is told in errors. Raises DataRefused."""
    if len(data) > _MOST_BYTES:
        raise DataRefused(f"{name}: more than {_MOST_BYTES} bytes; a file of {MOST_SEGMENTS} vessels is smaller")
    try:
        record = msgspec.json.decode(data, type=_File)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataRefused(f"{name}: not a file of vessels ({words_of(error)}); {_REMEDY}") from error
    if record.format != FORMAT:
        raise DataRefused(f"{name}: format {record.format[:40]!r} is not known; it is {FORMAT!r}; {_REMEDY}")
    try:
        return Vessels(_network(record), domain_from(record.domain), record.made, blake3(data).hexdigest())
    except DataRefused as refused:
        raise DataRefused(f"{name}: {refused}") from refused


def _network(record: _File) -> Network:
    letters = {letter: int(kind) for kind, letter in _KINDS.items()}
    unknown = set(record.kind) - set(letters)
    if unknown:
        raise DataRefused(f"vessels: kind {min(unknown)!r} is none of {', '.join(letters)}")
    network = Network(
        np.asarray(record.points_um, dtype=np.float64).reshape(-1, 3),
        _indices(record.segments, "segments").reshape(-1, 2),
        np.asarray(record.radius_um, dtype=np.float64),
        np.asarray([letters[letter] for letter in record.kind], dtype=np.uint8),
        _indices(record.tree, "tree"),
        tuple(Port(port.point, port.role, port.pressure_pa, port.flow_um3_s) for port in record.ports),
    )
    length = network.length_um
    if not length.min() > 0.0:
        raise DataRefused(f"vessels: segment {int(length.argmin())} has no length: its points lie at one place")
    return network


def _indices(values: list[tuple[int, int]] | list[int], name: str) -> NDArray[np.int32]:
    """As int32; a number beyond that names nothing."""
    try:
        wide = np.asarray(values, dtype=np.int64)
    except OverflowError:
        wide = np.asarray([_MOST_INDEX + 1])
    if wide.size and (wide.max() > _MOST_INDEX or wide.min() < -_MOST_INDEX):
        raise DataRefused(f"vessels: {name} holds a number beyond {_MOST_INDEX}, which no index is; {_REMEDY}")
    return wide.astype(np.int32)
