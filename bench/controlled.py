"""A city of real processes under a real controller; its quantum devices are played: reports and blocks."""

from __future__ import annotations

import json
import math
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from bench.feeder import Feeder, block_key
from bench.sites import POLIQI, START_S, LiveCity, LiveSite, free_ports, live_city, poliqi
from poliqi.control.lightframe import encode_light
from poliqi.control.messages import LightState, LinkReport

__all__ = ["CONTROLLER", "ControlledCity", "Device", "controlled_city", "plan"]

CONTROLLER = "city-control"
_REPORT_S = 0.5
_RATE_BPS = 400_000.0


class _Reporter(Feeder):
    """Tells one site of the light of one link."""

    def tell(self, report: LinkReport) -> None:
        frame = encode_light(report)
        self._socket.sendall(len(frame).to_bytes(4, "big") + frame)
        self._frame()


class Device:
    """Both ends of a link: reports each half second, and a block for both sites when asked."""

    def __init__(self, link: str, ends: tuple[LiveSite, LiveSite]) -> None:
        self.link = link
        self._ends = ends
        self._state = LightState.LIT
        self._blocks = 0
        self._changed = threading.Condition()
        self._is_closed = False
        self._threads = [threading.Thread(target=self._report, args=(end,), daemon=True) for end in ends]
        for thread in self._threads:
            thread.start()

    @property
    def state(self) -> LightState:
        return self._state

    def set(self, state: LightState) -> None:
        """Light comes, or no longer: both sites are told at once."""
        with self._changed:
            self._state = state
            self._changed.notify_all()

    def _report(self, end: LiveSite) -> None:
        """Tell one site, for ever; one that restarts is told anew."""
        while not self._is_closed:
            try:
                reporter = _Reporter(end.state / "ingest.sock")
            except OSError:
                time.sleep(0.05)
                continue
            with suppress(OSError, ConnectionError):
                self._tell(reporter)
            reporter.close()

    def _tell(self, reporter: _Reporter) -> None:
        while not self._is_closed:
            state = self._state
            is_lit = state is LightState.LIT
            reporter.tell(
                LinkReport(
                    link=self.link,
                    state=state,
                    key_rate_bps=_RATE_BPS if is_lit else 0.0,
                    qber_key=0.008 if is_lit else None,
                    qber_test=0.015 if is_lit else None,
                    loss_db=4.2 if is_lit else None,
                    blocks=self._blocks,
                )
            )
            with self._changed:
                if state is self._state and not self._is_closed:
                    self._changed.wait(_REPORT_S)

    def make(self, size: int) -> bytes:
        """A block of key at both sites."""
        self._blocks += 1
        for end in self._ends:
            self._feed(end, size)
        return block_key(self.link, self._blocks, size)

    def _feed(self, end: LiveSite, size: int) -> None:
        """Hand the latest block over; to a site that starts anew once more."""
        give_up = time.monotonic() + START_S
        while True:
            try:
                end.feed(self.link, self._blocks, size)
            except OSError:
                assert time.monotonic() < give_up, f"{end.name} takes no blocks"
                if end.feeder is not None:
                    end.feeder.close()
                end.feeder = None
                time.sleep(0.05)
            else:
                return

    def close(self) -> None:
        self._is_closed = True
        with self._changed:
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(5)


@dataclass
class ControlledCity:
    """Sites, devices and controller. `city` starts the sites; the controller may be stopped and started alone."""

    sites: LiveCity
    folder: Path
    devices: dict[str, Device] = field(default_factory=dict)
    controller: subprocess.Popen[bytes] | None = None
    ports: dict[str, int] = field(default_factory=dict)

    @property
    def toml(self) -> Path:
        return self.folder / "control.toml"

    @property
    def log(self) -> Path:
        return self.folder / "log.jsonl"

    def start_controller(self, *, wait: bool = True) -> None:
        with self.log.open("ab") as log:
            self.controller = subprocess.Popen(
                [*POLIQI, "control", "run", str(self.toml), "--json"],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        if wait:
            self.wait("ready")

    def stop_controller(self, *, kill: bool = False) -> None:
        if self.controller is not None:
            self.controller.kill() if kill else self.controller.terminate()
            self.controller.wait(30)
            self.controller = None

    def lines(self) -> list[dict[str, object]]:
        """What the controller has said."""
        text = self.log.read_text() if self.log.exists() else ""
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def wait(
        self, event: str, *, after: int = 0, timeout_s: float = START_S, **values: object
    ) -> dict[str, object]:
        """The first line of this event (with these values) among those after the first `after`."""
        end = time.monotonic() + timeout_s
        while True:
            for line in self.lines()[after:]:
                if line["event"] == event and values.items() <= line.items():
                    return line
            running = self.controller is not None and self.controller.poll() is None
            assert time.monotonic() < end and running, f"no {event}: {self.log.read_text()[-3000:]}"
            time.sleep(0.01)

    def play(self, a: str, b: str) -> Device:
        """Devices on the link of two sites begin to work."""
        device = self.devices[f"{a}-{b}"] = Device(f"{a}-{b}", (self.sites[a], self.sites[b]))
        return device

    def wait_table(self, timeout_s: float = START_S) -> None:
        """Wait until every site follows routes of the controller."""
        end = time.monotonic() + timeout_s
        while not all((site.state / "routes.json").exists() for site in self.sites.sites.values()):
            assert time.monotonic() < end, self.log.read_text()[-3000:]
            time.sleep(0.02)


def _control_extra(port: int) -> str:
    return f"""
[control]
controller = "{CONTROLLER}"
address = "127.0.0.1:{port}"
low_water = "128 kbit"
capacity = "10 Mbit"
block = "32 kbit"
"""


def plan(names: Sequence[str], links: Sequence[tuple[str, str]], demands: str) -> str:
    """A plan on a small circle; every figure in it is invented."""
    text = '[city]\nname = "Test"\nsimulated = true\n'
    for i, name in enumerate(names):
        angle = 2 * math.pi * i / len(names)
        place = [45.48 + 0.02 * math.sin(angle), 9.19 + 0.02 * math.cos(angle)]
        text += f'[[site]]\nname = "{name}"\ntitle = "Site {name}"\ncoordinates = {place}\n'
    for a, b in links:
        text += f'[[span]]\nbetween = ["{a}", "{b}"]\nlength = "6 km"\nattenuation = "0.3 dB/km"\n'
        text += 'connectors = "2 dB"\ninvented = true\n'
        text += f'[[link]]\nbetween = ["{a}", "{b}"]\ndevice = "snspd"\n'
    milan = (Path(__file__).parents[1] / "examples" / "milan" / "city.toml").read_text()
    device = milan[milan.index("[device.snspd]") : milan.index("# ---- demands")]
    return text + device + demands


@contextmanager
def controlled_city(
    names: Sequence[str], links: Sequence[tuple[str, str]], *, demands: str = "", start: bool = True
) -> Iterator[ControlledCity]:
    """Sites that all know each other, devices on `links` named "x-y", and the controller."""
    sites_port, status, web = free_ports(3)
    pairs = list(links)
    with live_city(names, pairs, extra=_control_extra(sites_port), start=False, are_all_peers=True) as city:
        folder = city.folder / "control"
        folder.mkdir(mode=0o700)
        poliqi("pki", "init", folder / "pki", "--site", CONTROLLER)
        poliqi("pki", "issue", folder / "pki", "--kme", CONTROLLER, "--host", "127.0.0.1")
        for site in city.sites.values():
            poliqi("pki", "trust", folder / "pki", site.ca, "--site", site.name)
            poliqi("pki", "trust", site.folder / "pki", folder / "pki" / "ca.pem", "--site", CONTROLLER)
        (folder / "city.toml").write_text(plan(names, pairs, demands))
        (folder / "control.toml").write_text(
            f"""
controller = "{CONTROLLER}"
city = "city.toml"
state = "state"
[tls]
certificate = "pki/issued/kme-{CONTROLLER}-01-chain.pem"
key = "pki/issued/kme-{CONTROLLER}-01.key"
trust = "pki/trust"
[listen]
sites = "127.0.0.1:{sites_port}"
status = "127.0.0.1:{status}"
web = "127.0.0.1:{web}"
"""
        )
        whole = ControlledCity(city, folder, ports={"sites": sites_port, "status": status, "web": web})
        try:
            if start:
                whole.start_controller(wait=False)
                city.start()
                whole.wait("ready")
                for a, b in pairs:
                    whole.play(a, b)
            yield whole
        finally:
            for device_ in whole.devices.values():
                device_.close()
            whole.stop_controller(kill=True)
