"""Operating an application at two real sites: reload, certificates, figures, and the packaged unit's steps."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from live_saes import LiveSae, live_saes
from live_sites import LiveCity, live_city, poliqi

from bench.sites import POLIQI, START_S, free_ports
from poliqi.edge.identity import CallerKind
from poliqi.edge.pki import Authority
from poliqi.ops.cli import cli

ROOT = Path(__file__).resolve().parents[2]
UNIT = ROOT / "packaging/poliqi-sae.service"
PAGE = ROOT / "docs/how-to/run-an-application.md"
LIMIT_S = 30.0


@pytest.fixture(scope="module")
def city() -> Iterator[LiveCity]:
    with live_city(["aria", "leonardo"], [("aria", "leonardo")]) as found:
        found.block("aria-leonardo", 1, 1 << 20)
        yield found


@pytest.fixture
def saes(city: LiveCity) -> Iterator[dict[str, LiveSae]]:
    """Applications of both sites, not started, with files of their own for each test."""
    with live_saes(city, start=False) as found:
        yield found
    for sae in found.values():
        shutil.rmtree(sae.folder)


def until(what: Callable[[], object]) -> None:
    end = time.monotonic() + LIMIT_S
    while not what():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def said(sae: LiveSae, event: str) -> list[str]:
    return [str(line["text"]) for line in sae.lines() if line["event"] == event]


def reload(sae: LiveSae, text: str, event: str) -> str:
    """Write the file, have it read again, wait for what is said."""
    before = len(said(sae, event))
    sae.toml.write_text(text)
    assert sae.process is not None
    sae.process.send_signal(1)
    until(lambda: len(said(sae, event)) > before)
    return said(sae, event)[-1]


def send(sae: LiveSae, to: str, file: Path) -> int:
    words = ["send", str(file), to, "--sae", str(sae.toml), "--patience", "2"]
    return subprocess.run([*POLIQI, *words], capture_output=True, timeout=60).returncode


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.mark.slow
def test_a_reload_changes_all_or_nothing_and_takes_up_the_first_target(
    saes: dict[str, LiveSae], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=greet, args=(server,), daemon=True).start()
        leonardo, aria = saes["leonardo"], saes["aria"]
        leonardo.start()
        aria.start()
        file = tmp_path / "note.txt"
        file.write_text("first")
        right = aria.toml.read_text()
        alone = right.partition("[[peer]]")[0]
        failed = reload(aria, f'{alone}[adapter.office]\nkind = "wireguard"\npeer = "leonardo"\n', "reload-failed")
        assert "adapter.office" in failed
        assert send(leonardo, "aria", file) == 0  # it is a peer still
        target = f'[[tunnel.target]]\nname = "hi"\naddress = "127.0.0.1:{server.getsockname()[1]}"\n'
        reload(aria, f'{right}{target}peers = ["leonardo"]\n', "reloaded")
        (port,) = free_ports(1)
        words = ["tunnel", "--sae", str(leonardo.toml), "--listen", f"127.0.0.1:{port}", "--to", "aria:hi"]
        near = subprocess.Popen([*POLIQI, *words], stdout=subprocess.DEVNULL)
        try:
            until(lambda: greeted(port))
        finally:
            near.terminate()
            near.wait(LIMIT_S)
        reload(aria, alone, "reloaded")
        assert send(leonardo, "aria", file) != 0


def greet(server: socket.socket) -> None:
    with suppress(OSError):
        while True:
            with server.accept()[0] as connection:
                connection.sendall(b"hi")


def greeted(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as near:
        return near.recv(2) == b"hi"
    return False


@pytest.mark.slow
def test_an_ended_certificate_is_named_and_renewed_while_it_runs(
    city: LiveCity, saes: dict[str, LiveSae], tmp_path: Path
) -> None:
    leonardo, aria = saes["leonardo"], saes["aria"]
    file = tmp_path / "note.txt"
    file.write_text("first")
    authority = Authority(city["aria"].folder / "pki")
    old = authority.issue(CallerKind.SAE, aria.name, datetime.now(UTC) - timedelta(days=100), days=90)
    (port,) = free_ports(1)
    right = aria.toml.read_text().replace("[listen]", f'[listen]\nstatus = "127.0.0.1:{port}"')
    good, key = city["aria"].credentials(aria.name)
    aria.toml.write_text(right.replace(str(good), str(old.chain)).replace(str(key), str(old.key)))
    aria.start()
    leonardo.start()
    assert any("expired on" in line and "poliqi pki issue" in line for line in said(aria, "certificate"))
    assert send(leonardo, "aria", file) != 0
    until(lambda: any(f"certificate {old.chain} ended on" in line for line in said(aria, "refused")))
    assert get(port, "/ready")[0] == 503
    checked = CliRunner().invoke(cli, ["sae", "check", str(aria.toml)])
    assert checked.exit_code == 1
    assert "WARNING: certificate of sae" in checked.stdout

    reload(aria, right, "reloaded")
    assert send(leonardo, "aria", file) == 0
    (received,) = [line for line in aria.lines() if line["event"] == "received"]
    assert (received["peer"], received["files"], received["size_bytes"]) == (leonardo.name, 1, 5)
    assert received["simulated"]
    assert Path(str(received["path"])).read_text(encoding="utf-8") == "first"
    until(lambda: "poliqi_application_site_up 1" in get(port, "/metrics")[1].splitlines())
    assert get(port, "/ready") == (200, "ready\n")
    figures = get(port, "/metrics")[1].splitlines()
    assert f'poliqi_application_received_bytes_total{{peer="{leonardo.name}"}} 5' in figures
    assert 'poliqi_application_streams_total{purpose="send 1"} 1' in figures
    (days,) = [line for line in figures if line.startswith(f'poliqi_certificate_days_left{{file="{good}"}}')]
    assert float(days.split()[-1]) > 0


# ---------------------------------------------------------------- the packaged unit


def unit() -> dict[str, str]:
    pairs = [line.split("=", 1) for line in UNIT.read_text().splitlines() if "=" in line and line[0] != "#"]
    return dict(pairs)


def steps() -> list[list[str]]:
    """The commands of the page that set up the service."""
    block = re.search(r"```shell\n(ln -s .*?)```", PAGE.read_text(), re.DOTALL)
    assert block is not None
    return [shlex.split(line) for line in block[1].splitlines()]


def test_the_page_makes_the_folders_and_the_user_of_the_unit() -> None:
    found, text = unit(), PAGE.read_text()
    user, data = found["User"], f"/var/lib/{found['StateDirectory']}"
    where = Path(found["ExecStart"].split()[-1])
    assert ["useradd", user] == [step[i] for step in steps() for i in (0, -1) if step[0] == "useradd"]
    (new,) = [step for step in steps() if step[4:6] == ["sae", "new"]]
    assert (new[new.index("--folder") + 1], new[new.index("--data") + 1]) == (str(where.parent), data)
    assert all(step[1:3] == ["-u", user] for step in steps() if step[0] == "sudo")
    assert f'[inbox] folder = "{data}/inbox"' in text
    assert '[web] local_role = "operator"' in text


def test_systemd_reads_the_unit() -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed (Debian package systemd)")
    done = subprocess.run([program, "verify", str(UNIT)], capture_output=True, text=True, timeout=60)
    assert [line for line in done.stderr.splitlines() if UNIT.name in line] == []


@pytest.mark.slow
def test_the_steps_of_the_page_make_a_service_that_takes_files(
    city: LiveCity, saes: dict[str, LiveSae], tmp_path: Path
) -> None:
    """Without systemd: as this user, without root's way past modes, and nothing writable but the state's folder."""
    leonardo, aria = saes["leonardo"], saes["aria"]
    before, (port,) = tmp_path / "before", free_ports(1)
    before.mkdir()
    good, key = city["aria"].credentials(aria.name)
    for source, name in ((good, "01-chain.pem"), (key, "01.key"), (city["aria"].ca, None)):
        shutil.copy(source, before / (f"sae-hospital-{name}" if name else "ca.pem"))
    there = {
        "/etc/poliqi-sae": str(tmp_path / "etc/poliqi-sae"),
        "/var/lib/poliqi-sae": str(tmp_path / "var/lib/poliqi-sae"),
        "/tmp/region.pub": str(leonardo.folder / f"{leonardo.name}.pub"),
        "https://kme.leonardo.example:8443": city["aria"].url,
        "sae.aria.example:8460": f"127.0.0.1:{leonardo.port}",
        "hospital": aria.name,
        "ARIA": "leonardo",
    }
    for step in steps():
        words = [there.get(word, word.replace("/etc/poliqi-sae", there["/etc/poliqi-sae"])) for word in step]
        perform(words, before)
    etc = Path(there["/etc/poliqi-sae"])
    toml = etc / "sae.toml"
    text = toml.read_text().replace("0.0.0.0:8460", f"127.0.0.1:{aria.port}")
    text = text.replace("127.0.0.1:8461", f"127.0.0.1:{port}").replace('"viewer"', '"operator"')
    toml.write_text("allow_simulated = true\n" + text)
    own = (etc / f"{aria.name}.pub").read_text()
    (leonardo.folder / f"{aria.name}.pub").write_text(own)  # exchanged by hand
    etc.chmod(0o500)
    notified = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(str(notified))
        supervisor.settimeout(START_S)
        words = shlex.split(unit()["ExecStart"])
        assert words[:2] == ["/usr/bin/env", "poliqi"]
        program = [*modest(), *POLIQI, *words[2:-1], str(toml)]
        service = subprocess.Popen(
            program, env={**os.environ, "NOTIFY_SOCKET": str(notified)}, stdout=subprocess.PIPE, text=True
        )
        try:
            assert supervisor.recv(100) == b"READY=1"
            file = tmp_path / "note.txt"
            file.write_text("first")
            assert send(leonardo, "aria", file) == 0
        finally:
            service.terminate()
            out, _ = service.communicate(timeout=LIMIT_S)
            etc.chmod(0o700)
    (arrived,) = [json.loads(line)["path"] for line in out.splitlines() if '"received"' in line]
    assert Path(arrived).is_relative_to(there["/var/lib/poliqi-sae"])
    assert Path(arrived).read_text(encoding="utf-8") == "first"
    assert service.returncode == 0


def modest() -> list[str]:
    """Before a command: even root keeps to the modes of files."""
    if os.geteuid():
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed (Debian package util-linux)")
    return ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]


def perform(words: list[str], folder: Path) -> None:
    """One step; what needs root or systemd is left to the other tests."""
    match words:
        case ["ln" | "useradd" | "systemctl", *_]:
            return
        case ["install", *rest]:
            if rest[-1] == "/etc/systemd/system/":
                return
            plain = [w for i, w in enumerate(rest) if w not in ("-o", "-g") and rest[i - 1] not in ("-o", "-g")]
            if "-d" in plain:
                for made in plain[plain.index("700") + 1 :]:
                    Path(made).parent.mkdir(parents=True, exist_ok=True)
            subprocess.run(["install", *plain], cwd=folder, check=True, timeout=60)
        case ["sudo", "-u", _, "poliqi", "sae", "check", *_]:
            return  # its settings are those of simulated light only after the steps
        case ["sudo", "-u", _, "poliqi", *rest]:
            poliqi(*rest, *(["--yes"] if "meet" in rest else []))
        case _:
            raise AssertionError(words)
