"""How a prototype is built: what to mix, coat, cut, weigh and fill in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from poliqi.base.doubt import doubted
from poliqi.lab.echem.prototype.numbers import RESULTS, shown, weight
from poliqi.lab.echem.prototype.parts import Battery, CatalystLayer, Electrode, FuelCell, Kind
from poliqi.lab.echem.prototype.sheet import BuildSheet

__all__ = ["steps_of"]

_RATES: Final = (("C/20", 1 / 20), ("C/10", 1 / 10), ("C/5", 1 / 5), ("C/2", 1 / 2), ("1C", 1.0), ("2C", 2.0))


def steps_of(sheet: BuildSheet) -> list[str]:
    """How to build it, with what to weigh."""
    made = sheet.made
    return list(_fuel_cell_steps(sheet, made) if isinstance(made, FuelCell) else _steps(sheet, made))


def _batch(sheet: BuildSheet) -> tuple[float, str]:
    """Factor on an amount of one prototype, and the words for it."""
    made = sheet.made
    loss = 0.0 if made.loss is None else made.loss.value
    words = f"{made.cells} cell{'s' if made.cells > 1 else ''}"
    return made.cells / (1 - loss), words + (f" and {loss:.0%} that is lost" if loss else "")


def _mix(sheet: BuildSheet, side: str, solids: Mapping[str, float], solvent: str, share: float | None) -> str:
    factor, batch = _batch(sheet)
    amounts = [f"{name} {mass * factor * 1e3:.4g} g" for name, mass in solids.items()]
    if share is not None and solvent:
        amounts.append(f"{solvent} {sum(solids.values()) * factor * (1 / share - 1) * 1e3:.4g} g")
    return f"mix for {side}, {batch}: {', '.join(amounts)}"


def _solids(sheet: BuildSheet, side: str) -> dict[str, float]:
    return {
        item.material: item.mass.value
        for item in sheet.items
        if item.where.startswith(f"{side}.") and not item.where.endswith("(collector)")
    }


def _steps(sheet: BuildSheet, cell: Battery) -> Iterator[str]:
    for side, electrode in (("positive", cell.positive), ("negative", cell.negative)):
        if not electrode.is_foil:
            share = None if electrode.solids_share is None else electrode.solids_share.value
            yield _mix(sheet, side, _solids(sheet, side), electrode.solvent, share)
        yield _coat(sheet, side, electrode)
        spread = sheet.tolerances.spreads[f"{side} sheet"]
        low, high = ((spread.value + away * spread.sigma) * 1e6 for away in (-2, 2))
        cut = "punch discs" if cell.kind is Kind.COIN else "cut sheets"
        size = _size(cell, side)
        window = f"; take {low:.5g} to {high:.5g} mg" if spread.sigma else ""
        told = weight(spread.value, spread.sigma) + window
        mean = (
            " in the mean (the two outermost are coated inside alone)"
            if side == "negative" and cell.kind is Kind.POUCH
            else ""
        )
        yield f"{side}: {cut} of {size}; one weighs {told}{mean}"
    count = 1 if cell.kind is Kind.COIN else 2 * cell.layers
    sheets = f"{count} sheets" if count > 1 else "1 sheet"
    yield f"stack with {sheets} of {cell.separator.material}, {_size(cell, 'separator')}"
    yield f"fill in {shown(sheet, 'electrolyte volume')} of {cell.electrolyte.material}"
    capacity = sheet.tolerances.spreads["capacity"].value / 3.6
    yield "currents: " + ", ".join(f"{name} {capacity * rate:.4g} mA" for name, rate in _RATES)


def _coat(sheet: BuildSheet, side: str, electrode: Electrode) -> str:
    if electrode.is_foil:
        assert electrode.thickness is not None
        thick = doubted(electrode.thickness.value * 1e6, electrode.thickness.sigma * 1e6)
        return f"{side}: foil of {electrode.active}, {thick} um"
    loading = f"{doubted(electrode.loading.value * 100, electrode.loading.sigma * 100)} mg/cm2"
    collector = f" on {electrode.collector}" if electrode.collector else ""
    text = f"{side}: coat {loading} of solids{collector} (each face)"
    if electrode.thickness is not None:
        thick = doubted(electrode.thickness.value * 1e6, electrode.thickness.sigma * 1e6)
        text += f", press the coating to {thick} um: porosity {shown(sheet, f'{side} porosity')}"
    return text


def _size(cell: Battery, part: str) -> str:
    of = {"positive": cell.positive, "negative": cell.negative, "separator": cell.separator}[part]
    if of.diameter is not None:
        return f"{of.diameter.value * 1e3:g} mm"
    positive, negative = cell.positive, cell.negative
    assert positive.width is not None
    assert positive.height is not None
    over = 0.0 if part == "positive" or negative.overhang is None else negative.overhang.value
    if part == "separator" and cell.separator.overhang is not None:
        over += cell.separator.overhang.value
    return f"{(positive.width.value + 2 * over) * 1e3:g} x {(positive.height.value + 2 * over) * 1e3:g} mm"


def _fuel_cell_steps(sheet: BuildSheet, cell: FuelCell) -> Iterator[str]:
    for side, layer in (("cathode", cell.cathode), ("anode", cell.anode)):
        yield _ink(sheet, side, layer)
        loading = f"{doubted(layer.loading.value * 100, layer.loading.sigma * 100)} mg/cm2 of {layer.metal}"
        yield f"{side}: coat {cell.width.value * 1e3:g} x {cell.height.value * 1e3:g} mm with {loading}"
    over = 0.0 if cell.membrane.overhang is None else cell.membrane.overhang.value
    size = f"{(cell.width.value + 2 * over) * 1e3:g} x {(cell.height.value + 2 * over) * 1e3:g} mm"
    yield f"membrane: {cell.membrane.material}, {size}, {cell.membrane.thickness.value * 1e6:g} um"
    yield f"close with a diffusion layer of {cell.diffusion.material} on each side"
    gases = [
        f"{RESULTS[one].words} {shown(sheet, one)}"
        for one in ("hydrogen", "air")
        if one in sheet.tolerances.spreads
    ]
    if gases:
        yield f"at {cell.operation.voltage.value:g} V: {', '.join(gases)}"


def _ink(sheet: BuildSheet, side: str, layer: CatalystLayer) -> str:
    masses = {
        item.where.partition(".")[2]: item.mass.value for item in sheet.items if item.where.startswith(f"{side}.")
    }
    powder = sheet.tolerances.spreads[f"{side} powder"].value
    solids = {f"catalyst ({layer.metal} on {layer.support})": powder, layer.ionomer: masses[layer.ionomer]}
    share = None if layer.solids_share is None else layer.solids_share.value
    return _mix(sheet, f"{side} ink", solids, layer.solvent, share)
