"""What the commands of laboratories share: where results go, and how they are written, filed and printed."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar, cast

import click

from poliqi.base.errors import ConfigError
from poliqi.ops.commands.lab_store_open import filing_options

if TYPE_CHECKING:
    from poliqi.lab.onepage import Page
    from poliqi.lab.store.findings import Findings
    from poliqi.ops.lab_filing import Filing

__all__ = [
    "PATH",
    "Outputs",
    "Result",
    "deliver",
    "ensure_apart",
    "outputs_of",
    "outputs_options",
    "tell",
    "tell_compiling",
]

F = TypeVar("F", bound=Callable[..., Any])


class _NamedPath(click.Path):
    """A path whose name is text: it stands in pages, records and errors."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path = super().convert(value, param, ctx)
        try:
            str(path).encode()
        except UnicodeEncodeError:
            raise ConfigError(f"{str(path)!a:.300}: its name is not UTF-8; rename it") from None
        return path


PATH: Final = _NamedPath(path_type=Path)
_OUTPUTS: Final = (
    click.option("-o", "--output", type=PATH, metavar="FILE", help="write the result for other tools"),
    click.option("--plot", type=PATH, metavar="FILE.svg|png", help="draw it"),
    click.option("--report", type=PATH, metavar="FILE.html|png", help="one page: numbers, charts, cautions"),
    click.option("--force", is_flag=True, help="replace files of that name"),
    click.option("--json", "as_json", is_flag=True, help="print JSON"),
    filing_options,
)
_FIELDS: Final = {"echem": "electrochemistry", "print": "bioprinting"}
"""Keyword of a dataset, by the second word after the program's name."""
_NAMES: Final = ("output", "plot", "report", "force", "as_json", "store", "tenant")


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where results go; made by `outputs_of`."""

    output: Path | None
    plot: Path | None
    report: Path | None
    force: bool
    as_json: bool
    store: Path | None
    tenant: str


@dataclass(frozen=True, slots=True)
class Result:
    """What a command found. `record` is what --json prints, `lines` what people read, `page` what is drawn.

    `files` are written into the store's dataset by name; the first is what `--output` gets. `simulated` says that
    the result is a calculation, or rests on simulated data.
    """

    record: Mapping[str, Any]
    lines: Sequence[str]
    page: Page
    files: Mapping[str, bytes]
    simulated: bool
    findings: Findings | None = None


def outputs_options(function: F) -> F:
    """-o, --plot, --report, --force, --json, --store, --tenant; the command takes them by **options."""
    for option in reversed(_OUTPUTS):
        function = option(function)
    return function


def outputs_of(options: dict[str, Any]) -> Outputs:
    """Taken out of a command's options; names that cannot be written are refused (ConfigError) before any work."""
    from poliqi.base.chartstyle import check_format
    from poliqi.edge.wholefile import check_target
    from poliqi.lab.onepage import check_page

    tell_compiling()
    outputs = Outputs(**{name: options.pop(name) for name in _NAMES})
    if outputs.plot is not None:
        check_format(outputs.plot)
    if outputs.report is not None:
        check_page(outputs.report)
    for path in (outputs.output, outputs.plot, outputs.report):
        if path is not None:
            check_target(path, overwrite=outputs.force)
    ensure_apart()
    _end_tidily()
    return outputs


def ensure_apart() -> None:
    """No file is named twice in the line: results would replace each other, or what was read (ConfigError)."""
    seen: dict[Path, str] = {}
    params: dict[str, object] = click.get_current_context().params
    for name, value in params.items():
        for path in cast("tuple[object, ...]", value if isinstance(value, tuple) else (value,)):
            if isinstance(path, Path) and (path.is_file() or name in _NAMES):
                if path.resolve() in seen:
                    raise ConfigError(f"{path} is named twice ({seen[path.resolve()]}, {name}); name another file")
                seen[path.resolve()] = name


def _end_tidily() -> None:
    """Asked to end, a command takes back what it has half written, as after Ctrl-C."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, _end)


def _end(number: int, _frame: object) -> NoReturn:
    sys.exit(128 + number)


def tell_compiling() -> None:
    """That the first run of a command that prints tissue compiles its kernels: told until one came to its end."""
    mark = _compiled_mark()
    if _is_compiling() and (mark is None or not mark.exists()):
        click.echo("compiling for this processor, once: up to half a minute ...", err=True)


def _is_compiling() -> bool:
    return click.get_current_context().command_path.startswith("poliqi lab print")


def _compiled_mark() -> Path | None:
    """What stands in the folder of kernels once this command has run through; None where none are kept."""
    from poliqi.base.jit import cache_folder

    folder = cache_folder() if _is_compiling() else None
    return None if folder is None else folder / f"told-{click.get_current_context().info_name}"


def tell(words: str) -> None:
    """What is under way, on standard error where somebody watches."""
    if sys.stderr.isatty():
        click.echo(f"{words} ...", err=True)


def deliver(
    outputs: Outputs,
    result: Result,
    filing: Filing,
    *,
    program: str,
    title: str,
    parameters: Mapping[str, Any],
    keywords: tuple[str, ...] = (),
    said: Sequence[str] = (),
    inputs: Sequence[str] = (),
    leave: Collection[Path] = (),
) -> None:
    """Write, store and print. `program` is the command, such as "poliqi lab echem eis".

    `parameters` are all options that decide the result. `said` are roles of files that say of themselves that they
    are simulated; `inputs` begin identifiers of datasets that were used; files in `leave` are not put in.
    """
    from poliqi.edge.wholefile import whole_file
    from poliqi.lab.onepage import draw_panels, write_page
    from poliqi.ops.message_text import plain

    if outputs.output is not None:
        with whole_file(outputs.output, overwrite=outputs.force) as file:
            file.write(next(iter(result.files.values())))
    if outputs.plot is not None:
        draw_panels(result.page, outputs.plot, overwrite=outputs.force)
    if outputs.report is not None:
        write_page(result.page, outputs.report, overwrite=outputs.force)
    dataset = filing.put(
        program,
        parameters,
        lambda folder: _fill(folder, result),
        title=title,
        keywords=(_FIELDS[program.split()[2]], *keywords),
        simulated=result.simulated,
        said=said,
        inputs=inputs,
        leave=leave,
    )
    mark = _compiled_mark()
    if mark is not None:
        with contextlib.suppress(OSError):
            mark.touch()
    if outputs.as_json:
        click.echo(json.dumps({**result.record, "dataset": dataset}, indent=1, allow_nan=False))
        return
    click.echo("\n".join(plain(line) for line in result.lines))
    if dataset is not None:
        click.echo(f"in the store: dataset {dataset}")


def _fill(folder: Path, result: Result) -> None:
    """The dataset's files: the result, what was found, the record, the figure."""
    from poliqi.lab.onepage import draw_panels
    from poliqi.lab.store.findings import findings_bytes

    for name, data in result.files.items():
        (folder / name).write_bytes(data)
    if result.findings is not None and "findings.json" not in result.files:
        (folder / "findings.json").write_bytes(findings_bytes(result.findings))
    (folder / "result.json").write_text(json.dumps(dict(result.record), indent=1, allow_nan=False) + "\n")
    if result.page.panels:
        draw_panels(result.page, folder / "figure.svg")
