"""`poliqi device check`: is a driver of a device right?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import click

__all__ = ["command"]

FILE: Final = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("device", metavar="FILE.py")
@click.option("--link", "link_toml", type=FILE, metavar="LINK.toml", help="the link of a driver of light")
@click.option("--device-options", type=FILE, metavar="X.toml", help="settings that the driver is given")
@click.option("--peer-options", type=FILE, metavar="Y.toml", help="those of the other end, where it is here too")
@click.option("--role", type=click.Choice(["alice", "bob"]), help="look at this end only")
@click.option(
    "--seconds",
    type=click.FloatRange(1e-6, 600.0),
    default=0.2,
    show_default=True,
    help="of light, for each look",
)
@click.option("--first-slot", type=click.IntRange(0, 1 << 61), default=0, help="where Bob's slots begin (0)")
@click.option(
    "--limit",
    "limit_s",
    type=click.FloatRange(1.0, 3600.0),
    default=60.0,
    show_default=True,
    help="seconds for a check; one that takes longer has failed",
)
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def command(
    device: str,
    link_toml: Path | None,
    device_options: Path | None,
    peer_options: Path | None,
    role: str | None,
    seconds: float,
    first_slot: int,
    limit_s: float,
    as_json: bool,
) -> None:
    """Check a driver, or an installed one by its name, against what POLIQI asks of it (how-to: add-a-device).

    Its code is RUN, with your rights, in a process of its own that is ended when it hangs. Keys that a key device
    gives meanwhile are used up. Exit code 3: a check failed.

    \b
      poliqi device check my_board.py --link LINK.toml --device-options board.toml
      poliqi device check my_keys.py --device-options here.toml --peer-options there.toml --json
    """
    import json
    import pickle

    from poliqi.edge.driverfile import read_options
    from poliqi.node.drivercheck.dialogue import Candidate
    from poliqi.node.drivercheck.trial import try_driver
    from poliqi.ops.config import default_link, load_link

    link = default_link() if link_toml is None else load_link(link_toml)
    candidate = Candidate(
        device=device,
        base=str(Path().absolute()),
        options=read_options(device_options),
        peer_options=None if peer_options is None else read_options(peer_options),
        link=pickle.dumps(link).hex(),
        seconds=seconds,
        first_slot=first_slot,
        is_alice=role != "bob",
        is_bob=role != "alice",
    )
    trial = try_driver(candidate, limit_s, _progress)
    if as_json:
        findings = [{"check": f.check, "verdict": f.verdict.value, "text": f.text} for f in trial.findings]
        record: dict[str, Any] = {"device": device, "kind": trial.kind.value, "failed": trial.failed}
        click.echo(json.dumps({**record, "findings": findings, "figures": trial.figures}))
    else:
        for f in trial.findings:
            verdict = f.verdict.value.upper() if f.check in trial.failed else f.verdict.value
            click.echo(f"{verdict:9} {f.check:19} {f.text}")
        passed = sum(f.verdict == "passed" for f in trial.findings)
        click.echo(f"{device}: {passed} of {len(trial.findings)} checks passed, {len(trial.failed)} failed")
    if trial.failed:
        sys.exit(3)


def _progress(check: str) -> None:
    if sys.stderr.isatty():
        click.echo(f"checking: {check}", err=True)
