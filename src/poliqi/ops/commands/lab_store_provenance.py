"""`poliqi lab store provenance`: from a figure back to the sample."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from poliqi.ops.commands.lab_store_open import JSON, day_of, open_tenant, say, store_options

if TYPE_CHECKING:
    from poliqi.lab.store.records import Action, Provenance

__all__ = ["command"]


@click.command()
@click.argument("dataset")
@store_options
@JSON
def command(dataset: str, store: Path | None, tenant: str, as_json: bool) -> None:
    """Where DATASET came from: the jobs and their inputs back to what was measured; where it was sent.

    \b
      poliqi lab store provenance k4iaq4
    """
    import msgspec

    with open_tenant(store, tenant) as part:
        found = part.provenance(part.resolve(dataset))
    say(msgspec.to_builtins(found), _lines(found), as_json=as_json)


def _lines(found: Provenance) -> list[str]:
    """A tree, this dataset on top; what was shown once is only named again."""
    datasets = {one.id: one for one in found.datasets}
    jobs = {job.id: job for job in found.jobs}
    samples = {one.id: one.name for one in found.samples}
    instruments = {one.id: one.name for one in found.instruments}
    lines, told = list[str](), set[str]()
    waiting = [(found.datasets[0].id, 0)]
    while waiting:
        name, depth = waiting.pop()
        one, margin = datasets[name], "    " * depth
        again = "  (as above)" if name in told else ""
        lines.append(f"{margin}{one.id[:8]}  {one.kind}  {day_of(one.made_unix_s)}  {one.title}{again}")
        if again:
            continue
        told.add(name)
        if one.sample:
            lines.append(f"{margin}  of sample {samples[one.sample]}")
        if one.instrument:
            lines.append(f"{margin}  by instrument {instruments[one.instrument]}")
        lines += [f"{margin}  {_said(action)}" for action in found.actions if action.dataset == name]
        job = jobs.get(one.made_by) if one.made_by else None
        if job is not None:
            lines.append(f"{margin}  by {job.program} {job.version} {job.parameters_json}")
            waiting += [(given, depth + 1) for given in reversed(job.inputs)]
    return lines


def _said(action: Action) -> str:
    return f"{action.kind} {day_of(action.ended_unix_s)} {action.facts_json}"
