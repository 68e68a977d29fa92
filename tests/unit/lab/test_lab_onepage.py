"""What is drawn stays in the picture: long titles, markers at the top."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from cycled_cells import cycling

from poliqi.lab.echem.cycling.cycles import cycles
from poliqi.lab.echem.cycling.cyclespage import Curves, Scale, cycles_page
from poliqi.lab.onepage import Page, page_bytes


def picture(title: str, *, simulated: bool) -> np.ndarray[Any, Any]:
    from matplotlib.image import imread

    return imread(io.BytesIO(page_bytes(Page(title, simulated=simulated), ".png")))[..., :3]


@pytest.mark.parametrize(
    "title", ["Cycles of " + "20260114_NMC811_graphite_GRIMM_cell_07_formation_C20 " * 4, "COIN CELLS WWW " * 9]
)
def test_a_long_title_ends_before_the_right_edge(title: str) -> None:
    drawn = picture(title, simulated=True)
    assert drawn.min() < 0.5
    assert drawn[:, -8:].min() == 1.0


def test_a_long_title_is_wrapped_and_still_says_simulated() -> None:
    short, long = (picture(title, simulated=True) for title in ("a", "word " * 100))
    assert long.shape[0] > short.shape[0]
    assert (picture("word " * 100, simulated=False).shape) != long.shape


def test_markers_of_capacities_stand_below_the_top_of_the_chart() -> None:
    from matplotlib.figure import Figure

    found = cycles(cycling([0.0, 0.001, 0.002]))
    figure: Any = Figure()
    axes = figure.subplots()
    cycles_page(found, Curves([], []), None, Scale("Ah", 1.0), found.cycles).panels[0].draw(axes)
    largest = max(half.capacity_ah for one in found.cycles for half in one.halves)
    assert axes.get_ylim() == (0, pytest.approx(1.08 * largest))
