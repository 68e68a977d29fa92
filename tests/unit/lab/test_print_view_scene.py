"""What the view is given, and that the page lets nothing else in."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import Any

import numpy as np
import pytest
from print_scenes import y_network

from poliqi.lab.onepage import Page, Panel
from poliqi.lab.print.network import Network
from poliqi.lab.print.view.htmlpage import html_bytes
from poliqi.lab.print.view.outline import box_outline
from poliqi.lab.print.view.pictures import Grid
from poliqi.lab.print.view.scene import Place, Told, scene_of

BOX = box_outline(np.array([[0.0, 0, 0], [400, 400, 400]]))
PIXEL = base64.b64decode(
    b"iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def array(text: str, kind: str) -> Any:
    return np.frombuffer(base64.b64decode(text), kind)


def many(count: int) -> Network:
    rng = np.random.default_rng(1)
    points = rng.uniform(0, 1000, (2 * count, 3))
    segments = np.arange(2 * count, dtype=np.int32).reshape(-1, 2)
    radius = rng.uniform(1, 20, count)
    return Network(points, segments, radius, np.zeros(count, np.uint8), np.full(count, -1, np.int32), ())


def test_places_are_kept_within_a_step_of_the_box() -> None:
    network = y_network()
    scene = scene_of(network, BOX)
    size, middle = np.array(scene["size_um"]), np.array(scene["middle_um"])
    for name, wanted in (("start", network.start_um), ("end", network.end_um)):
        got = (array(scene[name], "<u2").reshape(-1, 3) / 65535 - 0.5) * size + middle
        assert np.abs(got - wanted).max() <= size.max() / 65535
    assert array(scene["radius_um"], "<f4") == pytest.approx(network.radius_um)
    assert array(scene["kind"], "u1").tolist() == network.kind.tolist()
    assert [one["there"] for one in scene["kinds"]] == [True, True, True]
    assert [one["role"] for one in scene["ports"]] == ["inlet", "outlet"]


def test_numbers_come_back_to_four_digits() -> None:
    values = np.array([1e-3, 1.0, 5.0, 1e2, np.nan, 7.0])
    (told,) = scene_of(y_network(), BOX, [Told("q", "flow", "nL/min", values, is_log=True)])["quantities"]
    codes = array(told["codes"], "<u2").astype(float)
    assert codes[4] == 0
    back = told["low"] * (told["high"] / told["low"]) ** ((codes - 1) / 65534)
    assert np.delete(back, 4) == pytest.approx(np.delete(values, 4), rel=1e-4)


def test_the_thickest_are_shown_where_there_are_too_many() -> None:
    network = many(50)
    scene = scene_of(network, BOX, most=10)
    number = array(scene["number"], "<u4")
    assert scene["left_out"] == 40
    assert set(number) == set(np.argsort(network.radius_um)[-10:])
    assert array(scene["radius_um"], "<f4") == pytest.approx(network.radius_um[number])


def test_a_hundred_thousand_vessels_take_less_than_5_mb() -> None:
    network = many(100_000)
    told = [Told(str(at), "x", "y", network.radius_um) for at in range(5)]
    assert len(json.dumps(scene_of(network, BOX, told))) < 5e6


def test_a_field_is_coded_from_nought_to_its_greatest() -> None:
    values = np.linspace(0.01, 0.2, 4 * 3 * 2).reshape(4, 3, 2)
    values[0, 0, 0] = np.nan
    field = scene_of(y_network(), BOX, field=Grid(values, (5, 5, 5), 10, "oxygen in mol/m3", 0.05))["field"]
    codes = array(field["values"], "u1").reshape(2, 3, 4).transpose(2, 1, 0)
    assert codes[0, 0, 0] == 0
    assert codes[-1, -1, -1] == 255
    back = (codes - 1.0) / 254 * 0.2
    assert np.nan_to_num(back)[1:] == pytest.approx(values[1:], abs=0.2 / 254)
    assert field["mark"] == pytest.approx(0.25)
    assert field["low_um"] == [0, 0, 0]
    assert field["size_um"] == [40, 30, 20]


def test_a_large_field_is_thinned_and_keeps_its_place() -> None:
    values = np.ones((200, 100, 50))
    field = scene_of(y_network(), BOX, field=Grid(values, (0.5, 0.5, 0.5), 1.0, "c in mol/m3"))["field"]
    assert max(field["shape"]) <= 96
    assert field["mark"] == -1
    assert field["size_um"] == [201, 102, 51]  # every third voxel
    assert field["low_um"] == [-1, -1, -1]


def page_text(**how: Any) -> str:
    hostile = '</script><script>alert("1")</script>'
    places = [Place(f"narrow {hostile}", "caution", (1.0, 2.0, 3.0))]
    scene = scene_of(y_network(), BOX, places=places)
    page = Page(f"Tissue {hostile}", "sub", [("name", hostile)], cautions=[hostile], simulated=True, **how)
    return html_bytes(page, scene, PIXEL, {"name": hostile}).decode()


def test_only_the_one_script_and_style_may_run() -> None:
    text = page_text()
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)
    assert policy is not None
    told = policy[1].replace("&#39;", "'")
    assert told.startswith("default-src 'none'")
    assert "unsafe" not in told
    for tag, source in (("script", "script-src"), ("style", "style-src")):
        inside = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.S)
        assert len(inside) == 1
        digest = base64.b64encode(hashlib.sha256(inside[0].encode()).digest()).decode()
        assert f"{source} 'sha256-{digest}'" in told
    assert "style=" not in re.sub(r"<script>.*?</script>", "", text, flags=re.S)


def test_nothing_is_fetched_and_nothing_of_others_is_markup() -> None:
    text = page_text()
    assert not re.search(r"(?:src|href)=[\"'](?!data:)", text)
    assert "http" not in re.sub(r"<script>.*?</script>", "", text, flags=re.S).replace("http-equiv", "")
    assert "<script>alert" not in text
    block = re.search(r'<script type="application/json" id="scene">(.*?)</script>', text, re.S)
    assert block is not None
    assert json.loads(block[1])["places"][0]["text"].endswith("</script>")


def test_the_page_says_what_is_simulated_and_what_stands_in_for_the_view() -> None:
    text = page_text()
    assert '<p class="simulated">simulated</p>' in text
    assert "<noscript>" in text
    assert "still picture" in text
    assert "thickest" not in text


def test_pictures_stand_in_the_page() -> None:
    text = page_text(panels=[Panel("A line", lambda axes: axes.plot([0, 1]))])
    assert text.count('src="data:image/png;base64,') == 2
    assert 'alt="A line"' in text
