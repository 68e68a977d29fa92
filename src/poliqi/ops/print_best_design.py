"""The chosen design of a study as DESIGN.toml: the first file with its values put in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

from poliqi.lab.print.flow.designed import NL_MIN
from poliqi.ops.print_design_toml import Design, flow_of
from poliqi.ops.toml_file import toml_from
from poliqi.ops.toml_text import toml_text

__all__ = ["best_toml"]

_GROWTH: Final = ("terminals", "exponent", "wall_um", "gap_um", "seed", "pressure_drop_pa")
_CLOSURE: Final = ("capillary_radius_um", "longest_um")

Table = dict[str, Any]


def best_toml(data: bytes, where: Path, design: Design, values: Mapping[str, float | int | str]) -> bytes:
    """`data` is the file that was varied, `design` what it says. Values of the hatching become a comment.

    Files that it names are named in full, so that the new file may lie anywhere.
    """
    file: Table = dict(toml_from(data, str(where)))
    growth = file.setdefault("growth", {})
    growth |= {name: values[name] for name in _GROWTH if name in values}
    if any(name in values for name in _CLOSURE):
        file.setdefault("closure", {}).update({name: values[name] for name in _CLOSURE if name in values})
    ports = [port for name in ("inlet", "outlet") for port in cast("list[Table]", file.get(name, []))]
    if "flow_nl_min" in values:
        _set_flow(growth, ports, float(values["flow_nl_min"]) * NL_MIN, design.growth.flow_um3_s)
    if "pressure_drop_pa" in values:
        growth["terminal_pressure_pa"] = design.growth.terminal_pressure_pa
        for port in ports:
            port.pop("pressure_pa", None)
    for table in (file["domain"], *cast("list[Table]", file.get("obstacle", []))):
        if isinstance(table.get("file"), str):
            table["file"] = str((where.parent / table["file"]).resolve())
    told = {name: value for name, value in values.items() if name not in (*_GROWTH, *_CLOSURE, "flow_nl_min")}
    lines = [f"# of the print: {name} = {value}" for name, value in told.items()]
    return "\n".join([*lines, toml_text(file)]).encode()


def _set_flow(growth: Table, ports: list[Table], flow_um3_s: float, before_um3_s: float) -> None:
    """Where ports have flows, all of them by the same factor."""
    growth.pop("flow", None)
    growth["flow_um3_s"] = flow_um3_s
    for port in ports:
        if "flow" in port or "flow_um3_s" in port:
            old = flow_of(port.pop("flow"), "flow") if "flow" in port else float(port["flow_um3_s"])
            port["flow_um3_s"] = old * flow_um3_s / before_um3_s
