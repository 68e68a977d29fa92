"""The command line: every command lives in a file of its own and is imported when it is called."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Final, NoReturn

import click

from poliqi.base.errors import PoliqiError

__all__ = ["main"]

# command -> (module, one line for --help; the module is imported only when the command runs)
COMMANDS: Final = {
    "adapter": "quantum keys for WireGuard, strongSwan and stunnel, kept fresh",
    "bench-crypto": "try new encryption, randomness or key sources: conformance, then speed beside what there is",
    "chat": "messages to another person under one-time pad, delivered once, also later",
    "control": "run the controller of a city: routes, alarms, dashboard, reports",
    "demo": "a city on this machine: sites, links of simulated light, controller, dashboard",
    "device": "keys of other people's devices into a site",
    "doctor": "what this machine runs: kernels and their speed, where compiled code is kept",
    "distill": "run both parties over a recording and report what key it gives",
    "gateway": "DICOM images to another site's machines: what waits, what was refused",
    "keylength": "secret length of a table of counts, with its proof",
    "keys": "ask a site for keys as an application (ETSI 014)",
    "lab": "laboratories: store with provenance, access to instruments, X-ray tools",
    "link": "pair two ends, run one, its status; record simulated light",
    "pki": "certificates of a site: make its authority, issue, revoke, trust other sites",
    "plan": "what a city will give: links, pairs, demands, which failures it outlives, what to build at least cost",
    "rate": "what a link will give: gains, QBER, finite key, rate against distance",
    "tunnel": "carry any TCP application, or whole networks, to another site over encrypted streams",
    "twin": "a whole city in virtual time, with seeded faults; sweeps over seeds",
    "sae": "set up an application of a site, run its service: inbox, messages, tunnels, pages",
    "share": "one dataset for many sites: publish, grant, revoke, fetch, audit",
    "receive": "what has arrived from other sites, and the receipts",
    "send": "send files and folders to another site; a signed receipt comes back",
    "vault": "secrets kept at several sites: any k of n give them back, fewer know nothing",
    "site": "run a site's key management, look after it, destroy its keys",
}


class LazyGroup(click.Group):
    """Imports `poliqi.ops.commands.NAME` when NAME is called; `--help` imports none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        return importlib.import_module(f"poliqi.ops.commands.{cmd_name.replace('-', '_')}").command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(sorted(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="poliqi")
def cli() -> None:
    """POLIQI: from a photon's time tag to a key two parties share.

    Start with `poliqi demo`. Every command has --json and its own --help. POLIQI_KERNELS=portable|pclmul|vpclmul
    forces a width of the compiled kernels (see `poliqi doctor`).
    """
    forced = os.environ.get("POLIQI_KERNELS")
    if forced:
        from poliqi.base.jit import choose_width

        choose_width(forced)


def main() -> None:
    """Entry point: an error that POLIQI raised on purpose is one clear line, never a traceback."""
    try:
        cli(prog_name="poliqi")
    except PoliqiError as error:
        _tell(str(error))
    except OSError as error:
        _tell(f"{error.filename or 'output'}: {error.strerror}")


def _tell(words: str) -> NoReturn:
    """The line, in which what a file or a peer says moves no cursor; then the end."""
    from poliqi.ops.message_text import plain

    click.echo(f"poliqi: {plain(words)}", err=True)
    sys.exit(1)
