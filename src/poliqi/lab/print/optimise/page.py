"""A study as charts: the front, what each variable does, and why designs are out."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any, Final

from poliqi.lab.onepage import BLUE, GREEN, GREY, ORANGE, Page, Panel
from poliqi.lab.print.optimise.judge import Judged
from poliqi.lab.print.optimise.study import Study
from poliqi.lab.print.optimise.targets import MEASURES, shown

__all__ = ["cautions_of", "facts_of", "front_table", "study_page"]

_MOST_ROWS: Final = 40
_LABELLED: Final = 12
_DOUBT: Final = 0.02
_UNBALANCED: Final = 0.01


def study_page(study: Study, name: str) -> Page:
    """Charts, the table of the front, cautions. `name`: of the design's file."""
    pairs = [(study.objectives[0], other) for other in study.objectives[1:]] or [(study.objectives[0], "volume")]
    panels = [Panel(f"{b} against {a}", _front(study, a, b)) for a, b in pairs]
    numeric = [one for one in study.varied if not any(isinstance(d.values[one], str) for d in study.designs)]
    panels += [
        Panel(f"{study.objectives[0]} by {one}", _by(study, one, study.objectives[0])) for one in numeric[:2]
    ]
    panels.append(Panel("Why designs are out", lambda axes: _reasons(axes, study), is_wide=True))
    return Page(
        f"Designs of {name} within a budget",
        "Each design is grown, perfused, checked for the print, its time estimated",
        facts_of(study),
        panels,
        cautions_of(study),
        front_table(study),
        simulated=True,
    )


def facts_of(study: Study) -> list[tuple[str, str]]:
    """Label and words."""
    grown = sum(isinstance(one.outcome, Judged) for one in study.designs)
    within = sum(one.is_feasible for one in study.designs)
    facts = [
        (
            "designs",
            f"{len(study.designs)} over {', '.join(study.varied)}: {grown} grown, {within} within the budget",
        ),
        ("targets", ", ".join(one.text for one in study.targets)),
        ("least of", ", ".join(study.objectives)),
    ]
    if study.best is not None:
        words = "begin with" if study.is_within else "nearest"
        facts.append((words, _told(study, study.best)))
        facts += [("", f"misses {one}") for one in study.designs[study.best].missed]
    return facts


def _told(study: Study, number: int) -> str:
    """A design in one line."""
    one = study.designs[number]
    values = ", ".join(f"{name} {_value(one.values[name])}" for name in study.varied)
    names = dict.fromkeys((*study.objectives, "shear_low", "shear_high"))
    known = [(name, study.measure(number, name)) for name in names]
    measures = ", ".join(f"{name} {shown(name, value)}" for name, value in known if value is not None)
    return f"design {number + 1}: {values}; {measures}"


def cautions_of(study: Study) -> list[str]:
    """What is not sure, or not as asked."""
    told: list[str] = []
    if study.best is None:
        why = study.designs[0].missed[0] if study.designs[0].missed else "a measure is not known"
        told.append(f"no design could be judged; the first: {why}")
    elif not study.is_within:
        told.append("no design is within the budget; front and nearest are among all that were judged")
    outcomes = [one.outcome for one in study.designs]
    judged = [one for one in outcomes if isinstance(one, Judged)]
    doubts = [one.hypoxic_doubt for one in judged if one.hypoxic_doubt is not None]
    if doubts and max(doubts) > _DOUBT:
        told.append(
            f"the hypoxic share differs by up to {100 * max(doubts):.2g} % on cells twice as large; raise --cells"
        )
    if len(doubts) < len(judged):
        told.append("too few cells to tell how sure the hypoxic share is; raise --cells")
    unbalanced = [one.unbalanced for one in judged if one.unbalanced > _UNBALANCED]
    if unbalanced:
        told.append(
            f"{len(unbalanced)} designs: oxygen given and consumed differ by up to {100 * max(unbalanced):.2g} %: "
            "their solution is not exact; raise --cells"
        )
    unknown = [one.unknown for one in judged if one.unknown]
    if unknown:
        told.append(f"{len(unknown)} designs have no estimate of the print; the first: {unknown[0]}")
    told += study.said
    if study.taken is not None:
        told.append(f"{study.taken.count} designs were taken from the resume file, not calculated now")
    told.append("one growth a design: another seed gives a somewhat different one (vary seed to see)")
    return told


def front_table(study: Study) -> list[list[str]]:
    """The front, by the first objective."""
    first = study.objectives[0]
    names = list(dict.fromkeys((*study.objectives, "shear_low", "shear_high", "covered", "power")))
    rows = sorted(study.front, key=lambda number: study.measure(number, first) or 0.0)[:_MOST_ROWS]
    head = ["design", *study.varied, *(f"{name} {MEASURES[name].unit}".strip() for name in names)]
    table = [head]
    for number in rows:
        scaled = [_scaled(study, number, name) for name in names]
        cells = [f"{one:.3g}" if math.isfinite(one) else "" for one in scaled]
        mark = " *" if number == study.best else ""
        table.append(
            [f"{number + 1}{mark}", *(_value(study.designs[number].values[one]) for one in study.varied), *cells]
        )
    return table


def _value(value: float | int | str) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _scaled(study: Study, number: int, name: str) -> float:
    value = study.measure(number, name)
    measure = MEASURES[name]
    return float("nan") if value is None else value / measure.units[measure.unit]


def _label(name: str) -> str:
    measure = MEASURES[name]
    return f"{name}, {measure.unit}" if measure.unit else name


def _front(study: Study, a: str, b: str) -> Any:
    def draw(axes: Any) -> None:
        numbers = range(len(study.designs))
        groups = (
            ("out of the budget", GREY, [at for at in numbers if not study.designs[at].is_feasible], "x"),
            ("within", BLUE, [at for at in numbers if study.designs[at].is_feasible], "o"),
        )
        for words, ink, mine, mark in groups:
            if mine:
                points = [[_scaled(study, at, name) for at in mine] for name in (a, b)]
                axes.plot(*points, mark, ms=4, color=ink, alpha=0.6, label=words, ls="")
        line = sorted(study.front, key=lambda at: _scaled(study, at, a))
        axes.plot(
            *[[_scaled(study, at, name) for at in line] for name in (a, b)], "o", ms=6, mfc="none", color=ORANGE,
            label="none beats these",
        )  # fmt: skip
        for at in line[:_LABELLED]:
            place = (_scaled(study, at, a), _scaled(study, at, b))
            axes.annotate(str(at + 1), place, (4, 4), textcoords="offset points", fontsize=7)
        if study.best is not None:
            axes.plot(_scaled(study, study.best, a), _scaled(study, study.best, b), "*", ms=13, color=GREEN,
                      label="to begin with" if study.is_within else "nearest")  # fmt: skip
        _limits(axes, study, a, b)
        axes.set_xlabel(_label(a))
        axes.set_ylabel(_label(b))
        axes.legend(fontsize=8)

    return draw


def _limits(axes: Any, study: Study, a: str, b: str) -> None:
    """Dotted lines where targets limit the two."""
    for target in study.targets:
        for name, draw in ((a, axes.axvline), (b, axes.axhline)):
            if target.name == name:
                scale = MEASURES[name].units[MEASURES[name].unit]
                for limit in (target.low, target.high):
                    if abs(limit) != float("inf"):
                        draw(limit / scale, color=ORANGE, lw=0.9, ls=":")


def _by(study: Study, variable: str, name: str) -> Any:
    def draw(axes: Any) -> None:
        judged = [at for at, one in enumerate(study.designs) if isinstance(one.outcome, Judged)]
        for is_within, ink in ((False, GREY), (True, BLUE)):
            mine = [at for at in judged if study.designs[at].is_feasible is is_within]
            values = [float(study.designs[at].values[variable]) for at in mine]
            axes.plot(values, [_scaled(study, at, name) for at in mine], "o", ms=4, color=ink, alpha=0.7)
        axes.set_xlabel(variable)
        axes.set_ylabel(_label(name))

    return draw


def _reasons(axes: Any, study: Study) -> None:
    """How many designs miss each target, or could not be grown."""
    counts: Counter[str] = Counter()
    for one in study.designs:
        if isinstance(one.outcome, Judged):
            counts.update({words.partition(":")[0] for words in one.missed})
        else:
            counts["not grown"] += 1
    counts["within the budget"] = sum(one.is_feasible for one in study.designs)
    names = [name for name, _ in counts.most_common(10)]
    inks = [GREEN if name == "within the budget" else GREY for name in names]
    bars = axes.barh(names, [counts[name] for name in names], color=inks)
    axes.bar_label(bars, padding=3, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("designs")
