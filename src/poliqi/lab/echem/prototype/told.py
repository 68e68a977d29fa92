"""A build sheet in words, as plain data and as findings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from poliqi.lab.echem.prototype.numbers import RESULTS, interval, main_result, shown, weight, words_of
from poliqi.lab.echem.prototype.rawmaterials import SOURCE
from poliqi.lab.echem.prototype.sheet import BuildSheet
from poliqi.lab.echem.prototype.steps import steps_of
from poliqi.lab.store.findings import Finding, Findings

__all__ = ["bill_of", "findings_of", "lines_of", "record_of"]


_FINDINGS: Final = {
    "capacity": "cell_capacity",
    "np_ratio": "np_ratio",
    "energy": "cell_energy",
    "current": "cell_current",
    "power": "cell_power",
    "mass": "cell_mass",
    "cathode surface": "metal_surface@cathode",
    "positive porosity": "porosity@positive",
    "negative porosity": "porosity@negative",
    "carbon": "carbon",
}
_COVERS: Final = "the doubts of the inputs, to first order"


def lines_of(sheet: BuildSheet) -> list[str]:
    """What the command prints."""
    told = [name for name in RESULTS if name in sheet.tolerances.spreads]
    words = {name: words_of(sheet, name) for name in told}
    wide = max(len(one) for one in words.values())
    lines = [f"{sheet.made.name} ({sheet.made.kind.value}{', simulated' if sheet.simulated else ''})", ""]
    lines += [f"{words[name]:<{wide}}  {shown(sheet, name):<28} {interval(sheet, name)}" for name in told]
    lines += ["", *(f"{number}. {step}" for number, step in enumerate(steps_of(sheet), 1))]
    lines += ["", "what moves the result most, by one sigma of each:", *_movers(sheet)]
    lines += ["", "bill of materials:", *_columns(bill_of(sheet))]
    lines += ["", f"raw materials of the EU ({SOURCE}):", *_raw_lines(sheet)]
    lines += ["", *_carbon_lines(sheet)]
    lines += [f"assumed: {said}" for said in sheet.assumed]
    return lines + [f"caution: {said}" for said in sheet.cautions]


def _movers(sheet: BuildSheet) -> Iterator[str]:
    name = main_result(sheet)
    moved = sorted(sheet.tolerances.spreads[name].moved.items(), key=lambda one: -abs(one[1]))
    form = RESULTS[name]
    for key, part in moved[:6]:
        yield f"  {key:<36} {part * form.factor:+.3g} {form.unit}"
    if not moved:
        yield "  no input has a doubt"


def _columns(table: list[list[str]]) -> list[str]:
    wide = [max(len(row[at]) for row in table) for at in range(len(table[0]))]
    return ["  " + "  ".join(f"{cell:<{w}}" for cell, w in zip(row, wide, strict=True)).rstrip() for row in table]


def bill_of(sheet: BuildSheet) -> list[list[str]]:
    """Lines of the bill, its head in the first row."""
    rows = [["where", "material", "pieces", "mass", "EU: s strategic, c critical", "kg CO2e"]]
    each: Mapping[str, float] = {} if sheet.carbon is None else sheet.carbon.each
    weights: dict[str, float] = {}
    for item in sheet.items:
        weights[item.material] = weights.get(item.material, 0.0) + item.taken
    for item in sheet.items:
        flags = ", ".join(
            f"{one.entry} ({'s' if one.strategic else ''}{'c' if one.critical else ''})" for one in item.listed
        )
        carbon = each.get(item.material)
        part = "" if carbon is None else f"{carbon * item.taken / weights[item.material]:.3g}"
        if carbon is None and sheet.carbon is not None:
            part = "missing"
        where = item.where.partition(".")[0] if not item.where.startswith("part.") else item.where[5:]
        if item.where.endswith("(collector)"):
            where += ", collector"
        if item.material in sheet.unjudged:
            flags = "not judged"
        mass = weight(item.mass.value, item.mass.sigma)
        rows.append([where, item.material, str(item.count), mass, flags, part])
    return rows


def _raw_lines(sheet: BuildSheet) -> Iterator[str]:
    for one in sheet.raw:
        known = "" if not one.mass else f"{one.mass * 1e6:.4g} mg" if one.mass < 1e-3 else f"{one.mass * 1e3:.4g} g"
        more = f"not weighed in {', '.join(one.unweighed)}" if one.unweighed else ""
        yield f"  {one.listed.words}: {', and '.join(part for part in (known, more) if part)}"
    for name, why in sheet.unjudged.items():
        yield f"  {name}: not judged; {why}"
    if not sheet.raw and not sheet.unjudged:
        yield "  none"


def _carbon_lines(sheet: BuildSheet) -> Iterator[str]:
    if sheet.carbon is None:
        yield "carbon: no table of factors was given (--carbon); no factor is assumed"
        return
    if sheet.carbon.total is None:
        yield f"carbon: no factor is filled in for any of {', '.join(sheet.carbon.missing)}"
        return
    part = " (PARTIAL)" if sheet.carbon.is_partial else ""
    yield f"carbon{part}: {shown(sheet, 'carbon')}, of {sheet.carbon.covered_share:.1%} of the mass"
    for per in sheet.carbon.per:
        yield f"  {shown(sheet, f'carbon per {per}')}{part}"
    if not sheet.carbon.per:
        yield "  per kWh: the energy is not known; give voltage (battery) or operation.lifetime (fuel cell)"
    for name, source in sheet.carbon.sources.items():
        yield f"  {name}: {sheet.carbon.each[name]:.3g} kg CO2e; {source}"
    if sheet.carbon.missing:
        yield f"  no factor: {', '.join(sheet.carbon.missing)}"
    if not sheet.carbon.has_making:
        yield "  the energy of making it is not told ([[process]]), and not in the sum"
    loss = sheet.made.loss
    yield (
        "  what is lost of the mixes is not told (loss), and not in the sum"
        if loss is None
        else f"  with the {loss.value:.3g} of the mixes that is lost; solvents are not in the sum"
    )


def record_of(sheet: BuildSheet) -> dict[str, Any]:
    """As --json prints it; every number in the unit that is named beside it."""
    results: dict[str, Any] = {}
    for name, form in RESULTS.items():
        one = sheet.tolerances.spreads.get(name)
        if one is not None:
            low, high = sorted((one.low * form.factor, one.high * form.factor))
            results[name] = {
                "value": one.value * form.factor,
                "sigma": one.sigma * form.factor,
                "unit": form.unit or "1",
                "sigma_of_draws": one.sigma_drawn * abs(form.factor),
                "95_percent_of_draws": [low, high],
                "is_partial": words_of(sheet, name) != form.words,
                "moved_by_one_sigma_of": {key: part * form.factor for key, part in one.moved.items()},
            }
    return {
        "kind": sheet.made.kind.value,
        "name": sheet.made.name,
        "simulated": sheet.simulated,
        "results": results,
        "build": steps_of(sheet),
        "bill_of_materials": [
            {
                "where": item.where,
                "material": item.material,
                "pieces": item.count,
                "mass_mg": item.mass.value * 1e6,
                "sigma_mg": item.mass.sigma * 1e6,
                "raw_materials": [one.entry for one in item.listed],
            }
            for item in sheet.items
        ],
        "raw_materials": [
            {
                "entry": one.listed.entry,
                "annex_1": one.listed.strategic or None,
                "annex_2": one.listed.critical or None,
                "mass_mg": one.mass * 1e6,
                "materials": list(one.materials),
                "not_weighed_in": list(one.unweighed),
                "assumed": one.listed.assumed or None,
            }
            for one in sheet.raw
        ],
        "raw_materials_source": SOURCE,
        "raw_materials_not_judged": dict(sheet.unjudged),
        "carbon": _carbon_record(sheet),
        "assumed": list(sheet.assumed),
        "cautions": list(sheet.cautions),
    }


def _carbon_record(sheet: BuildSheet) -> dict[str, Any] | None:
    one = sheet.carbon
    if one is None:
        return None
    return {
        "kg_co2e": None if one.total is None else one.total.value,
        "sigma": None if one.total is None else one.total.sigma,
        "per": {per: {"kg_co2e": part.value, "sigma": part.sigma} for per, part in one.per.items()},
        "each_kg_co2e": dict(one.each),
        "sources": dict(one.sources),
        "missing": list(one.missing),
        "is_partial": one.is_partial,
        "covered_share_of_mass": one.covered_share,
        "has_energy_of_making": one.has_making,
        "lost_share_of_mix": None if sheet.made.loss is None else sheet.made.loss.value,
    }


def findings_of(sheet: BuildSheet) -> Findings:
    """The numbers that other tools may go on with."""
    found: list[Finding] = []
    for name, called in _FINDINGS.items():
        is_part = name == "carbon" and sheet.carbon is not None and sheet.carbon.is_partial
        if name in sheet.tolerances.spreads and not is_part:
            one, form = sheet.tolerances.spreads[name], RESULTS[name]
            found.append(
                Finding(
                    called,
                    one.value * form.factor,
                    form.unit or "1",
                    one.sigma * form.factor,
                    "build sheet",
                    _COVERS,
                )
            )
    return Findings(
        tuple(found),
        "poliqi lab echem prototype",
        sheet.made.name,
        sheet.simulated,
        (*sheet.assumed, *sheet.cautions),
    )
