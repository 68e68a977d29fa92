"""`poliqi lab store provenance`: from a figure back to the sample."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from poliqi.ops.commands.lab_store_open import JSON, day_of, open_tenant, say, store_options

if TYPE_CHECKING:
    from poliqi.lab.store.crate.history import History, Telling
    from poliqi.lab.store.deeds import Deed

__all__ = ["command"]

_KEYS_NAMED: Final = 3
_DEEPEST: Final = 12


@click.command()
@click.argument("dataset")
@store_options
@JSON
def command(dataset: str, store: Path | None, tenant: str, as_json: bool) -> None:
    """Where DATASET came from: the jobs and their inputs back to what was measured; where it was sent.

    \b
      poliqi lab store provenance k4iaq4

    What this store did itself comes first. What the crate that a dataset came in tells of its past stands apart, as
    the claim of who sent it: nobody here can check it.
    """
    import msgspec

    from poliqi.lab.store.crate.history import history

    with open_tenant(store, tenant) as part:
        found = history(part, part.resolve(dataset))
    lines = _lines(found)
    for telling in found.told:
        lines += ["", *_told(telling)]
    say(msgspec.to_builtins(found.known), lines, as_json=as_json)


def _lines(found: History) -> list[str]:
    """A tree, this dataset on top; what was shown once is only named again."""
    known, deeds = found.known, found.deeds
    datasets = {one.id: one for one in known.datasets}
    jobs = {job.id: job for job in known.jobs}
    samples = {one.id: one.name for one in known.samples}
    instruments = {one.id: one.name for one in known.instruments}
    lines, told = list[str](), set[str]()
    waiting = [(known.datasets[0].id, 0)]
    while waiting:
        name, depth = waiting.pop()
        one, margin = datasets[name], _margin(depth)
        again = "  (as above)" if name in told else ""
        lines.append(f"{margin}{one.id[:8]}  {one.kind}  {day_of(one.made_unix_s)}  {one.title}{again}")
        if again:
            continue
        told.add(name)
        if one.sample:
            lines.append(f"{margin}  of sample {samples[one.sample]}")
        if one.instrument:
            lines.append(f"{margin}  by instrument {instruments[one.instrument]}")
        lines += [f"{margin}  {_said(deed)}" for deed in deeds.get(name, ())]
        job = jobs.get(one.made_by) if one.made_by else None
        if job is not None:
            lines.append(f"{margin}  by {job.program} {job.version} {job.parameters_json}")
            waiting += [(given, depth + 1) for given in reversed(job.inputs)]
    return lines


def _margin(depth: int) -> str:
    return "    " * min(depth, _DEEPEST)


def _said(deed: Deed) -> str:
    """An action in a line: when, the other end, what protected it, which keys."""
    from poliqi.lab.store.records import ActionKind

    way = {ActionKind.SENT: "to", ActionKind.RECEIVED: "from"}.get(deed.kind)
    line = f"{deed.kind} {day_of(deed.at_unix_s)}" + (f" {way} {deed.place or '?'}" if way else " from a crate")
    if deed.who:
        line += f" by {deed.who}"
    if deed.mode:
        line += f", mode {deed.mode}, {_epsilon(deed)}, {_keys(deed)}"
    if deed.is_simulated:
        line += ", keys of SIMULATED light, which protect nothing"
    if deed.is_without_quantum_key:
        line += ", NO QUANTUM KEY for all or part of it"
    return line


def _epsilon(deed: Deed) -> str:
    if deed.is_simulated or deed.epsilon is None:
        return f"epsilon {'none' if deed.is_simulated else deed.unproven or 'not told'}"
    return f"epsilon {deed.epsilon:.3g}"


def _keys(deed: Deed) -> str:
    if not deed.keys:
        return "no keys"
    named = ", ".join(deed.key_ids[:_KEYS_NAMED])
    more = ", ..." if deed.keys > _KEYS_NAMED else ""
    return f"{'1 key' if deed.keys == 1 else f'{deed.keys} keys'} {named}{more}"


def _told(telling: Telling) -> list[str]:
    """The same tree from a crate's own words."""
    from poliqi.lab.store.crate.claims import ClaimKind

    words = {
        ClaimKind.DATASET: "",
        ClaimKind.JOB: "by ",
        ClaimKind.SAMPLE: "of sample ",
        ClaimKind.INSTRUMENT: "by instrument ",
        ClaimKind.DEED: "",
    }
    whose = f"{telling.deed.place} claims" if telling.deed.place else "its crate claims"
    lines = [f"What {whose} of the past of {telling.dataset[:8]}, and nobody here has checked:"]
    if telling.problem:
        return [*lines, f"    (cannot be shown: {telling.problem})"]
    waiting, shown = [(0, 1)], set[int]()
    while waiting:
        number, depth = waiting.pop()
        one = telling.claims[number]
        again = "(as above)" if number in shown and one.above else ""
        kind = one.detail if one.kind is not ClaimKind.DATASET else ""
        mark = "simulated" if one.is_simulated else ""
        parts = [words[one.kind] + one.title, mark, one.at, kind, again]
        lines.append(_margin(depth) + "  ".join(part for part in parts if part))
        if number not in shown:
            shown.add(number)
            waiting += [(above, depth + 1) for above in reversed(one.above)]
    return lines if telling.is_all else [*lines, "    ... and more: `poliqi lab store export` writes all of it"]
