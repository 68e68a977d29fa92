"""The applications of examples/: each file is read whole, and the two ends of each sector fit together."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from poliqi.apps.dicom.settings import read_dicom
from poliqi.apps.identity import Identity
from poliqi.apps.settings import SaeSettings
from poliqi.apps.stream.terms import Policy
from poliqi.apps.tunnel.settings import read_tunnel
from poliqi.base.ids import SaeId
from poliqi.edge.entropy import OperatingSystemEntropy
from poliqi.ops.sae_toml import load_sae

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
SECTORS = {
    "health": Policy.STRICT,
    "finance": Policy.STRICT,
    "administration": Policy.HYBRID,
    "intelligence": Policy.ITS,
}


def read(sector: str, folder: Path) -> dict[str, SaeSettings]:
    """The applications of a sector, with identities made for the occasion."""
    found: dict[str, SaeSettings] = {}
    for path in sorted((EXAMPLES / sector).glob("*.sae.toml")):
        own = folder / path.name.removesuffix(".sae.toml")
        (own / "contacts").mkdir(parents=True)
        text = path.read_text()
        Identity.make(SaeId(f"{own.name}1"), OperatingSystemEntropy()).write(own / "identity.key")
        for peer in tomllib.loads(text)["peer"]:
            name = Path(peer["contact"]).stem
            contact = Identity.make(SaeId(f"{name}1"), OperatingSystemEntropy()).contact
            (own / peer["contact"]).write_text(contact.text())
        (own / "sae.toml").write_text(text)
        found[own.name] = load_sae(own / "sae.toml")
    return found


@pytest.mark.parametrize("sector", SECTORS)
def test_each_sector_has_its_policy_and_a_page(sector: str, tmp_path: Path) -> None:
    applications = read(sector, tmp_path)
    assert len(applications) >= 2
    for settings in applications.values():
        assert {peer.rule.policy for peer in settings.peers.values()} == {SECTORS[sector]}
    page = (EXAMPLES / sector / "README.md").read_text()
    assert all(f"{name}.sae.toml" in page for name in applications)
    assert SECTORS[sector].value in page


@pytest.mark.parametrize("sector", SECTORS)
def test_everyone_calls_where_the_other_listens(sector: str, tmp_path: Path) -> None:
    applications = read(sector, tmp_path)
    for settings in applications.values():
        for peer in settings.peers.values():
            assert peer.address == applications[peer.sae.removesuffix("1")].listen


def test_routes_of_images_end_at_a_machine(tmp_path: Path) -> None:
    applications = read("health", tmp_path)
    sender, receiver = (read_dicom(applications[name]) for name in ("leonardo", "aria"))
    assert sender is not None
    assert receiver is not None
    for route in sender.routes.values():
        assert route.peer == "aria1"
        assert receiver.nodes[route.ae].takes_from(SaeId("leonardo1"))


@pytest.mark.parametrize(("sector", "caller"), [("finance", "intesa"), ("administration", "bovisa")])
def test_forwards_end_at_a_target(sector: str, caller: str, tmp_path: Path) -> None:
    applications = read(sector, tmp_path)
    for forward in read_tunnel(applications[caller]).forwards:
        targets = read_tunnel(applications[forward.peer.sae.removesuffix("1")])
        assert targets.find(SaeId(f"{caller}1"), forward.target) is not None
