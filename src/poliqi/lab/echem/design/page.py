"""A study of designs as charts: the front, energy against power, what each variable does, what the layers weigh."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from poliqi.base.doubt import doubted
from poliqi.lab.echem.design.run import AtRate, Designed
from poliqi.lab.echem.design.tradeoff import Check, Study, cautions_of
from poliqi.lab.echem.design.variables import VARIABLES
from poliqi.lab.onepage import BLUE, GREEN, GREY, ORANGE, Page, Panel
from poliqi.lab.sweep import Failed

__all__ = ["design_page", "front_table", "name_of", "row_of", "with_sigma"]

_MOST_CURVES: Final = 5
_LAYER_COLOURS: Final = ("#9aa7b3", ORANGE, "#d7dde2", "#8fc3e8", BLUE, "#c9a26b")
_MOST_ROWS: Final = 40
_SHADES: Final = (BLUE, ORANGE, GREEN, "#7d4fa8", "#a03030", "#3c8f95")


def design_page(study: Study, checks: Sequence[Check]) -> Page:
    """Its charts, the table of its front, what is assumed and what is not sure."""
    panels = [
        Panel("What a design gives slowly and fast", lambda axes: _draw_front(axes, study)),
        Panel("Energy against mean power, by rate", lambda axes: _draw_power(axes, study)),
        *(Panel(f"The most of all designs, by {name}", _best_by(study, name)) for name in study.varied[:2]),
        Panel("What the layers weigh", lambda axes: _draw_layers(axes, study), is_wide=True),
    ]
    rates = ", ".join(f"{one:g}" for one in study.settings.rates_per_h)
    facts = [
        ("cell", f"{study.settings.parameters}, {study.settings.model.value} of PyBaMM, rates {rates} per hour"),
        ("designs", f"{len(study.designs) - 1} over {', '.join(study.varied)}"),
        *_reach(study),
        *(("doubt", _doubt_words(study, at)) for at in range(len(study.doubts))),
        *(("check", _check_words(study, one)) for one in checks),
        *(("assumed", line) for line in study.assumed),
    ]
    return Page(
        f"Designs over {', '.join(study.varied)}",
        "Discharges from full to the lower voltage; 1 per hour empties a design's own capacity in an hour",
        facts,
        panels,
        cautions_of(study, checks),
        front_table(study),
        simulated=True,
    )


def _reach(study: Study) -> list[tuple[str, str]]:
    """From the set's own cell to the best at each rate."""
    told: list[tuple[str, str]] = []
    for at, rate in enumerate(study.settings.rates_per_h):
        best = max(study.front, key=lambda number: study.energy(study.design(number).rates[at]))
        design = study.design(best)
        values = ", ".join(f"{name} {design.values[name]:.4g}" for name in study.varied)
        begun = with_sigma(study, study.begun.rates[at])
        told.append((f"at {rate:g}/h", f"{begun} -> {with_sigma(study, design.rates[at])} {study.unit} ({values})"))
    return told


def name_of(number: int) -> str:
    """What a design is called."""
    return f"design {number}" if number else "the set's cell"


def _doubt_words(study: Study, at: int) -> str:
    doubt = study.doubts[at]
    moved = [f"{one.moved_wh_kg[at]:+.2g} at {one.rate_per_h:g}/h" for one in study.begun.rates if one.moved_wh_kg]
    names = ", ".join(f"{name} by {move:.3g}" for name, move in doubt.moves.items())
    told = f"Wh/kg of the set's cell by {', '.join(moved)}" if moved else "one sigma away the set's cell is none"
    return f"one sigma of {doubt.source} moves {names}; {told}"


def _check_words(study: Study, check: Check) -> str:
    pairs = zip(study.settings.rates_per_h, check.deviations, strict=True)
    told = ", ".join(f"{100 * one:+.2g} % at {rate:g}/h" for rate, one in pairs)
    return f"{name_of(check.design)} by the full model on twice the grid: {told}"


def with_sigma(study: Study, one: AtRate) -> str:
    """Energy, with its sigma where there is one."""
    sigma = study.sigma(one)
    return f"{study.energy(one):.1f}" if sigma is None else doubted(study.energy(one), sigma)


def front_table(study: Study) -> list[list[str]]:
    """The front from most energy to most power, below its head."""
    rates = study.settings.rates_per_h
    head = ["design", *study.varied, "Ah/m2", *(f"{study.unit} at {one:g}/h" for one in rates)]
    return [[*head, f"charge at {rates[-1]:g}/h"], *(row_of(study, number) for number in study.front[:_MOST_ROWS])]


def row_of(study: Study, number: int) -> list[str]:
    """One design as a row of `front_table`."""
    one = study.design(number)
    row = [str(number), *(f"{one.values[name]:.5g}" for name in study.varied), f"{one.capacity_ah_m2:.1f}"]
    return [*row, *(with_sigma(study, at) for at in one.rates), f"{100 * one.rates[-1].share:.0f} %"]


# ---------------------------------------------------------------- charts


def _draw_front(axes: Any, study: Study) -> None:
    rates = study.settings.rates_per_h
    done = [one for one in study.designs[1:] if isinstance(one, Designed)]
    axes.plot(*_ends(study, done), "o", ms=3, color=GREY, alpha=0.45, label="designs")
    front = [study.design(number) for number in study.front]
    slow, fast = _ends(study, front)
    axes.errorbar(
        slow,
        fast,
        xerr=_sigmas(study, front, 0),
        yerr=_sigmas(study, front, -1),
        fmt="o-",
        ms=4,
        lw=1.2,
        color=ORANGE,
        label="no other design beats these" + (" (1 sigma)" if study.doubts else ""),
    )
    axes.plot(*_ends(study, [study.begun]), "s", ms=7, color=BLUE, label="the set's cell")
    axes.set_xlabel(f"{study.unit} at {rates[0]:g}/h")
    axes.set_ylabel(f"{study.unit} at {rates[-1]:g}/h")
    axes.legend(fontsize=8)


def _ends(study: Study, designs: Sequence[Designed]) -> tuple[list[float], list[float]]:
    """Energies at the lowest and at the highest rate."""
    return [study.energy(one.rates[0]) for one in designs], [study.energy(one.rates[-1]) for one in designs]


def _sigmas(study: Study, designs: Sequence[Designed], at: int) -> list[float] | None:
    told = [study.sigma(one.rates[at]) for one in designs]
    return [one or 0.0 for one in told] if any(one is not None for one in told) else None


def _draw_power(axes: Any, study: Study) -> None:
    """Each curve one design, from the lowest rate to the highest; bands of one sigma."""
    count = len(study.front)
    chosen = sorted({study.front[round(at * (count - 1) / (_MOST_CURVES - 1))] for at in range(_MOST_CURVES)} - {0})
    for number, colour in zip((0, *chosen), _SHADES, strict=False):
        told = [one for one in study.design(number).rates if one.power_w_kg > 0]
        power, energy = [one.power_w_kg for one in told], [one.energy_wh_kg for one in told]
        axes.plot(power, energy, "o-" if number else "s-", ms=4, lw=1.2, color=colour, label=name_of(number))
        if study.doubts:
            sigma = [one.sigma_wh_kg or 0.0 for one in told]
            low = [a - b for a, b in zip(energy, sigma, strict=True)]
            high = [a + b for a, b in zip(energy, sigma, strict=True)]
            axes.fill_between(power, low, high, color=colour, alpha=0.2, lw=0)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("mean power in W/kg")
    axes.set_ylabel("Wh/kg" + (", band 1 sigma" if study.doubts else ""))
    axes.legend(fontsize=8)


def _best_by(study: Study, name: str) -> Any:
    """At each value of a variable the most that a design gives, one line a rate."""

    def draw(axes: Any) -> None:
        by: dict[float, list[Designed]] = {}
        for asked, one in list(zip(study.asked, study.designs, strict=True))[1:]:
            if not isinstance(one, Failed):
                by.setdefault(asked[name], []).append(one)
        values = sorted(by)
        style = "o-" if len(values) * 2 <= len(study.designs) or len(study.varied) == 1 else "o"
        for at, rate in enumerate(study.settings.rates_per_h):
            most = [max(study.energy(one.rates[at]) for one in by[value]) for value in values]
            axes.plot(values, most, style, ms=4, lw=1.2, label=f"{rate:g}/h")
        if name in study.begun.values:
            axes.axvline(study.begun.values[name], color=BLUE, lw=1, ls=":", label="the set's cell")
        axes.set_ylim(bottom=0)
        axes.set_xlabel(f"{name}: {VARIABLES[name].what}")
        axes.set_ylabel(study.unit)
        axes.legend(fontsize=8)

    return draw


def _draw_layers(axes: Any, study: Study) -> None:
    words = {0: "", study.front[-1]: "\nmost at the highest rate", study.front[0]: "\nmost at the lowest rate"}
    named = {name_of(number) + said: study.design(number) for number, said in sorted(words.items())}
    left = [0.0] * len(named)
    for colour, layer in zip(_LAYER_COLOURS, study.begun.layers_kg_m2, strict=True):
        width = [1000 * one.layers_kg_m2[layer] for one in named.values()]
        axes.barh(list(named), width, left=left, color=colour, label=layer)
        left = [a + b for a, b in zip(left, width, strict=True)]
    axes.invert_yaxis()
    axes.set_xlim(0, 1.45 * max(left))
    axes.set_xlabel("g/m2")
    axes.legend(fontsize=8, loc="center right")
