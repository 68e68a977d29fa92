"""`poliqi plan CITY.toml`: whether a city holds, what it gives, what to build at least cost."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final

import click

from poliqi.base.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from poliqi.ops.city_toml import CityPlan
    from poliqi.ops.plan_report import PlanReport

__all__ = ["command"]

_PATIENCE_S: Final = 0.7
_WORDS: Final = {
    "links": "predicting links",
    "candidates": "predicting candidates",
    "failures": "breaking things one by one",
    "spans": "weighing spans",
    "designs": "designing; failures in the program",
}


class _Progress:
    """One line on a terminal's standard error, once the work has taken a while."""

    def __init__(self) -> None:
        self._since, self._shown = time.monotonic(), 0.0
        self._is_on = sys.stderr.isatty()

    def __call__(self, what: str, done: int, of: int) -> None:
        now = time.monotonic()
        if self._is_on and now - self._since > _PATIENCE_S and now - self._shown > 0.1:
            self._shown = now
            print(f"\r\x1b[K{_WORDS.get(what, what)} {done} of {of}", end="", file=sys.stderr, flush=True)

    def __enter__(self) -> _Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


@click.command(
    help="""What a city will give, from its CITY.toml alone (docs: reference/city-toml, reference/plan).

    Checks the 25 km diameter and every span, predicts each link's and each pair's key rate (finite block), says
    which demands are served and which single failures they outlive, and which span is the weakest. Where --propose
    is given it also finds what to build at least cost so that all demands are served through those failures.

    The exit code is 1 where a demand is not served or does not outlive what it must (with --propose: where no such
    city can be built), 0 otherwise.

    \b
    Examples:
      poliqi plan examples/milan/city.toml
      poliqi plan CITY.toml --svg city.svg           draw the map
      poliqi plan CITY.toml --propose                what to add, at least cost
      poliqi plan CITY.toml --propose --from-scratch the cheapest city on these fibres
    """
)
@click.argument("city", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--propose", "is_proposed", is_flag=True, help="Find what to build at least cost (MILP, gap printed)."
)
@click.option(
    "--from-scratch",
    is_flag=True,
    help="With --propose: only sites and fibres stand; links, trusted nodes and switches are chosen anew.",
)
@click.option(
    "--time-limit",
    "time_limit_s",
    type=click.FloatRange(min=0.1, max=86400.0),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How long the solver may take.",
)
@click.option("--as-set", is_flag=True, help="Take source settings as the devices' tables say, not the best ones.")
@click.option("--svg", type=click.Path(dir_okay=False, path_type=Path), help="Draw the map into this file.")
@click.option(
    "--language", type=click.Choice(["en", "it"]), default="en", show_default=True, help="Words of the map."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(
    context: click.Context,
    city: Path,
    is_proposed: bool,
    from_scratch: bool,
    time_limit_s: float,
    as_set: bool,
    svg: Path | None,
    language: str,
    as_json: bool,
) -> None:
    """Print what the city will give."""
    if from_scratch and not is_proposed:
        raise ConfigError("--from-scratch: says how to propose; give --propose with it")
    if svg is not None and svg.suffix.lower() != ".svg":
        raise ConfigError(f"--svg {svg}: give a name that ends in .svg")
    from poliqi.ops.city_toml import load_city
    from poliqi.ops.plan_report import answer
    from poliqi.ops.plan_tables import tables

    report = _report(load_city(city), is_proposed, from_scratch, time_limit_s, as_set)
    if svg is not None:
        _draw(report, svg, language)
    click.echo(json.dumps(answer(report), indent=2, allow_nan=False) if as_json else tables(report))
    if svg is not None and not as_json:
        click.echo(f"\nmap: {svg}")
    context.exit(0 if report.is_sound else 1)


def _report(plan: CityPlan, is_proposed: bool, from_scratch: bool, time_limit_s: float, as_set: bool) -> PlanReport:
    from poliqi.control.pairs import pair_forecasts
    from poliqi.control.planner import check_city
    from poliqi.control.prediction import Predictor
    from poliqi.control.proposal import bypasses, propose
    from poliqi.ops.plan_report import PlanReport

    predictor = Predictor(plan.devices, is_optimised=not as_set)
    with _Progress() as tell:
        check = check_city(plan.city, predictor, plan.survives, tell)
        pairs = pair_forecasts(plan.city, {f.link.link: f.key_rate_bps for f in check.links})
        passing = bypasses(plan.city, predictor)
        if not is_proposed:
            return PlanReport(plan, check, pairs, passing)
        proposal = propose(
            plan.city,
            plan.candidates,
            plan.costs,
            predictor,
            plan.survives,
            time_limit_s,
            tell,
            is_from_scratch=from_scratch,
        )
        judged = check_city(proposal.city, predictor, plan.survives, tell)
    return PlanReport(plan, check, pairs, passing, proposal, judged)


def _draw(report: PlanReport, path: Path, language: str) -> None:
    from poliqi.control.events import Language
    from poliqi.ops.citymap import city_map
    from poliqi.ops.plan_report import marks

    city, drawn, candidates = marks(report)
    text = city_map(city, marks=drawn, candidates=candidates, language=Language(language), is_standalone=True)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"--svg {path}: cannot be written ({error.strerror})") from None
