"""The view of vessels in a real Chromium: it draws, picks, cuts, flies, and asks nobody for anything."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page_checks import CONTRAST, NAMED
from print_scenes import y_network

from poliqi.lab.onepage import Page
from poliqi.lab.print.view.htmlpage import html_bytes
from poliqi.lab.print.view.outline import box_outline
from poliqi.lab.print.view.pictures import Grid
from poliqi.lab.print.view.scene import Place, Told, scene_of

playwright_api = pytest.importorskip("playwright.sync_api", reason="needs the extra 'test'")

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
pytestmark = pytest.mark.skipif(not os.access(CHROMIUM, os.X_OK), reason="no Chromium on this machine")
SOFTWARE = ("--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist")
READY = "() => document.getElementById('view').dataset.ready === 'yes'"
PICKED = "() => document.getElementById('view').dataset.picked"
STILL = "() => { const v = window.poliqiView; v.touch(); v.frame(); v.painter.gl.finish(); }"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(SOFTWARE))
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    network = y_network()
    values = np.full((8, 8, 8), 0.1)
    scene = scene_of(
        network,
        box_outline(np.array([[0.0, 0, 0], [400, 400, 400]])),
        [Told("flow", "flow", "nL/min", np.arange(1.0, 7.0)), Told("shear", "wall shear", "Pa", np.ones(6))],
        field=Grid(values, (25, 25, 25), 50.0, "oxygen in mol/m3", 0.05),
        places=[Place("a narrow lumen", "caution", (200.0, 120.0, 200.0))],
    )
    path = tmp_path_factory.mktemp("view") / "view.html"
    page = Page("Tissue", "sub", [("vessels", "6")], cautions=["look"], simulated=True)
    path.write_bytes(html_bytes(page, scene, _pixel(), {"seed": 1}))
    return path


def _pixel() -> bytes:
    from matplotlib.figure import Figure

    out = io.BytesIO()
    figure: Any = Figure(figsize=(1, 1))
    figure.savefig(out, format="png")
    return out.getvalue()


@pytest.fixture
def tab(browser: Any, file: Path) -> Iterator[Callable[..., Any]]:
    """Opens the page, and in the end fails where it complained or asked for something else."""
    opened: list[Any] = []
    wrong: list[str] = []

    def open_tab(**how: Any) -> Any:
        context = browser.new_context(
            **{"viewport": {"width": 1000, "height": 800}, "reduced_motion": "reduce", **how}
        )
        context.set_default_timeout(15000)
        page = context.new_page()
        page.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda e: wrong.append(str(e)))
        page.on(
            "request",
            lambda r: None if r.url == file.as_uri() or r.url.startswith("data:") else wrong.append(r.url),
        )
        opened.append(context)
        page.goto(file.as_uri())
        return page

    yield open_tab
    for context in opened:
        context.close()
    assert wrong == []


def colours(page: Any) -> Any:
    """Pixels of the view, (n, 3), 0 to 255."""
    from matplotlib.image import imread

    page.evaluate(STILL)
    seen = imread(io.BytesIO(page.locator("canvas").screenshot()))
    return (255 * seen[..., :3]).astype(int).reshape(-1, 3)


def pick(page: Any, x_um: float, y_um: float, z_um: float) -> str:
    """A click where a place of the tissue is seen."""
    at = page.evaluate(
        """(p) => { const v = poliqiView, [x, y] = v.camera.place(v.scene.fromUm(p));
        const b = v.canvas.getBoundingClientRect();
        return [b.left + (x + 1) / 2 * b.width, b.top + (1 - y) / 2 * b.height]; }""",
        [x_um, y_um, z_um],
    )
    page.mouse.click(*at)
    return str(page.evaluate(PICKED))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_draws_in_the_kinds_colours_and_can_be_read(tab: Callable[..., Any], scheme: str) -> None:
    page = tab(color_scheme=scheme)
    page.wait_for_function(READY)
    rgb = colours(page)
    red = (rgb[:, 0] > rgb[:, 2] + 60) & (rgb[:, 0] > rgb[:, 1] + 60)
    blue = (rgb[:, 2] > rgb[:, 0] + 60) & (rgb[:, 2] > rgb[:, 1] + 30)
    assert 0.001 < red.mean() < 0.2
    assert 0.001 < blue.mean() < 0.2
    assert (rgb.mean() > 128) == (scheme == "light")
    assert page.evaluate(CONTRAST) == []
    assert page.evaluate(NAMED) == []
    assert not page.locator("#still").is_visible()


def test_a_click_tells_the_vessel_that_is_seen_there(tab: Callable[..., Any]) -> None:
    page = tab()
    page.wait_for_function(READY)
    assert pick(page, 60, 200, 200) == "0"
    told = page.locator("[data-part=picked]").inner_text()
    assert "0, artery" in told
    assert "16 um" in told
    assert "1 nL/min" in told
    assert "-1.0, 200.0, 200.0" in told
    assert pick(page, 340, 200, 200) == "5"
    assert pick(page, 160, 160, 200) == "1"
    assert pick(page, 10, 10, 390) == ""


def test_a_cut_takes_vessels_away_and_shows_the_tissue(tab: Callable[..., Any]) -> None:
    page = tab()
    page.wait_for_function(READY)
    whole = colours(page)
    page.select_option("#v-axis", "x")
    page.uncheck("[data-part=flip]")
    assert "x = 200 um" in page.locator("[data-part=depth-label]").inner_text()
    cut = colours(page)
    assert (whole != cut).any(axis=1).mean() > 0.05
    assert pick(page, 340, 200, 200) == ""  # beyond the cut
    page.check("[data-part=flip]")
    assert pick(page, 340, 200, 200) == "5"
    page.select_option("#v-axis", "")
    page.keyboard.press("Escape")
    assert pick(page, 60, 200, 200) == "0"


def test_colours_kinds_keys_and_reset_do_what_they_say(tab: Callable[..., Any]) -> None:
    page = tab()
    page.wait_for_function(READY)
    page.select_option("#v-colour", "flow")
    assert page.locator("[data-part=scale]").is_visible()
    assert page.locator("[data-part=tick-2]").inner_text() == "6"
    page.select_option("#v-colour", "")
    page.uncheck("[data-part=kind-0]")
    assert pick(page, 60, 200, 200) != "0"
    page.check("[data-part=kind-0]")
    page.locator("canvas").focus()
    before = page.evaluate("() => [poliqiView.camera.yaw, poliqiView.camera.distance]")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("+")
    after = page.evaluate("() => [poliqiView.camera.yaw, poliqiView.camera.distance]")
    assert after[0] != before[0]
    assert after[1] < before[1]
    page.keyboard.press("]")
    assert page.locator("#v-axis").input_value() == "z"
    page.click("[data-part=reset]")
    assert page.evaluate("() => [poliqiView.camera.yaw, poliqiView.camera.distance]") == before
    assert page.locator("#v-axis").input_value() == ""


def test_a_flaw_is_flown_to(tab: Callable[..., Any]) -> None:
    page = tab()
    page.wait_for_function(READY)
    page.click("#place-0")
    page.wait_for_function("() => !poliqiView.flight && poliqiView.camera.distance < 1")
    target = page.evaluate("() => poliqiView.scene.toUm(poliqiView.camera.target)")
    assert target == pytest.approx([200, 120, 200], abs=0.01)


def test_a_mouse_and_a_wheel_turn_and_zoom(tab: Callable[..., Any]) -> None:
    page = tab()
    page.wait_for_function(READY)
    box = page.locator("canvas").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    before = page.evaluate("() => [poliqiView.camera.yaw, poliqiView.camera.pitch, poliqiView.camera.distance]")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 80, y + 40, steps=4)
    page.mouse.up()
    page.mouse.wheel(0, -100)
    page.wait_for_function(f"() => poliqiView.camera.distance < {before[2]}")
    after = page.evaluate("() => [poliqiView.camera.yaw, poliqiView.camera.pitch]")
    assert after[0] == pytest.approx(before[0] - 0.5)
    assert after[1] == pytest.approx(before[1] + 0.25)
    assert page.evaluate(PICKED) is None  # a drag picks nothing


def test_without_javascript_the_picture_stands_there(tab: Callable[..., Any]) -> None:
    page = tab(java_script_enabled=False)
    assert page.locator("#still img").is_visible()
    assert not page.locator("#view").is_visible()
    assert "needs JavaScript" in page.locator("#why-still").inner_text()


def test_it_fits_a_telephone(tab: Callable[..., Any]) -> None:
    page = tab(viewport={"width": 390, "height": 844})
    page.wait_for_function(READY)
    assert page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0


def test_where_webgl_is_not_there_the_page_says_so(browser: Any, file: Path) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
    page.goto(file.as_uri())
    assert page.locator("#still img").is_visible()
    assert not page.locator("#view").is_visible()
    assert "no WebGL 2" in page.locator("#why-still").inner_text()
    context.close()
