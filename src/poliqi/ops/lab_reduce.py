"""What `poliqi lab xray reduce` does with files: a stack to a curve, and the curve into a store."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import click
import msgspec

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.edge.wholefile import check_target
from poliqi.lab.xray.binning import Splitting
from poliqi.lab.xray.curve import Axis, Curve
from poliqi.lab.xray.curvechart import draw_curve
from poliqi.lab.xray.framecurves import write_frame_curves
from poliqi.lab.xray.nxcansas import write_curve
from poliqi.lab.xray.prepare import Asked, prepare
from poliqi.lab.xray.reduction import Plan, Recipe, Settings, Sums, plan_of
from poliqi.lab.xray.stack import StackRun

__all__ = ["Bar", "asked_of", "run_reduce"]

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
    recipe, told = prepare(asked_of(options), frames)
    simulated = bool(options["simulated"] or told.simulated)
    workers, cluster = _where(options["workers"], options["cluster"])
    stack = StackRun(recipe, frames, output, options["dataset"], each=options["per_frame"] is not None)
    with Bar(is_quiet=options["as_json"]) as progress:
        sums = stack.run(workers=workers, cluster=cluster, progress=progress)
    plan = plan_of(recipe)
    title = options["title"] or (
        frames[0].name if len(frames) == 1 else f"{frames[0].name} and {len(frames) - 1} more"
    )
    curve = plan.curve(sums, title, per_second=options["per_second"], simulated=simulated)
    _write(plan, stack, sums, curve, options)
    if options["plot"] is not None:
        draw_curve(curve, options["plot"])
    stack.done()
    answer = _answer(recipe, sums, curve, output, time.perf_counter() - began)
    if options["store"] is not None:
        answer["dataset"] = _stored(recipe, frames, curve, output, options)
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


def _answer(recipe: Recipe, sums: Sums, curve: Curve, output: Path, wall_s: float) -> dict[str, Any]:
    return {
        "output": str(output),
        "frames": sums.frames,
        "points": int(curve.x.size),
        "axis": curve.axis.value,
        "from": float(curve.x[0]),
        "to": float(curve.x[-1]),
        "intensity_unit": curve.intensity_unit.value,
        "overflow_pixels_left_out": sums.overflowed,
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
        lines.append(f"dataset {answer['dataset']}")
    return "\n".join(lines)


def _stored(
    recipe: Recipe, frames: tuple[Path, ...], curve: Curve, output: Path, options: Mapping[str, Any]
) -> str:
    """Put the curve, and its chart, into a store: the job is known by what its files hold. Returns the dataset.

    Datasets that hold a file which was read are inputs of the job, so that provenance is one chain.
    """
    from importlib.metadata import version

    from poliqi.lab.store.records import Task
    from poliqi.lab.store.store import LabStore

    named = {"geometry": options["geometry"], "flat": options["flat"], "dark": options["dark"]}
    named |= {f"mask_{n}": Path(mask) for n, mask in enumerate(options["masks"]) if mask != "none"}
    task = Task(
        program="poliqi lab xray reduce",
        version=version("poliqi"),
        parameters={
            "frames": [_content(path) for path in frames],
            "files": {name: _content(path) for name, path in named.items() if path is not None},
            "settings": msgspec.to_builtins(recipe.settings),
            "mask_keeps": options["mask_keeps"],
            "exposure_s": recipe.exposure_s,
            "dark_scale": recipe.dark_scale,
            "wavelength_m": recipe.geometry.wavelength_m,
            "per_second": options["per_second"],
            "dataset": options["dataset"],
        },
        title=curve.title,
        simulated=curve.simulated,
    )

    def work(folder: Path) -> None:
        write_curve(folder / output.name, curve)
        draw_curve(curve, folder / "curve.svg")

    with LabStore.open(options["store"]).tenant(options["tenant"]) as part:
        read = [path for path in (*frames, *named.values()) if path is not None]
        held = [found.id for path in read if (found := part.holding(path)) is not None]
        inputs = dict.fromkeys([*(part.resolve(name) for name in options["inputs"]), *held])
        dataset, _ = part.run(replace(task, inputs=tuple(inputs)), work)
    return str(dataset.id)


def _content(path: Path) -> dict[str, str]:
    """A file's name and BLAKE3."""
    from blake3 import blake3

    try:
        digest = blake3().update_mmap(path).hexdigest()
    except OSError as error:
        raise DataRefused(f"{path} cannot be read ({error.strerror}); give it again") from error
    return {"name": path.name, "blake3": digest}
