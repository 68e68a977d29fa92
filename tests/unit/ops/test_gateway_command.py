"""`poliqi gateway dicom`: what people see of a queue."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from poliqi.apps.dicom.images import Answer, Head, Outcome
from poliqi.apps.dicom.queue import Queue
from poliqi.apps.dicom.store import Store
from poliqi.apps.identity import Identity
from poliqi.base.errors import ConfigError, DataRefused, StoreError
from poliqi.base.ids import SaeId
from poliqi.edge.entropy import OperatingSystemEntropy
from poliqi.ops.cli import cli

FILE = """
identity = "identity.key"
[site]
url = "https://127.0.0.1:1"
certificate = "c.pem"
key = "k.pem"
authority = "a.pem"
[[peer]]
contact = "region.pub"
place = "ARIA"
address = "127.0.0.1:1"
"""
DICOM = """
[dicom]
ae = "GW"
listen = "127.0.0.1:0"
calling = ["CT_1"]
timeout_s = 1
[[dicom.route]]
ae = "PACS_ARIA"
to = "ARIA"
[[dicom.node]]
ae = "CT_1"
address = "127.0.0.1:1"
"""


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    Identity.make(SaeId("hospital"), OperatingSystemEntropy()).write(tmp_path / "identity.key")
    contact = Identity.make(SaeId("region"), OperatingSystemEntropy()).contact
    (tmp_path / "region.pub").write_text(contact.text())
    path = tmp_path / "sae.toml"
    path.write_text(FILE + DICOM)
    return path


@pytest.fixture
def refused(toml: Path) -> str:
    """A queue with one refused and one waiting image; the name of the first."""
    store = Store(toml.parent / "state" / "dicom")
    queue = Queue(store, 1_000_000)
    names = [
        queue.take(
            Head("PACS_ARIA", "1.2", f"1.3.{i}", "1.4"), SaeId("region"), "CT_1", b"p", memoryview(b"pixels")
        )
        for i in range(2)
    ]
    queue.settle(Answer(names[0], Outcome.REFUSED, 0xC000, "PACS_ARIA answers 0xC000"))
    store.close()
    return names[0]


def run(toml: Path, *words: str) -> Result:
    return CliRunner().invoke(cli, ["gateway", "dicom", *words, "--sae", str(toml)])


def test_status_counts(toml: Path, refused: str) -> None:
    assert "PACS_ARIA (region): 1 wait (0.0 MB, the oldest since " in run(toml, "status").output
    (row,) = json.loads(run(toml, "status", "--json").output)
    assert (row["ae"], row["waiting"], row["refused"], row["delivered"]) == ("PACS_ARIA", 1, 1, 0)


def test_queue_lists_what_was_refused_and_why(toml: Path, refused: str) -> None:
    assert refused[:8] in run(toml, "queue", "--refused").output
    row = json.loads(run(toml, "queue", "--refused", "--json").output)
    assert (row["id"], row["status"], row["said"]) == (refused, 0xC000, "PACS_ARIA answers 0xC000")
    assert Path(row["file"]).read_bytes() == b"ppixels"
    assert refused[:8] not in run(toml, "queue").output


def test_retry_makes_it_wait_again(toml: Path, refused: str) -> None:
    assert run(toml, "retry", "f" * 32 if refused[0] != "f" else "0" * 32).output == "0 images wait again\n"
    assert run(toml, "retry", refused[:6]).output == "1 images wait again\n"
    assert run(toml, "queue", "--refused").output == "none\n"


def test_discard_asks_and_deletes(toml: Path, refused: str) -> None:
    asked = CliRunner().invoke(cli, ["gateway", "dicom", "discard", refused, "--sae", str(toml)], input="n\n")
    assert asked.exit_code == 1
    assert run(toml, "queue", "--refused").output != "none\n"
    assert run(toml, "discard", refused, "--yes").exit_code == 0
    assert run(toml, "queue", "--refused").output == "none\n"
    assert isinstance(run(toml, "discard", refused, "--yes").exception, DataRefused)


def test_a_gateway_that_never_ran_is_said_to_be_so(toml: Path) -> None:
    assert isinstance(run(toml, "status").exception, StoreError)


def test_an_application_without_a_gateway_is_said_to_be_so(toml: Path) -> None:
    toml.write_text(FILE, encoding="utf-8")
    found = run(toml, "status").exception
    assert isinstance(found, ConfigError)
    assert "[dicom]" in str(found)


# pynetdicom leaves a socket that found nobody to the garbage collector
@pytest.mark.filterwarnings("ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning")
def test_check_tells_machines_that_do_not_answer(toml: Path) -> None:
    pytest.importorskip("pynetdicom", reason="the extra `health` is not installed")
    found = run(toml, "check", "--json")
    assert found.exit_code == 1
    record = json.loads(found.output)
    assert record["routes"] == [{"ae": "PACS_ARIA", "to": "region"}]
    assert [(n["ae"], n["answers"]) for n in record["nodes"]] == [("CT_1", False)]


def test_looking_at_a_queue_imports_no_dicom_library(toml: Path, refused: str) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from click.testing import CliRunner; from poliqi.ops.cli import cli;"
        f"CliRunner().invoke(cli, ['gateway', 'dicom', 'status', '--sae', {str(toml)!r}]);"
        "print('pydicom' in sys.modules, 'pynetdicom' in sys.modules, 'numba' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["False", "False", "False"]
