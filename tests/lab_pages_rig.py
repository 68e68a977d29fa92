"""A laboratory's pages over a real store and facility of three tenants, and a desk in memory that sends nothing."""

from __future__ import annotations

import asyncio
import atexit
import re
import shutil
import struct
import tempfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import httpx
from fake_pages_desk import NOW_S, FakePagesDesk

from poliqi.apps.share.receipt import Receipt
from poliqi.base.ids import SaeId
from poliqi.lab.facility.facility import Facility
from poliqi.lab.facility.localtime import instant
from poliqi.lab.facility.records import Category
from poliqi.lab.facility.records import Role as FacilityRole
from poliqi.lab.store.records import Dataset, Kind, Task
from poliqi.lab.store.store import LabStore
from poliqi.ops.lab_web import LabRoom, lab_annex
from poliqi.ops.sae_web import SaePages, Transfer, UploadLimits
from poliqi.ops.web import DashboardSettings, Role, TokenEntry, new_token, read_tokens

__all__ = ["CURVE", "NOW", "PEOPLE", "LabDeskInMemory", "LabRig", "lab_rig", "png", "svg"]

NOW = int(NOW_S)
"""A Monday, 2026-09-21, 16:13 in Milan."""
CURVE = "# simulated sphere, q in 1/nm, intensity in 1/cm\n" + "".join(
    f"{0.1 * (n + 1):.4g} {1000.0 / (n + 1) ** 2:.6g} {3.0 / (n + 1):.4g}\n" for n in range(60)
)
PEOPLE = {
    "anna": (Role.OPERATOR, "polimi", FacilityRole.OPERATOR),
    "luca": (Role.LAB_USER, "polimi", FacilityRole.MEMBER),
    "carla": (Role.LAB_USER, "acme", FacilityRole.MEMBER),
    "dario": (Role.OPERATOR, "beta", FacilityRole.MEMBER),
}
"""Login: role of the token, tenant, role at the facility. Dario's token promises more than his tenant may have."""


def png(width: int = 4, height: int = 3) -> bytes:
    """A picture."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = b"".join(b"\0" + bytes(3 * min(width, 1000)) for _ in range(min(height, 100)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def svg(inner: str = "") -> bytes:
    """A drawing, with something in it."""
    head = '<svg xmlns="http://www.w3.org/2000/svg" width="120" height="60">'
    return f'{head}<rect width="120" height="60" fill="teal"/>{inner}</svg>'.encode()


class LabDeskInMemory(FakePagesDesk):
    """`arrive` gives a transfer its receipt."""

    def begin(
        self,
        files: Sequence[Path],
        peer: SaeId,
        one_time: bool,
        who: str,
        done: Callable[[], None],
        *,
        size_bytes: int | None = None,
        on_receipt: Callable[[Receipt], None] | None = None,
    ) -> str:
        named = [path for file in files for path in ([file] if file.is_file() else sorted(file.rglob("*")))]
        made = super().begin([path for path in named if path.is_file()], peer, one_time, who, done)
        self.told[made] = ([file.name for file in files], size_bytes, on_receipt)
        return made

    def transfer(self, transfer: str) -> Transfer | None:
        return next((t for t in self.now.transfers if t.id == transfer), None)

    @property
    def told(self) -> dict[str, Any]:
        return self.__dict__.setdefault("_told", {})


@dataclass
class LabRig:
    """Pages that are asked without a network; `tokens` by login."""

    pages: SaePages
    desk: LabDeskInMemory
    store: LabStore
    room: LabRoom
    tokens: dict[str, str]
    datasets: dict[str, list[Dataset]] = field(default_factory=dict)

    def ask(self, path: str, method: str = "GET", who: str = "", **more: Any) -> httpx.Response:
        """As somebody with a token, or as whoever sits at this machine."""

        async def go() -> httpx.Response:
            transport = httpx.ASGITransport(self.pages, client=("192.0.2.7", 4711))
            headers = dict(more.pop("headers", {}))
            if who:
                headers["authorization"] = f"Bearer {self.tokens[who]}"
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                return await client.request(method, path, headers=headers, **more)

        return asyncio.run(go())

    def form_token(self, path: str, who: str = "") -> str:
        found = re.search(r'name="token" value="([0-9a-f]{64})"', self.ask(path, who=who).text)
        assert found, path
        return found[1]

    def close(self) -> None:
        asyncio.run(self.pages.close())
        self.room.close()


def fill(root: Path, folder: Path) -> tuple[LabStore, dict[str, list[Dataset]]]:
    """A store with something of everything, and its facility."""
    store = LabStore.create(root, "Politecnico di Milano", "polimi")
    for name in ("acme", "beta"):
        store.add_tenant(name)
    facility = Facility.create(
        root, tenant="polimi", legal_name="Politecnico di Milano", login="anna", name="Anna", now_s=lambda: NOW
    )
    with facility:
        anna = facility.user("anna")
        facility.people.add_tenant("acme", Category.COMPANY, "ACME S.p.A.", address="Via Roma 1, Milano", by=anna)
        facility.people.add_tenant("beta", Category.COMPANY, "Beta S.r.l.", by=anna)
        for login, (_, tenant, role) in PEOPLE.items():
            if login != "anna":
                facility.people.add_user(login, login.title(), tenant, role, by=anna)
        facility.instruments.put(
            "saxs", description="Small-angle X-ray scattering", place="Leonardo, building 8",
            opening="mon-fri 08:00-20:00", is_cofunded=True, by=anna,
        )  # fmt: skip
        for category, cents in ((Category.OWN, 0), (Category.COMPANY, 12_000)):
            facility.tariffs.add("saxs", category, date(2026, 1, 1), cents, by=anna)
            facility.settings.set_vat(category, 2200, by=anna)
        for login in PEOPLE:
            facility.people.add_training(login, "saxs", date(2027, 12, 31), by=anna)
        for login, begin, end, title in (
            ("luca", "2026-09-22 09:00", "2026-09-22 11:30", "spheres"),
            ("carla", "2026-09-22 14:00", "2026-09-22 16:00", "secret alloy"),
            ("dario", "2026-09-23 09:00", "2026-09-23 10:00", "resin"),
        ):
            user = facility.user(login)
            facility.book("saxs", instant(begin), instant(end), by=user, title=title)
    datasets: dict[str, list[Dataset]] = {}
    files = {
        "curve.csv": CURVE.encode(),
        "fit.svg": svg(),
        "image.png": png(),
        "notes <b>.txt": b"<script>alert(1)</script>",
    }
    for tenant in ("polimi", "acme", "beta"):
        source = folder / tenant
        source.mkdir()
        for name, data in files.items():
            (source / name).write_bytes(data)
        (source / "own.bin").write_bytes(tenant.encode() * 1000)
        with store.tenant(tenant) as held:
            sample = held.add_sample(f"alloy of {tenant}", properties={"diameter_nm": "10"})
            device = held.add_instrument("Xeuss", place="Leonardo")
            first = held.register(
                [source], title=f"Secret <i>frames</i> of {tenant}", kind=Kind.SIMULATED, sample=sample.id,
                instrument=device.id, description="two lines\nof words", keywords=["saxs", tenant], creator="Anna",
                licence="CC-BY-4.0", made_unix_s=NOW - 7200,
            )  # fmt: skip

            def work(into: Path) -> None:
                (into / "sizes.csv").write_text(CURVE)
                (into / "sizes.svg").write_bytes(svg())

            task = Task(
                "poliqi lab xray saxs", "0.1.0", {"model": "sphere"}, (first.id,), title=f"Sizes of {tenant}"
            )
            second, _ = held.run(task, work)
            datasets[tenant] = [first, second]
    return store, datasets


@cache
def _filled() -> tuple[Path, dict[str, list[Dataset]]]:
    """Made once in a process: making it waits for the disk, copying does not."""
    folder = Path(tempfile.mkdtemp(prefix="poliqi-lab-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    _, datasets = fill(folder / "store", folder)
    return folder / "store", datasets


def lab_rig(
    folder: Path,
    open_role: Role | None = Role.OPERATOR,
    here: str | None = None,
    forward: Mapping[str, str] | None = None,
) -> LabRig:
    """Pages of a house with two companies. `forward`: peers that it serves, each with its tenant."""
    made, datasets = _filled()
    shutil.copytree(made, folder / "store")
    store = LabStore.open(folder / "store")
    tokens, entries = tokens_of(folder)
    desk = LabDeskInMemory()
    room = LabRoom(store, desk, here=here, forward=lambda: forward or {}, wall=lambda: float(NOW))
    settings = DashboardSettings(open_role=open_role, tokens=entries)
    pages = SaePages(
        desk,
        folder / "spool",
        settings,
        lambda _: None,
        UploadLimits(),
        wall=lambda: float(NOW),
        annex=lab_annex(room),
    )
    return LabRig(pages, desk, store, room, tokens, datasets)


def tokens_of(folder: Path) -> tuple[dict[str, str], tuple[TokenEntry, ...]]:
    """A token for each of PEOPLE and for a stranger."""
    made = {login: new_token(login, role) for login, (role, _, _) in PEOPLE.items()}
    made["nobody"] = new_token("nobody", Role.LAB_USER)
    path = folder / "tokens.toml"
    path.write_text("".join(lines for _, lines in made.values()))
    path.chmod(0o600)
    return {login: token for login, (token, _) in made.items()}, read_tokens(path)
