"""Everything on disk that a demonstration of a city needs: authorities, pads, site.toml, ENDS.toml, control.toml.

```
DIR/city.toml  control.toml  plant.json  demo.json  controller/
DIR/NAME/      site.toml  ends.toml  pki/  kek/  state/  LINK.toml and LINK/ of each link that ends here
               sae.toml  identity.key  contacts/  application/  inbox/ of the site's application
               lab/ at Leonardo and Bovisa: the store of a laboratory
DIR/SAE        what curl needs to be this application: curl -K DIR/SAE https://...
```
"""

from __future__ import annotations

import json
import secrets
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from poliqi.base.ids import KmeId, LinkId, Role
from poliqi.control.city import City, QuantumLink
from poliqi.edge.entropy import OperatingSystemEntropy
from poliqi.edge.identity import CallerKind
from poliqi.edge.pairfile import PairFile, write_private
from poliqi.edge.pairing import install_pair_file
from poliqi.edge.pki import Authority
from poliqi.edge.sitetrust import add_trust
from poliqi.node.demo_applications import make_applications
from poliqi.node.demo_laboratory import LABS
from poliqi.node.plant import SpanState, write_plant

__all__ = [
    "CONTROLLER",
    "HOST",
    "RELEASE_S",
    "DemoFolder",
    "DemoSite",
    "make_demo_folder",
    "ports_of",
    "reserve_ports",
]

CONTROLLER: Final = KmeId("controller")
HOST: Final = "127.0.0.1"
RELEASE_S: Final = 10
"""A quarantine ends by itself after so long of clear blocks: a real link waits for a person."""
_PAD_WORDS: Final = 8192
_APPLICATIONS: Final = {
    "leonardo": ("lab", "Leonardo"),
    "bovisa": ("hospital", "Bovisa"),
    "santa-barbara": ("defence", "Santa Barbara"),
    "intesa": ("bank", "Intesa"),
    "aria": ("region", "ARIA"),
}
"""What a site's application and its place are called; those of other cities by the site."""


@dataclass(frozen=True, slots=True)
class DemoSite:
    """A site of the demonstration: where its files lie, where it listens, which application it serves.

    `place` is what people call it; `streams` and `pages` are where its application listens.
    """

    kme: KmeId
    folder: Path
    application: str
    place: str
    pages: int
    https: int
    peers: int
    status: int
    streams: int

    @property
    def url(self) -> str:
        return f"https://{HOST}:{self.https}"

    @property
    def pages_url(self) -> str:
        """Where people send files."""
        return f"http://{HOST}:{self.pages}/"

    @property
    def has_lab(self) -> bool:
        """Whether a laboratory stands there: with datasets at Leonardo, empty at Bovisa."""
        return self.kme in LABS

    @property
    def lab_url(self) -> str:
        """Where people of the laboratory see its datasets, where there is one."""
        return f"{self.pages_url}lab"

    @property
    def sae_toml(self) -> Path:
        """Of its application."""
        return self.folder / "sae.toml"


@dataclass(frozen=True, slots=True)
class DemoFolder:
    """All of it. `web` is the port of the dashboard."""

    folder: Path
    city: City
    sites: dict[KmeId, DemoSite]
    web: int
    status: int

    @property
    def plant(self) -> Path:
        return self.folder / "plant.json"

    @property
    def control_toml(self) -> Path:
        return self.folder / "control.toml"


def reserve_ports(count: int, held: ExitStack, first: int | None = None, wanted: int = 1) -> list[int]:
    """Ports of this machine that nobody else is given while `held` is open, though a child may listen there.

    From `first` on, the next ones are wanted for the first `wanted` of them, where they are free.
    """
    ports: list[int] = []
    for number in range(count):
        holder = held.enter_context(socket.socket())
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if first is not None and number < wanted and _is_free(first + number):
            holder.bind((HOST, first + number))
        else:
            holder.bind((HOST, 0))
        ports.append(holder.getsockname()[1])
    return ports


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def ports_of(sites: int, links: int) -> tuple[int, int]:
    """How many ports a demonstration needs, and how many of them, the first, people open in a browser."""
    return 3 + 5 * sites + links, 1 + sites


def make_demo_folder(
    folder: Path, city: City, city_text: str, links: Mapping[LinkId, str], ports: list[int]
) -> DemoFolder:
    """Write everything. `links` has the LINK.toml of each link; `ports`: see `ports_of`.

    Raises ConfigError, StoreError.
    """
    left = iter(ports)
    web = next(left)
    pages = [next(left) for _ in city.sites]
    status, door = next(left), next(left)
    sites: dict[KmeId, DemoSite] = {}
    for site, page in zip(city.sites, pages, strict=True):
        application, place = _APPLICATIONS.get(site.kme, (f"app-{site.kme}", site.title))
        (folder / site.kme).mkdir(mode=0o700)
        others = next(left), next(left), next(left), next(left)
        sites[site.kme] = DemoSite(site.kme, folder / site.kme, application, place, page, *others)
    made = DemoFolder(folder, city, sites, web, status)
    (folder / "city.toml").write_text(city_text, encoding="utf-8")
    write_plant(made.plant, {span.span: SpanState() for span in city.spans})
    _make_authorities(made)
    made.control_toml.write_text(_control_toml(made, door), encoding="utf-8")
    ends: dict[KmeId, list[str]] = {kme: [] for kme in sites}
    for link in city.links:
        _make_link(made, link, links[link.link], next(left), ends)
    for site in sites.values():
        (site.folder / "site.toml").write_text(_site_toml(made, site, door), encoding="utf-8")
        head = 'site = "state/ingest.sock"\nplant = "../plant.json"\nallow_simulated = true\n'
        head += f'\n[monitor]\nrelease_after = "{RELEASE_S} s"\n'
        if ends[site.kme]:
            (site.folder / "ends.toml").write_text(head + "".join(ends[site.kme]), encoding="utf-8")
    make_applications(sites.values())
    return made


def _make_authorities(made: DemoFolder) -> None:
    """An authority for each site and one for the controller; each trusts those that it speaks with."""
    now = datetime.now(UTC)
    folders = {site.kme: site.folder for site in made.sites.values()}
    folders[CONTROLLER] = made.folder / "controller"
    folders[CONTROLLER].mkdir(mode=0o700)
    for kme, folder in folders.items():
        authority = Authority.create(folder / "pki", kme, now)
        authority.issue(CallerKind.KME, kme, now, hosts=[HOST, "localhost"])
        if kme in made.sites:
            application = made.sites[kme].application
            issued = authority.issue(CallerKind.SAE, application, now)
            files = {"cert": issued.chain, "key": issued.key, "cacert": folder / "pki" / "ca.pem"}
            text = "".join(f"{name} = {json.dumps(str(path))}\n" for name, path in files.items())
            (made.folder / application).write_text(text, encoding="utf-8")
    for kme, folder in folders.items():
        for other, theirs in folders.items():
            if other != kme:
                pki = theirs / "pki"
                trust = folder / "pki" / "trust"
                add_trust(trust, other, authority=pki / "ca.pem", revoked=pki / "crl.pem", own=kme)


def _make_link(
    made: DemoFolder, link: QuantumLink, link_toml: str, port: int, ends: dict[KmeId, list[str]]
) -> None:
    """Pads, states and the lines of ENDS.toml for both ends. Alice stands at the first one and calls."""
    pair = PairFile.make(link.link, _PAD_WORDS, OperatingSystemEntropy())
    path = made.folder / f"{link.link}.pair"
    write_private(path, pair.encode(), "pair file")
    seed = secrets.randbits(62)
    spans = json.dumps([str(span) for span in link.spans])
    for role, kme, meeting in ((Role.ALICE, link.ends[0], "connect"), (Role.BOB, link.ends[1], "listen")):
        folder = made.sites[kme].folder
        install_pair_file(path, folder / link.link, role, simulated=True, keep=role is Role.ALICE)
        (folder / f"{link.link}.toml").write_text(link_toml, encoding="utf-8")
        ends[kme].append(
            f'\n[[end]]\nlink = "{link.link}.toml"\nrole = "{role.value}"\nstate = "{link.link}"\n'
            f'{meeting} = "{HOST}:{port}"\nseed = {seed}\nspans = {spans}\n'
        )


def _control_toml(made: DemoFolder, door: int) -> str:
    desks = ", ".join(f"{json.dumps(s.place)} = {json.dumps(s.pages_url)}" for s in made.sites.values())
    labs = ", ".join(f"{json.dumps(s.place)} = {json.dumps(s.lab_url)}" for s in made.sites.values() if s.has_lab)
    return f"""controller = "{CONTROLLER}"
city = "city.toml"
state = "controller/state"

[tls]
certificate = "controller/pki/issued/kme-{CONTROLLER}-01-chain.pem"
key = "controller/pki/issued/kme-{CONTROLLER}-01.key"
trust = "controller/pki/trust"

[listen]
sites = "{HOST}:{door}"
status = "{HOST}:{made.status}"
web = "{HOST}:{made.web}"

[web]
local_role = "operator"
desks = {{ {desks} }}
laboratories = {{ {labs} }}

[demo]
plant = "plant.json"
"""


def _site_toml(made: DemoFolder, site: DemoSite, door: int) -> str:
    everyone = json.dumps([s.application for s in made.sites.values()])
    text = f"""site = "{site.kme}"
state = "state"
drain = "2 s"

[kek]
folder = "kek"

[tls]
certificate = "pki/issued/kme-{site.kme}-01-chain.pem"
key = "pki/issued/kme-{site.kme}-01.key"
authority = "pki/ca.pem"
revoked = "pki/crl.pem"
trust = "pki/trust"

[listen]
https = "{HOST}:{site.https}"
peers = "{HOST}:{site.peers}"
status = "{HOST}:{site.status}"
ingest = "state/ingest.sock"

[policy]
origins = ["photons", "simulated"]

[[allow]]
between = {everyone}
origins = ["photons", "simulated"]

[control]
controller = "{CONTROLLER}"
address = "{HOST}:{door}"
low_water = "128 kbit"
block = "16 kbit"
"""
    for other in made.sites.values():
        place = "" if other is site else f'site = "{other.kme}"\n'
        text += f'\n[[sae]]\nid = "{other.application}"\n{place}'
        if other is not site:
            text += f'\n[[peer]]\nsite = "{other.kme}"\naddress = "{HOST}:{other.peers}"\n'
            text += "".join(
                f'[[peer.pool]]\nlink = "{link.link}"\nlow_water = "64 kbit"\ncapacity = "1 Gbit"\n'
                for link in made.city.links_between(site.kme, other.kme)
            )
    return text
