"""Pictures of vessels: exact surfaces, exact cuts, colours that anybody can tell apart."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from numpy.typing import NDArray
from print_scenes import CUBE_UM, cube, thread, y_network

from poliqi.base.errors import ConfigError
from poliqi.lab.print.network import Kind, Network
from poliqi.lab.print.view.camera import ISOMETRIC, Camera, frame_of
from poliqi.lab.print.view.outline import box_outline, outline_of_mesh
from poliqi.lab.print.view.palette import KIND_COLOURS, kind_rgb, scale_rgb, shares
from poliqi.lab.print.view.pictures import Grid, Quantity, draw_section, draw_vessels, limits_of
from poliqi.lab.print.view.shading import cut_image, seen, shaded_image
from poliqi.lab.print.view.splat import cut_by_definition, cut_kernel, seen_by_definition, seen_kernel

SHAPE = (23, 31)


def capsules(seed: int, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Random ones, and adversarial: along the ray, across it, shorter than thick, beside the picture."""
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(-5, 35, (count, 3)), rng.uniform(-5, 35, (count, 3))
    b[::5, :2] = a[::5, :2]
    b[1::5, 2] = a[1::5, 2]
    b[2::5] = a[2::5] + 1e-3
    return a, b, rng.uniform(0.3, 6, count)


@given(seed=st.integers(0, 2**20), count=st.integers(1, 12))
@settings(max_examples=25, deadline=None)
def test_the_kernel_sees_what_the_definition_sees(seed: int, count: int) -> None:
    a, b, r = capsules(seed, count)
    depth, owner = np.full(SHAPE, -np.inf), np.full(SHAPE, -1, np.int32)
    seen_kernel(a, b, r, 0, depth, owner)
    wanted, _ = seen_by_definition(a, b, r, SHAPE)
    grazing = np.isfinite(depth) != np.isfinite(wanted)
    assert grazing.sum() <= 1  # a ray that touches
    both = np.isfinite(depth) & np.isfinite(wanted)
    assert np.allclose(depth[both], wanted[both], atol=2e-5)


@given(seed=st.integers(0, 2**20), count=st.integers(1, 12))
@settings(max_examples=25, deadline=None)
def test_the_kernel_cuts_what_the_definition_cuts(seed: int, count: int) -> None:
    a, b, r = capsules(seed, count)
    depth, owner = np.full(SHAPE, -np.inf), np.full(SHAPE, -1, np.int32)
    cut_kernel(a, b, r, 7, depth, owner)
    wanted, who = cut_by_definition(a, b, r, SHAPE)
    both = np.isfinite(depth) & np.isfinite(wanted)
    assert (np.isfinite(depth) == np.isfinite(wanted)).mean() > 0.998
    assert np.allclose(depth[both], wanted[both], atol=1e-9)
    assert (owner[both] != who[both] + 7).sum() <= 0.01 * both.sum()


def test_a_vessel_across_the_view_covers_a_stadium() -> None:
    network = thread(50.0)
    frame = frame_of(np.eye(3), network.points_um + 0.0, 400)
    _, owner, normal = seen(network, frame)
    covered = (owner >= 0).sum() * frame.um_per_pixel**2
    strip = min(frame.extent_um[3], 250) - max(frame.extent_um[2], 150)
    assert covered == pytest.approx((CUBE_UM + 2) * strip + 0, rel=0.1)
    lengths = np.linalg.norm(normal[owner >= 0], axis=1)
    assert lengths == pytest.approx(np.ones_like(lengths), abs=1e-9)


def test_a_cut_along_a_vessel_is_as_wide_as_the_vessel() -> None:
    frame = frame_of(np.eye(3), np.asarray(cube().bounds_um), 800)
    for off, half in ((0.0, 20.0), (12.0, 16.0)):  # 20^2 = 12^2 + 16^2
        owner = cut_image(thread(), frame, CUBE_UM / 2 + off)
        column = (owner[:, owner.shape[1] // 2] == 0).sum() * frame.um_per_pixel
        assert column == pytest.approx(2 * half, abs=1.1 * frame.um_per_pixel)
    assert (cut_image(thread(), frame, CUBE_UM / 2 + 20.5) < 0).all()


def test_nearer_vessels_hide_farther_ones() -> None:
    points = np.array([[0.0, 50, 10], [100, 50, 10], [50, 0, 60], [50, 100, 60]])
    rest = (np.array([0, 1], np.uint8), np.array([-1, -1], np.int32), ())
    network = Network(points, np.array([[0, 1], [2, 3]], np.int32), np.array([8.0, 8.0]), *rest)
    frame = frame_of(np.eye(3), points, 200)
    depth, owner, _ = seen(network, frame)
    x, y = np.rint((np.array([50, 50]) - frame.low_um) / frame.um_per_pixel).astype(int)
    assert owner[y, x] == 1
    assert depth[y, x] == pytest.approx(68, abs=0.05)


def test_an_image_has_half_the_rays_and_shows_only_vessels() -> None:
    frame = frame_of(ISOMETRIC.rotation, np.asarray(cube().bounds_um), 300)
    image = shaded_image(thread(), frame, kind_rgb(thread().kind))
    assert image.shape == (frame.shape[0] // 2, frame.shape[1] // 2, 4)
    assert image.min() >= 0.0
    assert image.max() <= 1.0
    assert 0.02 < image[..., 3].mean() < 0.5
    solid = image[image[..., 3] == 1, :3]
    assert (solid[:, 0] > solid[:, 2]).mean() > 0.9  # red, not blue


@pytest.mark.parametrize("camera", [ISOMETRIC, Camera(30.0, 80.0), Camera(0.0, 0.0)])
def test_a_camera_is_a_rotation(camera: Camera) -> None:
    assert camera.rotation @ camera.rotation.T == pytest.approx(np.eye(3), abs=1e-12)
    assert np.linalg.det(camera.rotation) == pytest.approx(1)
    assert camera.rotation[0, 2] == 0  # z stays up


def test_the_outline_of_a_box_is_its_twelve_edges() -> None:
    shape = box_outline(np.array([[0.0, 0, 0], [1, 2, 3]]))
    assert len(shape.edges) == 12
    lengths = np.linalg.norm(np.diff(shape.points_um[shape.edges], axis=1)[:, 0], axis=1)
    assert sorted(lengths) == [1] * 4 + [2] * 4 + [3] * 4
    middle = shape.points_um[shape.triangles].mean(axis=1) - np.array([0.5, 1, 1.5])
    assert (np.einsum("ij,ij->i", shape.normals(), middle) > 0).all()


def test_flat_neighbours_have_no_edge_between_them() -> None:
    points = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    shape = outline_of_mesh(points, np.array([[0, 1, 2], [0, 2, 3]], np.int32))
    assert len(shape.edges) == 0
    assert len(shape.pairs) == 1


@pytest.mark.parametrize("is_log", [False, True])
def test_pictures_are_drawn(is_log: bool) -> None:
    figure: Any = Figure(figsize=(6, 3))
    left, right = figure.subplots(1, 2)
    draw_vessels(
        left, y_network(), cube(), Quantity(np.arange(1.0, 7.0), "flow in nL/min", is_log=is_log), pixels=300
    )
    draw_section(right, cube(), y_network(), 2, 200.0)
    assert left.get_images()[0].get_array().shape[2] == 4
    image = right.get_images()[0].get_array()
    rgb = np.array([int(KIND_COLOURS[Kind.CAPILLARY][at : at + 2], 16) for at in (1, 3, 5)]) / 255
    assert (np.abs(image[..., :3] - rgb) < 0.01).all(axis=2).any()
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["artery", "vein", "capillary"]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_section_shows_the_right_two_axes(axis: int) -> None:
    figure: Any = Figure()
    axes = figure.subplots()
    values = np.moveaxis(np.broadcast_to(np.arange(8.0), (8, 8, 8)), -1, (axis + 1) % 3)
    draw_section(axes, cube(), thread(5.0), axis, 50.0, Grid(values, (25, 25, 25), 50.0, "oxygen in mol/m3", 3.5))
    names = [axes.get_xlabel()[0], axes.get_ylabel()[0]]
    assert names == [one for one in "xyz" if one != "xyz"[axis]]
    image = axes.get_images()[0].get_array()
    grows = (
        image[image.shape[0] // 2, [100, 800], 1]
        if names[0] == "xyz"[(axis + 1) % 3]
        else image[[100, 800], 450, 1]
    )
    assert grows[1] > grows[0] + 0.2  # viridis is greener where there is more


def test_what_does_not_fit_is_refused() -> None:
    axes: Any = Figure().subplots()
    with pytest.raises(ConfigError, match="values for 6"):
        draw_vessels(axes, y_network(), cube(), Quantity(np.ones(5), "flow"))
    with pytest.raises(ConfigError, match="0, 1 or 2"):
        draw_section(axes, cube(), y_network(), 3, 10.0)


def test_shares_are_of_the_way_and_keep_what_is_missing() -> None:
    share, low, high = shares(np.array([1.0, 10, 100, np.nan, -3]), is_log=True)
    assert (low, high) == (1, 100)
    assert share[:3] == pytest.approx([0, 0.5, 1])
    assert np.isnan(share[3])
    assert share[4] == 0
    assert shares(np.array([2.0, 2.0]))[0] == pytest.approx([0, 0])
    assert scale_rgb(np.array([np.nan]))[0] == pytest.approx([0.6] * 3)


def test_limits_begin_at_nought() -> None:
    assert limits_of(Grid(np.array([[[0.1, 0.2]]]), (0, 0, 0), 1, "c")) == (0, 0.2)
    assert limits_of(Grid(np.full((1, 1, 1), np.nan), (0, 0, 0), 1, "c")) == (0, 1)
    assert limits_of(Grid(np.ones((1, 1, 1)), (0, 0, 0), 1, "c", None, (0.5, 3))) == (0.5, 3)


DEUTERANOPIA = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
PROTANOPIA = [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
TRITANOPIA = [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
GREY = [[0.2126, 0.7152, 0.0722]] * 3
"""Machado, Oliveira and Fernandes, IEEE Trans. Vis. Comput. Graph. 15 (2009) 1291, severity 1; and luminance."""


@pytest.mark.parametrize("eye", [np.eye(3), DEUTERANOPIA, PROTANOPIA, TRITANOPIA, GREY])
def test_kinds_are_told_apart_with_any_colour_vision(eye: Any) -> None:
    linear = kind_rgb(np.array(list(Kind), np.uint8)) ** 2.2
    lab = [_lab(np.clip(np.asarray(eye) @ one, 0, 1)) for one in linear]
    for a, b in itertools.combinations(lab, 2):
        assert np.linalg.norm(a - b) > 9  # 2.3 is just noticeable


def _lab(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    """CIE 1976 of linear sRGB."""
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ linear
    t = xyz / np.array([0.9505, 1, 1.089])
    f = np.where(t > 0.008856, np.cbrt(t), 7.787 * t + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])
