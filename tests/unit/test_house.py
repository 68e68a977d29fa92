"""The house itself: start-up stays light, every command is documented, every dependency has its line."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

from poliqi.node.site_figures import METRICS
from poliqi.ops.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"numba", "scipy", "matplotlib", "numpy", "cryptography", "apsw", "asyncio", "msgspec"}


def imported_by(code: str) -> set[str]:
    printed = subprocess.run(
        [sys.executable, "-c", f"import sys; {code}; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return {name.split(".")[0] for name in printed.split()}


def test_importing_poliqi_imports_nothing_heavy() -> None:
    assert not HEAVY & imported_by("import poliqi")


def test_help_imports_nothing_heavy() -> None:
    code = (
        "from click.testing import CliRunner; from poliqi.ops.cli import cli; CliRunner().invoke(cli, ['--help'])"
    )
    assert not HEAVY & imported_by(code)


def test_every_command_is_documented() -> None:
    text = "\n".join(page.read_text() for page in (ROOT / "docs").rglob("*.md"))
    missing = [name for name in COMMANDS if f"poliqi {name}" not in text]
    assert not missing


def test_every_metric_is_documented() -> None:
    page = (ROOT / "docs/reference/metrics.md").read_text()
    missing = [m.name for m in METRICS if f"| `{m.name}` | {m.kind} | {m.meaning} |" not in page]
    assert not missing


def test_a_site_imports_no_numerics() -> None:
    assert not {"numba", "scipy", "matplotlib", "llvmlite"} & imported_by("import poliqi.node.site")


def test_every_dependency_has_its_line() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = [*project["dependencies"], *(d for extra in project["optional-dependencies"].values() for d in extra)]
    page = (ROOT / "docs/explanation/dependencies.md").read_text()
    assert not [d for d in named if re.split(r"[<>=]", d)[0] not in page]


def test_the_lock_names_no_host() -> None:
    assert "://" not in (ROOT / "requirements.lock").read_text()
