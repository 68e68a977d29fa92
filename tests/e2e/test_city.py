"""Sites, link ends and a controller as real processes: keys go on while fibres, sites and the controller fail."""

from __future__ import annotations

import base64
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from demo_rig import LiveDemo, Requests

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def city() -> Iterator[LiveDemo]:
    demo = LiveDemo()
    try:
        demo.ready()
        yield demo
    finally:
        code = demo.end()
        left = [pid for pid in demo.pids() if Path(f"/proc/{pid}").exists()]
        demo.remove()
    assert code == 0
    assert not left, "nothing is left behind"


def page(city: LiveDemo, path: str = "/") -> str:
    at = city.of("ready")[0]["dashboard"].removeprefix("http://").rstrip("/")
    connection = http.client.HTTPConnection(at, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        text = answer.read().decode()
        return text if answer.status == 200 else ""
    except OSError:
        return ""
    finally:
        connection.close()


def test_every_two_applications_share_keys_and_the_screen_says_that_they_protect_nothing(city: LiveDemo) -> None:
    ready = city.ready()
    assert ready["sites"] == 5 and len(ready["links"]) == 5
    with city.client("defence") as one, city.client("lab") as two:  # no fibre between these two
        given = one.get_key("lab")
        assert two.get_named_key("defence", given.key_id).value == given.value
        assert len(given.grade["paths"][0]) >= 3
        assert given.grade["simulated"] is True
    assert "simulated" in page(city).lower()


def test_the_printed_line_fetches_one_key_at_both_sites(city: LiveDemo) -> None:
    done = subprocess.run(["bash", "-c", city.ready()["curl"]], capture_output=True, text=True, timeout=30)
    [given], [taken] = (json.loads(text)["keys"] for text in (done.stderr, done.stdout))
    assert (given["key_ID"], given["key"]) == (taken["key_ID"], taken["key"])
    assert len(base64.b64decode(given["key"])) == 32


def test_a_file_goes_by_command_and_by_the_pages_of_its_site(city: LiveDemo, tmp_path: Path) -> None:
    ready, content = city.ready(), os.urandom(300_000)
    (tmp_path / "by-command.bin").write_bytes(content)
    words = ["send", str(tmp_path / "by-command.bin"), ready["receiver"], "--sae", ready["sender"], "--json"]
    sent = subprocess.run([sys.executable, "-m", "poliqi", *words], capture_output=True, text=True, timeout=60)
    assert sent.returncode == 0, sent.stderr
    with httpx.Client(base_url=ready["pages"]["Leonardo"], trust_env=False) as here:
        begun = here.post("/api/uploads", json={"name": "by-page.bin", "size": len(content)}).json()
        kind = {"content-type": "application/octet-stream"}
        here.put(f"/api/uploads/{begun['upload']}", params={"at": 0}, content=content, headers=kind)
        here.post("/api/send", json={"uploads": [begun["upload"]], "peer": "hospital"}).raise_for_status()
    with httpx.Client(base_url=ready["pages"]["Bovisa"], trust_env=False) as there:

        def arrived() -> dict[str, Any] | None:
            found = {item["name"]: item for item in there.get("/api/inbox").json()}
            return found if found.keys() >= {"by-command.bin", "by-page.bin"} else None

        for item in city.wait(arrived, "both files at the other site").values():
            assert item["simulated"] is True
            assert there.get(f"/inbox/{item['id']}/files/0").content == content
    assert ready["pages"]["Leonardo"] in page(city, "/send")
    assert "by-page.bin" not in "".join(path.read_text(errors="replace") for path in controller_files(city))


def controller_files(city: LiveDemo) -> list[Path]:
    return [path for path in (city.folder / "controller").rglob("*") if path.is_file()]


def test_keys_go_on_while_a_fibre_is_cut_and_the_alarm_names_it(city: LiveDemo) -> None:
    with Requests(city, "lab", "region") as asking:
        city.wait(lambda: len(asking.keys) > 3, "keys before the cut")
        city.command("cut", "aria-leonardo")
        dark = city.wait(lambda: city.of("light", link="aria-leonardo"), "darkness")[-1]
        assert "SIMULATED" in dark["dark"]
        alarm = city.wait(lambda: [r for r in city.of("alarm") if "aria-leonardo" in r["text"]], "an alarm")[0]
        before = len(asking.keys)
        city.wait(lambda: len(asking.keys) > before + 20, "keys after the cut")
        city.command("mend", "aria-leonardo")
        city.wait(lambda: city.of("light", link="aria-leonardo", dark=None), "light")
    assert not asking.failures
    assert "cut" in alarm["text"]
    assert len(set(asking.keys)) == len(asking.keys)


def test_a_browser_cuts_a_fibre_and_sees_the_alarm_with_its_cause_and_the_new_route(city: LiveDemo) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the extra 'test'")
    if not os.access(CHROMIUM, os.X_OK):
        pytest.skip("no Chromium on this machine")
    url = city.of("ready")[0]["dashboard"].rstrip("/")
    with playwright.sync_playwright() as made, Requests(city, "lab", "hospital") as asking:
        browser = made.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        watching, acting = browser.new_page(), browser.new_page()
        try:
            watching.goto(f"{url}/", wait_until="domcontentloaded")
            acting.goto(f"{url}/links/leonardo-bovisa", wait_until="domcontentloaded")
            acting.click("a[href^='/confirm/cut/leonardo-bovisa'], form[action*='cut'] button")
            acting.click("form button")
            watching.get_by_text("Fibre leonardo-bovisa is cut").first.wait_for(timeout=20_000)  # without a reload
            acting.goto(f"{url}/events", wait_until="domcontentloaded")
            acting.get_by_text(
                "keys between bovisa and leonardo now go over bovisa > santa-barbara"
            ).first.wait_for(timeout=20_000)
        finally:
            browser.close()
            city.command("mend", "leonardo-bovisa")
        city.wait(lambda: [r for r in city.of("alarm") if r["alarm"] == "alarm-cleared"], "the end of the alarm")
    assert not asking.failures


def test_listening_on_a_fibre_is_noticed(city: LiveDemo) -> None:
    told = len(city.of("alarm"))
    city.command("listen", "santa-barbara-intesa")

    def named() -> list[str]:
        return [r["text"] for r in city.of("alarm")[told:] if "santa-barbara-intesa" in r["text"]]

    city.wait(named, "an alarm")
    city.command("mend", "santa-barbara-intesa")


def test_keys_go_on_while_a_site_on_the_way_is_killed(city: LiveDemo) -> None:
    ready = len(city.of("site", process="site bovisa"))
    with Requests(city, "lab", "region") as asking:
        city.wait(lambda: asking.keys, "keys before")
        city.kill("site bovisa")
        city.wait_again("site bovisa", "site", ready)
        before = len(asking.keys)
        city.wait(lambda: len(asking.keys) > before + 10, "keys after")
    assert not asking.failures
    with city.client("lab") as one, city.client("hospital") as two:
        end = time.monotonic() + 40
        while True:  # the site that came back serves keys again
            try:
                given = one.get_key("hospital")
                assert two.get_named_key("lab", given.key_id).value == given.value
                return
            except Exception:
                assert time.monotonic() < end
                time.sleep(0.2)


def test_keys_go_on_without_the_controller_and_it_comes_back(city: LiveDemo) -> None:
    ready = len(city.of("controller", process="controller"))
    with Requests(city, "lab", "region") as asking:
        city.kill("controller")
        before = len(asking.keys)
        city.wait(lambda: len(asking.keys) > before + 5, "keys without it")
        city.wait_again("controller", "controller", ready)
        city.wait(lambda: page(city), "its dashboard")
    assert not asking.failures
    events = (city.folder / "controller" / "state").glob("*")
    assert any(path.stat().st_size for path in events if path.is_file()), "its log stands"


def test_link_ends_that_were_killed_come_back(city: LiveDemo) -> None:
    killed = city.kill("ends intesa")
    city.wait(lambda: city.pid("ends intesa") != killed, "the ends are started again")


def memory_of(pid: int) -> Iterator[bytes]:
    """Everything that a process may write to, piece by piece."""
    with Path(f"/proc/{pid}/maps").open(encoding="utf-8") as maps, Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        for line in maps:
            where, rights = line.split()[:2]
            if not rights.startswith("rw"):
                continue
            start, end = (int(part, 16) for part in where.split("-"))
            try:
                memory.seek(start)
                yield memory.read(end - start)
            except OSError:
                continue


def test_the_controller_never_held_a_key(city: LiveDemo) -> None:
    with Requests(city, "defence", "lab", 0.0) as relayed, Requests(city, "lab", "region", 0.0) as direct:
        city.wait(lambda: len(relayed.keys) > 20 and len(direct.keys) > 20, "keys of both kinds")
    keys = [*relayed.keys[:12], *direct.keys[:12]]
    marks = [form for key in keys for form in (key, base64.b64encode(key), key.hex().encode())]
    pid = city.pid("controller")
    try:
        seen = b"".join(memory_of(pid))
    except PermissionError:
        pytest.skip("the controller forbids its memory to others, and this is not root")
    assert b"aria-leonardo" in seen, "the scan reads its memory"
    assert not [mark for mark in marks if mark in seen]
    stored = b"".join(p.read_bytes() for p in (city.folder / "controller" / "state").rglob("*") if p.is_file())
    told = json.dumps(city.records).encode()
    assert not [mark for mark in marks if mark in stored or mark in told]


def test_all_processes_end_with_a_parent_that_is_killed() -> None:
    demo = LiveDemo()
    try:
        demo.wait(lambda: len(demo.of("site")) == 5, "five sites")
        pids = demo.pids()
        demo.end(signal.SIGKILL)
        end = time.monotonic() + 10
        while left := [pid for pid in pids if _lives(pid)]:
            assert time.monotonic() < end, left
            time.sleep(0.05)
    finally:
        demo.end()
        demo.remove()


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False
