"""The applications of a demonstration: an identity for each, contacts of all others, sae.toml."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from poliqi.apps.identity import Identity
from poliqi.base.ids import SaeId
from poliqi.edge.entropy import OperatingSystemEntropy
from poliqi.node.demo_laboratory import HERE, make_laboratory

if TYPE_CHECKING:
    from poliqi.node.demo_files import DemoSite

__all__ = ["make_applications"]

_HOST: Final = "127.0.0.1"


def make_applications(sites: Collection[DemoSite]) -> None:
    """Write what each needs; all know all. Raises ConfigError, StoreError, OSError."""
    entropy = OperatingSystemEntropy()
    contacts: dict[str, str] = {}
    for site in sites:
        identity = Identity.make(SaeId(site.application), entropy)
        identity.write(site.folder / "identity.key")
        contacts[site.application] = identity.contact.text()
    for site in sites:
        (site.folder / "contacts").mkdir(mode=0o700)
        for other in sites:
            if other is not site:
                path = site.folder / "contacts" / f"{other.application}.pub"
                path.write_text(contacts[other.application], encoding="utf-8")
        site.sae_toml.write_text(_sae_toml(site, sites), encoding="utf-8")
        if site.has_lab:
            make_laboratory(site.kme, site.folder / "lab", site.place)


def _sae_toml(site: DemoSite, sites: Collection[DemoSite]) -> str:
    issued = f"pki/issued/sae-{site.application}-01"
    text = f"""identity = "identity.key"
state = "application"
allow_simulated = true

[site]
url = "{site.url}"
certificate = "{issued}-chain.pem"
key = "{issued}.key"
authority = "pki/ca.pem"

[listen]
streams = "{_HOST}:{site.streams}"
web = "{_HOST}:{site.pages}"

[web]
place = {json.dumps(site.place)}
local_role = "operator"
"""
    if site.has_lab:
        text += f'\n[lab]\nstore = "lab"\nhere = "{HERE}"\ntake_in = true\n'
    for other in sites:
        if other is not site:
            text += (
                f'\n[[peer]]\ncontact = "contacts/{other.application}.pub"\nplace = {json.dumps(other.place)}\n'
                f'address = "{_HOST}:{other.streams}"\n'
            )
    return text
