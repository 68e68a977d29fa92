"""[dicom] of a SAE.toml."""

from __future__ import annotations

import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from poliqi.apps.dicom.settings import is_ae_title, is_uid, read_dicom
from poliqi.base.errors import ConfigError
from poliqi.edge.network import Address

GOOD = """
ae = "GW_LEONARDO"
listen = "10.1.0.9:11112"
calling = ["CT1", "PACS_LEONARDO"]
largest_mb = 100
[[route]]
ae = "PACS_BOVISA"
to = "Bovisa"
[[node]]
ae = "CT1"
address = "10.1.0.5:104"
from = ["Bovisa"]
"""


def file(text: str | None) -> Any:
    """As much of SaeSettings as is read."""
    peers = {
        "Bovisa": SimpleNamespace(sae="hospital-bovisa", address=Address("h", 1)),
        "Deaf": SimpleNamespace(sae="deaf", address=None),
    }
    extra = {} if text is None else {"dicom": tomllib.loads(text)}
    return SimpleNamespace(file=Path("sae.toml"), state=Path("/state"), extra=extra, peer=peers.get)


def test_a_good_table() -> None:
    found = read_dicom(file(GOOD))
    assert found is not None
    assert found.ae == "GW_LEONARDO"
    assert found.listen == Address("10.1.0.9", 11112)
    assert found.folder == Path("/state/dicom")
    assert found.routes["PACS_BOVISA"].peer == "hospital-bovisa"
    assert found.nodes["CT1"].takes_from(found.routes["PACS_BOVISA"].peer)
    assert found.largest_bytes == 100_000_000


def test_no_table_is_no_gateway() -> None:
    assert read_dicom(file(None)) is None


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("CT1", "NAME_OF_17_LETTERS"), "calling"),
        (('ae = "GW_LEONARDO"', 'ae = "back\\\\slash"'), "backslash"),
        (('"Bovisa"\n[[node]]', '"Nowhere"\n[[node]]'), "route.to"),
        (('"Bovisa"\n[[node]]', '"Deaf"\n[[node]]'), "no address"),
        (('from = ["Bovisa"]', 'from = ["Nowhere"]'), "node.from"),
        (('listen = "10.1.0.9:11112"', ""), "routes"),
        (('calling = ["CT1", "PACS_LEONARDO"]', ""), "calling"),
        (("largest_mb = 100", "largest_mb = 0"), "largest_mb"),
        (("largest_mb = 100", "biggest = 1"), "biggest"),
        (("10.1.0.5:104", "10.1.0.5"), "node.address"),
        (("largest_mb = 100", 'transfer_syntaxes = ["JPEG"]'), "transfer_syntaxes"),
        (('[[node]]\nae = "CT1"', '[[route]]\nae = "PACS_BOVISA"\nto = "Bovisa"\n[[node]]\nae = "CT1"'), "twice"),
    ],
)
def test_what_cannot_be_is_refused_by_name(change: tuple[str, str], named: str) -> None:
    text = GOOD.replace(*change, 1)
    assert text != GOOD
    with pytest.raises(ConfigError, match=named) as caught:
        read_dicom(file(text))
    assert "sae.toml: [dicom]" in str(caught.value)


@pytest.mark.parametrize("text", ["A", "CT 1", "PACS_BOVISA", "x" * 16, "A-Z.09!"])
def test_ae_titles(text: str) -> None:
    assert is_ae_title(text)


@pytest.mark.parametrize("text", ["", " A", "A ", "x" * 17, "A\\B", "Ä", "A\nB", "A\0"])
def test_no_ae_titles(text: str) -> None:
    assert not is_ae_title(text)


def test_uids() -> None:
    assert is_uid("1.2.840.10008.1.2")
    assert not any(is_uid(text) for text in ("", "1.2a", "1." * 33, "1.2\n", "../1"))
