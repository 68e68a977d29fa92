"""What has to be known beside a prototype's numbers: what is assumed, and what looks wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from poliqi.lab.echem.prototype.battery import SIDES
from poliqi.lab.echem.prototype.fuelcell import LAYERS
from poliqi.lab.echem.prototype.parts import Battery, Electrode, FuelCell, Kind, Prototype
from poliqi.lab.echem.prototype.tolerance import Tolerances

__all__ = ["FEWEST_PARTICLES", "assumed_of", "cautions_of"]

FEWEST_PARTICLES: Final = 3.0
"""Particles across a coating below which it is no porous electrode but a row of stones."""
_RARE: Final = 0.001
_MAIN: Final = ("capacity", "energy", "np_ratio", "current", "power")


def assumed_of(made: Prototype) -> tuple[str, ...]:
    """Sentences that belong beside the results."""
    said = ["doubts of inputs are independent and normal; each stands for one standard deviation"]
    if isinstance(made, FuelCell):
        if made.operation.current_density is None:
            said.append(
                "current by Tafel's law and one resistance: no loss of the anode, none of transport; an upper "
                "limit where air runs short"
            )
        if any(
            layer.surface is None and layer.particle_diameter is not None for layer in (made.cathode, made.anode)
        ):
            said.append("surface of the metal: equal spheres, all of it reached by protons and gas")
        if made.operation.hydrogen_stoichiometry is not None or made.operation.air_stoichiometry is not None:
            said.append("gases are dry, air has 20.95 % oxygen; flows in normal litres (0 degC, 101,325 Pa)")
        if made.operation.lifetime is not None:
            said.append("energy: the stated voltage and its current over the whole lifetime, without decay")
            said.append("carbon is of making the cell: hydrogen's own is not in it")
        return (*said, "heat where the water leaves as vapour (lower heating value)")
    told = [side for side in SIDES if _electrode(made, side).first_charge is not None]
    law = "min(P, P_first - (N_first - N), N)" if told == list(SIDES) else "min(P, N)"
    if told == ["positive"]:
        law = "min(P, N); what the negative keeps in the first charge is not told (negative.first_charge)"
    elif told == ["negative"]:
        law = "min(P - (N_first - N), N); what more the positive gives in the first charge is not told"
    elif not told:
        law += "; losses of the first charge are not subtracted (first_charge of neither side is told)"
    if made.negative.is_foil:
        law = "min(P, P_first), as the positive's lithium plates on the foil"
        if "positive" not in told:
            law = "min(P, N): all lithium is the foil's (positive.first_charge is not told)"
    said.append(f"capacity: {law}, over the area where both face each other, all active material reached")
    return tuple(said)


def cautions_of(made: Prototype, tolerances: Tolerances) -> tuple[str, ...]:
    """What looks wrong, the worst first."""
    own = _fuel_cell(made, tolerances) if isinstance(made, FuelCell) else _battery(made, tolerances)
    return (*own, *_of_draws(tolerances))


def _electrode(cell: Battery, side: str) -> Electrode:
    return cell.positive if side == "positive" else cell.negative


def _battery(cell: Battery, tolerances: Tolerances) -> Iterator[str]:
    yield from _plating(cell, tolerances)
    yield from _sizes(cell)
    for side in SIDES:
        electrode = _electrode(cell, side)
        if electrode.loading.sigma == 0:
            yield f"{side}.loading has no doubt: nobody told how well it is met; bands are too narrow"
        porosity = tolerances.spreads.get(f"{side} porosity")
        if porosity is not None and porosity.low <= 0:
            yield f"{side}: a porosity of 0 is within its doubt ({porosity.value:.3f} +- {porosity.sigma:.3f})"
        if electrode.particle_diameter is not None and electrode.thickness is not None and not electrode.is_foil:
            across = electrode.thickness.value / electrode.particle_diameter.value
            if across < FEWEST_PARTICLES:
                yield (
                    f"{side}: particles of {electrode.particle_diameter.value * 1e6:.3g} um in a coating of "
                    f"{electrode.thickness.value * 1e6:.3g} um: {across:.2g} across, fewer than "
                    f"{FEWEST_PARTICLES:g}; take finer powder or coat thicker"
                )
    spreads = tolerances.spreads
    if "pore volume" in spreads and spreads["electrolyte volume"].value < spreads["pore volume"].value:
        yield (
            f"electrolyte: {spreads['electrolyte volume'].value * 1e9:.3g} uL do not fill the pores of "
            f"{spreads['pore volume'].value * 1e9:.3g} uL"
        )


def _plating(cell: Battery, tolerances: Tolerances) -> Iterator[str]:
    """Where the negative takes less than the positive gives: in every charge, or in the first one alone."""
    ratio = tolerances.spreads["np_ratio"]
    below = tolerances.share_below("np_ratio", 1.0)
    if cell.negative.is_foil:
        if below > _RARE and cell.positive.first_charge is None:
            yield (
                f"negative: the foil has {ratio.value:.3f} of the lithium that the positive takes, and less than "
                f"all in {below:.1%} of the draws; tell positive.first_charge where the positive brings its own"
            )
        return
    if below > _RARE:
        yield (
            f"N/P is {ratio.value:.3f} and below 1 in {below:.1%} of the draws: there the negative cannot take "
            "what the positive gives, and lithium plates; load the negative more"
        )
    first = tolerances.spreads.get("first charge ratio")
    if first is not None:
        early = tolerances.share_below("first charge ratio", 1.0)
        if early > max(below, _RARE):
            yield (
                f"N/P of the first charge is {first.value:.3f} and below 1 in {early:.1%} of the draws: there "
                "lithium plates at formation; load the negative more"
            )


def _sizes(cell: Battery) -> Iterator[str]:
    """Edges that stand over what should cover them."""
    if cell.kind is not Kind.COIN:
        for name, one in (("negative", cell.negative.overhang), ("separator", cell.separator.overhang)):
            if one is not None and one.value < 2 * one.sigma:
                yield f"{name}.overhang of {one.value * 1e3:g} mm is lost within two sigma: edges may stand over"
        return
    discs = [cell.positive.diameter, cell.negative.diameter, cell.separator.diameter]
    for (inner, small), (outer, large) in zip(
        (("positive", discs[0]), ("negative", discs[1])),
        (("negative", discs[1]), ("separator", discs[2])),
        strict=True,
    ):
        if small is not None and large is not None and small.value > large.value:
            what = "lithium plates on its edge" if outer == "negative" else "the electrodes may touch"
            yield (
                f"{outer}.diameter {large.value * 1e3:g} mm is below {inner}.diameter {small.value * 1e3:g} mm: "
                f"{what}"
            )


def _fuel_cell(cell: FuelCell, tolerances: Tolerances) -> Iterator[str]:
    for name in LAYERS:
        layer = cell.cathode if name == "cathode" else cell.anode
        if layer.loading.sigma == 0:
            yield f"{name}.loading has no doubt: nobody told how well it is met; bands are too narrow"
        if layer.surface is not None and layer.particle_diameter is not None:
            yield f"{name}: surface and particle_diameter are both told; the surface is used"
    if tolerances.spreads["heat"].value < 0:
        yield f"operation.voltage {cell.operation.voltage.value:g} V is above what hydrogen can give"


def _of_draws(tolerances: Tolerances) -> Iterator[str]:
    for name in _MAIN:
        one = tolerances.spreads.get(name)
        if one is not None and one.disagrees:
            words = name.replace("np_ratio", "N/P")
            yield (
                f"{words}: first order does not hold (sigma {_ratio(one.sigma_drawn, one.sigma)} by draws); use "
                "the interval of the draws"
            )
    draws = next(iter(tolerances.spreads.values())).draws
    if tolerances.redrawn > _RARE * draws:
        yield f"{tolerances.redrawn} drawn inputs could not be (0 or less, or a share above 1) and were drawn anew"


def _ratio(drawn: float, first: float) -> str:
    return f"{drawn / first:.2f} times as large" if first > 0 else "not 0"
