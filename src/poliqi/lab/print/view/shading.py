"""Shaded images of vessels: exact capsules along parallel rays, lit from the upper left, darker in the depth.

What lies close behind something nearer is darkened (unsharp masking of the depth buffer, Luft, Colditz and Deussen,
ACM Trans. Graph. 25, 1206, 2006), so that crossings of vessels can be read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.lab.print.view.camera import Frame

if TYPE_CHECKING:
    from poliqi.lab.print.network import Network

__all__ = ["cut_image", "seen", "shaded_image"]

_CHUNK: Final = 20_000
"""Capsules for each call of a kernel, so that Ctrl-C is heard."""
_LIGHT: Final = (-0.45, 0.65, 0.62)
_AMBIENT: Final = 0.42
_HAZE: Final = 0.34
_OCCLUSION: Final = 2.2
_BLUR: Final = 0.012
"""Of the longer side: how far around a pixel its depth is compared."""
_LEAST_PIXELS: Final = 0.55
"""Radius below which a vessel is drawn thicker than it is, or it would fall between the pixels."""
_INK: Final = 0.16


def seen(
    network: Network, frame: Frame, least_pixels: float = _LEAST_PIXELS
) -> tuple[NDArray[np.float64], NDArray[np.int32], NDArray[np.float64]]:
    """Depth (h, w) in um towards the eye, -inf beside vessels; the segment seen, -1; its normal (h, w, 3)."""
    from poliqi.lab.print.view.splat import seen_kernel

    at = frame.pixels(network.points_um)
    a, b = at[network.segments[:, 0]], at[network.segments[:, 1]]
    r = np.maximum(network.radius_um / frame.um_per_pixel, least_pixels)
    depth, owner = np.full(frame.shape, -np.inf), np.full(frame.shape, -1, np.int32)
    for first in range(0, len(r), _CHUNK):
        part = slice(first, first + _CHUNK)
        seen_kernel(a[part], b[part], r[part], first, depth, owner)
    y, x = np.nonzero(owner >= 0)
    which = owner[y, x]
    point = np.column_stack([x, y, depth[y, x]])
    u = b[which] - a[which]
    s = np.clip(((point - a[which]) * u).sum(axis=1) / (u * u).sum(axis=1), 0, 1)
    normal = np.zeros((*frame.shape, 3))
    normal[y, x] = (point - a[which] - s[:, None] * u) / r[which, None]
    return depth * frame.um_per_pixel, owner, normal


def shaded_image(network: Network, frame: Frame, rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    """RGBA (h/2, w/2, 4), rows upwards; `rgb` (m, 3) is the colour of each segment. Two by two rays a pixel."""
    import scipy.ndimage

    ndimage: Any = scipy.ndimage  # its annotations are partial

    depth, owner, normal = seen(network, frame)
    hit = owner >= 0
    if not hit.any():
        return np.zeros((frame.shape[0] // 2, frame.shape[1] // 2, 4))
    low, high = float(depth[hit].min()), float(depth[hit].max())
    span = max(high - low, 1e-9)
    share = np.where(hit, (depth - low) / span, 0.0)
    light = np.array(_LIGHT) / np.linalg.norm(_LIGHT)
    lit = _AMBIENT + (1 - _AMBIENT) * np.clip(normal @ light, 0, None)
    gloss = 0.35 * np.clip(normal @ _half_way(light), 0, None) ** 40
    around: NDArray[np.float64] = ndimage.gaussian_filter(share, _BLUR * max(frame.shape))
    shadow = np.exp(-_OCCLUSION * np.clip(around - share, 0, None))
    step: NDArray[np.float64] = ndimage.maximum_filter(share, 3) - share
    ink = 1 - 0.55 * np.clip(step / _INK, 0, 1)
    colour = np.where(hit[..., None], rgb[np.maximum(owner, 0)], 1.0)
    colour = np.clip(colour * (lit * shadow * ink)[..., None] + gloss[..., None], 0, 1)
    far = _HAZE * (1 - share[..., None]) ** 1.3
    colour = colour * (1 - far) + far * np.array([0.93, 0.94, 0.96])
    return _halved(np.concatenate([colour, hit[..., None].astype(np.float64)], axis=-1))


def cut_image(network: Network, frame: Frame, at_um: float) -> NDArray[np.int32]:
    """The segment (h, w) that the plane at height `at_um` towards the eye cuts at each pixel, -1 for none."""
    from poliqi.lab.print.view.splat import cut_kernel

    at = frame.pixels(network.points_um)
    at[:, 2] -= at_um / frame.um_per_pixel
    a, b = at[network.segments[:, 0]], at[network.segments[:, 1]]
    r = network.radius_um / frame.um_per_pixel
    depth, owner = np.full(frame.shape, -np.inf), np.full(frame.shape, -1, np.int32)
    for first in range(0, len(r), _CHUNK):
        part = slice(first, first + _CHUNK)
        cut_kernel(a[part], b[part], r[part], first, depth, owner)
    return owner


def _half_way(light: NDArray[np.float64]) -> NDArray[np.float64]:
    """Between the light and the eye: where a surface shines."""
    half = light + np.array([0.0, 0.0, 1.0])
    return half / np.linalg.norm(half)


def _halved(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of two by two pixels, colours weighed by what covers them."""
    high, wide = image.shape[0] // 2 * 2, image.shape[1] // 2 * 2
    parts = [image[i:high:2, j:wide:2] for i in (0, 1) for j in (0, 1)]
    cover = sum((one[..., 3:] for one in parts), np.zeros_like(parts[0][..., 3:]))
    colour = sum((one[..., :3] * one[..., 3:] for one in parts), np.zeros_like(parts[0][..., :3]))
    return np.concatenate([colour / np.maximum(cover, 1e-9), cover / 4], axis=-1)
