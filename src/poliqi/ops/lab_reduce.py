"""What `poliqi lab xray reduce` does with files: a stack to a curve, and the curve into a store."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import click
import msgspec

from poliqi.base.errors import ConfigError
from poliqi.edge.wholefile import check_target, whole_file
from poliqi.lab.xray.binning import Splitting
from poliqi.lab.xray.curve import Axis, Curve
from poliqi.lab.xray.curvechart import draw_curve
from poliqi.lab.xray.framecurves import write_frame_curves
from poliqi.lab.xray.nxcansas import write_curve
from poliqi.lab.xray.nxcansas_read import read_curves
from poliqi.lab.xray.prepare import Asked, prepare
from poliqi.lab.xray.reduction import Plan, Recipe, Settings, Sums, plan_of
from poliqi.lab.xray.stack import StackRun
from poliqi.ops.commands.lab_store_open import told as told_in_lines
from poliqi.ops.lab_filing import Filing, Read, with_linked

__all__ = ["Bar", "asked_of", "run_reduce"]

_PROGRAM = "poliqi lab xray reduce"
_AXES = {"1/nm": Axis.Q_PER_NM, "1/A": Axis.Q_PER_ANGSTROM, "2theta": Axis.TWO_THETA_DEG}


def asked_of(options: Mapping[str, Any]) -> Asked:
    """The options of the command as what the laboratory asks for. Raises ConfigError."""
    settings = Settings(
        axis=_AXES[options["unit"]],
        bins=options["bins"],
        splitting=Splitting(options["splitting"]),
        polarisation=options["polarisation"],
        x_range=options["x_range"],
        dead_time_s=options["dead_time"],
    )
    wavelength, energy = options["wavelength"], options["energy"]
    return Asked(
        geometry=options["geometry"],
        settings=settings,
        masks=options["masks"],
        mask_keeps=options["mask_keeps"],
        flat=options["flat"],
        dark=options["dark"],
        dark_exposure_s=options["dark_exposure"],
        exposure_s=options["exposure"],
        wavelength_m=None if wavelength is None else wavelength * 1e-10,
        energy_ev=None if energy is None else energy * 1e3,
        dataset=options["dataset"],
    )


def run_reduce(frames: tuple[Path, ...], **options: Any) -> None:
    """Reduce files to one curve and say what came of it. Raises PoliqiError."""
    output: Path | None = options["output"]
    if output is None:
        raise ConfigError("where to? give -o FILE.h5")
    for path in (output, options["per_frame"]):
        if path is not None:
            check_target(path, overwrite=options["force"])
    began = time.perf_counter()
    filing = Filing(options["store"], options["tenant"], _reads(frames, options) if options["store"] else ())
    recipe, told = prepare(asked_of(options), frames)
    simulated = bool(options["simulated"] or told.simulated or filing.is_simulated)
    said = ("frames",) if told.simulated else ()
    title = options["title"] or (
        frames[0].name if len(frames) == 1 else f"{frames[0].name} and {len(frames) - 1} more"
    )
    if options["per_frame"] is None:
        done = filing.standing(
            _PROGRAM,
            _parameters(recipe, title, options),
            ".h5",
            simulated=simulated,
            said=said,
            inputs=options["inputs"],
            leave=filing.paths if options["leave_frames"] else (),
        )
        if done is not None:
            dataset, content = done
            curve = _written_again(content, output, options)
            count = StackRun(recipe, frames, output, options["dataset"]).count()
            answer = _answer(recipe, count, None, curve, output, time.perf_counter() - began)
            _say(answer | {"dataset": dataset, "was_there": True}, options)
            return
    workers, cluster = _where(options["workers"], options["cluster"])
    stack = StackRun(recipe, frames, output, options["dataset"], each=options["per_frame"] is not None)
    with Bar(is_quiet=options["as_json"]) as progress:
        sums = stack.run(workers=workers, cluster=cluster, progress=progress)
    plan = plan_of(recipe)
    curve = plan.curve(sums, title, per_second=options["per_second"], simulated=simulated)
    _write(plan, stack, sums, curve, options)
    if options["plot"] is not None:
        draw_curve(curve, options["plot"])
    stack.done()
    answer = _answer(recipe, sums.frames, sums.overflowed, curve, output, time.perf_counter() - began)
    dataset = _stored(filing, recipe, curve, output, options, said)
    if dataset is not None:
        answer["dataset"] = dataset
    _say(answer, options)


def _say(answer: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    click.echo(msgspec.json.encode(answer).decode() if options["as_json"] else _told(answer))


class Bar:
    """Frames done, on a terminal; nothing elsewhere."""

    def __init__(self, *, is_quiet: bool) -> None:
        self._is_shown = not is_quiet and sys.stderr.isatty()
        self._bar: Any = None
        self._done = 0

    def __enter__(self) -> Callable[[int, int], None]:
        return self._tell

    def _tell(self, done: int, total: int) -> None:
        if not self._is_shown:
            return
        if self._bar is None:
            self._bar = click.progressbar(length=total, label="frames", file=sys.stderr, show_pos=True)
            self._bar.__enter__()
        self._bar.update(done - self._done)
        self._done = done

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.__exit__(kind, error, trace)


def _where(workers: int | None, cluster: str | None) -> tuple[int | None, str | None]:
    """`--cluster 4` is four processes here."""
    if cluster is None or "://" in cluster:
        return workers, cluster
    if not (cluster.isascii() and cluster.isdigit() and 0 < int(cluster) <= 10_000):
        raise ConfigError(f"--cluster {cluster[:60]!r}: give an address such as tcp://10.0.0.5:8786, or a number")
    return int(cluster), None


def _write(plan: Plan, stack: StackRun, sums: Sums, curve: Curve, options: Mapping[str, Any]) -> None:
    write_curve(options["output"], curve, overwrite=options["force"])
    if options["per_frame"] is not None:
        per = plan.recipe.exposure_s if options["per_second"] and plan.recipe.exposure_s else 1.0
        write_frame_curves(
            options["per_frame"], plan, stack.frames(), sums.frames, per=per, simulated=curve.simulated
        )


def _written_again(content: bytes, output: Path, options: Mapping[str, Any]) -> Curve:
    """The curve that the store has, as the file and the chart that were asked for."""
    with whole_file(output, overwrite=options["force"]) as file:
        file.write(content)
    [curve] = read_curves(output)
    if options["plot"] is not None:
        draw_curve(curve, options["plot"])
    return curve


def _answer(
    recipe: Recipe, frames: int, overflowed: int | None, curve: Curve, output: Path, wall_s: float
) -> dict[str, Any]:
    return {
        "output": str(output),
        "frames": frames,
        "points": int(curve.x.size),
        "axis": curve.axis.value,
        "from": float(curve.x[0]),
        "to": float(curve.x[-1]),
        "intensity_unit": curve.intensity_unit.value,
        "overflow_pixels_left_out": overflowed,
        "wavelength_m": recipe.geometry.wavelength_m,
        "simulated": curve.simulated,
        "wall_s": round(wall_s, 3),
    }


def _told(answer: Mapping[str, Any]) -> str:
    unit = "degrees" if answer["axis"] == Axis.TWO_THETA_DEG else answer["axis"]
    points = f"{answer['points']} points from {answer['from']:.5g} to {answer['to']:.5g} {unit}"
    lines = [f"{answer['output']}: {points}, from {answer['frames']:,} frames in {answer['wall_s']:.1f} s"]
    if answer["overflow_pixels_left_out"]:
        lines.append(f"{answer['overflow_pixels_left_out']:,} overflowing pixels were left out")
    if answer["simulated"]:
        lines.append("the frames are simulated, and so is the curve")
    if "dataset" in answer:
        lines.append(f"dataset {answer['dataset']}{', which was there' if answer.get('was_there') else ''}")
    return "\n".join(lines)


def _reads(frames: tuple[Path, ...], options: Mapping[str, Any]) -> list[Read]:
    """What decides the curve, each part by its role."""
    found = [Read("frames", with_linked(frames, options["dataset"]), bool(options["simulated"]))]
    named = {"geometry": options["geometry"], "flat": options["flat"], "dark": options["dark"]}
    found += [Read(role, with_linked([path])) for role, path in named.items() if path is not None]
    return found + [Read("mask", with_linked([Path(mask)])) for mask in options["masks"] if mask != "none"]


def _parameters(recipe: Recipe, title: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the curve beside the files."""
    return {
        "settings": msgspec.to_builtins(recipe.settings),
        "mask_keeps": options["mask_keeps"],
        "masks": [mask for mask in options["masks"] if mask == "none"],
        "exposure_s": recipe.exposure_s,
        "dark_scale": recipe.dark_scale,
        "wavelength_m": recipe.geometry.wavelength_m,
        "per_second": options["per_second"],
        "dataset": options["dataset"],
        "title": title,
    }


def _stored(
    filing: Filing, recipe: Recipe, curve: Curve, output: Path, options: Mapping[str, Any], said: Sequence[str]
) -> str | None:
    """Put the curve, and its chart, into a store: the job is known by what its files hold. Returns the dataset.

    Datasets that hold a file which was read are inputs of the job, so that provenance is one chain; what none holds
    is put in beside, unless it is to be left where it is. `said`: what said itself that it is simulated.
    """

    def work(folder: Path) -> None:
        write_curve(folder / output.name, curve)
        draw_curve(curve, folder / "curve.svg")

    return filing.put(
        _PROGRAM,
        _parameters(recipe, curve.title, options),
        work,
        title=curve.title,
        simulated=curve.simulated,
        inputs=options["inputs"],
        said=said,
        leave=filing.paths if options["leave_frames"] else (),
        progress=told_in_lines("files put into the store"),
    )
