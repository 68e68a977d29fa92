"""What the view in three dimensions is given: vessels, tissue and numbers, as JSON with base64 arrays.

Places are sixteen bits of the box around everything (a millimetre in steps of .015 um), numbers sixteen bits of the
way from the least to the greatest, in decades where their scale is logarithmic. 100,000 vessels take 4 MB.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.lab.print.network import Kind, Network
from poliqi.lab.print.view.outline import Outline
from poliqi.lab.print.view.palette import KIND_COLOURS, KIND_NAMES, STOPS, kind_rgb, scale_rgb, shares
from poliqi.lab.print.view.pictures import Grid, limits_of

__all__ = ["MOST_SHOWN", "Place", "Told", "scene_of"]

MOST_SHOWN: Final = 300_000
_MOST_PLACES: Final = 200
_MOST_CELLS: Final = 96
_TOP: Final = 65535
_PLURALS: Final = {Kind.ARTERY: "arteries", Kind.VEIN: "veins", Kind.CAPILLARY: "capillaries"}


@dataclass(frozen=True, slots=True)
class Told:
    """A number of each segment, (m,): `name` and `unit` for people, `key` for the page; nan where there is none."""

    key: str
    name: str
    unit: str
    values: NDArray[np.float64]
    is_log: bool = False
    limits: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Something to look at, in words; `severity` is "refuse", "caution" or "note"."""

    text: str
    severity: str
    place_um: tuple[float, float, float]


def scene_of(
    network: Network,
    outline: Outline,
    told: Sequence[Told] = (),
    *,
    field: Grid | None = None,
    places: Sequence[Place] = (),
    most: int = MOST_SHOWN,
) -> Mapping[str, Any]:
    """JSON-able; of more than `most` segments the thickest are shown, and `left_out` says how many are not."""
    total = len(network.radius_um)
    chosen = np.arange(total)
    if total > most:
        chosen = np.sort(np.argsort(-network.radius_um, kind="stable")[:most])
    every = np.concatenate([outline.points_um, network.points_um])
    low, high = every.min(axis=0), every.max(axis=0)
    size = np.maximum(high - low, 1e-3)

    def coded(points: NDArray[np.float64]) -> str:
        return _text(np.rint((points - low) / size * _TOP).astype(np.uint16))

    return {
        "total": total,
        "shown": len(chosen),
        "left_out": total - len(chosen),
        "middle_um": ((low + high) / 2).tolist(),
        "size_um": size.tolist(),
        "unit_um": float(np.linalg.norm(size)) / 2,
        "start": coded(network.start_um[chosen]),
        "end": coded(network.end_um[chosen]),
        "radius_um": _text(network.radius_um[chosen].astype(np.float32)),
        "kind": _text(network.kind[chosen]),
        "number": _text(chosen.astype(np.uint32)),
        "kinds": [_kind(network, kind) for kind in Kind],
        "scale": scale_rgb(np.linspace(0, 1, STOPS)).round(4).tolist(),
        "quantities": [_quantity(one, chosen) for one in told],
        "shell": {
            "points": coded(outline.points_um),
            "triangles": _text(outline.triangles.astype(np.uint32)),
            "edges": _text(outline.edges.astype(np.uint32)),
        },
        "ports": [
            {"role": str(port.role), "place_um": network.points_um[port.node].tolist()} for port in network.ports
        ],
        "places": [_place(one) for one in places[:_MOST_PLACES]],
        "field": None if field is None else _field(field),
    }


def _text(values: NDArray[Any]) -> str:
    """Little-endian bytes as base64."""
    return base64.b64encode(np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()).decode()


def _kind(network: Network, kind: Kind) -> dict[str, Any]:
    return {
        "name": KIND_NAMES[kind],
        "plural": _PLURALS[kind],
        "colour": KIND_COLOURS[kind],
        "rgb": kind_rgb(np.array([kind], np.uint8))[0].round(4).tolist(),
        "there": bool((network.kind == kind).any()),
    }


def _quantity(one: Told, chosen: NDArray[np.int64]) -> dict[str, Any]:
    """Codes 1 to 65535 from least to greatest of all segments; 0 where there is no number."""
    share, low, high = shares(np.asarray(one.values, np.float64), is_log=one.is_log, limits=one.limits)
    part = share[chosen]
    code = np.where(np.isnan(part), 0, 1 + np.rint(np.nan_to_num(part) * (_TOP - 1)))
    return {
        "key": one.key,
        "name": one.name,
        "unit": one.unit,
        "label": f"{one.name} in {one.unit}",
        "is_log": one.is_log and low > 0,
        "low": low,
        "high": high,
        "codes": _text(code.astype(np.uint16)),
    }


def _place(one: Place) -> dict[str, Any]:
    return {"text": one.text, "severity": one.severity, "place_um": list(one.place_um)}


def _field(field: Grid) -> dict[str, Any]:
    """At most 96 voxels a side: of more, every second, third, ...; 0 is outside, 1 to 255 least to greatest."""
    step = max(1, -(-max(field.values.shape) // _MOST_CELLS))
    values = np.asarray(field.values, np.float64)[::step, ::step, ::step]
    low, high = limits_of(field)
    share, _, _ = shares(values, limits=(low, high))
    code = np.where(np.isnan(share), 0, 1 + np.rint(np.nan_to_num(share) * 254)).astype(np.uint8)
    spacing = field.spacing_um * step
    mark = -1.0 if field.marked is None else (field.marked - low) / (high - low)
    return {
        "name": field.label.partition(" in ")[0],
        "label": field.label,
        "shape": list(values.shape),
        "low_um": [float(one) - spacing / 2 for one in field.origin_um],
        "size_um": [spacing * count for count in values.shape],
        "value_low": low,
        "value_high": high,
        "marked": field.marked,
        "mark": mark,
        "values": _text(np.ascontiguousarray(code.transpose(2, 1, 0))),
    }
